/* Decoding frames from a byte stream that may come from anybody (see frame.h). */
#include "consensus/frame.h"

#include "consensus/frame_fields.h"
#include "shared/base/crc32c.h"
#include "shared/base/err.h"

#include <errno.h>
#include <stdlib.h>

/* A header's fields after its checksum, kind and lengths were found good. */
struct fields {
    unsigned kind;
    uint8_t flags, lib_version, entry_type;
    uint32_t payload_len, payload_crc;
    uint64_t term, a, b, c, d;
    uint32_t e;
    uint16_t f;
};

struct frame_receiver {
    uint8_t header[FRAME_HEADER_BYTES];
    size_t header_have;
    bool in_payload;
    struct fields fields;
    size_t payload_have;
    uint32_t crc;        /* of the payload so far */
    uint8_t *target;     /* where the payload goes: an entry, a snapshot's part, or `small` */
    struct entry *entry; /* being received */
    /* A snapshot being put together, and how its frame began. */
    struct wire_msg install;
    struct snapshot *snapshot;
    uint64_t snapshot_bytes; /* as announced */
    size_t snapshot_have;
    struct entry *part; /* being received */
    size_t part_have;
    uint32_t part_crc;
    uint8_t small[FRAME_SMALL_MAX_BYTES];
};

struct frame_receiver *frame_receiver_new(void)
{
    return calloc(1, sizeof(struct frame_receiver));
}

void frame_receiver_free(struct frame_receiver *r)
{
    if (!r)
        return;
    entry_unref(r->entry);
    entry_unref(r->part);
    snapshot_unref(r->snapshot);
    free(r);
}

void frame_clear(struct frame *f)
{
    if (f->kind == WIRE_APPEND) {
        entry_unref(f->msg.append.entry);
        f->msg.append.entry = NULL;
    } else if (f->kind == WIRE_INSTALL_SNAPSHOT) {
        snapshot_unref(f->msg.install.snapshot);
        f->msg.install.snapshot = NULL;
    }
}

uint8_t *frame_receiver_buffer(struct frame_receiver *r, size_t *ret_room)
{
    if (r->in_payload) {
        *ret_room = r->fields.payload_len - r->payload_have;
        return r->target + r->payload_have;
    }
    *ret_room = FRAME_HEADER_BYTES - r->header_have;
    return r->header + r->header_have;
}

unsigned frame_receiver_version(const struct frame_receiver *r)
{
    return r->header[AT_VERSION];
}

bool frame_receiver_is_bulk(const struct frame_receiver *r)
{
    return r->snapshot || (r->in_payload && r->entry);
}

static int parse_header(const uint8_t *h, struct fields *f)
{
    if (get32(h + AT_MAGIC) != FRAME_MAGIC)
        return OC_EPROTO;
    if (get32(h + AT_HEADER_CRC) != crc32c(0, h, AT_HEADER_CRC))
        return OC_ECORRUPT;
    if (h[AT_VERSION] != FRAME_VERSION)
        return OC_EVERSION;
    if (h[AT_ZERO_8] || get32(h + AT_ZERO_32))
        return OC_EPROTO;
    *f = (struct fields){
        .kind = h[AT_KIND],
        .flags = h[AT_FLAGS],
        .lib_version = h[AT_LIB_VERSION],
        .entry_type = h[AT_ENTRY_TYPE],
        .payload_len = get32(h + AT_PAYLOAD_BYTES),
        .payload_crc = get32(h + AT_PAYLOAD_CRC),
        .term = get64(h + AT_TERM),
        .a = get64(h + AT_A),
        .b = get64(h + AT_B),
        .c = get64(h + AT_C),
        .d = get64(h + AT_D),
        .e = get32(h + AT_E),
        .f = get16(h + AT_F),
    };
    return 0;
}

/* Which flags and payload lengths a kind may have. */
static bool is_allowed(const struct fields *f)
{
    unsigned flags = 0;
    size_t least = 0, most = 0;
    switch (f->kind) {
    case WIRE_REQUEST_VOTE:
        flags = FLAG_DISRUPT | FLAG_PRE_VOTE;
        break;
    case WIRE_VOTE_RESULT:
        flags = FLAG_GRANTED | FLAG_PRE_VOTE;
        break;
    case WIRE_APPEND:
        flags = FLAG_ENTRY;
        if (f->flags & FLAG_ENTRY) {
            most = ENTRY_PAYLOAD_MAX_BYTES;
            if (f->entry_type < ENTRY_COMMAND || f->entry_type > ENTRY_CHANGE || f->d == 0 || f->d > f->term)
                return false;
        } else if (f->entry_type || f->d) {
            return false;
        }
        break;
    case WIRE_TIMEOUT_NOW:
        flags = FLAG_ASKED;
        break;
    case WIRE_APPEND_RESULT:
    case FRAME_PROGRESS:
        break;
    case FRAME_SNAPSHOT:
        least = MEMBERSHIP_MIN_BYTES;
        most = FRAME_SMALL_MAX_BYTES;
        if (f->a == 0 || f->b == 0 || f->b > f->term || f->d > SNAPSHOT_MAX_BYTES)
            return false;
        break;
    case FRAME_CHUNK:
        least = 1;
        most = FRAME_CHUNK_BYTES;
        if (f->d == 0 || f->d > ENTRY_PAYLOAD_MAX_BYTES)
            return false;
        break;
    case FRAME_HELLO:
        least = HELLO_BYTES;
        most = FRAME_SMALL_MAX_BYTES;
        break;
    case FRAME_REFUSE:
        least = most = TEXT_SIZE;
        break;
    case FRAME_RECORD:
        least = RECORD_BYTES;
        most = FRAME_SMALL_MAX_BYTES;
        break;
    default:
        return false;
    }
    return (f->flags & ~flags) == 0 && f->payload_len >= least && f->payload_len <= most;
}

int frame_get_membership(const uint8_t *data, size_t len, struct membership *ret)
{
    memset(ret, 0, sizeof *ret);
    if (len < MEMBERSHIP_MIN_BYTES)
        return OC_EPROTO;
    ret->index = get64(data);
    uint32_t count = get32(data + 8);
    if (count > CLUSTER_SERVERS_MAX || len != MEMBERSHIP_MIN_BYTES + (size_t)count * MEMBER_BYTES)
        return OC_EPROTO;
    ret->count = count;
    for (unsigned i = 0; i < count; i++) {
        const uint8_t *p = data + MEMBERSHIP_MIN_BYTES + (size_t)i * MEMBER_BYTES;
        struct member *m = &ret->members[i];
        uint32_t role = get32(p + 8);
        m->id = get64(p);
        if (m->id == 0 || role > MEMBER_SPARE || !is_terminated((const char *)p + 12, MEMBER_ADDRESS_SIZE))
            return OC_EPROTO;
        m->role = (enum member_role)role;
        memcpy(m->address, p + 12, MEMBER_ADDRESS_SIZE);
        for (unsigned j = 0; j < i; j++)
            if (ret->members[j].id == m->id)
                return OC_EPROTO;
    }
    return 0;
}

static int get_hello(const uint8_t *p, struct frame_hello *ret)
{
    memset(ret, 0, sizeof *ret);
    ret->purpose = get32(p);
    ret->election_timeout_ms = get32(p + 4);
    ret->raft_id = get64(p + 8);
    ret->process_nonce = get64(p + 16);
    memcpy(ret->storage_uuid, p + 24, STORAGE_UUID_BYTES);
    memcpy(ret->cluster_id, p + 40, CLUSTER_ID_BYTES);
    memcpy(ret->name, p + 56, SERVER_ID_SIZE);
    memcpy(ret->address, p + 56 + SERVER_ID_SIZE, SERVER_ADDR_SIZE);
    p += 56 + SERVER_ID_SIZE + SERVER_ADDR_SIZE;
    ret->membership_index = get64(p);
    ret->proposal_level = get32(p + 8);
    memcpy(ret->version, p + 12, VERSION_SIZE);
    if (ret->purpose < PURPOSE_CONTROL || ret->purpose > PURPOSE_PROBE || !is_terminated(ret->name, SERVER_ID_SIZE) ||
        !is_terminated(ret->address, SERVER_ADDR_SIZE) || !is_terminated(ret->version, VERSION_SIZE) ||
        ret->proposal_level == 0 || identity_check_name(ret->name) ||
        ret->raft_id != identity_raft_id(ret->name, ret->storage_uuid))
        return OC_EPROTO;
    return 0;
}

static int get_record(const uint8_t *p, struct frame_record *ret)
{
    memset(ret, 0, sizeof *ret);
    ret->valid = get32(p) == 1;
    ret->age_ms = get32(p + 4);
    ret->record.reason = get32(p + 8);
    ret->record.paused = get32(p + 12);
    ret->record.sequencing = get32(p + 16);
    ret->record.health_unknown = get32(p + 20);
    ret->record.unsafe_head.number = get64(p + 24);
    memcpy(ret->record.unsafe_head.hash, p + 32, HASH_SIZE);
    ret->record.wall_ms = get64(p + 32 + HASH_SIZE);
    if (ret->record.reason >= READY_REASON_COUNT)
        ret->record.reason = READY_UNKNOWN; /* of a later version: not ready in any case */
    if (get32(p) > 1 || ret->record.paused > 1 || ret->record.sequencing > 1 || ret->record.health_unknown > 1)
        return OC_EPROTO;
    return 0;
}

/* Prepares the place for a piece of a snapshot. Memory grows with the parts that have really arrived, by
 * one part at most beyond. */
static int begin_chunk(struct frame_receiver *r)
{
    const struct fields *f = &r->fields;
    if (!r->snapshot || f->a != r->snapshot->index || f->b != r->snapshot_have || f->c != r->snapshot->part_count)
        return OC_EPROTO;
    if (!r->part) {
        if (f->d > r->snapshot_bytes - r->snapshot_have)
            return OC_EPROTO;
        r->part = entry_new(ENTRY_COMMAND, 0, f->d);
        r->part_have = 0;
        r->part_crc = 0;
        if (!r->part)
            return -ENOMEM;
    }
    if (f->d != entry_len(r->part) || f->payload_len > f->d - r->part_have)
        return OC_EPROTO;
    r->crc = r->part_crc;
    r->target = entry_payload(r->part) + r->part_have;
    return 0;
}

/* Prepares the place for the payload that the header announces. */
static int begin_payload(struct frame_receiver *r)
{
    const struct fields *f = &r->fields;
    r->payload_have = 0;
    r->crc = 0;
    r->in_payload = true;
    if (f->kind == FRAME_CHUNK)
        return begin_chunk(r);
    r->target = r->small;
    if (f->kind == WIRE_APPEND) {
        r->entry = entry_new((enum entry_type)f->entry_type, f->d, f->payload_len);
        if (!r->entry)
            return -ENOMEM;
        r->target = entry_payload(r->entry);
    }
    return 0;
}

static int begin_snapshot(struct frame_receiver *r)
{
    const struct fields *f = &r->fields;
    snapshot_unref(r->snapshot);
    entry_unref(r->part);
    r->part = NULL;
    r->snapshot_have = 0;
    r->snapshot = snapshot_new();
    if (!r->snapshot)
        return -ENOMEM;
    r->snapshot->index = f->a;
    r->snapshot->term = f->b;
    r->snapshot_bytes = f->d;
    if (frame_get_membership(r->small, f->payload_len, &r->snapshot->membership) || r->snapshot->membership.count == 0)
        return OC_EPROTO;
    r->install = (struct wire_msg){.kind = WIRE_INSTALL_SNAPSHOT, .term = f->term, .version = f->lib_version};
    r->install.install.conf_index = f->c;
    return 0;
}

/* When all data of the snapshot is here, hands it over. */
static int end_snapshot(struct frame_receiver *r, struct frame *ret)
{
    if (r->snapshot_have < r->snapshot_bytes)
        return 0;
    ret->kind = WIRE_INSTALL_SNAPSHOT;
    ret->msg = r->install;
    ret->msg.install.snapshot = r->snapshot;
    r->snapshot = NULL;
    return 1;
}

static int end_chunk(struct frame_receiver *r, struct frame *ret)
{
    r->snapshot_have += r->fields.payload_len;
    r->part_have += r->fields.payload_len;
    r->part_crc = r->crc;
    if (r->part_have < entry_len(r->part))
        return 0;
    entry_set_crc(r->part, r->part_crc);
    int rc = snapshot_add_part(r->snapshot, r->part);
    entry_unref(r->part);
    r->part = NULL;
    return rc == OC_ERANGE ? OC_EPROTO : rc ? rc : end_snapshot(r, ret);
}

static void get_msg(struct frame_receiver *r, struct wire_msg *m)
{
    const struct fields *f = &r->fields;
    *m = (struct wire_msg){.kind = (enum wire_kind)f->kind, .term = f->term, .version = f->lib_version};
    switch (m->kind) {
    case WIRE_REQUEST_VOTE:
        m->request_vote.candidate_id = f->a;
        m->request_vote.last_log_index = f->b;
        m->request_vote.last_log_term = f->c;
        m->request_vote.disrupt_leader = (f->flags & FLAG_DISRUPT) != 0;
        m->request_vote.pre_vote = (f->flags & FLAG_PRE_VOTE) != 0;
        break;
    case WIRE_VOTE_RESULT:
        m->vote_result.granted = (f->flags & FLAG_GRANTED) != 0;
        m->vote_result.pre_vote = (f->flags & FLAG_PRE_VOTE) != 0;
        m->vote_result.features = f->e;
        m->vote_result.capacity = f->f;
        break;
    case WIRE_APPEND:
        m->append.prev_log_index = f->a;
        m->append.prev_log_term = f->b;
        m->append.leader_commit = f->c;
        m->append.entry = r->entry;
        if (r->entry)
            entry_set_crc(r->entry, r->crc);
        r->entry = NULL;
        break;
    case WIRE_APPEND_RESULT:
        m->append_result.rejected = f->a;
        m->append_result.last_log_index = f->b;
        m->append_result.features = f->e;
        m->append_result.capacity = f->f;
        break;
    case WIRE_TIMEOUT_NOW:
        m->timeout_now.asked = (f->flags & FLAG_ASKED) != 0;
        m->timeout_now.last_log_index = f->a;
        m->timeout_now.last_log_term = f->b;
        break;
    case WIRE_INSTALL_SNAPSHOT: /* comes out of end_snapshot */
        break;
    }
}

/* The whole frame is here. Returns 1 with a frame, 0 for a part of a snapshot, or an error. */
static int complete(struct frame_receiver *r, struct frame *ret)
{
    int rc = 1;
    r->in_payload = false;
    r->header_have = 0;
    if (r->crc != r->fields.payload_crc)
        return OC_ECORRUPT;
    switch (r->fields.kind) {
    case FRAME_SNAPSHOT:
        rc = begin_snapshot(r);
        return rc ? rc : end_snapshot(r, ret);
    case FRAME_CHUNK:
        return end_chunk(r, ret);
    case FRAME_HELLO:
        rc = get_hello(r->small, &ret->hello);
        break;
    case FRAME_REFUSE:
        if (!is_terminated((const char *)r->small, TEXT_SIZE))
            return OC_EPROTO;
        memcpy(ret->text, r->small, TEXT_SIZE);
        rc = 0;
        break;
    case FRAME_RECORD:
        rc = get_record(r->small, &ret->record);
        break;
    case FRAME_PROGRESS:
        rc = 0;
        break;
    default:
        get_msg(r, &ret->msg);
        rc = 0;
        break;
    }
    ret->kind = r->fields.kind;
    return rc ? rc : 1;
}

int frame_receiver_advance(struct frame_receiver *r, size_t n, struct frame *ret)
{
    int rc;
    if (!r->in_payload) {
        r->header_have += n;
        if (r->header_have < FRAME_HEADER_BYTES)
            return 0;
        rc = parse_header(r->header, &r->fields);
        if (rc)
            return rc;
        if (!is_allowed(&r->fields))
            return OC_EPROTO;
        if (r->fields.payload_len == 0 && !(r->fields.kind == WIRE_APPEND && (r->fields.flags & FLAG_ENTRY))) {
            r->crc = 0;
            return complete(r, ret);
        }
        rc = begin_payload(r);
        if (rc || r->fields.payload_len > 0)
            return rc;
        return complete(r, ret);
    }
    r->crc = crc32c(r->crc, r->target + r->payload_have, n);
    r->payload_have += n;
    if (r->payload_have < r->fields.payload_len)
        return 0;
    return complete(r, ret);
}
