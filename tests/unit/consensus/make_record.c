/* Small valid payload records: the oldest SSZ layout with one transaction. */
#include "make_record.h"

#include <assert.h>
#include <endian.h>
#include <stdlib.h>
#include <string.h>

enum { FIXED = 508, OFF_NUMBER = 404, OFF_TIME = 428, OFF_EXTRA = 436, OFF_HASH = 472, OFF_TX = 504, ROOT = 32 };

static void put32(uint8_t *p, uint32_t v)
{
    v = htole32(v);
    memcpy(p, &v, 4);
}

static void put64(uint8_t *p, uint64_t v)
{
    v = htole64(v);
    memcpy(p, &v, 8);
}

size_t make_record_len(size_t tx_bytes)
{
    return PAYLOAD_RECORD_HEADER_BYTES + FIXED + 4 + tx_bytes;
}

void make_record(uint8_t *dst, uint64_t number, const uint8_t hash[HASH_SIZE], const uint8_t parent[HASH_SIZE],
                 size_t tx_bytes)
{
    size_t len = ROOT + FIXED + 4 + tx_bytes;
    uint8_t *envelope = calloc(1, len);
    assert(envelope != NULL);
    uint8_t *ssz = envelope + ROOT;
    memcpy(ssz, parent, HASH_SIZE);
    put64(ssz + OFF_NUMBER, number);
    put64(ssz + OFF_TIME, 1000 + 2 * number);
    put32(ssz + OFF_EXTRA, FIXED);
    memcpy(ssz + OFF_HASH, hash, HASH_SIZE);
    put32(ssz + OFF_TX, FIXED);
    put32(ssz + FIXED, 4);
    for (size_t i = 0; i < tx_bytes; i++)
        ssz[FIXED + 4 + i] = (uint8_t)(number + i * 7);
    int64_t n = payload_record_from_ssz(envelope, len, dst, make_record_len(tx_bytes));
    assert(n == (int64_t)make_record_len(tx_bytes));
    (void)n;
    free(envelope);
}

struct block_id make_block(uint64_t number, uint64_t fork)
{
    struct block_id b = {.number = number};
    put64(b.hash, number * UINT64_C(0x9e3779b97f4a7c15) + 1);
    put64(b.hash + 8, fork);
    b.hash[31] = 1;
    return b;
}

static struct entry *seal(struct entry *e, enum proposal_kind kind, const struct block_id *expected,
                          struct block_id block)
{
    struct proposal p = {.kind = kind,
                         .expected_valid = expected != NULL,
                         .truncate_height = kind == PROPOSAL_REPLACE ? block.number : 0,
                         .block = block,
                         .proposer = 7};
    if (expected != NULL)
        p.expected = *expected;
    proposal_entry_seal(e, &p);
    return e;
}

struct entry *make_proposal(enum proposal_kind kind, const struct block_id *expected, struct block_id block,
                            const uint8_t parent[HASH_SIZE], size_t tx_bytes)
{
    struct entry *e = proposal_entry_new(make_record_len(tx_bytes));
    assert(e != NULL);
    make_record(proposal_entry_record(e), block.number, block.hash, parent, tx_bytes);
    return seal(e, kind, expected, block);
}

struct entry *make_adopt(const struct block_id *expected, struct block_id block)
{
    struct entry *e = proposal_entry_new(0);
    assert(e != NULL);
    return seal(e, PROPOSAL_ADOPT, expected, block);
}
