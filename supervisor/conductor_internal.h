/* The conductor's state, shared by its files: conductor.c (life, the control loop),
 * conductor_events.c (messages), conductor_ops.h (operations: three files), admin.c (operators). */
#ifndef OC_SUPERVISOR_CONDUCTOR_INTERNAL_H
#define OC_SUPERVISOR_CONDUCTOR_INTERNAL_H

#include "supervisor/choose.h"
#include "supervisor/conductor.h"
#include "supervisor/conductor_story.h"
#include "supervisor/control.h"
#include "supervisor/status.h"

#define MS_NS UINT64_C(1000000)

/* ---- the operation under way ---- */

enum op_step {
    STEP_EXPORT,    /* waits for EXPORT_RESULT */
    STEP_NODE,      /* waits for the NODE_RESULT of a takeover or adoption */
    STEP_NODE_STOP, /* waits for the NODE_RESULT of a stop */
    STEP_TRANSFER,  /* waits for TRANSFER_RESULT */
    STEP_OTHER,     /* waits until another node is seen sequencing */
};

enum op_origin {
    ORIGIN_CONTROL,
    ORIGIN_TRANSFER, /* an operator's transfer */
    ORIGIN_NODE,     /* an operator stops or restarts op-node */
    ORIGIN_STOP,     /* conductor_stop */
    ORIGIN_SHUTDOWN, /* SIGTERM */
};

struct operation {
    enum control_op kind;
    enum op_step step;
    enum op_origin origin;
    bool adopt;          /* START: the sequencer runs already */
    bool with_target;    /* HANDOVER: false only stops the sequencer */
    uint64_t request_id; /* of the command waited for */
    uint64_t deadline_ns;
    uint64_t begun_ns;
    uint32_t admin_verb; /* 0: nobody waits for the answer */
    uint64_t admin_request_id;
    struct msg_transfer target; /* HANDOVER */
};

struct conductor {
    const struct options *opts;
    struct conductor_io io;
    uint64_t now_ns; /* of the entry point being served */
    uint64_t next_request_id;
    bool consensus_up, healthd_up, rpcd_up;

    /* leadership */
    struct msg_leadership lead;
    bool leader; /* lead.leader_ready, until a transfer succeeded */
    bool was_leader;
    bool lost_by_worker_restart;
    uint64_t leader_changed_ns;
    uint64_t leaderless_ns; /* since when no leader is known; 0: one is */
    uint64_t progress_ns;
    char reign_id[SERVER_ID_SIZE]; /* who led last, this node included … */
    uint64_t reign_head_number;    /* … and the head when that began */
    const struct page_reader *page;
    bool view_valid;
    struct page_consensus view;

    /* operators */
    bool paused, stopped, overridden;
    uint64_t resumed_ns; /* 0: never */
    bool hold_released;  /* an operator resumed: a fresh bootstrap's hold does not pause any more */
    bool leaving;        /* shutting down: nothing automatic any more */
    bool finished;       /* stop_finished was called */

    /* op-node */
    bool node_up;
    uint32_t node_incarnation;
    struct msg_health health;
    bool health_seen; /* a full check of this op-node */
    bool verdict;
    uint64_t verdict_ns;
    enum node_tristate active;
    bool maybe_active;
    bool permitted;
    bool suspended;         /* a permit was taken back because op-node left the head */
    bool must_adopt;        /* consensus refused op-node's payload: only a look from then on grants a permit */
    uint64_t conflict_ns;   /* when that was */
    uint64_t conflict_from; /* the lowest height op-node has otherwise */
    uint64_t permit_hold_ns;
    struct block_id node_high, el_high; /* the newest heads seen, to notice when they go back */
    bool was_unreachable;
    uint64_t block_time_ms; /* as the unsafe head moves; 0: not known */
    uint64_t started_ns;    /* when a start or an adoption last worked; 0: never */
    bool checked_since;     /* a full check came after that */

    /* operations and what came of them */
    struct operation op;
    unsigned start_failures, ahead_failures, stop_failures, transfer_failures;
    uint64_t start_retry_ns, stop_retry_ns, transfer_retry_ns;
    bool transfer_spent;
    uint64_t transfer_head_number;
    uint64_t hold_down_until_ns;
    struct choose_history history;

    struct story story;

    /* what others see */
    struct page_supervisor status;
    struct page_supervisor published;
    bool ever_published;
    unsigned state_index; /* leader*4 + healthy*2 + active */
    struct msg_self_record sent_record;
    bool clock_distrusted, clock_told; /* against the peers' clocks; healthd knows */
    uint64_t clock_told_ns;            /* when it was told last */
    uint64_t clock_changed_ns;         /* since when it is, or is not, distrusted */
    bool clock_said;                   /* that it is distrusted, in the log */
    uint64_t record_due_ns;
    bool consensus_wakes; /* in this turn, for another reason */
    uint64_t wake_ns;     /* control's wish */
};

/* ---- conductor.c ---- */
/* Every entry point tells the time first. */
void conductor_enter(struct conductor *c, uint64_t now_ns);
/* Decides and acts until there is nothing to do, then publishes and tells the peers. */
void conductor_run(struct conductor *c);
/* Publishes if anything changed. */
void conductor_publish(struct conductor *c);
/* Reads consensus's page again. */
void conductor_refresh_view(struct conductor *c);
bool conductor_node_managed(const struct conductor *c);
/* The best other voter into *ret (id, address). */
enum control_target conductor_choose(struct conductor *c, struct msg_transfer *ret);
enum ready_reason conductor_reason(const struct conductor *c);
int conductor_send(struct conductor *c, enum proc_role to, enum msg_type type, uint64_t request_id, const void *body,
                   int fd);

/* ---- conductor_ops.c, conductor_start.c, conductor_handover.c ---- */
void op_begin_start(struct conductor *c, bool adopt);
void op_begin_stop(struct conductor *c);
/* Hands over to `target` (NULL: only stops the sequencer). Ends what is under way. When it is over,
 * admin_finish(verb, request_id) is called unless verb is 0; that may be before this returns. */
void op_begin_handover(struct conductor *c, enum op_origin origin, const struct msg_transfer *target,
                       uint32_t admin_verb, uint64_t admin_request_id);
/* Ends the operation without an outcome, answering an operator who waits with `rc`. */
void op_abandon(struct conductor *c, int rc);
void op_on_export_result(struct conductor *c, struct chan_msg *msg);
void op_on_node_result(struct conductor *c, uint64_t request_id, const struct msg_node_result *res);
void op_on_transfer_result(struct conductor *c, uint64_t request_id, const struct msg_transfer_result *res);
void op_on_healthd_down(struct conductor *c);
void op_on_consensus_down(struct conductor *c);
void op_on_node_down(struct conductor *c);
/* Leadership went or came in another term. */
void op_on_leadership_change(struct conductor *c);
/* Deadlines, and the wait for another node to sequence. */
void op_tick(struct conductor *c);
/* When op_tick wants to be called; CONTROL_NEVER without an operation. */
uint64_t op_wake_ns(const struct conductor *c);
/* Sends a permit for `head`, which op-node was seen to have by a look that began at looked_ns. */
void op_grant_permit(struct conductor *c, const struct block_id *head, uint64_t looked_ns);
/* Takes it back for good, or (suspend) until op-node has the head again. */
void op_withdraw_permit(struct conductor *c);
void op_suspend_permit(struct conductor *c, const char *why);

/* ---- conductor_events.c ---- */
void event_set_leader(struct conductor *c, bool leader);

/* ---- admin.c ---- */
int admin_on_message(struct conductor *c, const struct chan_msg *msg);
/* Answers the operator who waits for the operation, if any. */
void admin_finish(struct conductor *c, uint32_t verb, uint64_t request_id, int rc, const char *text);

#endif
