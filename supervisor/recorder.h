/* The writer's side of the flight recorder: the ring in memory, begun with what the file of earlier runs
 * holds. The file is read once, before any worker runs (whoever hangs on that disk could not start
 * consensus either), and never written here: consensus copies the ring (consensus/flightlog.h).
 */
#ifndef OC_SUPERVISOR_RECORDER_H
#define OC_SUPERVISOR_RECORDER_H

#include "shared/flight/record.h"

#include <stdint.h>

/* How often the same record is kept when it comes again and again, so that a loop does not push its own
 * cause out of the ring: so many times, then only the 16th, 32nd, 64th… A pause ends the count. */
#define RECORDER_SAME_MAX 8
#define RECORDER_SAME_PAUSE_NS UINT64_C(60000000000)

struct recorder;

/* `path`: the file. NULL when the memory cannot be had (errno set): then there are no events. */
struct recorder *recorder_new(const char *path);
void recorder_free(struct recorder *rec);    /* accepts NULL */
int recorder_fd(const struct recorder *rec); /* the ring's; stays the recorder's */
/* Of the run before this one: "first start", "the run before ended in order", "… did not end in order". */
const char *recorder_before(const struct recorder *rec);

/* Stamps, seals and stores a record, unless there were too many of the same. Accepts a NULL recorder. */
void recorder_put(struct recorder *rec, uint64_t now_ns, struct flight_record *r);

#endif
