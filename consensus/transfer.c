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

struct transfer {
    struct node *node;
    bool in_use;
    uint64_t request_id, deadline_ns;
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

void transfer_request(struct transfer *t, const struct chan_msg *msg)
{
    struct msg_transfer req;
    char text[TEXT_SIZE];
    uint64_t id;
    memcpy(&req, msg->body, sizeof req);
    req.target_id[SERVER_ID_SIZE - 1] = '\0';
    int rc = find_target(t, &req, &id, text, sizeof text);
    if (rc == 0 && t->in_use)
        rc = OC_ETRANSFER;
    if (rc == 0)
        rc = driver_transfer(t->node->driver, clock_mono_ms(), id, id != 0 && req.asked != 0);
    else if (rc != OC_ETRANSFER) {
        answer(t, msg->request_id, rc, text, 0);
        return;
    }
    if (rc) {
        answer(t, msg->request_id, rc, NULL, 0);
        return;
    }
    LOG_INFO("Transferring leadership", LOG_S("to", req.target_id[0] ? req.target_id : "the most up-to-date voter"));
    t->in_use = true;
    t->request_id = msg->request_id;
    t->deadline_ns =
        clock_mono_ns() + (req.timeout_ms ? req.timeout_ms : TRANSFER_TIMEOUT_DEFAULT_MS) * UINT64_C(1000000);
}

void transfer_on_view(struct transfer *t, const struct driver_view *view)
{
    if (!t->in_use)
        return;
    if (view->state == RAFT_ROLE_STOPPED) {
        t->in_use = false;
        answer(t, t->request_id, OC_ESHUTDOWN, NULL, 0);
    } else if (view->state != RAFT_ROLE_LEADER && view->leader_id && view->leader_id != t->node->raft_id) {
        t->in_use = false;
        answer(t, t->request_id, 0, NULL, view->leader_id);
    } else if (view->state == RAFT_ROLE_LEADER && !view->transferring) {
        t->in_use = false; /* the target did not take over in time, and requests are taken again */
        answer(t, t->request_id, OC_EDEADLINE, "leadership transfer timeout", 0);
    }
}

void transfer_tick(struct transfer *t, uint64_t now_ns)
{
    if (!t->in_use || now_ns < t->deadline_ns)
        return;
    t->in_use = false;
    answer(t, t->request_id, OC_EDEADLINE, "leadership transfer timeout", 0);
}

uint64_t transfer_deadline_ns(const struct transfer *t)
{
    return t->in_use ? t->deadline_ns : UINT64_MAX;
}
