/* The commit path (see commit.h). */
#include "consensus/commit.h"

#include "consensus/judge.h"
#include "consensus/link.h"
#include "consensus/node.h"
#include "consensus/outlook.h"
#include "consensus/proposal.h"
#include "shared/base/clock.h"
#include "shared/base/err.h"
#include "shared/base/fd.h"
#include "shared/base/log.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct pending {
    bool in_use;
    bool same; /* the block is there already: waits for a barrier */
    uint64_t request_id;
    uint64_t index, term;
    uint64_t deadline_ns;
    struct block_id block;
    struct commit_stamps stamps;
};

struct commits {
    struct node *node;
    struct pending pending[COMMITS_IN_FLIGHT_MAX];
    struct ackbook ackbook;
    struct judge_permit permit;
    struct judge_conflict conflict;
    struct commit_counts counts;
    struct outlook outlook; /* scratch */
};

struct commits *commits_new(struct node *n)
{
    struct commits *c = calloc(1, sizeof *c);
    if (!c)
        return NULL;
    c->node = n;
    ackbook_init(&c->ackbook);
    return c;
}

void commits_free(struct commits *c)
{
    free(c);
}

struct commit_counts commits_counts(const struct commits *c)
{
    return c->counts;
}

/* ---- answers ---- */

static void send_result(struct commits *c, const struct pending *p, int rc, const char *text)
{
    struct msg_commit_result result = {.rc = rc, .index = rc ? 0 : p->index, .stamps = p->stamps};
    struct block_id head;
    if (c->node->window && window_head(c->node->window, &head)) {
        result.head_valid = 1;
        result.head = head;
    }
    if (rc) {
        snprintf(result.text, sizeof result.text, "%s", text ? text : err_text(rc));
        c->counts.failed_total++;
    } else {
        c->counts.ok_total++;
        c->counts.last_us = (p->stamps.applied - p->stamps.taken) / 1000;
    }
    link_send_rpcd(c->node->link, MSG_COMMIT_RESULT, p->request_id, &result, -1);
}

/* The book is written before the answer leaves. */
static void finish(struct commits *c, struct pending *p, int rc, const char *text)
{
    ackbook_answered(&c->ackbook, p->term, p->block.hash, rc == 0);
    p->in_use = false;
    send_result(c, p, rc, text);
}

void commits_drop_callers(struct commits *c)
{
    for (unsigned i = 0; i < COMMITS_IN_FLIGHT_MAX; i++) {
        struct pending *p = &c->pending[i];
        if (!p->in_use)
            continue;
        ackbook_answered(&c->ackbook, p->term, p->block.hash, false);
        p->in_use = false;
    }
}

void commits_set_permit(struct commits *c, const struct msg_permit *permit)
{
    judge_note_permit(&c->permit, &c->conflict, permit, clock_mono_ns());
}

/* ---- progress of what was proposed ---- */

void commits_on_durable(struct commits *c, uint64_t index)
{
    uint64_t now = clock_mono_ns();
    for (unsigned i = 0; i < COMMITS_IN_FLIGHT_MAX; i++) {
        struct pending *p = &c->pending[i];
        if (p->in_use && p->index <= index && !p->stamps.leader_durable)
            p->stamps.leader_durable = now;
    }
}

void commits_on_applied(struct commits *c, uint64_t index, uint64_t term, enum window_result result, uint64_t quorum_ns)
{
    uint64_t now = clock_mono_ns();
    for (unsigned i = 0; i < COMMITS_IN_FLIGHT_MAX; i++) {
        struct pending *p = &c->pending[i];
        if (!p->in_use || p->index != index)
            continue;
        p->stamps.quorum = quorum_ns;
        p->stamps.applied = now;
        if (p->term != term)
            finish(c, p, OC_ELOST, NULL);
        else if (p->same ? !window_find_hash(c->node->window, p->block.hash) : result != WINDOW_ACCEPTED)
            finish(c, p, OC_ECONFLICT, "the unsafe head moved before the payload was applied");
        else
            finish(c, p, 0, NULL);
    }
}

void commits_on_view(struct commits *c, const struct driver_view *view)
{
    for (unsigned i = 0; i < COMMITS_IN_FLIGHT_MAX; i++) {
        struct pending *p = &c->pending[i];
        if (p->in_use && (view->state != RAFT_ROLE_LEADER || view->term != p->term))
            finish(c, p, view->state == RAFT_ROLE_STOPPED ? OC_ESHUTDOWN : OC_ELOST, NULL);
    }
}

void commits_tick(struct commits *c, uint64_t now_ns)
{
    for (unsigned i = 0; i < COMMITS_IN_FLIGHT_MAX; i++)
        if (c->pending[i].in_use && now_ns >= c->pending[i].deadline_ns)
            finish(c, &c->pending[i], OC_EDEADLINE, "the payload was not committed before its deadline");
}

uint64_t commits_deadline_ns(const struct commits *c)
{
    uint64_t deadline = UINT64_MAX;
    for (unsigned i = 0; i < COMMITS_IN_FLIGHT_MAX; i++)
        if (c->pending[i].in_use && c->pending[i].deadline_ns < deadline)
            deadline = c->pending[i].deadline_ns;
    return deadline;
}

/* ---- a new request ---- */

/* Copies the record out of shared memory into an entry: only the copy is looked at. */
static int take_record(struct chan_msg *msg, const struct msg_commit *req, const struct ring_view *ring,
                       struct entry **ret_entry)
{
    uint64_t bytes;
    int rc;
    if (req->len < PAYLOAD_RECORD_HEADER_BYTES || req->len > ENTRY_PAYLOAD_MAX_BYTES)
        return OC_ERANGE;
    struct entry *e = proposal_entry_new(req->len);
    if (!e)
        return -ENOMEM;
    if (msg->fd >= 0) {
        rc = fd_check_sealed(msg->fd, F_SEAL_SHRINK, &bytes);
        if (rc == 0)
            rc = fd_pread_all(msg->fd, proposal_entry_record(e), req->len, 0);
    } else {
        rc = ring ? ring_view_copy(ring, req->offset, req->len, proposal_entry_record(e)) : OC_EPROTO;
    }
    if (rc) {
        entry_unref(e);
        return rc;
    }
    *ret_entry = e;
    return 0;
}

/* The supervisor posts back what op-node left, or sees that op-node is ahead. */
static void tell_conflict(struct commits *c, const struct judge_input *in, enum head_event kind)
{
    struct block_id head = {0};
    (void)tail_head(in->tail, &head);
    if (kind == HEAD_LEFT) {
        judge_note_conflict(&c->conflict, in->term, &head, clock_mono_ns());
        judge_note_refused(&c->conflict, in->block.hash);
    }
    LOG_WARN(kind == HEAD_AHEAD ? "op-node is ahead of the consensus head" : "op-node left blocks that consensus has",
             LOG_U("head", head.number), LOG_U("refused", in->block.number), LOG_HASH("hash", in->block.hash));
    outlook_tell(c->node, &c->outlook, kind, &in->block);
}

static void judge(struct commits *c, const struct payload_view *payload, uint64_t received_ns,
                  struct judge_verdict *verdict)
{
    struct driver_view view = node_view(c->node);
    struct judge_input in = {
        .term = view.term,
        .leader_ready = view.leader_ready,
        .transferring = view.transferring,
        .tail = &c->outlook.tail,
        .ackbook = &c->ackbook,
        .permit = c->permit,
        .conflict = c->conflict,
        .members = c->outlook.members,
        .received_ns = received_ns,
    };
    outlook_take(c->node, &c->outlook);
    in.member_count = c->outlook.member_count;
    in.block.number = payload->header.block_number;
    memcpy(in.block.hash, payload->header.block_hash, HASH_SIZE);
    memcpy(in.parent_hash, payload->header.parent_hash, HASH_SIZE);
    judge_payload(&in, verdict);
    if (verdict->answer == JUDGE_CONFLICT || verdict->answer == JUDGE_GAP)
        tell_conflict(c, &in, verdict->answer == JUDGE_GAP ? HEAD_AHEAD : HEAD_LEFT);
    if (verdict->answer == JUDGE_GAP)
        (void)outlook_adopt_head(c->node, &c->outlook); /* op-node's next try may fit */
    if (verdict->answer == JUDGE_REPLACE_ACKED) {
        judge_note_given_up(&c->conflict, in.tail, verdict->proposal.truncate_height);
        outlook_tell(c->node, &c->outlook, HEAD_REPLACED, &in.block);
        LOG_WARN("Replacing acknowledged blocks: op-node abandoned them again after it was given them",
                 LOG_U("from_height", verdict->proposal.truncate_height), LOG_HASH("new_head", in.block.hash));
    }
}

/* Proposes the entry, or the barrier that a known block needs. */
static int propose(struct commits *c, struct pending *p, struct judge_verdict *verdict, struct entry **e)
{
    struct driver *d = c->node->driver;
    uint64_t now = clock_mono_ms();
    int rc;
    p->same = verdict->answer == JUDGE_SAME;
    if (p->same) {
        rc = driver_barrier(d, now, &p->index, &p->term);
        if (rc == 0) /* until this caller is answered, the block may not be taken for never acknowledged */
            ackbook_asked_again(&c->ackbook, p->term, p->block.hash);
        return rc;
    }
    rc = node_propose(c->node, *e, &verdict->proposal, &p->index, &p->term);
    if (rc)
        return rc;
    *e = NULL; /* the log has it */
    ackbook_proposed(&c->ackbook, p->term, p->block.hash);
    return 0;
}

static struct pending *find_free(struct commits *c)
{
    for (unsigned i = 0; i < COMMITS_IN_FLIGHT_MAX; i++)
        if (!c->pending[i].in_use)
            return &c->pending[i];
    return NULL;
}

void commits_request(struct commits *c, struct chan_msg *msg, const struct ring_view *ring)
{
    struct msg_commit req;
    struct pending refused = {.request_id = msg->request_id}, *p = find_free(c);
    struct entry *e = NULL;
    struct payload_view view;
    struct judge_verdict verdict = {.rc = 0};
    uint64_t now = clock_mono_ns();
    const char *text = NULL;
    int rc = node_check_leader(c->node);
    if (rc == 0 && !node_view(c->node).leader_ready)
        rc = OC_ETRANSFER; /* leads, but not ready yet: worth waiting for */
    memcpy(&req, msg->body, sizeof req);
    refused.stamps = req.stamps;
    if (rc)
        goto out;
    rc = OC_EFULL;
    if (!p)
        goto out;
    rc = OC_EDEADLINE;
    if (now >= req.deadline_mono_ns)
        goto out;
    rc = take_record(msg, &req, ring, &e);
    if (rc)
        goto out;
    rc = payload_view_parse(proposal_entry_record(e), proposal_entry_record_len(e), &view);
    if (rc)
        goto out;
    judge(c, &view, req.stamps.first_byte && req.stamps.first_byte < now ? req.stamps.first_byte : now, &verdict);
    rc = verdict.rc;
    text = verdict.text;
    if (rc)
        goto out;
    *p = (struct pending){.request_id = msg->request_id, .deadline_ns = req.deadline_mono_ns, .stamps = req.stamps};
    p->block.number = view.header.block_number;
    memcpy(p->block.hash, view.header.block_hash, HASH_SIZE);
    p->stamps.taken = now;
    text = NULL;
    rc = propose(c, p, &verdict, &e);
    if (rc == 0) {
        p->in_use = true;
        p->stamps.proposed = clock_mono_ns();
    }
out:
    entry_unref(e);
    fd_close(&msg->fd);
    if (rc)
        send_result(c, &refused, rc, text);
}
