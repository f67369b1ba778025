/* The model of op-node: its life and its production of blocks. See opnode.h. */
#include "shared/base/err.h"
#include "tests/simulation/opnode_internal.h"

#define COMMIT_TIMEOUT_MS 1000
#define COMMIT_TRIES 2
#define TRY_GAP_MS 50
#define BACKOFF_MS 1000
#define BUILD_MS 5
#define SYNC_EVERY_MS 1000
#define SYNC_BLOCKS 32
#define DERIVE_MS 6000

static uint64_t now_ms(const struct opnode *o)
{
    return o->host->world->now_ms;
}

const struct sim_block *opnode_head(const struct opnode *o)
{
    return &o->host->world->blocks[o->head];
}

bool opnode_is_able(const struct opnode *o)
{
    uint64_t now = now_ms(o);
    return o->up && o->blank_until_ms <= now && o->hang_until_ms <= now && o->refuse_until_ms <= now &&
           o->syncing_until_ms <= now && o->deaf_until_ms <= now;
}

/* ---- life ---- */

void opnode_start(struct opnode *o)
{
    struct world *w = o->host->world;
    o->up = true;
    o->up_at_ms = NEVER;
    o->incarnation++;
    o->blank_until_ms = now_ms(o) + dice_below(&w->dice, 500);
    o->hang_until_ms = 0;
    o->active = o->stopping = false;
    o->state = OPNODE_IDLE;
    o->built = 0;
    o->pending_count = o->stop_count = 0;
    o->start.id = 0;
    world_log(w, o->host, "op-node starts on block %u", (unsigned)opnode_head(o)->id.number);
    supervisor_tell_node(o->host, true);
}

void opnode_kill(struct opnode *o, uint64_t down_ms, unsigned behind)
{
    struct world *w = o->host->world;
    if (!o->up)
        return;
    while (behind-- > 0 && opnode_head(o)->id.number > o->safe_number)
        o->head = opnode_head(o)->parent;
    world_log(w, o->host, "op-node ends, its head is now %u", (unsigned)opnode_head(o)->id.number);
    o->up = o->active = o->stopping = false;
    o->up_at_ms = now_ms(o) + down_ms;
    o->state = OPNODE_IDLE;
    rpc_drop_callers(o->host);
    for (unsigned i = 0; i < o->stop_count; i++)
        health_answer(o->host, o->stop_calls[i], NULL);
    o->stop_count = 0;
    if (o->start.id != 0)
        health_answer(o->host, o->start.id, NULL);
    o->start.id = 0;
    supervisor_tell_node(o->host, false);
}

/* ---- building ---- */

void opnode_schedule(struct opnode *o)
{
    struct world *w = o->host->world;
    uint64_t slot = opnode_head(o)->slot_ms + w->block_time_ms, wall = world_true_ms(w);
    if (!o->active || o->stopping || o->state == OPNODE_COMMIT || o->state == OPNODE_RETRY ||
        o->state == OPNODE_BACKOFF)
        return;
    o->state = OPNODE_WAIT;
    o->wake_ms = now_ms(o) + BUILD_MS + (slot > wall ? slot - wall : 0);
}

void opnode_finish_stop(struct opnode *o)
{
    o->active = o->stopping = false;
    o->state = OPNODE_IDLE;
    o->built = 0;
    world_log(o->host->world, o->host, "sequencer stopped at %u", (unsigned)opnode_head(o)->id.number);
    for (unsigned i = 0; i < o->stop_count; i++)
        opnode_answer_hash(o, o->stop_calls[i]);
    o->stop_count = 0;
}

static void commit_done(struct opnode *o);

static void try_commit(struct opnode *o)
{
    struct world *w = o->host->world;
    if (o->overridden) {
        commit_done(o);
        return;
    }
    o->tries++;
    o->state = OPNODE_COMMIT;
    o->caller += HOSTS_MAX;
    o->wake_ms = o->commit_deadline_ms;
    rpc_commit(o->host, o->caller, o->built, dice_below(&w->dice, 3));
    if (w->late_duplicates && dice_chance(&w->dice, 5))
        rpc_commit(o->host, 0, o->built, dice_below(&w->dice, 4000));
}

static void seal(struct opnode *o)
{
    struct world *w = o->host->world;
    uint64_t slot = opnode_head(o)->slot_ms + w->block_time_ms;
    if (opnode_head_is_orphan(o)) { /* there is no L1 origin for its child */
        o->state = OPNODE_BACKOFF;
        o->wake_ms = now_ms(o) + 100;
        return;
    }
    o->built = block_new(w, o->head, slot);
    o->tries = 0;
    o->commit_deadline_ms = now_ms(o) + COMMIT_TIMEOUT_MS;
    try_commit(o);
}

static void commit_failed(struct opnode *o)
{
    struct world *w = o->host->world;
    rpc_forget_caller(o->host, o->caller);
    /* Now and then the same block is committed again, mostly it is built anew. */
    if (!dice_chance(&w->dice, 30))
        o->built = 0;
    if (o->stopping) {
        opnode_finish_stop(o);
        return;
    }
    o->state = OPNODE_BACKOFF;
    o->wake_ms = now_ms(o) + BACKOFF_MS;
}

static void gossip(struct opnode *o, uint32_t block)
{
    struct world *w = o->host->world;
    for (unsigned i = 0; i < w->host_count; i++)
        if (i != o->host->index && !w->network.cut[o->host->index][i] && !dice_chance(&w->dice, w->gossip_loss_percent))
            opnode_hear(&w->hosts[i].opnode, block, now_ms(o) + 2 + dice_below(&w->dice, 30));
}

static void commit_done(struct opnode *o)
{
    uint32_t block = o->built;
    o->built = 0;
    o->state = OPNODE_IDLE;
    gossip(o, block);
    opnode_adopt(o, block);
    if (o->stopping)
        opnode_finish_stop(o);
    else
        opnode_schedule(o);
}

void opnode_commit_answer(struct opnode *o, uint64_t caller, int rc)
{
    if (!o->up || o->state != OPNODE_COMMIT || caller != o->caller)
        return;
    if (rc == 0) {
        commit_done(o);
        return;
    }
    world_log(o->host->world, o->host, "commit of %u fails: %s", (unsigned)o->host->world->blocks[o->built].id.number,
              err_text(rc));
    if (o->tries < COMMIT_TRIES && now_ms(o) + TRY_GAP_MS < o->commit_deadline_ms) {
        o->state = OPNODE_RETRY;
        o->wake_ms = now_ms(o) + TRY_GAP_MS;
    } else {
        commit_failed(o);
    }
}

static void wake(struct opnode *o)
{
    switch (o->state) {
    case OPNODE_WAIT:
        if (world_true_ms(o->host->world) < opnode_head(o)->slot_ms + o->host->world->block_time_ms)
            opnode_schedule(o);
        else
            seal(o);
        break;
    case OPNODE_COMMIT:
        commit_failed(o);
        break;
    case OPNODE_RETRY:
        try_commit(o);
        break;
    case OPNODE_BACKOFF:
        o->state = OPNODE_IDLE;
        if (o->built != 0 && o->host->world->blocks[o->built].parent == o->head) {
            o->tries = 0;
            o->commit_deadline_ms = now_ms(o) + COMMIT_TIMEOUT_MS;
            try_commit(o);
        } else {
            o->built = 0;
            opnode_schedule(o);
        }
        break;
    case OPNODE_IDLE:
        break;
    }
}

/* ---- following ---- */

/* The block is this node's head now, whatever was. */
void opnode_adopt(struct opnode *o, uint32_t block)
{
    o->head = block;
    if (opnode_head(o)->id.number > o->safe_number + 100)
        o->safe_number = opnode_head(o)->id.number - 100;
    if (o->state == OPNODE_WAIT)
        o->state = OPNODE_IDLE;
    opnode_schedule(o);
}

/* Where to put a block that waits for its parent. Of too many the farthest ahead goes: it is the last to be of use. */
static uint32_t *pending_place(struct opnode *o, uint32_t block)
{
    const struct world *w = o->host->world;
    unsigned last = 0;
    if (o->pending_count < OPNODE_PENDING_MAX)
        return &o->pending[o->pending_count++];
    for (unsigned i = 1; i < o->pending_count; i++)
        if (w->blocks[o->pending[i]].id.number > w->blocks[o->pending[last]].id.number)
            last = i;
    return w->blocks[o->pending[last]].id.number > w->blocks[block].id.number ? &o->pending[last] : NULL;
}

void opnode_receive(struct opnode *o, uint32_t block)
{
    if (!o->up || o->host->world->blocks[block].id.number <= opnode_head(o)->id.number)
        return;
    for (unsigned i = 0; i < o->pending_count; i++)
        if (o->pending[i] == block)
            return;
    uint32_t *place = pending_place(o, block);
    if (place == NULL)
        return;
    *place = block;
    if (o->adopt_ms == NEVER)
        o->adopt_ms = now_ms(o) + 2;
}

static void adopt_pending(struct opnode *o)
{
    struct world *w = o->host->world;
    o->adopt_ms = NEVER;
    for (unsigned i = 0; i < o->pending_count;) {
        uint32_t block = o->pending[i];
        if (w->blocks[block].id.number > opnode_head(o)->id.number && w->blocks[block].parent != o->head) {
            i++;
            continue;
        }
        o->pending[i] = o->pending[--o->pending_count];
        if (w->blocks[block].parent != o->head)
            continue;
        opnode_adopt(o, block);
        o->adopt_ms = now_ms(o) + 2;
        return;
    }
}

/* The blocks on the way from its own head to that one, the first of them. */
static void receive_branch(struct opnode *o, uint32_t block)
{
    const struct world *w = o->host->world;
    uint64_t number = opnode_head(o)->id.number;
    while (w->blocks[block].id.number > number + SYNC_BLOCKS)
        block = w->blocks[block].parent;
    for (; w->blocks[block].id.number > number; block = w->blocks[block].parent)
        opnode_receive(o, block);
}

/* L1 has another block than the own chain: that goes back to where they part. */
static void leave_own_branch(struct opnode *o, uint32_t derived)
{
    const struct world *w = o->host->world;
    uint32_t keep = o->head;
    if (block_is_ancestor(w, derived, o->head) || block_is_ancestor(w, o->head, derived))
        return;
    while (!block_is_ancestor(w, keep, derived))
        keep = w->blocks[keep].parent;
    world_log(o->host->world, o->host, "op-node leaves its branch at %u", (unsigned)w->blocks[keep].id.number);
    o->pending_count = 0;
    opnode_adopt(o, keep);
}

/* What was acknowledged long enough ago is derived from L1. */
static void derive(struct opnode *o)
{
    struct world *w = o->host->world;
    uint32_t block = w->last_acked;
    while (block != 0 && (w->blocks[block].acked_ms + DERIVE_MS > now_ms(o) || w->blocks[block].orphaned_ms != 0))
        block = w->blocks[block].parent;
    if (!o->active)
        leave_own_branch(o, block);
    receive_branch(o, block);
}

static bool is_peer(const struct opnode *o, unsigned other)
{
    const struct world *w = o->host->world;
    const struct opnode *from = &w->hosts[other].opnode;
    return other != o->host->index && world_is_connected(w, other, o->host->index) && from->up &&
           from->hang_until_ms <= now_ms(o);
}

/* Asks one of its peers for what lies between its own head and what it heard of. */
static void sync_with_peer(struct opnode *o)
{
    const struct world *w = o->host->world;
    unsigned first = (unsigned)dice_below(&o->host->world->dice, w->host_count);
    o->sync_ms = now_ms(o) + SYNC_EVERY_MS;
    derive(o);
    for (unsigned i = 0; !o->active && i < w->host_count; i++) {
        unsigned other = (first + i) % w->host_count;
        if (!is_peer(o, other))
            continue;
        receive_branch(o, w->hosts[other].opnode.head);
        return;
    }
}

void opnode_step(struct opnode *o)
{
    uint64_t now = now_ms(o);
    if (!o->up) {
        if (o->up_at_ms <= now)
            opnode_start(o);
        return;
    }
    opnode_take_heard(o);
    if (o->hang_until_ms > now || o->blank_until_ms > now)
        return;
    if (opnode_head_is_orphan(o) && o->step_back_ms == 0)
        o->step_back_ms = now + dice_below(&o->host->world->dice, 1500);
    if (o->step_back_ms != 0 && o->step_back_ms <= now)
        opnode_step_back(o);
    if (o->deaf_until_ms <= now && o->adopt_ms <= now)
        adopt_pending(o);
    if (o->deaf_until_ms <= now && o->sync_ms <= now)
        sync_with_peer(o);
    if (o->start.id != 0 && o->start.at_ms <= now)
        opnode_start_as_leader(o);
    if (o->state != OPNODE_IDLE && o->wake_ms <= now)
        wake(o);
}
