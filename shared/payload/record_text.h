/* A strict, allocation-free JSON scanner: steps over values of a borrowed text and checks them on
 * the way (grammar, depth, UTF-8). Private to shared/payload. */
#ifndef OC_PAYLOAD_RECORD_TEXT_H
#define OC_PAYLOAD_RECORD_TEXT_H

#include <stdbool.h>
#include <stddef.h>

/* Objects and arrays inside one another; deeper is refused. */
#define TEXT_DEPTH_MAX 64

struct text_cursor {
    const char *p;
    const char *end;
};

struct text_span {
    const char *p; /* NULL: absent */
    size_t len;
};

void text_skip_space(struct text_cursor *c);

/* Consumes `ch` after white space; false (nothing consumed but white space) if another stands there. */
bool text_take(struct text_cursor *c, char ch);

/* A whole string; ret_span (may be NULL) is what stands between the quotes, escapes as they are. */
bool text_take_string(struct text_cursor *c, struct text_span *ret_span);

/* A string that is expected to hold hex digits: goes to the next quote and looks at nothing in
 * between, so the caller must (an escape is no hex digit). Fast on megabytes. */
bool text_take_hex_string(struct text_cursor *c, struct text_span *ret_span);

/* Any one value, after white space; ret_span (may be NULL) is its text. */
bool text_take_value(struct text_cursor *c, struct text_span *ret_span);

/* Whether the text is nothing, or the members of an object: "key":value,… */
bool text_is_member_list(const char *text, size_t len);

#endif
