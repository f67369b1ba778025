/* The chain of one node: a contiguous run of blocks linked by parent hash, the newest 4096 at most,
 * with their bodies on disk. Blocks whose parent is not known yet wait in a bounded queue.
 */
#ifndef OC_SIM_CHAIN_H
#define OC_SIM_CHAIN_H

#include "tests/sim/block.h"

#include <stdbool.h>

#define CHAIN_BLOCKS_MAX 4096
#define CHAIN_BODY_BYTES_MAX ((uint64_t)256 << 20)
#define CHAIN_QUEUE_MAX 64
#define CHAIN_QUEUE_BYTES_MAX ((uint64_t)64 << 20)

struct chain;

enum chain_result {
    CHAIN_ADOPTED,  /* it is the head now */
    CHAIN_KNOWN,    /* it was there already */
    CHAIN_QUEUED,   /* its parent is missing */
    CHAIN_CONFLICT, /* another block has its place; nothing changed */
};

/* Called after a block became the head, also for queued ones that follow. */
typedef void (*chain_adopted_fn)(void *ctx, const struct block_ref *block, const char *via);

/* Opens the chain kept in dir; an empty one gets `genesis` as block 0. Returns 0 or a negative code. */
int chain_open(const char *dir, const struct block *genesis, chain_adopted_fn adopted, void *ctx, struct chain **ret);
void chain_close(struct chain *c);

const struct block_ref *chain_head(const struct chain *c);
const struct block_ref *chain_oldest(const struct chain *c);
/* NULL when not kept. */
const struct block_ref *chain_by_number(const struct chain *c, uint64_t number);
const struct block_ref *chain_by_hash(const struct chain *c, const uint8_t hash[32]);
/* A malloc'd payload record, or NULL. */
uint8_t *chain_read_record(struct chain *c, uint64_t number, size_t *ret_len);

/* Offers a checked block (copied). `via` says where it came from and must be a literal. Returns an
 * enum chain_result or a negative code when the disk failed. */
int chain_add(struct chain *c, const struct block_ref *ref, const uint8_t *record, size_t len, const char *via);

/* Drops the blocks above `number` (which must be kept). Returns 0 or a negative code. */
int chain_rewind(struct chain *c, uint64_t number);

/* Starts over from a block far ahead, as an execution client's snap sync does. */
int chain_restart_from(struct chain *c, const struct block_ref *ref, const uint8_t *record, size_t len);

/* The number of the lowest queued block, 0 when none waits. */
uint64_t chain_queue_lowest(const struct chain *c);

#endif
