/* The channels to the supervisor and to consensus, and the requests under way on them. Every request
 * has a deadline; the end of a channel answers its requests at once.
 */
#ifndef OC_RPCD_LINK_H
#define OC_RPCD_LINK_H

#include "rpcd/rpcd.h"
#include "shared/ipc/chan.h"
#include "shared/ipc/ring.h"

struct link;

/* rc 0: `body` is the expected answer's, and *fd (-1: none) may be taken by setting it to -1.
 * OC_EDEADLINE, OC_ECLOSED: there is none. Called once, from the loop, never from link_request. */
typedef void (*link_answer_fn)(void *ctx, int rc, const void *body, int *fd);

/* NULL when out of memory. Starts to listen to the supervisor. */
struct link *link_new(struct rpcd *app);
void link_free(struct link *l); /* accepts NULL */

/* The payload ring; it outlives any consensus process. */
struct ring *link_ring(struct link *l);
bool link_has_consensus(const struct link *l);

/* Sends a request to ROLE_SUPERVISOR or ROLE_CONSENSUS (fd borrowed, -1: none). Returns its id,
 * or 0 with *ret_rc set (OC_ECLOSED, OC_EFULL). */
uint64_t link_request(struct link *l, enum proc_role to, enum msg_type type, const void *body, int fd,
                      uint64_t deadline_ns, link_answer_fn fn, void *ctx, int *ret_rc);

/* Tells the supervisor something that has no answer. It may get lost with either of us. */
void link_tell_supervisor(struct link *l, enum msg_type type, const void *body);

#endif
