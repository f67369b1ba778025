/* Builds, reads and checks blocks. */
#include "tests/sim/block.h"

#include "shared/base/err.h"
#include "shared/payload/json.h"
#include "shared/payload/record.h"
#include "tests/sim/blake2b.h"

#include <endian.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

/* Offsets inside the SSZ payload. */
enum {
    AT_FEE_RECIPIENT = 32,
    AT_STATE_ROOT = 52,
    AT_RECEIPTS_ROOT = 84,
    AT_RANDAO = 372,
    AT_SLOT = 396,
    AT_NUMBER = 404,
    AT_GAS_LIMIT = 412,
    AT_GAS_USED = 420,
    AT_TIMESTAMP = 428,
    AT_EXTRA_OFFSET = 436,
    AT_BASE_FEE = 440,
    AT_HASH = 472,
    AT_TXS_OFFSET = 504,
    AT_WITHDRAWALS_OFFSET = 508,
    AT_WITHDRAWALS_ROOT = 528,
};
#define BEACON_ROOT_BYTES 32
#define DEPOSIT_TX_BYTES 94
#define TX_MIN_BYTES 128u
#define TX_MAX_BYTES 131072u

static const uint8_t EXTRA_DATA[9] = {0, 0, 0, 0, 250, 0, 0, 0, 6};

static uint64_t next_random(uint64_t *seed)
{
    uint64_t z = (*seed += 0x9e3779b97f4a7c15u);
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
    return z ^ (z >> 31);
}

static void fill_random(uint8_t *p, size_t len, uint64_t *seed)
{
    while (len >= 8) {
        uint64_t x = next_random(seed);
        memcpy(p, &x, 8);
        p += 8;
        len -= 8;
    }
    if (len > 0) {
        uint64_t x = next_random(seed);
        memcpy(p, &x, len);
    }
}

static void put_u32(uint8_t *p, size_t v)
{
    uint32_t x = htole32((uint32_t)v);
    memcpy(p, &x, sizeof x);
}

static void put_u64(uint8_t *p, uint64_t v)
{
    v = htole64(v);
    memcpy(p, &v, sizeof v);
}

/* Over the envelope with the hash itself left out. */
static void content_hash(const uint8_t *envelope, size_t len, uint8_t ret[32])
{
    struct blake2b b;
    blake2b_begin(&b);
    blake2b_add(&b, envelope, BEACON_ROOT_BYTES + AT_HASH);
    blake2b_add(&b, envelope + BEACON_ROOT_BYTES + AT_TXS_OFFSET, len - BEACON_ROOT_BYTES - AT_TXS_OFFSET);
    blake2b_end(&b, ret);
}

static void fill_header(uint8_t *ssz, const struct block_ref *parent, uint64_t slot_ms, uint64_t *seed)
{
    if (parent)
        memcpy(ssz, parent->hash, 32);
    memset(ssz + AT_FEE_RECIPIENT, 0x42, 1);
    ssz[AT_FEE_RECIPIENT + 19] = 0x11;
    fill_random(ssz + AT_STATE_ROOT, 32, seed);
    fill_random(ssz + AT_RECEIPTS_ROOT, 32, seed);
    fill_random(ssz + AT_RANDAO, 24, seed);
    uint64_t slot = htobe64(slot_ms);
    memcpy(ssz + AT_SLOT, &slot, sizeof slot);
    put_u64(ssz + AT_NUMBER, parent ? parent->number + 1 : 0);
    put_u64(ssz + AT_GAS_LIMIT, 30000000);
    put_u64(ssz + AT_GAS_USED, 46000 + next_random(seed) % 1000000);
    put_u64(ssz + AT_TIMESTAMP, slot_ms / 1000);
    put_u64(ssz + AT_BASE_FEE, 1000000000);
}

int block_build(const struct block_ref *parent, uint64_t slot_ms, uint32_t payload_bytes, enum sim_fork fork,
                uint64_t *seed, struct block *ret)
{
    uint64_t genesis_seed = slot_ms;
    if (!parent)
        seed = &genesis_seed;
    size_t fixed = fork == FORK_ISTHMUS ? 560 : 528;
    size_t tx_bytes = payload_bytes / 50;
    tx_bytes = tx_bytes < TX_MIN_BYTES ? TX_MIN_BYTES : tx_bytes > TX_MAX_BYTES ? TX_MAX_BYTES : tx_bytes;
    size_t n_txs = 1 + (payload_bytes + tx_bytes - 1) / tx_bytes;
    size_t txs_at = fixed + sizeof EXTRA_DATA;
    size_t total = txs_at + 4 * n_txs + DEPOSIT_TX_BYTES + payload_bytes;
    size_t envelope_len = BEACON_ROOT_BYTES + total;
    uint8_t *envelope = calloc(1, envelope_len);
    uint8_t *record = malloc(PAYLOAD_RECORD_HEADER_BYTES + total);
    int rc = -ENOMEM;
    if (!envelope || !record)
        goto out;
    uint8_t *ssz = envelope + BEACON_ROOT_BYTES;
    fill_random(envelope, BEACON_ROOT_BYTES, seed);
    fill_header(ssz, parent, slot_ms, seed);
    put_u32(ssz + AT_EXTRA_OFFSET, fixed);
    put_u32(ssz + AT_TXS_OFFSET, txs_at);
    put_u32(ssz + AT_WITHDRAWALS_OFFSET, total);
    if (fork == FORK_ISTHMUS)
        fill_random(ssz + AT_WITHDRAWALS_ROOT, 32, seed);
    memcpy(ssz + fixed, EXTRA_DATA, sizeof EXTRA_DATA);
    size_t offset = 4 * n_txs, left = payload_bytes;
    for (size_t i = 0; i < n_txs; i++) {
        put_u32(ssz + txs_at + 4 * i, offset);
        size_t n = i == 0 ? DEPOSIT_TX_BYTES : left < tx_bytes ? left : tx_bytes;
        uint8_t *tx = ssz + txs_at + offset;
        fill_random(tx, n, seed);
        tx[0] = i == 0 ? 0x7e : 0x02;
        offset += n;
        left -= i == 0 ? 0 : n;
    }
    content_hash(envelope, envelope_len, ssz + AT_HASH);
    int64_t len = payload_record_from_ssz(envelope, envelope_len, record, PAYLOAD_RECORD_HEADER_BYTES + total);
    rc = len < 0 ? (int)len : block_ref_read(record, (size_t)len, &ret->ref);
    if (rc != 0)
        goto out;
    ret->record = record;
    ret->len = (size_t)len;
    record = NULL;
out:
    free(envelope);
    free(record);
    return rc;
}

static void fill_ref(const struct payload_view *view, struct block_ref *ret)
{
    uint64_t slot;
    memcpy(&slot, view->ssz + AT_SLOT, sizeof slot);
    ret->number = view->header.block_number;
    ret->slot_ms = be64toh(slot);
    ret->timestamp = view->header.timestamp;
    memcpy(ret->hash, view->header.block_hash, 32);
    memcpy(ret->parent, view->header.parent_hash, 32);
}

int block_ref_read(const uint8_t *record, size_t len, struct block_ref *ret)
{
    struct payload_view view;
    int rc = payload_view_open(record, len, &view);
    if (rc == 0)
        fill_ref(&view, ret);
    return rc;
}

int block_check(const uint8_t *record, size_t len, struct block_ref *ret, uint8_t actual[32])
{
    struct payload_view view;
    int rc = payload_view_parse(record, len, &view);
    if (rc != 0)
        return rc;
    fill_ref(&view, ret);
    content_hash(view.envelope, BEACON_ROOT_BYTES + view.header.ssz_bytes, actual);
    return memcmp(actual, ret->hash, 32) == 0 ? 0 : OC_ECONFLICT;
}

void hash_to_text(const uint8_t hash[32], char ret[HASH_TEXT_BYTES])
{
    ret[0] = '0';
    ret[1] = 'x';
    hex_encode(hash, 32, ret + 2);
    ret[66] = '\0';
}

int hash_from_text(const char *text, size_t len, uint8_t ret[32])
{
    if (len != 66 || text[0] != '0' || (text[1] != 'x' && text[1] != 'X'))
        return OC_ESYNTAX;
    return hex_decode(text + 2, 64, ret);
}
