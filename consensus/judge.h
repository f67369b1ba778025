/* What happens to a payload that op-node wants committed: the rules of the unsafe head, as a pure
 * function. It looks at the tail of the log, at what was acknowledged, at the permit, and at what
 * the members say about their heads; it never looks at a clock or a setting.
 */
#ifndef OC_CONSENSUS_JUDGE_H
#define OC_CONSENSUS_JUDGE_H

#include "consensus/proposal.h"
#include "consensus/window.h"
#include "shared/proto/bodies.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* ---- which blocks were never acknowledged ----
 * Only the leader that proposed a block, in that very term, can know that nobody was told of its
 * success; everything else in the log counts as acknowledged. */

#define ACKBOOK_SIZE 128

enum ack_state {
    ACK_YES = 0, /* answered with success, or unknown: counts as acknowledged */
    ACK_PENDING, /* proposed here in this term, the caller still waits */
    ACK_NEVER,   /* proposed here in this term, the caller was told of a failure or is gone */
};

struct ackbook {
    uint64_t term;
    unsigned next;
    struct {
        uint8_t hash[HASH_SIZE];
        enum ack_state state;
        unsigned waiting; /* callers who have no answer yet */
    } slots[ACKBOOK_SIZE];
};

void ackbook_init(struct ackbook *b);
/* A block was proposed in `term` and its caller waits. An older term's notes are forgotten. */
void ackbook_proposed(struct ackbook *b, uint64_t term, const uint8_t hash[HASH_SIZE]);
/* The answer was JUDGE_SAME: one more caller waits for the same block. */
void ackbook_asked_again(struct ackbook *b, uint64_t term, const uint8_t hash[HASH_SIZE]);
/* One of its callers gets (before the answer is sent!) a success or a failure, or is gone. */
void ackbook_answered(struct ackbook *b, uint64_t term, const uint8_t hash[HASH_SIZE], bool success);
enum ack_state ackbook_get(const struct ackbook *b, uint64_t term, const uint8_t hash[HASH_SIZE]);

/* ---- the question ---- */

/* op-node gives one commit so long, with all its tries: what comes later was built after op-node had the
 * consensus head again. */
#define JUDGE_SETTLE_NS UINT64_C(1000000000)
/* … but the very block that was refused or given up before may be a request that was long under way: it counts only
 * after so long. */
#define JUDGE_REPEAT_NS UINT64_C(5000000000)
#define JUDGE_REFUSED_MAX 64

struct judge_permit {
    bool granted;
    uint64_t term;
    uint64_t granted_ns; /* when it arrived; it holds for requests received after that */
};

/* The last refusal because of acknowledged blocks: they are then posted back to op-node. */
struct judge_conflict {
    bool seen;
    uint64_t term;
    struct block_id head; /* of the tail, then */
    uint64_t at_ns;
    uint64_t given_back_ns; /* when op-node was known to have that head again; 0: not yet */
    unsigned refused_count;
    uint8_t refused[JUDGE_REFUSED_MAX][HASH_SIZE]; /* until then, and in the conflicts before; the newest ones */
};

/* A payload was refused at now_ns because op-node left `head`. */
void judge_note_conflict(struct judge_conflict *c, uint64_t term, const struct block_id *head, uint64_t now_ns);
/* Then: which payload that was. */
void judge_note_refused(struct judge_conflict *c, const uint8_t hash[HASH_SIZE]);
/* It ended: acknowledged blocks from that height on were given up. Requests for them may still be under way. */
void judge_note_given_up(struct judge_conflict *c, const struct tail *tail, uint64_t from_height);
/* A permit came, or was taken away. */
void judge_note_permit(struct judge_permit *p, struct judge_conflict *c, const struct msg_permit *msg, uint64_t now_ns);

struct judge_member {
    bool voter;
    bool reported; /* its self record is known and not too old (the caller's rule) */
    struct block_id head;
};

struct judge_input {
    uint64_t term;
    bool leader_ready; /* leader, and an entry of the own term is applied */
    bool transferring;
    const struct tail *tail;
    const struct ackbook *ackbook;
    struct judge_permit permit;
    struct judge_conflict conflict;
    const struct judge_member *members; /* all configured ones, this one included */
    unsigned member_count;
    struct block_id block;
    uint8_t parent_hash[HASH_SIZE];
    uint64_t received_ns; /* when the request's first byte came */
};

enum judge_answer {
    JUDGE_EXTEND,        /* propose `proposal` (kind extend) */
    JUDGE_SAME,          /* success after a quorum round in this term, if it is still in the window then;
                          * nothing is proposed. Note ackbook_asked_again */
    JUDGE_REPLACE,       /* propose `proposal` (kind replace): never acknowledged ones go */
    JUDGE_REPLACE_ACKED, /* the same, but acknowledged blocks go, for the second time: a loud event */
    JUDGE_CONFLICT,      /* temporary: post the displaced blocks back to op-node; note judge_conflict */
    JUDGE_GAP,           /* temporary: op-node is ahead of the consensus head */
    JUDGE_WAIT,          /* temporary: no head yet and a member has not reported; or not ready, or an
                          * earlier proposal in the way is not decided; or op-node was only just given the
                          * blocks back that it left */
    JUDGE_REFUSE,        /* for good */
};

struct judge_verdict {
    enum judge_answer answer;
    int rc;                   /* 0 for EXTEND, SAME, REPLACE*; else OC_ECONFLICT, OC_EGAP, OC_ENOTLEADER, … */
    struct proposal proposal; /* EXTEND, REPLACE*: complete but for proposer and record */
    char text[TEXT_SIZE];     /* why, for the caller */
};

/* Fills *ret_verdict. Pure. */
void judge_payload(const struct judge_input *in, struct judge_verdict *ret_verdict);

/* The block a majority of the voters report as their head, if it is above the tail's head (the chain went on without
 * consensus, under an override), or beside it when no voter's op-node has the tail's head: that one was committed
 * after op-node had given up on it, and then lost; op-node cannot be brought to another block of its own height. False
 * when there is none, or no head yet: the first one needs the word of all members, or an operator's. */
bool judge_find_adoptable(const struct tail *tail, const struct judge_member *members, unsigned count,
                          struct block_id *ret_head);

#endif
