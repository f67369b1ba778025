/* A model of rpcd: it holds a commit while no leader is known, sends it, answers it. Its rules are those of
 * rpcd/commit.c, without HTTP around them. */
#include "consensus/proposal.h"
#include "shared/base/err.h"
#include "tests/simulation/world.h"
#include "tests/unit/consensus/make_record.h"

#include <string.h>

#define MS UINT64_C(1000000)
#define COMMIT_TIMEOUT_NS (1000 * MS)
#define COMMIT_HOLD_NS (800 * MS)
#define RETRY_NS (5 * MS)

static uint64_t now_ns(const struct host *h)
{
    return h->world->now_ms * MS;
}

static void answer(struct rpc_commit *c, struct host *h, int rc)
{
    if (!c->caller_gone && c->caller != 0)
        opnode_commit_answer(&h->opnode, c->caller, rc);
    c->caller_gone = true;
}

void rpc_commit(struct host *h, uint64_t caller, uint32_t block, uint64_t delay_ms)
{
    for (unsigned i = 0; i < COMMITS_MAX; i++) {
        struct rpc_commit *c = &h->commits[i];
        if (c->in_use)
            continue;
        *c = (struct rpc_commit){
            .in_use = true, .caller = caller, .block = block, .arrive_ms = h->world->now_ms + delay_ms};
        return;
    }
    if (caller != 0)
        opnode_commit_answer(&h->opnode, caller, OC_EFULL);
}

void rpc_forget_caller(struct host *h, uint64_t caller)
{
    for (unsigned i = 0; i < COMMITS_MAX; i++)
        if (h->commits[i].in_use && h->commits[i].caller == caller)
            h->commits[i].caller_gone = true;
}

void rpc_drop_callers(struct host *h)
{
    for (unsigned i = 0; i < COMMITS_MAX; i++)
        h->commits[i].caller_gone |= h->commits[i].caller != 0;
}

void rpc_consensus_down(struct host *h)
{
    for (unsigned i = 0; i < COMMITS_MAX; i++) {
        struct rpc_commit *c = &h->commits[i];
        if (c->in_use && c->is_sent) {
            c->is_sent = false;
            c->last_rc = 0;
            c->retry_ns = now_ns(h) + RETRY_NS;
        }
    }
}

void rpc_kill(struct host *h)
{
    if (!h->rpc.up)
        return;
    world_log(h->world, h, "rpcd ends");
    h->rpc = (struct process){.up_at_ms = h->world->now_ms + 5 + dice_below(&h->world->dice, 50)};
    for (unsigned i = 0; i < COMMITS_MAX; i++) {
        struct rpc_commit *c = &h->commits[i];
        if (!c->in_use || c->first_ns == 0)
            continue; /* waits in the listener's queue, which the supervisor keeps */
        c->in_use = false;
        answer(c, h, OC_ECLOSED);
    }
    channel_clear(&h->channels[RPC_TO_CONS]);
    channel_clear(&h->channels[CONS_TO_RPC]);
    if (h->cons.up)
        consensus_rpc_gone(h);
    supervisor_tell_worker(h, ROLE_RPCD, false);
}

static bool page_is_fresh(const struct host *h)
{
    return h->cons.up && h->cons_page.published && now_ns(h) < h->cons_page.beat_ns + PAGE_STALE_MS * MS;
}

int rpc_leader(const struct host *h)
{
    if (!h->rpc.up)
        return -1;
    return page_is_fresh(h) && h->cons_page.body.leader_ready != 0;
}

static void send_commit(struct host *h, struct rpc_commit *c)
{
    const struct sim_block *b = &h->world->blocks[c->block];
    unsigned slot = (unsigned)(c - h->commits);
    uint64_t offset = (uint64_t)slot * 4096;
    struct msg_commit msg = {.offset = offset,
                             .len = make_record_len(RECORD_TX_BYTES),
                             .deadline_mono_ns = c->deadline_ns,
                             .block = b->id,
                             .stamps = {.first_byte = c->first_ns}};
    make_record(h->ring + offset, b->id.number, b->id.hash, h->world->blocks[b->parent].id.hash, RECORD_TX_BYTES);
    c->request_id = ++h->next_request_id;
    c->is_sent = true;
    channel_send(h, RPC_TO_CONS, MSG_COMMIT, c->request_id, &msg, sizeof msg, -1);
}

static void step(struct host *h, struct rpc_commit *c)
{
    const struct page_consensus *page = &h->cons_page.body;
    uint64_t now = now_ns(h);
    bool fresh = page_is_fresh(h);
    if (c->caller != 0 && c->caller_gone) {
        c->in_use = false;
        return;
    }
    if (now < c->retry_ns)
        return;
    if (fresh && page->state != RAFT_ROLE_LEADER && page->leader_id[0] != '\0' &&
        strcmp(page->leader_id, h->options.server_id) != 0) {
        c->in_use = false;
        answer(c, h, OC_ENOTLEADER);
        return;
    }
    if (fresh && page->state == RAFT_ROLE_LEADER && page->leader_ready && !page->transferring) {
        send_commit(h, c);
        return;
    }
    if (now < c->hold_until_ns && now < c->deadline_ns)
        return;
    c->in_use = false;
    answer(c, h, c->last_rc != 0 ? c->last_rc : OC_ENOTLEADER);
}

static bool is_worth_holding(int rc)
{
    return rc == OC_ECLOSED || rc == OC_ETRANSFER || rc == OC_ENOTLEADER || rc == OC_ELOST || rc == OC_EFULL ||
           rc == OC_ENOTYET;
}

static void take_result(struct host *h, uint64_t request_id, const struct msg_commit_result *result)
{
    for (unsigned i = 0; i < COMMITS_MAX; i++) {
        struct rpc_commit *c = &h->commits[i];
        if (!c->in_use || !c->is_sent || c->request_id != request_id)
            continue;
        if (!c->caller_gone && is_worth_holding(result->rc) && now_ns(h) < c->deadline_ns) {
            c->is_sent = false;
            c->last_rc = result->rc;
            c->retry_ns = now_ns(h) + RETRY_NS;
            return;
        }
        c->in_use = false;
        answer(c, h, result->rc);
        return;
    }
}

void rpc_step(struct host *h)
{
    struct letter *l;
    while ((l = channel_take(h->world, &h->channels[CONS_TO_RPC])) != NULL) {
        if (l->type == MSG_COMMIT_RESULT)
            take_result(h, l->request_id, (const struct msg_commit_result *)(const void *)l->body);
        else if (l->type == MSG_MEMBER_RESULT)
            operator_answer(h, l->request_id, (const struct msg_member_result *)(const void *)l->body);
        letter_free(l);
    }
    for (unsigned i = 0; i < COMMITS_MAX; i++) {
        struct rpc_commit *c = &h->commits[i];
        if (!c->in_use || c->arrive_ms > h->world->now_ms)
            continue;
        if (c->first_ns == 0) {
            c->first_ns = now_ns(h);
            c->deadline_ns = c->first_ns + COMMIT_TIMEOUT_NS;
            c->hold_until_ns = c->first_ns + COMMIT_HOLD_NS;
        }
        if (!c->is_sent)
            step(h, c);
        else if (now_ns(h) >= c->deadline_ns)
            answer(c, h, OC_EDEADLINE);
    }
}
