/* Blocks: built as payload records of a real shape, with a hash that covers every byte. */
#ifndef OC_SIM_BLOCK_H
#define OC_SIM_BLOCK_H

#include "tests/sim/config.h"

#include <stddef.h>
#include <stdint.h>

/* What the chain knows of a block without its body. */
struct block_ref {
    uint64_t number;
    uint64_t slot_ms;   /* when it is due, wall clock; travels in the last 8 bytes of prevRandao */
    uint64_t timestamp; /* slot_ms in whole seconds: several blocks share one when they are faster */
    uint8_t hash[32];
    uint8_t parent[32];
};

struct block {
    struct block_ref ref;
    uint8_t *record; /* payload record, malloc'd */
    size_t len;
};

/* Builds the block after `parent` (NULL: block 0) with that slot, and about payload_bytes of random,
 * incompressible transactions. *seed is advanced; block 0 is the same for the same slot and fork.
 * Returns 0 or a negative code; the caller frees ret->record. */
int block_build(const struct block_ref *parent, uint64_t slot_ms, uint32_t payload_bytes, enum sim_fork fork,
                uint64_t *seed, struct block *ret);

/* Reads the reference of a record that was checked before. Returns 0 or a negative code. */
int block_ref_read(const uint8_t *record, size_t len, struct block_ref *ret);

/* Checks a record from elsewhere: its structure, and that its hash is its content's. Returns 0,
 * OC_ECONFLICT when only the hash is wrong (ret is filled), or another negative code; actual gets
 * the hash that its content has. */
int block_check(const uint8_t *record, size_t len, struct block_ref *ret, uint8_t actual[32]);

/* "0x" and 64 digits, NUL-terminated. */
#define HASH_TEXT_BYTES 67
void hash_to_text(const uint8_t hash[32], char ret[HASH_TEXT_BYTES]);
/* Exactly "0x" and 64 digits. Returns 0 or OC_ESYNTAX. */
int hash_from_text(const char *text, size_t len, uint8_t ret[32]);

#endif
