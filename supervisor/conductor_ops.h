/* Between the files of the operations: conductor_ops.c (what is common, results, deadlines), conductor_start.c
 * (starting and adopting, permits), conductor_handover.c (stopping, handing over). Others use conductor_internal.h. */
#ifndef OC_SUPERVISOR_CONDUCTOR_OPS_H
#define OC_SUPERVISOR_CONDUCTOR_OPS_H

#include "supervisor/conductor_internal.h"

/* A worker keeps its own deadline; ours is so much later and catches a worker that hangs. */
#define OP_GRACE_NS (500 * MS_NS)

/* ---- conductor_ops.c ---- */
void op_begin(struct conductor *c, enum control_op kind, enum op_origin origin);
/* The operation waits in this step for the answer to that request. */
bool op_is_waiting(const struct conductor *c, enum op_step step, uint64_t request_id);
void op_log_retry(const struct conductor *c, const char *what, const char *err);
/* Static, or borrowed from res. */
const char *op_result_text(const struct msg_node_result *res);

/* ---- conductor_start.c ---- */
/* healthd's answer to a takeover or an adoption. */
void op_start_done(struct conductor *c, const struct msg_node_result *res);
/* Ends the operation; `counts` as one of the failures after which leadership is given away. */
void op_start_failed(struct conductor *c, bool counts, const char *err);

/* ---- conductor_handover.c ---- */
/* Books the result of a stop. Returns whether the sequencer is known to be stopped. */
bool op_note_stopped(struct conductor *c, const struct msg_node_result *res);
void op_stop_failed(struct conductor *c, const char *err);
/* The sequencer is stopped, or could not be: hands over regardless. */
void op_transfer(struct conductor *c);
void op_transfer_failed(struct conductor *c, int rc, const char *text);
/* Ends the operation and does what an operator asked for beyond it. */
void op_finish(struct conductor *c, int rc, const char *text);

#endif
