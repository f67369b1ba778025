/* One step of the core, and what follows from its flags, in the one right order: term and vote are
 * durable before anything is said or written; entries and snapshots are handed to the disk; messages
 * go out; only then is anything applied, because that steps the core again.
 */
#include "consensus/confcodec.h"
#include "consensus/driver_internal.h"
#include "shared/base/err.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

static struct entry *take_entry(struct driver *d, const struct raft_entry *re)
{
    if (re->batch == d->token) {
        struct entry *e = d->carried_entry;
        d->carried_entry = NULL;
        return e;
    }
    /* The core's own barrier at the beginning of its term. */
    struct entry *e = entry_new((enum entry_type)re->type, re->term, re->buf.len);
    if (e != NULL)
        memcpy(entry_payload(e), re->buf.base, re->buf.len);
    return e;
}

static void handle_entries(struct driver *d, const struct raft_update *u)
{
    uint64_t index = u->entries.index;

    if (index <= d->log.last) {
        logcache_truncate(&d->log, index);
        d->io.truncate(d->io.ctx, index);
    }
    for (unsigned i = 0; i < u->entries.n; i++, index++) {
        struct entry *e = take_entry(d, &u->entries.batch[i]);
        if (e == NULL || logcache_append(&d->log, e) != 0) {
            entry_unref(e);
            driver_fail(d, -ENOMEM, "out of memory for the log");
            break;
        }
        (void)entry_crc(e); /* once, before disk and followers both want it */
        d->io.append(d->io.ctx, index, e);
    }
    raft_free(u->entries.batch[0].batch);
}

static void handle_install(struct driver *d, struct raft_update *u)
{
    struct snapshot *s = d->carried_snapshot;
    d->carried_snapshot = NULL;
    raft_free(u->snapshot.chunk.base);
    raft_configuration_close(&u->snapshot.metadata.configuration);
    /* A snapshot of our own that is being written is worthless now. */
    snapshot_unref(d->taking);
    d->taking = NULL;
    d->installing = s;
    logcache_reset(&d->log, s->index + 1);
    d->io.save_snapshot(d->io.ctx, s, s->index + 1, true);
}

/* A configuration was committed: tell the core, remember it for snapshots. */
static void apply_change(struct driver *d, uint64_t index, struct entry *e)
{
    struct raft_event event = {.type = RAFT_CONFIGURATION};
    struct membership m;

    if (confcodec_decode(entry_payload(e), entry_len(e), &m) != 0) {
        driver_fail(d, OC_ECORRUPT, "a configuration in the log cannot be read");
        return;
    }
    m.index = index;
    d->committed = m;
    event.configuration.index = index;
    if (driver_configuration_from(&m, &event.configuration.conf) != 0) {
        driver_fail(d, -ENOMEM, "out of memory for a configuration");
        return;
    }
    driver_step_or_fail(d, &event, "configuration");
}

static void note_applied(struct driver *d, uint64_t index, struct entry *e)
{
    if (driver_is_leader(d) && entry_term(e) == raft_current_term(&d->raft))
        d->ready_term = entry_term(e);
    if (entry_type(e) == ENTRY_CHANGE)
        apply_change(d, index, e);
}

static void apply_committed(struct driver *d)
{
    if (d->applying)
        return;
    d->applying = true;
    while (!d->failed && d->applied < raft_commit_index(&d->raft)) {
        struct entry *e = logcache_get(&d->log, d->applied + 1);
        if (e == NULL) /* a snapshot that covers it is being installed */
            break;
        entry_ref(e);
        d->applied++;
        d->unsnapped_bytes += entry_len(e);
        uint64_t index = d->applied;
        int rc = d->io.apply(d->io.ctx, index, entry_term(e), e);
        if (rc != 0)
            driver_fail(d, rc, "an entry of the log cannot be applied");
        else
            note_applied(d, index, e);
        entry_unref(e);
    }
    d->applying = false;
}

/* Without an entry of its own term a leader can commit nothing; the core adds one only when it has
 * uncommitted ones. */
static void submit_first_barrier(struct driver *d)
{
    uint64_t index, term;
    struct entry *e = entry_new(ENTRY_BARRIER, 0, 8);
    if (e == NULL) {
        driver_fail(d, -ENOMEM, "out of memory for a barrier");
        return;
    }
    memset(entry_payload(e), 0, 8);
    if (driver_submit(d, e, &index, &term) != 0)
        entry_unref(e);
}

void driver_refresh_membership(struct driver *d)
{
    const struct raft *r = &d->raft;
    if (d->latest_committed_index == r->configuration_committed_index &&
        d->latest_uncommitted_index == r->configuration_uncommitted_index)
        return;
    d->latest_committed_index = r->configuration_committed_index;
    d->latest_uncommitted_index = r->configuration_uncommitted_index;
    uint64_t index =
        r->configuration_uncommitted_index ? r->configuration_uncommitted_index : r->configuration_committed_index;
    driver_membership_from(&r->configuration, index, &d->latest);
}

static int save_term_vote(struct driver *d)
{
    uint64_t term = raft_current_term(&d->raft), voted_for = raft_voted_for(&d->raft);
    if (voted_for == 0 && d->guest_vote.term == term)
        voted_for = d->guest_vote.candidate;
    d->guest_vote.unsaved = false;
    return d->io.save_term_vote(d->io.ctx, term, voted_for);
}

static void handle(struct driver *d, struct raft_update *u)
{
    unsigned flags = u->flags;
    bool saved = true;

    if ((flags & ((RAFT_UPDATE_CURRENT_TERM) | (RAFT_UPDATE_VOTED_FOR))) != 0 || d->guest_vote.unsaved) {
        int rc = save_term_vote(d);
        if (rc != 0) {
            driver_fail(d, rc, "term and vote could not be saved");
            saved = false;
        }
    }
    driver_refresh_membership(d);
    if ((flags & (RAFT_UPDATE_ENTRIES)) != 0) {
        if (saved)
            handle_entries(d, u);
        else
            raft_free(u->entries.batch[0].batch);
    }
    if ((flags & (RAFT_UPDATE_SNAPSHOT)) != 0)
        handle_install(d, u);
    if (d->failed)
        return;
    bool became_leader = (flags & (RAFT_UPDATE_STATE)) != 0 && driver_is_leader(d);
    driver_note_state(d, became_leader);
    if ((flags & (RAFT_UPDATE_MESSAGES)) != 0)
        driver_send_messages(d, u->messages.batch, u->messages.n);
    if ((flags & (RAFT_UPDATE_COMMIT_INDEX)) != 0)
        apply_committed(d);
    if (became_leader && (flags & (RAFT_UPDATE_ENTRIES)) == 0 && driver_is_leader(d) && !d->failed)
        submit_first_barrier(d);
}

int driver_step(struct driver *d, struct raft_event *event)
{
    struct raft_update update = {0};
    event->time = d->now_ms;
    event->capacity = 0;
    int rv = raft_step(&d->raft, event, &update);
    if (rv != 0)
        return rv;
    handle(d, &update);
    return 0;
}

void driver_step_or_fail(struct driver *d, struct raft_event *event, const char *what)
{
    char why[TEXT_SIZE];
    int rv = driver_step(d, event);
    if (rv == 0)
        return;
    snprintf(why, sizeof why, "the raft core refused a step (%s): %s", what, raft_strerror(rv));
    driver_fail(d, rv == RAFT_NOMEM ? -ENOMEM : OC_ECORRUPT, why);
}

int driver_submit(struct driver *d, struct entry *e, uint64_t *ret_index, uint64_t *ret_term)
{
    struct raft_event event = {.type = RAFT_SUBMIT};
    uint64_t term = raft_current_term(&d->raft);
    uint64_t index = d->log.last + 1;
    void *token = raft_malloc(8);

    if (token == NULL)
        return -ENOMEM;
    entry_set_term(e, term);
    struct raft_entry re = {.term = term,
                            .type = (enum raft_entry_type)entry_type(e),
                            .buf = {entry_payload(e), entry_len(e)},
                            .batch = token};
    event.submit.entries = &re;
    event.submit.n = 1;
    d->carried_entry = entry_ref(e);
    d->token = token;
    int rv = driver_step(d, &event);
    entry_unref(d->carried_entry); /* NULL when the log has it */
    d->carried_entry = NULL;
    d->token = NULL;
    if (rv != 0) {
        raft_free(token);
        return rv == RAFT_NOTLEADER    ? OC_ENOTLEADER
               : rv == RAFT_CANTCHANGE ? OC_ECHANGING
               : rv == RAFT_NOMEM      ? -ENOMEM
                                       : OC_ERANGE;
    }
    entry_unref(e); /* the caller's reference; the log has its own */
    *ret_index = index;
    *ret_term = term;
    return 0;
}
