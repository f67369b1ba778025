/* What befalls the hosts: every seed has its own mix. */
#include "tests/simulation/world.h"

#include <string.h>

/* Only so young blocks build on L1 blocks that may go. */
#define L1_REORG_MS 5000

enum fault {
    FAULT_CONSENSUS,
    FAULT_HEALTHD,
    FAULT_RPCD,
    FAULT_OPNODE,
    FAULT_POWER,
    FAULT_SUPERVISOR,
    FAULT_PARTITION,
    FAULT_NODE_TROUBLE,
    FAULT_OPERATOR,
    FAULT_DISK,
    FAULT_L1,
    FAULT_MEMBERS,
    FAULT_FREEZE, /* a supervisor, for long */
    FAULT_COUNT
};

/* Mean milliseconds between two of a kind, over all hosts; 0: none in this run. */
static struct {
    uint64_t mean_ms[FAULT_COUNT];
    unsigned loss, slow, disk_ms, gossip_loss;
} plan;

static struct dice *dice_of(struct world *w)
{
    return &w->dice;
}

static struct host *any_host(struct world *w)
{
    for (;;) {
        struct host *h = &w->hosts[dice_below(dice_of(w), w->host_count)];
        if (!h->absent)
            return h;
    }
}

void faults_plan(struct world *w)
{
    static const uint64_t RATES[] = {0, 4000, 2000, 800};
    for (unsigned i = 0; i < FAULT_COUNT; i++)
        plan.mean_ms[i] = RATES[dice_below(&w->dice, sizeof RATES / sizeof RATES[0])];
    plan.mean_ms[FAULT_FREEZE] = 0;
    plan.loss = (unsigned)dice_below(&w->dice, 10);
    plan.slow = (unsigned)dice_below(&w->dice, 15);
    plan.disk_ms = (unsigned)dice_below(&w->dice, 20);
    plan.gossip_loss = (unsigned)dice_below(&w->dice, 30);
    w->late_duplicates = dice_chance(&w->dice, 50);
}

void faults_plan_gently(struct world *w, bool freezes)
{
    memset(&plan, 0, sizeof plan);
    w->late_duplicates = dice_chance(&w->dice, 50);
    plan.mean_ms[FAULT_HEALTHD] = freezes ? 0 : 1500;
    plan.mean_ms[FAULT_RPCD] = freezes ? 0 : 1500;
    plan.mean_ms[FAULT_FREEZE] = freezes ? 2500 : 0;
}

static void heal_links(struct world *w)
{
    bool before[HOSTS_MAX][HOSTS_MAX];
    memcpy(before, w->network.cut, sizeof before);
    memset(w->network.cut, 0, sizeof w->network.cut);
    for (unsigned i = 0; i < w->host_count; i++)
        for (unsigned k = i + 1; k < w->host_count; k++)
            if ((before[i][k] || before[k][i]) && w->hosts[i].cons.up && w->hosts[k].cons.up)
                consensus_reconnect(&w->hosts[i], &w->hosts[k]);
}

static void cut_links(struct world *w)
{
    unsigned lonely = (unsigned)dice_below(&w->dice, w->host_count);
    heal_links(w);
    switch (dice_below(&w->dice, 4)) {
    case 0: /* healed */
        break;
    case 1: /* one is alone, perhaps in one direction only */
        for (unsigned i = 0; i < w->host_count; i++) {
            w->network.cut[lonely][i] = i != lonely && dice_chance(&w->dice, 90);
            w->network.cut[i][lonely] = i != lonely && dice_chance(&w->dice, 70);
        }
        break;
    case 2: /* two halves */
        for (unsigned i = 0; i < w->host_count; i++)
            for (unsigned k = 0; k < w->host_count; k++)
                w->network.cut[i][k] = (i <= lonely) != (k <= lonely);
        break;
    default: /* here and there, each direction by itself */
        for (unsigned i = 0; i < w->host_count; i++)
            for (unsigned k = 0; k < w->host_count; k++)
                w->network.cut[i][k] = i != k && dice_chance(&w->dice, 25);
        break;
    }
    world_log(w, NULL, "links change");
}

void faults_power_off(struct host *h, uint64_t down_ms)
{
    struct world *w = h->world;
    world_log(w, h, "loses its power");
    h->powered = false;
    supervisor_kill(h);
    if (h->opnode.up)
        opnode_kill(&h->opnode, 0, (unsigned)dice_below(&w->dice, 40));
    h->opnode.up_at_ms = NEVER;
    h->sup.up_at_ms = down_ms == NEVER ? NEVER : w->now_ms + down_ms;
}

static unsigned some_behind(struct world *w)
{
    return dice_chance(&w->dice, 40) ? (unsigned)dice_below(&w->dice, 80) : 0;
}

static void trouble(struct world *w, struct opnode *o)
{
    uint64_t until = w->now_ms + 200 + dice_below(&w->dice, 8000);
    uint64_t *const kinds[] = {&o->hang_until_ms, &o->refuse_until_ms, &o->stop_hangs_until_ms, &o->syncing_until_ms,
                               &o->deaf_until_ms};
    unsigned kind = (unsigned)dice_below(&w->dice, sizeof kinds / sizeof kinds[0]);
    static const char *const names[] = {"hangs", "refuses to start", "hangs on stop", "is syncing", "adopts nothing"};
    *kinds[kind] = until;
    world_log(w, o->host, "op-node %s until %llu", names[kind], (unsigned long long)until);
}

static void operator(struct world *w, struct host *h)
{
    struct host *other = any_host(w);
    switch (dice_below(&w->dice, 5)) {
    case 0:
        supervisor_admin(h, ADMIN_TRANSFER, "");
        break;
    case 1:
        supervisor_admin(h, ADMIN_TRANSFER_TO, other->options.server_id);
        break;
    case 2:
        supervisor_admin(h, dice_chance(&w->dice, 30) ? ADMIN_PAUSE : ADMIN_RESUME, "");
        break;
    case 3:
        supervisor_admin(h, ADMIN_STOP, "");
        break;
    default:
        supervisor_shutdown(h);
        break;
    }
}

/* L1 loses some of its newest blocks: whatever was built on them goes, for each op-node when it notices. */
static void reorg_l1(struct world *w)
{
    uint32_t from = w->last_acked;
    /* What L1 takes away has to fit into the window, else only an operator can help. */
    if (w->blocks[from].orphaned_ms != 0 || w->blocks[from].slot_ms + L1_REORG_MS < world_true_ms(w))
        return;
    for (uint64_t depth = dice_below(&w->dice, 8); depth > 0; depth--)
        if (w->blocks[w->blocks[from].parent].acked_ms + L1_REORG_MS > w->now_ms)
            from = w->blocks[from].parent;
    if (from == 0 || w->blocks[from].acked_ms == 0 || w->blocks[from].orphaned_ms != 0)
        return;
    world_log(w, NULL, "L1 takes away block %u and what is above", (unsigned)w->blocks[from].id.number);
    block_orphan(w, from);
}

static void strike(struct world *w, enum fault fault)
{
    struct host *h = any_host(w);
    switch (fault) {
    case FAULT_CONSENSUS:
        if (dice_chance(&w->dice, 30))
            h->cons.frozen_until_ms = w->now_ms + dice_below(&w->dice, 2000);
        else
            consensus_kill(h, true);
        break;
    case FAULT_HEALTHD:
        health_kill(h);
        break;
    case FAULT_RPCD:
        rpc_kill(h);
        break;
    case FAULT_OPNODE:
        opnode_kill(&h->opnode, 50 + dice_below(&w->dice, 2000), some_behind(w));
        break;
    case FAULT_POWER:
        if (h->powered)
            faults_power_off(h, dice_below(&w->dice, 3000));
        break;
    case FAULT_SUPERVISOR:
        if (dice_chance(&w->dice, 30)) {
            h->sup.frozen_until_ms = w->now_ms + dice_below(&w->dice, 2000);
        } else if (h->sup.up) {
            supervisor_kill(h);
            h->sup.up_at_ms = w->now_ms + dice_below(&w->dice, 1000);
        }
        break;
    case FAULT_PARTITION:
        cut_links(w);
        break;
    case FAULT_NODE_TROUBLE:
        trouble(w, &h->opnode);
        break;
    case FAULT_OPERATOR:
        operator(w, h);
        break;
    case FAULT_DISK:
        h->storage.disk.busy_until_ms = w->now_ms + dice_below(&w->dice, 3000);
        break;
    case FAULT_L1:
        reorg_l1(w);
        break;
    case FAULT_MEMBERS:
        operator_move(w);
        break;
    case FAULT_FREEZE:
        h->sup.frozen_until_ms = w->now_ms + dice_below(&w->dice, 8000);
        break;
    case FAULT_COUNT:
        break;
    }
}

static void set_weather(struct world *w, unsigned loss, unsigned slow, unsigned disk_ms, unsigned gossip_loss)
{
    w->network.loss_percent = loss;
    w->network.slow_percent = slow;
    w->network.duplicate_percent = loss > 0;
    w->gossip_loss_percent = gossip_loss;
    for (unsigned i = 0; i < w->host_count; i++)
        w->hosts[i].storage.disk.delay_ms_max = disk_ms;
}

void faults_step(struct world *w)
{
    set_weather(w, plan.loss, plan.slow, plan.disk_ms, plan.gossip_loss);
    for (unsigned i = 0; i < FAULT_COUNT; i++)
        if (plan.mean_ms[i] > 0 && dice_below(&w->dice, plan.mean_ms[i]) == 0)
            strike(w, (enum fault)i);
}

/* ---- calm ---- */

static void recover(struct host *h)
{
    struct opnode *o = &h->opnode;
    uint64_t now = h->world->now_ms;
    h->cons.frozen_until_ms = h->sup.frozen_until_ms = 0;
    o->hang_until_ms = o->refuse_until_ms = o->stop_hangs_until_ms = o->syncing_until_ms = o->deaf_until_ms = 0;
    if (!h->sup.up && h->sup.up_at_ms > now + 1000)
        h->sup.up_at_ms = now + dice_below(&h->world->dice, 1000);
    if (!o->up && !h->managed && !h->witness && o->up_at_ms > now + 1000)
        o->up_at_ms = now + dice_below(&h->world->dice, 1000);
    supervisor_admin(h, ADMIN_RESUME, "");
}

/* The voters, beginning with any of them. */
static unsigned list_voters(struct world *w, struct host *ret[HOSTS_MAX])
{
    unsigned count = 0, first = (unsigned)dice_below(&w->dice, w->host_count);
    for (unsigned i = 0; i < w->host_count; i++) {
        struct host *h = &w->hosts[(first + i) % w->host_count];
        const struct member *m = world_member(h);
        if (m != NULL && m->role == MEMBER_VOTER)
            ret[count++] = h;
    }
    return count;
}

/* A minority stays broken for good, and perhaps all op-nodes but one. */
static void break_for_good(struct world *w)
{
    struct host *voters[HOSTS_MAX], *last = NULL;
    unsigned count = list_voters(w, voters), minority = (count - 1) / 2;
    unsigned broken = (unsigned)dice_below(&w->dice, minority + 1);
    for (unsigned i = broken; i < count; i++)
        if (!voters[i]->witness)
            last = voters[i];
    if (last == NULL)
        return; /* nobody could sequence */
    for (unsigned i = 0; i < broken; i++) {
        struct host *h = voters[i];
        if (dice_chance(&w->dice, 50)) {
            faults_power_off(h, NEVER);
            continue;
        }
        for (unsigned k = 0; k < w->host_count; k++) {
            w->network.cut[k][h->index] = k != h->index;
            w->network.cut[h->index][k] = k != h->index;
        }
    }
    if (dice_chance(&w->dice, 50))
        return;
    for (unsigned i = broken; i < count; i++) {
        struct opnode *o = &voters[i]->opnode;
        if (voters[i] == last)
            continue;
        if (dice_chance(&w->dice, 50))
            o->hang_until_ms = NEVER;
        else
            o->refuse_until_ms = NEVER;
        world_log(w, o->host, "op-node is broken for long");
    }
}

void faults_calm(struct world *w, bool lasting)
{
    world_log(w, NULL, "---- calm%s", lasting ? ", some stay broken" : "");
    heal_links(w);
    set_weather(w, 0, 0, 1, 0);
    for (unsigned i = 0; i < w->host_count; i++)
        if (!w->hosts[i].absent)
            recover(&w->hosts[i]);
    if (lasting && !operator_is_busy(w))
        break_for_good(w);
}
