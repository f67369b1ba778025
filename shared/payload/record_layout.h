/* Where the fields of an SSZ execution payload stand, and little-endian loads and stores. Private
 * to shared/payload. */
#ifndef OC_PAYLOAD_RECORD_LAYOUT_H
#define OC_PAYLOAD_RECORD_LAYOUT_H

#include "shared/payload/record.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#if __BYTE_ORDER__ != __ORDER_LITTLE_ENDIAN__
#error "payload records are written in host order, which must be little-endian"
#endif

enum ssz_offset {
    SSZ_PARENT_HASH = 0,
    SSZ_FEE_RECIPIENT = 32,
    SSZ_STATE_ROOT = 52,
    SSZ_RECEIPTS_ROOT = 84,
    SSZ_LOGS_BLOOM = 116,
    SSZ_PREV_RANDAO = 372,
    SSZ_BLOCK_NUMBER = 404,
    SSZ_GAS_LIMIT = 412,
    SSZ_GAS_USED = 420,
    SSZ_TIMESTAMP = 428,
    SSZ_EXTRA_DATA_OFFSET = 436,
    SSZ_BASE_FEE = 440,
    SSZ_BLOCK_HASH = 472,
    SSZ_TRANSACTIONS_OFFSET = 504,
    SSZ_WITHDRAWALS_OFFSET = 508,
    SSZ_BLOB_GAS_USED = 512,
    SSZ_EXCESS_BLOB_GAS = 520,
    SSZ_WITHDRAWALS_ROOT = 528,
};

#define SSZ_FIXED_V1 508
#define SSZ_FIXED_V2 512
#define SSZ_FIXED_V3 528
#define SSZ_FIXED_V4 560
#define SSZ_BEACON_ROOT_BYTES 32
#define SSZ_EXTRA_DATA_MAX 32
#define SSZ_TRANSACTIONS_MAX 1048576
#define SSZ_WITHDRAWAL_BYTES 44
#define SSZ_WITHDRAWALS_MAX 16

/* Of a withdrawal. */
enum { SSZ_WD_INDEX = 0, SSZ_WD_VALIDATOR = 8, SSZ_WD_ADDRESS = 16, SSZ_WD_AMOUNT = 36 };

static inline uint32_t ssz_get_u32(const uint8_t *p)
{
    uint32_t v;
    memcpy(&v, p, sizeof v);
    return v;
}

static inline uint64_t ssz_get_u64(const uint8_t *p)
{
    uint64_t v;
    memcpy(&v, p, sizeof v);
    return v;
}

static inline void ssz_put_u32(uint8_t *p, uint32_t v)
{
    memcpy(p, &v, sizeof v);
}

/* The three variable parts of a checked payload, as positions from its start. */
struct ssz_parts {
    uint32_t extra_data, extra_data_bytes;
    uint32_t transactions, transactions_bytes;
    uint32_t transaction_count;
    uint32_t withdrawals, withdrawals_bytes; /* bytes 0 for V1 */
};

/* The size of the fixed part, 0 for an unknown version. */
uint32_t ssz_fixed_bytes(unsigned version);

/* The version whose fixed part has this size, 0 if none. */
unsigned ssz_version_of_fixed(uint32_t fixed_bytes);

/* Checks a payload of exactly `len` bytes against the rules of its version; `walk` also looks at
 * every transaction's offset. Returns 0, OC_ECORRUPT, OC_EVERSION or OC_ERANGE. */
int ssz_check(const uint8_t *ssz, size_t len, unsigned version, bool walk, struct ssz_parts *ret_parts);

/* Transaction i of a checked payload. */
const uint8_t *ssz_transaction(const uint8_t *ssz, const struct ssz_parts *parts, uint32_t i, uint32_t *ret_len);

#endif
