/* The members of executionPayload that this version knows: name, kind, place in the SSZ payload.
 * Reader and writer of the JSON form share it. Private to shared/payload. */
#ifndef OC_PAYLOAD_JSON_FIELDS_H
#define OC_PAYLOAD_JSON_FIELDS_H

#include <stddef.h>
#include <stdint.h>

enum field_kind {
    FIELD_BYTES,    /* 0x + 2*bytes digits */
    FIELD_QUANTITY, /* 0x + digits without leading zeros, little-endian in SSZ */
    FIELD_EXTRA_DATA,
    FIELD_TRANSACTIONS,
    FIELD_WITHDRAWALS
};

/* In the order in which op-node writes them. */
enum field {
    FIELD_PARENT_HASH,
    FIELD_FEE_RECIPIENT,
    FIELD_STATE_ROOT,
    FIELD_RECEIPTS_ROOT,
    FIELD_LOGS_BLOOM,
    FIELD_PREV_RANDAO,
    FIELD_BLOCK_NUMBER,
    FIELD_GAS_LIMIT,
    FIELD_GAS_USED,
    FIELD_TIMESTAMP,
    FIELD_EXTRA,
    FIELD_BASE_FEE,
    FIELD_BLOCK_HASH,
    FIELD_TXS,
    FIELD_WDS,
    FIELD_BLOB_GAS_USED,
    FIELD_EXCESS_BLOB_GAS,
    FIELD_WITHDRAWALS_ROOT,
    FIELD_COUNT
};

struct field_spec {
    const char *name;
    enum field_kind kind;
    uint16_t offset; /* of the value in the payload, for bytes and quantities */
    uint16_t bytes;
    uint16_t since; /* enum payload_version */
};

extern const struct field_spec json_fields[FIELD_COUNT];

/* The four members of a withdrawal, each a value of 44 bytes of SSZ. */
#define WITHDRAWAL_FIELD_COUNT 4
extern const struct field_spec json_withdrawal_fields[WITHDRAWAL_FIELD_COUNT];

#endif
