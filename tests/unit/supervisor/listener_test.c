/* Listening addresses: what is accepted, and errors that name the address and the fix. */
#include "shared/base/err.h"
#include "shared/base/fd.h"
#include "supervisor/listener.h"
#include "testing.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>

static void the_system_picks_a_port(void **state)
{
    static const char *const hosts[] = {"127.0.0.1", "localhost", "", "0.0.0.0"};
    char error[512];

    (void)state;
    for (size_t i = 0; i < sizeof hosts / sizeof hosts[0]; i++) {
        uint32_t port = 0;
        int fd = listener_open(hosts[i], 0, "--rpc.addr, --rpc.port", &port, error, sizeof error);

        assert_true(fd >= 0);
        assert_in_range(port, 1, 65535);
        assert_true(fcntl(fd, F_GETFD) & FD_CLOEXEC);
        assert_true(fcntl(fd, F_GETFL) & O_NONBLOCK);
        fd_close(&fd);
    }
}

static void a_port_in_use_is_named(void **state)
{
    char error[512] = "";
    char address[64];
    uint32_t port = 0, other = 0;
    int fd = listener_open("127.0.0.1", 0, "--rpc.addr, --rpc.port", &port, error, sizeof error);

    (void)state;
    assert_true(fd >= 0);
    assert_int_equal(listener_open("127.0.0.1", port, "--rpc.addr, --rpc.port", &other, error, sizeof error),
                     -EADDRINUSE);
    (void)snprintf(address, sizeof address, "127.0.0.1:%u", port);
    assert_non_null(strstr(error, address));
    assert_non_null(strstr(error, "--rpc.port"));
    assert_non_null(strstr(error, "choose another port"));
    fd_close(&fd);
}

static void names_are_not_resolved(void **state)
{
    char error[512] = "";
    uint32_t port = 0;

    (void)state;
    assert_int_equal(listener_open("sequencer.example", 0, "--rpc.addr", &port, error, sizeof error), OC_ESYNTAX);
    assert_non_null(strstr(error, "sequencer.example"));
    assert_non_null(strstr(error, "numeric"));
    assert_int_equal(listener_open("127.0.0.1", 70000, "--rpc.addr", &port, error, sizeof error), OC_ERANGE);
    /* TEST-NET-1 belongs to nobody. */
    assert_int_equal(listener_open("192.0.2.1", 0, "--rpc.addr", &port, error, sizeof error), -EADDRNOTAVAIL);
    assert_non_null(strstr(error, "does not have that address"));
}

static void local_addresses(void **state)
{
    static const struct {
        const char *host, *want;
    } rows[] = {
        {"0.0.0.0", "127.0.0.1:8545"}, {"", "127.0.0.1:8545"},          {"10.1.2.3", "10.1.2.3:8545"},
        {"::", "[::1]:8545"},          {"[::]", "[::1]:8545"},          {"[fe80::1]", "[fe80::1]:8545"},
        {"::1", "[::1]:8545"},         {"localhost", "localhost:8545"},
    };
    char text[128];

    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        listener_local_address(rows[i].host, 8545, text, sizeof text);
        assert_string_equal(text, rows[i].want);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_system_picks_a_port),
        cmocka_unit_test(a_port_in_use_is_named),
        cmocka_unit_test(names_are_not_resolved),
        cmocka_unit_test(local_addresses),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
