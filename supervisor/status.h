/* What this node says of itself: whether it is ready to sequence, and its status page. Pure. */
#ifndef OC_SUPERVISOR_STATUS_H
#define OC_SUPERVISOR_STATUS_H

#include "shared/proto/bodies.h"

#include <stdbool.h>
#include <stdint.h>

struct ready_input {
    uint64_t now_ns;
    bool witness;
    bool leads;
    bool node_up;                  /* not managed: always true */
    bool health_seen;              /* a full check came since op-node (or we) started */
    const struct msg_health *last; /* the newest; its verdict is `verdict` below */
    bool verdict;                  /* of the newest full check */
    uint64_t verdict_ns;           /* when that was */
    uint64_t interval_ns;          /* between checks */
    bool head_valid;               /* of consensus */
    uint64_t head_number;
    uint64_t window; /* blocks that consensus can post to op-node */
    uint64_t hold_down_until_ns;
};

/* Why this node should not be given leadership, without regard to paused and stopped; READY_OK when
 * it should. An old head is no reason where it is the whole chain's: the leader stands still, and another one is
 * needed. A verdict is believed for max(2 intervals, 3 s) after the last check. */
enum ready_reason status_ready_reason(const struct ready_input *in);

struct ready_cluster {
    bool consensus_up;
    bool is_member;         /* by the newest configuration known here */
    uint64_t leaderless_ns; /* for how long no leader has been known; 0: one is */
    uint64_t election_ns;   /* the election timeout */
};

/* Why a node that is ready for itself can take over from nobody: it is cut off, or unknown to the others (READY_OK: not
 * so). For those who ask this node, and nothing is decided by it: who is cut off cannot be chosen anyway. An
 * election is no reason; it has three of its timeouts, or a second. */
enum ready_reason status_cluster_reason(const struct ready_cluster *in);

/* When the verdict stops being believed (absolute ns). */
uint64_t status_verdict_expires_ns(uint64_t verdict_ns, uint64_t interval_ns);

/* "paused", "unhealthy", … for log lines. */
const char *status_ready_text(enum ready_reason reason);

#endif
