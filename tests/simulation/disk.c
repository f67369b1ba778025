/* The simulated disk, see disk.h. */
#include "tests/simulation/disk.h"

#include <stdlib.h>

void sim_disk_init(struct sim_disk *d, struct dice *dice)
{
    *d = (struct sim_disk){.dice = dice};
    d->jobs_end = &d->jobs;
    logcache_init(&d->log, 1);
}

bool sim_disk_save_vote(struct sim_disk *d, uint64_t term, uint64_t voted_for)
{
    if (term < d->term || (term == d->term && d->voted_for != 0 && d->voted_for != voted_for))
        return false;
    d->term = term;
    d->voted_for = voted_for;
    return true;
}

static void job_free(struct disk_job *j)
{
    entry_unref(j->entry);
    snapshot_unref(j->snapshot);
    free(j);
}

void sim_disk_push(struct sim_disk *d, uint64_t now_ms, struct disk_job job)
{
    for (struct disk_job *j = d->jobs; j != NULL; j = j->next)
        if (j->kind == DISK_APPEND &&
            ((job.kind == DISK_TRUNCATE && j->index >= job.index) || job.kind == DISK_INSTALL))
            j->disowned = true;
    struct disk_job *j = malloc(sizeof *j);
    if (j == NULL)
        abort();
    *j = job;
    j->next = NULL;
    if (j->entry != NULL)
        entry_ref(j->entry);
    if (j->snapshot != NULL)
        snapshot_ref(j->snapshot);
    if (d->busy_until_ms < now_ms)
        d->busy_until_ms = now_ms;
    d->busy_until_ms += dice_below(d->dice, d->delay_ms_max + 1);
    j->done_ms = d->busy_until_ms;
    *d->jobs_end = j;
    d->jobs_end = &j->next;
}

static struct disk_job *pop(struct sim_disk *d)
{
    struct disk_job *j = d->jobs;
    d->jobs = j->next;
    if (d->jobs == NULL)
        d->jobs_end = &d->jobs;
    return j;
}

static void set_snapshot(struct sim_disk *d, struct snapshot *s)
{
    snapshot_unref(d->snapshot);
    d->snapshot = snapshot_ref(s);
}

/* Makes it durable. */
static void perform(struct sim_disk *d, const struct disk_job *j)
{
    switch (j->kind) {
    case DISK_APPEND:
        if (j->index != d->log.last + 1)
            abort();
        logcache_append(&d->log, entry_ref(j->entry));
        break;
    case DISK_TRUNCATE:
        logcache_truncate(&d->log, j->index);
        break;
    case DISK_SNAPSHOT:
        set_snapshot(d, j->snapshot);
        logcache_drop_below(&d->log, j->index);
        break;
    case DISK_INSTALL:
        set_snapshot(d, j->snapshot);
        logcache_reset(&d->log, j->snapshot->index + 1);
        break;
    }
}

bool sim_disk_take(struct sim_disk *d, uint64_t now_ms, struct disk_job *ret)
{
    while (d->jobs != NULL && d->jobs->done_ms <= now_ms) {
        struct disk_job *j = pop(d);
        bool is_told = j->kind != DISK_TRUNCATE && !j->disowned;
        perform(d, j);
        if (is_told) {
            *ret = (struct disk_job){.kind = j->kind == DISK_APPEND ? DISK_APPEND : DISK_SNAPSHOT, .index = j->index};
            if (j->snapshot != NULL)
                ret->snapshot = snapshot_ref(j->snapshot);
        }
        job_free(j);
        if (is_told)
            return true;
    }
    return false;
}

void sim_disk_crash(struct sim_disk *d)
{
    while (d->jobs != NULL && dice_chance(d->dice, 40)) {
        struct disk_job *j = pop(d);
        if (j->kind == DISK_INSTALL && dice_chance(d->dice, 50))
            set_snapshot(d, j->snapshot); /* the log was not dropped any more */
        else
            perform(d, j);
        job_free(j);
    }
    if (d->jobs != NULL && d->jobs->kind == DISK_APPEND && dice_chance(d->dice, 30)) {
        d->lost_term = entry_term(d->jobs->entry);
        d->lost_index = d->jobs->index;
    }
    while (d->jobs != NULL)
        job_free(pop(d));
    d->busy_until_ms = 0;
}

void sim_disk_recover(struct sim_disk *d, struct driver_recovered *ret, struct entry ***ret_entries)
{
    if (d->snapshot != NULL) {
        struct entry *at = logcache_get(&d->log, d->snapshot->index);
        if (d->log.last < d->snapshot->index || (at != NULL && entry_term(at) != d->snapshot->term))
            logcache_reset(&d->log, d->snapshot->index + 1);
    }
    unsigned count = (unsigned)(d->log.last + 1 - d->log.first);
    struct entry **entries = calloc(count + 1, sizeof(struct entry *));
    if (entries == NULL)
        abort();
    for (unsigned i = 0; i < count; i++)
        entries[i] = entry_ref(logcache_get(&d->log, d->log.first + i));
    if (d->lost_index > 0) {
        uint64_t term = count > 0 ? entry_term(entries[count - 1]) : d->snapshot != NULL ? d->snapshot->term : 0;
        if (term > d->lost_term || (term == d->lost_term && d->log.last >= d->lost_index))
            d->lost_index = d->lost_term = 0;
    }
    *ret = (struct driver_recovered){.term = d->term,
                                     .voted_for = d->voted_for,
                                     .snapshot = d->snapshot != NULL ? snapshot_ref(d->snapshot) : NULL,
                                     .first_index = d->log.first,
                                     .entries = entries,
                                     .entry_count = count,
                                     .lost_tail_term = d->lost_term,
                                     .lost_tail_index = d->lost_index};
    *ret_entries = entries;
}

bool sim_disk_has(const struct sim_disk *d, uint64_t index, uint64_t term)
{
    const struct entry *e = logcache_get(&d->log, index);
    return (e != NULL && entry_term(e) == term) || (d->snapshot != NULL && d->snapshot->index >= index);
}

void sim_disk_free(struct sim_disk *d)
{
    while (d->jobs != NULL)
        job_free(pop(d));
    logcache_close(&d->log);
    snapshot_unref(d->snapshot);
}
