/* Sending on one connection: small frames, entries without a copy, snapshots in pieces. */
#include "consensus/peer_impl.h"

#include "shared/base/err.h"
#include "shared/base/log.h"

#include <stdlib.h>
#include <string.h>

/* Pieces of a snapshot that are handed to the system ahead of time: as many go out in one turn of the
 * loop, so commits never wait for a whole snapshot. */
#define SNAPSHOT_AHEAD_CHUNKS 4

void conn_send_small(struct conn *c, const struct frame_out *out)
{
    uint8_t bytes[FRAME_HEADER_BYTES + FRAME_SMALL_MAX_BYTES];
    if (c->is_closed || (c->purpose == PURPOSE_CONTROL && net_queued_bytes(c->stream) > CONTROL_QUEUE_MAX_BYTES))
        return;
    memcpy(bytes, out->header, FRAME_HEADER_BYTES);
    if (out->payload_len)
        memcpy(bytes + FRAME_HEADER_BYTES, out->payload, out->payload_len);
    net_send(c->stream, bytes, FRAME_HEADER_BYTES + out->payload_len, NULL, 0, NULL, NULL);
}

/* What is being written: an entry, or a piece of a snapshot. */
struct under_way {
    struct conn *conn;
    struct entry *entry;
    struct snapshot *snapshot;
};

static void pump(struct conn *c);

static void on_sent(void *arg)
{
    struct under_way *w = arg;
    struct conn *c = w->conn;
    entry_unref(w->entry);
    if (w->snapshot) {
        snapshot_unref(w->snapshot);
        c->chunks_under_way--;
    }
    free(w);
    if (!c->is_closed && !c->is_pumping)
        pump(c);
}

/* Takes the reference to entry or snapshot. */
static void send_payload(struct conn *c, const struct frame_out *out, struct entry *e, struct snapshot *s)
{
    struct under_way *w = malloc(sizeof *w);
    if (!w) {
        entry_unref(e);
        if (s) {
            snapshot_unref(s);
            c->chunks_under_way--;
        }
        return;
    }
    *w = (struct under_way){c, e, s};
    net_send(c->stream, out->header, FRAME_HEADER_BYTES, out->payload, out->payload_len, on_sent, w);
}

static void send_entry(struct conn *c, const struct wire_msg *msg)
{
    struct frame_out out = {.payload_len = 0};
    struct entry *e = msg->append.entry;
    size_t queued = net_queued_bytes(c->stream);
    if (queued > 0 && queued + entry_len(e) > LOG_QUEUE_MAX_BYTES)
        return;
    if (frame_put_msg(&out, msg) == 0)
        send_payload(c, &out, entry_ref(e), NULL);
}

/* ---- snapshots ---- */

/* Hands out pieces as long as the system takes them; goes on when something was written. */
static void pump(struct conn *c)
{
    struct frame_out out = {.payload_len = 0};
    c->is_pumping = true;
    while (c->snapshot && c->chunks_under_way < SNAPSHOT_AHEAD_CHUNKS) {
        if (c->snapshot_at.part == c->snapshot->part_count) {
            conn_forget_snapshot(c);
            break;
        }
        frame_put_chunk(&out, c->snapshot, &c->snapshot_at);
        c->chunks_under_way++;
        send_payload(c, &out, NULL, snapshot_ref(c->snapshot));
    }
    c->is_pumping = false;
}

void conn_forget_snapshot(struct conn *c)
{
    if (c->snapshot)
        snapshot_unref(c->snapshot);
    c->snapshot = NULL;
}

static void send_snapshot(struct conn *c, const struct wire_msg *msg)
{
    struct frame_out out = {.payload_len = 0};
    int rc = frame_put_msg(&out, msg);
    if (rc) {
        LOG_ERROR("The snapshot is too large to be sent", LOG_U("bytes", msg->install.snapshot->data_len));
        return;
    }
    LOG_INFO("Sending a snapshot", LOG_S("peer", c->hello.name), LOG_U("index", msg->install.snapshot->index),
             LOG_U("bytes", msg->install.snapshot->data_len));
    conn_send_small(c, &out);
    c->snapshot = snapshot_ref(msg->install.snapshot);
    c->snapshot_at = (struct frame_cursor){.part = 0};
    pump(c);
}

bool conn_is_log_msg(const struct wire_msg *msg)
{
    return msg->kind == WIRE_INSTALL_SNAPSHOT || (msg->kind == WIRE_APPEND && msg->append.entry);
}

void conn_send_msg(struct conn *c, const struct wire_msg *msg)
{
    struct frame_out out = {.payload_len = 0};
    if (!conn_is_log_msg(msg)) {
        if (frame_put_msg(&out, msg) == 0)
            conn_send_small(c, &out);
        return;
    }
    /* A snapshot under way is followed by nothing until it is over: it makes the rest obsolete. */
    if (c->snapshot)
        return;
    if (msg->kind == WIRE_APPEND)
        send_entry(c, msg);
    else
        send_snapshot(c, msg);
}
