/* The log in memory. */
#include "consensus/logcache.h"

#include <errno.h>
#include <stdlib.h>

void logcache_init(struct logcache *c, uint64_t first)
{
    *c = (struct logcache){.first = first, .last = first - 1};
}

void logcache_close(struct logcache *c)
{
    logcache_truncate(c, c->first);
    free(c->slots);
    c->slots = NULL;
    c->size = 0;
}

static int grow(struct logcache *c)
{
    size_t size = c->size > 0 ? c->size * 2 : 64;
    struct entry **slots = calloc(size, sizeof(struct entry *));
    if (slots == NULL)
        return -ENOMEM;
    for (uint64_t i = c->first; i <= c->last; i++)
        slots[i & (size - 1)] = c->slots[i & (c->size - 1)];
    free(c->slots);
    c->slots = slots;
    c->size = size;
    return 0;
}

int logcache_append(struct logcache *c, struct entry *e)
{
    if (c->last + 1 - c->first == c->size) {
        int rc = grow(c);
        if (rc != 0)
            return rc;
    }
    c->last++;
    c->slots[c->last & (c->size - 1)] = e;
    return 0;
}

struct entry *logcache_get(const struct logcache *c, uint64_t index)
{
    return index < c->first || index > c->last ? NULL : c->slots[index & (c->size - 1)];
}

void logcache_truncate(struct logcache *c, uint64_t from_index)
{
    for (; c->last >= from_index && c->last >= c->first; c->last--)
        entry_unref(c->slots[c->last & (c->size - 1)]);
}

void logcache_drop_below(struct logcache *c, uint64_t first)
{
    for (; c->first < first && c->first <= c->last; c->first++)
        entry_unref(c->slots[c->first & (c->size - 1)]);
    if (c->first < first) {
        c->first = first;
        c->last = first - 1;
    }
}

void logcache_reset(struct logcache *c, uint64_t first)
{
    logcache_truncate(c, c->first);
    c->first = first;
    c->last = first - 1;
}
