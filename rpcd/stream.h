/* GET /events: what the status page shows, live, as server-sent events. Every message is one JSON value:
 *
 *   reset    {}; the first one: forget what an earlier connection brought
 *   status   {time_ms (wall), viewers, level ("good", "warn", "bad"), verdict (a sentence),
 *            status (as conductor_status)}; at once when leadership or readiness change, at least every
 *            STREAM_BEAT_MS, which is the heartbeat
 *   commits  [[sequence, block number, time_ms, took_us, ok], …]: commits that this node answered
 *   events   as conductor_events
 *
 * A stream that a client does not read in time is cut off, and there are few of them; nothing here runs while nobody
 * watches.
 */
#ifndef OC_RPCD_STREAM_H
#define OC_RPCD_STREAM_H

#include "rpcd/rpcd.h"

#include <stdbool.h>
#include <stdint.h>

#define STREAMS_MAX 16
/* How often the pages are looked at while somebody watches. */
#define STREAM_LOOK_MS 100
#define STREAM_BEAT_MS 1000
/* Between two status messages when only heads move. */
#define STREAM_HEAD_MS 250
/* Unsent bytes above which a client counts as too slow: more than its first messages take. */
#define STREAM_QUEUE_MAX_BYTES (512u << 10)

struct streams;

/* Borrows app for its life. NULL: out of memory. */
struct streams *streams_new(struct rpcd *app);

/* Answers the request: with a stream, or with 503 when there are STREAMS_MAX. */
void streams_open(struct streams *all, struct http_request *req);

/* What a look at the pages found, as far as it decides when to tell of it. Compared as a whole. */
struct stream_look {
    uint64_t state, leader_ready, transferring, term, membership, switches;
    char leader_id[SERVER_ID_SIZE];
    uint32_t members[CLUSTER_SERVERS_MAX]; /* readiness, sequencing, heard or not */
    uint64_t heads;                        /* changes when any head does */
};
/* Pure: whether a status message is due `since_ms` after the last one, whose look was `before`. */
bool stream_is_due(const struct stream_look *before, const struct stream_look *now, uint64_t since_ms);

#endif
