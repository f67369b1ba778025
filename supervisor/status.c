/* Readiness of this node, see status.h. */
#include "supervisor/status.h"

#define VERDICT_KEEP_MIN_NS UINT64_C(3000000000)
#define ELECTION_MIN_NS UINT64_C(1000000000)

uint64_t status_verdict_expires_ns(uint64_t verdict_ns, uint64_t interval_ns)
{
    uint64_t keep = 2 * interval_ns;

    return verdict_ns + (keep > VERDICT_KEEP_MIN_NS ? keep : VERDICT_KEEP_MIN_NS);
}

/* Nothing is wrong here but that no block came for long, to anyone: op-node has the consensus head, or its parent when
 * gossip was lost with the leader. */
static bool whole_chain_stands_still(const struct ready_input *in)
{
    return !in->leads && in->last->only_old_head && in->head_valid &&
           in->last->unsafe_head.number + 1 >= in->head_number;
}

enum ready_reason status_ready_reason(const struct ready_input *in)
{
    const struct msg_health *h = in->last;

    if (in->witness)
        return READY_WITNESS;
    if (!in->node_up)
        return READY_NODE_DOWN;
    if (!in->health_seen || in->now_ns >= status_verdict_expires_ns(in->verdict_ns, in->interval_ns))
        return READY_UNKNOWN;
    if (h->conductor_enabled == NODE_NO)
        return READY_CONDUCTOR_DISABLED;
    if (!in->verdict && !whole_chain_stands_still(in))
        return h->node_reachable ? READY_UNHEALTHY : READY_NODE_DOWN;
    if (h->el_syncing == NODE_YES)
        return READY_EL_SYNCING;
    if (in->head_valid && h->unsafe_head.number < in->head_number &&
        in->head_number - h->unsafe_head.number > in->window)
        return READY_LAGGING;
    if (in->now_ns < in->hold_down_until_ns)
        return READY_HELD_DOWN;
    return READY_OK;
}

enum ready_reason status_cluster_reason(const struct ready_cluster *in)
{
    uint64_t patience_ns = 3 * in->election_ns;

    if (!in->consensus_up)
        return READY_NO_CONSENSUS;
    if (!in->is_member)
        return READY_NOT_MEMBER;
    return in->leaderless_ns > (patience_ns > ELECTION_MIN_NS ? patience_ns : ELECTION_MIN_NS) ? READY_NO_LEADER
                                                                                               : READY_OK;
}

const char *status_ready_text(enum ready_reason reason)
{
    static const char *const texts[READY_REASON_COUNT] = {
        [READY_OK] = "ready",
        [READY_UNKNOWN] = "health unknown",
        [READY_NODE_DOWN] = "op-node is down or does not answer",
        [READY_CONDUCTOR_DISABLED] = "op-node runs without --conductor.enabled",
        [READY_UNHEALTHY] = "unhealthy",
        [READY_EL_SYNCING] = "execution client is syncing",
        [READY_LAGGING] = "head too far behind",
        [READY_PAUSED] = "paused",
        [READY_STOPPED] = "stopped",
        [READY_HELD_DOWN] = "recently gave leadership away",
        [READY_WITNESS] = "a witness does not sequence",
        [READY_NO_CONSENSUS] = "the consensus worker is down",
        [READY_NOT_MEMBER] = "not a member of a cluster",
        [READY_NO_LEADER] = "no contact with a leader",
    };
    return (unsigned)reason < READY_REASON_COUNT ? texts[reason] : "unknown";
}
