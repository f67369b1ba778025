/* Frames of every kind (see frame_examples.h). */
#include "frame_examples.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

void frame_add(struct bytes *b, const struct frame_out *out)
{
    assert_true(b->len + FRAME_HEADER_BYTES + out->payload_len <= sizeof b->data);
    memcpy(b->data + b->len, out->header, FRAME_HEADER_BYTES);
    b->len += FRAME_HEADER_BYTES;
    if (out->payload_len)
        memcpy(b->data + b->len, out->payload, out->payload_len);
    b->len += out->payload_len;
}

int frame_feed(struct frame_receiver *r, const uint8_t *data, size_t len, size_t step, struct frame *ret,
               size_t *ret_used)
{
    size_t used = 0;
    int rc = 0;
    while (rc == 0 && used < len) {
        size_t room, n = len - used;
        uint8_t *dst = frame_receiver_buffer(r, &room);
        assert_true(room > 0);
        n = n < room ? n : room;
        n = n < step ? n : step;
        memcpy(dst, data + used, n);
        used += n;
        rc = frame_receiver_advance(r, n, ret);
    }
    if (ret_used)
        *ret_used = used;
    return rc;
}

int frame_decode_one(const struct bytes *b, size_t step, struct frame *ret)
{
    struct frame_receiver *r = frame_receiver_new();
    size_t used;
    assert_non_null(r);
    memset(ret, 0, sizeof *ret);
    int rc = frame_feed(r, b->data, b->len, step, ret, &used);
    if (rc == 1)
        assert_int_equal(used, b->len);
    frame_receiver_free(r);
    return rc;
}

/* ---- examples of every kind ---- */

static struct entry *make_entry(size_t len)
{
    struct entry *e = entry_new(ENTRY_COMMAND, 7, len);
    assert_non_null(e);
    for (size_t i = 0; i < len; i++)
        entry_payload(e)[i] = (uint8_t)(i * 31 + 7);
    return e;
}

struct snapshot *frame_make_snapshot(size_t len)
{
    struct snapshot *s = snapshot_new();
    assert_non_null(s);
    for (size_t done = 0, n; done < len; done += n) {
        n = done == 0 ? 30 : len - done;
        struct entry *part = make_entry(n);
        entry_payload(part)[0] = (uint8_t)s->part_count;
        assert_int_equal(snapshot_add_part(s, part), 0);
        entry_unref(part);
    }
    s->index = 90;
    s->term = 6;
    s->membership.index = 44;
    s->membership.count = 2;
    s->membership.members[0] = (struct member){.id = 11, .role = MEMBER_VOTER, .address = "seq-0@10.0.0.1:50050"};
    s->membership.members[1] = (struct member){.id = 12, .role = MEMBER_STANDBY, .address = "seq-1@[::1]:50050"};
    return s;
}

static struct frame_hello make_hello(void)
{
    struct frame_hello h = {.purpose = PURPOSE_LOG,
                            .election_timeout_ms = 300,
                            .process_nonce = 0x123456789abcdef0,
                            .membership_index = 77,
                            .proposal_level = 3,
                            .storage_uuid = {1, 2, 3},
                            .cluster_id = {9, 8, 7},
                            .name = "seq-0",
                            .address = "host.example:50050",
                            .version = "v1.2.3"};
    h.raft_id = identity_raft_id(h.name, h.storage_uuid);
    return h;
}

static const struct frame_record RECORD = {.valid = true,
                                           .age_ms = 17,
                                           .record = {.reason = READY_LAGGING,
                                                      .paused = 1,
                                                      .sequencing = 0,
                                                      .health_unknown = 1,
                                                      .unsafe_head = {.number = 1234567, .hash = {0xaa, 0xbb}},
                                                      .wall_ms = 1700000000123}};

static struct wire_msg make_msg(enum example which)
{
    struct wire_msg m = {.term = 7, .version = 1};
    switch (which) {
    case EX_REQUEST_VOTE:
        m.kind = WIRE_REQUEST_VOTE;
        m.request_vote.candidate_id = UINT64_MAX - 3;
        m.request_vote.last_log_index = 100;
        m.request_vote.last_log_term = 6;
        m.request_vote.pre_vote = 1;
        break;
    case EX_VOTE_RESULT:
        m.kind = WIRE_VOTE_RESULT;
        m.vote_result.granted = 1;
        m.vote_result.features = 0xdeadbeef;
        m.vote_result.capacity = 4711;
        break;
    case EX_APPEND_RESULT:
        m.kind = WIRE_APPEND_RESULT;
        m.append_result.rejected = 5;
        m.append_result.last_log_index = 99;
        m.append_result.features = 3;
        m.append_result.capacity = 9;
        break;
    case EX_TIMEOUT_NOW:
        m.kind = WIRE_TIMEOUT_NOW;
        m.timeout_now.last_log_index = 10;
        m.timeout_now.last_log_term = 7;
        m.timeout_now.asked = 1;
        break;
    case EX_SNAPSHOT:
    case EX_SNAPSHOT_EMPTY:
        m.kind = WIRE_INSTALL_SNAPSHOT;
        m.install.snapshot = frame_make_snapshot(which == EX_SNAPSHOT ? 2 * FRAME_CHUNK_BYTES + 100 : 0);
        m.install.conf_index = 44;
        break;
    default:
        m.kind = WIRE_APPEND;
        m.append.prev_log_index = 100;
        m.append.prev_log_term = 6;
        m.append.leader_commit = 98;
        m.append.entry = which == EX_APPEND ? make_entry(300) : which == EX_APPEND_EMPTY ? make_entry(0) : NULL;
        break;
    }
    return m;
}

void frame_encode(enum example which, struct bytes *b)
{
    static struct frame_out out;
    b->len = 0;
    if (which < EX_HELLO) {
        struct wire_msg m = make_msg(which);
        bool has_entry = m.kind == WIRE_APPEND && m.append.entry;
        assert_int_equal(frame_put_msg(&out, &m), 0);
        frame_add(b, &out);
        if (m.kind == WIRE_INSTALL_SNAPSHOT) {
            struct frame_cursor at = {.part = 0};
            while (at.part < m.install.snapshot->part_count) {
                frame_put_chunk(&out, m.install.snapshot, &at);
                frame_add(b, &out);
            }
            snapshot_unref(m.install.snapshot);
        }
        if (has_entry)
            entry_unref(m.append.entry);
        return;
    }
    const struct frame_hello hello = make_hello();
    if (which == EX_HELLO)
        frame_put_hello(&out, &hello);
    else if (which == EX_REFUSE)
        frame_put_refuse(&out, "because");
    else if (which == EX_RECORD)
        frame_put_record(&out, &RECORD);
    else
        frame_put_progress(&out);
    frame_add(b, &out);
}

void frame_check_same(enum example which, struct frame *f)
{
    struct wire_msg want;
    const struct frame_hello hello = make_hello();
    if (which >= EX_HELLO) {
        static const unsigned kinds[] = {FRAME_HELLO, FRAME_REFUSE, FRAME_RECORD, FRAME_PROGRESS};
        assert_int_equal(f->kind, kinds[which - EX_HELLO]);
        if (which == EX_HELLO)
            assert_memory_equal(&f->hello, &hello, sizeof hello);
        if (which == EX_REFUSE)
            assert_string_equal(f->text, "because");
        if (which == EX_RECORD) {
            assert_true(f->record.valid);
            assert_int_equal(f->record.age_ms, RECORD.age_ms);
            assert_memory_equal(&f->record.record, &RECORD.record, sizeof RECORD.record);
        }
        return;
    }
    want = make_msg(which);
    assert_int_equal(f->kind, want.kind);
    assert_int_equal(f->msg.term, want.term);
    assert_int_equal(f->msg.version, want.version);
    switch (want.kind) {
    case WIRE_REQUEST_VOTE:
        assert_memory_equal(&f->msg.request_vote, &want.request_vote, sizeof want.request_vote);
        break;
    case WIRE_VOTE_RESULT:
        assert_memory_equal(&f->msg.vote_result, &want.vote_result, sizeof want.vote_result);
        break;
    case WIRE_APPEND_RESULT:
        assert_memory_equal(&f->msg.append_result, &want.append_result, sizeof want.append_result);
        break;
    case WIRE_TIMEOUT_NOW:
        assert_memory_equal(&f->msg.timeout_now, &want.timeout_now, sizeof want.timeout_now);
        break;
    case WIRE_APPEND:
        assert_int_equal(f->msg.append.prev_log_index, 100);
        assert_int_equal(f->msg.append.prev_log_term, 6);
        assert_int_equal(f->msg.append.leader_commit, 98);
        assert_int_equal(f->msg.append.entry != NULL, want.append.entry != NULL);
        if (want.append.entry) {
            assert_int_equal(entry_type(f->msg.append.entry), ENTRY_COMMAND);
            assert_int_equal(entry_term(f->msg.append.entry), 7);
            assert_int_equal(entry_len(f->msg.append.entry), entry_len(want.append.entry));
            assert_memory_equal(entry_payload(f->msg.append.entry), entry_payload(want.append.entry),
                                entry_len(want.append.entry));
            entry_unref(want.append.entry);
        }
        break;
    case WIRE_INSTALL_SNAPSHOT: {
        struct snapshot *got = f->msg.install.snapshot, *sent = want.install.snapshot;
        assert_int_equal(f->msg.install.conf_index, 44);
        assert_int_equal(got->index, sent->index);
        assert_int_equal(got->term, sent->term);
        assert_memory_equal(&got->membership, &sent->membership, sizeof sent->membership);
        assert_int_equal(got->data_len, sent->data_len);
        assert_int_equal(got->part_count, sent->part_count);
        for (unsigned i = 0; i < sent->part_count; i++) {
            assert_int_equal(entry_len(got->parts[i]), entry_len(sent->parts[i]));
            assert_int_equal(entry_crc(got->parts[i]), entry_crc(sent->parts[i]));
            assert_memory_equal(entry_payload(got->parts[i]), entry_payload(sent->parts[i]), entry_len(sent->parts[i]));
        }
        snapshot_unref(sent);
        break;
    }
    }
}
