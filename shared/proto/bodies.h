/* Bodies of the messages: fixed width, no pointers, strings NUL-terminated within their arrays,
 * times in CLOCK_MONOTONIC (valid across the processes of one machine). Every size is asserted, so
 * that both ends of any build agree or refuse each other at HELLO.
 */
#ifndef OC_PROTO_BODIES_H
#define OC_PROTO_BODIES_H

#include <stdint.h>

#define SERVER_ID_SIZE 128 /* bytes with NUL: name of a raft server */
#define VERSION_SIZE 32
#define SERVER_ADDR_SIZE 264 /* bytes with NUL: host:port */
#define CLUSTER_SERVERS_MAX 16
#define HASH_SIZE 32
#define BUILD_ID_SIZE 64
#define TEXT_SIZE 256 /* an error text for people */

struct block_id {
    uint64_t number;
    uint8_t hash[HASH_SIZE];
};

struct msg_empty {
    uint64_t reserved; /* a message never has zero bytes */
};

struct msg_hello {
    char build_id[BUILD_ID_SIZE];
    uint64_t catalogue_hash;
    uint32_t role;
    uint32_t incarnation;
    uint64_t page_bytes;
};

struct msg_start {
    uint32_t log_level;
    uint32_t reserved;
};

struct msg_ping {
    uint64_t sequence;
    uint64_t sent_mono_ns;
};

struct msg_drain {
    uint64_t deadline_mono_ns;
};

struct msg_peer {
    uint32_t role; /* of the peer that is up or down */
    uint32_t incarnation;
};

struct msg_page {
    uint32_t owner_role;
    uint32_t incarnation;
};

enum listener_kind { LISTENER_RPC = 1, LISTENER_METRICS, LISTENER_ADMIN };
struct msg_listener {
    uint32_t kind;
    uint32_t port; /* as bound; 0 for a Unix socket */
};

/* ---- leadership and the unsafe head ---- */

enum raft_role { RAFT_ROLE_FOLLOWER, RAFT_ROLE_CANDIDATE, RAFT_ROLE_LEADER, RAFT_ROLE_STOPPED };

struct msg_leadership {
    uint32_t state;        /* enum raft_role */
    uint32_t leader_ready; /* leader, and an entry of the own term is committed and applied */
    uint64_t term;
    char leader_id[SERVER_ID_SIZE]; /* "" when unknown */
    uint32_t head_valid;
    uint32_t fresh_bootstrap; /* this start formed the cluster: stay paused */
    uint32_t asked;           /* leader because an operator's transfer named this node */
    uint32_t reserved;
    struct block_id head;
};

struct msg_transfer {
    char target_id[SERVER_ID_SIZE]; /* "": the most up-to-date voter */
    char target_addr[SERVER_ADDR_SIZE];
    uint32_t timeout_ms;
    uint32_t asked; /* an operator named the target */
};

struct msg_transfer_result {
    int32_t rc; /* 0: another node leads now; OC_* otherwise */
    uint32_t reserved;
    char new_leader_id[SERVER_ID_SIZE];
    char text[TEXT_SIZE];
};

/* Asks for a barrier in the current term, then for the head and every payload above
 * `above_number`. A leader only. */
struct msg_export {
    uint64_t above_number;
    uint64_t deadline_mono_ns;
};

struct msg_export_result {
    int32_t rc;
    uint32_t head_valid; /* 0: no head yet, no fd */
    uint64_t term;
    struct block_id head;
    uint64_t first_number; /* of the records in the fd; 0 without fd */
    uint64_t record_count;
    uint64_t total_bytes; /* each record is prefixed by its length as u64 */
};

enum permit_verb {
    PERMIT_WITHDRAWN, /* the stint is over: op-node exited, stopped sequencing, or another term came */
    PERMIT_GRANTED,
    PERMIT_SUSPENDED, /* op-node left the head again; that it once had it is still remembered */
};

/* For one sequencing stint: op-node's own unsafe head was seen to equal `head` in `term`. */
struct msg_permit {
    uint64_t term;
    uint32_t node_incarnation;
    uint32_t verb;           /* enum permit_verb */
    uint64_t looked_mono_ns; /* the look at op-node began no earlier than this */
    struct block_id head;
};

enum head_event {
    HEAD_LEFT,     /* a payload is refused: op-node left blocks that count */
    HEAD_AHEAD,    /* a payload is refused: op-node is above the consensus head */
    HEAD_REPLACED, /* acknowledged blocks are given up: op-node left them again after it was given them back */
    HEAD_ADOPTED,  /* a head is adopted that a majority reports */
};

/* What a leader saw or does that a chain without trouble never needs. */
struct msg_head_event {
    uint64_t term;
    uint64_t from_number; /* the lowest height that op-node has otherwise, or the payload's own */
    uint32_t kind;        /* enum head_event */
    uint32_t reserved;
    struct block_id head;  /* of consensus */
    struct block_id block; /* the refused payload, or the new head */
};

enum ready_reason { /* why a node is not ready; 0 = ready */
                    READY_OK,
                    READY_UNKNOWN,
                    READY_NODE_DOWN,
                    READY_CONDUCTOR_DISABLED,
                    READY_UNHEALTHY,
                    READY_EL_SYNCING,
                    READY_LAGGING,
                    READY_PAUSED,
                    READY_STOPPED,
                    READY_HELD_DOWN,
                    READY_WITNESS, /* has no op-node */
                    /* Only on the node's own page: no peer that hears of it could go by them. */
                    READY_NO_CONSENSUS, /* its consensus worker is down */
                    READY_NOT_MEMBER,   /* of no cluster, as far as it knows */
                    READY_NO_LEADER,    /* has heard of none for a while */
                    READY_REASON_COUNT
};

struct msg_self_record {
    uint32_t reason; /* enum ready_reason */
    uint32_t paused;
    uint32_t sequencing;
    uint32_t health_unknown;
    struct block_id unsafe_head;
    uint64_t wall_ms;
};

/* ---- op-node ---- */

enum health_reason {
    HEALTH_OK,
    HEALTH_UNKNOWN,          /* no check finished yet */
    HEALTH_NODE_UNREACHABLE, /* "cannot connect to sequencer rpc endpoints" */
    HEALTH_UNSAFE_LAG,
    HEALTH_SAFE_LAG,
    HEALTH_PEERS,
    HEALTH_SUPERVISOR_UNREACHABLE,
    HEALTH_EL_PEERS,
    HEALTH_EL_PEERS_ERROR,
    HEALTH_BOOST_UNREACHABLE,
    HEALTH_BOOST_PARTIAL,
    HEALTH_BOOST_UNHEALTHY,
    HEALTH_EL_GONE, /* the execution client answered, and nothing is there any more */
    HEALTH_REASON_COUNT
};

enum node_tristate { NODE_NO, NODE_YES, NODE_DONT_KNOW };

struct msg_health {
    uint32_t healthy;
    uint32_t reason;            /* enum health_reason */
    uint32_t node_reachable;    /* optimism_syncStatus answered */
    uint32_t conductor_enabled; /* enum node_tristate */
    uint32_t sequencer_active;  /* enum node_tristate, from admin_sequencerActive */
    uint32_t el_syncing;        /* enum node_tristate */
    uint32_t node_incarnation;  /* of the managed op-node; 0 when not managed */
    uint32_t is_full_check;     /* 0: only the control calls' part changed */
    uint32_t only_old_head;     /* HEALTH_UNSAFE_LAG is all that is wrong */
    uint32_t node_gone;         /* at the last full check nobody was there: refused, or hung up; not just slow */
    uint64_t sequence;
    uint64_t checked_mono_ns;
    struct block_id unsafe_head; /* op-node's unsafe_l2 */
    uint64_t unsafe_timestamp;
    uint64_t safe_number;
    uint64_t safe_timestamp;
    struct block_id el_head;
    uint64_t peer_count;
    char text[TEXT_SIZE]; /* what failed, "" when nothing */
};

/* Whether this machine's clock agrees with its peers'. Until told so, healthd trusts it. */
struct msg_clock {
    uint32_t is_trusted;
    uint32_t reserved;
    int64_t offset_ms; /* ours minus theirs, the median */
};

struct msg_node_event {
    uint32_t up; /* 1 spawned, 0 exited */
    uint32_t node_incarnation;
};

enum node_verb {
    NODE_CMD_START = 1, /* admin_startSequencer(head.hash) */
    NODE_CMD_STOP,      /* admin_stopSequencer */
    NODE_CMD_TAKEOVER,  /* post what is missing, wait for adoption, start */
    NODE_CMD_ADOPT,     /* post what is missing, wait for adoption; do not start */
    NODE_CMD_CHECK      /* a full health check now */
};

struct msg_node_cmd {
    uint32_t verb;
    uint32_t head_valid; /* TAKEOVER with 0: no consensus head yet, start on op-node's own */
    struct block_id head;
    uint64_t deadline_mono_ns;
    uint64_t record_count; /* in the fd, ascending by number */
};

enum node_rc {
    NODE_OK,
    NODE_ALREADY,     /* start while active, stop while inactive */
    NODE_UNREACHABLE, /* no answer, or not an HTTP 2xx */
    NODE_REFUSED,     /* op-node answered with an error: see text */
    NODE_MISMATCH,    /* another block at the consensus head's height, or no way to connect to it */
    NODE_AHEAD,       /* op-node's head is above the consensus head */
    NODE_GAP,         /* payloads below the window are missing */
    NODE_TIMEOUT,     /* the deadline passed */
    NODE_RC_COUNT
};

struct msg_node_result {
    uint32_t verb;
    uint32_t rc;               /* enum node_rc */
    uint32_t sequencer_active; /* enum node_tristate after the call */
    uint32_t posted_count;
    struct block_id head; /* op-node's unsafe head after the call; of STOP: the hash it answered */
    uint64_t duration_us;
    char text[TEXT_SIZE];
};

/* ---- operators ---- */

enum admin_verb {
    ADMIN_PAUSE = 1,
    ADMIN_RESUME,
    ADMIN_STOP,
    ADMIN_OVERRIDE,    /* flag */
    ADMIN_TRANSFER,    /* to the best voter */
    ADMIN_TRANSFER_TO, /* id, addr */
    ADMIN_NODE_START,
    ADMIN_NODE_STOP,
    ADMIN_NODE_RESTART,
    ADMIN_RESTART_WORKER /* id names the role */
};

struct msg_admin {
    uint32_t verb;
    uint32_t flag;
    char id[SERVER_ID_SIZE];
    char addr[SERVER_ADDR_SIZE];
};

struct msg_admin_result {
    int32_t rc; /* 0, or an error whose text is below */
    uint32_t reserved;
    char text[TEXT_SIZE];
};

/* What an operator asked of consensus through rpcd, and what came of it: for the flight recorder. */
struct msg_note {
    int32_t rc;
    uint32_t reserved;
    char request[SERVER_ID_SIZE]; /* the method */
    char params[TEXT_SIZE];       /* JSON, cut */
    char text[TEXT_SIZE];         /* of a refusal */
};

/* Asks for what op-node said (node_log.h reads the answer's frame). */
struct msg_node_log {
    uint64_t after;            /* the oldest lines after this sequence; 0: from the oldest that is kept */
    uint32_t is_newest;        /* the newest ones instead, whatever `after` says */
    uint32_t line_limit;       /* at most so many */
    uint64_t deadline_mono_ns; /* afterwards nobody waits for the answer */
};

enum node_log_kind {
    NODE_LOG_LINE,    /* op-node's output */
    NODE_LOG_STARTED, /* ours: a process was started, or could not be */
    NODE_LOG_ENDED,   /* ours: it ended, and how */
    NODE_LOG_KIND_COUNT
};

/* Room for the longest line, and for a screenful of ordinary ones. */
#define NODE_LOG_FRAME_BYTES 15360

struct msg_node_log_result {
    int32_t rc;              /* 0; OC_EUNKNOWN: op-node is not managed; -ENOMEM: nothing is kept */
    uint32_t line_count;     /* in the frame */
    uint64_t instance;       /* another one after a restart of op-conductor, which counts anew */
    uint64_t first_sequence; /* of the frame's first line; the others follow without a gap */
    uint64_t next_sequence;  /* of the line that op-node will say next */
    uint32_t frame_bytes;
    uint32_t reserved;
    uint8_t frame[NODE_LOG_FRAME_BYTES];
};

/* ---- rpcd <-> consensus ---- */

struct msg_ring {
    uint64_t bytes;
};

/* Stamps of one commit, CLOCK_MONOTONIC ns; 0 = not reached. */
struct commit_stamps {
    uint64_t first_byte;
    uint64_t body_complete;
    uint64_t parsed;
    uint64_t taken;    /* consensus copied it */
    uint64_t proposed; /* handed to the core, sent to followers */
    uint64_t leader_durable;
    uint64_t quorum; /* commit index reached it */
    uint64_t applied;
};

struct msg_commit {
    uint64_t offset; /* in the ring; ignored with an fd */
    uint64_t len;    /* of the payload record */
    uint64_t deadline_mono_ns;
    struct block_id block;
    struct commit_stamps stamps;
};

struct msg_commit_result {
    int32_t rc; /* 0: on the disks of a majority and applied here */
    uint32_t head_valid;
    uint64_t index;
    struct block_id head;
    struct commit_stamps stamps;
    char text[TEXT_SIZE];
};

enum member_verb { MEMBER_ADD_VOTER = 1, MEMBER_ADD_NONVOTER, MEMBER_REMOVE, MEMBER_DEMOTE };

struct msg_member_op {
    uint32_t verb;
    uint32_t reserved;
    uint64_t version; /* 0: unconditional */
    uint64_t deadline_mono_ns;
    char id[SERVER_ID_SIZE];
    char addr[SERVER_ADDR_SIZE];
};

struct msg_member_result {
    int32_t rc;
    uint32_t reserved;
    uint64_t version;
    char text[TEXT_SIZE];
};

/* An operator vouches for a head that consensus does not have. A member must report it. */
struct msg_adopt_head {
    struct block_id head;
    uint64_t deadline_mono_ns;
};

struct msg_payload_get {
    uint64_t number; /* 0: the head */
};

struct msg_payload_result {
    int32_t rc; /* 0 with an fd; OC_EUNKNOWN: not in the window, or no head yet */
    uint32_t reserved;
    struct block_id block;
    uint64_t bytes;
};

#endif
