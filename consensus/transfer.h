/* Handing leadership over on the supervisor's word: TRANSFER, watched until another node leads. */
#ifndef OC_CONSENSUS_TRANSFER_H
#define OC_CONSENSUS_TRANSFER_H

#include "consensus/driver.h"
#include "shared/ipc/chan.h"

#include <stdint.h>

struct node;
struct transfer;

struct transfer *transfer_new(struct node *n); /* NULL: out of memory */
void transfer_free(struct transfer *t);        /* accepts NULL */
/* A TRANSFER message; answered on the supervisor's channel, now or later. */
void transfer_request(struct transfer *t, const struct chan_msg *msg);
void transfer_on_view(struct transfer *t, const struct driver_view *view);
void transfer_tick(struct transfer *t, uint64_t now_ns);
uint64_t transfer_deadline_ns(const struct transfer *t); /* UINT64_MAX: none */

#endif
