/* conductor_events: the flight recorder, answered from the mapped ring without a round trip.
 *
 *   params   [since], [limit]     both may be left out or null
 *            with `since`: the oldest events after that sequence; without: the newest. At most `limit`
 *            (EVENTS_DEFAULT, at most EVENTS_MAX); those are always in order
 *   result   node, run, run_first_sequence, next_sequence, events
 *   event    sequence, run, time_ms (wall), mono_us, kind, what (a sentence), subject, why, detail, code,
 *            term, head ({number, hash} or null), duration_us (0: none), count, repeats
 *
 * A follower asks again with the last sequence it saw. `run` is another one after a restart of op-conductor;
 * what a crash kept from the file is numbered anew from run_first_sequence on.
 */
#ifndef OC_RPCD_EVENTS_H
#define OC_RPCD_EVENTS_H

#include "rpcd/rpc.h"
#include "shared/flight/ring.h"

#define EVENTS_DEFAULT 100
#define EVENTS_MAX 1000

/* MSG_FLIGHT: borrows fd. Returns 0 or -errno. */
int events_take_ring(struct rpcd *app, int fd);
/* Answers METHOD_EVENTS. */
void events_answer(struct rpc_call *call);

/* The result as JSON, malloc'd. `ring` NULL: no events. NULL: out of memory. */
char *events_to_json(const struct flight_reader *ring, const char *node, const uint64_t *since, uint64_t limit,
                     size_t *ret_len);

#endif
