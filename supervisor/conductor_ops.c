/* The operations of the conductor: starting or adopting a sequencer, stopping it, handing over. At
 * most one is under way; each step waits for one answer, with a deadline. */
#include "supervisor/conductor_internal.h"

#include "shared/base/err.h"

#include <stdio.h>
#include <string.h>

#define EXPORT_TIMEOUT_NS (2000 * MS_NS)
/* Posting what is missing and waiting for op-node to adopt it. */
#define TAKEOVER_TIMEOUT_NS (2000 * MS_NS)
#define TAKEOVER_PER_PAYLOAD_NS (100 * MS_NS)
/* op-node finishes the block it is building first; before a handover it gets its block time and a bit. */
#define STOP_TIMEOUT_NS (3000 * MS_NS)
#define STOP_EXTRA_MS 500
#define TRANSFER_TIMEOUT_MS 1000
/* The worker keeps its own deadline; ours is later and catches a worker that hangs. */
#define GRACE_NS (500 * MS_NS)
#define OTHER_TIMEOUT_NS (1500 * MS_NS)
#define OTHER_POLL_NS (5 * MS_NS)
#define START_BACKOFF_MAX_MS 1000
#define STOP_BACKOFF_MAX_MS 2000
#define TRANSFER_BACKOFF_MAX_MS 10000
#define TARGET_FAILED_NS (10000 * MS_NS)
#define GIVEN_BACK_NS (2500 * MS_NS)

static void op_finish(struct conductor *c, int rc, const char *text);

static bool is_waiting(const struct conductor *c, enum op_step step, uint64_t request_id)
{
    return c->op.kind != CONTROL_OP_NONE && c->op.step == step && c->op.request_id == request_id;
}

static void log_retry(const struct conductor *c, const char *what, const char *err)
{
    LOG_ERROR("failed to execute step, queueing another one to retry", LOG_S("step", what), LOG_S("err", err),
              LOG_S("server", c->opts->server_id));
}

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

static void op_begin(struct conductor *c, enum control_op kind, enum op_origin origin)
{
    memset(&c->op, 0, sizeof c->op);
    c->op.kind = kind;
    c->op.origin = origin;
    c->op.begun_ns = c->now_ns;
}

static void start_failed(struct conductor *c, bool counts, const char *err)
{
    bool adopt = c->op.adopt;

    story_sequencer(c, adopt ? FLIGHT_SEQ_ADOPT : FLIGHT_SEQ_START, err);
    c->op.kind = CONTROL_OP_NONE;
    /* Without a failure to count, 100 ms is enough: something else will change. */
    if (counts)
        c->start_failures++;
    c->start_retry_ns =
        c->now_ns + control_backoff_ms(c->start_failures + c->ahead_failures, START_BACKOFF_MAX_MS) * MS_NS;
    log_retry(c, adopt ? "adopt sequencer" : "start sequencer", err);
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
    c->op.deadline_ns = body.deadline_mono_ns + GRACE_NS;
    if (!adopt)
        LOG_INFO("starting sequencer", LOG_S("server", c->opts->server_id), LOG_B("leader", c->leader),
                 LOG_B("healthy", c->verdict), LOG_B("active", c->active == NODE_YES));
    rc = conductor_send(c, ROLE_CONSENSUS, MSG_EXPORT, c->op.request_id, &body, -1);
    if (rc != 0)
        start_failed(c, false, err_text(rc));
}

void op_on_export_result(struct conductor *c, struct chan_msg *msg)
{
    const struct msg_export_result *res = msg->body;
    struct msg_node_cmd cmd = {.deadline_mono_ns = c->now_ns + TAKEOVER_TIMEOUT_NS};
    uint64_t payloads = res->record_count < c->opts->window_payloads ? res->record_count : c->opts->window_payloads;
    int rc = res->rc;

    if (!is_waiting(c, STEP_EXPORT, msg->request_id))
        return;
    if (rc == 0 && res->term != c->lead.term)
        rc = OC_ESTALE;
    if (rc != 0) {
        start_failed(c, rc != OC_ENOTLEADER && rc != OC_ETRANSFER && rc != OC_ESTALE, err_text(rc));
        return;
    }
    cmd.deadline_mono_ns += payloads * TAKEOVER_PER_PAYLOAD_NS;
    cmd.verb = c->op.adopt ? NODE_CMD_ADOPT : NODE_CMD_TAKEOVER;
    cmd.head_valid = res->head_valid;
    cmd.head = res->head;
    cmd.record_count = msg->fd >= 0 ? res->record_count : 0;
    c->op.step = STEP_NODE;
    c->op.request_id = c->next_request_id++;
    c->op.deadline_ns = cmd.deadline_mono_ns + GRACE_NS;
    rc = conductor_send(c, ROLE_HEALTHD, MSG_NODE_CMD, c->op.request_id, &cmd, msg->fd);
    if (rc != 0)
        start_failed(c, false, err_text(rc));
}

static const char *node_rc_text(const struct msg_node_result *res)
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

static void start_done(struct conductor *c, const struct msg_node_result *res)
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
        start_failed(c, res->rc != NODE_AHEAD, node_rc_text(res));
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
    c->op.deadline_ns = cmd.deadline_mono_ns + GRACE_NS;
    return conductor_send(c, ROLE_HEALTHD, MSG_NODE_CMD, c->op.request_id, &cmd, -1);
}

static void stop_failed(struct conductor *c, const char *err)
{
    story_sequencer(c, FLIGHT_SEQ_STOP, err);
    c->op.kind = CONTROL_OP_NONE;
    c->stop_failures++;
    c->stop_retry_ns = c->now_ns + control_backoff_ms(c->stop_failures, STOP_BACKOFF_MAX_MS) * MS_NS;
    log_retry(c, "stop sequencer", err);
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
        stop_failed(c, err_text(rc));
}

/* Books the result of a stop. Returns whether the sequencer is known to be stopped. */
static bool note_stop_result(struct conductor *c, const struct msg_node_result *res)
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

/* What an operator asked for beyond the handover itself, or the end of it. */
static void op_finish(struct conductor *c, int rc, const char *text)
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

static void transfer_failed(struct conductor *c, int rc, const char *text)
{
    count_transfer(c, false);
    story_transfer(c, rc, text);
    c->transfer_failures++;
    c->transfer_retry_ns = c->now_ns + control_backoff_ms(c->transfer_failures, TRANSFER_BACKOFF_MAX_MS) * MS_NS;
    if (*c->op.target.target_id != '\0')
        choose_note_failure(&c->history, c->op.target.target_id, c->now_ns + TARGET_FAILED_NS);
    log_retry(c, "transfer leadership", text);
    op_finish(c, rc, text);
}

/* The sequencer is stopped, or could not be: hand over regardless. */
static void handover_transfer(struct conductor *c)
{
    int rc;

    if (!c->op.with_target || !c->leader) {
        op_finish(c, 0, "");
        return;
    }
    c->op.step = STEP_TRANSFER;
    c->op.request_id = c->next_request_id++;
    c->op.target.timeout_ms = TRANSFER_TIMEOUT_MS;
    c->op.deadline_ns = c->now_ns + TRANSFER_TIMEOUT_MS * MS_NS + GRACE_NS;
    LOG_INFO("transferring leadership", LOG_S("server", c->opts->server_id), LOG_S("to", c->op.target.target_id));
    rc = conductor_send(c, ROLE_CONSENSUS, MSG_TRANSFER, c->op.request_id, &c->op.target, -1);
    if (rc != 0)
        transfer_failed(c, rc, err_text(rc));
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
    handover_transfer(c);
}

void op_on_transfer_result(struct conductor *c, uint64_t request_id, const struct msg_transfer_result *res)
{
    if (!is_waiting(c, STEP_TRANSFER, request_id))
        return;
    if (res->rc == 0)
        transfer_succeeded(c);
    else
        transfer_failed(c, res->rc, *res->text != '\0' ? res->text : err_text(res->rc));
}

/* ---- results and deaths ---- */

void op_on_node_result(struct conductor *c, uint64_t request_id, const struct msg_node_result *res)
{
    c->story.answer = res;
    note_active(c, res->sequencer_active);
    /* The next export starts from where op-node really is. (A stop answers with a hash only.) */
    if (res->verb != NODE_CMD_STOP && res->head.number != 0)
        c->health.unsafe_head = res->head;
    if (is_waiting(c, STEP_NODE, request_id)) {
        start_done(c, res);
    } else if (is_waiting(c, STEP_NODE_STOP, request_id)) {
        bool stopped = note_stop_result(c, res);

        if (!stopped)
            c->maybe_active = c->active != NODE_NO;
        if (c->op.kind == CONTROL_OP_HANDOVER) {
            if (!stopped) {
                story_sequencer(c, FLIGHT_SEQ_STOP, node_rc_text(res));
                LOG_WARN("failed to stop sequencer, handing over regardless", LOG_S("err", node_rc_text(res)));
            }
            handover_transfer(c);
        } else if (stopped) {
            op_finish(c, 0, "");
        } else {
            stop_failed(c, node_rc_text(res));
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
        handover_transfer(c);
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
        transfer_failed(c, OC_ECLOSED, "the consensus worker ended during the transfer");
}

void op_on_node_down(struct conductor *c)
{
    if (c->op.kind == CONTROL_OP_START) {
        c->op.kind = CONTROL_OP_NONE;
    } else if (c->op.kind != CONTROL_OP_NONE && c->op.step == STEP_NODE_STOP) {
        if (c->op.kind == CONTROL_OP_HANDOVER)
            handover_transfer(c);
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
        start_failed(c, true, "consensus did not export its head in time");
        return;
    case STEP_NODE:
        if (!c->op.adopt)
            c->maybe_active = true;
        start_failed(c, true, "healthd did not answer in time");
        return;
    case STEP_NODE_STOP:
        if (c->op.kind == CONTROL_OP_HANDOVER)
            handover_transfer(c);
        else
            stop_failed(c, "healthd did not answer in time");
        return;
    case STEP_TRANSFER:
        transfer_failed(c, OC_EDEADLINE, "leadership transfer timeout");
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
