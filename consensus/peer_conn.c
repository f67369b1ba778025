/* One connection between two conductors: hello, then frames (see peer.h). */
#include "consensus/peer_impl.h"

#include "shared/base/clock.h"
#include "shared/base/err.h"
#include "shared/base/log.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static bool is_zero(const uint8_t *p, size_t n)
{
    for (size_t i = 0; i < n; i++)
        if (p[i])
            return false;
    return true;
}

bool conn_check_hello(const struct peers *p, const struct frame_hello *h, char *text, size_t text_size)
{
    const struct member *m = identity_find_name(&p->membership, h->name);
    if (h->raft_id == p->self.raft_id) {
        snprintf(text, text_size, "this is server %s itself", p->self.name);
        return false;
    }
    if (!is_zero(p->self.cluster_id, CLUSTER_ID_BYTES) && !is_zero(h->cluster_id, CLUSTER_ID_BYTES) &&
        memcmp(p->self.cluster_id, h->cluster_id, CLUSTER_ID_BYTES) != 0) {
        snprintf(text, text_size, "server %s and server %s belong to different clusters", h->name, p->self.name);
        return false;
    }
    /* A name with another storage: an emptied disk, or a member that was added again, of which this server has not
     * heard yet and will hear from that member alone if it is the leader. */
    bool is_other = m && m->id != h->raft_id && h->membership_index <= p->membership.index;
    if (is_other || (!m && strcmp(p->self.name, h->name) == 0)) {
        snprintf(text, text_size,
                 "server %s is known with another storage: remove it from the cluster and add it again", h->name);
        return false;
    }
    return true;
}

/* ---- life ---- */

static void conn_unlink(struct conn *c)
{
    if (c->prev_next) {
        *c->prev_next = c->next;
        if (c->next)
            c->next->prev_next = c->prev_next;
        c->prev_next = NULL;
        if (!c->dialed)
            c->peers->accepted_count--;
    }
    c->is_closed = true;
    c->is_up = false;
    conn_forget_snapshot(c);
}

void conn_close(struct conn *c, bool flush)
{
    if (c->is_closed)
        return;
    conn_unlink(c);
    net_close(c->stream, flush);
}

static void on_released(void *ctx)
{
    struct conn *c = ctx;
    frame_receiver_free(c->receiver);
    free(c);
}

/* Ends it from our side and tells the owner. */
static void conn_fail(struct conn *c, int rc, const char *refusal)
{
    if (c->is_closed)
        return;
    conn_close(c, false);
    if (c->down)
        c->down(c, rc, refusal);
}

static void on_ended(void *ctx, int rc)
{
    struct conn *c = ctx;
    if (c->is_closed)
        return;
    conn_unlink(c); /* the stream closes itself */
    if (c->down)
        c->down(c, rc, NULL);
    if (!c->dialed && c->hello.purpose == PURPOSE_CONTROL) {
        /* While our own dial waits for its turn, this is the only sign that the peer went away. */
        struct peer *peer = peers_find(c->peers, c->hello.raft_id);
        if (peer)
            dialer_hurry(&peer->control, clock_mono_ms(), true);
    }
}

static void send_hello(struct conn *c)
{
    struct frame_out out = {.payload_len = 0};
    struct frame_hello hello = c->peers->self;
    hello.purpose = c->purpose;
    frame_put_hello(&out, &hello);
    conn_send_small(c, &out);
}

static void on_connected(void *ctx)
{
    send_hello(ctx);
}

/* ---- what arrives ---- */

static uint8_t *on_buffer(void *ctx, size_t *ret_room)
{
    struct conn *c = ctx;
    return frame_receiver_buffer(c->receiver, ret_room);
}

/* The newest connection of a purpose replaces an older one of the same server. */
static void close_older(struct conn *newer)
{
    struct conn *next;
    for (struct conn *c = newer->peers->conns; c; c = next) {
        next = c->next;
        if (c != newer && !c->dialed && c->is_up && c->hello.raft_id == newer->hello.raft_id &&
            c->purpose == newer->purpose)
            conn_close(c, false);
    }
}

static void warn_if_timeouts_differ(struct peers *p, struct peer *peer, const struct frame_hello *h)
{
    if (!peer || peer->timeout_warned || h->election_timeout_ms == p->self.election_timeout_ms)
        return;
    peer->timeout_warned = true;
    LOG_WARN("Election timeouts differ, set --raft.heartbeat-timeout the same on every node", LOG_S("peer", h->name),
             LOG_U("peer_ms", h->election_timeout_ms), LOG_U("own_ms", p->self.election_timeout_ms));
}

/* Whoever is refused tries again and again. */
static bool may_log_refusal(const struct conn *c)
{
    struct peers *p = c->peers;
    if (p->refusal_logged_ms && c->heard_ms - p->refusal_logged_ms < REFUSAL_LOG_PERIOD_MS)
        return false;
    p->refusal_logged_ms = c->heard_ms;
    return true;
}

static int on_hello(struct conn *c, const struct frame_hello *h)
{
    struct peers *p = c->peers;
    struct peer *peer = peers_find(p, h->raft_id);
    char text[TEXT_SIZE];
    if (c->dialed && h->purpose != c->purpose)
        return OC_EPROTO;
    c->purpose = (enum frame_purpose)h->purpose;
    c->hello = *h;
    if (!c->dialed && c->purpose != PURPOSE_PROBE && !conn_check_hello(p, h, text, sizeof text)) {
        struct frame_out out = {.payload_len = 0};
        if (may_log_refusal(c))
            LOG_WARN("Refused a connection of another conductor", LOG_S("server", h->name),
                     LOG_S("from", net_peer_text(c->stream)), LOG_S("reason", text));
        frame_put_refuse(&out, text);
        conn_send_small(c, &out);
        conn_close(c, true);
        return 0;
    }
    warn_if_timeouts_differ(p, peer, h);
    if (peer) {
        peer->proposal_level = h->proposal_level;
        memcpy(peer->version, h->version, sizeof peer->version);
    }
    c->is_up = true;
    if (!c->dialed) {
        send_hello(c);
        close_older(c);
        if (peer && c->purpose != PURPOSE_PROBE) {
            /* It is back: do not wait for our own next try. */
            dialer_hurry(&peer->control, clock_mono_ms(), false);
            dialer_hurry(&peer->log, clock_mono_ms(), false);
        }
    }
    if (c->up)
        c->up(c);
    return 0;
}

static void on_record(struct conn *c, const struct frame_record *record)
{
    struct peer *peer = peers_find(c->peers, c->hello.raft_id);
    if (peer && record->valid) {
        peer->record = *record;
        peer->record_ms = c->heard_ms;
    }
}

static int on_frame(struct conn *c, struct frame *f)
{
    struct peers *p = c->peers;
    bool is_log_kind = f->kind <= WIRE_TIMEOUT_NOW && conn_is_log_msg(&f->msg);
    if (!c->is_up) {
        if (f->kind == FRAME_HELLO)
            return on_hello(c, &f->hello);
        if (f->kind == FRAME_REFUSE && c->dialed) {
            conn_fail(c, OC_EPROTO, f->text);
            return 0;
        }
        return OC_EPROTO;
    }
    if (f->kind == FRAME_HELLO || f->kind == FRAME_REFUSE || c->purpose == PURPOSE_PROBE ||
        is_log_kind != (c->purpose == PURPOSE_LOG))
        return OC_EPROTO;
    if (f->kind == FRAME_RECORD) {
        on_record(c, &f->record);
    } else if (f->kind == FRAME_PROGRESS) {
        p->events.progress(p->events.ctx, c->hello.raft_id);
    } else {
        int rc = p->events.receive(p->events.ctx, c->hello.raft_id, &f->msg);
        f->kind = 0; /* taken */
        return rc;
    }
    return 0;
}

/* Part of a payload: it may take long, and both sides must know that the other is alive. */
static void note_progress(struct conn *c)
{
    struct frame_out out = {.payload_len = 0};
    struct peers *p = c->peers;
    if (c->heard_ms - c->progress_ms < PROGRESS_PERIOD_MS)
        return;
    c->progress_ms = c->heard_ms;
    p->events.progress(p->events.ctx, c->hello.raft_id);
    struct peer *peer = peers_find(p, c->hello.raft_id);
    if (peer && peer->control.state == DIAL_UP) {
        frame_put_progress(&out);
        conn_send_small(peer->control.conn, &out);
    }
}

static int on_received(void *ctx, size_t n)
{
    struct conn *c = ctx;
    struct frame f = {.kind = 0};
    struct peer *peer = c->is_up ? peers_find(c->peers, c->hello.raft_id) : NULL;
    c->heard_ms = clock_mono_ms();
    if (peer)
        peer->heard_ms = c->heard_ms;
    int rc = frame_receiver_advance(c->receiver, n, &f);
    if (rc == 0 && frame_receiver_is_bulk(c->receiver) && c->is_up)
        note_progress(c);
    if (rc > 0) {
        rc = on_frame(c, &f);
        frame_clear(&f);
    }
    if (rc == OC_EVERSION && !c->is_closed) {
        if (may_log_refusal(c))
            LOG_WARN("Another conductor speaks another version of the protocol between conductors: upgrade one release "
                     "at a time",
                     LOG_S("peer", net_peer_text(c->stream)), LOG_U("its_version", frame_receiver_version(c->receiver)),
                     LOG_U("own_version", FRAME_VERSION));
    } else if (rc < 0 && !c->is_closed) {
        LOG_WARN("Closed a connection of another conductor", LOG_S("from", net_peer_text(c->stream)),
                 LOG_S("server", c->hello.name), LOG_E(rc));
    }
    return rc;
}

static const struct net_events EVENTS = {.connected = on_connected,
                                         .buffer = on_buffer,
                                         .received = on_received,
                                         .ended = on_ended,
                                         .released = on_released};

static struct conn *conn_new(struct peers *p, bool dialed)
{
    struct conn *c = calloc(1, sizeof *c);
    if (c)
        c->receiver = frame_receiver_new();
    if (!c || !c->receiver) {
        free(c);
        return NULL;
    }
    c->peers = p;
    c->dialed = dialed;
    c->opened_ms = c->heard_ms = clock_mono_ms();
    return c;
}

static void conn_link(struct conn *c)
{
    struct peers *p = c->peers;
    c->next = p->conns;
    c->prev_next = &p->conns;
    if (c->next)
        c->next->prev_next = &c->next;
    p->conns = c;
    if (!c->dialed)
        p->accepted_count++;
}

struct conn *conn_dial(struct peers *p, const struct sockaddr *addr, enum frame_purpose purpose, conn_up_fn up,
                       conn_down_fn down, void *owner)
{
    struct conn *c = conn_new(p, true);
    if (!c)
        return NULL;
    c->purpose = purpose;
    c->up = up;
    c->down = down;
    c->owner = owner;
    c->stream = net_dial(p->loop, addr, &EVENTS, c);
    if (!c->stream) {
        on_released(c);
        return NULL;
    }
    conn_link(c);
    return c;
}

void *conn_accept(void *ctx, struct net_stream *s, const struct net_events **ret_events)
{
    struct peers *p = ctx;
    struct conn *c = p->is_stopped || p->accepted_count >= ACCEPTED_MAX ? NULL : conn_new(p, false);
    if (!c)
        return NULL;
    c->stream = s;
    *ret_events = &EVENTS;
    conn_link(c);
    peers_arm(p);
    return c;
}
