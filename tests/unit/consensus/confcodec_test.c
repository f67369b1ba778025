/* Configurations: the library's bytes, hostile bytes. */
#include "consensus/confcodec.h"
#include "shared/base/err.h"

#include <raft.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static struct membership three(void)
{
    struct membership m = {.count = 3};
    for (unsigned i = 0; i < 3; i++) {
        m.members[i].id = 1000 + i;
        m.members[i].role = (enum member_role)i;
        snprintf(m.members[i].address, sizeof m.members[i].address, "node-%u@host:%u", i, 50050 + i);
    }
    return m;
}

static void agrees_with_the_library(void **state)
{
    (void)state;
    struct membership m = three(), back;
    struct raft_configuration c;
    struct raft_buffer buf;
    uint8_t ours[1024];
    raft_configuration_init(&c);
    for (unsigned i = 0; i < m.count; i++)
        assert_int_equal(raft_configuration_add(&c, m.members[i].id, m.members[i].address, (int)m.members[i].role), 0);
    assert_int_equal(raft_configuration_encode(&c, &buf), 0);
    raft_configuration_close(&c);
    assert_int_equal(confcodec_len(&m), buf.len);
    confcodec_encode(&m, ours);
    assert_memory_equal(ours, buf.base, buf.len);
    assert_int_equal(confcodec_decode(buf.base, buf.len, &back), 0);
    assert_memory_equal(&back, &m, sizeof m);
    raft_free(buf.base);
}

/* In a buffer of exactly its size, so that a read beyond it is seen. */
static int decode_exact(const uint8_t *data, size_t len)
{
    struct membership m;
    uint8_t *copy = malloc(len > 0 ? len : 1);
    memcpy(copy, data, len);
    int rc = confcodec_decode(copy, len, &m);
    free(copy);
    return rc;
}

static void refuses_hostile_bytes(void **state)
{
    (void)state;
    struct membership m = three();
    uint8_t data[1024], bad[1024];
    size_t len = confcodec_len(&m);
    confcodec_encode(&m, data);
    for (size_t cut = 0; cut < len; cut++)
        assert_int_equal(decode_exact(data, cut), OC_EPROTO);
    memset(data + len, 0, 8);
    assert_int_equal(decode_exact(data, len + 8), OC_EPROTO);
    const uint64_t counts[] = {0, 2, 4, 17, 1 << 20, UINT64_C(1) << 40, UINT64_MAX};
    for (size_t i = 0; i < sizeof counts / sizeof counts[0]; i++) {
        memcpy(bad, data, len);
        memcpy(bad + 1, &counts[i], 8);
        assert_int_equal(decode_exact(bad, len), OC_EPROTO);
    }
    memcpy(bad, data, len);
    bad[0] = 2;
    assert_int_equal(decode_exact(bad, len), OC_EPROTO);
    memcpy(bad, data, len);
    memset(bad + 9, 0, 8); /* id 0 */
    assert_int_equal(decode_exact(bad, len), OC_EPROTO);
    memcpy(bad, data, len);
    bad[17] = 0; /* an empty address */
    assert_int_equal(decode_exact(bad, len), OC_EPROTO);
    memcpy(bad, data, len);
    bad[17] = '\n';
    assert_int_equal(decode_exact(bad, len), OC_EPROTO);
    struct membership twice = three();
    twice.members[1].id = twice.members[0].id;
    confcodec_encode(&twice, bad);
    assert_int_equal(decode_exact(bad, confcodec_len(&twice)), OC_EPROTO);
    twice = three();
    memcpy(twice.members[1].address, twice.members[0].address, MEMBER_ADDRESS_SIZE);
    confcodec_encode(&twice, bad);
    assert_int_equal(decode_exact(bad, confcodec_len(&twice)), OC_EPROTO);
    memset(bad, 'a', sizeof bad); /* an address without an end */
    memcpy(bad, data, 17);
    assert_int_equal(decode_exact(bad, 1016), OC_EPROTO);
}

/* Random changes of good bytes: no reads outside, and what is accepted is valid. */
static void survives_random_bytes(void **state)
{
    (void)state;
    struct membership m = three(), got;
    uint8_t data[1024], bad[1024];
    size_t len = confcodec_len(&m);
    uint64_t random = 1;
    unsigned refused = 0;
    confcodec_encode(&m, data);
    for (unsigned round = 0; round < 20000; round++) {
        memcpy(bad, data, len);
        for (unsigned k = 0; k < 1 + round % 4; k++) {
            random = random * 6364136223846793005u + 1442695040888963407u;
            bad[(random >> 33) % len] = (uint8_t)(random >> 56);
        }
        refused += decode_exact(bad, len) != 0;
        if (confcodec_decode(bad, len, &got) != 0)
            continue;
        assert_in_range(got.count, 1, CLUSTER_SERVERS_MAX);
        for (unsigned i = 0; i < got.count; i++) {
            assert_true(got.members[i].id != 0 && got.members[i].address[0] != 0);
            assert_in_range(got.members[i].role, 0, 2);
        }
    }
    assert_true(refused > 1000);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(agrees_with_the_library),
        cmocka_unit_test(refuses_hostile_bytes),
        cmocka_unit_test(survives_random_bytes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
