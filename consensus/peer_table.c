/* The table of members: who is dialed, what they said about themselves, and the one timer. */
#include "consensus/peer_impl.h"

#include "shared/base/clock.h"
#include "shared/base/err.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct peer *peers_find(const struct peers *p, uint64_t id)
{
    for (struct peer *peer = p->list; peer; peer = peer->next)
        if (peer->id == id)
            return peer;
    return NULL;
}

/* ---- time ---- */

static void send_records(struct peers *p, uint64_t now_ms)
{
    struct frame_out out = {.payload_len = 0};
    struct frame_record record = p->record;
    record.age_ms = record.valid ? (uint32_t)(now_ms - p->record_ms) : 0;
    frame_put_record(&out, &record);
    for (struct peer *peer = p->list; peer; peer = peer->next)
        if (peer->control.state == DIAL_UP)
            conn_send_small(peer->control.conn, &out);
}

/* Accepted connections that never said hello, or went silent. */
static void close_silent(struct peers *p, uint64_t now_ms)
{
    struct conn *next;
    for (struct conn *c = p->conns; c; c = next) {
        next = c->next;
        if (c->dialed)
            continue;
        if (!c->is_up ? now_ms - c->opened_ms > HELLO_TIMEOUT_MS
                      : c->purpose != PURPOSE_LOG && now_ms - c->heard_ms > CONTROL_SILENCE_MS)
            conn_close(c, false);
    }
}

static void tell_records(struct peers *p, uint64_t now_ms)
{
    p->next_record_ms = now_ms + RECORD_PERIOD_MS;
    send_records(p, now_ms);
    close_silent(p, now_ms);
}

void peers_tick(struct peers *p, uint64_t now_ms)
{
    if (p->is_stopped || now_ms + RECORD_EARLY_MS < p->next_record_ms)
        return;
    tell_records(p, now_ms);
    peers_arm(p);
}

static void on_timer(uv_timer_t *timer)
{
    struct peers *p = timer->data;
    uint64_t now = clock_mono_ms();
    for (struct peer *peer = p->list; peer; peer = peer->next) {
        dialer_tick(&peer->control, now);
        dialer_tick(&peer->log, now);
    }
    if (now >= p->next_record_ms)
        tell_records(p, now);
    peers_arm(p);
}

void peers_arm(struct peers *p)
{
    uint64_t now = clock_mono_ms(), deadline = p->next_record_ms;
    if (p->is_stopped)
        return;
    for (struct peer *peer = p->list; peer; peer = peer->next) {
        uint64_t control = dialer_deadline_ms(&peer->control), log = dialer_deadline_ms(&peer->log);
        deadline = control < deadline ? control : deadline;
        deadline = log < deadline ? log : deadline;
    }
    uv_update_time(p->loop);
    uv_timer_start(p->timer, on_timer, deadline > now ? deadline - now : 0, 0);
}

/* ---- the table ---- */

static void peer_free(struct peer *peer)
{
    dialer_close(&peer->control);
    dialer_close(&peer->log);
    free(peer);
}

static void remove_absent(struct peers *p)
{
    struct peer **link = &p->list;
    while (*link) {
        struct peer *peer = *link;
        const struct member *m = identity_find_id(&p->membership, peer->id);
        char host_port[SERVER_ADDR_SIZE];
        if (m && identity_parse_address(m->address, NULL, host_port) == 0 && strcmp(host_port, peer->host_port) == 0) {
            link = &peer->next;
            continue;
        }
        *link = peer->next;
        peer_free(peer);
    }
}

static void add_new(struct peers *p)
{
    for (unsigned i = 0; i < p->membership.count; i++) {
        const struct member *m = &p->membership.members[i];
        if (m->id == p->self.raft_id || peers_find(p, m->id))
            continue;
        struct peer *peer = calloc(1, sizeof *peer);
        if (!peer)
            return; /* the next change of the configuration tries again */
        peer->peers = p;
        peer->id = m->id;
        if (identity_parse_address(m->address, peer->name, peer->host_port)) {
            free(peer);
            continue;
        }
        dialer_init(&peer->control, peer, PURPOSE_CONTROL);
        dialer_init(&peer->log, peer, PURPOSE_LOG);
        peer->next = p->list;
        p->list = peer;
    }
}

void peers_sync(struct peers *p, const struct membership *m)
{
    if (p->is_stopped)
        return;
    p->membership = *m;
    p->self.membership_index = m->index;
    remove_absent(p);
    add_new(p);
    peers_arm(p);
}

struct peers *peers_new(uv_loop_t *loop, const struct frame_hello *self, const struct peers_events *events)
{
    struct peers *p = calloc(1, sizeof *p);
    if (!p)
        return NULL;
    p->timer = calloc(1, sizeof *p->timer);
    if (!p->timer) {
        free(p);
        return NULL;
    }
    p->loop = loop;
    p->self = *self;
    p->events = *events;
    uv_timer_init(loop, p->timer);
    p->timer->data = p;
    peers_arm(p);
    return p;
}

int peers_listen(struct peers *p, const char *host, uint16_t port, uint16_t *ret_port, char *ret_text, size_t text_size)
{
    int rc = net_listen(p->loop, host, port, conn_accept, p, &p->listener, ret_text, text_size);
    if (rc == 0)
        *ret_port = net_listener_port(p->listener);
    return rc;
}

void peers_set_address(struct peers *p, const char *host_port)
{
    snprintf(p->self.address, sizeof p->self.address, "%s", host_port);
}

void peers_set_cluster_id(struct peers *p, const uint8_t cluster_id[CLUSTER_ID_BYTES])
{
    memcpy(p->self.cluster_id, cluster_id, CLUSTER_ID_BYTES);
}

void peers_stop(struct peers *p)
{
    if (p->is_stopped)
        return;
    p->is_stopped = true;
    uv_timer_stop(p->timer);
    net_listener_close(p->listener);
    p->listener = NULL;
    while (p->list) {
        struct peer *next = p->list->next;
        peer_free(p->list);
        p->list = next;
    }
    while (p->conns) {
        struct conn *c = p->conns;
        conn_close(c, false);
        if (c->down)
            c->down(c, UV_ECANCELED, NULL);
    }
}

static void on_timer_closed(uv_handle_t *handle)
{
    free(handle);
}

void peers_free(struct peers *p)
{
    if (!p)
        return;
    peers_stop(p);
    uv_close((uv_handle_t *)p->timer, on_timer_closed);
    free(p);
}

void peers_send(struct peers *p, uint64_t id, const struct wire_msg *msg)
{
    struct peer *peer = peers_find(p, id);
    bool is_log = conn_is_log_msg(msg);
    struct dialer *d = peer ? (is_log ? &peer->log : &peer->control) : NULL;
    if (d && d->state == DIAL_UP) {
        conn_send_msg(d->conn, msg);
        return;
    }
    if (is_log)
        return;
    /* A server that is not configured here (yet), or is just being dialed: answer where it asked. */
    for (struct conn *c = p->conns; c; c = c->next)
        if (!c->dialed && c->is_up && c->purpose == PURPOSE_CONTROL && c->hello.raft_id == id) {
            conn_send_msg(c, msg);
            return;
        }
}

/* ---- what they said ---- */

void peers_set_record(struct peers *p, const struct msg_self_record *record)
{
    bool is_news =
        !p->record.valid || memcmp(&p->record.record, record, offsetof(struct msg_self_record, wall_ms)) != 0;
    p->record.valid = true;
    p->record.record = *record;
    p->record_ms = clock_mono_ms();
    if (is_news && !p->is_stopped) {
        p->next_record_ms = p->record_ms;
        peers_arm(p);
    }
}

bool peers_get_record(const struct peers *p, uint64_t id, uint64_t now_ms, struct msg_self_record *ret_record,
                      uint64_t *ret_age_ms)
{
    const struct peer *peer = peers_find(p, id);
    const struct frame_record *r = id == p->self.raft_id ? &p->record : peer ? &peer->record : NULL;
    uint64_t at_ms = id == p->self.raft_id ? p->record_ms : peer ? peer->record_ms : 0;
    if (!r || !r->valid)
        return false;
    *ret_record = r->record;
    *ret_age_ms = (now_ms > at_ms ? now_ms - at_ms : 0) + r->age_ms;
    return true;
}

uint32_t peers_proposal_level(const struct peers *p)
{
    uint32_t lowest = p->self.proposal_level;
    for (const struct peer *peer = p->list; peer; peer = peer->next) {
        uint32_t level = peer->proposal_level ? peer->proposal_level : 1;
        lowest = level < lowest ? level : lowest;
    }
    return lowest;
}

const char *peers_version(const struct peers *p, uint64_t id)
{
    const struct peer *peer = peers_find(p, id);
    return id == p->self.raft_id ? p->self.version : peer ? peer->version : "";
}

uint64_t peers_contact_ms(const struct peers *p, uint64_t id)
{
    const struct peer *peer = peers_find(p, id);
    return peer ? peer->heard_ms : 0;
}

bool peers_is_connected(const struct peers *p, uint64_t id)
{
    const struct peer *peer = peers_find(p, id);
    return peer && peer->control.state == DIAL_UP && peer->log.state == DIAL_UP;
}

uint64_t peers_queued_bytes(const struct peers *p, uint64_t id)
{
    uint64_t bytes = 0;
    for (const struct conn *c = p->conns; c; c = c->next)
        if (!c->is_closed && c->hello.raft_id == id)
            bytes += net_queued_bytes(c->stream);
    return bytes;
}

bool peers_get_cluster_id(const struct peers *p, uint64_t id, uint8_t ret_cluster_id[CLUSTER_ID_BYTES])
{
    static const uint8_t NONE[CLUSTER_ID_BYTES];
    for (const struct conn *c = p->conns; c; c = c->next)
        if (c->is_up && c->purpose != PURPOSE_PROBE && c->hello.raft_id == id &&
            memcmp(c->hello.cluster_id, NONE, sizeof NONE) != 0) {
            memcpy(ret_cluster_id, c->hello.cluster_id, CLUSTER_ID_BYTES);
            return true;
        }
    return false;
}
