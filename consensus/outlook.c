/* The end of the log and the members' words (see outlook.h). */
#include "consensus/outlook.h"

#include "consensus/link.h"
#include "consensus/node.h"
#include "consensus/proposal.h"
#include "shared/base/clock.h"
#include "shared/base/err.h"
#include "shared/base/log.h"

#include <errno.h>
#include <string.h>

/* A member's word about its head counts for so long. */
#define RECORD_TRUST_MS 5000
/* A head is adopted only after consensus stood still for so long: right after a replacement the other
 * op-nodes may still report the head that was left. */
#define ADOPT_QUIET_MS 10000

static bool is_zero_hash(const uint8_t hash[HASH_SIZE])
{
    static const uint8_t NONE[HASH_SIZE];
    return memcmp(hash, NONE, sizeof NONE) == 0;
}

void outlook_take(const struct node *n, struct outlook *ret)
{
    struct driver_view view = node_view(n);
    uint64_t now = clock_mono_ms();
    tail_init(&ret->tail, n->window);
    for (uint64_t i = view.applied_index + 1; i <= view.last_index; i++) {
        struct entry *e = driver_entry_at(n->driver, i);
        if (e && entry_type(e) == ENTRY_COMMAND)
            (void)tail_apply(&ret->tail, e);
    }
    ret->member_count = view.membership->count;
    for (unsigned i = 0; i < ret->member_count; i++) {
        const struct member *m = &view.membership->members[i];
        struct msg_self_record record;
        uint64_t age;
        ret->members[i] = (struct judge_member){.voter = m->role == MEMBER_VOTER};
        if (peers_get_record(n->peers, m->id, now, &record, &age) && age <= RECORD_TRUST_MS) {
            /* A node that does not know its op-node's head has not told it. */
            ret->members[i].reported = !is_zero_hash(record.unsafe_head.hash) || record.reason == READY_WITNESS;
            ret->members[i].head = record.unsafe_head;
        }
    }
}

void outlook_tell(struct node *n, const struct outlook *o, enum head_event kind, const struct block_id *block)
{
    struct msg_head_event msg = {.term = node_view(n).term, .kind = kind, .block = *block};
    (void)tail_head(&o->tail, &msg.head);
    msg.from_number = block->number < msg.head.number ? block->number : msg.head.number;
    link_send_supervisor(n->link, MSG_HEAD_EVENT, 0, &msg, -1);
}

int outlook_propose_head(struct node *n, const struct outlook *o, const struct block_id *head, uint64_t *ret_index,
                         uint64_t *ret_term)
{
    struct proposal p = {.kind = PROPOSAL_ADOPT, .block = *head};
    struct entry *e = proposal_entry_new(0);
    if (!e)
        return -ENOMEM;
    p.expected_valid = tail_head(&o->tail, &p.expected);
    int rc = node_propose(n, e, &p, ret_index, ret_term);
    if (rc)
        entry_unref(e);
    return rc;
}

int outlook_adopt_head(struct node *n, const struct outlook *o)
{
    struct block_id head;
    uint64_t index, term;
    if (clock_mono_ms() - n->head_changed_ms < ADOPT_QUIET_MS)
        return OC_EUNKNOWN;
    if (!judge_find_adoptable(&o->tail, o->members, o->member_count, &head))
        return OC_EUNKNOWN;
    int rc = outlook_propose_head(n, o, &head, &index, &term);
    if (rc)
        return rc;
    LOG_WARN("The chain went on without consensus: adopting the head that a majority reports",
             LOG_U("number", head.number), LOG_HASH("hash", head.hash));
    outlook_tell(n, o, HEAD_ADOPTED, &head);
    return 0;
}
