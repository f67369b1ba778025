/* Small valid payload records and proposals for tests. */
#ifndef OC_TESTS_MAKE_RECORD_H
#define OC_TESTS_MAKE_RECORD_H

#include "consensus/proposal.h"

#include <stddef.h>
#include <stdint.h>

/* Bytes of a record with one transaction of tx_bytes. */
size_t make_record_len(size_t tx_bytes);
void make_record(uint8_t *dst, uint64_t number, const uint8_t hash[HASH_SIZE], const uint8_t parent[HASH_SIZE],
                 size_t tx_bytes);
/* A block id whose hash is made from two numbers. */
struct block_id make_block(uint64_t number, uint64_t fork);
/* A sealed entry. expected NULL: no head yet. For kind ADOPT without a record use make_adopt. */
struct entry *make_proposal(enum proposal_kind kind, const struct block_id *expected, struct block_id block,
                            const uint8_t parent[HASH_SIZE], size_t tx_bytes);
struct entry *make_adopt(const struct block_id *expected, struct block_id block);

#endif
