/* Stopping the sequencer and handing leadership over. */
#include "supervisor/conductor_ops.h"

#include "shared/base/err.h"

#include <string.h>

/* op-node finishes the block it is building first; before a handover it gets its block time and a bit. */
#define STOP_TIMEOUT_NS (3000 * MS_NS)
#define STOP_EXTRA_MS 500
#define TRANSFER_TIMEOUT_MS 1000
#define OTHER_TIMEOUT_NS (1500 * MS_NS)
#define STOP_BACKOFF_MAX_MS 2000
#define TRANSFER_BACKOFF_MAX_MS 10000
#define TARGET_FAILED_NS (10000 * MS_NS)

/* ---- stop ---- */

static int send_stop(struct conductor *c)
{
    struct msg_node_cmd cmd = {.verb = NODE_CMD_STOP, .deadline_mono_ns = c->now_ns + STOP_TIMEOUT_NS};
    uint64_t block_ns = (c->block_time_ms + STOP_EXTRA_MS) * MS_NS;

    if (c->op.kind == CONTROL_OP_HANDOVER && c->block_time_ms != 0 && block_ns < STOP_TIMEOUT_NS)
        cmd.deadline_mono_ns = c->now_ns + block_ns;
    LOG_INFO("stopping sequencer", LOG_S("server", c->opts->server_id), LOG_B("leader", c->leader),
             LOG_B("healthy", c->verdict), LOG_B("active", c->active == NODE_YES));
    c->op.step = STEP_NODE_STOP;
    c->op.request_id = c->next_request_id++;
    c->op.deadline_ns = cmd.deadline_mono_ns + OP_GRACE_NS;
    return conductor_send(c, ROLE_HEALTHD, MSG_NODE_CMD, c->op.request_id, &cmd, -1);
}

void op_stop_failed(struct conductor *c, const char *err)
{
    story_sequencer(c, FLIGHT_SEQ_STOP, err);
    c->op.kind = CONTROL_OP_NONE;
    c->stop_failures++;
    c->stop_retry_ns = c->now_ns + control_backoff_ms(c->stop_failures, STOP_BACKOFF_MAX_MS) * MS_NS;
    op_log_retry(c, "stop sequencer", err);
}

void op_begin_stop(struct conductor *c)
{
    int rc;

    /* A takeover that is cut off may still start the sequencer before the stop reaches op-node. */
    if (c->op.kind == CONTROL_OP_START && c->op.step == STEP_NODE)
        c->maybe_active = true;
    op_begin(c, CONTROL_OP_STOP, ORIGIN_CONTROL);
    rc = send_stop(c);
    if (rc != 0)
        op_stop_failed(c, err_text(rc));
}

bool op_note_stopped(struct conductor *c, const struct msg_node_result *res)
{
    if (res->rc != NODE_OK && res->rc != NODE_ALREADY)
        return false;
    story_sequencer(c, FLIGHT_SEQ_STOP, NULL);
    c->active = NODE_NO;
    c->maybe_active = false;
    c->stop_failures = 0;
    c->stop_retry_ns = 0;
    op_withdraw_permit(c);
    if (res->rc == NODE_OK)
        c->status.stops_ok_total++;
    else
        c->status.stops_already_total++;
    LOG_INFO("stopped sequencer", LOG_S("server", c->opts->server_id), LOG_HASH("hash", res->head.hash),
             LOG_U("took_us", res->duration_us));
    return true;
}

/* ---- handover ---- */

void op_finish(struct conductor *c, int rc, const char *text)
{
    struct operation op = c->op;

    c->op.kind = CONTROL_OP_NONE;
    switch (op.origin) {
    case ORIGIN_CONTROL:
        return;
    case ORIGIN_SHUTDOWN:
        if (!c->finished) {
            c->finished = true;
            c->io.stop_finished(c->io.ctx);
        }
        return;
    case ORIGIN_TRANSFER:
    case ORIGIN_NODE:
    case ORIGIN_STOP:
        admin_finish(c, op.admin_verb, op.admin_request_id, rc, text);
        return;
    }
}

/* Upstream's counter has only those that the loop decided. */
static void count_transfer(struct conductor *c, bool ok)
{
    struct page_supervisor *s = &c->status;
    bool decided = c->op.origin == ORIGIN_CONTROL;
    uint64_t *total = ok ? (decided ? &s->transfers_ok_total : &s->asked_transfers_ok_total)
                         : (decided ? &s->transfers_failed_total : &s->asked_transfers_failed_total);

    (*total)++;
}

static void transfer_succeeded(struct conductor *c)
{
    count_transfer(c, true);
    story_transfer(c, 0, "");
    c->transfer_failures = 0;
    c->transfer_retry_ns = 0;
    choose_forget_failure(&c->history, c->op.target.target_id);
    if (c->op.origin == ORIGIN_CONTROL) {
        c->transfer_spent = true;
        c->transfer_head_number = c->view.head_valid ? c->view.head.number : 0;
        c->hold_down_until_ns = c->now_ns + CONTROL_HOLD_DOWN_NS;
    }
    /* Before consensus says so itself, or sequencing would start here again in between. */
    event_set_leader(c, false);
    LOG_INFO("transferred leadership", LOG_S("server", c->opts->server_id), LOG_S("to", c->op.target.target_id),
             LOG_U("took_us", (c->now_ns - c->op.begun_ns) / 1000));
    if (c->op.origin == ORIGIN_SHUTDOWN || c->op.origin == ORIGIN_STOP) {
        c->op.step = STEP_OTHER;
        c->op.deadline_ns = c->now_ns + OTHER_TIMEOUT_NS;
        return;
    }
    op_finish(c, 0, "");
}

void op_transfer_failed(struct conductor *c, int rc, const char *text)
{
    count_transfer(c, false);
    story_transfer(c, rc, text);
    c->transfer_failures++;
    c->transfer_retry_ns = c->now_ns + control_backoff_ms(c->transfer_failures, TRANSFER_BACKOFF_MAX_MS) * MS_NS;
    if (*c->op.target.target_id != '\0')
        choose_note_failure(&c->history, c->op.target.target_id, c->now_ns + TARGET_FAILED_NS);
    op_log_retry(c, "transfer leadership", text);
    op_finish(c, rc, text);
}

void op_transfer(struct conductor *c)
{
    int rc;

    if (!c->op.with_target || !c->leader) {
        op_finish(c, 0, "");
        return;
    }
    c->op.step = STEP_TRANSFER;
    c->op.request_id = c->next_request_id++;
    c->op.target.timeout_ms = TRANSFER_TIMEOUT_MS;
    c->op.deadline_ns = c->now_ns + TRANSFER_TIMEOUT_MS * MS_NS + OP_GRACE_NS;
    LOG_INFO("transferring leadership", LOG_S("server", c->opts->server_id), LOG_S("to", c->op.target.target_id));
    rc = conductor_send(c, ROLE_CONSENSUS, MSG_TRANSFER, c->op.request_id, &c->op.target, -1);
    if (rc != 0)
        op_transfer_failed(c, rc, err_text(rc));
}

void op_begin_handover(struct conductor *c, enum op_origin origin, const struct msg_transfer *target,
                       uint32_t admin_verb, uint64_t admin_request_id)
{
    bool may_run = c->node_up && (c->active == NODE_YES || c->maybe_active);
    /* An op-node that answers nothing is not waited for; it is stopped when it answers again. */
    bool answers = !c->health_seen || c->health.node_reachable;

    if (c->op.kind == CONTROL_OP_START && c->op.step == STEP_NODE)
        may_run = true;
    if (c->op.kind == CONTROL_OP_HANDOVER && c->op.step == STEP_TRANSFER) {
        /* Consensus does one transfer at a time: the one under way serves the new purpose as well. */
        if (c->op.admin_verb != 0)
            admin_finish(c, 0, c->op.admin_request_id, OC_ETRANSFER, err_text(OC_ETRANSFER));
        c->op.origin = origin;
        c->op.admin_verb = admin_verb;
        c->op.admin_request_id = admin_request_id;
        return;
    }
    op_abandon(c, OC_ESHUTDOWN);
    op_begin(c, CONTROL_OP_HANDOVER, origin);
    c->op.admin_verb = admin_verb;
    c->op.admin_request_id = admin_request_id;
    if (target != NULL) {
        c->op.with_target = true;
        c->op.target = *target;
    }
    /* A paused node's sequencer is the operator's own business, unless the process itself ends. */
    if (may_run && answers && c->healthd_up && (!c->paused || origin != ORIGIN_TRANSFER) && send_stop(c) == 0)
        return;
    op_transfer(c);
}

void op_on_transfer_result(struct conductor *c, uint64_t request_id, const struct msg_transfer_result *res)
{
    if (!op_is_waiting(c, STEP_TRANSFER, request_id))
        return;
    if (res->rc == 0)
        transfer_succeeded(c);
    else
        op_transfer_failed(c, res->rc, *res->text != '\0' ? res->text : err_text(res->rc));
}
