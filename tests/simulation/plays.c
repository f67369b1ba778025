/* What one seed plays: mostly storms of faults and times of calm in turn; in some runs something particular first. */
#include "tests/simulation/opnode_internal.h"
#include "tests/simulation/world.h"

#include <inttypes.h>

/* Sequencing goes on within so long after the last fault: a verdict that is kept, a hold-down, the retries of a
 * handover that fails. */
#define RESUME_MS 30000
/* … and within so long all is as before: everybody has the chain, also after an L1 reorg. */
#define SETTLE_MS 40000
#define WELL_MS 4000
#define GENTLE_GAP_MS 3000
/* Who is ready leads within so long after a leader has gone. */
#define ELECTION_MS 4000
#define JOIN_MS 30000

static void run_ms(struct world *w, uint64_t ms, bool storm)
{
    for (uint64_t end = w->now_ms + ms; w->now_ms < end;) {
        if (storm)
            faults_step(w);
        world_step(w);
    }
}

static void describe(struct world *w)
{
    for (unsigned i = 0; i < w->host_count; i++) {
        const struct host *h = &w->hosts[i];
        const struct opnode *o = &h->opnode;
        const struct sim_block *b = opnode_head(o);
        world_log(w, h, "%s%s, op-node %s on %u (%u, parent %u, %s), safe %u, %u wait", h->absent ? "absent " : "",
                  h->witness           ? "witness"
                  : h->sup_page.paused ? "paused"
                                       : "",
                  o->up ? "up" : "down", (unsigned)b->id.number, (unsigned)o->head, (unsigned)b->parent,
                  b->orphaned_ms != 0 ? "orphan"
                  : b->acked_ms != 0  ? "acknowledged"
                                      : "unknown to consensus",
                  (unsigned)o->safe_number, o->pending_count);
    }
}

static void expect_progress(struct world *w, uint64_t blocks)
{
    uint64_t begin = w->now_ms, target = w->acked_count + blocks;
    while (w->acked_count < target) {
        world_step(w);
        if (w->now_ms - begin <= RESUME_MS)
            continue;
        describe(w);
        world_fail(w, "nothing is sequenced %" PRIu64 " ms after the last fault", w->now_ms - begin);
    }
    if (w->now_ms - begin > w->longest_resume_ms)
        w->longest_resume_ms = w->now_ms - begin;
}

/* In the end all is well, and stays so. */
static void expect_settled(struct world *w)
{
    const char *wrong = "";
    for (uint64_t end = w->now_ms + SETTLE_MS, well_ms = 0; well_ms < WELL_MS; world_step(w)) {
        wrong = check_settled(w);
        well_ms = wrong == NULL ? well_ms + 1 : 0;
        if (w->now_ms <= end)
            continue;
        describe(w);
        world_fail(w, "long after the last fault %s", wrong != NULL ? wrong : "something still changes");
    }
}

/* ---- storms ---- */

static void play_storms(struct world *w)
{
    faults_plan(w);
    for (unsigned round = 1 + (unsigned)dice_below(&w->dice, 3); round > 0; round--) {
        run_ms(w, 1000 + dice_below(&w->dice, 5000), true);
        faults_calm(w, round > 1);
        expect_progress(w, 3);
    }
}

/* ---- gentle: the crash of rpcd or healthd, or a supervisor that stands still, costs no leadership, and no more of the
 * chain than a commit that is tried again ---- */

static void play_gently(struct world *w, bool freezes)
{
    faults_plan_gently(w, freezes);
    run_ms(w, 5000, false);
    uint64_t leaders = w->fates.leaders_seen;
    w->longest_gap_ms = 0;
    run_ms(w, 20000, true);
    faults_calm(w, false);
    if (w->fates.leaders_seen != leaders)
        world_fail(w, "leadership changed although %s",
                   freezes ? "only supervisors stood still" : "only rpcd and healthd failed");
    if (w->longest_gap_ms > 2 * w->block_time_ms + GENTLE_GAP_MS)
        world_fail(w, "the chain stood still for %" PRIu64 " ms, for nothing", w->longest_gap_ms);
}

/* ---- who leads next: not a paused node while an unpaused one could ---- */

static struct host *find_leader(struct world *w)
{
    for (unsigned i = 0; i < w->host_count; i++)
        if (w->hosts[i].cons.up && node_view(w->hosts[i].node).leader_ready)
            return &w->hosts[i];
    return NULL;
}

static bool votes(const struct host *h)
{
    const struct member *m = world_member(h);
    return m != NULL && m->role == MEMBER_VOTER;
}

/* All voters have the same log, and nothing is under way. */
static bool is_level(const struct world *w)
{
    uint64_t last = 0;
    for (const struct packet *p = w->network.packets; p != NULL; p = p->next)
        if (p->msg.kind == WIRE_APPEND && p->msg.append.entry != NULL)
            return false;
    for (unsigned i = 0; i < w->host_count; i++) {
        const struct host *h = &w->hosts[i];
        if (!votes(h))
            continue;
        struct driver_view v = node_view(h->node);
        if (last == 0)
            last = v.last_index;
        if (v.last_index != last || v.durable_index != last)
            return false;
    }
    return true;
}

static bool can_sequence(const struct host *h)
{
    return votes(h) && !h->witness && h->sup_page.ready_reason == READY_OK;
}

/* Pauses some of the others; false: nobody would be left. */
static bool pause_some(struct world *w, const struct host *leader)
{
    unsigned able = 0, left, paused = 0;
    for (unsigned i = 0; i < w->host_count; i++)
        able += &w->hosts[i] != leader && can_sequence(&w->hosts[i]);
    left = able;
    for (unsigned i = 0; i < w->host_count; i++) {
        struct host *h = &w->hosts[i];
        if (h == leader || !can_sequence(h) || left == 1 || dice_chance(&w->dice, 30))
            continue;
        supervisor_admin(h, ADMIN_PAUSE, "");
        left--;
        paused++;
    }
    return paused > 0;
}

static void play_succession(struct world *w)
{
    expect_settled(w);
    struct host *leader = find_leader(w);
    if (leader == NULL || !pause_some(w, leader))
        return;
    run_ms(w, 500 + dice_below(&w->dice, 1000), false);
    for (uint64_t end = w->now_ms + 5000; !is_level(w) && w->now_ms < end;)
        world_step(w);
    if (!is_level(w) || find_leader(w) != leader)
        return;
    world_log(w, leader, "---- the leader goes");
    if (dice_chance(&w->dice, 50))
        faults_power_off(leader, NEVER);
    else
        leader->cons.frozen_until_ms = w->now_ms + 2 * ELECTION_MS;
    struct host *next = NULL;
    for (uint64_t end = w->now_ms + ELECTION_MS; next == NULL || next == leader; world_step(w)) {
        next = find_leader(w);
        if (next == leader && leader->cons.frozen_until_ms <= w->now_ms)
            break;
        for (unsigned i = 0; next == leader && i < w->host_count; i++)
            if (&w->hosts[i] != leader && w->hosts[i].cons.up && node_view(w->hosts[i].node).leader_ready)
                next = &w->hosts[i];
        if (w->now_ms > end)
            world_fail(w, "nobody leads %d ms after the leader went", ELECTION_MS);
    }
    if (next->sup_page.paused)
        world_fail(w, "%s leads, which is paused, and another one could", next->options.server_id);
    expect_progress(w, 2);
    faults_calm(w, false);
}

/* ---- an operator takes the chain past consensus ---- */

static void tell_override(struct host *h, bool on)
{
    h->opnode.overridden = on;
    supervisor_admin(h, ADMIN_OVERRIDE, on ? "on" : "");
}

static void stop_sequencers(struct world *w)
{
    for (unsigned i = 0; i < w->host_count; i++)
        if (w->hosts[i].opnode.active)
            opnode_request(&w->hosts[i].opnode, NEVER, "admin_stopSequencer");
}

/* Its op-node has all that was acknowledged. */
static struct host *find_on_top(struct world *w)
{
    struct host *best = NULL;
    for (unsigned i = 0; i < w->host_count; i++) {
        struct host *h = &w->hosts[i];
        if (votes(h) && !h->witness && opnode_is_able(&h->opnode) &&
            block_is_ancestor(w, w->last_acked, h->opnode.head))
            best = h;
    }
    return best;
}

/* A majority of the voters has an op-node, so that its word can count. */
static bool is_mostly_able(const struct world *w)
{
    unsigned voters = 0, able = 0;
    for (unsigned i = 0; i < w->host_count; i++) {
        voters += votes(&w->hosts[i]);
        able += votes(&w->hosts[i]) && !w->hosts[i].witness;
    }
    return able > voters / 2;
}

static void play_override(struct world *w)
{
    expect_settled(w);
    for (unsigned i = 0; i < w->host_count; i++)
        if (!w->hosts[i].absent)
            supervisor_admin(&w->hosts[i], ADMIN_PAUSE, "");
    run_ms(w, 200, false);
    stop_sequencers(w);
    run_ms(w, 3000, false);
    struct host *h = find_on_top(w);
    if (h != NULL && is_mostly_able(w)) {
        bool outage = dice_chance(&w->dice, 50);
        world_log(w, h, "---- override");
        for (unsigned i = 0; outage && i < w->host_count; i++)
            if (&w->hosts[i] != h && !w->hosts[i].absent && dice_chance(&w->dice, 60))
                faults_power_off(&w->hosts[i], NEVER);
        tell_override(h, true);
        h->opnode.active = true;
        opnode_schedule(&h->opnode);
        run_ms(w, 3000 + dice_below(&w->dice, 20000), false);
        stop_sequencers(w);
        run_ms(w, 1500, false);
        tell_override(h, false);
    }
    faults_calm(w, false);
    expect_progress(w, 3);
}

/* ---- a cluster is formed: one bootstraps and stays paused, the others are added, then all are resumed ---- */

static void play_formation(struct world *w)
{
    for (unsigned i = 1; i < w->host_count; i++) {
        uint64_t end = w->now_ms + JOIN_MS;
        operator_join(w, &w->hosts[i]);
        for (; operator_is_busy(w); world_step(w)) {
            if (dice_below(&w->dice, 4000) == 0)
                faults_power_off(&w->hosts[dice_below(&w->dice, i + 1)], dice_below(&w->dice, 500));
            if (w->now_ms > end)
                world_fail(w, "%s does not become a voter", w->hosts[i].options.server_id);
        }
    }
    run_ms(w, dice_below(&w->dice, 3000), false);
    for (unsigned i = 0; i < w->host_count; i++)
        w->hosts[i].options.paused = false; /* the flag is for the forming */
    for (unsigned i = 0; i < w->host_count; i++) {
        supervisor_admin(&w->hosts[i], ADMIN_RESUME, "");
        run_ms(w, dice_below(&w->dice, 1000), false);
    }
    expect_progress(w, 2);
    play_storms(w);
}

void plays_run(struct world *w)
{
    if (w->forming) {
        play_formation(w);
    } else {
        run_ms(w, 500, false);
        expect_progress(w, 2);
        uint64_t play = dice_below(&w->dice, 100);
        if (play < 12)
            play_gently(w, play < 5);
        else if (play < 20)
            play_succession(w);
        else if (play < 25)
            play_override(w);
        else
            play_storms(w);
    }
    expect_settled(w);
}
