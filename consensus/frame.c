/* Encoding frames (see frame.h). */
#include "consensus/frame.h"

#include "consensus/frame_fields.h"
#include "shared/base/crc32c.h"
#include "shared/base/err.h"

#include <stdio.h>

static void begin(struct frame_out *out, unsigned kind)
{
    memset(out->header, 0, sizeof out->header);
    put32(out->header + AT_MAGIC, FRAME_MAGIC);
    out->header[AT_VERSION] = FRAME_VERSION;
    out->header[AT_KIND] = (uint8_t)kind;
    out->payload = NULL;
    out->payload_len = 0;
}

/* Sets the payload's fields and seals the header. */
static void finish(struct frame_out *out, const uint8_t *payload, size_t len, uint32_t payload_crc)
{
    out->payload = payload;
    out->payload_len = len;
    put32(out->header + AT_PAYLOAD_BYTES, (uint32_t)len);
    put32(out->header + AT_PAYLOAD_CRC, payload_crc);
    put32(out->header + AT_HEADER_CRC, crc32c(0, out->header, AT_HEADER_CRC));
}

static void finish_small(struct frame_out *out, size_t len)
{
    finish(out, out->small, len, crc32c(0, out->small, len));
}

static size_t put_membership(uint8_t *p, const struct membership *m)
{
    uint8_t *start = p;
    put64(p, m->index);
    put32(p + 8, m->count);
    p += MEMBERSHIP_MIN_BYTES;
    for (unsigned i = 0; i < m->count; i++, p += MEMBER_BYTES) {
        memset(p, 0, MEMBER_BYTES);
        put64(p, m->members[i].id);
        put32(p + 8, (uint32_t)m->members[i].role);
        memcpy(p + 12, m->members[i].address, strnlen(m->members[i].address, MEMBER_ADDRESS_SIZE - 1));
    }
    return (size_t)(p - start);
}

static void put_vote_fields(uint8_t *h, const struct wire_msg *msg)
{
    if (msg->kind == WIRE_REQUEST_VOTE) {
        h[AT_FLAGS] = (uint8_t)((msg->request_vote.disrupt_leader ? FLAG_DISRUPT : 0) |
                                (msg->request_vote.pre_vote ? FLAG_PRE_VOTE : 0));
        put64(h + AT_A, msg->request_vote.candidate_id);
        put64(h + AT_B, msg->request_vote.last_log_index);
        put64(h + AT_C, msg->request_vote.last_log_term);
    } else {
        h[AT_FLAGS] =
            (uint8_t)((msg->vote_result.granted ? FLAG_GRANTED : 0) | (msg->vote_result.pre_vote ? FLAG_PRE_VOTE : 0));
        put32(h + AT_E, msg->vote_result.features);
        put16(h + AT_F, msg->vote_result.capacity);
    }
}

int frame_put_msg(struct frame_out *out, const struct wire_msg *msg)
{
    uint8_t *h = out->header;
    begin(out, msg->kind);
    h[AT_LIB_VERSION] = msg->version;
    put64(h + AT_TERM, msg->term);
    switch (msg->kind) {
    case WIRE_REQUEST_VOTE:
    case WIRE_VOTE_RESULT:
        put_vote_fields(h, msg);
        break;
    case WIRE_APPEND:
        put64(h + AT_A, msg->append.prev_log_index);
        put64(h + AT_B, msg->append.prev_log_term);
        put64(h + AT_C, msg->append.leader_commit);
        if (msg->append.entry) {
            struct entry *e = msg->append.entry;
            h[AT_FLAGS] = FLAG_ENTRY;
            h[AT_ENTRY_TYPE] = (uint8_t)entry_type(e);
            put64(h + AT_D, entry_term(e));
            finish(out, entry_payload(e), entry_len(e), entry_crc(e));
            return 0;
        }
        break;
    case WIRE_APPEND_RESULT:
        put64(h + AT_A, msg->append_result.rejected);
        put64(h + AT_B, msg->append_result.last_log_index);
        put32(h + AT_E, msg->append_result.features);
        put16(h + AT_F, msg->append_result.capacity);
        break;
    case WIRE_INSTALL_SNAPSHOT: {
        const struct snapshot *s = msg->install.snapshot;
        if (s->data_len > SNAPSHOT_MAX_BYTES || s->membership.count > CLUSTER_SERVERS_MAX)
            return OC_ERANGE;
        put64(h + AT_A, s->index);
        put64(h + AT_B, s->term);
        put64(h + AT_C, msg->install.conf_index);
        put64(h + AT_D, s->data_len);
        finish_small(out, put_membership(out->small, &s->membership));
        return 0;
    }
    case WIRE_TIMEOUT_NOW:
        h[AT_FLAGS] = msg->timeout_now.asked ? FLAG_ASKED : 0;
        put64(h + AT_A, msg->timeout_now.last_log_index);
        put64(h + AT_B, msg->timeout_now.last_log_term);
        break;
    }
    finish(out, NULL, 0, 0);
    return 0;
}

void frame_put_chunk(struct frame_out *out, const struct snapshot *s, struct frame_cursor *at)
{
    struct entry *part = s->parts[at->part];
    const uint8_t *from = entry_payload(part) + at->in_part;
    size_t len = entry_len(part) - at->in_part;
    if (len > FRAME_CHUNK_BYTES)
        len = FRAME_CHUNK_BYTES;
    at->crc = crc32c(at->crc, from, len);
    begin(out, FRAME_CHUNK);
    put64(out->header + AT_A, s->index);
    put64(out->header + AT_B, at->total);
    put64(out->header + AT_C, at->part);
    put64(out->header + AT_D, entry_len(part));
    finish(out, from, len, at->crc);
    at->total += len;
    at->in_part += len;
    if (at->in_part == entry_len(part)) {
        at->part++;
        at->in_part = 0;
        at->crc = 0;
    }
}

void frame_put_hello(struct frame_out *out, const struct frame_hello *hello)
{
    uint8_t *p = out->small;
    begin(out, FRAME_HELLO);
    memset(p, 0, HELLO_BYTES);
    put32(p, hello->purpose);
    put32(p + 4, hello->election_timeout_ms);
    put64(p + 8, hello->raft_id);
    put64(p + 16, hello->process_nonce);
    memcpy(p + 24, hello->storage_uuid, STORAGE_UUID_BYTES);
    memcpy(p + 40, hello->cluster_id, CLUSTER_ID_BYTES);
    memcpy(p + 56, hello->name, strnlen(hello->name, SERVER_ID_SIZE - 1));
    memcpy(p + 56 + SERVER_ID_SIZE, hello->address, strnlen(hello->address, SERVER_ADDR_SIZE - 1));
    p += 56 + SERVER_ID_SIZE + SERVER_ADDR_SIZE;
    put64(p, hello->membership_index);
    put32(p + 8, hello->proposal_level);
    memcpy(p + 12, hello->version, strnlen(hello->version, VERSION_SIZE - 1));
    finish_small(out, HELLO_BYTES);
}

void frame_put_refuse(struct frame_out *out, const char *text)
{
    begin(out, FRAME_REFUSE);
    memset(out->small, 0, TEXT_SIZE);
    memcpy(out->small, text, strnlen(text, TEXT_SIZE - 1));
    finish_small(out, TEXT_SIZE);
}

void frame_put_record(struct frame_out *out, const struct frame_record *record)
{
    const struct msg_self_record *r = &record->record;
    uint8_t *p = out->small;
    begin(out, FRAME_RECORD);
    put32(p, record->valid);
    put32(p + 4, record->age_ms);
    put32(p + 8, r->reason);
    put32(p + 12, r->paused);
    put32(p + 16, r->sequencing);
    put32(p + 20, r->health_unknown);
    put64(p + 24, r->unsafe_head.number);
    memcpy(p + 32, r->unsafe_head.hash, HASH_SIZE);
    put64(p + 32 + HASH_SIZE, r->wall_ms);
    finish_small(out, RECORD_BYTES);
}

void frame_put_progress(struct frame_out *out)
{
    begin(out, FRAME_PROGRESS);
    finish(out, NULL, 0, 0);
}
