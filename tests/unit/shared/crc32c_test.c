/* CRC-32C against published vectors, and the fast way against the plain one. */
#include "testing.h"

#include "shared/base/crc32c.h"

#include <stdlib.h>
#include <string.h>

static void published_vectors(void **state)
{
    unsigned char zeros[32] = {0}, ones[32], up[32], down[32];
    /* An iSCSI Read (10) command, RFC 3720 B.4. */
    static const unsigned char iscsi[48] = {
        0x01, 0xc0, 0, 0,    0, 0, 0, 0,    0,    0, 0, 0, 0, 0, 0, 0, 0x14, 0, 0, 0, 0, 0, 0x04, 0,
        0,    0,    0, 0x14, 0, 0, 0, 0x18, 0x28, 0, 0, 0, 0, 0, 0, 0, 0x02, 0, 0, 0, 0, 0, 0,    0,
    };

    (void)state;
    memset(ones, 0xff, sizeof ones);
    for (size_t i = 0; i < 32; i++) {
        up[i] = (unsigned char)i;
        down[i] = (unsigned char)(31 - i);
    }
    const struct {
        const void *data;
        size_t len;
        uint32_t crc;
    } cases[] = {
        {"", 0, 0},           {"123456789", 9, 0xe3069283}, {zeros, 32, 0x8a9136aa}, {ones, 32, 0x62a8ab43},
        {up, 32, 0x46dd794e}, {down, 32, 0x113fdb5c},       {iscsi, 48, 0xd9963a56},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        assert_int_equal(crc32c(0, cases[i].data, cases[i].len), cases[i].crc);
        assert_int_equal(crc32c_portable(0, cases[i].data, cases[i].len), cases[i].crc);
    }
}

/* Lengths around every change of method, at every alignment. */
static void fast_equals_portable(void **state)
{
    static const size_t around[] = {0, 8, 16, 256, 768, 776, 1536, 4096, 12288, 12288 + 768, 24576, 40000};
    const size_t size = 48 << 10;
    unsigned char *data = malloc(size);
    uint64_t seed = 1;

    (void)state;
    assert_non_null(data);
    for (size_t i = 0; i < size; i++)
        data[i] = (unsigned char)next_random(&seed);
    for (size_t a = 0; a < sizeof around / sizeof around[0]; a++) {
        for (size_t delta = 0; delta < 10; delta++) {
            for (size_t align = 0; align < 8; align++) {
                size_t len = around[a] + delta;
                uint32_t start = next_random(&seed);
                assert_int_equal(crc32c(start, data + align, len), crc32c_portable(start, data + align, len));
            }
        }
    }
    free(data);
}

static void pieces_equal_the_whole(void **state)
{
    unsigned char data[20000];
    uint64_t seed = 2;

    (void)state;
    for (size_t i = 0; i < sizeof data; i++)
        data[i] = (unsigned char)next_random(&seed);
    for (int round = 0; round < 200; round++) {
        size_t cut = next_random(&seed) % sizeof data;
        assert_int_equal(crc32c(crc32c(0, data, cut), data + cut, sizeof data - cut), crc32c(0, data, sizeof data));
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(published_vectors),
        cmocka_unit_test(fast_equals_portable),
        cmocka_unit_test(pieces_equal_the_whole),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
