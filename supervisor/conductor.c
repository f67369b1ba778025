/* The conductor's life and its control loop: gathers what is known, decides (control.c), acts,
 * publishes. */
#include "supervisor/conductor.h"

#include "shared/base/err.h"
#include "supervisor/conductor_internal.h"
#include "supervisor/status_clock.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Peers hear from this node five times a second. A record that is due soon goes along with what wakes consensus anyway,
 * so that the two stay together. */
#define RECORD_INTERVAL_NS (200 * MS_NS)
#define RECORD_EARLY_NS (140 * MS_NS)
/* Decisions that follow from one event; more would be a loop. */
#define DECISIONS_MAX 8
#define STANDSTILL_NS (1000 * MS_NS)
#define CLOCK_TELL_NS (1000 * MS_NS)

struct conductor *conductor_new(const struct options *opts, const struct conductor_io *io, uint64_t now_ns)
{
    struct conductor *c = calloc(1, sizeof *c);

    if (c == NULL)
        return NULL;
    c->opts = opts;
    c->io = *io;
    c->now_ns = now_ns;
    c->next_request_id = 1;
    c->paused = opts->paused;
    c->node_up = opts->node_argv == NULL && !opts->raft_witness;
    c->active = c->node_up ? NODE_DONT_KNOW : NODE_NO;
    c->leader_changed_ns = c->leaderless_ns = now_ns;
    c->record_due_ns = now_ns;
    c->wake_ns = now_ns;
    c->state_index = 2; /* as upstream: not leader, healthy, not active */
    return c;
}

void conductor_free(struct conductor *c)
{
    free(c);
}

void conductor_set_page(struct conductor *c, enum proc_role role, const struct page_reader *reader)
{
    if (role == ROLE_CONSENSUS)
        c->page = reader;
}

bool conductor_node_managed(const struct conductor *c)
{
    return c->opts->node_argv != NULL;
}

int conductor_send(struct conductor *c, enum proc_role to, enum msg_type type, uint64_t request_id, const void *body,
                   int fd)
{
    return c->io.send(c->io.ctx, to, type, request_id, body, fd);
}

/* Something wakes this process several times a second. When nothing did for longer, it stood still (stopped, or starved
 * of CPU), and what its workers said meanwhile is still in their channels: that is read before anything counts as too
 * late. So the time of a stand-still does not count for what waits for their word. */
void conductor_enter(struct conductor *c, uint64_t now_ns)
{
    uint64_t passed_ns = now_ns - c->now_ns;

    if (passed_ns > STANDSTILL_NS) {
        LOG_WARN("The supervisor stood still", LOG_U("ms", passed_ns / MS_NS));
        c->verdict_ns += passed_ns;
        c->op.deadline_ns += passed_ns;
        story_stood_still(c, passed_ns);
    }
    c->now_ns = now_ns;
}

/* ---- gathering ---- */

/* As with messages, nobody's word is taken for it that a text ends. */
static void terminate_names(struct page_consensus *page)
{
    for (unsigned i = 0; i < CLUSTER_SERVERS_MAX; i++) {
        page->servers[i].id[SERVER_ID_SIZE - 1] = '\0';
        page->servers[i].addr[SERVER_ADDR_SIZE - 1] = '\0';
    }
}

void conductor_refresh_view(struct conductor *c)
{
    bool had_head = c->view_valid && c->view.head_valid;
    struct block_id before = c->view.head;

    c->view_valid = c->page != NULL && page_read(c->page, &c->view, sizeof c->view) == 0;
    if (!c->view_valid)
        memset(&c->view, 0, sizeof c->view);
    terminate_names(&c->view);
    if (!c->view.head_valid)
        return;
    if (!had_head || memcmp(&before, &c->view.head, sizeof before) != 0)
        c->progress_ns = c->now_ns;
    c->lead.head_valid = 1;
    c->lead.head = c->view.head;
}

enum control_target conductor_choose(struct conductor *c, struct msg_transfer *ret)
{
    enum control_target class;
    unsigned index = 0;

    class = c->view_valid ? choose_target(&c->view, c->opts->server_id, &c->history, c->now_ns, &index)
                          : CONTROL_TARGET_NONE;
    if (class != CONTROL_TARGET_NONE) {
        memcpy(ret->target_id, c->view.servers[index].id, sizeof ret->target_id);
        memcpy(ret->target_addr, c->view.servers[index].addr, sizeof ret->target_addr);
    }
    return class;
}

/* The payloads that consensus can give op-node: as configured, or fewer when large ones push each other out. (A window
 * that holds few because it is new says nothing: the heads of others are told late.) */
static uint64_t window_payloads(const struct conductor *c)
{
    bool is_full = c->view.window_count > 0 && c->view.window_bytes >= c->opts->window_bytes / 2;

    return is_full && c->view.window_count < c->opts->window_payloads ? c->view.window_count : c->opts->window_payloads;
}

enum ready_reason conductor_reason(const struct conductor *c)
{
    struct ready_input in = {
        .now_ns = c->now_ns,
        .witness = c->opts->raft_witness,
        .leads = c->leader,
        .node_up = c->node_up,
        .health_seen = c->health_seen,
        .last = &c->health,
        .verdict = c->verdict,
        .verdict_ns = c->verdict_ns,
        .interval_ns = c->opts->health_interval_ms * MS_NS,
        .head_valid = c->lead.head_valid != 0,
        .head_number = c->lead.head.number,
        .window = window_payloads(c),
        .hold_down_until_ns = c->hold_down_until_ns,
    };

    return status_ready_reason(&in);
}

static bool heads_equal(const struct conductor *c)
{
    if (c->must_adopt || c->now_ns < c->permit_hold_ns || !c->health_seen || c->active != NODE_YES ||
        c->health.sequencer_active != NODE_YES || c->health.checked_mono_ns < c->leader_changed_ns)
        return false;
    return !c->lead.head_valid || memcmp(&c->health.unsafe_head, &c->lead.head, sizeof c->lead.head) == 0;
}

static void end_spent_transfer(struct conductor *c)
{
    bool progressed = c->lead.head_valid && c->lead.head.number > c->transfer_head_number;

    if (c->transfer_spent && (progressed || c->now_ns >= c->hold_down_until_ns))
        c->transfer_spent = false;
}

static uint64_t grace_ns(const struct conductor *c)
{
    uint64_t two_checks_ns = 2 * c->opts->health_interval_ms * MS_NS;

    return two_checks_ns > CONTROL_GRACE_NS ? two_checks_ns : CONTROL_GRACE_NS;
}

/* What is slow or behind may come round; this does not. */
static bool is_dead(const struct conductor *c, enum ready_reason reason)
{
    return c->checked_since && ((reason == READY_NODE_DOWN && c->health.node_gone != 0) ||
                                (reason == READY_UNHEALTHY && c->health.reason == HEALTH_EL_GONE));
}

static void gather(struct conductor *c, struct control_input *in, struct msg_transfer *target)
{
    memset(in, 0, sizeof *in);
    memset(target, 0, sizeof *target);
    end_spent_transfer(c);
    in->now_ns = c->now_ns;
    in->consensus_up = c->consensus_up;
    in->leader_ready = c->leader;
    in->asked = c->leader && c->lead.asked != 0;
    in->other_leads = !c->leader && *c->lead.leader_id != '\0' && strcmp(c->lead.leader_id, c->opts->server_id) != 0;
    in->was_leader = c->was_leader;
    in->leader_changed_ns = c->leader_changed_ns;
    in->lost_by_worker_restart = c->lost_by_worker_restart;
    in->paused = c->paused;
    in->stopped = c->stopped || c->leaving;
    in->witness = c->opts->raft_witness;
    in->healthd_up = c->healthd_up;
    in->node_up = c->node_up;
    in->reason = conductor_reason(c);
    in->dead = is_dead(c, in->reason);
    in->curable = in->reason == READY_UNHEALTHY && c->health.reason == HEALTH_UNSAFE_LAG && c->lead.head_valid &&
                  (c->health.unsafe_head.number >= c->lead.head.number ||
                   c->lead.head.number - c->health.unsafe_head.number <= window_payloads(c));
    in->active = c->active;
    in->maybe_active = c->maybe_active;
    in->permitted = c->permitted;
    in->heads_equal = heads_equal(c);
    in->ahead = c->ahead_failures > 0;
    /* Giving back what op-node left is what brings the execution client to its head: that does not wait for it. */
    in->permit_hold_ns = c->must_adopt ? 0 : c->permit_hold_ns;
    in->progress_ns = c->progress_ns;
    in->grace_until_ns = c->started_ns == 0 ? 0 : c->started_ns + grace_ns(c);
    in->op = c->op.kind;
    in->op_deadline_ns = c->op.deadline_ns;
    in->start_failures = c->start_failures;
    in->start_retry_ns = c->start_retry_ns;
    in->stop_retry_ns = c->stop_retry_ns;
    in->transfer_retry_ns = c->transfer_retry_ns;
    in->transfer_spent = c->transfer_spent;
    in->hold_down_until_ns = c->hold_down_until_ns;
    in->target = conductor_choose(c, target);
}

/* ---- publishing ---- */

static void log_state(struct conductor *c, unsigned now)
{
    char before_text[64], now_text[64];
    unsigned before = c->state_index;
    const char *const word[] = {"false", "true"};

    if (before == now)
        return;
    snprintf(before_text, sizeof before_text, "leader: %s, healthy: %s, active: %s", word[before >> 2 & 1],
             word[before >> 1 & 1], word[before & 1]);
    snprintf(now_text, sizeof now_text, "leader: %s, healthy: %s, active: %s", word[now >> 2 & 1], word[now >> 1 & 1],
             word[now & 1]);
    LOG_INFO("state changed", LOG_S("server", c->opts->server_id), LOG_S("prev_state", before_text),
             LOG_S("new_state", now_text));
    c->state_index = now;
    c->status.state_changes_total[now]++;
}

/* With paused and stopped, as peers see it. */
static enum ready_reason shown_reason(const struct conductor *c)
{
    if (c->stopped || c->leaving)
        return READY_STOPPED;
    return c->paused ? READY_PAUSED : conductor_reason(c);
}

static bool is_member(const struct conductor *c)
{
    for (uint64_t i = 0; i < c->view.server_count && i < CLUSTER_SERVERS_MAX; i++)
        if (strcmp(c->view.servers[i].id, c->opts->server_id) == 0)
            return true;
    return !c->view_valid; /* not known to be none */
}

/* As people see it, who can ask a node that its peers do not hear. */
static enum ready_reason published_reason(const struct conductor *c)
{
    const struct ready_cluster in = {
        .consensus_up = c->consensus_up,
        .is_member = is_member(c),
        .leaderless_ns = c->leaderless_ns != 0 ? c->now_ns - c->leaderless_ns : 0,
        .election_ns = c->opts->election_timeout_ms * MS_NS,
    };
    enum ready_reason own = shown_reason(c);

    return own == READY_OK ? status_cluster_reason(&in) : own;
}

void conductor_publish(struct conductor *c)
{
    struct page_supervisor *s = &c->status;

    s->paused = c->paused;
    s->stopped = c->stopped;
    s->overridden = c->overridden;
    s->node_managed = conductor_node_managed(c);
    s->leader = c->leader;
    s->healthy = c->health_seen ? c->verdict : 1; /* as upstream, before the first check */
    s->active = c->active;
    s->ready_reason = published_reason(c);
    log_state(c, s->leader * 4 + s->healthy * 2 + (c->active == NODE_YES));
    if (c->ever_published && memcmp(s, &c->published, sizeof *s) == 0)
        return;
    c->ever_published = true;
    c->published = *s;
    c->io.publish(c->io.ctx, s);
}

const struct page_supervisor *conductor_page(const struct conductor *c)
{
    return &c->status;
}

static bool record_is_due(const struct conductor *c)
{
    return c->now_ns + (c->consensus_wakes ? RECORD_EARLY_NS : 0) >= c->record_due_ns;
}

static void send_record(struct conductor *c)
{
    struct msg_self_record r = {
        .reason = shown_reason(c),
        .paused = c->paused,
        .sequencing = c->active == NODE_YES,
        .health_unknown = !c->health_seen ||
                          c->now_ns >= status_verdict_expires_ns(c->verdict_ns, c->opts->health_interval_ms * MS_NS),
        .unsafe_head = c->health.unsafe_head,
        .wall_ms = c->sent_record.wall_ms,
    };

    if (!c->consensus_up || (!record_is_due(c) && memcmp(&r, &c->sent_record, sizeof r) == 0))
        return;
    r.wall_ms = c->io.wall_ms(c->io.ctx);
    c->sent_record = r;
    c->record_due_ns = c->now_ns + RECORD_INTERVAL_NS;
    (void)conductor_send(c, ROLE_CONSENSUS, MSG_SELF_RECORD, 0, &r, -1);
}

/* It takes effect at once, but is told only when it lasts: what lay in the connections while this machine stood still,
 * or was cut off, looks for a moment as if its clock were ahead. */
static void tell_of_clock(struct conductor *c, int64_t offset_ms)
{
    if (c->clock_distrusted == c->clock_said || c->now_ns < c->clock_changed_ns + CLOCK_TELL_NS)
        return;
    c->clock_said = c->clock_distrusted;
    if (!c->clock_said)
        LOG_INFO("This machine's clock agrees with its peers' again");
    else
        LOG_WARN("This machine's clock disagrees with its peers': blocks are not judged by their age until it is set "
                 "right",
                 LOG_I("ahead_ms", offset_ms));
}

/* A clock that disagrees with all others must not make op-node's blocks look old. */
static void check_clock(struct conductor *c)
{
    struct msg_clock m = {0};
    bool trusted = !c->clock_distrusted;

    if (!c->view_valid)
        return;
    if (status_clock_compare(&c->view, c->opts->server_id, c->io.wall_ms(c->io.ctx), &m.offset_ms))
        trusted = status_clock_trusted(m.offset_ms, trusted);
    if (trusted == c->clock_distrusted) {
        c->clock_distrusted = !trusted;
        c->clock_told = false;
        c->clock_changed_ns = c->now_ns;
    }
    tell_of_clock(c, m.offset_ms);
    m.is_trusted = trusted;
    if (c->clock_told || !c->healthd_up)
        return;
    c->clock_told = conductor_send(c, ROLE_HEALTHD, MSG_CLOCK, 0, &m, -1) == 0;
    c->clock_told_ns = c->now_ns;
}

/* ---- the loop ---- */

/* Carries out one decision. Returns whether there may be another. */
static bool carry_out(struct conductor *c, const struct control_input *in, const struct control_output *out,
                      const struct msg_transfer *target)
{
    if (out->action != CONTROL_NONE) {
        story_decision(c, in, out, target->target_id);
        LOG_DEBUG("decided", LOG_U("action", out->action), LOG_S("why", out->why), LOG_U("term", c->lead.term));
    }
    switch (out->action) {
    case CONTROL_START:
    case CONTROL_ADOPT:
        op_begin_start(c, out->action == CONTROL_ADOPT);
        return true;
    case CONTROL_STOP:
        op_begin_stop(c);
        return true;
    case CONTROL_TRANSFER:
        LOG_WARN("handing leadership over", LOG_S("server", c->opts->server_id), LOG_S("to", target->target_id),
                 LOG_S("reason", out->why), LOG_S("state", status_ready_text(conductor_reason(c))));
        op_begin_handover(c, ORIGIN_CONTROL, target, 0, 0);
        return true;
    case CONTROL_PERMIT:
        op_grant_permit(c, &c->health.unsafe_head, c->health.checked_mono_ns);
        return c->permitted;
    case CONTROL_RELEASE:
        op_withdraw_permit(c);
        return true;
    default:
        return false;
    }
}

void conductor_run(struct conductor *c)
{
    struct control_output out;
    struct control_input in;
    struct msg_transfer target;
    unsigned decisions = 0;
    bool more;

    check_clock(c);
    op_tick(c);
    story_look(c, published_reason(c));
    do {
        gather(c, &in, &target);
        out = control_decide(&in);
        more = carry_out(c, &in, &out, &target);
    } while (more && ++decisions < DECISIONS_MAX);
    /* Whatever made so many decisions follow each other is looked at again soon, not at once. */
    c->wake_ns = more ? c->now_ns + 100 * MS_NS : out.wake_ns;
    if (out.action == CONTROL_PERMIT && !more)
        c->wake_ns = c->now_ns + 100 * MS_NS;
    conductor_publish(c);
    send_record(c);
    story_look(c, published_reason(c));
}

void conductor_consensus_wakes(struct conductor *c)
{
    c->consensus_wakes = true;
}

uint64_t conductor_tick(struct conductor *c, uint64_t now_ns)
{
    uint64_t wake, op_wake, expiry;

    conductor_enter(c, now_ns);
    wake = c->op.kind != CONTROL_OP_NONE ? op_wake_ns(c) : CONTROL_NEVER;
    if (record_is_due(c) || now_ns >= c->wake_ns || now_ns >= wake ||
        (c->op.kind != CONTROL_OP_NONE && c->op.step == STEP_OTHER)) {
        conductor_refresh_view(c);
        conductor_run(c);
        if (record_is_due(c))
            c->record_due_ns = now_ns + RECORD_INTERVAL_NS; /* consensus is down: look again then */
    }
    c->consensus_wakes = false;
    wake = c->wake_ns < c->record_due_ns ? c->wake_ns : c->record_due_ns;
    op_wake = op_wake_ns(c);
    wake = op_wake < wake ? op_wake : wake;
    expiry = status_verdict_expires_ns(c->verdict_ns, c->opts->health_interval_ms * MS_NS);
    if (c->health_seen && expiry > now_ns && expiry < wake)
        wake = expiry;
    return wake;
}

void conductor_begin_shutdown(struct conductor *c, uint64_t now_ns)
{
    struct msg_transfer target = {0};
    bool leader = c->leader && !c->paused && !c->stopped;

    conductor_enter(c, now_ns);
    conductor_refresh_view(c);
    if (c->leaving) {
        if (!c->finished) {
            c->op.kind = CONTROL_OP_NONE;
            c->finished = true;
            c->io.stop_finished(c->io.ctx);
        }
        return;
    }
    c->leaving = true;
    LOG_INFO("stopping OpConductor", LOG_S("server", c->opts->server_id), LOG_B("leader", c->leader));
    if (c->paused || c->stopped) {
        op_abandon(c, OC_ESHUTDOWN);
        c->finished = true;
        c->io.stop_finished(c->io.ctx);
        return;
    }
    leader = leader && conductor_choose(c, &target) != CONTROL_TARGET_NONE;
    op_begin_handover(c, ORIGIN_SHUTDOWN, leader ? &target : NULL, 0, 0);
    conductor_publish(c);
    send_record(c);
}
