/* The chain's index and its rules. */
#include "tests/sim/chain.h"

#include "shared/base/err.h"
#include "shared/base/log.h"
#include "tests/sim/store.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

struct entry {
    struct block_ref ref;
    struct store_place place;
};

struct queued {
    struct block block;
    const char *via;
};

struct chain {
    struct store *store;
    struct entry entries[CHAIN_BLOCKS_MAX + 1]; /* by number, oldest first */
    size_t n;
    uint64_t body_bytes;
    struct queued queue[CHAIN_QUEUE_MAX];
    size_t n_queued;
    uint64_t queue_bytes;
    chain_adopted_fn adopted;
    void *ctx;
};

static void cut_to(struct chain *c, size_t n)
{
    while (c->n > n)
        c->body_bytes -= c->entries[--c->n].place.len;
}

static void push(struct chain *c, const struct block_ref *ref, struct store_place place)
{
    c->entries[c->n++] = (struct entry){*ref, place};
    c->body_bytes += place.len;
    size_t drop = 0;
    uint64_t bytes = c->body_bytes;
    while (c->n - drop > CHAIN_BLOCKS_MAX || (bytes > CHAIN_BODY_BYTES_MAX && c->n - drop > 1))
        bytes -= c->entries[drop++].place.len;
    if (drop == 0)
        return;
    c->n -= drop;
    c->body_bytes = bytes;
    memmove(c->entries, c->entries + drop, c->n * sizeof c->entries[0]);
}

static int load_record(void *ctx, enum store_kind kind, const uint8_t *body, struct store_place place)
{
    struct chain *c = ctx;
    uint64_t oldest = c->n ? c->entries[0].ref.number : 0;
    if (kind == STORE_REWIND && place.len == sizeof(uint64_t)) {
        uint64_t number;
        memcpy(&number, body, sizeof number);
        if (number >= oldest && number - oldest < c->n)
            cut_to(c, (size_t)(number - oldest) + 1);
        return 0;
    }
    struct block_ref ref;
    if (kind != STORE_BLOCK || block_ref_read(body, place.len, &ref) != 0)
        return OC_ECORRUPT;
    if (c->n > 0 && memcmp(chain_head(c)->hash, ref.parent, 32) != 0)
        cut_to(c, 0); /* started over from here */
    push(c, &ref, place);
    return 0;
}

static int append_block(struct chain *c, const struct block_ref *ref, const uint8_t *record, size_t len)
{
    struct store_place place;
    int rc = store_append(c->store, STORE_BLOCK, record, (uint32_t)len, &place);
    if (rc != 0)
        return rc;
    push(c, ref, place);
    store_drop_before(c->store, c->entries[0].place.segment);
    return 0;
}

int chain_open(const char *dir, const struct block *genesis, chain_adopted_fn adopted, void *ctx, struct chain **ret)
{
    struct chain *c = calloc(1, sizeof *c);
    if (!c)
        return -ENOMEM;
    c->adopted = adopted;
    c->ctx = ctx;
    int rc = store_open(dir, load_record, c, &c->store);
    if (rc == 0 && c->n == 0)
        rc = append_block(c, &genesis->ref, genesis->record, genesis->len);
    if (rc != 0) {
        chain_close(c);
        return rc;
    }
    *ret = c;
    return 0;
}

void chain_close(struct chain *c)
{
    if (!c)
        return;
    for (size_t i = 0; i < c->n_queued; i++)
        free(c->queue[i].block.record);
    store_close(c->store);
    free(c);
}

const struct block_ref *chain_head(const struct chain *c)
{
    return &c->entries[c->n - 1].ref;
}

const struct block_ref *chain_oldest(const struct chain *c)
{
    return &c->entries[0].ref;
}

static const struct entry *find(const struct chain *c, uint64_t number)
{
    uint64_t oldest = c->entries[0].ref.number;
    return number < oldest || number - oldest >= c->n ? NULL : &c->entries[number - oldest];
}

const struct block_ref *chain_by_number(const struct chain *c, uint64_t number)
{
    const struct entry *e = find(c, number);
    return e ? &e->ref : NULL;
}

const struct block_ref *chain_by_hash(const struct chain *c, const uint8_t hash[32])
{
    for (size_t i = c->n; i-- > 0;)
        if (memcmp(c->entries[i].ref.hash, hash, 32) == 0)
            return &c->entries[i].ref;
    return NULL;
}

uint8_t *chain_read_record(struct chain *c, uint64_t number, size_t *ret_len)
{
    const struct entry *e = find(c, number);
    if (!e)
        return NULL;
    *ret_len = e->place.len;
    return store_read(c->store, e->place);
}

static void unqueue(struct chain *c, size_t i)
{
    c->queue_bytes -= c->queue[i].block.len;
    free(c->queue[i].block.record);
    c->queue[i] = c->queue[--c->n_queued];
}

static int enqueue(struct chain *c, const struct block_ref *ref, const uint8_t *record, size_t len, const char *via)
{
    size_t highest = 0;
    for (size_t i = 0; i < c->n_queued; i++) {
        if (memcmp(c->queue[i].block.ref.hash, ref->hash, 32) == 0)
            return CHAIN_QUEUED;
        if (c->queue[i].block.ref.number > c->queue[highest].block.ref.number)
            highest = i;
    }
    if (c->n_queued == CHAIN_QUEUE_MAX || c->queue_bytes + len > CHAIN_QUEUE_BYTES_MAX) {
        /* The lowest ones fill the gap; sync fetches the others later. */
        if (c->n_queued == 0 || c->queue[highest].block.ref.number <= ref->number)
            return CHAIN_QUEUED;
        unqueue(c, highest);
    }
    uint8_t *copy = malloc(len);
    if (!copy)
        return -ENOMEM;
    memcpy(copy, record, len);
    c->queue[c->n_queued++] = (struct queued){{*ref, copy, len}, via};
    c->queue_bytes += len;
    return CHAIN_QUEUED;
}

static int adopt(struct chain *c, const struct block_ref *ref, const uint8_t *record, size_t len, const char *via)
{
    int rc = append_block(c, ref, record, len);
    if (rc != 0) {
        LOG_ERROR("Cannot store a block", LOG_U("number", ref->number), LOG_E(rc));
        return rc;
    }
    c->adopted(c->ctx, ref, via);
    return CHAIN_ADOPTED;
}

/* Adopts what waited for the head, and forgets what came too late. */
static void drain_queue(struct chain *c)
{
    for (size_t i = 0; i < c->n_queued;) {
        struct queued q = c->queue[i];
        if (q.block.ref.number > chain_head(c)->number + 1) {
            i++;
            continue;
        }
        c->queue_bytes -= q.block.len;
        c->queue[i] = c->queue[--c->n_queued];
        if (memcmp(q.block.ref.parent, chain_head(c)->hash, 32) == 0)
            adopt(c, &q.block.ref, q.block.record, q.block.len, q.via);
        free(q.block.record);
        i = 0;
    }
}

int chain_add(struct chain *c, const struct block_ref *ref, const uint8_t *record, size_t len, const char *via)
{
    const struct block_ref *same = chain_by_number(c, ref->number);
    if (same && memcmp(same->hash, ref->hash, 32) == 0)
        return CHAIN_KNOWN;
    if (ref->number > chain_head(c)->number + 1)
        return enqueue(c, ref, record, len, via);
    if (ref->number <= chain_head(c)->number || memcmp(ref->parent, chain_head(c)->hash, 32) != 0)
        return CHAIN_CONFLICT;
    int rc = adopt(c, ref, record, len, via);
    drain_queue(c);
    return rc;
}

int chain_rewind(struct chain *c, uint64_t number)
{
    const struct block_ref *to = chain_by_number(c, number);
    struct store_place place;
    if (!to)
        return OC_ERANGE;
    int rc = store_append(c->store, STORE_REWIND, &number, sizeof number, &place);
    if (rc == 0)
        cut_to(c, (size_t)(number - c->entries[0].ref.number) + 1);
    return rc;
}

int chain_restart_from(struct chain *c, const struct block_ref *ref, const uint8_t *record, size_t len)
{
    cut_to(c, 0);
    int rc = append_block(c, ref, record, len);
    if (rc != 0) { /* there is always a head */
        LOG_CRIT("Cannot store the first block of the new chain", LOG_E(rc));
        abort();
    }
    c->adopted(c->ctx, ref, "snap");
    drain_queue(c);
    return CHAIN_ADOPTED;
}

uint64_t chain_queue_lowest(const struct chain *c)
{
    uint64_t lowest = 0;
    for (size_t i = 0; i < c->n_queued; i++)
        if (lowest == 0 || c->queue[i].block.ref.number < lowest)
            lowest = c->queue[i].block.ref.number;
    return lowest;
}
