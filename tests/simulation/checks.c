/* What must hold in every run. */
#include "consensus/confcodec.h"
#include "consensus/proposal.h"
#include "tests/simulation/world.h"

#include <inttypes.h>
#include <string.h>

#define DUPLICATE_MS 1000

/* An acknowledged block goes only when L1 took away what it was built on. */
static void check_rewind(struct host *h, const struct proposal *p)
{
    struct world *w = h->world;
    for (uint64_t number = p->truncate_height; number <= p->expected.number && number < BLOCKS_MAX; number++) {
        if (w->acked_at[number] == 0)
            continue;
        const struct sim_block *b = &w->blocks[w->acked_at[number]];
        if (memcmp(&b->id, &p->block, sizeof p->block) == 0)
            return;
        if (b->orphaned_ms == 0)
            world_fail(w, "%s replaces block %" PRIu64 ", which was acknowledged and is still good",
                       h->options.server_id, number);
        w->acked_at[number] = 0;
        w->rewinds++;
        world_log(w, h, "block %" PRIu64 " is rewound", number);
    }
}

/* An adopted head gives up no block that was acknowledged, unless L1 took it away. */
static void check_adoption(struct host *h, const struct proposal *p)
{
    struct world *w = h->world;
    uint32_t adopted = block_find(w, p->block.hash);
    if (adopted == 0 && p->block.number > 0)
        world_fail(w, "%s adopts a block that was never sealed", h->options.server_id);
    for (uint64_t number = 1; number < BLOCKS_MAX; number++) {
        uint32_t acked = w->acked_at[number];
        if (acked == 0 || (number <= p->block.number && block_is_ancestor(w, acked, adopted)))
            continue;
        if (w->blocks[acked].orphaned_ms == 0)
            world_fail(w, "%s adopts block %" PRIu64 " and gives up %" PRIu64 ", which was acknowledged",
                       h->options.server_id, p->block.number, number);
        w->acked_at[number] = 0;
        w->rewinds++;
    }
    w->adoptions++;
    world_log(w, h, "block %" PRIu64 " is adopted", p->block.number);
}

/* Durable on a majority of the voters, as the one sees it who decided that, the leader. */
static void check_majority(struct host *h, uint64_t index, uint64_t term)
{
    struct world *w = h->world;
    struct driver_view v = node_view(h->node);
    unsigned voters = 0, have = 0;
    for (unsigned i = 0; i < v.membership->count; i++) {
        const struct member *m = &v.membership->members[i];
        if (m->role != MEMBER_VOTER)
            continue;
        const struct host *who = world_find_id(w, m->id);
        voters++;
        /* A machine that was replaced had what it acknowledged. */
        have += sim_disk_has(who->raft_id == m->id ? &who->storage.disk : &who->lost_disk, index, term);
    }
    if (have <= voters / 2)
        world_fail(w, "%s applied entry %" PRIu64 " of term %" PRIu64 " that only %u of %u voters have",
                   h->options.server_id, index, term, have, voters);
    if (term == v.term && index > w->committed_index)
        w->committed_index = index; /* and with an entry of its term a leader commits all before it */
}

void check_applying(struct host *h, uint64_t index, struct entry *e)
{
    struct proposal p;
    struct block_id head;
    bool is_known = h->world->fates.by_index[index < FATES_INDEX_MAX ? index : 0].known;
    if (is_known || entry_type(e) != ENTRY_COMMAND || !window_head(h->node->window, &head) ||
        proposal_decode(entry_payload(e), entry_len(e), &p, NULL) != 0)
        return;
    bool is_expected = p.expected_valid && memcmp(&p.expected, &head, sizeof head) == 0;
    if (p.kind == PROPOSAL_REPLACE && is_expected)
        check_rewind(h, &p);
    if (p.kind == PROPOSAL_ADOPT && is_expected)
        check_adoption(h, &p);
}

void check_applied(struct host *h, uint64_t index, uint64_t term, struct entry *e)
{
    struct world *w = h->world;
    struct driver_view v = node_view(h->node);
    if (index != h->last_applied + 1)
        world_fail(w, "%s applied %" PRIu64 " after %" PRIu64, h->options.server_id, index, h->last_applied);
    h->last_applied = index;
    const char *wrong = fates_note_applied(&w->fates, index, term, e, h->node->window);
    if (wrong != NULL)
        world_fail(w, "%s, entry %" PRIu64 ": %s", h->options.server_id, index, wrong);
    if (entry_type(e) == ENTRY_CHANGE && index > w->committed.index) {
        if (confcodec_decode(entry_payload(e), entry_len(e), &w->committed) != 0)
            world_fail(w, "%s applied a configuration that cannot be read", h->options.server_id);
        w->committed.index = index;
    }
    if (v.state == RAFT_ROLE_LEADER && term == v.term) {
        check_majority(h, index, term);
        /* It may step down with the next of those that it found committed together. */
        const struct entry *newest = driver_entry_at(h->node->driver, v.commit_index);
        if (newest != NULL && v.commit_index > index)
            check_majority(h, v.commit_index, entry_term(newest));
    }
}

void check_restored(struct host *h, const struct snapshot *s)
{
    struct world *w = h->world;
    if (s->index < h->last_applied)
        world_fail(w, "%s goes back to %" PRIu64 " from %" PRIu64, h->options.server_id, s->index, h->last_applied);
    h->last_applied = s->index;
    const char *wrong = fates_check_restored(&w->fates, s, h->node->window);
    if (wrong != NULL)
        world_fail(w, "%s, entry %" PRIu64 ": %s", h->options.server_id, s->index, wrong);
}

void check_view(struct host *h)
{
    struct driver_view v = node_view(h->node);
    struct world *w = h->world;
    if (v.term > h->storage.disk.term)
        world_fail(w, "%s is in term %" PRIu64 " and its disk in %" PRIu64, h->options.server_id, v.term,
                   h->storage.disk.term);
    if (v.state != RAFT_ROLE_LEADER)
        return;
    const char *wrong = fates_note_leader(&w->fates, v.term, h->raft_id);
    if (wrong != NULL)
        world_fail(w, "%s leads term %" PRIu64 ": %s", h->options.server_id, v.term, wrong);
}

void check_acknowledged(struct host *h, uint32_t block, uint64_t index)
{
    struct world *w = h->world;
    struct sim_block *b = &w->blocks[block];
    uint32_t *at = &w->acked_at[b->id.number];
    struct driver_view v = node_view(h->node);
    if (v.applied_index < index)
        world_fail(w, "%s acknowledges what it has not applied", h->options.server_id);
    const struct entry *e = driver_entry_at(h->node->driver, index);
    if (e == NULL)
        world_fail(w, "%s acknowledges entry %" PRIu64 ", which it does not have", h->options.server_id, index);
    /* One that was deposed meanwhile may hear of its success from the next leader, who counted by the voters of its own
     * log; what this one's log says may have been given up since. */
    if (v.state == RAFT_ROLE_LEADER)
        check_majority(h, index, entry_term(e));
    else if (index > w->committed_index)
        world_fail(w, "%s acknowledges entry %" PRIu64 ", which no leader found on a majority", h->options.server_id,
                   index);
    if (window_find_hash(h->node->window, b->id.hash) == NULL)
        world_fail(w, "%s acknowledges block %" PRIu64 ", which its window does not have", h->options.server_id,
                   b->id.number);
    if (*at != 0 && *at != block)
        world_fail(w, "%s acknowledges another block %" PRIu64 " than was acknowledged before", h->options.server_id,
                   b->id.number);
    if (b->acked_ms != 0)
        return;
    *at = block;
    b->acked_ms = w->now_ms;
    world_log(w, h, "block %" PRIu64 " (%u) is acknowledged", b->id.number, block);
    w->acked_count++;
    if (w->last_acked_ms != 0 && w->now_ms - w->last_acked_ms > w->longest_gap_ms)
        w->longest_gap_ms = w->now_ms - w->last_acked_ms;
    w->last_acked_ms = w->now_ms;
    w->last_acked = block;
}

/* On the consensus head, unless leadership has moved on without this node knowing. */
void check_started(struct host *h, uint32_t block)
{
    struct world *w = h->world;
    struct block_id head;
    struct driver_view v = node_view(h->node);
    for (unsigned i = 0; i < w->host_count; i++) {
        const struct host *other = &w->hosts[i];
        if (other != h && other->node != NULL && node_view(other->node).leader_ready &&
            node_view(other->node).term > v.term)
            return;
    }
    if (!v.leader_ready || !window_head(h->node->window, &head))
        return;
    /* A late duplicate of a commit may be accepted while the start is under way; what it adds is posted then. */
    uint32_t ours = block_find(w, head.hash);
    bool is_moved = block_is_ancestor(w, block, ours) && w->blocks[ours].acked_ms + DUPLICATE_MS > w->now_ms;
    if (memcmp(&head, &w->blocks[block].id, sizeof head) != 0 && !(w->late_duplicates && is_moved))
        world_fail(w, "%s starts to sequence on %" PRIu64 ", the consensus head is %" PRIu64, h->options.server_id,
                   w->blocks[block].id.number, head.number);
}

const char *check_settled(struct world *w)
{
    if (operator_is_busy(w))
        return "a change of the membership is not done";

    unsigned active = 0, leaders = 0;
    uint64_t chain = w->blocks[w->last_acked].id.number;
    for (unsigned i = 0; i < w->host_count; i++) {
        struct host *h = &w->hosts[i];
        if (world_member(h) == NULL)
            continue;
        if (!h->cons.up || h->node->driver == NULL || (!h->witness && !h->opnode.up))
            return "not everything is up";
        struct driver_view v = node_view(h->node);
        leaders += v.leader_ready;
        if (h->witness)
            continue;
        active += h->opnode.active;
        if (h->opnode.active && !v.leader_ready)
            return "a node sequences and does not lead";
        if (w->blocks[h->opnode.head].id.number + 3 < chain)
            return "an op-node is behind";
        if (!block_is_ancestor(w, h->opnode.head, w->last_acked) &&
            !block_is_ancestor(w, w->last_acked, h->opnode.head))
            return "an op-node is on another branch";
    }
    if (w->now_ms > w->last_acked_ms + 2 * w->block_time_ms + 1000)
        return "the chain stands still";
    return leaders != 1 ? "not one leads" : active != 1 ? "not one sequences" : NULL;
}
