/* The listeners that the supervisor hands over, what serves them, and the ways rpcd ends. */
#ifndef OC_RPCD_LISTEN_H
#define OC_RPCD_LISTEN_H

#include "rpcd/rpcd.h"

/* Makes the two HTTP servers. Returns 0 or -ENOMEM. */
int listen_init(struct rpcd *app);
/* MSG_LISTENER: takes its fd. Returns 0 or a negative code. */
int listen_take(struct rpcd *app, struct chan_msg *msg);
/* Accepts no more, answers what is under way, ends at the deadline at the latest. */
void listen_drain(struct rpcd *app, uint64_t deadline_ns);
/* Ends the process with this code (enum worker_exit), after what can be written at once was written. */
_Noreturn void listen_exit(struct rpcd *app, int code);

#endif
