/* The replicated state: the newest contiguous payloads, linked by parent hash, ending in the unsafe
 * head. Applying a proposal is a compare-and-set on the head and depends on nothing else, so that
 * all members decide alike; the limits only say how much of the past is kept here. Holds references
 * to entries, no copies. Also the tail: the same head and chain as they will be once the rest of the
 * log is applied, against which new payloads are judged.
 */
#ifndef OC_CONSENSUS_WINDOW_H
#define OC_CONSENSUS_WINDOW_H

#include "consensus/entry.h"
#include "consensus/proposal.h"
#include "consensus/snapshot.h"
#include "shared/config/worker_config.h"
#include "shared/proto/bodies.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define WINDOW_PAYLOADS_DEFAULT 64
#define WINDOW_BYTES_DEFAULT ((size_t)64 << 20)
#define WINDOW_SNAPSHOT_VERSION 2

struct window;

struct window_item {
    struct block_id block;
    uint8_t parent_hash[HASH_SIZE]; /* all zero for an adopted head without a payload */
    uint64_t index;                 /* of its log entry */
    const uint8_t *record;          /* payload record, or NULL (adopted without one) */
    size_t record_len;
};

enum window_result {
    WINDOW_ACCEPTED, /* the head is now this block */
    WINDOW_REFUSED,  /* the head is not the expected one: nothing changed */
    WINDOW_INVALID,  /* not a proposal this version understands: nothing changed */
};

/* payloads: 1 to WINDOW_PAYLOADS_MAX; the newest payload is kept even if larger than bytes.
 * NULL: out of memory. */
struct window *window_new(unsigned payloads, size_t bytes);
void window_free(struct window *w); /* accepts NULL */

/* Applies one COMMAND entry; takes its own reference when it keeps the entry. */
enum window_result window_apply(struct window *w, uint64_t index, struct entry *e);

/* The head; false when there is none yet. */
bool window_head(const struct window *w, struct block_id *ret_head);
unsigned window_count(const struct window *w);
size_t window_bytes(const struct window *w); /* of the records kept */
/* i-th oldest; NULL past the end. Borrowed until the next apply or restore. */
const struct window_item *window_at(const struct window *w, unsigned i);
const struct window_item *window_find_number(const struct window *w, uint64_t number);
const struct window_item *window_find_hash(const struct window *w, const uint8_t hash[HASH_SIZE]);

/* Adds the whole state to an empty snapshot: a versioned, checksummed head, then the entries themselves
 * by reference. Returns 0, OC_ERANGE or -ENOMEM. */
int window_save(const struct window *w, struct snapshot *s);
/* Replaces the state by a snapshot's, by reference to its parts. On error nothing changes. Returns 0,
 * OC_ECORRUPT, OC_EVERSION or -ENOMEM. */
int window_restore(struct window *w, const struct snapshot *s);

/* ---- the tail: the chain as it will be when all of the log is applied ---- */

struct tail_block {
    struct block_id block;
    uint8_t parent_hash[HASH_SIZE];
    bool parent_known; /* false for an adopted head without a payload */
};

#define TAIL_BLOCKS_MAX 256

struct tail {
    bool head_valid;
    unsigned count; /* newest blocks of the chain, oldest first; the last one is the head */
    struct tail_block blocks[TAIL_BLOCKS_MAX];
};

/* Starts from the applied state. Cheap: copies ids only. */
void tail_init(struct tail *t, const struct window *w);
/* Then each entry that is in the log but not applied, in order. Same rule as window_apply. */
enum window_result tail_apply(struct tail *t, struct entry *e);
/* The head; false when there is none. */
bool tail_head(const struct tail *t, struct block_id *ret_head);
const struct tail_block *tail_find_number(const struct tail *t, uint64_t number);

#endif
