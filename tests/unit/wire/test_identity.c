/* Server ids and address strings, table-driven. */
#include "consensus/identity.h"
#include "shared/base/err.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

static void test_ids_depend_on_name_and_storage(void **state)
{
    uint8_t a[STORAGE_UUID_BYTES] = {1}, b[STORAGE_UUID_BYTES] = {2};
    (void)state;
    assert_int_not_equal(identity_raft_id("seq-0", a), 0);
    assert_int_equal(identity_raft_id("seq-0", a), identity_raft_id("seq-0", a));
    assert_int_not_equal(identity_raft_id("seq-0", a), identity_raft_id("seq-0", b));
    assert_int_not_equal(identity_raft_id("seq-0", a), identity_raft_id("seq-1", a));
}

static void test_addresses(void **state)
{
    char address[MEMBER_ADDRESS_SIZE], name[SERVER_ID_SIZE], host_port[SERVER_ADDR_SIZE], small[8];
    static const char *const bad[] = {"", "@h:1", "seq-0", "seq-0@", "host:50050"};
    (void)state;
    assert_int_equal(identity_format_address("seq-0", "10.0.0.1:50050", address, sizeof address), 0);
    assert_string_equal(address, "seq-0@10.0.0.1:50050");
    assert_int_equal(identity_parse_address(address, name, host_port), 0);
    assert_string_equal(name, "seq-0");
    assert_string_equal(host_port, "10.0.0.1:50050");
    assert_int_equal(identity_format_address("seq-0", "10.0.0.1:50050", small, sizeof small), OC_ERANGE);
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++)
        assert_int_equal(identity_parse_address(bad[i], name, host_port), OC_ESYNTAX);
}

static void test_too_long_parts_are_refused(void **state)
{
    char address[SERVER_ID_SIZE + SERVER_ADDR_SIZE + 64], name[SERVER_ID_SIZE], host_port[SERVER_ADDR_SIZE];
    (void)state;
    memset(address, 'x', sizeof address);
    address[SERVER_ID_SIZE] = '@';
    address[SERVER_ID_SIZE + 3] = '\0';
    assert_int_equal(identity_parse_address(address, name, host_port), OC_ESYNTAX);
    memset(address, 'x', sizeof address);
    address[1] = '@';
    address[2 + SERVER_ADDR_SIZE] = '\0';
    assert_int_equal(identity_parse_address(address, name, host_port), OC_ESYNTAX);
    memset(address, 'x', sizeof address);
    address[SERVER_ID_SIZE] = '\0';
    assert_int_equal(identity_check_name(address), OC_ESYNTAX);
    address[SERVER_ID_SIZE - 1] = '\0';
    assert_int_equal(identity_check_name(address), 0);
    assert_int_equal(identity_check_name(""), OC_ESYNTAX);
    assert_int_equal(identity_check_name("a@b"), OC_ESYNTAX);
    assert_int_equal(identity_check_name("a\nb"), OC_ESYNTAX);
}

static void test_host_and_port(void **state)
{
    static const struct {
        const char *text, *host;
        uint16_t port;
        const char *reason; /* NULL: good */
    } rows[] = {
        {"10.0.0.1:50050", "10.0.0.1", 50050, NULL},
        {"[::1]:7", "::1", 7, NULL},
        {"seq-0.example.org:65535", "seq-0.example.org", 65535, NULL},
        {"host", NULL, 0, "missing port in address"},
        {"[::1]", NULL, 0, "missing port in address"},
        {"[::1:7", NULL, 0, "missing ']' in address"},
        {"::1:7", NULL, 0, "too many colons in address"},
        {":7", NULL, 0, "no such host"},
        {"host:", NULL, 0, "invalid port"},
        {"host:0", NULL, 0, "invalid port"},
        {"host:65536", NULL, 0, "invalid port"},
        {"host:-1", NULL, 0, "invalid port"},
        {"host:99999999999999999999", NULL, 0, "invalid port"},
    };
    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        char host[64], joined[80];
        uint16_t port = 0;
        const char *reason = NULL;
        int rc = identity_split_host_port(rows[i].text, host, sizeof host, &port, &reason);
        if (rows[i].reason) {
            assert_int_equal(rc, OC_ESYNTAX);
            assert_string_equal(reason, rows[i].reason);
            continue;
        }
        assert_int_equal(rc, 0);
        assert_string_equal(host, rows[i].host);
        assert_int_equal(port, rows[i].port);
        assert_int_equal(identity_join_host_port(host, port, joined, sizeof joined), 0);
        assert_string_equal(joined, rows[i].text);
    }
}

static void test_finding_members(void **state)
{
    static const struct membership m = {
        .count = 2, .members = {{.id = 5, .address = "seq-1@a:1"}, {.id = 6, .address = "seq-10@b:2"}}};
    (void)state;
    assert_ptr_equal(identity_find_name(&m, "seq-1"), &m.members[0]);
    assert_ptr_equal(identity_find_name(&m, "seq-10"), &m.members[1]);
    assert_null(identity_find_name(&m, "seq"));
    assert_ptr_equal(identity_find_id(&m, 6), &m.members[1]);
    assert_null(identity_find_id(&m, 7));
    assert_ptr_equal(identity_find_host_port(&m, "b:2"), &m.members[1]);
    assert_null(identity_find_host_port(&m, "b:22"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_ids_depend_on_name_and_storage),
        cmocka_unit_test(test_addresses),
        cmocka_unit_test(test_too_long_parts_are_refused),
        cmocka_unit_test(test_host_and_port),
        cmocka_unit_test(test_finding_members),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
