/* Starting or adopting a sequencer, and the permits that follow from it. */
#include "supervisor/conductor_ops.h"

#include "shared/base/err.h"

#include <string.h>

#define EXPORT_TIMEOUT_NS (2000 * MS_NS)
/* Posting what is missing and waiting for op-node to adopt it. */
#define TAKEOVER_TIMEOUT_NS (2000 * MS_NS)
#define TAKEOVER_PER_PAYLOAD_NS (100 * MS_NS)
#define START_BACKOFF_MAX_MS 1000
#define GIVEN_BACK_NS (2500 * MS_NS)

/* ---- permits ---- */

void op_grant_permit(struct conductor *c, const struct block_id *head, uint64_t looked_ns)
{
    struct msg_permit permit = {.term = c->lead.term,
                                .node_incarnation = c->node_incarnation,
                                .verb = PERMIT_GRANTED,
                                .looked_mono_ns = looked_ns,
                                .head = *head};

    if (conductor_send(c, ROLE_CONSENSUS, MSG_PERMIT, 0, &permit, -1) == 0)
        c->permitted = true;
    c->suspended = false;
}

void op_withdraw_permit(struct conductor *c)
{
    struct msg_permit permit = {.term = c->lead.term, .node_incarnation = c->node_incarnation};

    if (c->permitted || c->suspended)
        (void)conductor_send(c, ROLE_CONSENSUS, MSG_PERMIT, 0, &permit, -1);
    c->permitted = c->suspended = c->must_adopt = false;
}

void op_suspend_permit(struct conductor *c, const char *why)
{
    struct msg_permit permit = {
        .term = c->lead.term, .node_incarnation = c->node_incarnation, .verb = PERMIT_SUSPENDED};

    if (!c->permitted)
        return;
    LOG_WARN("op-node is not trusted to replace blocks until it has the consensus head again", LOG_S("reason", why));
    (void)conductor_send(c, ROLE_CONSENSUS, MSG_PERMIT, 0, &permit, -1);
    c->permitted = false;
    c->suspended = true;
}

/* ---- start and adopt ---- */

void op_start_failed(struct conductor *c, bool counts, const char *err)
{
    bool adopt = c->op.adopt;

    story_sequencer(c, adopt ? FLIGHT_SEQ_ADOPT : FLIGHT_SEQ_START, err);
    c->op.kind = CONTROL_OP_NONE;
    /* Without a failure to count, 100 ms is enough: something else will change. */
    if (counts)
        c->start_failures++;
    c->start_retry_ns =
        c->now_ns + control_backoff_ms(c->start_failures + c->ahead_failures, START_BACKOFF_MAX_MS) * MS_NS;
    op_log_retry(c, adopt ? "adopt sequencer" : "start sequencer", err);
}

void op_begin_start(struct conductor *c, bool adopt)
{
    struct msg_export body = {.deadline_mono_ns = c->now_ns + EXPORT_TIMEOUT_NS};
    const struct block_id *node = &c->health.unsafe_head;
    int rc;

    if (c->health_seen && c->health.node_reachable) {
        const struct block_id *head = &c->lead.head;
        bool forked =
            c->lead.head_valid && node->number == head->number && memcmp(node->hash, head->hash, HASH_SIZE) != 0;

        /* Another block at the head's height: op-node needs ours posted as well. */
        body.above_number = forked && node->number > 0 ? node->number - 1 : node->number;
    }
    /* What was known of op-node before it left those blocks no longer holds. */
    if (c->must_adopt && c->conflict_from <= body.above_number)
        body.above_number = c->conflict_from > 0 ? c->conflict_from - 1 : 0;
    op_begin(c, CONTROL_OP_START, ORIGIN_CONTROL);
    c->op.adopt = adopt;
    c->op.step = STEP_EXPORT;
    c->op.request_id = c->next_request_id++;
    c->op.deadline_ns = body.deadline_mono_ns + OP_GRACE_NS;
    if (!adopt)
        LOG_INFO("starting sequencer", LOG_S("server", c->opts->server_id), LOG_B("leader", c->leader),
                 LOG_B("healthy", c->verdict), LOG_B("active", c->active == NODE_YES));
    rc = conductor_send(c, ROLE_CONSENSUS, MSG_EXPORT, c->op.request_id, &body, -1);
    if (rc != 0)
        op_start_failed(c, false, err_text(rc));
}

void op_on_export_result(struct conductor *c, struct chan_msg *msg)
{
    const struct msg_export_result *res = msg->body;
    struct msg_node_cmd cmd = {.deadline_mono_ns = c->now_ns + TAKEOVER_TIMEOUT_NS};
    uint64_t payloads = res->record_count < c->opts->window_payloads ? res->record_count : c->opts->window_payloads;
    int rc = res->rc;

    if (!op_is_waiting(c, STEP_EXPORT, msg->request_id))
        return;
    if (rc == 0 && res->term != c->lead.term)
        rc = OC_ESTALE;
    if (rc != 0) {
        op_start_failed(c, rc != OC_ENOTLEADER && rc != OC_ETRANSFER && rc != OC_ESTALE, err_text(rc));
        return;
    }
    cmd.deadline_mono_ns += payloads * TAKEOVER_PER_PAYLOAD_NS;
    cmd.verb = c->op.adopt ? NODE_CMD_ADOPT : NODE_CMD_TAKEOVER;
    cmd.head_valid = res->head_valid;
    cmd.head = res->head;
    cmd.record_count = msg->fd >= 0 ? res->record_count : 0;
    c->op.step = STEP_NODE;
    c->op.request_id = c->next_request_id++;
    c->op.deadline_ns = cmd.deadline_mono_ns + OP_GRACE_NS;
    rc = conductor_send(c, ROLE_HEALTHD, MSG_NODE_CMD, c->op.request_id, &cmd, msg->fd);
    if (rc != 0)
        op_start_failed(c, false, err_text(rc));
}

/* The chain went on without consensus. It is adopted when a majority reports the same head; this only
 * retries until then, or until leadership goes to a node that is not ahead. */
static void note_ahead(struct conductor *c, const struct msg_node_result *res)
{
    if (c->ahead_failures++ == 0)
        LOG_WARN("op-node is ahead of the consensus head: it is adopted when a majority of the voters has it, or with "
                 "`conductorctl adopt-head`",
                 LOG_U("number", res->head.number), LOG_HASH("hash", res->head.hash),
                 LOG_U("consensus", c->lead.head.number));
}

/* op-node was seen on the consensus head. If it was just given back what it had left, it is left alone for a
 * while: should it leave that again, its next payload tells so, and not we by posting it all once more. */
static void grant_after_look(struct conductor *c, const struct block_id *head)
{
    if (c->must_adopt && c->op.begun_ns < c->conflict_ns)
        return; /* the look began before the payload was refused: another one follows */
    if (c->must_adopt && c->op.adopt)
        c->start_retry_ns = c->now_ns + GIVEN_BACK_NS;
    c->must_adopt = false;
    op_grant_permit(c, head, c->op.begun_ns);
}

void op_start_done(struct conductor *c, const struct msg_node_result *res)
{
    bool adopt = c->op.adopt;
    /* A paused leader's time counts from when it was resumed. */
    uint64_t since_ns = c->resumed_ns > c->leader_changed_ns ? c->resumed_ns : c->leader_changed_ns;
    /* A sequencer that runs on commits while it is looked at: the head it has now may be the consensus
     * head of now, though not the one that was exported. */
    bool moved_on = adopt && res->rc == NODE_AHEAD && c->lead.head_valid &&
                    memcmp(&c->lead.head, &res->head, sizeof res->head) == 0;

    if (res->rc != NODE_OK && res->rc != NODE_ALREADY && !moved_on) {
        /* A call that got no answer may have started it all the same. */
        if (!adopt && c->active == NODE_DONT_KNOW)
            c->maybe_active = true;
        if (res->rc == NODE_AHEAD)
            note_ahead(c, res);
        op_start_failed(c, res->rc != NODE_AHEAD, op_result_text(res));
        return;
    }
    story_sequencer(c, adopt ? FLIGHT_SEQ_ADOPT : FLIGHT_SEQ_START, NULL);
    c->op.kind = CONTROL_OP_NONE;
    c->active = NODE_YES;
    c->maybe_active = true;
    c->start_failures = c->ahead_failures = 0;
    c->start_retry_ns = 0;
    c->progress_ns = c->now_ns;
    c->started_ns = c->now_ns;
    c->checked_since = false;
    grant_after_look(c, &res->head);
    if (adopt) {
        LOG_INFO("sequencer runs already on the consensus head", LOG_S("server", c->opts->server_id),
                 LOG_U("number", res->head.number), LOG_HASH("hash", res->head.hash),
                 LOG_U("posted", res->posted_count));
        return;
    }
    if (res->rc == NODE_OK)
        c->status.starts_ok_total++;
    else
        c->status.starts_already_total++;
    c->status.last_handover_us = (c->now_ns - since_ns) / 1000;
    page_histogram_add(&c->status.handovers, c->status.last_handover_us);
    c->status.last_handover_wall_ms = c->io.wall_ms(c->io.ctx);
    LOG_INFO(res->rc == NODE_OK ? "started sequencer" : "sequencer was already running",
             LOG_S("server", c->opts->server_id), LOG_U("number", res->head.number), LOG_HASH("hash", res->head.hash),
             LOG_U("posted", res->posted_count), LOG_U("took_us", res->duration_us));
}
