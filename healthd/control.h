/* Commands on op-node (START, STOP, TAKEOVER, ADOPT), one at a time, as a state machine over
 * asynchronous calls: nothing here waits. A STOP comes before everything else: it ends what is
 * under way, except a start that op-node is just working on, which gets a moment to be answered.
 */
#ifndef OC_HEALTHD_CONTROL_H
#define OC_HEALTHD_CONTROL_H

#include "healthd/node_status.h"
#include "healthd/probe.h"

#include "shared/proto/bodies.h"

#include <stdbool.h>
#include <stdint.h>

/* Commands that may wait; one more is refused. */
#define CONTROL_QUEUE_MAX 8
/* For a command without deadline. */
#define CONTROL_DEADLINE_DEFAULT_MS 10000

struct control;

struct control_events {
    void *ctx;
    /* Exactly once per accepted command, from control_tick, control_submit or probe_step. */
    void (*result)(void *ctx, uint64_t request_id, const struct msg_node_result *result);
    /* op-node's status was read on the way. */
    void (*status)(void *ctx, const struct node_status *status);
};

/* Borrows the probe and the url. NULL: out of memory. */
struct control *control_new(struct probe *p, const char *node_url, const struct control_events *events);
void control_free(struct control *c); /* no results are given any more; accepts NULL */

/* Takes a command; `fd` (-1: none) is borrowed for the call. What cannot be taken is answered with
 * a result at once. Verbs other than the four are answered with NODE_REFUSED. */
void control_submit(struct control *c, uint64_t request_id, const struct msg_node_cmd *cmd, int fd, uint64_t now_ns);

/* Does what is due and returns when to be called again at the latest (UINT64_MAX: not). */
uint64_t control_tick(struct control *c, uint64_t now_ns);

/* The managed op-node is gone: what is under way fails at once, and nothing sequences. */
void control_node_down(struct control *c, uint64_t now_ns);

/* op-node was asked (admin_sequencerActive) and says that it does not sequence. */
void control_note_inactive(struct control *c);

bool control_is_idle(const struct control *c);

/* Whether op-node may be sequencing because this process started it or took it over. */
bool control_may_be_active(const struct control *c);

#endif
