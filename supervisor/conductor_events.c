/* Messages to the conductor: leadership, health and the results of its commands. */
#include "supervisor/conductor_internal.h"

#include "shared/base/err.h"

#include <string.h>

/* An execution client that lost its head has so long to get it back before op-node's word counts again. */
#define PERMIT_HOLD_NS (10000 * MS_NS)

/* healthd makes a new check as soon as it hears that the clock is wrong. */
#define CLOCK_SETTLE_NS (500 * MS_NS)

void event_set_leader(struct conductor *c, bool leader)
{
    if (c->leader == leader)
        return;
    c->leader = leader;
    c->leader_changed_ns = c->now_ns;
    if (leader) {
        c->was_leader = true;
        c->lost_by_worker_restart = false;
        c->progress_ns = c->now_ns;
        if (c->lead.asked != 0)
            c->hold_down_until_ns = 0; /* an operator's word goes before what it remembers of itself */
    }
    LOG_INFO("Leadership status changed", LOG_S("server", c->opts->server_id), LOG_B("leader", leader),
             LOG_U("term", c->lead.term));
    op_on_leadership_change(c);
}

static bool other_leads(const struct conductor *c)
{
    return *c->lead.leader_id != '\0' && strcmp(c->lead.leader_id, c->opts->server_id) != 0;
}

/* Remembers of a leadership that has ended whether the head moved in it. */
static void note_reign(struct conductor *c)
{
    uint64_t head = c->view.head_valid ? c->view.head.number : 0;

    if (*c->lead.leader_id == '\0' || strcmp(c->lead.leader_id, c->reign_id) == 0)
        return;
    if (*c->reign_id != '\0' && head > c->reign_head_number)
        choose_forget_barren(&c->history, c->reign_id);
    else if (*c->reign_id != '\0')
        choose_note_barren(&c->history, c->reign_id, c->now_ns);
    memcpy(c->reign_id, c->lead.leader_id, sizeof c->reign_id);
    c->reign_head_number = head;
}

static void on_leadership(struct conductor *c, const struct msg_leadership *lead)
{
    bool new_term = lead->term != c->lead.term;

    c->lead = *lead;
    c->lead.leader_id[SERVER_ID_SIZE - 1] = '\0';
    if (*c->lead.leader_id != '\0')
        c->leaderless_ns = 0;
    else if (c->leaderless_ns == 0)
        c->leaderless_ns = c->now_ns;
    note_reign(c);
    if (lead->fresh_bootstrap != 0 && !c->hold_released && !c->paused) {
        c->paused = true;
        LOG_INFO("OpConductor has been paused", LOG_S("server", c->opts->server_id), LOG_S("reason", "new cluster"));
    }
    if (lead->fresh_bootstrap != 0 && c->hold_released) {
        struct msg_empty body = {0};

        (void)conductor_send(c, ROLE_CONSENSUS, MSG_RELEASE_HOLD, 0, &body, -1);
    }
    if (c->leader && lead->leader_ready && new_term) {
        /* Lost and won again between two events: a new stint. */
        event_set_leader(c, false);
    }
    event_set_leader(c, lead->leader_ready != 0);
    if (other_leads(c))
        c->was_leader = false;
}

/* A new healthd trusts this machine's clock until it is told; the check it makes at once may have begun before. */
static bool is_by_a_wrong_clock(const struct conductor *c, const struct msg_health *h)
{
    return h->healthy == 0 && h->reason == HEALTH_UNSAFE_LAG && c->clock_distrusted &&
           (!c->clock_told || c->now_ns < c->clock_told_ns + CLOCK_SETTLE_NS);
}

static void on_verdict(struct conductor *c, const struct msg_health *h)
{
    bool healthy = h->healthy != 0;

    if (is_by_a_wrong_clock(c, h))
        return;
    /* At every check: alerts count these. */
    if (!healthy)
        LOG_ERROR("Sequencer is unhealthy", LOG_S("server", c->opts->server_id), LOG_S("err", h->text));
    c->verdict = healthy;
    c->verdict_ns = c->now_ns;
    c->health_seen = true;
    c->checked_since = true;
}

/* Over a check's interval, since timestamps have whole seconds. */
static void note_block_time(struct conductor *c, const struct msg_health *h)
{
    uint64_t blocks = h->unsafe_head.number - c->health.unsafe_head.number;
    uint64_t seconds = h->unsafe_timestamp - c->health.unsafe_timestamp;

    if (c->health.unsafe_timestamp != 0 && h->unsafe_head.number > c->health.unsafe_head.number &&
        h->unsafe_timestamp > c->health.unsafe_timestamp && seconds < 3600)
        c->block_time_ms = seconds * 1000 / blocks;
}

/* Whether a head is not where it was or above. 0: not known. */
static bool went_back(struct block_id *high, const struct block_id *now)
{
    bool back = now->number < high->number ||
                (now->number == high->number && memcmp(now->hash, high->hash, sizeof now->hash) != 0);

    if (now->number == 0)
        return false;
    back = back && high->number != 0;
    *high = *now;
    return back;
}

/* What ends a permit before its term does (an exit of a managed op-node is told by the loop). */
static void check_permit(struct conductor *c, const struct msg_health *h)
{
    bool node_back = went_back(&c->node_high, &h->unsafe_head);
    bool el_back = h->is_full_check && went_back(&c->el_high, &h->el_head);

    if (!h->node_reachable) {
        c->was_unreachable = true;
        return;
    }
    /* An op-node that is not ours may have been another process since. */
    if (c->was_unreachable && !conductor_node_managed(c))
        op_withdraw_permit(c);
    c->was_unreachable = false;
    if (c->active == NODE_NO && c->suspended)
        op_withdraw_permit(c);
    if (node_back)
        op_suspend_permit(c, "its unsafe head went back");
    if (el_back) {
        op_suspend_permit(c, "the execution client's head went back");
        c->permit_hold_ns = c->now_ns + PERMIT_HOLD_NS;
    } else if (h->is_full_check && c->lead.head_valid && h->el_head.number >= c->lead.head.number) {
        c->permit_hold_ns = 0;
    }
}

static void on_health(struct conductor *c, const struct msg_health *h)
{
    bool starting = c->op.kind == CONTROL_OP_START && c->op.step == STEP_NODE;

    /* A witness has nothing to check; or of a child that is gone. */
    if (c->opts->raft_witness)
        return;
    if (conductor_node_managed(c) && (!c->node_up || h->node_incarnation != c->node_incarnation))
        return;
    note_block_time(c, h);
    c->health = *h;
    c->health.text[TEXT_SIZE - 1] = '\0';
    if (h->is_full_check)
        on_verdict(c, &c->health);
    /* While a start is under way its own result tells; a check made before it must not. */
    if (!starting && h->sequencer_active <= NODE_DONT_KNOW) {
        c->active = (enum node_tristate)h->sequencer_active;
        if (c->active != NODE_DONT_KNOW)
            c->maybe_active = c->active == NODE_YES;
    }
    check_permit(c, h);
}

/* Consensus refused a payload of the local op-node (the other events are for the record only). Control then
 * has the sequencer looked at: what op-node left is posted back to it, and only that look grants the next
 * permit. */
static void on_head_event(struct conductor *c, const struct msg_head_event *m)
{
    story_head(c, m);
    if (!c->leader || m->term != c->lead.term || (m->kind != HEAD_LEFT && m->kind != HEAD_AHEAD))
        return;
    op_suspend_permit(c, m->kind == HEAD_AHEAD ? "it is ahead of the consensus head"
                                               : "it left blocks that consensus has");
    if (!c->must_adopt && c->op.kind != CONTROL_OP_START)
        c->start_retry_ns = 0;
    if (!c->must_adopt || m->from_number < c->conflict_from)
        c->conflict_from = m->from_number;
    c->must_adopt = true;
    c->conflict_ns = c->now_ns;
}

static int on_consensus_message(struct conductor *c, struct chan_msg *msg)
{
    switch (msg->type) {
    case MSG_LEADERSHIP:
        on_leadership(c, msg->body);
        return 0;
    case MSG_EXPORT_RESULT:
        op_on_export_result(c, msg);
        return 0;
    case MSG_HEAD_EVENT:
        on_head_event(c, msg->body);
        return 0;
    case MSG_TRANSFER_RESULT: {
        struct msg_transfer_result res = *(const struct msg_transfer_result *)msg->body;

        res.text[TEXT_SIZE - 1] = '\0';
        op_on_transfer_result(c, msg->request_id, &res);
        return 0;
    }
    default:
        return OC_EPROTO;
    }
}

static int on_healthd_message(struct conductor *c, struct chan_msg *msg)
{
    switch (msg->type) {
    case MSG_HEALTH:
        on_health(c, msg->body);
        return 0;
    case MSG_NODE_RESULT: {
        struct msg_node_result res = *(const struct msg_node_result *)msg->body;

        res.text[TEXT_SIZE - 1] = '\0';
        op_on_node_result(c, msg->request_id, &res);
        return 0;
    }
    default:
        return OC_EPROTO;
    }
}

static int on_rpcd_message(struct conductor *c, const struct chan_msg *msg)
{
    if (msg->type == MSG_ADMIN)
        return admin_on_message(c, msg);
    if (msg->type != MSG_NOTE)
        return OC_EPROTO;
    story_note(c, msg->body);
    return 0;
}

int conductor_on_message(struct conductor *c, uint64_t now_ns, enum proc_role from, struct chan_msg *msg)
{
    int rc;

    conductor_enter(c, now_ns);
    conductor_refresh_view(c);
    if (from == ROLE_CONSENSUS)
        rc = on_consensus_message(c, msg);
    else if (from == ROLE_HEALTHD)
        rc = on_healthd_message(c, msg);
    else if (from == ROLE_RPCD)
        rc = on_rpcd_message(c, msg);
    else
        rc = OC_EPROTO;
    conductor_run(c);
    return rc;
}

static void send_node_event(struct conductor *c)
{
    struct msg_node_event body = {.up = c->node_up, .node_incarnation = c->node_incarnation};

    if (conductor_node_managed(c))
        (void)conductor_send(c, ROLE_HEALTHD, MSG_NODE_EVENT, 0, &body, -1);
}

static void on_consensus_worker(struct conductor *c, bool up)
{
    c->consensus_up = up;
    c->leaderless_ns = c->now_ns;
    if (up)
        return;
    /* A transfer under way ends with the worker. */
    op_on_consensus_down(c);
    c->lost_by_worker_restart = c->leader || c->was_leader;
    event_set_leader(c, false);
    c->permitted = c->suspended = c->must_adopt = false;
    memset(&c->lead, 0, sizeof c->lead);
}

static void on_healthd_worker(struct conductor *c, bool up)
{
    c->healthd_up = up;
    c->clock_told = !c->clock_distrusted; /* a new one trusts it */
    if (up) {
        send_node_event(c);
        return;
    }
    op_on_healthd_down(c);
    /* The verdict is kept for a while (status.h); what the sequencer does now is not known. */
    c->active = c->node_up ? NODE_DONT_KNOW : NODE_NO;
}

void conductor_on_worker(struct conductor *c, uint64_t now_ns, enum proc_role role, bool up)
{
    conductor_enter(c, now_ns);
    conductor_refresh_view(c);
    if (role == ROLE_CONSENSUS && up != c->consensus_up)
        on_consensus_worker(c, up);
    else if (role == ROLE_HEALTHD && up != c->healthd_up)
        on_healthd_worker(c, up);
    else if (role == ROLE_RPCD)
        c->rpcd_up = up;
    c->record_due_ns = now_ns;
    conductor_run(c);
}

void conductor_on_node(struct conductor *c, uint64_t now_ns, bool up, uint32_t incarnation)
{
    conductor_enter(c, now_ns);
    conductor_refresh_view(c);
    c->node_up = up;
    c->node_incarnation = incarnation;
    c->health_seen = false;
    c->maybe_active = false;
    /* It always comes up stopped, but that is confirmed before it counts. */
    c->active = up ? NODE_DONT_KNOW : NODE_NO;
    op_withdraw_permit(c);
    memset(&c->node_high, 0, sizeof c->node_high);
    memset(&c->el_high, 0, sizeof c->el_high);
    c->permit_hold_ns = 0;
    c->start_retry_ns = 0;
    send_node_event(c);
    if (!up)
        op_on_node_down(c);
    conductor_run(c);
}
