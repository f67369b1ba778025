/* The sequencer: builds a block on the head, seals it in its slot, commits it to the conductor, and
 * only then gossips and adopts it, as op-node does.
 */
#ifndef OC_SIM_SEQUENCER_H
#define OC_SIM_SEQUENCER_H

#include "tests/sim/sim.h"

struct sequencer *sequencer_new(struct sim *s);

bool sequencer_is_active(const struct sequencer *q);
/* Without any check, as at boot. */
void sequencer_start(struct sequencer *q);
/* admin_startSequencer and admin_stopSequencer; they answer the call. */
void sequencer_start_call(struct sequencer *q, struct rpc_call *call, const uint8_t hash[32]);
void sequencer_stop_call(struct sequencer *q, struct rpc_call *call);

/* Something happened in op-node's event loop: the head moved, a question went through it, or what held the sequencer
 * back is over. */
void sequencer_wake(struct sequencer *q);

/* Commits that failed since the start, and the newest one's text. */
uint64_t sequencer_failed_count(const struct sequencer *q);

#endif
