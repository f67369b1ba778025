/* The consensus worker as a whole: one loop, and what lives on it. node.c opens and closes it and
 * carries news between driver, disk, peers and the request handlers; each handler (commit, export,
 * transfer, members, publish, link) owns its part of the state.
 */
#ifndef OC_CONSENSUS_NODE_H
#define OC_CONSENSUS_NODE_H

#include "consensus/driver.h"
#include "consensus/peer.h"
#include "consensus/proposal.h"
#include "consensus/storage.h"
#include "consensus/window.h"
#include "shared/config/worker_config.h"
#include "shared/worker/worker.h"

#include <stdbool.h>
#include <stdint.h>
#include <uv.h>

struct commits;
struct exports;
struct adopts;
struct members;
struct transfer;
struct publisher;
struct link;

struct node {
    uv_loop_t loop;
    struct worker worker;
    struct config_consensus config;
    uint64_t raft_id;
    char advertised[SERVER_ADDR_SIZE]; /* host:port */
    struct storage *storage;
    struct window *window;
    struct driver *driver; /* NULL before START and after STOP_RAFT */
    struct peers *peers;
    struct commits *commits;
    struct exports *exports;
    struct adopts *adopts;
    struct members *members;
    struct transfer *transfer;
    struct publisher *publisher;
    struct link *link;
    uv_timer_t timer; /* the earliest deadline of all */
    uv_prepare_t prepare;
    uv_poll_t disk_poll;
    struct membership peers_membership; /* as last given to peers */
    uint64_t head_changed_ms;           /* when the state machine last changed here; at first: the start */
    bool is_started, is_stopped, is_dirty, is_exiting;
    int exit_code;
};

/* Takes over fds 3 and 4 and runs until the worker is told to end. Returns the exit code. */
int node_run(void);

/* START came: opens storage, listens, recovers, joins in, says READY. On failure the worker exits. */
void node_start(struct node *n);
/* conductor_stop: no more part in Raft; the process stays and answers. */
void node_stop_raft(struct node *n);
/* Ends the loop with that exit code. */
void node_exit(struct node *n, int code);

/* ---- one turn of the loop (node_turn.c: no loop and no socket in it, so simulations run it too) ---- */

/* Hands a disk's completion on; takes event->snapshot. Only with a driver. */
void node_take_disk_event(struct node *n, const struct storage_event *event);
/* What the supervisor says of this node: for the peers, and for when it asks for votes. */
void node_take_self_record(struct node *n, const struct msg_self_record *record);
/* Does what is due; cheap when early. Next at node_deadline_ms (UINT64_MAX: never). */
void node_tick(struct node *n);
uint64_t node_deadline_ms(const struct node *n);
/* Before the loop sleeps: if anything changed everybody who depends on it looks, the page first; and the
 * page is kept fresh. */
void node_spread_news(struct node *n);

/* Seals the proposal into the entry, as this node's, and proposes it. Takes the reference when it returns 0. Else as
 * driver_propose, or OC_EVERSION: not every member understands that kind. */
int node_propose(struct node *n, struct entry *e, struct proposal *p, uint64_t *ret_index, uint64_t *ret_term);

/* ---- looking ---- */

/* The membership to show and to decide by: the latest, maybe uncommitted; empty when stopped. */
const struct membership *node_membership(const struct node *n);
/* The name of a member, "" when unknown. */
void node_server_name(const struct node *n, uint64_t id, char ret_name[SERVER_ID_SIZE]);
/* Like driver_view; after a stop its state is RAFT_ROLE_STOPPED and everything else 0. */
struct driver_view node_view(const struct node *n);
/* 0 when a leader may take requests now, else OC_ESHUTDOWN, OC_ETRANSFER or OC_ENOTLEADER. */
int node_check_leader(const struct node *n);

#endif
