/* Commits of payloads: from the ring into an entry, checked, judged, proposed, and answered when the
 * entry is on the disks of a majority and applied here in the term it was proposed in.
 */
#ifndef OC_CONSENSUS_COMMIT_H
#define OC_CONSENSUS_COMMIT_H

#include "consensus/driver.h"
#include "consensus/window.h"
#include "shared/ipc/chan.h"
#include "shared/ipc/ring.h"

#include <stdint.h>

/* Commits whose answer is outstanding; more are refused. */
#define COMMITS_IN_FLIGHT_MAX 16

struct node;
struct commits;

struct commit_counts {
    uint64_t ok_total, failed_total;
    uint64_t last_us; /* taken to applied, of the newest success */
};

struct commits *commits_new(struct node *n); /* NULL: out of memory */
void commits_free(struct commits *c);        /* accepts NULL */

/* A COMMIT message; ring is NULL before RING came. Takes msg->fd if there is one. Answers on the link, now
 * or later. */
void commits_request(struct commits *c, struct chan_msg *msg, const struct ring_view *ring);
/* The asking process is gone: nobody hears the answers. */
void commits_drop_callers(struct commits *c);
void commits_set_permit(struct commits *c, const struct msg_permit *permit);

void commits_on_durable(struct commits *c, uint64_t index);
/* quorum_ns: when it was known to be on the disks of a majority. */
void commits_on_applied(struct commits *c, uint64_t index, uint64_t term, enum window_result result,
                        uint64_t quorum_ns);
/* Fails what waits for a term that is over. */
void commits_on_view(struct commits *c, const struct driver_view *view);
void commits_tick(struct commits *c, uint64_t now_ns);
uint64_t commits_deadline_ns(const struct commits *c); /* UINT64_MAX: none */
struct commit_counts commits_counts(const struct commits *c);

#endif
