/* Handing payloads out: EXPORT (after a barrier in this term, the head and what is above a height, for
 * a takeover) and single payloads for readers, each as a sealed memfd.
 */
#ifndef OC_CONSENSUS_EXPORT_H
#define OC_CONSENSUS_EXPORT_H

#include "consensus/driver.h"
#include "shared/ipc/chan.h"

#include <stdint.h>

#define EXPORTS_IN_FLIGHT_MAX 4

struct node;
struct exports;

struct exports *exports_new(struct node *n); /* NULL: out of memory */
void exports_free(struct exports *x);        /* accepts NULL */
/* An EXPORT message; answered on the supervisor's channel, now or later. */
void exports_request(struct exports *x, const struct chan_msg *msg);
void exports_on_applied(struct exports *x, uint64_t index, uint64_t term);
void exports_on_view(struct exports *x, const struct driver_view *view);
void exports_tick(struct exports *x, uint64_t now_ns);
uint64_t exports_deadline_ns(const struct exports *x); /* UINT64_MAX: none */

/* A PAYLOAD_GET message of rpcd; answered at once. */
void exports_get_payload(struct node *n, const struct chan_msg *msg);

#endif
