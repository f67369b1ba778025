/* Reading answers: members of JSON objects, with something harmless for what is missing. */
#ifndef OC_RPCD_CTL_FIELD_H
#define OC_RPCD_CTL_FIELD_H

#include <cjson/cJSON.h>
#include <stdbool.h>
#include <stdint.h>

/* NULL when there is none; object may be NULL. */
const cJSON *field_get(const cJSON *object, const char *key);
/* "" when it is no string. What could command a terminal, or look like another line, is replaced in the object itself:
 * names and messages come from other machines. */
const char *field_text(const cJSON *object, const char *key);
/* The same with its line breaks. */
const char *field_lines(const cJSON *object, const char *key);
/* As it came: not for a terminal. */
const char *field_raw(const cJSON *object, const char *key);
/* 0 when it is no number, or below 0. */
uint64_t field_number(const cJSON *object, const char *key);
/* Whether it is the value true. */
bool field_is(const cJSON *object, const char *key);

#endif
