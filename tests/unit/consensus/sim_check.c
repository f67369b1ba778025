/* What must hold in every run. */
#include "sim.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

void sim_fail(struct sim *s, const char *format, ...)
{
    va_list args;
    printf("\nFAILED: seed %" PRIu64 " at %" PRIu64 " ms: ", s->seed, s->now_ms);
    va_start(args, format);
    vprintf(format, args);
    va_end(args);
    printf("\nreplay: sim --seeds 1 --from %" PRIu64 " --verbose\n", s->seed);
    fflush(stdout);
    abort();
}

/* An entry that is applied must be durable on a majority of the voters; seen by the one who decided
 * that, the leader. */
static void check_majority(struct sim *s, struct sim_node *leader, uint64_t index, uint64_t term)
{
    struct driver_view v = driver_view(leader->driver);
    unsigned voters = 0, have = 0;
    for (unsigned i = 0; i < v.membership->count; i++) {
        if (v.membership->members[i].role != MEMBER_VOTER)
            continue;
        voters++;
        for (unsigned k = 0; k < s->node_count; k++) {
            if (s->nodes[k].id == v.membership->members[i].id && sim_disk_has(&s->nodes[k].disk, index, term))
                have++;
        }
    }
    /* What the log was when it was restored may have been applied by others long ago. */
    if (have <= voters / 2)
        sim_fail(s, "node %" PRIu64 " applied entry %" PRIu64 " that only %u of %u voters have", leader->id, index,
                 have, voters);
}

void sim_check_applied(struct sim *s, struct sim_node *n, uint64_t index, uint64_t term, struct entry *e)
{
    if (index != n->last_applied + 1)
        sim_fail(s, "node %" PRIu64 " applied %" PRIu64 " after %" PRIu64, n->id, index, n->last_applied);
    n->last_applied = index;
    const char *wrong = fates_note_applied(&s->fates, index, term, e, n->window);
    if (wrong != NULL)
        sim_fail(s, "node %" PRIu64 ", entry %" PRIu64 " of term %" PRIu64 ": %s", n->id, index, term, wrong);
    struct driver_view v = driver_view(n->driver);
    if (v.state == RAFT_ROLE_LEADER && term == v.term)
        check_majority(s, n, index, term);
    for (unsigned i = 0; i < n->asked_count;) {
        if (n->asked[i].index != index) {
            i++;
            continue;
        }
        if (n->asked[i].term == term) {
            s->acknowledged_count++;
            if (index > s->max_acknowledged)
                s->max_acknowledged = index;
        }
        n->asked[i] = n->asked[--n->asked_count];
    }
}

void sim_check_restored(struct sim *s, struct sim_node *n, const struct snapshot *snapshot)
{
    const char *wrong = fates_check_restored(&s->fates, snapshot, n->window);
    if (wrong != NULL)
        sim_fail(s, "node %" PRIu64 ", entry %" PRIu64 ": %s", n->id, snapshot->index, wrong);
}

void sim_check_view(struct sim *s, struct sim_node *n)
{
    struct driver_view v = driver_view(n->driver);
    if (v.term > n->disk.term)
        sim_fail(s, "node %" PRIu64 " is in term %" PRIu64 " and its disk in %" PRIu64, n->id, v.term, n->disk.term);
    if (v.state != RAFT_ROLE_LEADER)
        return;
    const char *wrong = fates_note_leader(&s->fates, v.term, n->id);
    if (wrong != NULL)
        sim_fail(s, "node %" PRIu64 " leads term %" PRIu64 ": %s", n->id, v.term, wrong);
}

void sim_check_end(struct sim *s)
{
    struct sim_node *leader = sim_leader(s);
    if (leader == NULL)
        sim_fail(s, "no leader after all faults ended");
    struct driver_view v = driver_view(leader->driver);
    if (v.applied_index < s->fates.max_applied || v.applied_index < s->max_acknowledged)
        sim_fail(s, "the leader has %" PRIu64 " entries, %" PRIu64 " were applied somewhere", v.applied_index,
                 s->fates.max_applied);
    for (unsigned i = 0; i < v.membership->count; i++) {
        const struct member *m = &v.membership->members[i];
        for (unsigned k = 0; k < s->node_count; k++) {
            struct sim_node *n = &s->nodes[k];
            if (n->id != m->id || m->role == MEMBER_SPARE)
                continue;
            if (n->last_applied != leader->last_applied)
                sim_fail(s, "node %" PRIu64 " has applied %" PRIu64 ", the leader %" PRIu64, n->id, n->last_applied,
                         leader->last_applied);
        }
    }
}
