/* What reaches op-node from its peers and from L1. */
#include "tests/simulation/opnode_internal.h"

void opnode_hear(struct opnode *o, uint32_t block, uint64_t at_ms)
{
    if (!o->up || o->heard_count == OPNODE_HEARD_MAX)
        return;
    o->heard[o->heard_count].block = block;
    o->heard[o->heard_count++].at_ms = at_ms;
}

void opnode_take_heard(struct opnode *o)
{
    for (unsigned i = 0; i < o->heard_count;) {
        if (o->heard[i].at_ms > o->host->world->now_ms) {
            i++;
            continue;
        }
        uint32_t block = o->heard[i].block;
        o->heard[i] = o->heard[--o->heard_count];
        opnode_receive(o, block);
    }
}

bool opnode_head_is_orphan(const struct opnode *o)
{
    const struct sim_block *head = opnode_head(o);
    return head->orphaned_ms != 0 && head->orphaned_ms + o->l1_delay_ms <= o->host->world->now_ms;
}

/* Derivation finds that blocks build on an L1 block that is gone, and goes back before the first of them. */
void opnode_step_back(struct opnode *o)
{
    struct world *w = o->host->world;
    uint32_t block = o->head, keep = o->head;
    o->step_back_ms = 0;
    for (; w->blocks[block].id.number > o->safe_number; block = w->blocks[block].parent)
        if (w->blocks[block].orphaned_ms != 0)
            keep = w->blocks[block].parent;
    if (keep == o->head)
        return;
    world_log(w, o->host, "op-node steps back from %u to %u", (unsigned)w->blocks[o->head].id.number,
              (unsigned)w->blocks[keep].id.number);
    o->pending_count = 0;
    opnode_adopt(o, keep);
}
