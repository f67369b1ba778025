/* Messages from peers, checked before the core sees them: it trusts what it is given and, built as
 * it is, does not notice when that is nonsense. A message refused here is one that no honest peer
 * sends.
 */
#include "consensus/confcodec.h"
#include "consensus/driver_internal.h"
#include "shared/base/err.h"

#include <errno.h>
#include <string.h>

/* Far beyond anything real, far from overflow. */
#define NUMBER_MAX (UINT64_C(1) << 62)

static void drop(struct wire_msg *m)
{
    if (m->kind == WIRE_APPEND)
        entry_unref(m->append.entry);
    if (m->kind == WIRE_INSTALL_SNAPSHOT)
        snapshot_unref(m->install.snapshot);
}

static bool check_append(const struct driver *d, const struct wire_msg *m)
{
    uint64_t prev = m->append.prev_log_index, prev_term = m->append.prev_log_term;
    struct entry *e = m->append.entry;
    uint64_t commit = raft_commit_index(&d->raft);
    struct membership ignored;

    if (prev >= NUMBER_MAX || m->append.leader_commit >= NUMBER_MAX || (prev == 0) != (prev_term == 0) ||
        prev_term > m->term)
        return false;
    /* Two leaders in one term, and other histories of what is committed, do not exist. */
    if (driver_is_leader(d) && m->term == raft_current_term(&d->raft))
        return false;
    bool is_current = m->term >= raft_current_term(&d->raft);
    uint64_t own_prev_term = prev > 0 ? driver_term_of(d, prev) : 0;
    if (is_current && prev > 0 && prev <= commit && own_prev_term != 0 && own_prev_term != prev_term)
        return false;
    if (e == NULL)
        return true;
    if (entry_term(e) == 0 || entry_term(e) > m->term || entry_term(e) < prev_term || entry_type(e) < ENTRY_COMMAND ||
        entry_type(e) > ENTRY_CHANGE)
        return false;
    uint64_t own_term = driver_term_of(d, prev + 1);
    if (is_current && prev + 1 <= commit && own_term != 0 && own_term != entry_term(e))
        return false;
    if (prev == 0 && entry_type(e) != ENTRY_CHANGE)
        return false; /* a log begins with a configuration */
    return entry_type(e) != ENTRY_CHANGE || confcodec_decode(entry_payload(e), entry_len(e), &ignored) == 0;
}

static bool check_install(const struct driver *d, const struct wire_msg *m)
{
    const struct snapshot *s = m->install.snapshot;

    if (s == NULL || s->index == 0 || s->index >= NUMBER_MAX || s->term == 0 || s->term > m->term ||
        s->membership.index == 0 || s->membership.index > s->index || s->membership.index != m->install.conf_index ||
        s->membership.count == 0 || s->membership.count > CLUSTER_SERVERS_MAX)
        return false;
    uint8_t bytes[(SERVER_ADDR_SIZE + SERVER_ID_SIZE + 64) * CLUSTER_SERVERS_MAX];
    struct membership ignored;
    for (unsigned i = 0; i < s->membership.count; i++)
        if (memchr(s->membership.members[i].address, 0, MEMBER_ADDRESS_SIZE) == NULL)
            return false;
    confcodec_encode(&s->membership, bytes);
    if (confcodec_decode(bytes, confcodec_len(&s->membership), &ignored) != 0)
        return false;
    if (driver_is_leader(d) && m->term == raft_current_term(&d->raft))
        return false;
    uint64_t own_term = driver_term_of(d, s->index);
    return m->term < raft_current_term(&d->raft) || s->index > raft_commit_index(&d->raft) || own_term == 0 ||
           own_term == s->term;
}

static bool check(const struct driver *d, uint64_t from, const struct wire_msg *m)
{
    if (from == 0 || from == d->options.self_id || m->term == 0 || m->term >= NUMBER_MAX)
        return false;
    switch (m->kind) {
    case WIRE_REQUEST_VOTE:
        return m->request_vote.candidate_id == from && m->request_vote.last_log_index < NUMBER_MAX &&
               m->request_vote.last_log_term <= m->term && m->request_vote.disrupt_leader <= 1 &&
               m->request_vote.pre_vote <= 1 &&
               (m->request_vote.last_log_index == 0) == (m->request_vote.last_log_term == 0);
    case WIRE_VOTE_RESULT:
        return m->vote_result.granted <= 1 && m->vote_result.pre_vote <= 1;
    case WIRE_APPEND:
        return check_append(d, m);
    case WIRE_APPEND_RESULT:
        return m->append_result.rejected < NUMBER_MAX && m->append_result.last_log_index < NUMBER_MAX;
    case WIRE_INSTALL_SNAPSHOT:
        return check_install(d, m);
    case WIRE_TIMEOUT_NOW:
        return m->timeout_now.last_log_index < NUMBER_MAX && m->timeout_now.last_log_term <= m->term;
    default:
        return false;
    }
}

static bool is_log_behind(uint64_t term, uint64_t index, uint64_t than_term, uint64_t than_index)
{
    return term < than_term || (term == than_term && index < than_index);
}

/* The core gives its vote only if its own configuration has it as a voter. But the entry that makes
 * it one may be with the candidate alone, which then can never win. A vote is safe whoever gives it,
 * as long as it is given once a term and only to a log as long as the own; the candidate counts it
 * only if its configuration does. Everything else the core would have checked, we check. */
static bool gives_guest_vote(const struct driver *d, const struct wire_msg *m)
{
    uint64_t term = raft_current_term(&d->raft), candidate = m->request_vote.candidate_id;

    if (driver_is_voter(d, d->options.self_id) || m->term < term || d->installing != NULL ||
        (driver_leader_id(d) != 0 && !m->request_vote.disrupt_leader) ||
        is_log_behind(m->request_vote.last_log_term, m->request_vote.last_log_index, driver_term_of(d, d->log.last),
                      d->log.last))
        return false;
    return m->request_vote.pre_vote || m->term > term || raft_voted_for(&d->raft) == 0 ||
           raft_voted_for(&d->raft) == candidate;
}

static uint64_t match_of(const struct driver *d, uint64_t peer_id)
{
    raft_index match = 0;
    return raft_match_index(&d->raft, peer_id, &match) == 0 ? match : 0;
}

/* Is it one of the messages the core must not see now, although nothing is wrong with them? */
static bool is_ignored(const struct driver *d, uint64_t from, const struct wire_msg *m)
{
    switch (m->kind) {
    case WIRE_VOTE_RESULT:
        /* The core looks into its candidate's notes whatever it is. */
        return d->raft.state != RAFT_CANDIDATE;
    case WIRE_REQUEST_VOTE:
        if (driver_lost_tail_is_open(d) && is_log_behind(m->request_vote.last_log_term, m->request_vote.last_log_index,
                                                         d->lost_tail_term, d->lost_tail_index))
            return true;
        return !m->request_vote.pre_vote && d->guest_vote.term == m->term &&
               d->guest_vote.candidate != m->request_vote.candidate_id;
    case WIRE_INSTALL_SNAPSHOT:
        return d->installing != NULL; /* the core would leak it */
    case WIRE_TIMEOUT_NOW:
        return driver_lost_tail_is_open(d);
    case WIRE_APPEND_RESULT:
        /* A rejection that a later success has overtaken, or of a member that lost what it had: the core
         * would step back behind what it knows to match, and then send nothing any more, or send again and
         * again what the member cannot take yet. */
        return m->append_result.rejected > 0 && m->term == raft_current_term(&d->raft) &&
               (m->append_result.rejected <= match_of(d, from) || m->append_result.last_log_index < match_of(d, from));
    default:
        return false;
    }
}

/* Sends a member again what it acknowledged and does not have any more. */
static void refill(struct driver *d, struct driver_peer *p, const struct wire_msg *m)
{
    uint64_t last = m->append_result.last_log_index, match = match_of(d, p->id);

    if (m->term == raft_current_term(&d->raft) && last < match &&
        (m->append_result.rejected > 0 || p->refill_index == last))
        driver_send_lost(d, p, last, match);
}

static const char *address_of(const struct driver *d, uint64_t id)
{
    for (unsigned i = 0; i < d->latest.count; i++)
        if (d->latest.members[i].id == id)
            return d->latest.members[i].address;
    return "unknown";
}

static void convert_small(const struct wire_msg *m, struct raft_message *rm)
{
    switch (m->kind) {
    case WIRE_REQUEST_VOTE:
        rm->type = RAFT_REQUEST_VOTE;
        rm->request_vote = (struct raft_request_vote){.version = m->version,
                                                      .term = m->term,
                                                      .candidate_id = m->request_vote.candidate_id,
                                                      .last_log_index = m->request_vote.last_log_index,
                                                      .last_log_term = m->request_vote.last_log_term,
                                                      .disrupt_leader = m->request_vote.disrupt_leader != 0,
                                                      .pre_vote = m->request_vote.pre_vote != 0};
        break;
    case WIRE_VOTE_RESULT:
        rm->type = RAFT_REQUEST_VOTE_RESULT;
        rm->request_vote_result = (struct raft_request_vote_result){.version = m->version,
                                                                    .term = m->term,
                                                                    .vote_granted = m->vote_result.granted != 0,
                                                                    .pre_vote = m->vote_result.pre_vote != 0,
                                                                    .features = (uint16_t)m->vote_result.features,
                                                                    .capacity = m->vote_result.capacity};
        break;
    case WIRE_APPEND_RESULT:
        rm->type = RAFT_APPEND_ENTRIES_RESULT;
        rm->append_entries_result =
            (struct raft_append_entries_result){.version = m->version,
                                                .term = m->term,
                                                .rejected = m->append_result.rejected,
                                                .last_log_index = m->append_result.last_log_index,
                                                .features = (uint16_t)m->append_result.features,
                                                .capacity = m->append_result.capacity};
        break;
    default:
        rm->type = RAFT_TIMEOUT_NOW;
        rm->timeout_now = (struct raft_timeout_now){.version = m->version,
                                                    .term = m->term,
                                                    .last_log_index = m->timeout_now.last_log_index,
                                                    .last_log_term = m->timeout_now.last_log_term};
        break;
    }
}

/* Steps the core with an append; the core frees the token when it does not take the entry. */
static void receive_append(struct driver *d, struct wire_msg *m, struct raft_message *rm, struct raft_event *event)
{
    struct raft_append_entries *a = &rm->append_entries;
    struct entry *e = m->append.entry;
    struct raft_entry re;
    uint64_t index = m->append.prev_log_index + 1;

    rm->type = RAFT_APPEND_ENTRIES;
    *a = (struct raft_append_entries){.version = m->version,
                                      .term = m->term,
                                      .prev_log_index = m->append.prev_log_index,
                                      .prev_log_term = m->append.prev_log_term,
                                      .leader_commit = m->append.leader_commit};
    /* An entry below our log is in our snapshot, so it is committed, so this leader has all that the
     * snapshot covers. The core would append it again at the wrong place, or step back one by one. */
    if (m->term >= raft_current_term(&d->raft) && d->installing == NULL && d->snapshot != NULL &&
        (e != NULL || a->prev_log_index > 0) && index <= d->raft.trail.offset + 1 &&
        driver_term_of(d, a->prev_log_index) == 0 && index <= d->snapshot->index) {
        d->covered_index = d->snapshot->index;
        a->prev_log_index = 0;
        a->prev_log_term = 0;
        entry_unref(e);
        e = NULL;
    }
    /* The core would take its commit index back to the end of an append that lies before it. */
    if (a->prev_log_index + (e != NULL) < raft_commit_index(&d->raft))
        a->leader_commit = 0;
    /* The core refuses an old term with the very index of the request, and 0 would mean success: to a leader of that
     * term who leads again in this one. */
    if (m->term < raft_current_term(&d->raft) && a->prev_log_index == 0)
        a->prev_log_index = 1;
    if (e != NULL) {
        void *token = raft_malloc(8);
        if (token == NULL) {
            entry_unref(e);
            driver_fail(d, -ENOMEM, "out of memory for an entry");
            return;
        }
        re = (struct raft_entry){.term = entry_term(e),
                                 .type = (enum raft_entry_type)entry_type(e),
                                 .buf = {entry_payload(e), entry_len(e)},
                                 .batch = token};
        a->entries = &re;
        a->n_entries = 1;
        d->carried_entry = e;
        d->token = token;
    }
    driver_step_or_fail(d, event, "append");
    entry_unref(d->carried_entry);
    d->carried_entry = NULL;
    d->token = NULL;
    d->covered_index = 0;
}

static void receive_install(struct driver *d, struct wire_msg *m, struct raft_message *rm, struct raft_event *event)
{
    struct snapshot *s = m->install.snapshot;
    rm->type = RAFT_INSTALL_SNAPSHOT;
    rm->install_snapshot = (struct raft_install_snapshot){.version = m->version,
                                                          .term = m->term,
                                                          .last_index = s->index,
                                                          .last_term = s->term,
                                                          .conf_index = s->membership.index};
    void *token = raft_malloc(8);
    if (token == NULL || driver_configuration_from(&s->membership, &rm->install_snapshot.conf) != 0) {
        raft_free(token);
        snapshot_unref(s);
        driver_fail(d, -ENOMEM, "out of memory for a snapshot");
        return;
    }
    rm->install_snapshot.data = (struct raft_buffer){.base = token, .len = 8};
    d->carried_snapshot = s;
    driver_step_or_fail(d, event, "install snapshot");
    snapshot_unref(d->carried_snapshot);
    d->carried_snapshot = NULL;
}

int driver_receive(struct driver *d, uint64_t now_ms, uint64_t from_id, struct wire_msg *m)
{
    if (!driver_enter(d, now_ms)) {
        drop(m);
        return 0;
    }
    if (!check(d, from_id, m)) {
        drop(m);
        return OC_EPROTO;
    }
    struct driver_peer *p = driver_peer(d, from_id);
    p->contact_ms = d->now_ms;
    if (m->kind == WIRE_APPEND_RESULT) {
        p->follows_term = m->term;
        refill(d, p, m);
    }
    if (is_ignored(d, from_id, m)) {
        drop(m);
        return 0;
    }
    if (m->kind == WIRE_APPEND_RESULT && m->append_result.rejected > 0)
        p->sent_index = 0; /* what was under way did not arrive */

    struct raft_message rm = {.server_id = from_id, .server_address = address_of(d, from_id)};
    struct raft_event event = {.type = RAFT_RECEIVE};
    event.receive.message = &rm;
    if (m->kind == WIRE_APPEND) {
        receive_append(d, m, &rm, &event);
    } else if (m->kind == WIRE_INSTALL_SNAPSHOT) {
        receive_install(d, m, &rm, &event);
    } else {
        convert_small(m, &rm);
        if (m->kind == WIRE_TIMEOUT_NOW && m->timeout_now.asked && m->term == raft_current_term(&d->raft))
            d->asked_term = m->term + 1;
        if (m->kind == WIRE_REQUEST_VOTE && gives_guest_vote(d, m)) {
            d->guest_vote.granting = true;
            rm.request_vote.disrupt_leader = true; /* a leader it remembers is gone, or says so */
            if (!m->request_vote.pre_vote) {
                d->guest_vote.unsaved = true;
                d->guest_vote.term = m->term;
                d->guest_vote.candidate = from_id;
            }
        }
        driver_step_or_fail(d, &event, "message");
        d->guest_vote.granting = false;
    }
    if ((m->kind == WIRE_APPEND || m->kind == WIRE_INSTALL_SNAPSHOT) && d->raft.state == RAFT_FOLLOWER &&
        d->raft.follower_state.current_leader.id == from_id) {
        d->leader_heard_ms = d->now_ms;
        if (m->term == raft_current_term(&d->raft))
            d->leader_heard_term = m->term;
    }
    if (!d->failed)
        driver_leave(d);
    return 0;
}
