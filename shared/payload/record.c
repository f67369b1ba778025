/* Payload records: checking one, opening a trusted one, building one from SSZ. */
#include "shared/payload/record.h"

#include "shared/base/err.h"
#include "shared/payload/record_layout.h"
#include "shared/payload/record_text.h"

static bool is_zero(const uint8_t *p, size_t len)
{
    uint8_t any = 0;
    for (size_t i = 0; i < len; i++)
        any |= p[i];
    return any == 0;
}

static int parse(const uint8_t *record, size_t len, bool full, struct payload_view *ret_view)
{
    struct payload_view v;
    struct ssz_parts parts;
    if (len < PAYLOAD_RECORD_HEADER_BYTES)
        return OC_ECORRUPT;
    memcpy(&v.header, record, sizeof v.header);
    const struct payload_record_header *h = &v.header;
    if (h->magic != PAYLOAD_RECORD_MAGIC)
        return OC_ECORRUPT;
    if (h->record_version != 1 || ssz_fixed_bytes(h->payload_version) == 0)
        return OC_EVERSION;
    if (h->ssz_bytes > PAYLOAD_SSZ_MAX_BYTES || h->extra_bytes > PAYLOAD_EXTRA_MAX_BYTES)
        return OC_ERANGE;
    if (len != (size_t)PAYLOAD_RECORD_HEADER_BYTES + h->ssz_bytes + h->extra_bytes)
        return OC_ECORRUPT;
    if ((h->flags & ~(uint32_t)PAYLOAD_HAS_BEACON_ROOT) != 0 || h->reserved != 0)
        return OC_ECORRUPT;
    v.ssz = record + PAYLOAD_RECORD_HEADER_BYTES;
    v.envelope = v.ssz - SSZ_BEACON_ROOT_BYTES;
    v.extra = v.ssz + h->ssz_bytes;

    int rc = ssz_check(v.ssz, h->ssz_bytes, h->payload_version, full, &parts);
    if (rc != 0)
        return rc;
    if (h->block_number != ssz_get_u64(v.ssz + SSZ_BLOCK_NUMBER) ||
        h->timestamp != ssz_get_u64(v.ssz + SSZ_TIMESTAMP) ||
        memcmp(h->block_hash, v.ssz + SSZ_BLOCK_HASH, sizeof h->block_hash) != 0 ||
        memcmp(h->parent_hash, v.ssz + SSZ_PARENT_HASH, sizeof h->parent_hash) != 0)
        return OC_ECORRUPT;
    if ((h->flags & PAYLOAD_HAS_BEACON_ROOT) == 0 &&
        (h->payload_version >= PAYLOAD_V3 || !is_zero(h->parent_beacon_root, sizeof h->parent_beacon_root)))
        return OC_ECORRUPT;
    if (full && !text_is_member_list((const char *)v.extra, h->extra_bytes))
        return OC_ECORRUPT;
    *ret_view = v;
    return 0;
}

int payload_view_parse(const uint8_t *record, size_t len, struct payload_view *ret_view)
{
    return parse(record, len, true, ret_view);
}

int payload_view_open(const uint8_t *record, size_t len, struct payload_view *ret_view)
{
    return parse(record, len, false, ret_view);
}

int64_t payload_record_from_ssz(const uint8_t *envelope, size_t len, uint8_t *dst, size_t dst_size)
{
    struct ssz_parts parts;
    if (len < SSZ_BEACON_ROOT_BYTES + SSZ_FIXED_V1)
        return OC_ECORRUPT;
    if (len > SSZ_BEACON_ROOT_BYTES + PAYLOAD_SSZ_MAX_BYTES)
        return OC_ERANGE;
    const uint8_t *ssz = envelope + SSZ_BEACON_ROOT_BYTES;
    size_t ssz_bytes = len - SSZ_BEACON_ROOT_BYTES;
    unsigned version = ssz_version_of_fixed(ssz_get_u32(ssz + SSZ_EXTRA_DATA_OFFSET));
    if (version == 0)
        return OC_EVERSION;
    int rc = ssz_check(ssz, ssz_bytes, version, true, &parts);
    if (rc != 0)
        return rc;
    if (dst_size < PAYLOAD_RECORD_HEADER_BYTES + ssz_bytes)
        return OC_ERANGE;

    struct payload_record_header h = {
        .magic = PAYLOAD_RECORD_MAGIC,
        .record_version = 1,
        .payload_version = (uint16_t)version,
        .ssz_bytes = (uint32_t)ssz_bytes,
        .block_number = ssz_get_u64(ssz + SSZ_BLOCK_NUMBER),
        .timestamp = ssz_get_u64(ssz + SSZ_TIMESTAMP),
    };
    /* Before Ecotone blocks have no beacon root; the bytes on the wire are zero then. */
    if (version >= PAYLOAD_V3 || !is_zero(envelope, SSZ_BEACON_ROOT_BYTES))
        h.flags = PAYLOAD_HAS_BEACON_ROOT;
    memcpy(h.block_hash, ssz + SSZ_BLOCK_HASH, sizeof h.block_hash);
    memcpy(h.parent_hash, ssz + SSZ_PARENT_HASH, sizeof h.parent_hash);
    memcpy(h.parent_beacon_root, envelope, sizeof h.parent_beacon_root);
    memcpy(dst, &h, sizeof h);
    memcpy(dst + sizeof h, ssz, ssz_bytes);
    return (int64_t)(sizeof h + ssz_bytes);
}
