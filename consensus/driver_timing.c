/* When the driver acts by itself: the leader's even cadence, elections and their delay while the
 * leader's bytes arrive, early elections when the leader's process is known to be gone, and holding
 * back so that better candidates go first.
 */
#include "consensus/driver_internal.h"

static uint64_t at_least_1(uint64_t ms)
{
    return ms > 0 ? ms : 1;
}

/* The leader ticks six times in an election timeout. With the library's own heartbeat timer a
 * silent follower throws the others out of step, and their commits wait for the next heartbeat. */
static uint64_t cadence_ms(const struct driver *d)
{
    return at_least_1(d->options.election_timeout_ms / 6);
}

/* How long the others have before this node asks for votes. It knows the leader to be lost at most one election
 * timeout before they do, and they may draw up to two. */
static uint64_t grace_ms(const struct driver *d)
{
    static const unsigned TIMEOUTS[] = {[DRIVER_TURN_FIRST] = 0, [DRIVER_TURN_LATER] = 2, [DRIVER_TURN_LAST] = 6};
    return (uint64_t)TIMEOUTS[d->options.turn] * d->options.election_timeout_ms;
}

bool driver_lost_tail_is_open(const struct driver *d)
{
    return d->lost_tail_index > 0 && (d->leaderless_ms == 0 || d->now_ms - d->leaderless_ms < LOST_TAIL_PATIENCE_MS);
}

void driver_note_durable(struct driver *d, uint64_t term, uint64_t index)
{
    if (term > d->lost_tail_term || (term == d->lost_tail_term && index >= d->lost_tail_index))
        d->lost_tail_index = 0;
}

bool driver_withholds_votes(const struct driver *d)
{
    if (driver_lost_tail_is_open(d))
        return true;
    return d->leaderless_ms > 0 && d->now_ms - d->leaderless_ms < grace_ms(d);
}

void driver_note_state(struct driver *d, bool became_leader)
{
    if (d->raft.state != RAFT_FOLLOWER && d->noted_state == RAFT_FOLLOWER)
        d->elections++;
    d->noted_state = d->raft.state;
    if (became_leader)
        d->cadence_ms = d->now_ms + cadence_ms(d);
    if (driver_leader_id(d) != 0) {
        d->leaderless_ms = 0;
        d->has_withheld = false;
    } else if (d->leaderless_ms == 0) {
        d->leaderless_ms = d->now_ms;
    }
    if (d->early.leader_id != 0 && driver_leader_id(d) != 0 && driver_leader_id(d) != d->early.leader_id)
        d->early.leader_id = 0;
}

/* When bytes of the leader's last arrived; 0: never. A payload that is still arriving is a sign of
 * life: it may take longer than any timeout. */
static uint64_t leader_progress_ms(const struct driver *d)
{
    uint64_t leader = driver_leader_id(d);
    for (unsigned i = 0; leader != 0 && i < d->peer_count; i++)
        if (d->peers[i].id == leader)
            return d->peers[i].progress_ms;
    return 0;
}

/* Drawn timeouts of two followers come close to each other now and then; both then ask at once, and a split
 * vote costs another timeout. So a voter whose leader fell silent waits for a fixed time, the mean of
 * what would be drawn, and then for its turn. */
static bool waits_for_its_turn(const struct driver *d)
{
    return d->raft.state == RAFT_FOLLOWER && driver_leader_id(d) != 0 && driver_is_voter(d, d->options.self_id) &&
           !driver_lost_tail_is_open(d);
}

/* When a follower or candidate has waited long enough. */
static uint64_t patience_end_ms(const struct driver *d)
{
    uint64_t et = d->options.election_timeout_ms, progress = leader_progress_ms(d);
    if (waits_for_its_turn(d))
        return (progress > d->leader_heard_ms ? progress : d->leader_heard_ms) + et + et / 2;
    uint64_t end = raft_timeout(&d->raft);
    return progress > 0 && progress + et > end ? progress + et : end;
}

bool driver_is_sole_voter(const struct membership *m, uint64_t id)
{
    bool found = false;
    for (unsigned i = 0; i < m->count; i++) {
        if (m->members[i].role != MEMBER_VOTER)
            continue;
        if (m->members[i].id != id)
            return false;
        found = true;
    }
    return found;
}

/* The core makes a sole voter leader without a new term. That of another leader before it must not
 * be used twice, so we have it vote for itself in the next one; the next timeout then elects it. */
static void vote_for_self(struct driver *d)
{
    struct raft_message m = {
        .type = RAFT_REQUEST_VOTE, .server_id = d->options.self_id, .server_address = d->options.self_address};
    struct raft_event event = {.type = RAFT_RECEIVE};
    m.request_vote = (struct raft_request_vote){.version = 2,
                                                .term = raft_current_term(&d->raft) + 1,
                                                .candidate_id = d->options.self_id,
                                                .last_log_index = d->log.last,
                                                .last_log_term = driver_term_of(d, d->log.last),
                                                .disrupt_leader = true};
    event.receive.message = &m;
    driver_step_or_fail(d, &event, "own vote");
}

static void step_timeout(struct driver *d)
{
    struct raft_event event = {.type = RAFT_TIMEOUT};
    if (d->raft.state == RAFT_FOLLOWER && d->now_ms >= raft_timeout(&d->raft) &&
        driver_is_sole_voter(&d->latest, d->options.self_id) && raft_voted_for(&d->raft) != d->options.self_id)
        vote_for_self(d);
    if (!d->failed)
        driver_step_or_fail(d, &event, "timeout");
}

/* Only while nothing was decided: a real candidacy is left to its own timer, or terms would race. */
static bool early_may_act(const struct driver *d)
{
    if (d->early.is_silence && waits_for_its_turn(d) && d->now_ms < patience_end_ms(d))
        return false; /* the leader is heard again */
    if (d->raft.state == RAFT_CANDIDATE)
        return d->raft.candidate_state.in_pre_vote;
    return d->raft.state == RAFT_FOLLOWER && (driver_leader_id(d) == 0 || driver_leader_id(d) == d->early.leader_id);
}

/* Re-drawing the timer from the smallest timeout makes it expire at once, by documented means. */
static void step_early(struct driver *d)
{
    if (!early_may_act(d) || d->early.tries >= EARLY_TRIES_MAX) {
        d->early.leader_id = 0;
        return;
    }
    raft_set_election_timeout(&d->raft, 1);
    bool expired = d->now_ms >= raft_timeout(&d->raft);
    if (expired) {
        step_timeout(d);
        d->early.tries++;
    }
    uint64_t retry_ms = d->early.is_silence ? at_least_1(d->options.election_timeout_ms / 4) : EARLY_RETRY_MS;
    if (d->raft.state != RAFT_LEADER)
        d->early.next_ms = d->now_ms + (expired ? retry_ms : 2);
    else
        d->early.leader_id = 0;
    raft_set_election_timeout(&d->raft, d->options.election_timeout_ms);
}

/* The survivors go one after the other: the first one's question is refused by the next, who still
 * believes in the leader, but then that one asks, and wins. */
static void begin_early(struct driver *d, uint64_t leader_id, uint64_t step_ms, bool is_silence)
{
    unsigned rank = 0;

    for (unsigned i = 0; i < d->latest.count; i++) {
        const struct member *m = &d->latest.members[i];
        if (m->role == MEMBER_VOTER && m->id != leader_id && m->id < d->options.self_id)
            rank++;
    }
    if (d->options.turn != DRIVER_TURN_FIRST && !is_silence)
        rank += d->latest.count; /* after silence it withholds its requests, and lets others have its vote */
    d->early.leader_id = leader_id;
    d->early.tries = 0;
    d->early.is_silence = is_silence;
    d->early.next_ms = d->now_ms + 1 + step_ms * rank;
}

void driver_set_turn(struct driver *d, uint64_t now_ms, enum driver_turn turn)
{
    bool is_earlier = turn < d->options.turn;

    d->options.turn = turn;
    if (!driver_enter(d, now_ms) || !is_earlier || !d->has_withheld || driver_withholds_votes(d) ||
        d->early.leader_id != 0)
        return;
    begin_early(d, d->options.self_id, EARLY_STEP_MS, false); /* any other leader ends it */
    d->early.tries = EARLY_TRIES_MAX - 2;
}

/* A connection has begun or ended: nothing that was sent on another one counts. */
static struct driver_peer *forget_connection(struct driver *d, uint64_t peer_id)
{
    struct driver_peer *p = driver_peer(d, peer_id);

    p->sent_index = 0;
    p->refill_index = 0;
    p->snapshot_index = 0;
    p->follows_term = 0;
    return p;
}

void driver_peer_gone(struct driver *d, uint64_t now_ms, uint64_t peer_id)
{
    if (!driver_enter(d, now_ms))
        return;
    forget_connection(d, peer_id)->progress_ms = 0;
    if (waits_for_its_turn(d) && driver_leader_id(d) == peer_id && (d->early.leader_id == 0 || d->early.is_silence))
        begin_early(d, peer_id, EARLY_STEP_MS, false);
}

void driver_peer_progress(struct driver *d, uint64_t now_ms, uint64_t peer_id)
{
    if (driver_enter(d, now_ms))
        driver_peer(d, peer_id)->progress_ms = d->now_ms;
}

void driver_peer_connected(struct driver *d, uint64_t now_ms, uint64_t peer_id)
{
    if (!driver_enter(d, now_ms))
        return;
    (void)forget_connection(d, peer_id);
    if (d->early.leader_id == peer_id)
        d->early.leader_id = 0;
}

uint64_t driver_deadline_ms(const struct driver *d)
{
    if (d->failed || !d->started)
        return UINT64_MAX;
    if (driver_is_leader(d))
        return d->cadence_ms;
    uint64_t end = patience_end_ms(d);
    return d->early.leader_id != 0 && (d->early.is_silence || d->early.next_ms < end) ? d->early.next_ms : end;
}

void driver_tick(struct driver *d, uint64_t now_ms)
{
    if (!driver_enter(d, now_ms))
        return;
    if (d->now_ms < driver_deadline_ms(d))
        return;
    if (driver_is_leader(d)) {
        d->cadence_ms = d->now_ms + cadence_ms(d);
        step_timeout(d);
    } else if (d->early.leader_id != 0 && d->now_ms >= d->early.next_ms) {
        step_early(d);
    } else if (waits_for_its_turn(d)) {
        begin_early(d, driver_leader_id(d), at_least_1(d->options.election_timeout_ms / 10), true);
    } else {
        step_timeout(d);
    }
    if (!d->failed)
        driver_leave(d);
}

void driver_entries_durable(struct driver *d, uint64_t now_ms, uint64_t index)
{
    struct raft_event event = {.type = RAFT_PERSISTED_ENTRIES};

    if (!driver_enter(d, now_ms) || d->installing != NULL)
        return;
    if (index > d->log.last)
        index = d->log.last;
    if (index <= d->raft.last_stored)
        return;
    event.persisted_entries.index = index;
    driver_step_or_fail(d, &event, "entries durable");
    driver_note_durable(d, driver_term_of(d, index), index);
    if (!d->failed)
        driver_leave(d);
}
