/* Heads by an operator's word (see adopt.h). */
#include "consensus/adopt.h"

#include "consensus/link.h"
#include "consensus/node.h"
#include "consensus/outlook.h"
#include "shared/base/err.h"
#include "shared/base/log.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct adopts {
    struct node *node;
    struct outlook outlook; /* scratch */
    bool in_use;
    uint64_t request_id, index, term, deadline_ns;
};

struct adopts *adopts_new(struct node *n)
{
    struct adopts *a = calloc(1, sizeof *a);
    if (a)
        a->node = n;
    return a;
}

void adopts_free(struct adopts *a)
{
    free(a);
}

static void send_answer(struct adopts *a, uint64_t request_id, int rc, const char *text)
{
    struct msg_member_result result = {.rc = rc, .version = node_membership(a->node)->index};
    snprintf(result.text, sizeof result.text, "%s", rc == 0 ? "" : text && *text ? text : err_text(rc));
    link_send_rpcd(a->node->link, MSG_MEMBER_RESULT, request_id, &result, -1);
}

static void finish(struct adopts *a, int rc, const char *text)
{
    a->in_use = false;
    send_answer(a, a->request_id, rc, text);
}

static bool is_reported(const struct outlook *o, const struct block_id *head)
{
    for (unsigned i = 0; i < o->member_count; i++)
        if (o->members[i].reported && o->members[i].head.number == head->number &&
            memcmp(o->members[i].head.hash, head->hash, HASH_SIZE) == 0)
            return true;
    return false;
}

void adopts_request(struct adopts *a, const struct chan_msg *msg)
{
    struct msg_adopt_head req;
    struct block_id head;
    char text[TEXT_SIZE] = "";
    int rc = node_check_leader(a->node);
    memcpy(&req, msg->body, sizeof req);
    if (rc == 0 && !node_view(a->node).leader_ready)
        rc = OC_ETRANSFER;
    if (rc == 0 && a->in_use)
        rc = OC_EFULL;
    if (rc)
        goto out;
    outlook_take(a->node, &a->outlook);
    if (tail_head(&a->outlook.tail, &head) && memcmp(&head, &req.head, sizeof head) == 0)
        goto out; /* it is */
    if (!is_reported(&a->outlook, &req.head)) {
        rc = OC_EUNKNOWN;
        snprintf(text, sizeof text,
                 "no member reports block %" PRIu64 " with that hash as its op-node's unsafe head (see conductorctl "
                 "status; it must not move meanwhile)",
                 req.head.number);
        goto out;
    }
    rc = outlook_propose_head(a->node, &a->outlook, &req.head, &a->index, &a->term);
    if (rc)
        goto out;
    LOG_WARN("An operator adopts a head that consensus does not have", LOG_U("number", req.head.number),
             LOG_HASH("hash", req.head.hash));
    a->in_use = true;
    a->request_id = msg->request_id;
    a->deadline_ns = req.deadline_mono_ns;
    return;
out:
    send_answer(a, msg->request_id, rc, text);
}

void adopts_drop_callers(struct adopts *a)
{
    a->in_use = false;
}

void adopts_on_applied(struct adopts *a, uint64_t index, uint64_t term, enum window_result result)
{
    if (!a->in_use || a->index != index)
        return;
    if (term != a->term)
        finish(a, OC_ELOST, NULL);
    else if (result != WINDOW_ACCEPTED)
        finish(a, OC_ECONFLICT, "the unsafe head moved meanwhile: look again");
    else
        finish(a, 0, NULL);
}

void adopts_on_view(struct adopts *a, const struct driver_view *view)
{
    if (a->in_use && (view->state != RAFT_ROLE_LEADER || view->term != a->term))
        finish(a, view->state == RAFT_ROLE_STOPPED ? OC_ESHUTDOWN : OC_ELOST, NULL);
}

void adopts_tick(struct adopts *a, uint64_t now_ns)
{
    if (a->in_use && now_ns >= a->deadline_ns)
        finish(a, OC_EDEADLINE, "timed out waiting for a majority to store it; it may still take effect");
}

uint64_t adopts_deadline_ns(const struct adopts *a)
{
    return a->in_use ? a->deadline_ns : UINT64_MAX;
}
