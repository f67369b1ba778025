/* The replicated state: a contiguous run of payloads ending in the unsafe head. */
#include "consensus/window.h"
#include "shared/base/crc32c.h"
#include "shared/base/err.h"

#include <endian.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

struct slot {
    struct window_item item;
    struct entry *entry;
};

struct window {
    unsigned limit;
    size_t limit_bytes;
    unsigned first, count; /* slots in use, circular */
    size_t bytes;
    struct slot *slots; /* limit of them */
};

struct window *window_new(unsigned payloads, size_t bytes)
{
    struct window *w = calloc(1, sizeof *w);
    if (payloads < 1)
        payloads = 1;
    if (payloads > WINDOW_PAYLOADS_MAX)
        payloads = WINDOW_PAYLOADS_MAX;
    if (w == NULL)
        return NULL;
    w->slots = calloc(payloads, sizeof *w->slots);
    if (w->slots == NULL) {
        free(w);
        return NULL;
    }
    w->limit = payloads;
    w->limit_bytes = bytes;
    return w;
}

static struct slot *slot_at(const struct window *w, unsigned i)
{
    unsigned at = w->first + i; /* i <= count <= limit */
    return &w->slots[at < w->limit ? at : at - w->limit];
}

static void drop_oldest(struct window *w)
{
    struct slot *s = slot_at(w, 0);
    w->bytes -= s->item.record_len;
    entry_unref(s->entry);
    w->first = w->first + 1 < w->limit ? w->first + 1 : 0;
    w->count--;
}

static void drop_newest(struct window *w)
{
    struct slot *s = slot_at(w, w->count - 1);
    w->bytes -= s->item.record_len;
    entry_unref(s->entry);
    w->count--;
}

static void clear(struct window *w)
{
    while (w->count > 0)
        drop_newest(w);
    w->first = 0;
}

void window_free(struct window *w)
{
    if (w == NULL)
        return;
    clear(w);
    free(w->slots);
    free(w);
}

/* Makes it the head; the oldest ones leave when a limit says so. Takes its own reference. */
static void push(struct window *w, const struct window_item *item, struct entry *e)
{
    while (w->count == w->limit || (w->count > 0 && w->bytes + item->record_len > w->limit_bytes))
        drop_oldest(w);
    struct slot *s = slot_at(w, w->count);
    s->item = *item;
    s->entry = entry_ref(e);
    w->count++;
    w->bytes += item->record_len;
}

static struct window_item item_of(const struct proposal *p, const struct payload_view *view, uint64_t index)
{
    struct window_item item = {.block = p->block, .index = index, .record = p->record, .record_len = p->record_len};
    if (p->record != NULL)
        memcpy(item.parent_hash, view->header.parent_hash, HASH_SIZE);
    return item;
}

enum window_result window_apply(struct window *w, uint64_t index, struct entry *e)
{
    struct proposal p;
    struct payload_view view;
    struct block_id head;

    if (proposal_decode(entry_payload(e), entry_len(e), &p, &view) != 0)
        return WINDOW_INVALID;
    bool has_head = window_head(w, &head);
    if (has_head != p.expected_valid)
        return WINDOW_REFUSED;
    if (has_head && (head.number != p.expected.number || memcmp(head.hash, p.expected.hash, HASH_SIZE) != 0))
        return WINDOW_REFUSED;
    /* The link of an extension is in the entry and the head alone, so all members see it alike. That
     * of a replacement was checked by its proposer: how far back a member remembers is its own
     * setting and must not decide. */
    if (p.kind == PROPOSAL_EXTEND && has_head && memcmp(view.header.parent_hash, head.hash, HASH_SIZE) != 0)
        return WINDOW_REFUSED;
    if (p.kind == PROPOSAL_ADOPT)
        clear(w);
    if (p.kind == PROPOSAL_REPLACE)
        while (w->count > 0 && slot_at(w, w->count - 1)->item.block.number >= p.truncate_height)
            drop_newest(w);
    struct window_item item = item_of(&p, &view, index);
    push(w, &item, e);
    return WINDOW_ACCEPTED;
}

bool window_head(const struct window *w, struct block_id *ret_head)
{
    if (w->count == 0)
        return false;
    *ret_head = slot_at(w, w->count - 1)->item.block;
    return true;
}

unsigned window_count(const struct window *w)
{
    return w->count;
}

size_t window_bytes(const struct window *w)
{
    return w->bytes;
}

const struct window_item *window_at(const struct window *w, unsigned i)
{
    return i < w->count ? &slot_at(w, i)->item : NULL;
}

const struct window_item *window_find_number(const struct window *w, uint64_t number)
{
    for (unsigned i = w->count; i-- > 0;)
        if (slot_at(w, i)->item.block.number == number)
            return &slot_at(w, i)->item;
    return NULL;
}

const struct window_item *window_find_hash(const struct window *w, const uint8_t hash[HASH_SIZE])
{
    for (unsigned i = w->count; i-- > 0;)
        if (memcmp(slot_at(w, i)->item.block.hash, hash, HASH_SIZE) == 0)
            return &slot_at(w, i)->item;
    return NULL;
}

/* ---- snapshots ----
 * The first part is the head: magic u32 | version u16 | zero u16 | count u32 | crc u32 of all behind it, then
 * per item, oldest first: {log index u64 | bytes u32 | crc u32}. Little-endian. Then one part per item, the
 * entry's payload (proposal header and record). */

#define SNAPSHOT_MAGIC 0x31575756u
enum { HEAD_BYTES = 16, ITEM_BYTES = 16, OFF_VERSION = 4, OFF_ZERO = 6, OFF_COUNT = 8, OFF_CRC = 12 };

struct head_item {
    uint64_t index;
    uint32_t bytes, crc;
};
_Static_assert(sizeof(struct head_item) == ITEM_BYTES, "items of the head");

static struct entry *make_head(const struct window *w)
{
    struct entry *e = entry_new(ENTRY_COMMAND, 0, HEAD_BYTES + (size_t)w->count * ITEM_BYTES);
    if (e == NULL)
        return NULL;
    uint8_t *p = entry_payload(e);
    memset(p, 0, HEAD_BYTES);
    uint32_t magic = htole32(SNAPSHOT_MAGIC), count = htole32(w->count);
    uint16_t version = htole16(WINDOW_SNAPSHOT_VERSION);
    memcpy(p, &magic, sizeof magic);
    memcpy(p + OFF_VERSION, &version, sizeof version);
    memcpy(p + OFF_COUNT, &count, sizeof count);
    for (unsigned i = 0; i < w->count; i++) {
        const struct slot *s = slot_at(w, i);
        struct head_item item = {.index = htole64(s->item.index),
                                 .bytes = htole32((uint32_t)entry_len(s->entry)),
                                 .crc = htole32(entry_crc(s->entry))};
        memcpy(p + HEAD_BYTES + (size_t)i * ITEM_BYTES, &item, sizeof item);
    }
    uint32_t crc = htole32(crc32c(w->count, p + HEAD_BYTES, (size_t)w->count * ITEM_BYTES));
    memcpy(p + OFF_CRC, &crc, sizeof crc);
    return e;
}

int window_save(const struct window *w, struct snapshot *s)
{
    struct entry *head = make_head(w);
    if (head == NULL)
        return -ENOMEM;
    int rc = snapshot_add_part(s, head);
    entry_unref(head);
    for (unsigned i = 0; i < w->count && rc == 0; i++)
        rc = snapshot_add_part(s, slot_at(w, i)->entry);
    return rc;
}

/* Checks the head against the parts. Returns the number of items or a negative code. */
static int check_head(const struct snapshot *s)
{
    uint32_t magic, count, crc;
    uint16_t version, zero;

    if (s->part_count == 0 || entry_len(s->parts[0]) < HEAD_BYTES)
        return OC_ECORRUPT;
    const uint8_t *p = entry_payload(s->parts[0]);
    memcpy(&magic, p, sizeof magic);
    memcpy(&version, p + OFF_VERSION, sizeof version);
    memcpy(&zero, p + OFF_ZERO, sizeof zero);
    memcpy(&count, p + OFF_COUNT, sizeof count);
    memcpy(&crc, p + OFF_CRC, sizeof crc);
    if (le32toh(magic) != SNAPSHOT_MAGIC || zero != 0)
        return OC_ECORRUPT;
    if (le16toh(version) != WINDOW_SNAPSHOT_VERSION)
        return OC_EVERSION;
    count = le32toh(count);
    if (count > WINDOW_PAYLOADS_MAX || count != s->part_count - 1 ||
        entry_len(s->parts[0]) != HEAD_BYTES + (size_t)count * ITEM_BYTES ||
        le32toh(crc) != crc32c(count, p + HEAD_BYTES, (size_t)count * ITEM_BYTES))
        return OC_ECORRUPT;
    return (int)count;
}

/* Takes one part into a window that is being restored. */
static int restore_item(struct window *w, const struct head_item *head, struct entry *e)
{
    struct proposal p;
    struct payload_view view;

    if (entry_len(e) != le32toh(head->bytes) || entry_crc(e) != le32toh(head->crc))
        return OC_ECORRUPT;
    int rc = proposal_decode(entry_payload(e), entry_len(e), &p, &view);
    if (rc != 0)
        return rc;
    if (w->count > 0) {
        const struct window_item *before = window_at(w, w->count - 1);
        bool linked = p.kind != PROPOSAL_EXTEND || memcmp(view.header.parent_hash, before->block.hash, HASH_SIZE) == 0;
        if (p.kind == PROPOSAL_ADOPT || p.block.number != before->block.number + 1 || !linked)
            return OC_ECORRUPT;
    }
    struct window_item item = item_of(&p, &view, le64toh(head->index));
    push(w, &item, e);
    return 0;
}

int window_restore(struct window *w, const struct snapshot *s)
{
    struct head_item head;
    int count = check_head(s), rc = 0;

    if (count < 0)
        return count;
    struct window *fresh = window_new(w->limit, w->limit_bytes);
    if (fresh == NULL)
        return -ENOMEM;
    for (unsigned i = 0; i < (unsigned)count && rc == 0; i++) {
        memcpy(&head, entry_payload(s->parts[0]) + HEAD_BYTES + (size_t)i * ITEM_BYTES, sizeof head);
        rc = restore_item(fresh, &head, s->parts[i + 1]);
    }
    if (rc == 0) {
        struct window old = *w;
        *w = *fresh;
        *fresh = old;
    }
    window_free(fresh);
    return rc;
}
