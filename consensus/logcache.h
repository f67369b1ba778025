/* The log in memory: references to the entries [first, last], contiguous. Not thread-safe. */
#ifndef OC_CONSENSUS_LOGCACHE_H
#define OC_CONSENSUS_LOGCACHE_H

#include "consensus/entry.h"

#include <stddef.h>
#include <stdint.h>

struct logcache {
    struct entry **slots; /* a circular buffer; its size is a power of two */
    size_t size;
    uint64_t first, last; /* empty: last == first - 1 */
};

/* An empty cache that begins at `first`. */
void logcache_init(struct logcache *c, uint64_t first);
void logcache_close(struct logcache *c);
/* Takes the reference of e, the entry at last+1. Returns 0 or -ENOMEM (nothing taken). */
int logcache_append(struct logcache *c, struct entry *e);
/* Borrowed; NULL outside of [first, last]. */
struct entry *logcache_get(const struct logcache *c, uint64_t index);
/* Drops from_index and all behind it. */
void logcache_truncate(struct logcache *c, uint64_t from_index);
/* Drops everything below `first`. */
void logcache_drop_below(struct logcache *c, uint64_t first);
/* Drops everything and begins anew. */
void logcache_reset(struct logcache *c, uint64_t first);

#endif
