/* The rules of the unsafe head. */
#include "consensus/judge.h"
#include "shared/base/err.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

/* ---- notes on acknowledgements ---- */

void ackbook_init(struct ackbook *b)
{
    memset(b, 0, sizeof *b);
}

static unsigned find_note(const struct ackbook *b, const uint8_t hash[HASH_SIZE])
{
    for (unsigned i = 0; i < ACKBOOK_SIZE; i++)
        if (b->slots[i].state != ACK_YES && memcmp(b->slots[i].hash, hash, HASH_SIZE) == 0)
            return i;
    return ACKBOOK_SIZE;
}

void ackbook_proposed(struct ackbook *b, uint64_t term, const uint8_t hash[HASH_SIZE])
{
    if (b->term != term) {
        ackbook_init(b);
        b->term = term;
    }
    unsigned i = find_note(b, hash);
    if (i == ACKBOOK_SIZE) {
        i = b->next; /* the oldest note goes: its block then counts as acknowledged */
        b->slots[i].state = ACK_YES;
        b->next = (b->next + 1) % ACKBOOK_SIZE;
    }
    memcpy(b->slots[i].hash, hash, HASH_SIZE);
    b->slots[i].waiting = b->slots[i].state == ACK_YES ? 1 : b->slots[i].waiting + 1;
    b->slots[i].state = ACK_PENDING;
}

void ackbook_asked_again(struct ackbook *b, uint64_t term, const uint8_t hash[HASH_SIZE])
{
    unsigned i = b->term == term ? find_note(b, hash) : ACKBOOK_SIZE;
    if (i < ACKBOOK_SIZE) {
        b->slots[i].waiting++;
        b->slots[i].state = ACK_PENDING;
    }
}

void ackbook_answered(struct ackbook *b, uint64_t term, const uint8_t hash[HASH_SIZE], bool success)
{
    unsigned i = b->term == term ? find_note(b, hash) : ACKBOOK_SIZE;
    if (i == ACKBOOK_SIZE)
        return;
    if (b->slots[i].waiting > 0)
        b->slots[i].waiting--;
    if (success)
        b->slots[i].state = ACK_YES;
    else
        b->slots[i].state = b->slots[i].waiting > 0 ? ACK_PENDING : ACK_NEVER;
}

enum ack_state ackbook_get(const struct ackbook *b, uint64_t term, const uint8_t hash[HASH_SIZE])
{
    unsigned i = b->term == term ? find_note(b, hash) : ACKBOOK_SIZE;
    return i < ACKBOOK_SIZE ? b->slots[i].state : ACK_YES;
}

/* ---- answers ---- */

static bool same_block(const struct block_id *a, const struct block_id *b)
{
    return a->number == b->number && memcmp(a->hash, b->hash, HASH_SIZE) == 0;
}

__attribute__((format(printf, 4, 5))) static void answer(struct judge_verdict *v, enum judge_answer what, int rc,
                                                         const char *format, ...)
{
    va_list args;
    v->answer = what;
    v->rc = rc;
    va_start(args, format);
    vsnprintf(v->text, sizeof v->text, format, args);
    va_end(args);
}

static void propose(const struct judge_input *in, struct judge_verdict *v, enum judge_answer what)
{
    v->answer = what;
    v->proposal.kind = what == JUDGE_EXTEND ? PROPOSAL_EXTEND : PROPOSAL_REPLACE;
    v->proposal.expected_valid = tail_head(in->tail, &v->proposal.expected);
    v->proposal.truncate_height = what == JUDGE_EXTEND ? 0 : in->block.number;
    v->proposal.block = in->block;
}

void judge_note_conflict(struct judge_conflict *c, uint64_t term, const struct block_id *head, uint64_t now_ns)
{
    if (c->seen && c->term == term && same_block(&c->head, head))
        return;
    c->seen = true;
    c->term = term;
    c->head = *head;
    c->at_ns = now_ns;
    c->given_back_ns = 0;
}

static void remember(struct judge_conflict *c, const uint8_t hash[HASH_SIZE])
{
    if (c->refused_count == JUDGE_REFUSED_MAX)
        memmove(c->refused[0], c->refused[1], (JUDGE_REFUSED_MAX - 1) * sizeof c->refused[0]);
    else
        c->refused_count++;
    memcpy(c->refused[c->refused_count - 1], hash, HASH_SIZE);
}

void judge_note_refused(struct judge_conflict *c, const uint8_t hash[HASH_SIZE])
{
    if (c->given_back_ns == 0)
        remember(c, hash);
}

void judge_note_given_up(struct judge_conflict *c, const struct tail *tail, uint64_t from_height)
{
    c->seen = false;
    c->given_back_ns = 0;
    for (unsigned i = 0; i < tail->count; i++)
        if (tail->blocks[i].block.number >= from_height)
            remember(c, tail->blocks[i].block.hash);
}

void judge_note_permit(struct judge_permit *p, struct judge_conflict *c, const struct msg_permit *msg, uint64_t now_ns)
{
    *p = (struct judge_permit){.granted = msg->verb == PERMIT_GRANTED, .term = msg->term, .granted_ns = now_ns};
    if (msg->verb == PERMIT_WITHDRAWN)
        c->seen = false;
    else if (p->granted && c->seen && c->given_back_ns == 0 && c->term == msg->term &&
             same_block(&c->head, &msg->head) && msg->looked_mono_ns > c->at_ns)
        c->given_back_ns = now_ns;
}

static bool has_permit(const struct judge_input *in)
{
    return in->permit.granted && in->permit.term == in->term && in->received_ns > in->permit.granted_ns;
}

/* This very block, before op-node had the displaced ones back, or it is one of those that op-node left in an earlier
 * conflict: perhaps a request that was long under way. */
static bool was_refused(const struct judge_input *in)
{
    for (unsigned i = 0; i < in->conflict.refused_count; i++)
        if (memcmp(in->conflict.refused[i], in->block.hash, HASH_SIZE) == 0)
            return true;
    return false;
}

/* Op-node has had the displaced blocks back since they were refused. */
static bool was_given_back(const struct judge_input *in, const struct block_id *head)
{
    return in->conflict.seen && in->conflict.term == in->term && same_block(&in->conflict.head, head) &&
           in->conflict.given_back_ns != 0;
}

/* And has left them again since: this was built afterwards. */
static bool is_second_time(const struct judge_input *in, const struct block_id *head)
{
    return was_given_back(in, head) &&
           in->received_ns > in->conflict.given_back_ns + (was_refused(in) ? JUDGE_REPEAT_NS : JUDGE_SETTLE_NS);
}

/* The worst that a replacement from `number` on would displace. */
static enum ack_state worst_displaced(const struct judge_input *in, uint64_t number)
{
    enum ack_state worst = ACK_NEVER;
    for (unsigned i = in->tail->count; i-- > 0 && in->tail->blocks[i].block.number >= number;) {
        enum ack_state s = ackbook_get(in->ackbook, in->term, in->tail->blocks[i].block.hash);
        if (s < worst)
            worst = s;
    }
    return worst;
}

/* A block at or below the head, not the one we have there. */
static void judge_conflicting(const struct judge_input *in, struct judge_verdict *v, const struct block_id *head)
{
    const struct tail_block *ours = tail_find_number(in->tail, in->block.number);
    const struct tail_block *parent = in->block.number > 0 ? tail_find_number(in->tail, in->block.number - 1) : NULL;

    if (ours == NULL) {
        answer(v, JUDGE_REFUSE, OC_ERANGE,
               "payload %" PRIu64 " is older than everything remembered (the unsafe head is %" PRIu64 "; if the chain "
               "really went back that far: conductorctl adopt-head)",
               in->block.number, head->number);
        return;
    }
    bool linked = parent != NULL ? memcmp(parent->block.hash, in->parent_hash, HASH_SIZE) == 0
                                 : ours->parent_known && memcmp(ours->parent_hash, in->parent_hash, HASH_SIZE) == 0;
    if (!linked) {
        answer(v, JUDGE_CONFLICT, OC_ECONFLICT,
               "payload %" PRIu64 " is on another branch: neither it nor its parent is on the way to the unsafe head "
               "%" PRIu64,
               in->block.number, head->number);
        return;
    }
    switch (worst_displaced(in, in->block.number)) {
    case ACK_NEVER:
        if (has_permit(in) || is_second_time(in, head))
            propose(in, v, JUDGE_REPLACE);
        else
            answer(v, JUDGE_CONFLICT, OC_ECONFLICT,
                   "payload %" PRIu64 " would replace one that was proposed before, and op-node is not yet known to "
                   "have had the unsafe head %" PRIu64,
                   in->block.number, head->number);
        return;
    case ACK_PENDING:
        answer(v, JUDGE_WAIT, OC_ENOTYET, "payload %" PRIu64 " has a rival that is still being committed",
               in->block.number);
        return;
    default:
        if (is_second_time(in, head))
            propose(in, v, JUDGE_REPLACE_ACKED);
        else if (!was_given_back(in, head))
            answer(v, JUDGE_CONFLICT, OC_ECONFLICT,
                   "payload %" PRIu64 " conflicts with acknowledged blocks up to the unsafe head %" PRIu64,
                   in->block.number, head->number);
        else
            answer(v, JUDGE_WAIT, OC_ECONFLICT,
                   "payload %" PRIu64 " conflicts with acknowledged blocks that op-node was given back a moment ago",
                   in->block.number);
        return;
    }
}

/* The very first head: nobody may know of a higher one. */
static void judge_first(const struct judge_input *in, struct judge_verdict *v)
{
    for (unsigned i = 0; i < in->member_count; i++) {
        const struct judge_member *m = &in->members[i];
        if (!m->reported) {
            answer(v, JUDGE_WAIT, OC_ENOTYET,
                   "there is no unsafe head yet, and not all members have reported theirs (conductorctl adopt-head "
                   "decides without them)");
            return;
        }
        if (m->head.number > 0 && (in->block.number == 0 || in->block.number - 1 < m->head.number)) {
            answer(v, JUDGE_REFUSE, OC_ECONFLICT,
                   "there is no unsafe head yet, and payload %" PRIu64 " does not build on the highest head of a "
                   "member, %" PRIu64,
                   in->block.number, m->head.number);
            return;
        }
    }
    if (in->member_count == 0) {
        answer(v, JUDGE_WAIT, OC_ENOTYET, "there is no unsafe head yet, and no member has reported its own");
        return;
    }
    propose(in, v, JUDGE_EXTEND);
}

void judge_payload(const struct judge_input *in, struct judge_verdict *v)
{
    struct block_id head;

    memset(v, 0, sizeof *v);
    if (in->transferring) {
        answer(v, JUDGE_WAIT, OC_ETRANSFER, "%s", err_text(OC_ETRANSFER));
        return;
    }
    if (!in->leader_ready) {
        answer(v, JUDGE_WAIT, OC_ENOTLEADER, "%s", err_text(OC_ENOTLEADER));
        return;
    }
    if (!tail_head(in->tail, &head)) {
        judge_first(in, v);
        return;
    }
    const struct tail_block *ours = tail_find_number(in->tail, in->block.number);
    if (ours != NULL && memcmp(ours->block.hash, in->block.hash, HASH_SIZE) == 0) {
        v->answer = JUDGE_SAME;
        return;
    }
    if (in->block.number <= head.number) {
        judge_conflicting(in, v, &head);
    } else if (in->block.number - 1 > head.number) {
        answer(v, JUDGE_GAP, OC_EGAP, "payload %" PRIu64 " is beyond the unsafe head %" PRIu64 " plus one",
               in->block.number, head.number);
    } else if (memcmp(in->parent_hash, head.hash, HASH_SIZE) == 0) {
        propose(in, v, JUDGE_EXTEND);
    } else {
        answer(v, JUDGE_CONFLICT, OC_ECONFLICT,
               "payload %" PRIu64 " builds on another block than the unsafe head %" PRIu64, in->block.number,
               head.number);
    }
}

/* Every voter's word is known, and none of their op-nodes has that block. */
static bool is_nowhere(const struct block_id *block, const struct judge_member *members, unsigned count)
{
    for (unsigned i = 0; i < count; i++)
        if (members[i].voter &&
            (!members[i].reported || members[i].head.number > block->number || same_block(&members[i].head, block)))
            return false;
    return true;
}

static bool has_majority(const struct block_id *block, const struct judge_member *members, unsigned count)
{
    unsigned voters = 0, same = 0;
    for (unsigned i = 0; i < count; i++) {
        voters += members[i].voter;
        same += members[i].voter && members[i].reported && same_block(&members[i].head, block);
    }
    return same > voters / 2;
}

bool judge_find_adoptable(const struct tail *tail, const struct judge_member *members, unsigned count,
                          struct block_id *ret_head)
{
    struct block_id head;

    if (!tail_head(tail, &head))
        return false;
    for (unsigned i = 0; i < count; i++) {
        const struct block_id *theirs = &members[i].head;
        bool fits =
            theirs->number > head.number || (theirs->number == head.number && is_nowhere(&head, members, count));
        if (members[i].voter && members[i].reported && theirs->number > 0 && fits &&
            has_majority(theirs, members, count)) {
            *ret_head = *theirs;
            return true;
        }
    }
    return false;
}
