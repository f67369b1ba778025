/* The conductor: the control state of one node. It turns events (leadership, health, children,
 * operators) into commands for the workers. It owns no socket and no process: the supervisor's loop
 * feeds it and carries out what it asks for through conductor_io. Not thread-safe, never blocks.
 *
 * Who does what at this seam:
 *   loop       runs children and channels, keeps HELLO/START/READY/PING/PAGE/LISTENER/PEER_* and NODE_LOG to itself,
 *              fills children[] and log_dropped_total of the status page
 *   conductor  sends NODE_EVENT, NODE_CMD, EXPORT, PERMIT, TRANSFER, SELF_RECORD, RELEASE_HOLD, STOP_RAFT,
 *              ADMIN_RESULT; handles LEADERSHIP, HEALTH, NODE_RESULT, EXPORT_RESULT, TRANSFER_RESULT, ADMIN
 */
#ifndef OC_SUPERVISOR_CONDUCTOR_H
#define OC_SUPERVISOR_CONDUCTOR_H

#include "shared/flight/record.h"
#include "shared/ipc/chan.h"
#include "shared/shm/page.h"
#include "shared/shm/pages.h"
#include "supervisor/options.h"

#include <stdbool.h>
#include <stdint.h>

struct conductor_io {
    void *ctx;
    /* As chan_send to that worker's control channel; `fd` stays the conductor's. Returns OC_ECLOSED
     * when the worker is not in its running phase. */
    int (*send)(void *ctx, enum proc_role to, enum msg_type type, uint64_t request_id, const void *body, int fd);
    /* The managed op-node, at an operator's request. They only begin it: 0, or a negative code when it
     * cannot be begun. node_stop keeps it down until node_start or node_restart. */
    int (*node_start)(void *ctx);
    int (*node_stop)(void *ctx);
    int (*node_restart)(void *ctx);
    /* Restarts a worker (ROLE_CONSENSUS, ROLE_HEALTHD or ROLE_RPCD). 0 or a negative code. */
    int (*worker_restart)(void *ctx, enum proc_role role);
    /* Publish the status page. children[] and log_dropped_total are zero here: the loop fills them. */
    void (*publish)(void *ctx, const struct page_supervisor *page);
    /* The handover begun by conductor_begin_shutdown is over (done, not needed or out of time): the
     * loop goes on with stopping op-node and the workers. Called once, maybe from within
     * conductor_begin_shutdown. */
    void (*stop_finished)(void *ctx);
    /* Wall clock in ms, for records shown to people and peers. */
    uint64_t (*wall_ms)(void *ctx);
    /* Into the flight recorder (NULL: nobody keeps one); sequence, run, times and checksum are filled in there. */
    void (*record)(void *ctx, uint64_t now_ns, struct flight_record *record);
};

struct conductor;

/* Borrows opts for its life; copies io. NULL when out of memory. */
struct conductor *conductor_new(const struct options *opts, const struct conductor_io *io, uint64_t now_ns);
void conductor_free(struct conductor *c); /* accepts NULL */

/* One message from a running worker. Takes msg->fd where it wants it. Returns 0, or a negative code
 * that ends that worker's channel. Types that are not the conductor's are OC_EPROTO. */
int conductor_on_message(struct conductor *c, uint64_t now_ns, enum proc_role from, struct chan_msg *msg);

/* A worker reached its running phase (READY handled, sends are legal) or left it. */
void conductor_on_worker(struct conductor *c, uint64_t now_ns, enum proc_role role, bool up);

/* The managed op-node was spawned or has exited. */
void conductor_on_node(struct conductor *c, uint64_t now_ns, bool up, uint32_t incarnation);

/* The reader of a worker's status page; borrowed until replaced; NULL when the worker is gone. Only
 * ROLE_CONSENSUS's is used. */
void conductor_set_page(struct conductor *c, enum proc_role role, const struct page_reader *reader);

/* SIGTERM: hand leadership over, then io.stop_finished. A second call cuts the wait short. */
void conductor_begin_shutdown(struct conductor *c, uint64_t now_ns);

/* Consensus was sent something that wakes it, and this node's record, which is due soon, may go along: for the next
 * conductor_tick. */
void conductor_consensus_wakes(struct conductor *c);

/* Does what is due. Call it once per turn of the loop, after the events; returns when to call it
 * again at the latest (absolute CLOCK_MONOTONIC ns). */
uint64_t conductor_tick(struct conductor *c, uint64_t now_ns);

/* What is published now; for the loop to publish again when children[] changed. */
const struct page_supervisor *conductor_page(const struct conductor *c);

#endif
