/* A head that an operator vouches for (conductor_adoptHead): the chain went on without consensus and no majority
 * reports the same head, or it was left in a way that the rules do not allow; or the very first head, when
 * not all members have told theirs. It goes through the log like any other.
 */
#ifndef OC_CONSENSUS_ADOPT_H
#define OC_CONSENSUS_ADOPT_H

#include "consensus/driver.h"
#include "consensus/window.h"
#include "shared/ipc/chan.h"

#include <stdint.h>

struct node;
struct adopts;

struct adopts *adopts_new(struct node *n); /* NULL: out of memory */
void adopts_free(struct adopts *a);        /* accepts NULL */

/* An ADOPT_HEAD message, answered by MEMBER_RESULT on the link, now or later. A leader only; one at a time; a
 * member must report that block as its op-node's unsafe head. */
void adopts_request(struct adopts *a, const struct chan_msg *msg);
/* The asking process is gone. */
void adopts_drop_callers(struct adopts *a);

void adopts_on_applied(struct adopts *a, uint64_t index, uint64_t term, enum window_result result);
void adopts_on_view(struct adopts *a, const struct driver_view *view);
void adopts_tick(struct adopts *a, uint64_t now_ns);
uint64_t adopts_deadline_ns(const struct adopts *a); /* UINT64_MAX: none */

#endif
