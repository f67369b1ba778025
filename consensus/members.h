/* Changing the cluster's membership on an operator's word: add (ask the address who it is, add as a
 * spare, let it catch up, give it its role), demote, remove. One change after another; each request has
 * a deadline, and repeating one that took effect succeeds.
 */
#ifndef OC_CONSENSUS_MEMBERS_H
#define OC_CONSENSUS_MEMBERS_H

#include "shared/ipc/chan.h"

#include <stdint.h>

#define MEMBER_OPS_MAX 8 /* waiting or running; more are refused */

struct node;
struct members;

struct members *members_new(struct node *n); /* NULL: out of memory */
void members_free(struct members *m);        /* accepts NULL */
/* A MEMBER_OP message; answered on rpcd's channel, now or later. */
void members_request(struct members *m, const struct chan_msg *msg);
/* rpcd is gone: what runs goes on, nobody hears the answer; what waits is dropped. */
void members_drop_callers(struct members *m);
void members_on_view(struct members *m);
void members_tick(struct members *m, uint64_t now_ns);
uint64_t members_deadline_ns(const struct members *m); /* UINT64_MAX: none */

#endif
