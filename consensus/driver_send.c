/* The core's messages on their way out: it names indexes, we put in the entries and snapshots, one
 * entry per message; and nothing large is sent again while the first copy may still be on its way.
 */
#include "consensus/driver_internal.h"

#include <string.h>

static void send(struct driver *d, uint64_t to, const struct wire_msg *m)
{
    d->io.send(d->io.ctx, to, m);
}

static bool is_recent(const struct driver *d, uint64_t sent_ms, uint64_t progress_ms, uint64_t limit_ms)
{
    uint64_t last = progress_ms > sent_ms ? progress_ms : sent_ms;
    return d->now_ms - last < limit_ms;
}

static bool entry_is_under_way(const struct driver *d, const struct driver_peer *p, uint64_t term, uint64_t index)
{
    return p->sent_term == term && index <= p->sent_index && is_recent(d, p->sent_ms, p->progress_ms, ENTRY_RESEND_MS);
}

static bool snapshot_is_under_way(const struct driver *d, const struct driver_peer *p, uint64_t term)
{
    return d->snapshot != NULL && p->snapshot_term == term && p->snapshot_index == d->snapshot->index &&
           is_recent(d, p->snapshot_ms, p->progress_ms, SNAPSHOT_RESEND_MS);
}

/* A heartbeat may overtake the entry or snapshot it is anchored to, and would be rejected: then it is
 * anchored to what the peer has for certain. */
static void send_heartbeat(struct driver *d, const struct driver_peer *p, struct wire_msg *m)
{
    uint64_t prev = m->append.prev_log_index;
    raft_index match = 0;

    m->append.entry = NULL;
    bool overtakes =
        entry_is_under_way(d, p, m->term, prev) || (snapshot_is_under_way(d, p, m->term) && prev == p->snapshot_index);
    if (overtakes && raft_match_index(&d->raft, p->id, &match) == 0 && match < prev) {
        uint64_t term = match > 0 ? driver_term_of(d, match) : 0;
        if (match == 0 || term != 0) {
            m->append.prev_log_index = match;
            m->append.prev_log_term = term;
        }
    }
    send(d, p->id, m);
}

static void send_append(struct driver *d, uint64_t to, const struct raft_append_entries *a)
{
    struct driver_peer *p = driver_peer(d, to);
    struct wire_msg m = {.kind = WIRE_APPEND, .term = a->term, .version = a->version};
    bool said_something = false;

    m.append.leader_commit = a->leader_commit;
    for (unsigned i = 0; i < a->n_entries; i++) {
        uint64_t index = a->prev_log_index + 1 + i;
        struct entry *e = logcache_get(&d->log, index);
        if (e == NULL)
            break;
        if (entry_is_under_way(d, p, a->term, index))
            continue;
        p->sent_term = a->term;
        p->sent_index = index;
        p->sent_ms = d->now_ms;
        m.append.prev_log_index = index - 1;
        m.append.prev_log_term = i == 0 ? a->prev_log_term : driver_term_of(d, index - 1);
        m.append.entry = e;
        send(d, to, &m);
        said_something = true;
    }
    if (!said_something) {
        m.append.prev_log_index = a->prev_log_index;
        m.append.prev_log_term = a->prev_log_term;
        send_heartbeat(d, p, &m);
    }
}

static void send_snapshot(struct driver *d, uint64_t to, const struct raft_install_snapshot *a)
{
    struct driver_peer *p = driver_peer(d, to);
    struct wire_msg m = {.kind = WIRE_INSTALL_SNAPSHOT, .term = a->term, .version = a->version};

    if (d->snapshot == NULL || d->snapshot->index < a->last_index)
        return;
    if (snapshot_is_under_way(d, p, a->term)) {
        struct wire_msg heartbeat = {.kind = WIRE_APPEND, .term = a->term};
        send_heartbeat(d, p, &heartbeat);
        return;
    }
    /* Not what is on the disk, but what is in memory anyway: it is newer, and the core does not mind. */
    struct snapshot *now = driver_snapshot_now(d);
    if (now == NULL)
        return;
    p->snapshot_term = a->term;
    p->snapshot_index = d->snapshot->index;
    p->snapshot_ms = d->now_ms;
    m.install.snapshot = now;
    m.install.conf_index = now->membership.index;
    send(d, to, &m);
    snapshot_unref(now);
}

/* A member may come back with less than it acknowledged: the end of its log was damaged and dropped. The
 * core never goes back behind what a member has acknowledged to it, and would leave it there for as long
 * as it leads. */
void driver_send_lost(struct driver *d, struct driver_peer *p, uint64_t last_index, uint64_t match)
{
    struct raft_install_snapshot snapshot = {.term = raft_current_term(&d->raft)};
    struct wire_msg m = {.kind = WIRE_APPEND, .term = snapshot.term};
    size_t bytes = 0;

    /* What arrives there may also be newer entries, so progress is no proof for long. */
    if (p->refill_index > last_index && is_recent(d, p->refill_ms, p->progress_ms, ENTRY_RESEND_MS) &&
        d->now_ms - p->refill_ms < REFILL_PATIENCE_MS)
        return;
    p->refill_ms = d->now_ms;
    p->refill_index = last_index;
    if (logcache_get(&d->log, last_index + 1) == NULL || (last_index > 0 && driver_term_of(d, last_index) == 0)) {
        send_snapshot(d, p->id, &snapshot);
        return;
    }
    m.append.leader_commit = raft_commit_index(&d->raft);
    for (unsigned i = 0; i < REFILL_ENTRIES_MAX && p->refill_index < match && bytes < REFILL_BYTES_MAX; i++) {
        m.append.prev_log_index = p->refill_index;
        m.append.prev_log_term = p->refill_index > 0 ? driver_term_of(d, p->refill_index) : 0;
        m.append.entry = logcache_get(&d->log, ++p->refill_index);
        bytes += entry_len(m.append.entry);
        send(d, p->id, &m);
    }
}

static void send_vote_request(struct driver *d, uint64_t to, const struct raft_request_vote *v)
{
    struct wire_msg m = {.kind = WIRE_REQUEST_VOTE, .term = v->term, .version = v->version};
    if (v->pre_vote && driver_withholds_votes(d)) {
        d->has_withheld = true;
        return;
    }
    m.request_vote.candidate_id = v->candidate_id;
    m.request_vote.last_log_index = v->last_log_index;
    m.request_vote.last_log_term = v->last_log_term;
    m.request_vote.disrupt_leader = v->disrupt_leader;
    m.request_vote.pre_vote = v->pre_vote;
    send(d, to, &m);
}

static void send_append_result(struct driver *d, uint64_t to, const struct raft_append_entries_result *r)
{
    struct wire_msg m = {.kind = WIRE_APPEND_RESULT, .term = r->term, .version = r->version};
    m.append_result.rejected = r->rejected;
    /* To an append of an old term the core leaves it uninitialised. */
    m.append_result.last_log_index = r->rejected > 0 ? raft_last_index(&d->raft) : r->last_log_index;
    m.append_result.features = r->features;
    m.append_result.capacity = r->capacity;
    if (d->covered_index > 0) {
        m.append_result.rejected = 0;
        m.append_result.last_log_index = d->covered_index;
    }
    send(d, to, &m);
}

static void send_vote_result(struct driver *d, uint64_t to, const struct raft_request_vote_result *r)
{
    struct wire_msg m = {.kind = WIRE_VOTE_RESULT, .term = r->term, .version = r->version};
    m.vote_result.granted = r->vote_granted || d->guest_vote.granting;
    m.vote_result.pre_vote = r->pre_vote;
    /* The core answers a question before the vote in the asker's term. If ours is higher it must
     * learn that, or it asks in vain for ever. */
    if (r->pre_vote && !m.vote_result.granted && m.term < raft_current_term(&d->raft))
        m.term = raft_current_term(&d->raft);
    m.vote_result.features = r->features;
    m.vote_result.capacity = r->capacity;
    send(d, to, &m);
}

static void send_timeout_now(struct driver *d, uint64_t to, const struct raft_timeout_now *t)
{
    struct wire_msg m = {.kind = WIRE_TIMEOUT_NOW, .term = t->term, .version = t->version};
    m.timeout_now.asked = d->transfer_asked;
    m.timeout_now.last_log_index = t->last_log_index;
    m.timeout_now.last_log_term = t->last_log_term;
    send(d, to, &m);
}

void driver_send_messages(struct driver *d, const struct raft_message *messages, unsigned n)
{
    for (unsigned i = 0; i < n; i++) {
        const struct raft_message *m = &messages[i];
        if (m->server_id == d->options.self_id) /* the answer to our own vote */
            continue;
        switch (m->type) {
        case RAFT_APPEND_ENTRIES:
            send_append(d, m->server_id, &m->append_entries);
            break;
        case RAFT_APPEND_ENTRIES_RESULT:
            send_append_result(d, m->server_id, &m->append_entries_result);
            break;
        case RAFT_REQUEST_VOTE:
            send_vote_request(d, m->server_id, &m->request_vote);
            break;
        case RAFT_REQUEST_VOTE_RESULT:
            send_vote_result(d, m->server_id, &m->request_vote_result);
            break;
        case RAFT_INSTALL_SNAPSHOT:
            send_snapshot(d, m->server_id, &m->install_snapshot);
            break;
        case RAFT_TIMEOUT_NOW:
            send_timeout_now(d, m->server_id, &m->timeout_now);
            break;
        default:
            break;
        }
    }
}
