/* Finds raw members in JSON text without building a tree: payloads are megabytes of hex. */
#ifndef OC_SIM_JSONSCAN_H
#define OC_SIM_JSONSCAN_H

#include <stdbool.h>
#include <stddef.h>

struct json_span {
    const char *at; /* NULL: absent */
    size_t len;
};

/* The raw value of a member of the object that the text begins with. Returns 0 (absent: at is NULL)
 * or OC_ESYNTAX. Escapes in keys are not decoded. */
int json_member(struct json_span object, const char *name, struct json_span *ret);

/* The i-th raw value of an array. Returns 0 (absent: at is NULL) or OC_ESYNTAX. */
int json_item(struct json_span array, size_t i, struct json_span *ret);

/* The span is this text, or this text in quotes. */
bool json_span_is(struct json_span span, const char *text);
bool json_span_is_string(struct json_span span, const char *text);

#endif
