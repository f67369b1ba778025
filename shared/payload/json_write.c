/* Payload record to JSON, in the field order of op-node. */
#include "shared/payload/json.h"

#include "shared/payload/json_fields.h"
#include "shared/payload/record_layout.h"
#include "shared/payload/record_text.h"

#include <stdlib.h>

/* Keys, punctuation and at most 16 withdrawals; everything else is at most two characters a byte. */
#define JSON_OVERHEAD_BYTES 8192

static char *put_text(char *p, const char *text)
{
    while (*text != '\0')
        *p++ = *text++;
    return p;
}

static char *put_key(char *p, const char *name)
{
    *p++ = '"';
    p = put_text(p, name);
    return put_text(p, "\":");
}

static char *put_bytes(char *p, const uint8_t *src, size_t len)
{
    p = put_text(p, "\"0x");
    hex_encode(src, len, p);
    p += 2 * len;
    *p++ = '"';
    return p;
}

static char *put_quantity(char *p, const uint8_t *little_endian, size_t bytes)
{
    uint8_t big_endian[32];
    char digits[64];
    size_t first = 0;
    for (size_t i = 0; i < bytes; i++)
        big_endian[i] = little_endian[bytes - 1 - i];
    hex_encode(big_endian, bytes, digits);
    while (first + 1 < 2 * bytes && digits[first] == '0')
        first++;
    p = put_text(p, "\"0x");
    memcpy(p, digits + first, 2 * bytes - first);
    p += 2 * bytes - first;
    *p++ = '"';
    return p;
}

static char *put_value(char *p, const struct field_spec *spec, const uint8_t *base)
{
    const uint8_t *src = base + spec->offset;
    return spec->kind == FIELD_QUANTITY ? put_quantity(p, src, spec->bytes) : put_bytes(p, src, spec->bytes);
}

static char *put_transactions(char *p, const uint8_t *ssz, const struct ssz_parts *parts)
{
    *p++ = '[';
    for (uint32_t i = 0; i < parts->transaction_count; i++) {
        uint32_t len;
        const uint8_t *tx = ssz_transaction(ssz, parts, i, &len);
        if (i > 0)
            *p++ = ',';
        p = put_bytes(p, tx, len);
    }
    *p++ = ']';
    return p;
}

static char *put_withdrawals(char *p, const uint8_t *ssz, const struct ssz_parts *parts)
{
    const uint8_t *list = ssz + parts->withdrawals;
    *p++ = '[';
    for (uint32_t at = 0; at < parts->withdrawals_bytes; at += SSZ_WITHDRAWAL_BYTES) {
        p = put_text(p, at > 0 ? ",{" : "{");
        for (int f = 0; f < WITHDRAWAL_FIELD_COUNT; f++) {
            if (f > 0)
                *p++ = ',';
            p = put_key(p, json_withdrawal_fields[f].name);
            p = put_value(p, &json_withdrawal_fields[f], list + at);
        }
        *p++ = '}';
    }
    *p++ = ']';
    return p;
}

static char *put_payload(char *p, const struct payload_view *view, const struct ssz_parts *parts)
{
    for (int f = 0; f < FIELD_COUNT; f++) {
        const struct field_spec *spec = &json_fields[f];
        if (spec->since > view->header.payload_version)
            continue;
        *p++ = f == 0 ? '{' : ',';
        p = put_key(p, spec->name);
        if (spec->kind == FIELD_EXTRA_DATA)
            p = put_bytes(p, view->ssz + parts->extra_data, parts->extra_data_bytes);
        else if (spec->kind == FIELD_TRANSACTIONS)
            p = put_transactions(p, view->ssz, parts);
        else if (spec->kind == FIELD_WITHDRAWALS)
            p = put_withdrawals(p, view->ssz, parts);
        else
            p = put_value(p, spec, view->ssz);
    }
    if (view->header.extra_bytes > 0) {
        *p++ = ',';
        memcpy(p, view->extra, view->header.extra_bytes);
        p += view->header.extra_bytes;
    }
    *p++ = '}';
    return p;
}

char *payload_record_to_json(const struct payload_view *view, size_t *ret_len)
{
    struct ssz_parts parts;
    const struct payload_record_header *h = &view->header;
    if (ssz_check(view->ssz, h->ssz_bytes, h->payload_version, true, &parts) != 0 ||
        !text_is_member_list((const char *)view->extra, h->extra_bytes))
        return NULL;
    /* A transaction's quotes, 0x and comma are covered by twice its four offset bytes. */
    char *text = malloc(2 * (size_t)h->ssz_bytes + h->extra_bytes + JSON_OVERHEAD_BYTES);
    if (text == NULL)
        return NULL;
    char *p = put_text(text, "{");
    if ((h->flags & PAYLOAD_HAS_BEACON_ROOT) != 0) {
        p = put_key(p, "parentBeaconBlockRoot");
        p = put_bytes(p, h->parent_beacon_root, sizeof h->parent_beacon_root);
        *p++ = ',';
    }
    p = put_key(p, "executionPayload");
    p = put_payload(p, view, &parts);
    *p++ = '}';
    *p = '\0';
    *ret_len = (size_t)(p - text);
    return text;
}
