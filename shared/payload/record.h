/* The payload record: one unsafe block as it travels in the ring, the Raft log, snapshots and
 * exports. A fixed header, then the envelope exactly as SSZ has it (parent beacon block root, then
 * the payload, see reference section 4.3 of the op-conductor surface), then fields of
 * executionPayload that this version does not know, as the JSON text of an object's members.
 * All integers little-endian. The version is explicit, so nothing is guessed on the way back.
 */
#ifndef OC_PAYLOAD_RECORD_H
#define OC_PAYLOAD_RECORD_H

#include <stddef.h>
#include <stdint.h>

#define PAYLOAD_RECORD_MAGIC 0x31524350u /* "PCR1" */
#define PAYLOAD_SSZ_MAX_BYTES ((size_t)32 << 20)
#define PAYLOAD_EXTRA_MAX_BYTES ((size_t)64 << 10)

enum payload_version {                 /* SSZ layout of executionPayload */
                       PAYLOAD_V1 = 1, /* Bedrock */
                       PAYLOAD_V2 = 2, /* Canyon: withdrawals */
                       PAYLOAD_V3 = 3, /* Ecotone: blob gas */
                       PAYLOAD_V4 = 4, /* Isthmus: withdrawalsRoot */
};

enum { PAYLOAD_HAS_BEACON_ROOT = 1 };

/* 136 bytes; parent_beacon_root is the last field so that it and the SSZ payload behind it are the
 * SSZ envelope in one piece. */
struct payload_record_header {
    uint32_t magic;
    uint16_t record_version;  /* 1 */
    uint16_t payload_version; /* enum payload_version */
    uint32_t flags;
    uint32_t ssz_bytes; /* of the payload, without the beacon root */
    uint32_t extra_bytes;
    uint32_t reserved;
    uint64_t block_number;
    uint64_t timestamp; /* seconds */
    uint8_t block_hash[32];
    uint8_t parent_hash[32];
    uint8_t parent_beacon_root[32];
};
_Static_assert(sizeof(struct payload_record_header) == 136, "record layout");
#define PAYLOAD_RECORD_HEADER_BYTES 136

/* A checked view into a record's bytes; borrows them. */
struct payload_view {
    struct payload_record_header header; /* host byte order */
    const uint8_t *ssz;                  /* payload, header.ssz_bytes */
    const uint8_t *envelope;             /* beacon root + payload: 32 + ssz_bytes */
    const uint8_t *extra;                /* header.extra_bytes */
};

/* Checks a record of exactly `len` bytes: lengths, version, every SSZ offset and count (rules of
 * section 4.3), and that number, hashes and timestamp in header and SSZ agree. Touches only bytes
 * inside. Returns 0, OC_ECORRUPT, OC_EVERSION or OC_ERANGE. */
int payload_view_parse(const uint8_t *record, size_t len, struct payload_view *ret_view);

/* The same without walking the transactions: for bytes that were checked before and are guarded by
 * a checksum since (log, snapshot). */
int payload_view_open(const uint8_t *record, size_t len, struct payload_view *ret_view);

/* Builds a record from a raw SSZ envelope (beacon root + payload); the version is told by the
 * extraData offset (560 V4, 528 V3, 512 V2, 508 V1). dst must have PAYLOAD_RECORD_HEADER_BYTES +
 * len - 32 bytes; src may not overlap. Returns the record's length or a negative code. */
int64_t payload_record_from_ssz(const uint8_t *envelope, size_t len, uint8_t *dst, size_t dst_size);

#endif
