/* Requests of this node's own: proposals, membership changes, leadership transfers. */
#include "consensus/confcodec.h"
#include "consensus/driver_internal.h"
#include "shared/base/err.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

/* Only a leader that hands nothing over may begin anything. */
static int check_leader(const struct driver *d)
{
    if (!driver_is_leader(d))
        return OC_ENOTLEADER;
    return raft_transferee(&d->raft) != 0 ? OC_ETRANSFER : 0;
}

/* The others' disks may commit what this node's own, hanging, does not take. */
static int check_backlog(const struct driver *d, const struct entry *e)
{
    size_t bytes = entry_len(e);
    if (d->log.last - d->raft.last_stored >= BACKLOG_ENTRIES_MAX)
        return OC_EFULL;
    for (uint64_t i = d->raft.last_stored + 1; i <= d->log.last; i++) {
        const struct entry *queued = logcache_get(&d->log, i);
        bytes += queued != NULL ? entry_len(queued) : 0;
    }
    return bytes > BACKLOG_BYTES_MAX ? OC_EFULL : 0;
}

int driver_propose(struct driver *d, uint64_t now_ms, struct entry *e, uint64_t *ret_index, uint64_t *ret_term)
{
    if (!driver_enter(d, now_ms))
        return OC_ESHUTDOWN;
    int rc = check_leader(d);
    if (rc == 0)
        rc = check_backlog(d, e);
    if (rc == 0)
        rc = driver_submit(d, e, ret_index, ret_term);
    if (!d->failed)
        driver_leave(d);
    return rc;
}

int driver_barrier(struct driver *d, uint64_t now_ms, uint64_t *ret_index, uint64_t *ret_term)
{
    struct entry *e = entry_new(ENTRY_BARRIER, 0, 8);
    if (e == NULL)
        return -ENOMEM;
    memset(entry_payload(e), 0, 8);
    int rc = driver_propose(d, now_ms, e, ret_index, ret_term);
    if (rc != 0)
        entry_unref(e);
    return rc;
}

/* A change must build on a committed configuration, by a leader that has committed in its term. */
static int check_change(const struct driver *d)
{
    int rc = check_leader(d);
    if (rc != 0)
        return rc;
    if (d->ready_term != raft_current_term(&d->raft) || d->raft.configuration_uncommitted_index != 0 ||
        d->raft.leader_state.promotee_id != 0)
        return OC_ECHANGING;
    return 0;
}

static struct member *find(struct membership *m, uint64_t id)
{
    for (unsigned i = 0; i < m->count; i++)
        if (m->members[i].id == id)
            return &m->members[i];
    return NULL;
}

static unsigned count_voters(const struct membership *m)
{
    unsigned n = 0;
    for (unsigned i = 0; i < m->count; i++)
        n += m->members[i].role == MEMBER_VOTER;
    return n;
}

static bool is_voter_in(const struct membership *m, uint64_t id)
{
    for (unsigned i = 0; i < m->count; i++)
        if (m->members[i].id == id)
            return m->members[i].role == MEMBER_VOTER;
    return false;
}

/* Submits the new configuration. The others keep their order: the core relies on it. */
static int submit_change(struct driver *d, const struct membership *m)
{
    uint64_t index, term;
    struct membership checked;
    /* The core lets nobody campaign whose own log says that it is no voter. If this leader stepped
     * down before the change is known, the others must be a majority without it. */
    if (count_voters(m) == 0 || (!is_voter_in(m, d->options.self_id) && count_voters(m) < 2))
        return OC_ERANGE;
    struct entry *e = entry_new(ENTRY_CHANGE, 0, confcodec_len(m));
    if (e == NULL)
        return -ENOMEM;
    confcodec_encode(m, entry_payload(e));
    int rc = confcodec_decode(entry_payload(e), entry_len(e), &checked) == 0 ? 0 : OC_ERANGE;
    if (rc == 0)
        rc = driver_submit(d, e, &index, &term);
    if (rc != 0)
        entry_unref(e);
    if (!d->failed)
        driver_leave(d);
    return rc;
}

int driver_member_add(struct driver *d, uint64_t now_ms, uint64_t id, const char *address)
{
    if (!driver_enter(d, now_ms))
        return OC_ESHUTDOWN;
    int rc = check_change(d);
    if (rc != 0)
        return rc;
    struct membership m = d->latest;
    if (m.count == CLUSTER_SERVERS_MAX || id == 0 || address[0] == 0 || strlen(address) >= MEMBER_ADDRESS_SIZE)
        return OC_ERANGE;
    for (unsigned i = 0; i < m.count; i++)
        if (m.members[i].id == id || strcmp(m.members[i].address, address) == 0)
            return -EEXIST;
    struct member *added = &m.members[m.count++];
    *added = (struct member){.id = id, .role = MEMBER_SPARE};
    snprintf(added->address, sizeof added->address, "%s", address);
    return submit_change(d, &m);
}

int driver_member_set_role(struct driver *d, uint64_t now_ms, uint64_t id, enum member_role role)
{
    if (!driver_enter(d, now_ms))
        return OC_ESHUTDOWN;
    int rc = check_change(d);
    if (rc != 0)
        return rc;
    struct membership m = d->latest;
    struct member *member = find(&m, id);
    if (member == NULL)
        return OC_EUNKNOWN;
    if (member->role == role)
        return -EEXIST;
    member->role = role;
    return submit_change(d, &m);
}

int driver_member_remove(struct driver *d, uint64_t now_ms, uint64_t id)
{
    if (!driver_enter(d, now_ms))
        return OC_ESHUTDOWN;
    int rc = check_change(d);
    if (rc != 0)
        return rc;
    struct membership m = d->latest;
    struct member *member = find(&m, id);
    if (member == NULL)
        return OC_EUNKNOWN;
    size_t behind = (size_t)(&m.members[m.count] - (member + 1));
    memmove(member, member + 1, behind * sizeof *member);
    m.count--;
    return submit_change(d, &m);
}

/* The core checks nothing here: an unknown id would corrupt its memory. */
int driver_catch_up_start(struct driver *d, uint64_t now_ms, uint64_t id)
{
    struct raft_event event = {.type = RAFT_CATCH_UP};
    uint64_t index, term;
    if (!driver_enter(d, now_ms))
        return OC_ESHUTDOWN;
    int rc = check_change(d);
    if (rc != 0)
        return rc;
    struct member *member = find(&d->latest, id);
    if (member == NULL || id == d->options.self_id)
        return OC_EUNKNOWN;
    if (member->role == MEMBER_VOTER)
        return -EEXIST;
    /* The core looks whether it caught up only when the member stores something new: a barrier is. */
    struct entry *e = entry_new(ENTRY_BARRIER, 0, 8);
    if (e == NULL)
        return -ENOMEM;
    memset(entry_payload(e), 0, 8);
    event.catch_up.server_id = id;
    driver_step_or_fail(d, &event, "catch up");
    if (d->failed) {
        entry_unref(e);
        return OC_ESHUTDOWN;
    }
    rc = driver_submit(d, e, &index, &term);
    if (rc != 0)
        entry_unref(e);
    if (!d->failed)
        driver_leave(d);
    return rc;
}

enum catch_up_state driver_catch_up_state(const struct driver *d, uint64_t id)
{
    int status;
    if (d->failed || !d->started || raft_catch_up(&d->raft, id, &status) != 0)
        return CATCH_UP_NONE;
    switch (status) {
    case RAFT_CATCH_UP_RUNNING:
        return CATCH_UP_RUNNING;
    case RAFT_CATCH_UP_FINISHED:
        return CATCH_UP_FINISHED;
    case RAFT_CATCH_UP_ABORTED:
        return CATCH_UP_ABORTED;
    default:
        return CATCH_UP_NONE;
    }
}

int driver_transfer(struct driver *d, uint64_t now_ms, uint64_t id, bool asked)
{
    struct raft_event event = {.type = RAFT_TRANSFER};
    if (!driver_enter(d, now_ms))
        return OC_ESHUTDOWN;
    int rc = check_leader(d);
    if (rc != 0)
        return rc;
    event.transfer.server_id = id;
    /* The message to an up-to-date target leaves within the step. While one is under way no other begins. */
    if (raft_transferee(&d->raft) == 0)
        d->transfer_asked = asked && id != 0;
    int rv = driver_step(d, &event);
    if (!d->failed)
        driver_leave(d);
    if (rv == 0)
        return 0;
    return rv == RAFT_NOTLEADER ? OC_ENOTLEADER : rv == RAFT_NOMEM ? -ENOMEM : OC_EUNKNOWN;
}
