/* Single hex values of the JSON form, and the texts of what is wrong with them. Private to
 * shared/payload. */
#ifndef OC_PAYLOAD_JSON_VALUE_H
#define OC_PAYLOAD_JSON_VALUE_H

#include "shared/payload/json_fields.h"
#include "shared/payload/record_text.h"

/* Where an error text goes, and what it may name. */
struct value_error {
    const struct text_cursor *cursor; /* for the position of a syntax error */
    const char *start;
    char *text;
    size_t text_size;
};

/* All write "invalid argument 0: <path> <what>" and return OC_ESYNTAX, the range ones OC_ERANGE. */
int value_fail(struct value_error *e, const char *path, const char *what);
int value_fail_range(struct value_error *e, const char *path, const char *what);
int value_fail_number(struct value_error *e, const char *path, const char *what_with_llu, unsigned long long n);
int value_fail_syntax(struct value_error *e);
/* Says what is wrong with transaction `index`. */
int value_fail_transaction(struct value_error *e, size_t index, const struct text_span *tx);

/* 0 if the string starts with 0x and has an even number of digits. */
int value_check_hex_prefix(const struct text_span *value);

/* Decodes bytes or a quantity into spec->bytes bytes of dst; of extra data it only checks prefix
 * and length (dst NULL). */
int value_decode(struct value_error *e, const char *path, const struct field_spec *spec, const struct text_span *value,
                 uint8_t *dst);

#endif
