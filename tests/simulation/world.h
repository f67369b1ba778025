/* Whole conductors in one process on a simulated clock. Real: the consensus driver and everything of its
 * worker but loop, channels, storage and peers; the supervisor's conductor; healthd's monitor and
 * control. Simulated: time, disks, network, channels, rpcd's holding of commits, op-node with its execution client,
 * and what befalls all of them.
 *
 * The simulator replaces some interfaces of the product at link time: shared/base/clock.h and
 * shared/shm/page.h (world_seams.c), consensus/storage.h, peer.h and link.h (consensus.c), healthd/probe.h (health.c).
 */
#ifndef OC_TESTS_SIMULATION_WORLD_H
#define OC_TESTS_SIMULATION_WORLD_H

#include "consensus/node.h"
#include "shared/shm/pages.h"
#include "supervisor/conductor.h"
#include "tests/simulation/dice.h"
#include "tests/simulation/disk.h"
#include "tests/simulation/fates.h"
#include "tests/simulation/network.h"
#include "tests/simulation/opnode.h"

#define HOSTS_MAX NETWORK_NODES_MAX
#define BLOCKS_MAX 8192
#define COMMITS_MAX 12
#define RECORD_TX_BYTES 40
#define NODE_ET_MS 300
#define NEVER UINT64_MAX

/* ---- blocks: known to all by their number in the table, which is also in their hash ---- */

struct sim_block {
    struct block_id id;
    uint32_t parent;
    uint64_t slot_ms;     /* wall clock */
    uint64_t acked_ms;    /* answered with success; 0: never */
    uint64_t orphaned_ms; /* an L1 reorg took it away; 0: none did */
};

/* ---- channels of one host ---- */

enum edge { SUP_TO_CONS, CONS_TO_SUP, SUP_TO_HEALTH, HEALTH_TO_SUP, RPC_TO_CONS, CONS_TO_RPC, EDGE_COUNT };

struct letter {
    struct letter *next;
    uint64_t at_ms;
    enum msg_type type;
    uint64_t request_id;
    int fd;
    size_t len;
    _Alignas(16) uint8_t body[];
};

struct channel {
    struct letter *first, **end;
    uint64_t last_ms;
};

/* ---- the seams' other sides ---- */

struct page_writer {
    bool published;
    uint64_t beat_ns;
    size_t len;
    struct page_consensus body;
};

struct storage {
    struct host *host;
    struct sim_disk disk;
    struct storage_identity identity;
};

struct peers {
    struct host *host;
    uint64_t contact_ms[HOSTS_MAX], contact_id[HOSTS_MAX];
    struct {
        bool valid;
        uint64_t at_ms, raft_id; /* raft_id: as who it said that */
        struct msg_self_record record;
    } told[HOSTS_MAX], coming[HOSTS_MAX]; /* by who says it */
    struct peer_probe *probes;
};

/* A commit in rpcd. */
struct rpc_commit {
    bool in_use, is_sent, caller_gone;
    uint64_t caller; /* op-node's number of this try; 0: a late duplicate */
    uint64_t request_id;
    uint32_t block;
    uint64_t arrive_ms, first_ns, deadline_ns, hold_until_ns, retry_ns;
    int last_rc;
};

struct process {
    bool up;
    uint64_t up_at_ms; /* when down: when it starts; NEVER */
    uint64_t frozen_until_ms;
};

struct health;

struct host {
    struct world *world;
    unsigned index;
    uint64_t raft_id; /* another one with every emptied disk */
    bool absent;      /* there is no such machine (yet, or any more) */
    bool witness;
    bool powered;
    int64_t clock_ms; /* ahead of the others */
    bool managed;     /* op-node is the conductor's child */
    struct process sup, cons, health, rpc;
    /* supervisor */
    struct options options;
    char *node_argv[2];
    struct conductor *conductor;
    struct page_supervisor sup_page;
    uint64_t sup_wake_ns;
    bool leaving, left;
    bool resumed; /* by an operator, ever */
    /* consensus */
    struct node *node;
    struct storage storage;
    struct sim_disk lost_disk; /* what it had before it was replaced by an empty one, as who */
    uint64_t lost_id;
    struct peers peers;
    struct page_writer cons_page;
    uint64_t last_applied;
    /* healthd */
    struct health *healthd;
    /* rpcd */
    struct rpc_commit commits[COMMITS_MAX];
    uint8_t *ring;
    uint64_t next_request_id;
    struct channel channels[EDGE_COUNT];
    struct opnode opnode;
};

/* The operator who changes the membership: one change at a time, asked for until it is done. */
struct operator
{
    enum { MOVE_NONE, MOVE_ADD, MOVE_ADD_STANDBY, MOVE_DEMOTE, MOVE_REMOVE, MOVE_REPLACE, MOVE_COUNT } move;
    struct host *host;  /* whose membership it is about */
    struct host *asked; /* NULL: nobody at present */
    uint64_t request_id, give_up_ms, next_ms;
    struct host *leaver; /* removed, to be switched off at leave_ms */
    uint64_t leave_ms;
    uint64_t moves[MOVE_COUNT]; /* done so far */
};

struct world {
    uint64_t seed;
    struct dice dice;
    bool verbose;
    uint64_t now_ms, ticks;
    const struct host *running; /* whose wall clock is told; NULL: the true one */
    unsigned host_count;
    struct host hosts[HOSTS_MAX];
    struct network network;
    struct fates fates;
    struct membership committed; /* the newest that was applied anywhere */
    uint64_t committed_index;    /* up to which a leader was seen to be right in finding it on a majority */
    struct operator operator;
    unsigned gossip_loss_percent;
    uint64_t block_time_ms;
    bool late_duplicates;
    bool forming; /* the cluster is still to be formed */
    struct sim_block *blocks;
    uint32_t block_count;
    /* what was acknowledged: the newest block of each height, and how far */
    uint32_t *acked_at; /* by block number; 0: none */
    uint64_t acked_count, last_acked_ms, longest_gap_ms;
    uint32_t last_acked;
    uint64_t starts, rewinds, adoptions, longest_resume_ms;
};

/* ---- world.c ---- */
void world_init(struct world *w, uint64_t seed, bool verbose);
void world_free(struct world *w);
/* One millisecond. */
void world_step(struct world *w);
/* Fails the run: prints seed, time and how to replay it, and aborts. */
void world_fail(struct world *w, const char *format, ...) __attribute__((format(printf, 2, 3), noreturn));
/* With --verbose. */
void world_log(struct world *w, const struct host *h, const char *format, ...) __attribute__((format(printf, 3, 4)));
uint64_t world_true_ms(const struct world *w); /* of the wall */
uint64_t world_wall_ms(const struct world *w); /* as the running host's clock has it */
/* Both directions. */
bool world_is_connected(const struct world *w, unsigned a, unsigned b);
/* The host that is, or was, known by that id to Raft; NULL: none. */
struct host *world_find_id(struct world *w, uint64_t raft_id);
/* Takes part in the cluster by its newest committed membership, as the one it is now. */
const struct member *world_member(const struct host *h);
/* Its disk is replaced by an empty one. */
void world_empty_disk(struct host *h);

/* ---- blocks.c ---- */
uint32_t block_new(struct world *w, uint32_t parent, uint64_t slot_ms);
/* 0 when the hash is of no block. */
uint32_t block_find(const struct world *w, const uint8_t hash[HASH_SIZE]);
/* L1 takes away the block and all that build on it. */
void block_orphan(struct world *w, uint32_t from);
bool block_is_ancestor(const struct world *w, uint32_t ancestor, uint32_t of);

/* ---- channels.c ---- */
void channel_send(struct host *h, enum edge e, enum msg_type type, uint64_t request_id, const void *body, size_t len,
                  int fd);
/* The next letter that has arrived, for the caller to free; NULL: none. */
struct letter *channel_take(struct world *w, struct channel *c);
void letter_free(struct letter *l);
void channel_clear(struct channel *c);

/* ---- supervisor.c ---- */
void supervisor_start(struct host *h);
void supervisor_kill(struct host *h); /* and with it all its workers, and a managed op-node */
void supervisor_step(struct host *h);
void supervisor_tell_worker(struct host *h, enum proc_role role, bool up);
void supervisor_tell_node(struct host *h, bool up);
void supervisor_admin(struct host *h, enum admin_verb verb, const char *id);
void supervisor_shutdown(struct host *h);

/* ---- consensus.c ---- */
void consensus_start(struct host *h);
/* Its process ends; the disk keeps what it has, and may or may not get what was under way. */
void consensus_kill(struct host *h, bool peers_see_it);
void consensus_step(struct host *h);
void consensus_deliver(struct host *h, struct packet *p);
/* Its channel to rpcd has ended. */
void consensus_rpc_gone(struct host *h);
/* The link between the two hosts works again after a break. */
void consensus_reconnect(struct host *a, struct host *b);

/* ---- probes.c ---- */
void probes_step(struct host *h);

/* ---- health.c ---- */
void health_start(struct host *h);
void health_kill(struct host *h);
void health_step(struct host *h);
/* Answers a request of healthd to op-node: `json` is "\"result\":…" or "\"error\":{…}"; NULL: the connection broke. */
void health_answer(struct host *h, uint64_t id, const char *json);

/* ---- rpc.c ---- */
void rpc_kill(struct host *h);
void rpc_step(struct host *h);
/* op-node calls conductor_commitUnsafePayload; answered by opnode_commit_answer with that number. */
void rpc_commit(struct host *h, uint64_t caller, uint32_t block, uint64_t delay_ms);
/* op-node does not wait for it any more. */
void rpc_forget_caller(struct host *h, uint64_t caller);
/* The connections from op-node broke. */
void rpc_drop_callers(struct host *h);
void rpc_consensus_down(struct host *h);
/* conductor_leader: 1, 0, or -1 without an answer. */
int rpc_leader(const struct host *h);

/* ---- checks.c ---- */
void check_applying(struct host *h, uint64_t index, struct entry *e);
void check_applied(struct host *h, uint64_t index, uint64_t term, struct entry *e);
void check_restored(struct host *h, const struct snapshot *s);
void check_view(struct host *h);
/* Consensus answers a commit with success. */
void check_acknowledged(struct host *h, uint32_t block, uint64_t index);
/* op-node begins to sequence on `block`. */
void check_started(struct host *h, uint32_t block);
/* NULL when everybody agrees and one sequences; else what is missing. */
const char *check_settled(struct world *w);

/* ---- operator.c ---- */
/* Perhaps begins a change of the membership that leaves a majority. */
void operator_move(struct world *w);
/* Switches the machine on and makes it a voter. */
void operator_join(struct world *w, struct host *h);
/* One millisecond. */
void operator_step(struct world *w);
/* Consensus answers. */
void operator_answer(struct host *h, uint64_t request_id, const struct msg_member_result *result);
bool operator_is_busy(const struct world *w);

/* ---- faults.c ---- */
/* Chooses this run's mix … */
void faults_plan(struct world *w);
/* … or one that costs nothing: rpcd and healthd end, or supervisors stand still. */
void faults_plan_gently(struct world *w, bool freezes);
/* One millisecond of mischief. */
void faults_step(struct world *w);
/* Ends all faults but a minority's lasting ones. */
void faults_calm(struct world *w, bool lasting);
/* With all its processes, for so long; NEVER: until the next calm. */
void faults_power_off(struct host *h, uint64_t down_ms);

/* ---- plays.c ---- */
void plays_run(struct world *w);

#endif
