/* The private header in front of the payload record in a COMMAND entry: what a proposal wants to do
 * to the unsafe head, and which head it expects to find. All integers little-endian. Pure.
 *
 *   struct entry *e = proposal_entry_new(record_len);
 *   copy the record to proposal_entry_record(e); validate it; judge; proposal_entry_seal(e, &p);
 *   driver_propose(…, e, …)
 */
#ifndef OC_CONSENSUS_PROPOSAL_H
#define OC_CONSENSUS_PROPOSAL_H

#include "consensus/entry.h"
#include "shared/payload/record.h"
#include "shared/proto/bodies.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define PROPOSAL_MAGIC 0x50434f31u
#define PROPOSAL_VERSION 1
#define PROPOSAL_HEADER_BYTES 128
/* A member understands the kinds of its level and below. The first version's level, 1, has all kinds up to
 * PROPOSAL_ADOPT; a kind that comes later gets the next one, and is proposed only while all members say that they
 * understand it. */
#define PROPOSAL_LEVEL 1

enum proposal_kind {
    PROPOSAL_EXTEND = 1, /* on top of the expected head, or the very first */
    PROPOSAL_REPLACE,    /* drop everything from truncate_height on, then put this there */
    PROPOSAL_ADOPT,      /* the new head is this block whatever was before; may have no record */
};

struct proposal {
    enum proposal_kind kind;
    bool expected_valid; /* false: "no head yet" is expected */
    struct block_id expected;
    uint64_t truncate_height; /* REPLACE: equals block.number; else 0 */
    struct block_id block;    /* what the head will be */
    uint64_t proposer;        /* raft id */
    const uint8_t *record;    /* decode only; NULL when record_len is 0 */
    size_t record_len;        /* 0 only for ADOPT */
};

/* An entry with room for header and record_len bytes; term is set by driver_propose. NULL: out of
 * memory or too large. */
struct entry *proposal_entry_new(size_t record_len);
/* Where the record goes. */
uint8_t *proposal_entry_record(struct entry *e);
size_t proposal_entry_record_len(const struct entry *e);
/* The level that a member needs to understand this kind. */
uint32_t proposal_kind_level(enum proposal_kind kind);
/* Writes the header; p->record and p->record_len are ignored (the entry knows). */
void proposal_entry_seal(struct entry *e, const struct proposal *p);

/* Checks an entry's bytes: magic, version, kind, flags, lengths, that unused fields are zero, that
 * block and record's header agree. ret_view (may be NULL) is of the record if there is one. Borrows.
 * Returns 0, OC_ECORRUPT or OC_EVERSION. */
int proposal_decode(const uint8_t *data, size_t len, struct proposal *ret_proposal, struct payload_view *ret_view);

#endif
