/* The driver's life: open, start, close, what others may look at. */
#include "consensus/confcodec.h"
#include "consensus/driver_internal.h"
#include "shared/base/err.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

int driver_open(const struct driver_options *options, const struct driver_io *io, struct driver **ret_driver)
{
    struct driver *d = calloc(1, sizeof *d);
    if (d == NULL)
        return -ENOMEM;
    d->options = *options;
    d->io = *io;
    if (raft_init(&d->raft, NULL, NULL, options->self_id, d->options.self_address) != 0) {
        free(d);
        return -ENOMEM;
    }
    d->raft.tracer = NULL; /* the default one formats every line even when nobody reads it */
    raft_seed(&d->raft, (unsigned)(options->random_seed ^ options->random_seed >> 32));
    raft_set_election_timeout(&d->raft, options->election_timeout_ms);
    raft_set_heartbeat_timeout(&d->raft, 0); /* we fire the leader's ticks ourselves */
    raft_set_pre_vote(&d->raft, true);
    raft_set_install_snapshot_timeout(&d->raft, SNAPSHOT_TIMEOUT_MS);
    raft_set_max_inflight_entries(&d->raft, 32);
    raft_set_max_catch_up_round_duration(&d->raft, 30000);
    raft_set_capacity_threshold(&d->raft, 0);
    logcache_init(&d->log, 1);
    *ret_driver = d;
    return 0;
}

void driver_close(struct driver *d)
{
    if (d == NULL)
        return;
    raft_close(&d->raft, NULL);
    logcache_close(&d->log);
    snapshot_unref(d->snapshot);
    snapshot_unref(d->taking);
    snapshot_unref(d->installing);
    free(d);
}

bool driver_enter(struct driver *d, uint64_t now_ms)
{
    if (now_ms > d->now_ms)
        d->now_ms = now_ms;
    return d->started && !d->failed;
}

void driver_fail(struct driver *d, int rc, const char *why)
{
    if (d->failed)
        return;
    d->failed = true;
    d->io.failed(d->io.ctx, rc, why);
}

void driver_leave(struct driver *d)
{
    driver_maybe_snapshot(d);
    struct driver_view v = driver_view(d);
    if (d->told.state == (int)v.state && d->told.term == v.term && d->told.leader_id == v.leader_id &&
        d->told.ready == v.leader_ready && d->told.transferring == v.transferring &&
        d->told.membership_index == v.membership->index &&
        d->told.committed_membership_index == v.committed_membership->index)
        return;
    d->told.state = (int)v.state;
    d->told.term = v.term;
    d->told.leader_id = v.leader_id;
    d->told.ready = v.leader_ready;
    d->told.transferring = v.transferring;
    d->told.membership_index = v.membership->index;
    d->told.committed_membership_index = v.committed_membership->index;
    d->io.changed(d->io.ctx);
}

/* The core wants to know terms and configurations; the entries themselves stay in our cache. */
static int start_core(struct driver *d, const struct driver_recovered *r, struct raft_entry *entries, void *token)
{
    struct raft_snapshot_metadata metadata;
    struct raft_event event = {.type = RAFT_START};

    for (unsigned i = 0; i < r->entry_count; i++) {
        struct entry *e = r->entries[i];
        entries[i] = (struct raft_entry){.term = entry_term(e),
                                         .type = (enum raft_entry_type)entry_type(e),
                                         .buf = {entry_payload(e), entry_len(e)},
                                         .batch = token};
    }
    event.start.term = r->term;
    event.start.voted_for = r->voted_for;
    event.start.start_index = r->first_index;
    event.start.entries = entries;
    event.start.n_entries = r->entry_count;
    if (d->snapshot != NULL) {
        metadata.index = d->snapshot->index;
        metadata.term = d->snapshot->term;
        metadata.configuration_index = d->snapshot->membership.index;
        int rc = driver_configuration_from(&d->snapshot->membership, &metadata.configuration);
        if (rc != 0) {
            raft_free(token);
            return rc;
        }
        event.start.metadata = &metadata;
    }
    d->noted_state = RAFT_FOLLOWER;
    int rv = driver_step(d, &event);
    if (rv != 0)
        return r->entry_count > 0 ? OC_ECORRUPT : -ENOMEM; /* the core freed the token */
    raft_free(token);
    return 0;
}

/* Takes over what was recovered. */
static int take_over(struct driver *d, const struct driver_recovered *r)
{
    struct membership m;
    unsigned i = 0;
    int rc = 0;

    d->snapshot = r->snapshot;
    d->lost_tail_term = r->lost_tail_term;
    d->lost_tail_index = r->lost_tail_index;
    logcache_reset(&d->log, r->first_index);
    for (; i < r->entry_count && rc == 0; i++) {
        struct entry *e = r->entries[i];
        if (entry_type(e) == ENTRY_CHANGE)
            rc = confcodec_decode(entry_payload(e), entry_len(e), &m) == 0 ? 0 : OC_ECORRUPT;
        if (rc == 0)
            rc = logcache_append(&d->log, e);
        if (rc != 0)
            break;
    }
    for (; i < r->entry_count; i++) /* not taken by the cache */
        entry_unref(r->entries[i]);
    return rc;
}

/* The newest configuration that was recovered. */
static void find_configuration(const struct driver_recovered *r, struct membership *ret_membership)
{
    *ret_membership = r->snapshot != NULL ? r->snapshot->membership : (struct membership){0};
    for (unsigned i = 0; i < r->entry_count; i++)
        if (entry_type(r->entries[i]) == ENTRY_CHANGE)
            confcodec_decode(entry_payload(r->entries[i]), entry_len(r->entries[i]), ret_membership);
}

/* The core makes a sole voter leader at once, in its old term. But what it sent to standbys in that
 * term and had not yet on its own disk may be lost here: the same term and index must not be used
 * for something else. So it begins a new term, by its own vote. */
static int begin_term_of_sole_voter(struct driver *d, struct driver_recovered *r)
{
    struct membership m;
    find_configuration(r, &m);
    if (r->term == 0 || !driver_is_sole_voter(&m, d->options.self_id))
        return 0;
    r->term++;
    r->voted_for = d->options.self_id;
    return d->io.save_term_vote(d->io.ctx, r->term, r->voted_for);
}

int driver_start(struct driver *d, uint64_t now_ms, const struct driver_recovered *recovered)
{
    struct driver_recovered copy = *recovered, *r = &copy;
    d->now_ms = now_ms;
    d->leaderless_ms = now_ms;
    d->snapshot_ms = now_ms;
    int rc = take_over(d, r);
    if (rc != 0)
        return rc;
    uint64_t snapshot_index = r->snapshot != NULL ? r->snapshot->index : 0;
    bool starts_well = snapshot_index > 0
                           ? r->first_index <= snapshot_index + 1 && d->log.last + 1 >= snapshot_index + 1
                           : r->first_index == 1 && (r->entry_count == 0 || entry_type(r->entries[0]) == ENTRY_CHANGE);
    if (!starts_well || (r->term == 0 && (r->entry_count > 0 || r->snapshot != NULL || r->voted_for != 0)))
        return OC_ECORRUPT;
    if (r->snapshot != NULL) {
        rc = d->io.restore(d->io.ctx, r->snapshot);
        if (rc != 0)
            return rc;
        d->applied = snapshot_index;
        d->committed = r->snapshot->membership;
        struct snapshot *about = driver_snapshot_about(r->snapshot);
        if (about == NULL)
            return -ENOMEM;
        snapshot_unref(d->snapshot);
        d->snapshot = about;
        r->snapshot = about;
    }
    rc = begin_term_of_sole_voter(d, r);
    if (rc != 0)
        return rc;
    struct raft_entry *entries = calloc(r->entry_count + 1, sizeof *entries);
    void *token = raft_malloc(8);
    if (entries == NULL || token == NULL) {
        free(entries);
        raft_free(token);
        return -ENOMEM;
    }
    d->started = true;
    rc = start_core(d, r, entries, token);
    free(entries);
    if (rc != 0) {
        d->started = false;
        return rc;
    }
    driver_leave(d);
    return d->failed ? OC_EDISK : 0;
}

struct driver_peer *driver_peer(struct driver *d, uint64_t id)
{
    struct driver_peer *oldest = &d->peers[0];
    for (unsigned i = 0; i < d->peer_count; i++) {
        if (d->peers[i].id == id)
            return &d->peers[i];
        if (d->peers[i].contact_ms < oldest->contact_ms)
            oldest = &d->peers[i];
    }
    struct driver_peer *p = d->peer_count < DRIVER_PEERS_MAX ? &d->peers[d->peer_count++] : oldest;
    *p = (struct driver_peer){.id = id};
    return p;
}

bool driver_is_leader(const struct driver *d)
{
    return d->raft.state == RAFT_LEADER;
}

/* The core never lets a non-voter forget its leader. */
static bool leader_is_forgotten(const struct driver *d)
{
    return !driver_is_voter(d, d->options.self_id) &&
           d->now_ms - d->leader_heard_ms > UINT64_C(2) * d->options.election_timeout_ms;
}

uint64_t driver_leader_id(const struct driver *d)
{
    if (d->raft.state == RAFT_LEADER)
        return d->options.self_id;
    if (d->raft.state != RAFT_FOLLOWER || leader_is_forgotten(d))
        return 0;
    return d->raft.follower_state.current_leader.id;
}

bool driver_is_voter(const struct driver *d, uint64_t id)
{
    for (unsigned i = 0; i < d->latest.count; i++)
        if (d->latest.members[i].id == id)
            return d->latest.members[i].role == MEMBER_VOTER;
    return false;
}

uint64_t driver_term_of(const struct driver *d, uint64_t index)
{
    const struct entry *e = logcache_get(&d->log, index);
    if (e != NULL)
        return entry_term(e);
    return d->snapshot != NULL && d->snapshot->index == index ? d->snapshot->term : 0;
}

void driver_disk_failed(struct driver *d, int rc, const char *what)
{
    driver_fail(d, rc, what);
}

struct driver_view driver_view(const struct driver *d)
{
    static const enum raft_role roles[] = {
        [RAFT_FOLLOWER] = RAFT_ROLE_FOLLOWER, [RAFT_CANDIDATE] = RAFT_ROLE_CANDIDATE, [RAFT_LEADER] = RAFT_ROLE_LEADER};
    struct driver_view v = {
        .state = RAFT_ROLE_STOPPED, .membership = &d->latest, .committed_membership = &d->committed};
    v.term = raft_current_term(&d->raft);
    v.commit_index = raft_commit_index(&d->raft);
    v.applied_index = d->applied;
    v.last_index = d->log.last;
    v.durable_index = d->raft.last_stored;
    v.first_index = d->log.first;
    v.snapshot_index = d->snapshot != NULL ? d->snapshot->index : 0;
    v.elections = d->elections;
    if (d->failed || !d->started)
        return v;
    v.state = roles[d->raft.state];
    v.leader_ready = driver_is_leader(d) && d->ready_term == v.term;
    v.transferring = driver_is_leader(d) && raft_transferee(&d->raft) != 0;
    v.asked = driver_is_leader(d) && d->asked_term == v.term;
    /* A vote takes a follower into a new term, and the core still remembers the leader of the old one: nobody has led
     * in this one yet. */
    if (driver_is_leader(d) || d->leader_heard_term == v.term)
        v.leader_id = driver_leader_id(d);
    return v;
}

uint64_t driver_last_contact_ms(const struct driver *d, uint64_t peer_id)
{
    for (unsigned i = 0; i < d->peer_count; i++)
        if (d->peers[i].id == peer_id)
            return d->peers[i].contact_ms;
    return 0;
}

bool driver_is_followed_by(const struct driver *d, uint64_t peer_id)
{
    if (d->failed || !d->started || !driver_is_leader(d))
        return false;
    for (unsigned i = 0; i < d->peer_count; i++)
        if (d->peers[i].id == peer_id)
            return d->peers[i].follows_term == raft_current_term(&d->raft);
    return false;
}

struct entry *driver_entry_at(const struct driver *d, uint64_t index)
{
    return logcache_get(&d->log, index);
}
