/* What the payload tests share: the vectors, and exact-size heap copies so that the sanitizer sees
 * every byte read outside. */
#ifndef TEST_PAYLOAD_SUPPORT_H
#define TEST_PAYLOAD_SUPPORT_H

#include "shared/payload/json.h"
#include "shared/payload/record.h"

#include <stddef.h>
#include <stdint.h>

#define VECTORS_MAX 16

struct vector {
    char name[64];
    unsigned ssz_version; /* of the SSZ text, which loses an empty-trie withdrawalsRoot */
    char *json;           /* the envelope, unformatted */
    uint8_t *envelope;    /* beacon root (zero before Ecotone) and payload */
    size_t envelope_len;
};

/* Reads the vectors; the test fails if that is not possible. Returns how many. */
size_t vectors_load(struct vector vectors[VECTORS_MAX]);
void vectors_free(struct vector *vectors, size_t count);
const struct vector *vectors_find(const struct vector *vectors, size_t count, const char *name);

/* Exact-size copy on the heap (1 byte for len 0). */
void *copy_exact(const void *data, size_t len);

/* A record in an exact-size buffer, or NULL with the code in *ret_rc. */
uint8_t *record_from_json(const char *json, size_t len, size_t *ret_len, int64_t *ret_rc, char text[256]);
uint8_t *record_from_ssz(const uint8_t *envelope, size_t len, size_t *ret_len, int64_t *ret_rc);

#endif
