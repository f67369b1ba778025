/* The life of a supervised process, as one pure table: (kind, state, event) -> (next state, action).
 *
 * DOWN         not wanted, or not started yet; no process
 * SPAWNING     forked; the exec has neither succeeded nor failed yet
 * HANDSHAKE    a worker's program runs but has not said HELLO (op-node has no handshake)
 * STARTING     a worker got START and prepares; op-node runs but its RPC was not seen to answer yet
 * RUNNING      a worker said READY; op-node answered healthd
 * DRAINING     a worker was asked to finish (DRAIN)
 * TERMINATING  SIGTERM was sent, or a worker's channel ended and its exit is awaited
 * KILLING      SIGKILL was sent (op-node: SIGQUIT first, for the goroutine dump in the log)
 * REAPED       the exit was collected; left in the same turn, by RETRY, REST or GIVE_UP
 * BACKOFF      waits for its next start
 * FAILED       will not be started again by itself
 *
 * The numbers of enum lifecycle_state (shared/shm/pages.h) are shown to operators.
 */
#ifndef OC_SUPERVISOR_LIFECYCLE_H
#define OC_SUPERVISOR_LIFECYCLE_H

#include "shared/shm/pages.h"

#include <stdbool.h>
#include <stdint.h>

enum life_kind { LIFE_KIND_WORKER, LIFE_KIND_NODE, LIFE_KIND_COUNT };

enum life_event {
    LIFE_EV_START,    /* it is wanted, now */
    LIFE_EV_NO_FORK,  /* the process could not be created */
    LIFE_EV_EXEC_OK,  /* its program runs */
    LIFE_EV_HELLO,    /* a worker's valid HELLO */
    LIFE_EV_READY,    /* a worker's READY; op-node answered */
    LIFE_EV_FAULT,    /* it broke the protocol, does not answer or read, or cannot be watched */
    LIFE_EV_CHAN_END, /* a worker's channel ended: it is exiting */
    LIFE_EV_STOP,     /* finish in order */
    LIFE_EV_HASTEN,   /* the operator is out of patience */
    LIFE_EV_TIMEOUT,  /* the state's deadline passed */
    LIFE_EV_EXITED,   /* its exit was collected */
    LIFE_EV_RETRY,    /* after the exit: start again, after the delay */
    LIFE_EV_REST,     /* after the exit: it is not wanted */
    LIFE_EV_GIVE_UP,  /* after the exit, or without one: starting it again cannot help */
    LIFE_EVENT_COUNT
};

enum life_action {
    LIFE_ACT_NONE,
    LIFE_ACT_SPAWN,      /* create the process */
    LIFE_ACT_SEND_START, /* answer the HELLO */
    LIFE_ACT_DRAIN,      /* send DRAIN */
    LIFE_ACT_TERM,       /* SIGTERM, SIGCONT */
    LIFE_ACT_QUIT,       /* SIGQUIT */
    LIFE_ACT_KILL,       /* SIGKILL; op-node: its whole group */
    LIFE_ACT_DELAY,      /* compute the deadline of BACKOFF */
    LIFE_ACT_REPORT,     /* tell the operator; the whole node stops */
    LIFE_ACTION_COUNT
};

struct life_step {
    enum lifecycle_state next;
    enum life_action action;
    bool ignored; /* the event means nothing in this state; nothing changes */
};

struct life_step lifecycle_next(enum life_kind kind, enum lifecycle_state state, enum life_event event);

/* Whether a process exists in this state. */
bool lifecycle_is_alive(enum lifecycle_state state);

/* How long each state may last, per process. 0: for ever. */
struct life_limits {
    uint64_t spawn_ms;
    uint64_t handshake_ms;
    uint64_t start_ms;
    uint64_t drain_ms;
    uint64_t terminate_ms;
    uint64_t kill_ms; /* between two SIGKILLs, and from SIGQUIT to SIGKILL */
};

/* The time allowed in `state`; 0 when it has no limit (BACKOFF's comes from backoff.h). */
uint64_t lifecycle_limit_ms(const struct life_limits *limits, enum lifecycle_state state);

#endif
