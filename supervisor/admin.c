/* What operators ask for: pause, resume, stop, override, transfer, op-node and workers. Nothing here
 * waits for the control loop; what needs time is answered when its operation ends. */
#include "supervisor/conductor_internal.h"

#include "shared/base/err.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

/* Answers; whoever asks afterwards must see the new state, so the page goes first. */
static void reply(struct conductor *c, uint64_t request_id, int rc, const char *text)
{
    struct msg_admin_result res = {.rc = rc};

    snprintf(res.text, sizeof res.text, "%s", rc == 0 ? "" : text);
    if (rc != 0)
        story_refusal(c, rc, text);
    conductor_publish(c);
    (void)conductor_send(c, ROLE_RPCD, MSG_ADMIN_RESULT, request_id, &res, -1);
}

/* The io of an op-node verb. */
static int node_verb(struct conductor *c, uint32_t verb)
{
    int rc = verb == ADMIN_NODE_STOP ? c->io.node_stop(c->io.ctx) : c->io.node_restart(c->io.ctx);

    /* Nothing is started on it any more; the loop tells when it is really down, and up again. */
    if (rc == 0 && c->node_up) {
        c->node_up = false;
        c->active = NODE_NO;
        c->maybe_active = false;
    }
    return rc;
}

void admin_finish(struct conductor *c, uint32_t verb, uint64_t request_id, int rc, const char *text)
{
    struct msg_empty empty = {0};

    switch (verb) {
    case ADMIN_STOP:
        c->stopped = true;
        (void)conductor_send(c, ROLE_CONSENSUS, MSG_STOP_RAFT, 0, &empty, -1);
        LOG_INFO("OpConductor stopped", LOG_S("server", c->opts->server_id));
        reply(c, request_id, 0, "");
        return;
    case ADMIN_NODE_STOP:
    case ADMIN_NODE_RESTART:
        rc = node_verb(c, verb);
        reply(c, request_id, rc, err_text(rc));
        return;
    default:
        reply(c, request_id, rc, *text != '\0' ? text : err_text(rc));
    }
}

static void admin_pause(struct conductor *c, uint64_t request_id)
{
    if (!c->paused)
        LOG_INFO("OpConductor has been paused", LOG_S("server", c->opts->server_id));
    c->paused = true;
    /* Until its result comes an export has changed nothing; what healthd has begun is left to end. */
    if (c->op.kind == CONTROL_OP_START && c->op.step == STEP_EXPORT)
        op_abandon(c, OC_ESHUTDOWN);
    reply(c, request_id, 0, "");
}

static void admin_resume(struct conductor *c, uint64_t request_id)
{
    struct msg_empty empty = {0};
    struct msg_node_cmd check = {.verb = NODE_CMD_CHECK, .deadline_mono_ns = c->now_ns + 2000 * MS_NS};

    if (c->paused)
        LOG_INFO("OpConductor has been resumed", LOG_S("server", c->opts->server_id));
    c->paused = false;
    c->resumed_ns = c->now_ns;
    c->hold_released = true;
    if (c->lead.fresh_bootstrap)
        (void)conductor_send(c, ROLE_CONSENSUS, MSG_RELEASE_HOLD, 0, &empty, -1);
    /* An operator may have started or stopped the sequencer meanwhile. */
    (void)conductor_send(c, ROLE_HEALTHD, MSG_NODE_CMD, c->next_request_id++, &check, -1);
    c->start_failures = 0;
    c->start_retry_ns = c->stop_retry_ns = c->transfer_retry_ns = 0;
    reply(c, request_id, 0, "");
}

/* Whether it could be given leadership at all: asked before a sequencer is stopped for it. */
static bool is_other_voter(const struct conductor *c, const char *id)
{
    for (uint64_t i = 0; i < c->view.server_count && i < CLUSTER_SERVERS_MAX; i++)
        if (strcmp(c->view.servers[i].id, id) == 0)
            return c->view.servers[i].suffrage == 0;
    return false;
}

static void admin_transfer(struct conductor *c, const struct msg_admin *a, uint64_t request_id, bool to_server)
{
    struct msg_transfer target = {0};
    char text[TEXT_SIZE];

    if (to_server && strcmp(a->id, c->opts->server_id) == 0) {
        reply(c, request_id, -EINVAL, "cannot transfer leadership to itself");
        return;
    }
    if (!c->leader) {
        reply(c, request_id, to_server ? OC_ENOTLEADER : 0, err_text(OC_ENOTLEADER));
        return;
    }
    if (c->op.kind == CONTROL_OP_HANDOVER) {
        reply(c, request_id, OC_ETRANSFER, err_text(OC_ETRANSFER));
        return;
    }
    conductor_refresh_view(c);
    if (c->view_valid && to_server && !is_other_voter(c, a->id)) {
        snprintf(text, sizeof text, "cannot find replication state for %.200s", a->id);
        reply(c, request_id, OC_EUNKNOWN, text);
        return;
    }
    if (c->view_valid && c->view.server_count < 2) {
        reply(c, request_id, OC_EUNKNOWN, "cannot find peer");
        return;
    }
    if (to_server) {
        snprintf(target.target_id, sizeof target.target_id, "%s", a->id);
        snprintf(target.target_addr, sizeof target.target_addr, "%s", a->addr);
        target.asked = 1;
    } else {
        /* Nobody known to be able: consensus picks the most up-to-date voter, as upstream does. */
        (void)conductor_choose(c, &target);
    }
    op_begin_handover(c, ORIGIN_TRANSFER, &target, a->verb, request_id);
}

/* op-node stops or the conductor leaves: give leadership to the best voter first, if there is one. */
static void leave(struct conductor *c, enum op_origin origin, uint32_t verb, uint64_t request_id)
{
    struct msg_transfer target = {0};
    bool with_target = !c->paused && c->leader && conductor_choose(c, &target) != CONTROL_TARGET_NONE;

    if (c->op.kind == CONTROL_OP_HANDOVER && c->op.origin != ORIGIN_CONTROL) {
        reply(c, request_id, OC_ETRANSFER, err_text(OC_ETRANSFER));
        return;
    }
    if (c->paused) {
        admin_finish(c, verb, request_id, 0, "");
        return;
    }
    op_begin_handover(c, origin, with_target ? &target : NULL, verb, request_id);
}

static void admin_node(struct conductor *c, uint32_t verb, uint64_t request_id)
{
    int rc;

    if (!conductor_node_managed(c)) {
        reply(c, request_id, -ENOTSUP,
              "op-node is not managed by this op-conductor: run it with `op-conductor … -- op-node …`");
        return;
    }
    if (verb == ADMIN_NODE_START) {
        rc = c->io.node_start(c->io.ctx);
        reply(c, request_id, rc, err_text(rc));
        return;
    }
    leave(c, ORIGIN_NODE, verb, request_id);
}

static void admin_restart_worker(struct conductor *c, const char *name, uint64_t request_id)
{
    static const enum proc_role roles[] = {ROLE_CONSENSUS, ROLE_HEALTHD, ROLE_RPCD};

    for (size_t i = 0; i < sizeof roles / sizeof roles[0]; i++) {
        int rc;

        if (strcmp(name, proc_role_name(roles[i])) != 0)
            continue;
        /* The answer to a restart of rpcd has to leave before rpcd does. */
        if (roles[i] == ROLE_RPCD) {
            reply(c, request_id, 0, "");
            (void)c->io.worker_restart(c->io.ctx, roles[i]);
            return;
        }
        rc = c->io.worker_restart(c->io.ctx, roles[i]);
        reply(c, request_id, rc, err_text(rc));
        return;
    }
    reply(c, request_id, -EINVAL, "no such worker: want consensus, healthd or rpcd");
}

int admin_on_message(struct conductor *c, const struct chan_msg *msg)
{
    struct msg_admin a = *(const struct msg_admin *)msg->body;

    a.id[SERVER_ID_SIZE - 1] = '\0';
    a.addr[SERVER_ADDR_SIZE - 1] = '\0';
    story_request(c, &a);
    if (c->leaving) {
        reply(c, msg->request_id, OC_ESHUTDOWN, "op-conductor is shutting down");
        return 0;
    }
    switch (a.verb) {
    case ADMIN_PAUSE:
        admin_pause(c, msg->request_id);
        return 0;
    case ADMIN_RESUME:
        admin_resume(c, msg->request_id);
        return 0;
    case ADMIN_STOP:
        if (c->stopped) {
            reply(c, msg->request_id, 0, "");
        } else {
            LOG_INFO("stopping OpConductor", LOG_S("server", c->opts->server_id), LOG_B("leader", c->leader));
            leave(c, ORIGIN_STOP, a.verb, msg->request_id);
        }
        return 0;
    case ADMIN_OVERRIDE:
        c->overridden = a.flag != 0;
        LOG_INFO("leader override changed", LOG_S("server", c->opts->server_id), LOG_B("override", c->overridden));
        reply(c, msg->request_id, 0, "");
        return 0;
    case ADMIN_TRANSFER:
    case ADMIN_TRANSFER_TO:
        admin_transfer(c, &a, msg->request_id, a.verb == ADMIN_TRANSFER_TO);
        return 0;
    case ADMIN_NODE_START:
    case ADMIN_NODE_STOP:
    case ADMIN_NODE_RESTART:
        admin_node(c, a.verb, msg->request_id);
        return 0;
    case ADMIN_RESTART_WORKER:
        admin_restart_worker(c, a.id, msg->request_id);
        return 0;
    default:
        reply(c, msg->request_id, -EINVAL, "unknown request");
        return 0;
    }
}
