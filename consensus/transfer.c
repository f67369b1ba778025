/* Leadership transfer (see transfer.h). */
#include "consensus/transfer.h"

#include "consensus/identity.h"
#include "consensus/link.h"
#include "consensus/node.h"
#include "shared/base/clock.h"
#include "shared/base/err.h"
#include "shared/base/log.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define TRANSFER_TIMEOUT_DEFAULT_MS 1000
#define TRY_AGAIN_MS 10
#define TIMEOUT_TEXT "leadership transfer timeout"

struct transfer {
    struct node *node;
    bool in_use, is_begun; /* begun: the core is at it */
    bool asked;            /* an operator named the target */
    uint64_t target_id;    /* 0: the most up-to-date voter */
    uint64_t request_id, deadline_ns;
    uint64_t begin_by_ns, try_ns; /* while not begun */
};

struct transfer *transfer_new(struct node *n)
{
    struct transfer *t = calloc(1, sizeof *t);
    if (t)
        t->node = n;
    return t;
}

void transfer_free(struct transfer *t)
{
    free(t);
}

static void answer(struct transfer *t, uint64_t request_id, int rc, const char *text, uint64_t leader_id)
{
    struct msg_transfer_result result = {.rc = rc};
    if (rc)
        snprintf(result.text, sizeof result.text, "%s", text ? text : err_text(rc));
    else
        node_server_name(t->node, leader_id, result.new_leader_id);
    link_send_supervisor(t->node->link, MSG_TRANSFER_RESULT, request_id, &result, -1);
}

/* Which member is meant, with upstream's texts for what is not possible. */
static int find_target(struct transfer *t, const struct msg_transfer *req, uint64_t *ret_id, char *text, size_t size)
{
    const struct membership *m = node_membership(t->node);
    *ret_id = 0;
    if (strncmp(req->target_id, t->node->config.common.server_id, SERVER_ID_SIZE) == 0) {
        snprintf(text, size, "cannot transfer leadership to itself");
        return OC_ERANGE;
    }
    int rc = node_check_leader(t->node);
    if (rc) {
        snprintf(text, size, "%s", err_text(rc));
        return rc;
    }
    if (req->target_id[0]) {
        const struct member *target = identity_find_name(m, req->target_id);
        if (!target || target->role != MEMBER_VOTER) {
            snprintf(text, size, "cannot find replication state for %s", req->target_id);
            return OC_EUNKNOWN;
        }
        *ret_id = target->id;
        return 0;
    }
    for (unsigned i = 0; i < m->count; i++)
        if (m->members[i].role == MEMBER_VOTER && m->members[i].id != t->node->raft_id)
            return 0;
    snprintf(text, size, "cannot find peer");
    return OC_EUNKNOWN;
}

static void finish(struct transfer *t, int rc, const char *text, uint64_t leader_id)
{
    t->in_use = false;
    answer(t, t->request_id, rc, text, leader_id);
}

/* The core tells its target once, and an election timeout later it gives up. A target that was just restarted heeds
 * that only when it has heard of its leader. */
static void try_begin(struct transfer *t, uint64_t now_ns)
{
    t->try_ns = now_ns + TRY_AGAIN_MS * UINT64_C(1000000);
    if (t->target_id && node_check_leader(t->node) == 0 && !driver_is_followed_by(t->node->driver, t->target_id))
        return;
    int rc = driver_transfer(t->node->driver, now_ns / 1000000, t->target_id, t->asked);
    if (rc)
        finish(t, rc, NULL, 0);
    else
        t->is_begun = true;
}

void transfer_request(struct transfer *t, const struct chan_msg *msg)
{
    struct msg_transfer req;
    char text[TEXT_SIZE];
    uint64_t id, now_ns = clock_mono_ns();
    memcpy(&req, msg->body, sizeof req);
    req.target_id[SERVER_ID_SIZE - 1] = '\0';
    int rc = find_target(t, &req, &id, text, sizeof text);
    if (rc) {
        answer(t, msg->request_id, rc, text, 0);
        return;
    }
    if (t->in_use) {
        answer(t, msg->request_id, OC_ETRANSFER, NULL, 0);
        return;
    }
    LOG_INFO("Transferring leadership", LOG_S("to", req.target_id[0] ? req.target_id : "the most up-to-date voter"));
    t->in_use = true;
    t->is_begun = false;
    t->target_id = id;
    t->asked = id && req.asked;
    t->request_id = msg->request_id;
    t->deadline_ns = now_ns + (req.timeout_ms ? req.timeout_ms : TRANSFER_TIMEOUT_DEFAULT_MS) * UINT64_C(1000000);
    /* Nobody waits for a target that control chose: it had better choose another one. */
    t->begin_by_ns = t->asked ? t->deadline_ns : now_ns + t->node->config.election_timeout_ms * UINT64_C(1000000);
    try_begin(t, now_ns);
}

void transfer_on_view(struct transfer *t, const struct driver_view *view)
{
    if (!t->in_use)
        return;
    if (view->state == RAFT_ROLE_STOPPED) {
        finish(t, OC_ESHUTDOWN, NULL, 0);
    } else if (view->state != RAFT_ROLE_LEADER && view->leader_id && view->leader_id != t->node->raft_id) {
        finish(t, 0, NULL, view->leader_id);
    } else if (view->state == RAFT_ROLE_LEADER && t->is_begun && !view->transferring) {
        /* The target did not take over in time; requests are taken again. */
        if (!t->asked) {
            finish(t, OC_EDEADLINE, TIMEOUT_TEXT, 0);
            return;
        }
        t->is_begun = false;
        t->try_ns = clock_mono_ns() + TRY_AGAIN_MS * UINT64_C(1000000);
    }
}

void transfer_tick(struct transfer *t, uint64_t now_ns)
{
    if (!t->in_use)
        return;
    if (now_ns >= t->deadline_ns || (!t->is_begun && now_ns >= t->begin_by_ns))
        finish(t, OC_EDEADLINE, TIMEOUT_TEXT, 0);
    else if (!t->is_begun && now_ns >= t->try_ns)
        try_begin(t, now_ns);
}

uint64_t transfer_deadline_ns(const struct transfer *t)
{
    if (!t->in_use)
        return UINT64_MAX;
    return !t->is_begun && t->try_ns < t->deadline_ns ? t->try_ns : t->deadline_ns;
}
