/* Finds the pieces of a JSON text without building a tree: values are checked and skipped, and what
 * matters is returned as spans of the text.
 */
#ifndef OC_RPCD_JSON_SCAN_H
#define OC_RPCD_JSON_SCAN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Deeper nesting is refused. */
#define JSON_DEPTH_MAX 128

struct json_span {
    const char *at;
    size_t len; /* 0: there is none */
};

void json_skip_space(const char **at, const char *end);
/* Checks one value and moves past it (no space before it). Returns 0 or OC_ESYNTAX. */
int json_skip_value(const char **at, const char *end, struct json_span *ret_span);

/* Walks the members of an object or the elements of an array. `at` starts at the bracket.
 *   while ((rc = json_next(&it)) > 0) use it.key, it.value; rc < 0: malformed; 0: after the bracket. */
struct json_walk {
    const char *at, *end;
    bool is_object, has_started;
    /* Set to leave a value to the caller: json_next then returns with value.at at its first byte
     * and value.len 0, and the caller moves `at` past it. */
    bool keys_only;
    struct json_span key; /* without the quotes, escapes as they are */
    struct json_span value;
};
/* Returns 0, or OC_ESYNTAX when there is no such bracket. */
int json_walk_start(struct json_walk *it, const char *at, const char *end);
int json_next(struct json_walk *it);

/* Decodes a string value (with its quotes) into buf, NUL-terminated. Returns its length, OC_ERANGE
 * when it does not fit, OC_ESYNTAX when it is no string or holds \u0000. */
int json_string_decode(struct json_span value, char *buf, size_t size);
/* An unsigned JSON integer. Returns 0 or OC_ERANGE. */
int json_u64_decode(struct json_span value, uint64_t *ret);
/* Writes a text as a JSON string with quotes; what is not UTF-8 becomes U+FFFD. Returns its length (never more
 * than size; the text is cut if it must be). */
size_t json_string_encode(const char *text, char *buf, size_t size);

#endif
