/* The consensus driver: the library's core (raft_step) and our rules around it. It does no I/O and
 * reads no clock: disk and network are interfaces, time is an argument, so that the very same code
 * runs in production and in the deterministic simulator. Not thread-safe. <raft.h> is included by
 * driver*.c only; nobody else sees the library.
 */
#ifndef OC_CONSENSUS_DRIVER_H
#define OC_CONSENSUS_DRIVER_H

#include "consensus/entry.h"
#include "consensus/snapshot.h"
#include "shared/proto/bodies.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* ---- messages between drivers ---- */

enum wire_kind {
    WIRE_REQUEST_VOTE = 1,
    WIRE_VOTE_RESULT,
    WIRE_APPEND, /* at most one entry (the library's CHANGE bug needs that) */
    WIRE_APPEND_RESULT,
    WIRE_INSTALL_SNAPSHOT,
    WIRE_TIMEOUT_NOW,
};

struct wire_msg {
    enum wire_kind kind;
    uint64_t term;
    union {
        struct {
            uint64_t candidate_id, last_log_index, last_log_term;
            uint8_t disrupt_leader, pre_vote;
        } request_vote;
        struct {
            uint8_t granted, pre_vote;
            uint32_t features;
            uint16_t capacity;
        } vote_result;
        struct {
            uint64_t prev_log_index, prev_log_term, leader_commit;
            struct entry *entry; /* NULL: a heartbeat. send() borrows, receive takes */
        } append;
        struct {
            uint64_t rejected, last_log_index;
            uint32_t features;
            uint16_t capacity;
        } append_result;
        struct {
            struct snapshot *snapshot; /* send() borrows, receive takes */
            uint64_t conf_index;
        } install;
        struct {
            uint64_t last_log_index, last_log_term;
            uint8_t asked; /* an operator named this target */
        } timeout_now;
    };
    uint8_t version; /* of the library's message */
};

/* ---- what the driver needs from outside ----
 * None of these may call back into the driver, except driver_view and other looking functions.
 */

struct driver_io {
    void *ctx;
    /* Durable before it returns. A negative code stops the driver (fail-stop). */
    int (*save_term_vote)(void *ctx, uint64_t term, uint64_t voted_for);
    /* Queue the write of one entry; the disk answers with driver_entries_durable. Takes its own
     * reference. */
    void (*append)(void *ctx, uint64_t index, struct entry *e);
    /* Queue the removal of from_index and all behind it; ordered with appends. From now on no
     * completion of an earlier append at or behind from_index may be reported. */
    void (*truncate)(void *ctx, uint64_t from_index);
    /* Queue the write of a snapshot, then removal of log entries below keep_from. With `install`
     * the whole log is dropped. Answered with driver_snapshot_durable. Takes its own reference. */
    void (*save_snapshot)(void *ctx, struct snapshot *s, uint64_t keep_from, bool install);
    /* Send, or drop when the peer is not connected or its queue is full. */
    void (*send)(void *ctx, uint64_t peer_id, const struct wire_msg *msg);
    /* The state machine. apply is called in order, once per index since the last restore, with entries of every type.
     * Returns 0 or a negative code (fail-stop: no snapshot may say that it was applied). */
    int (*apply)(void *ctx, uint64_t index, uint64_t term, struct entry *e);
    /* Replace the state by a snapshot's. Returns 0 or a negative code (fail-stop). */
    int (*restore)(void *ctx, const struct snapshot *s);
    /* Adds the state as of the last applied entry to an empty snapshot. Cheap: by reference. Returns 0
     * or a negative code (no snapshot this time). */
    int (*take)(void *ctx, struct snapshot *s);
    /* Term, state, leader, membership or readiness changed: look at driver_view. */
    void (*changed)(void *ctx);
    /* The driver stopped for good: why, for the log. Called once. */
    void (*failed)(void *ctx, int rc, const char *why);
};

/* When a node asks for votes after the leader was lost; an operator's transfer to it waits for nothing. */
enum driver_turn {
    DRIVER_TURN_FIRST, /* at once: it is ready to sequence */
    DRIVER_TURN_LATER, /* after those: not ready, or a witness, it hands leadership on */
    DRIVER_TURN_LAST,  /* after all others: paused, it would lead without sequencing */
};

struct driver_options {
    uint64_t self_id;
    char self_address[MEMBER_ADDRESS_SIZE];
    unsigned election_timeout_ms;
    uint64_t snapshot_threshold; /* entries */
    uint64_t snapshot_threshold_bytes;
    uint64_t snapshot_interval_ms; /* also after this long, if anything new was applied */
    uint64_t trailing_entries;     /* kept behind a snapshot for slow followers … */
    uint64_t trailing_bytes;       /* … but no more bytes than this */
    uint64_t random_seed;
    enum driver_turn turn; /* until driver_set_turn */
};

/* What was found on disk. Entries are contiguous from first_index; references pass over. */
struct driver_recovered {
    uint64_t term;
    uint64_t voted_for;
    struct snapshot *snapshot; /* NULL: none. Taken. */
    uint64_t first_index;
    struct entry **entries; /* the array stays the caller's */
    unsigned entry_count;
    /* A torn tail was dropped: until the log has passed (term, index) again, this node neither
     * campaigns nor votes for a shorter log. 0,0: nothing was. */
    uint64_t lost_tail_term, lost_tail_index;
};

struct driver;

int driver_open(const struct driver_options *options, const struct driver_io *io, struct driver **ret_driver);
void driver_close(struct driver *d);
/* Takes over recovered->snapshot and the entries' references. */
int driver_start(struct driver *d, uint64_t now_ms, const struct driver_recovered *recovered);

/* ---- inputs; now_ms is monotonic and never goes back ---- */

/* Takes msg's entry or snapshot. Returns 0, or OC_EPROTO for a message that is checked and refused
 * before the core sees it (the connection should be closed). */
int driver_receive(struct driver *d, uint64_t now_ms, uint64_t from_id, struct wire_msg *msg);
/* Call at driver_deadline_ms or later; cheap when early. */
void driver_tick(struct driver *d, uint64_t now_ms);
uint64_t driver_deadline_ms(const struct driver *d);
void driver_entries_durable(struct driver *d, uint64_t now_ms, uint64_t index);
/* Takes the reference. */
void driver_snapshot_durable(struct driver *d, uint64_t now_ms, struct snapshot *s);
void driver_disk_failed(struct driver *d, int rc, const char *what);
/* The transport's news: a peer's control connection ended and a re-dial was refused (its process is
 * gone); bytes of a message under way arrived from a peer (progress: it is alive, slow); a
 * connection to it is new (send state is reset). */
void driver_peer_gone(struct driver *d, uint64_t now_ms, uint64_t peer_id);
void driver_peer_progress(struct driver *d, uint64_t now_ms, uint64_t peer_id);
void driver_peer_connected(struct driver *d, uint64_t now_ms, uint64_t peer_id);
/* When it comes earlier than before, and votes would have been asked for already, they are asked for at once. */
void driver_set_turn(struct driver *d, uint64_t now_ms, enum driver_turn turn);

/* ---- requests ---- */

/* Takes the reference when it returns 0. ret_index is where it will be if it survives; its fate is
 * known when that index is applied with this term. Errors: OC_ENOTLEADER, OC_ETRANSFER, OC_ESHUTDOWN,
 * OC_EFULL (the own disk is too far behind), -ENOMEM. */
int driver_propose(struct driver *d, uint64_t now_ms, struct entry *e, uint64_t *ret_index, uint64_t *ret_term);
/* A barrier entry. */
int driver_barrier(struct driver *d, uint64_t now_ms, uint64_t *ret_index, uint64_t *ret_term);
/* One server at a time: add a SPARE, change one role, or remove one. Errors: OC_ENOTLEADER,
 * OC_ECHANGING, OC_EUNKNOWN, -EEXIST, OC_ERANGE (the last voter; or this leader itself, with only
 * one other voter: transfer leadership first). */
int driver_member_add(struct driver *d, uint64_t now_ms, uint64_t id, const char *address);
int driver_member_set_role(struct driver *d, uint64_t now_ms, uint64_t id, enum member_role role);
int driver_member_remove(struct driver *d, uint64_t now_ms, uint64_t id);
/* Promotion first lets a member catch up. */
int driver_catch_up_start(struct driver *d, uint64_t now_ms, uint64_t id);
enum catch_up_state { CATCH_UP_NONE, CATCH_UP_RUNNING, CATCH_UP_FINISHED, CATCH_UP_ABORTED };
enum catch_up_state driver_catch_up_state(const struct driver *d, uint64_t id);
/* id 0: the most up-to-date voter. `asked`: an operator named it, which it is told (driver_view().asked
 * there). Watch driver_view().transferring. Errors: OC_ENOTLEADER, OC_ETRANSFER, OC_EUNKNOWN. */
int driver_transfer(struct driver *d, uint64_t now_ms, uint64_t id, bool asked);

/* ---- looking ---- */

struct driver_view {
    enum raft_role state;
    bool leader_ready; /* leader and an entry of the own term is applied */
    bool transferring;
    bool asked; /* leader, by a transfer to it that an operator asked for */
    uint64_t term;
    uint64_t leader_id; /* 0: unknown */
    uint64_t commit_index, applied_index, last_index, durable_index, first_index, snapshot_index;
    uint64_t elections;                  /* campaigns of this node since its start */
    const struct membership *membership; /* latest, maybe uncommitted */
    const struct membership *committed_membership;
};
/* Borrowed until the next call into the driver. */
struct driver_view driver_view(const struct driver *d);
/* When this peer was last heard of; 0 = never. */
uint64_t driver_last_contact_ms(const struct driver *d, uint64_t peer_id);
/* This node leads, and that peer has answered to it in this term since it was connected. Until then it would not heed a
 * transfer to it. */
bool driver_is_followed_by(const struct driver *d, uint64_t peer_id);
/* Borrowed; NULL if not in memory. */
struct entry *driver_entry_at(const struct driver *d, uint64_t index);

#endif
