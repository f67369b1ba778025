/* Hex both ways at every length around the vector widths, and each non-digit refused at each place. */
#include "shared/base/err.h"
#include "shared/payload/json.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define LEN_MAX 200

static bool is_hex_digit(int ch)
{
    return (ch >= '0' && ch <= '9') || (ch >= 'a' && ch <= 'f') || (ch >= 'A' && ch <= 'F');
}

static void test_round_trip_of_every_length(void **state)
{
    (void)state;
    for (size_t len = 0; len <= LEN_MAX; len++) {
        uint8_t *src = malloc(len + 1), *back = malloc(len + 1);
        char *hex = malloc(2 * len + 1);
        char want[3];
        for (size_t i = 0; i < len; i++)
            src[i] = (uint8_t)(i * 37 + len);
        hex[2 * len] = '!';
        back[len] = 0xee;
        hex_encode(src, len, hex);
        assert_int_equal(hex[2 * len], '!');
        for (size_t i = 0; i < len; i++) {
            snprintf(want, sizeof want, "%02x", src[i]);
            assert_memory_equal(hex + 2 * i, want, 2);
        }
        assert_int_equal(hex_decode(hex, 2 * len, back), 0);
        assert_memory_equal(back, src, len);
        assert_int_equal(back[len], 0xee);
        free(src);
        free(back);
        free(hex);
    }
}

static void test_every_byte_value_and_case(void **state)
{
    char hex[1024], upper[1024];
    uint8_t out[512];
    (void)state;
    for (size_t i = 0; i < 256; i++) {
        char digits[3];
        snprintf(digits, sizeof digits, "%02zx", i);
        memcpy(hex + 2 * i, digits, 2);
        snprintf(digits, sizeof digits, "%02zX", i);
        memcpy(upper + 2 * i, digits, 2);
    }
    assert_int_equal(hex_decode(hex, 512, out), 0);
    assert_int_equal(hex_decode(upper, 512, out + 256), 0);
    for (unsigned i = 0; i < 256; i++) {
        assert_int_equal(out[i], i);
        assert_int_equal(out[256 + i], i);
    }
}

static void test_every_other_character_is_refused_everywhere(void **state)
{
    uint8_t out[80];
    (void)state;
    for (size_t digits = 2; digits <= 132; digits += 26) {
        char *hex = malloc(digits);
        for (size_t at = 0; at < digits; at++) {
            for (int ch = 0; ch < 256; ch++) {
                memset(hex, '5', digits);
                hex[at] = (char)ch;
                assert_int_equal(hex_decode(hex, digits, out), is_hex_digit(ch) ? 0 : OC_ESYNTAX);
            }
        }
        free(hex);
    }
}

static void test_odd_length_is_refused(void **state)
{
    uint8_t out[2];
    (void)state;
    assert_int_equal(hex_decode("abc", 3, out), OC_ESYNTAX);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_round_trip_of_every_length),
        cmocka_unit_test(test_every_byte_value_and_case),
        cmocka_unit_test(test_every_other_character_is_refused_everywhere),
        cmocka_unit_test(test_odd_length_is_refused),
    };
    return cmocka_run_group_tests_name("hex", tests, NULL, NULL);
}
