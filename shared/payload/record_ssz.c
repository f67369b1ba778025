/* The SSZ rules of an execution payload: fixed part, offsets, counts. */
#include "shared/payload/record_layout.h"

#include "shared/base/err.h"

uint32_t ssz_fixed_bytes(unsigned version)
{
    switch (version) {
    case PAYLOAD_V1:
        return SSZ_FIXED_V1;
    case PAYLOAD_V2:
        return SSZ_FIXED_V2;
    case PAYLOAD_V3:
        return SSZ_FIXED_V3;
    case PAYLOAD_V4:
        return SSZ_FIXED_V4;
    default:
        return 0;
    }
}

unsigned ssz_version_of_fixed(uint32_t fixed_bytes)
{
    for (unsigned v = PAYLOAD_V1; v <= PAYLOAD_V4; v++)
        if (ssz_fixed_bytes(v) == fixed_bytes)
            return v;
    return 0;
}

static int check_transactions(const uint8_t *list, uint32_t len, bool walk, uint32_t *ret_count)
{
    *ret_count = 0;
    if (len == 0)
        return 0;
    if (len < 4)
        return OC_ECORRUPT;
    uint32_t first = ssz_get_u32(list);
    if (first == 0 || first % 4 != 0 || first > len)
        return OC_ECORRUPT;
    uint32_t count = first / 4;
    if (count > SSZ_TRANSACTIONS_MAX)
        return OC_ERANGE;
    if (walk) {
        uint32_t before = first;
        for (uint32_t i = 1; i < count; i++) {
            uint32_t offset = ssz_get_u32(list + (size_t)i * 4);
            if (offset < before || offset > len)
                return OC_ECORRUPT;
            before = offset;
        }
    }
    *ret_count = count;
    return 0;
}

int ssz_check(const uint8_t *ssz, size_t len, unsigned version, bool walk, struct ssz_parts *ret_parts)
{
    uint32_t fixed = ssz_fixed_bytes(version);
    if (fixed == 0)
        return OC_EVERSION;
    if (len > PAYLOAD_SSZ_MAX_BYTES)
        return OC_ERANGE;
    if (len < fixed)
        return OC_ECORRUPT;
    uint32_t end = (uint32_t)len;
    uint32_t extra = ssz_get_u32(ssz + SSZ_EXTRA_DATA_OFFSET);
    uint32_t txs = ssz_get_u32(ssz + SSZ_TRANSACTIONS_OFFSET);
    uint32_t withdrawals = version >= PAYLOAD_V2 ? ssz_get_u32(ssz + SSZ_WITHDRAWALS_OFFSET) : end;
    if (extra != fixed || txs < extra || withdrawals < txs || withdrawals > end)
        return OC_ECORRUPT;
    if (txs - extra > SSZ_EXTRA_DATA_MAX)
        return OC_ERANGE;
    if ((end - withdrawals) % SSZ_WITHDRAWAL_BYTES != 0)
        return OC_ECORRUPT;
    if ((end - withdrawals) / SSZ_WITHDRAWAL_BYTES > SSZ_WITHDRAWALS_MAX)
        return OC_ERANGE;
    uint32_t count = 0;
    int rc = check_transactions(ssz + txs, withdrawals - txs, walk, &count);
    if (rc != 0)
        return rc;
    *ret_parts = (struct ssz_parts){
        .extra_data = extra,
        .extra_data_bytes = txs - extra,
        .transactions = txs,
        .transactions_bytes = withdrawals - txs,
        .transaction_count = count,
        .withdrawals = withdrawals,
        .withdrawals_bytes = end - withdrawals,
    };
    return 0;
}

const uint8_t *ssz_transaction(const uint8_t *ssz, const struct ssz_parts *parts, uint32_t i, uint32_t *ret_len)
{
    const uint8_t *list = ssz + parts->transactions;
    uint32_t from = ssz_get_u32(list + (size_t)i * 4);
    uint32_t to =
        i + 1 < parts->transaction_count ? ssz_get_u32(list + (size_t)(i + 1) * 4) : parts->transactions_bytes;
    *ret_len = to - from;
    return list + from;
}
