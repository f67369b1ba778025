/* The header in front of a payload record in a log entry: written in one place, checked in one. */
#include "consensus/proposal.h"
#include "shared/base/err.h"

#include <endian.h>
#include <string.h>

enum {
    OFF_MAGIC = 0,
    OFF_VERSION = 4,
    OFF_KIND = 6,
    OFF_FLAGS = 7,
    OFF_EXPECTED_NUMBER = 8,
    OFF_EXPECTED_HASH = 16,
    OFF_TRUNCATE = 48,
    OFF_NUMBER = 56,
    OFF_HASH = 64,
    OFF_PROPOSER = 96,
    OFF_RECORD_LEN = 104,
    OFF_ZERO = 112, /* to the end */
};
enum { FLAG_EXPECTED_VALID = 1 };

static void put_u64(uint8_t *p, uint64_t v)
{
    v = htole64(v);
    memcpy(p, &v, sizeof v);
}

static uint64_t get_u64(const uint8_t *p)
{
    uint64_t v;
    memcpy(&v, p, sizeof v);
    return le64toh(v);
}

static bool is_zero(const uint8_t *p, size_t n)
{
    for (size_t i = 0; i < n; i++)
        if (p[i] != 0)
            return false;
    return true;
}

struct entry *proposal_entry_new(size_t record_len)
{
    if (record_len > ENTRY_PAYLOAD_MAX_BYTES - PROPOSAL_HEADER_BYTES)
        return NULL;
    struct entry *e = entry_new(ENTRY_COMMAND, 0, PROPOSAL_HEADER_BYTES + record_len);
    if (e != NULL)
        memset(entry_payload(e), 0, PROPOSAL_HEADER_BYTES);
    return e;
}

uint8_t *proposal_entry_record(struct entry *e)
{
    return entry_payload(e) + PROPOSAL_HEADER_BYTES;
}

size_t proposal_entry_record_len(const struct entry *e)
{
    return entry_len(e) - PROPOSAL_HEADER_BYTES;
}

void proposal_entry_seal(struct entry *e, const struct proposal *p)
{
    uint8_t *h = entry_payload(e);
    uint32_t magic = htole32(PROPOSAL_MAGIC);
    uint16_t version = htole16(PROPOSAL_VERSION);
    memset(h, 0, PROPOSAL_HEADER_BYTES);
    memcpy(h + OFF_MAGIC, &magic, sizeof magic);
    memcpy(h + OFF_VERSION, &version, sizeof version);
    h[OFF_KIND] = (uint8_t)p->kind;
    if (p->expected_valid) {
        h[OFF_FLAGS] = FLAG_EXPECTED_VALID;
        put_u64(h + OFF_EXPECTED_NUMBER, p->expected.number);
        memcpy(h + OFF_EXPECTED_HASH, p->expected.hash, HASH_SIZE);
    }
    put_u64(h + OFF_TRUNCATE, p->kind == PROPOSAL_REPLACE ? p->truncate_height : 0);
    put_u64(h + OFF_NUMBER, p->block.number);
    memcpy(h + OFF_HASH, p->block.hash, HASH_SIZE);
    put_u64(h + OFF_PROPOSER, p->proposer);
    put_u64(h + OFF_RECORD_LEN, proposal_entry_record_len(e));
}

/* The rules between the fields of one proposal. */
static bool is_consistent(const struct proposal *p)
{
    switch (p->kind) {
    case PROPOSAL_EXTEND:
        return p->truncate_height == 0 && p->record_len > 0 &&
               (!p->expected_valid || (p->expected.number < UINT64_MAX && p->block.number == p->expected.number + 1));
    case PROPOSAL_REPLACE:
        return p->record_len > 0 && p->expected_valid && p->truncate_height == p->block.number &&
               p->truncate_height <= p->expected.number;
    case PROPOSAL_ADOPT:
        return p->truncate_height == 0;
    default:
        return false;
    }
}

uint32_t proposal_kind_level(enum proposal_kind kind)
{
    return kind <= PROPOSAL_ADOPT ? 1 : UINT32_MAX;
}

int proposal_decode(const uint8_t *data, size_t len, struct proposal *ret_proposal, struct payload_view *ret_view)
{
    struct proposal p = {0};
    struct payload_view view;
    uint32_t magic;
    uint16_t version;

    if (len < PROPOSAL_HEADER_BYTES)
        return OC_ECORRUPT;
    memcpy(&magic, data + OFF_MAGIC, sizeof magic);
    memcpy(&version, data + OFF_VERSION, sizeof version);
    if (le32toh(magic) != PROPOSAL_MAGIC)
        return OC_ECORRUPT;
    if (le16toh(version) != PROPOSAL_VERSION)
        return OC_EVERSION;
    if (data[OFF_KIND] < PROPOSAL_EXTEND || data[OFF_KIND] > PROPOSAL_ADOPT ||
        (data[OFF_FLAGS] & ~FLAG_EXPECTED_VALID) != 0 || !is_zero(data + OFF_ZERO, PROPOSAL_HEADER_BYTES - OFF_ZERO))
        return OC_ECORRUPT;
    p.kind = (enum proposal_kind)data[OFF_KIND];
    p.expected_valid = data[OFF_FLAGS] != 0;
    p.expected.number = get_u64(data + OFF_EXPECTED_NUMBER);
    memcpy(p.expected.hash, data + OFF_EXPECTED_HASH, HASH_SIZE);
    if (!p.expected_valid && !is_zero(data + OFF_EXPECTED_NUMBER, 8 + HASH_SIZE))
        return OC_ECORRUPT;
    p.truncate_height = get_u64(data + OFF_TRUNCATE);
    p.block.number = get_u64(data + OFF_NUMBER);
    memcpy(p.block.hash, data + OFF_HASH, HASH_SIZE);
    p.proposer = get_u64(data + OFF_PROPOSER);
    p.record_len = len - PROPOSAL_HEADER_BYTES;
    if (get_u64(data + OFF_RECORD_LEN) != p.record_len || !is_consistent(&p))
        return OC_ECORRUPT;
    if (p.record_len > 0) {
        p.record = data + PROPOSAL_HEADER_BYTES;
        int rc = payload_view_open(p.record, p.record_len, &view);
        if (rc != 0)
            return rc == OC_EVERSION ? OC_EVERSION : OC_ECORRUPT;
        if (view.header.block_number != p.block.number || memcmp(view.header.block_hash, p.block.hash, HASH_SIZE) != 0)
            return OC_ECORRUPT;
        if (ret_view != NULL)
            *ret_view = view;
    }
    *ret_proposal = p;
    return 0;
}
