/* The channels of this worker: to the supervisor, and to whichever rpcd lives now. Routes what
 * arrives to its handler.
 */
#ifndef OC_CONSENSUS_LINK_H
#define OC_CONSENSUS_LINK_H

#include "shared/ipc/chan.h"

struct node;
struct link;

/* Starts to listen to the supervisor. NULL: out of memory. */
struct link *link_new(struct node *n);
void link_free(struct link *l); /* accepts NULL; the supervisor's channel stays the worker's */
/* Adjusts what is polled for; before the loop sleeps. */
void link_settle(struct link *l);
/* Send or queue. Whoever does not read for long loses its channel: the supervisor restarts us, rpcd
 * gets a new one. */
void link_send_supervisor(struct link *l, enum msg_type type, uint64_t request_id, const void *body, int fd);
/* Dropped when there is no rpcd. */
void link_send_rpcd(struct link *l, enum msg_type type, uint64_t request_id, const void *body, int fd);

#endif
