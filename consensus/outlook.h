/* What a leader judges by: the chain as it will be when all of its log is applied, and the heads that
 * the members report. And the one thing it does with both by itself: when the chain went on without
 * consensus (an override) and a majority of the voters report the same higher head while nothing is committed, that
 * head is adopted.
 */
#ifndef OC_CONSENSUS_OUTLOOK_H
#define OC_CONSENSUS_OUTLOOK_H

#include "consensus/judge.h"
#include "consensus/window.h"

struct node;

struct outlook {
    struct tail tail;
    unsigned member_count;
    struct judge_member members[CLUSTER_SERVERS_MAX];
};

/* Fills *ret (some 20 KiB: keep it off the stack). Needs a driver. */
void outlook_take(const struct node *n, struct outlook *ret);

/* Tells the supervisor what happens to the head because of `block`. */
void outlook_tell(struct node *n, const struct outlook *o, enum head_event kind, const struct block_id *block);

/* Proposes that the head be this block, whatever it was, without a payload. Returns 0 or a negative code. */
int outlook_propose_head(struct node *n, const struct outlook *o, const struct block_id *head, uint64_t *ret_index,
                         uint64_t *ret_term);

/* Proposes to adopt the head that a majority reports, if it is above ours. Returns 0 when it was proposed,
 * OC_EUNKNOWN when there is no such head, or why it cannot be proposed. Call it as a ready leader only. */
int outlook_adopt_head(struct node *n, const struct outlook *o);

#endif
