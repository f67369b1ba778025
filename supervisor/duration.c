/* Numbers, durations and booleans in Go's spelling. */
#include "supervisor/duration.h"

#include "shared/base/err.h"

#include <stddef.h>
#include <string.h>

static const struct {
    const char *name;
    uint64_t ns;
} units[] = {
    {"ns", 1},       {"us", 1000},         {"\xc2\xb5s", 1000},   {"\xce\xbcs", 1000},
    {"ms", 1000000}, {"s", 1000000000ull}, {"m", 60000000000ull}, {"h", 3600000000000ull},
};

/* The unit at `text`: its length in bytes and its size in ns, or 0. */
static size_t unit_find(const char *text, uint64_t *ret_ns)
{
    size_t len = 0;

    while (text[len] != '\0' && text[len] != '.' && (text[len] < '0' || text[len] > '9'))
        len++;
    for (size_t i = 0; i < sizeof units / sizeof units[0]; i++) {
        if (strlen(units[i].name) == len && memcmp(units[i].name, text, len) == 0) {
            *ret_ns = units[i].ns;
            return len;
        }
    }
    return 0;
}

/* One "1.5h" of a duration. Advances *text. */
static int duration_parse_part(const char **text, uint64_t *ret_ns)
{
    const char *p = *text;
    uint64_t whole = 0, fraction = 0, scale = 1, unit, ns;
    bool digits = false;
    size_t len;

    for (; *p >= '0' && *p <= '9'; p++) {
        digits = true;
        if (__builtin_mul_overflow(whole, 10, &whole) || __builtin_add_overflow(whole, (uint64_t)(*p - '0'), &whole))
            return OC_ERANGE;
    }
    if (*p == '.') {
        for (p++; *p >= '0' && *p <= '9'; p++) {
            digits = true;
            /* 15 digits resolve a nanosecond of an hour; more cannot matter. */
            if (scale < 1000000000000000ull) {
                fraction = fraction * 10 + (uint64_t)(*p - '0');
                scale *= 10;
            }
        }
    }
    if (!digits)
        return OC_ESYNTAX;
    len = unit_find(p, &unit);
    if (len == 0)
        return OC_ESYNTAX;
    if (__builtin_mul_overflow(whole, unit, &ns))
        return OC_ERANGE;
    /* Less than a unit, which may still be too much. */
    if (__builtin_add_overflow(ns, (uint64_t)((double)fraction * ((double)unit / (double)scale) + 1e-6), &ns))
        return OC_ERANGE;
    *text = p + len;
    *ret_ns = ns;
    return 0;
}

int duration_parse(const char *text, uint64_t *ret_ns)
{
    uint64_t total = 0, part;

    if (*text == '+')
        text++;
    if (strcmp(text, "0") == 0) {
        *ret_ns = 0;
        return 0;
    }
    if (*text == '\0')
        return OC_ESYNTAX;
    while (*text != '\0') {
        int rc = duration_parse_part(&text, &part);

        if (rc != 0)
            return rc;
        if (__builtin_add_overflow(total, part, &total))
            return OC_ERANGE;
    }
    if (total > (uint64_t)INT64_MAX)
        return OC_ERANGE;
    *ret_ns = total;
    return 0;
}

static int digit_value(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    if (c >= 'a' && c <= 'f')
        return c - 'a' + 10;
    if (c >= 'A' && c <= 'F')
        return c - 'A' + 10;
    return 99;
}

int number_parse_u64(const char *text, uint64_t *ret_value)
{
    uint64_t value = 0;
    int base = 10;
    bool digits = false, after_underscore = false, prefixed = false;

    if (text[0] == '0' && text[1] != '\0') {
        char kind = (char)(text[1] | 0x20);

        if (kind == 'x' || kind == 'b' || kind == 'o') {
            base = kind == 'x' ? 16 : kind == 'b' ? 2 : 8;
            text += 2;
        } else {
            base = 8;
            text += 1;
        }
        prefixed = true;
    }
    for (; *text != '\0'; text++) {
        int digit;

        if (*text == '_') {
            /* Only between digits, or between the base prefix and a digit. */
            if (after_underscore || (!digits && !prefixed))
                return OC_ESYNTAX;
            after_underscore = true;
            continue;
        }
        digit = digit_value(*text);
        if (digit >= base)
            return OC_ESYNTAX;
        digits = true;
        after_underscore = false;
        if (__builtin_mul_overflow(value, (uint64_t)base, &value) ||
            __builtin_add_overflow(value, (uint64_t)digit, &value))
            return OC_ERANGE;
    }
    if (!digits || after_underscore)
        return OC_ESYNTAX;
    *ret_value = value;
    return 0;
}

int number_parse_i64(const char *text, int64_t *ret_value)
{
    bool negative = *text == '-';
    uint64_t magnitude;
    int rc;

    if (*text == '-' || *text == '+')
        text++;
    rc = number_parse_u64(text, &magnitude);
    if (rc != 0)
        return rc;
    if (magnitude > (uint64_t)INT64_MAX + (negative ? 1u : 0u))
        return OC_ERANGE;
    *ret_value = negative ? (int64_t)(0u - magnitude) : (int64_t)magnitude;
    return 0;
}

int bool_parse(const char *text, bool *ret_value)
{
    static const char *const yes[] = {"1", "t", "T", "TRUE", "true", "True"};
    static const char *const no[] = {"0", "f", "F", "FALSE", "false", "False"};

    for (size_t i = 0; i < sizeof yes / sizeof yes[0]; i++) {
        if (strcmp(text, yes[i]) == 0 || strcmp(text, no[i]) == 0) {
            *ret_value = strcmp(text, yes[i]) == 0;
            return 0;
        }
    }
    return OC_ESYNTAX;
}
