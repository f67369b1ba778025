/* Single hex values: fixed-length bytes and quantities, with the reason when one is refused. */
#include "shared/payload/json_value.h"

#include "shared/base/err.h"
#include "shared/payload/json.h"
#include "shared/payload/record_layout.h"

#include <stdio.h>

static const char *hex_problem(const struct text_span *value)
{
    if (value->len < 2 || value->p[0] != '0' || (value->p[1] != 'x' && value->p[1] != 'X'))
        return "is a hex string without 0x prefix";
    return NULL;
}

int value_fail(struct value_error *e, const char *path, const char *what)
{
    if (e->text_size > 0)
        snprintf(e->text, e->text_size, "invalid argument 0: %s %s", path, what);
    return OC_ESYNTAX;
}

int value_fail_range(struct value_error *e, const char *path, const char *what)
{
    (void)value_fail(e, path, what);
    return OC_ERANGE;
}

int value_fail_number(struct value_error *e, const char *path, const char *what_with_llu, unsigned long long n)
{
    char what[128];
    const char *spot = strstr(what_with_llu, "%llu");
    if (spot == NULL)
        return value_fail_range(e, path, what_with_llu);
    snprintf(what, sizeof what, "%.*s%llu%s", (int)(spot - what_with_llu), what_with_llu, n, spot + 4);
    return value_fail_range(e, path, what);
}

int value_fail_syntax(struct value_error *e)
{
    if (e->text_size > 0)
        snprintf(e->text, e->text_size, "invalid argument 0: malformed JSON at byte %zu",
                 (size_t)(e->cursor->p - e->start));
    return OC_ESYNTAX;
}

int value_fail_transaction(struct value_error *e, size_t index, const struct text_span *tx)
{
    char path[64];
    const char *what = hex_problem(tx);
    if (what == NULL)
        what = tx->len % 2 != 0 ? "is a hex string of odd length" : "is an invalid hex string";
    snprintf(path, sizeof path, "executionPayload.transactions[%zu]", index);
    return value_fail(e, path, what);
}

int value_check_hex_prefix(const struct text_span *value)
{
    return hex_problem(value) != NULL || value->len % 2 != 0 ? OC_ESYNTAX : 0;
}

static int decode_bytes(struct value_error *e, const char *path, const struct field_spec *spec, const char *digits,
                        size_t count, uint8_t *dst)
{
    if (count % 2 != 0)
        return value_fail(e, path, "is a hex string of odd length");
    if (count != 2 * (size_t)spec->bytes) {
        char what[96];
        snprintf(what, sizeof what, "is a hex string of length %zu, want %u", count, 2u * spec->bytes);
        return value_fail(e, path, what);
    }
    return hex_decode(digits, count, dst) == 0 ? 0 : value_fail(e, path, "is an invalid hex string");
}

static int decode_quantity(struct value_error *e, const char *path, const struct field_spec *spec, const char *digits,
                           size_t count, uint8_t *dst)
{
    char padded[64];
    uint8_t big_endian[32];
    size_t room = 2 * (size_t)spec->bytes;
    if (count == 0)
        return value_fail(e, path, "is an empty hex number (\"0x\")");
    if (count > 1 && digits[0] == '0')
        return value_fail(e, path, "is a hex number with leading zero digits");
    if (count > room)
        return value_fail_number(e, path, "is a hex number of more than %llu bits", 8ull * spec->bytes);
    memset(padded, '0', room - count);
    memcpy(padded + room - count, digits, count);
    if (hex_decode(padded, room, big_endian) != 0)
        return value_fail(e, path, "is an invalid hex number");
    for (size_t i = 0; i < spec->bytes; i++)
        dst[i] = big_endian[spec->bytes - 1 - i];
    return 0;
}

int value_decode(struct value_error *e, const char *path, const struct field_spec *spec, const struct text_span *value,
                 uint8_t *dst)
{
    const char *problem = hex_problem(value);
    if (problem != NULL)
        return value_fail(e, path, problem);
    const char *digits = value->p + 2;
    size_t count = value->len - 2;
    if (spec->kind == FIELD_QUANTITY)
        return decode_quantity(e, path, spec, digits, count, dst);
    if (spec->kind == FIELD_BYTES)
        return decode_bytes(e, path, spec, digits, count, dst);
    if (count % 2 != 0)
        return value_fail(e, path, "is a hex string of odd length");
    if (count > (size_t)2 * SSZ_EXTRA_DATA_MAX)
        return value_fail_number(e, path, "is too long, expected at most %llu bytes", SSZ_EXTRA_DATA_MAX);
    return 0;
}
