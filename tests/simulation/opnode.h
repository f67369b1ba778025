/* A model of op-node with its execution client: it builds blocks, commits each with two tries in one
 * second, gossips what was acknowledged, adopts what it hears, and fails in many ways. */
#ifndef OC_TESTS_SIMULATION_OPNODE_H
#define OC_TESTS_SIMULATION_OPNODE_H

#include <stdbool.h>
#include <stdint.h>

#define OPNODE_PENDING_MAX 96
#define OPNODE_HEARD_MAX 64
#define OPNODE_STOPS_MAX 8

struct host;

enum opnode_state {
    OPNODE_IDLE,
    OPNODE_WAIT,    /* for the slot */
    OPNODE_COMMIT,  /* a try is under way */
    OPNODE_RETRY,   /* between two tries */
    OPNODE_BACKOFF, /* after a failed commit */
};

struct opnode {
    struct host *host;
    bool up;
    uint32_t incarnation;
    uint64_t up_at_ms;
    uint64_t blank_until_ms, hang_until_ms, refuse_until_ms, stop_hangs_until_ms, syncing_until_ms, deaf_until_ms;
    uint32_t head; /* block; the execution client has the same */
    uint64_t safe_number;
    bool active, stopping;
    bool overridden; /* an operator told it that it leads: it asks no conductor */
    enum opnode_state state;
    uint64_t wake_ms;
    uint32_t built; /* sealed, not acknowledged; 0: none */
    uint64_t commit_deadline_ms;
    unsigned tries;
    uint64_t caller; /* number of the try under way */
    uint32_t pending[OPNODE_PENDING_MAX];
    unsigned pending_count;
    struct {
        uint32_t block;
        uint64_t at_ms;
    } heard[OPNODE_HEARD_MAX]; /* gossip on its way */
    unsigned heard_count;
    uint64_t adopt_ms;     /* when the next pending one may be adopted */
    uint64_t sync_ms;      /* when it asks a peer for what it misses */
    uint64_t l1_delay_ms;  /* after which it learns of an L1 reorg */
    uint64_t step_back_ms; /* it then leaves what is gone; 0: nothing is */
    uint64_t stop_calls[OPNODE_STOPS_MAX];
    unsigned stop_count;
    struct {
        uint64_t id;
        uint32_t hash_block;
        uint64_t at_ms;
    } start; /* waits for conductor_leader; id 0: none */
};

void opnode_start(struct opnode *o);
/* Its process ends; comes back (after `down_ms`) `behind` blocks behind. */
void opnode_kill(struct opnode *o, uint64_t down_ms, unsigned behind);
void opnode_step(struct opnode *o);
/* healthd's JSON-RPC request `id`. */
void opnode_request(struct opnode *o, uint64_t id, const char *body);
/* How a commit ended. */
void opnode_commit_answer(struct opnode *o, uint64_t caller, int rc);
/* A payload by gossip, from a peer or posted. */
void opnode_receive(struct opnode *o, uint32_t block);
/* Answers, is not blank, builds. */
bool opnode_is_able(const struct opnode *o);

#endif
