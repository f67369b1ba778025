/* Nodes, network and time of the simulator. */
#include "make_record.h"
#include "sim.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- what a driver needs ---- */

static int on_save(void *ctx, uint64_t term, uint64_t voted_for)
{
    struct sim_node *n = ctx;
    if (!sim_disk_save_vote(&n->disk, term, voted_for))
        sim_fail(n->sim, "node %" PRIu64 " takes back a term or vote", n->id);
    return 0;
}

static void on_append(void *ctx, uint64_t index, struct entry *e)
{
    struct sim_node *n = ctx;
    sim_disk_push(&n->disk, n->sim->now_ms, (struct disk_job){.kind = DISK_APPEND, .index = index, .entry = e});
}

static void on_truncate(void *ctx, uint64_t from_index)
{
    struct sim_node *n = ctx;
    if (from_index <= n->last_applied)
        sim_fail(n->sim, "node %" PRIu64 " truncates at %" PRIu64 ", applied %" PRIu64, n->id, from_index,
                 n->last_applied);
    sim_disk_push(&n->disk, n->sim->now_ms, (struct disk_job){.kind = DISK_TRUNCATE, .index = from_index});
}

static void on_snapshot(void *ctx, struct snapshot *snapshot, uint64_t keep_from, bool install)
{
    struct sim_node *n = ctx;
    sim_disk_push(
        &n->disk, n->sim->now_ms,
        (struct disk_job){.kind = install ? DISK_INSTALL : DISK_SNAPSHOT, .index = keep_from, .snapshot = snapshot});
}

static void on_send(void *ctx, uint64_t peer_id, const struct wire_msg *msg)
{
    struct sim_node *n = ctx;
    struct sim *s = n->sim;
    unsigned to = (unsigned)(peer_id - 1);
    if (to < s->node_count)
        network_send(&s->network, s->now_ms, (unsigned)(n - s->nodes), to, msg);
}

static int on_apply(void *ctx, uint64_t index, uint64_t term, struct entry *e)
{
    struct sim_node *n = ctx;
    if (entry_type(e) == ENTRY_COMMAND)
        window_apply(n->window, index, e);
    sim_check_applied(n->sim, n, index, term, e);
    return 0;
}

static int on_restore(void *ctx, const struct snapshot *snapshot)
{
    struct sim_node *n = ctx;
    if (snapshot->index < n->last_applied)
        sim_fail(n->sim, "node %" PRIu64 " goes back to %" PRIu64 " from %" PRIu64, n->id, snapshot->index,
                 n->last_applied);
    int rc = window_restore(n->window, snapshot);
    if (rc != 0)
        return rc;
    n->last_applied = snapshot->index;
    sim_check_restored(n->sim, n, snapshot);
    return 0;
}

static int on_take(void *ctx, struct snapshot *snapshot)
{
    struct sim_node *n = ctx;
    return window_save(n->window, snapshot);
}

static void on_changed(void *ctx)
{
    struct sim_node *n = ctx;
    struct driver_view v = driver_view(n->driver);
    if (n->sim->verbose)
        printf("%7" PRIu64 " node %" PRIu64 ": state %d term %" PRIu64 " leader %" PRIu64 "%s last %" PRIu64
               " commit %" PRIu64 " members %u@%" PRIu64 "\n",
               n->sim->now_ms, n->id, (int)v.state, v.term, v.leader_id, v.leader_ready ? " ready" : "", v.last_index,
               v.commit_index, v.membership->count, v.membership->index);
    sim_check_view(n->sim, n);
}

static void on_failed(void *ctx, int rc, const char *why)
{
    struct sim_node *n = ctx;
    sim_fail(n->sim, "node %" PRIu64 " stopped: %s (%d)", n->id, why, rc);
}

/* ---- life ---- */

void sim_node_start(struct sim *s, struct sim_node *n)
{
    struct driver_recovered recovered;
    struct entry **entries;
    struct driver_options options = {.self_id = n->id,
                                     .election_timeout_ms = SIM_ET_MS,
                                     .snapshot_threshold = 10 + sim_random(s, 60),
                                     .snapshot_threshold_bytes = 1 << 20,
                                     .snapshot_interval_ms = 5000,
                                     .trailing_entries = sim_random(s, 20),
                                     .trailing_bytes = 1 << 16,
                                     .random_seed = sim_random(s, UINT64_MAX),
                                     .turn =
                                         sim_chance(s, 85) ? DRIVER_TURN_FIRST : (enum driver_turn)sim_random(s, 3)};
    struct driver_io io = {.ctx = n,
                           .save_term_vote = on_save,
                           .append = on_append,
                           .truncate = on_truncate,
                           .save_snapshot = on_snapshot,
                           .send = on_send,
                           .apply = on_apply,
                           .restore = on_restore,
                           .take = on_take,
                           .changed = on_changed,
                           .failed = on_failed};
    snprintf(options.self_address, sizeof options.self_address, "n%" PRIu64 "@host:%" PRIu64, n->id, n->id);
    if (s->verbose)
        printf("%7" PRIu64 " node %" PRIu64 " starts\n", s->now_ms, n->id);
    n->last_applied = 0;
    n->asked_count = 0;
    n->window = window_new(4 + (unsigned)sim_random(s, 60), 1 << 20);
    if (driver_open(&options, &io, &n->driver) != 0)
        sim_fail(s, "open");
    sim_disk_recover(&n->disk, &recovered, &entries);
    int rc = driver_start(n->driver, s->now_ms, &recovered);
    free(entries);
    if (rc != 0)
        sim_fail(s, "node %" PRIu64 " does not start: %d", n->id, rc);
    for (unsigned i = 0; i < s->node_count; i++)
        if (&s->nodes[i] != n && s->nodes[i].driver != NULL) {
            driver_peer_connected(s->nodes[i].driver, s->now_ms, n->id);
            driver_peer_connected(n->driver, s->now_ms, s->nodes[i].id);
        }
}

void sim_node_crash(struct sim *s, struct sim_node *n)
{
    if (s->verbose)
        printf("%7" PRIu64 " node %" PRIu64 " crashes\n", s->now_ms, n->id);
    driver_close(n->driver);
    window_free(n->window);
    n->driver = NULL;
    n->window = NULL;
    sim_disk_crash(&n->disk);
    for (unsigned i = 0; i < s->node_count; i++)
        if (s->nodes[i].driver != NULL && sim_chance(s, 60))
            driver_peer_gone(s->nodes[i].driver, s->now_ms, n->id);
}

void sim_node_free(struct sim_node *n)
{
    driver_close(n->driver);
    window_free(n->window);
    sim_disk_free(&n->disk);
}

static void deliver(struct sim *s)
{
    struct packet *p;
    while ((p = network_take(&s->network, s->now_ms)) != NULL) {
        struct sim_node *n = &s->nodes[p->to];
        if (n->driver == NULL) {
            packet_free(p);
            continue;
        }
        int rc = driver_receive(n->driver, s->now_ms, s->nodes[p->from].id, &p->msg);
        if (rc != 0)
            sim_fail(s, "node %" PRIu64 " refused an honest message of kind %d from %" PRIu64, n->id, (int)p->msg.kind,
                     s->nodes[p->from].id);
        free(p);
    }
}

static void run_disk(struct sim *s, struct sim_node *n)
{
    struct disk_job done;
    while (n->driver != NULL && sim_disk_take(&n->disk, s->now_ms, &done)) {
        if (done.kind == DISK_APPEND)
            driver_entries_durable(n->driver, s->now_ms, done.index);
        else
            driver_snapshot_durable(n->driver, s->now_ms, done.snapshot);
    }
}

void sim_run_ms(struct sim *s, uint64_t ms, void (*mischief)(struct sim *s))
{
    for (uint64_t end = s->now_ms + ms; s->now_ms < end; s->now_ms++) {
        deliver(s);
        for (unsigned i = 0; i < s->node_count; i++) {
            struct sim_node *n = &s->nodes[i];
            if (n->driver == NULL && n->up_at_ms <= s->now_ms)
                sim_node_start(s, n);
            run_disk(s, n);
            if (n->driver != NULL && driver_deadline_ms(n->driver) <= s->now_ms)
                driver_tick(n->driver, s->now_ms);
        }
        if (mischief != NULL)
            mischief(s);
    }
}

struct sim_node *sim_leader(struct sim *s)
{
    struct sim_node *leader = NULL;
    uint64_t term = 0;
    for (unsigned i = 0; i < s->node_count; i++) {
        if (s->nodes[i].driver == NULL)
            continue;
        struct driver_view v = driver_view(s->nodes[i].driver);
        if (v.leader_ready && v.term > term) {
            leader = &s->nodes[i];
            term = v.term;
        }
    }
    return leader;
}

uint64_t sim_propose(struct sim *s, struct sim_node *n)
{
    struct tail tail;
    struct block_id head = {0};
    uint64_t index, term;
    struct driver_view v = driver_view(n->driver);

    if (n->asked_count == sizeof n->asked / sizeof n->asked[0])
        return 0;
    tail_init(&tail, n->window);
    for (uint64_t i = v.applied_index + 1; i <= v.last_index; i++) {
        struct entry *e = driver_entry_at(n->driver, i);
        if (e != NULL && entry_type(e) == ENTRY_COMMAND)
            tail_apply(&tail, e);
    }
    bool has_head = tail_head(&tail, &head);
    const struct tail_block *before = tail.count > 1 ? &tail.blocks[tail.count - 2] : NULL;
    struct entry *e;
    if (has_head && before != NULL && sim_chance(s, 5)) {
        struct block_id rival = make_block(head.number, ++s->fork);
        e = make_proposal(PROPOSAL_REPLACE, &head, rival, before->block.hash, sim_random(s, 300));
    } else {
        struct block_id next = make_block(has_head ? head.number + 1 : 100, ++s->fork);
        struct block_id wrong = make_block(head.number, 0);
        bool stale = has_head && sim_chance(s, 5);
        e = make_proposal(PROPOSAL_EXTEND,
                          stale      ? &wrong
                          : has_head ? &head
                                     : NULL,
                          next, head.hash, sim_random(s, 300));
    }
    if (driver_propose(n->driver, s->now_ms, e, &index, &term) != 0) {
        entry_unref(e);
        return 0;
    }
    n->asked[n->asked_count].index = index;
    n->asked[n->asked_count++].term = term;
    return index;
}
