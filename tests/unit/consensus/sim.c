/* Runs seeds: `sim --seeds N --from M [--verbose]`. Each run has its own mix of faults for a while,
 * then all faults end and the cluster must recover.
 */
#include "sim.h"

#include "consensus/confcodec.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void fill_member(struct member *m, uint64_t id)
{
    *m = (struct member){.id = id, .role = MEMBER_VOTER};
    snprintf(m->address, sizeof m->address, "n%" PRIu64 "@host:%" PRIu64, id, id);
}

/* The first `voters` nodes form the cluster; the others have nothing yet. */
static void make_cluster(struct sim *s, unsigned voters)
{
    struct membership m = {.count = voters};
    for (unsigned i = 0; i < voters; i++)
        fill_member(&m.members[i], i + 1);
    for (unsigned i = 0; i < s->node_count; i++) {
        struct sim_node *n = &s->nodes[i];
        n->sim = s;
        n->id = i + 1;
        sim_disk_init(&n->disk, &s->dice);
        if (i < voters) {
            struct entry *e = entry_new(ENTRY_CHANGE, 1, confcodec_len(&m));
            confcodec_encode(&m, entry_payload(e));
            logcache_append(&n->disk.log, e);
            n->disk.term = 1;
        }
    }
}

/* One membership change, whatever the leader then says to it. */
static void change_membership(struct sim *s, struct sim_node *leader)
{
    struct driver *d = leader->driver;
    uint64_t id = 1 + sim_random(s, s->node_count);
    struct driver_view v = driver_view(d);
    const struct member *m = NULL;
    unsigned voters = 0;
    struct member fresh;

    for (unsigned i = 0; i < v.membership->count; i++) {
        voters += v.membership->members[i].role == MEMBER_VOTER;
        if (v.membership->members[i].id == id)
            m = &v.membership->members[i];
    }
    if (m == NULL) {
        fill_member(&fresh, id);
        driver_member_add(d, s->now_ms, id, fresh.address);
    } else if (m->role == MEMBER_VOTER) {
        if (voters > 2 && sim_chance(s, 50))
            driver_member_set_role(d, s->now_ms, id, MEMBER_STANDBY);
        else if (voters > 1 && sim_chance(s, 30))
            driver_member_remove(d, s->now_ms, id);
    } else if (driver_catch_up_state(d, id) == CATCH_UP_FINISHED) {
        driver_member_set_role(d, s->now_ms, id, MEMBER_VOTER);
    } else if (m->role == MEMBER_SPARE && sim_chance(s, 30)) {
        driver_member_set_role(d, s->now_ms, id, MEMBER_STANDBY);
    } else {
        driver_catch_up_start(d, s->now_ms, id);
    }
}

static void cut_links(struct sim *s)
{
    memset(s->network.cut, 0, sizeof s->network.cut);
    if (sim_chance(s, 50))
        return;
    for (unsigned i = 0; i < s->node_count; i++)
        for (unsigned k = 0; k < s->node_count; k++)
            s->network.cut[i][k] = sim_chance(s, 25); /* each direction by itself */
}

static void load(struct sim *s)
{
    for (unsigned i = 0; i < s->node_count; i++)
        if (s->nodes[i].driver != NULL && sim_chance(s, 8))
            sim_propose(s, &s->nodes[i]);
}

static void mischief(struct sim *s)
{
    struct sim_node *any = &s->nodes[sim_random(s, s->node_count)];

    load(s);
    if (sim_random(s, 400) == 0)
        cut_links(s);
    if (any->driver != NULL && sim_random(s, 500) == 0) {
        sim_node_crash(s, any);
        any->up_at_ms = s->now_ms + sim_random(s, 800);
    }
    if (sim_random(s, 4000) == 0) /* power fails for all */
        for (unsigned i = 0; i < s->node_count; i++)
            if (s->nodes[i].driver != NULL) {
                sim_node_crash(s, &s->nodes[i]);
                s->nodes[i].up_at_ms = s->now_ms + sim_random(s, 300);
            }
    if (any->driver != NULL && sim_random(s, 100) == 0)
        driver_peer_progress(any->driver, s->now_ms, 1 + sim_random(s, s->node_count));
    if (any->driver != NULL && sim_random(s, 1000) == 0)
        driver_set_turn(any->driver, s->now_ms,
                        sim_chance(s, 70) ? DRIVER_TURN_FIRST : (enum driver_turn)sim_random(s, 3));
    struct sim_node *leader = sim_leader(s);
    if (leader == NULL)
        return;
    if (sim_random(s, 150) == 0)
        change_membership(s, leader);
    if (sim_random(s, 300) == 0)
        driver_transfer(leader->driver, s->now_ms, sim_chance(s, 30) ? 0 : 1 + sim_random(s, s->node_count), false);
}

static void calm_load(struct sim *s)
{
    if (s->now_ms % 20 == 0)
        load(s);
}

static void set_disk_delay(struct sim *s, unsigned ms_max)
{
    for (unsigned i = 0; i < s->node_count; i++)
        s->nodes[i].disk.delay_ms_max = ms_max;
}

static void run_seed(uint64_t seed, bool verbose, struct sim *totals)
{
    static struct sim s;
    memset(&s, 0, sizeof s);
    s.seed = seed;
    dice_init(&s.dice, seed);
    s.verbose = verbose;
    s.now_ms = 1000;
    fates_init(&s.fates);
    s.node_count = 3 + (unsigned)sim_random(&s, SIM_NODES - 2);
    s.network = (struct network){.dice = &s.dice, .duplicate_percent = 1};
    s.network.loss_percent = (unsigned)sim_random(&s, 15);
    s.network.slow_percent = (unsigned)sim_random(&s, 20);
    make_cluster(&s, sim_chance(&s, 30) ? 1 : 3);
    set_disk_delay(&s, (unsigned)sim_random(&s, 30));

    sim_run_ms(&s, 3000 + sim_random(&s, 4000), mischief);

    s.network = (struct network){.dice = &s.dice, .packets = s.network.packets};
    set_disk_delay(&s, 1);
    for (unsigned i = 0; i < s.node_count; i++)
        s.nodes[i].up_at_ms = 0;
    uint64_t before = s.acknowledged_count;
    uint64_t begin = s.now_ms;
    for (unsigned i = 0; i < 30 && (sim_leader(&s) == NULL || s.acknowledged_count < before + 5); i++)
        sim_run_ms(&s, 500, calm_load);
    if (s.acknowledged_count < before + 5)
        sim_fail(&s, "nothing is committed %" PRIu64 " ms after all faults ended", s.now_ms - begin);
    sim_run_ms(&s, 10000, NULL);
    sim_check_end(&s);

    totals->acknowledged_count += s.acknowledged_count;
    totals->fates.leaders_seen += s.fates.leaders_seen;
    totals->fates.max_applied += s.fates.max_applied;
    network_drop_all(&s.network);
    for (unsigned i = 0; i < s.node_count; i++)
        sim_node_free(&s.nodes[i]);
    fates_free(&s.fates);
}

int main(int argc, char **argv)
{
    static struct sim totals;
    uint64_t seeds = 100, from = 1;
    bool verbose = false;

    for (int i = 1; i < argc; i++) {
        if (strcmp(argv[i], "--seeds") == 0 && i + 1 < argc)
            seeds = strtoull(argv[++i], NULL, 10);
        else if (strcmp(argv[i], "--from") == 0 && i + 1 < argc)
            from = strtoull(argv[++i], NULL, 10);
        else if (strcmp(argv[i], "--verbose") == 0)
            verbose = true;
        else {
            fprintf(stderr, "usage: sim [--seeds N] [--from M] [--verbose]\n");
            return 2;
        }
    }
    for (uint64_t seed = from; seed < from + seeds; seed++)
        run_seed(seed, verbose, &totals);
    printf("%" PRIu64 " seeds from %" PRIu64 ": %" PRIu64 " entries, %" PRIu64 " acknowledged, %" PRIu64
           " leaders, nothing lost\n",
           seeds, from, totals.fates.max_applied, totals.acknowledged_count, totals.fates.leaders_seen);
    return 0;
}
