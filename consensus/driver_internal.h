/* The driver's inside, shared by driver*.c only: the one place that includes the library. */
#ifndef OC_CONSENSUS_DRIVER_INTERNAL_H
#define OC_CONSENSUS_DRIVER_INTERNAL_H

#include "consensus/driver.h"
#include "consensus/logcache.h"

#include <raft.h>

_Static_assert(RAFT_VERSION_MAJOR == 0 && RAFT_VERSION_MINOR == 22, "the driver is written for libraft 0.22");

/* More peers than members: some may have left, some may be about to join. */
#define DRIVER_PEERS_MAX (2 * CLUSTER_SERVERS_MAX)
/* An entry on its way is not sent again unless nothing was heard of it for this long. */
#define ENTRY_RESEND_MS 1000
#define SNAPSHOT_RESEND_MS 2000
#define REFILL_PATIENCE_MS 10000
#define REFILL_ENTRIES_MAX 16
#define REFILL_BYTES_MAX ((size_t)4 << 20)
#define SNAPSHOT_TIMEOUT_MS 3000 /* the core's: longer, so that its next try is not held back */
/* After the loss of a torn tail the node holds back; but if all nodes lost power together nobody
 * may have more, and then somebody has to begin. */
#define LOST_TAIL_PATIENCE_MS 10000
/* What may wait for the own disk; a proposal beyond that is refused. */
#define BACKLOG_ENTRIES_MAX 256
#define BACKLOG_BYTES_MAX ((size_t)128 << 20)
#define EARLY_STEP_MS 6
#define EARLY_RETRY_MS 18
#define EARLY_TRIES_MAX 8

/* What is known of a peer's connection. */
struct driver_peer {
    uint64_t id;
    uint64_t contact_ms, progress_ms; /* 0: never */
    uint64_t follows_term;            /* of the newest answer to an append on this connection; 0: none yet */
    /* The highest entry sent in sent_term, and when. */
    uint64_t sent_term, sent_index, sent_ms;
    uint64_t snapshot_term, snapshot_index, snapshot_ms;
    /* The highest entry sent again of those that it had acknowledged and lost, and when; 0: none. */
    uint64_t refill_index, refill_ms;
};

struct driver {
    struct raft raft;
    struct driver_options options;
    struct driver_io io;
    bool started, failed;
    uint64_t now_ms;

    struct logcache log;
    struct snapshot *snapshot;   /* newest durable one; without its parts, which would be a second window */
    struct snapshot *taking;     /* of our state, being written */
    struct snapshot *installing; /* the leader's, being written */
    unsigned taking_trailing;
    uint64_t snapshot_ms;     /* when the last one was begun */
    uint64_t unsnapped_bytes; /* applied since */

    uint64_t applied;
    bool applying;
    uint64_t ready_term; /* an entry of this own term was applied while leading */
    bool transfer_asked; /* the transfer under way: an operator named its target */
    uint64_t asked_term; /* the term of the election that such a transfer to us began */
    struct membership latest, committed;
    uint64_t latest_committed_index, latest_uncommitted_index; /* what `latest` was made from */

    /* The step under way: what we handed to the core. */
    struct entry *carried_entry;
    struct snapshot *carried_snapshot;
    void *token;            /* stands for the carried one's memory in the core's eyes */
    uint64_t covered_index; /* not 0: answer an append below our log with success up to here */

    /* A vote given although our own configuration does not have us as a voter (see
     * driver_receive.c): the core does not know of it. */
    struct {
        uint64_t term, candidate;
        bool granting, unsaved; /* in this step */
    } guest_vote;

    uint64_t elections;
    int noted_state;
    uint64_t cadence_ms;      /* leader: next tick */
    uint64_t leader_heard_ms; /* last append or snapshot from the leader */
    uint64_t leader_heard_term;
    uint64_t leaderless_ms; /* since when no leader is known; 0: one is */
    bool has_withheld;      /* votes were not asked for since then, to let others go first */
    uint64_t lost_tail_term, lost_tail_index;
    struct {
        uint64_t leader_id; /* 0: no early election under way */
        uint64_t next_ms;
        unsigned tries;
        bool is_silence; /* nothing but silence told of the leader's end: it may still come back */
    } early;

    struct driver_peer peers[DRIVER_PEERS_MAX];
    unsigned peer_count;

    /* What `changed` was last called for. */
    struct {
        int state;
        uint64_t term, leader_id, membership_index, committed_membership_index;
        bool ready, transferring;
    } told;
};

/* driver.c */
bool driver_enter(struct driver *d, uint64_t now_ms); /* false: stopped */
void driver_leave(struct driver *d);
void driver_fail(struct driver *d, int rc, const char *why);
struct driver_peer *driver_peer(struct driver *d, uint64_t id); /* made if new */
uint64_t driver_leader_id(const struct driver *d);
bool driver_is_leader(const struct driver *d);
bool driver_is_voter(const struct driver *d, uint64_t id);
/* The term of a log entry, if known; else 0. */
uint64_t driver_term_of(const struct driver *d, uint64_t index);

/* driver_update.c: one step of the core and all that follows from it. Returns the core's code; the
 * driver has then changed nothing. driver_step_or_fail stops the driver instead. */
int driver_step(struct driver *d, struct raft_event *event);
void driver_step_or_fail(struct driver *d, struct raft_event *event, const char *what);
/* Hands one entry to the core as leader; takes its reference if it returns 0. */
int driver_submit(struct driver *d, struct entry *e, uint64_t *ret_index, uint64_t *ret_term);
void driver_refresh_membership(struct driver *d);

/* driver_send.c */
void driver_send_messages(struct driver *d, const struct raft_message *messages, unsigned n);
/* A member says that its log ends at last_index, below what it acknowledged in this term: sends it some
 * of what it lacks, unless that is under way. */
void driver_send_lost(struct driver *d, struct driver_peer *p, uint64_t last_index, uint64_t match);

/* driver_snapshot.c */
void driver_maybe_snapshot(struct driver *d);
/* The state as of the last applied entry, with one reference; NULL when out of memory. */
struct snapshot *driver_snapshot_now(struct driver *d);
/* Index, term and membership of a snapshot without its parts. */
struct snapshot *driver_snapshot_about(const struct snapshot *s);
int driver_configuration_from(const struct membership *m, struct raft_configuration *ret_configuration);
void driver_membership_from(const struct raft_configuration *c, uint64_t index, struct membership *ret_membership);

/* driver_timing.c */
bool driver_is_sole_voter(const struct membership *m, uint64_t id);
/* The own disk ends with this now: perhaps it has as much again as was lost with a torn end. */
void driver_note_durable(struct driver *d, uint64_t term, uint64_t index);
bool driver_withholds_votes(const struct driver *d);
bool driver_lost_tail_is_open(const struct driver *d);
void driver_note_state(struct driver *d, bool became_leader);

#endif
