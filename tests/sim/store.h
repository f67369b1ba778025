/* The blocks on disk: append-only segment files of checksummed records. Nothing is synced (a killed
 * process loses nothing, a power cut may), like an execution client between its flushes.
 */
#ifndef OC_SIM_STORE_H
#define OC_SIM_STORE_H

#include <stddef.h>
#include <stdint.h>

struct store;

enum store_kind { STORE_BLOCK = 1, STORE_REWIND = 2 /* body: u64, the new head's number */ };

struct store_place {
    uint64_t segment;
    uint64_t offset; /* of the body */
    uint32_t len;
};

/* Called for every record in order while opening; non-zero stops with that code. */
typedef int (*store_visit_fn)(void *ctx, enum store_kind kind, const uint8_t *body, struct store_place place);

/* Opens or creates the files in dir, dropping a torn tail and whatever follows damage. Returns 0 or a
 * negative code. */
int store_open(const char *dir, store_visit_fn visit, void *ctx, struct store **ret);
void store_close(struct store *s);

/* Returns 0 or -errno. */
int store_append(struct store *s, enum store_kind kind, const void *body, uint32_t len, struct store_place *ret_place);

/* A malloc'd copy of a body, checked; NULL when it cannot be read. */
uint8_t *store_read(struct store *s, struct store_place place);

/* Deletes the segments before this one. */
void store_drop_before(struct store *s, uint64_t segment);

#endif
