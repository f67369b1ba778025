/* Snapshots: when to take one, what happens when one is durable; configurations to and from the
 * library's form. */
#include "consensus/driver_internal.h"
#include "shared/base/err.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

int driver_configuration_from(const struct membership *m, struct raft_configuration *ret_configuration)
{
    raft_configuration_init(ret_configuration);
    for (unsigned i = 0; i < m->count; i++) {
        const struct member *s = &m->members[i];
        if (raft_configuration_add(ret_configuration, s->id, s->address, (int)s->role) != 0) {
            raft_configuration_close(ret_configuration);
            return -ENOMEM;
        }
    }
    return 0;
}

void driver_membership_from(const struct raft_configuration *c, uint64_t index, struct membership *ret_membership)
{
    *ret_membership = (struct membership){.index = index};
    for (unsigned i = 0; i < c->n && i < CLUSTER_SERVERS_MAX; i++) {
        struct member *m = &ret_membership->members[ret_membership->count++];
        m->id = c->servers[i].id;
        m->role = (enum member_role)c->servers[i].role;
        snprintf(m->address, sizeof m->address, "%s", c->servers[i].address);
    }
}

/* How many entries at and before `index` stay in the log for slow followers. */
static unsigned count_trailing(const struct driver *d, uint64_t index)
{
    unsigned n = 0;
    size_t bytes = 0;
    for (uint64_t i = index; i >= d->log.first && n < d->options.trailing_entries; i--, n++) {
        bytes += entry_len(logcache_get(&d->log, i));
        if (bytes > d->options.trailing_bytes)
            break;
    }
    return n;
}

static bool is_due(const struct driver *d)
{
    uint64_t since = d->snapshot != NULL ? d->snapshot->index : 0;
    if (d->failed || !d->started || d->taking != NULL || d->installing != NULL || d->applied <= since)
        return false;
    return d->applied - since >= d->options.snapshot_threshold ||
           d->unsnapped_bytes >= d->options.snapshot_threshold_bytes ||
           (d->options.snapshot_interval_ms > 0 && d->now_ms - d->snapshot_ms >= d->options.snapshot_interval_ms);
}

struct snapshot *driver_snapshot_now(struct driver *d)
{
    struct snapshot *s = snapshot_new();
    if (s == NULL || d->io.take(d->io.ctx, s) != 0) {
        snapshot_unref(s);
        return NULL;
    }
    s->index = d->applied;
    s->term = driver_term_of(d, d->applied);
    s->membership = d->committed;
    return s;
}

struct snapshot *driver_snapshot_about(const struct snapshot *s)
{
    struct snapshot *about = snapshot_new();
    if (about != NULL) {
        about->index = s->index;
        about->term = s->term;
        about->membership = s->membership;
    }
    return about;
}

void driver_maybe_snapshot(struct driver *d)
{
    if (!is_due(d) || logcache_get(&d->log, d->applied) == NULL || d->committed.count == 0)
        return;
    struct snapshot *s = driver_snapshot_now(d);
    if (s == NULL) {
        d->snapshot_ms = d->now_ms; /* no memory now; the log is kept, so nothing is lost */
        return;
    }
    d->taking = s;
    d->taking_trailing = count_trailing(d, s->index);
    d->snapshot_ms = d->now_ms;
    d->unsnapped_bytes = 0;
    uint64_t keep_from = s->index - d->taking_trailing + 1;
    if (keep_from <= d->log.first)
        keep_from = d->log.first;
    d->io.save_snapshot(d->io.ctx, s, keep_from, false);
}

static int fill_metadata(const struct snapshot *s, struct raft_snapshot_metadata *ret_metadata)
{
    ret_metadata->index = s->index;
    ret_metadata->term = s->term;
    ret_metadata->configuration_index = s->membership.index;
    return driver_configuration_from(&s->membership, &ret_metadata->configuration);
}

static bool set_durable(struct driver *d, const struct snapshot *s)
{
    struct snapshot *about = driver_snapshot_about(s);
    if (about == NULL) {
        driver_fail(d, -ENOMEM, "out of memory for a snapshot");
        return false;
    }
    snapshot_unref(d->snapshot);
    d->snapshot = about;
    return true;
}

static void taken(struct driver *d, struct snapshot *s)
{
    struct raft_event event = {.type = RAFT_SNAPSHOT};
    if (fill_metadata(s, &event.snapshot.metadata) != 0) {
        driver_fail(d, -ENOMEM, "out of memory for a snapshot");
        return;
    }
    event.snapshot.trailing = d->taking_trailing;
    if (!set_durable(d, s)) {
        raft_configuration_close(&event.snapshot.metadata.configuration);
        return;
    }
    driver_step_or_fail(d, &event, "snapshot taken");
    logcache_drop_below(&d->log, d->raft.trail.offset + 1);
}

static void installed(struct driver *d, struct snapshot *s)
{
    struct raft_event event = {.type = RAFT_PERSISTED_SNAPSHOT};
    int rc = d->io.restore(d->io.ctx, s);
    if (rc != 0) {
        driver_fail(d, rc, "the leader's snapshot cannot be restored");
        return;
    }
    if (fill_metadata(s, &event.persisted_snapshot.metadata) != 0) {
        driver_fail(d, -ENOMEM, "out of memory for a snapshot");
        return;
    }
    event.persisted_snapshot.last = true;
    d->applied = s->index;
    d->committed = s->membership;
    d->unsnapped_bytes = 0;
    d->snapshot_ms = d->now_ms;
    if (!set_durable(d, s)) {
        raft_configuration_close(&event.persisted_snapshot.metadata.configuration);
        return;
    }
    driver_step_or_fail(d, &event, "snapshot installed");
    driver_note_durable(d, s->term, s->index);
}

void driver_snapshot_durable(struct driver *d, uint64_t now_ms, struct snapshot *s)
{
    if (driver_enter(d, now_ms) && s == d->installing) {
        installed(d, s);
        d->installing = NULL;
        snapshot_unref(s);
    } else if (!d->failed && s == d->taking) {
        taken(d, s);
        d->taking = NULL;
        snapshot_unref(s);
    } /* else it was overtaken by an installation */
    if (!d->failed)
        driver_leave(d);
    snapshot_unref(s);
}
