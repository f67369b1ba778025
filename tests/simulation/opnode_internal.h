/* Shared by the files of the op-node model. */
#ifndef OC_TESTS_SIMULATION_OPNODE_INTERNAL_H
#define OC_TESTS_SIMULATION_OPNODE_INTERNAL_H

#include "tests/simulation/world.h"

/* opnode.c */
const struct sim_block *opnode_head(const struct opnode *o);
void opnode_schedule(struct opnode *o);
void opnode_finish_stop(struct opnode *o);
void opnode_adopt(struct opnode *o, uint32_t block);

/* opnode_rpc.c */
void opnode_answer_hash(struct opnode *o, uint64_t id);
/* conductor_leader was asked; now the sequencer may start. */
void opnode_start_as_leader(struct opnode *o);

/* opnode_news.c: what comes from other op-nodes and from L1 */
void opnode_hear(struct opnode *o, uint32_t block, uint64_t at_ms);
void opnode_take_heard(struct opnode *o);
/* The head builds on an L1 block that is gone, as this node has learnt. */
bool opnode_head_is_orphan(const struct opnode *o);
void opnode_step_back(struct opnode *o);

#endif
