/* What the conductor should do now: a pure function of what it knows and of the time. The glue
 * (conductor.c) carries it out and remembers what came of it.
 *
 * The Go op-conductor's eight (leader, healthy, active) cases keep their meaning: a follower that
 * sequences is stopped, a healthy leader that does not is started, an unhealthy leader hands over. What
 * differs: a target that can sequence must exist, handing over is limited, and nothing waits for ever.
 */
#ifndef OC_SUPERVISOR_CONTROL_H
#define OC_SUPERVISOR_CONTROL_H

#include "shared/proto/bodies.h"

#include <stdbool.h>
#include <stdint.h>

#define CONTROL_NEVER UINT64_MAX

/* After giving leadership away by itself, a node is the last choice of the others, and gives none away
 * again for so long unless a block is committed in between. */
#define CONTROL_HOLD_DOWN_NS UINT64_C(5000000000)
/* A new leader whose health is not known yet waits so long for the first check. */
#define CONTROL_FIRST_CHECK_NS UINT64_C(3000000000)
/* Our consensus worker restarted: its sequencer may run on for so long while nobody is known to lead. */
#define CONTROL_REJOIN_NS UINT64_C(2000000000)
/* An unhealthy leader without a ready voter keeps leading while its head moved within so long. */
#define CONTROL_PROGRESS_NS UINT64_C(10000000000)
/* A sequencer that was just started or adopted has so long, or two health checks if that is longer, to
 * move the head before its health counts: the checks before it saw the stand-still it ends. Being slow or
 * behind is excused by that, being dead is not. */
#define CONTROL_GRACE_NS UINT64_C(2000000000)
/* A leader that could not start within so long hands over to a ready voter, however few its tries. One that an
 * operator named has that long even if it is not ready. */
#define CONTROL_START_BUDGET_NS UINT64_C(2000000000)
/* A leader that failed so often to start hands over, even to a voter that is not known to be ready. */
#define CONTROL_START_FAILURES 3

/* op-node is not on the consensus head and does not come to it: after so long without a new head another
 * voter is let. Longer than consensus waits before it adopts a head that a majority reports. */
#define CONTROL_STRANDED_NS UINT64_C(12000000000)

/* The operation under way; there is at most one. */
enum control_op {
    CONTROL_OP_NONE,
    CONTROL_OP_START,    /* export, then takeover or adopt: abandoned when leadership goes */
    CONTROL_OP_STOP,     /* the sequencer is being stopped */
    CONTROL_OP_HANDOVER, /* stop, then transfer */
    CONTROL_OP_COUNT
};

enum control_target {
    CONTROL_TARGET_NONE,
    CONTROL_TARGET_FALLBACK, /* a reachable voter that is not ready, but might manage where we cannot */
    CONTROL_TARGET_READY,
    CONTROL_TARGET_COUNT
};

struct control_input {
    uint64_t now_ns;
    /* ---- leadership ---- */
    bool consensus_up;
    bool leader_ready;
    bool asked;                  /* leads because an operator's transfer named this node */
    bool other_leads;            /* another node is known to lead */
    bool was_leader;             /* this process has led before, and nobody else since */
    uint64_t leader_changed_ns;  /* when leader_ready last changed */
    bool lost_by_worker_restart; /* leadership ended because our consensus worker did */
    /* ---- this node ---- */
    bool paused; /* an operator's pause or a fresh bootstrap's hold */
    bool stopped;
    bool witness;
    bool healthd_up; /* commands to op-node are possible */
    bool node_up;    /* not managed: always true */
    /* Without regard to paused and stopped; READY_NODE_DOWN with node_up: it does not answer. */
    enum ready_reason reason;
    /* A check after the last start found nobody where op-node or its execution client was: refused, not slow. */
    bool dead;
    /* Unhealthy only because its head is old, and consensus has what op-node misses: starting cures it. */
    bool curable;
    enum node_tristate active;
    bool maybe_active;       /* started by us or seen active, and not seen inactive since */
    bool permitted;          /* a permit was sent for this term and this op-node */
    bool heads_equal;        /* op-node's head was seen equal to the consensus head in this term */
    bool ahead;              /* op-node's head was above the consensus head at the last try */
    uint64_t permit_hold_ns; /* the execution client lost its head: no permit before, or it has it again */
    uint64_t grace_until_ns; /* only a death counts before: CONTROL_GRACE_NS after a start */
    uint64_t progress_ns;    /* when the consensus head last moved, or leadership came */
    /* ---- what happened before ---- */
    enum control_op op;
    uint64_t op_deadline_ns;
    unsigned start_failures; /* in a row, in this term */
    uint64_t start_retry_ns; /* not before; 0: at once */
    uint64_t stop_retry_ns;
    uint64_t transfer_retry_ns;
    bool transfer_spent; /* gave leadership away and neither a block nor the hold-down's end came since */
    uint64_t hold_down_until_ns;
    enum control_target target;
};

enum control_action {
    CONTROL_NONE,
    CONTROL_START,    /* export, then post what is missing, wait for adoption, start */
    CONTROL_ADOPT,    /* the sequencer runs already: the same without starting */
    CONTROL_STOP,     /* replaces a start under way */
    CONTROL_TRANSFER, /* stop if need be, then hand leadership to the target */
    CONTROL_PERMIT,   /* the heads agree and the sequencer runs: tell consensus */
    CONTROL_RELEASE,  /* the sequencer does not run any more: withdraw the permit */
    CONTROL_ACTION_COUNT
};

struct control_output {
    enum control_action action;
    const char *why;  /* for the log; "" with CONTROL_NONE */
    uint64_t wake_ns; /* look again then at the latest; CONTROL_NEVER: only after an event */
};

struct control_output control_decide(const struct control_input *in);

/* 100 ms, doubling, at most `max_ms`; `failures` counts from 1. Returns ms. */
uint64_t control_backoff_ms(unsigned failures, uint64_t max_ms);

#endif
