/* When which round of calls is made, and the health that follows. A full check every interval, and
 * at once when op-node first answers; between checks the head and the sequencer's state are polled;
 * while op-node does not answer it is probed fast. */
#ifndef OC_HEALTHD_MONITOR_H
#define OC_HEALTHD_MONITOR_H

#include "healthd/monitor_round.h"

#include "shared/shm/pages.h"

#include <stdbool.h>
#include <stdint.h>

/* Probing an op-node that does not answer: after it came up, and later. */
#define MONITOR_PROBE_FAST_MS 50
#define MONITOR_PROBE_SLOW_MS 250
#define MONITOR_PROBE_FAST_FOR_MS 15000
/* A connection that ends brings a full check forward, no more often than this. */
#define MONITOR_LOSS_EVERY_MS 2000
/* Head and sequencer state are at most this old, however long the interval is. */
#define MONITOR_LIGHT_MS 1000

struct monitor;

/* A new health is to be published (page->last) and told. */
typedef void (*monitor_health_fn)(void *ctx, const struct page_health *page);

/* Borrows all. NULL: out of memory. */
struct monitor *monitor_new(struct probe *p, const struct config_healthd *config, uint64_t now_ns,
                            monitor_health_fn health, void *ctx);
void monitor_free(struct monitor *m); /* accepts NULL */

/* Starts rounds that are due; returns when to be called again at the latest. */
uint64_t monitor_tick(struct monitor *m, uint64_t now_ns);

/* The managed op-node went up or down. */
void monitor_node_event(struct monitor *m, bool up, uint32_t incarnation, uint64_t now_ns);

/* Whether blocks may be judged by their age on this machine's clock; followed by a full check. */
void monitor_set_clock(struct monitor *m, bool is_trusted);

/* A kept connection ended: a full check follows at once, unless one did so a moment ago: a server that closes whatever
 * is not used for a while has not died. */
void monitor_note_loss(struct monitor *m, uint64_t now_ns);

/* Asks for a full check that starts now or later; returns its number. */
uint64_t monitor_request_check(struct monitor *m);
/* The number of the last finished full check; 0 before the first. */
uint64_t monitor_checks_done(const struct monitor *m);

/* What a command found out (NODE_DONT_KNOW: nothing, and with `may_have_changed` what was known
 * before no longer holds); publishes it, and asks op-node again soon. */
void monitor_note_command(struct monitor *m, enum node_tristate active, bool may_have_changed, uint64_t now_ns);
/* op-node's status, read by a command on the way (not published by itself). */
void monitor_note_status(struct monitor *m, const struct node_status *status, uint64_t now_ns);

const struct page_health *monitor_page(const struct monitor *m);

#endif
