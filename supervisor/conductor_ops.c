/* The operations of the conductor: what is common to them, and what ends them. At most one is under way; each
 * step waits for one answer, with a deadline. conductor_start.c and conductor_handover.c carry them out. */
#include "supervisor/conductor_ops.h"

#include "shared/base/err.h"

#include <string.h>

#define OTHER_POLL_NS (5 * MS_NS)

bool op_is_waiting(const struct conductor *c, enum op_step step, uint64_t request_id)
{
    return c->op.kind != CONTROL_OP_NONE && c->op.step == step && c->op.request_id == request_id;
}

void op_log_retry(const struct conductor *c, const char *what, const char *err)
{
    LOG_ERROR("failed to execute step, queueing another one to retry", LOG_S("step", what), LOG_S("err", err),
              LOG_S("server", c->opts->server_id));
}

void op_begin(struct conductor *c, enum control_op kind, enum op_origin origin)
{
    memset(&c->op, 0, sizeof c->op);
    c->op.kind = kind;
    c->op.origin = origin;
    c->op.begun_ns = c->now_ns;
}

const char *op_result_text(const struct msg_node_result *res)
{
    static const char *const texts[NODE_RC_COUNT] = {
        [NODE_OK] = "ok",
        [NODE_ALREADY] = "already so",
        [NODE_UNREACHABLE] = "op-node does not answer",
        [NODE_REFUSED] = "op-node refused",
        [NODE_MISMATCH] = "unsafe head mismatch",
        [NODE_AHEAD] = "op-node's unsafe head is ahead of the consensus head",
        [NODE_GAP] = "op-node is too far behind the consensus head",
        [NODE_TIMEOUT] = "op-node took too long",
    };
    if (*res->text != '\0')
        return res->text;
    return res->rc < NODE_RC_COUNT ? texts[res->rc] : "unknown result";
}

static void note_active(struct conductor *c, uint32_t active)
{
    c->active = active <= NODE_DONT_KNOW ? (enum node_tristate)active : NODE_DONT_KNOW;
    if (c->active != NODE_DONT_KNOW)
        c->maybe_active = c->active == NODE_YES;
}

/* ---- results and deaths ---- */

void op_on_node_result(struct conductor *c, uint64_t request_id, const struct msg_node_result *res)
{
    c->story.answer = res;
    note_active(c, res->sequencer_active);
    /* The next export starts from where op-node really is. (A stop answers with a hash only.) */
    if (res->verb != NODE_CMD_STOP && res->head.number != 0)
        c->health.unsafe_head = res->head;
    if (op_is_waiting(c, STEP_NODE, request_id)) {
        op_start_done(c, res);
    } else if (op_is_waiting(c, STEP_NODE_STOP, request_id)) {
        bool stopped = op_note_stopped(c, res);

        if (!stopped)
            c->maybe_active = c->active != NODE_NO;
        if (c->op.kind == CONTROL_OP_HANDOVER) {
            if (!stopped) {
                story_sequencer(c, FLIGHT_SEQ_STOP, op_result_text(res));
                LOG_WARN("failed to stop sequencer, handing over regardless", LOG_S("err", op_result_text(res)));
            }
            op_transfer(c);
        } else if (stopped) {
            op_finish(c, 0, "");
        } else {
            op_stop_failed(c, op_result_text(res));
        }
    }
    c->story.answer = NULL;
}

void op_abandon(struct conductor *c, int rc)
{
    if (c->op.kind == CONTROL_OP_NONE)
        return;
    if (c->op.kind == CONTROL_OP_START && c->op.step == STEP_NODE)
        c->maybe_active = true;
    if (c->op.admin_verb != 0)
        admin_finish(c, 0, c->op.admin_request_id, rc, err_text(rc));
    c->op.kind = CONTROL_OP_NONE;
}

void op_on_healthd_down(struct conductor *c)
{
    if (c->op.kind == CONTROL_OP_NONE)
        return;
    if (c->op.step == STEP_NODE) {
        if (!c->op.adopt)
            c->maybe_active = true;
        c->start_retry_ns = 0;
        c->op.kind = CONTROL_OP_NONE;
    } else if (c->op.step == STEP_NODE_STOP && c->op.kind == CONTROL_OP_HANDOVER) {
        op_transfer(c);
    } else if (c->op.step == STEP_NODE_STOP) {
        c->stop_retry_ns = 0;
        c->op.kind = CONTROL_OP_NONE;
    }
}

void op_on_consensus_down(struct conductor *c)
{
    if (c->op.kind == CONTROL_OP_NONE)
        return;
    if (c->op.step == STEP_EXPORT)
        c->op.kind = CONTROL_OP_NONE;
    else if (c->op.step == STEP_TRANSFER)
        op_transfer_failed(c, OC_ECLOSED, "the consensus worker ended during the transfer");
}

void op_on_node_down(struct conductor *c)
{
    if (c->op.kind == CONTROL_OP_START) {
        c->op.kind = CONTROL_OP_NONE;
    } else if (c->op.kind != CONTROL_OP_NONE && c->op.step == STEP_NODE_STOP) {
        if (c->op.kind == CONTROL_OP_HANDOVER)
            op_transfer(c);
        else
            op_finish(c, 0, "");
    }
}

void op_on_leadership_change(struct conductor *c)
{
    c->start_failures = c->ahead_failures = c->transfer_failures = c->stop_failures = 0;
    c->start_retry_ns = c->transfer_retry_ns = c->stop_retry_ns = 0;
    c->permitted = c->suspended = c->must_adopt = false; /* it was for another term; consensus knows */
    if (c->op.kind != CONTROL_OP_START)
        return;
    /* An export has changed nothing yet. A takeover is left to control, which stops it; one of an
     * older term must not lead to a permit in this one. */
    if (c->op.step == STEP_EXPORT || c->leader)
        op_abandon(c, OC_ELOST);
}

/* ---- time ---- */

static bool another_sequences(struct conductor *c)
{
    conductor_refresh_view(c);
    for (unsigned i = 0; c->view_valid && i < c->view.server_count && i < CLUSTER_SERVERS_MAX; i++) {
        const struct page_server *s = &c->view.servers[i];

        if (strcmp(s->id, c->opts->server_id) != 0 && s->record_age_ms < 1000 && s->record.sequencing)
            return true;
    }
    return false;
}

void op_tick(struct conductor *c)
{
    /* Found out while its sequencer is being stopped: see op_begin_handover. */
    bool answers = !c->health_seen || c->health.node_reachable;

    if (c->op.kind == CONTROL_OP_NONE)
        return;
    if (c->op.step == STEP_OTHER && another_sequences(c)) {
        story_taken_over(c, true);
        op_finish(c, 0, "");
        return;
    }
    if (c->now_ns < c->op.deadline_ns && (c->op.step != STEP_NODE_STOP || c->op.kind != CONTROL_OP_HANDOVER || answers))
        return;
    switch (c->op.step) {
    case STEP_EXPORT:
        op_start_failed(c, true, "consensus did not export its head in time");
        return;
    case STEP_NODE:
        if (!c->op.adopt)
            c->maybe_active = true;
        op_start_failed(c, true, "healthd did not answer in time");
        return;
    case STEP_NODE_STOP:
        if (c->op.kind == CONTROL_OP_HANDOVER)
            op_transfer(c);
        else
            op_stop_failed(c, "healthd did not answer in time");
        return;
    case STEP_TRANSFER:
        op_transfer_failed(c, OC_EDEADLINE, "leadership transfer timeout");
        return;
    case STEP_OTHER:
        story_taken_over(c, false);
        LOG_WARN("handed over, but no other node was seen sequencing in time");
        op_finish(c, 0, "");
        return;
    }
}

uint64_t op_wake_ns(const struct conductor *c)
{
    if (c->op.kind == CONTROL_OP_NONE)
        return CONTROL_NEVER;
    if (c->op.step == STEP_OTHER && c->now_ns + OTHER_POLL_NS < c->op.deadline_ns)
        return c->now_ns + OTHER_POLL_NS;
    return c->op.deadline_ns;
}
