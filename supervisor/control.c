/* The control loop's decision, see control.h. */
#include "supervisor/control.h"

#define BACKOFF_FIRST_MS 100

uint64_t control_backoff_ms(unsigned failures, uint64_t max_ms)
{
    uint64_t ms = BACKOFF_FIRST_MS;

    while (failures > 1 && ms < max_ms) {
        ms *= 2;
        failures--;
    }
    return ms < max_ms ? ms : max_ms;
}

static struct control_output act(enum control_action action, const char *why)
{
    return (struct control_output){action, why, CONTROL_NEVER};
}

static struct control_output wait_until(uint64_t wake_ns)
{
    return (struct control_output){CONTROL_NONE, "", wake_ns};
}

/* Acts when its time has come, else waits for that. */
static struct control_output act_after(const struct control_input *in, uint64_t not_before_ns,
                                       enum control_action action, const char *why)
{
    return in->now_ns >= not_before_ns ? act(action, why) : wait_until(not_before_ns);
}

/* ---- not the leader ---- */

static bool sequencer_may_run(const struct control_input *in)
{
    if (!in->node_up)
        return false;
    if (in->active == NODE_DONT_KNOW)
        return in->maybe_active;
    return in->active == NODE_YES;
}

static struct control_output decide_follower(const struct control_input *in)
{
    bool start_under_way = in->op == CONTROL_OP_START;

    if (in->op == CONTROL_OP_STOP || in->op == CONTROL_OP_HANDOVER)
        return wait_until(in->op_deadline_ns);
    if (!start_under_way && !sequencer_may_run(in))
        return in->permitted ? act(CONTROL_RELEASE, "the sequencer does not run") : wait_until(CONTROL_NEVER);
    if (!in->healthd_up)
        return wait_until(start_under_way ? in->op_deadline_ns : CONTROL_NEVER);
    if (!in->other_leads && !start_under_way) {
        /* Started beside a live sequencer: perhaps it is this node that will lead. */
        if (!in->was_leader)
            return wait_until(CONTROL_NEVER);
        if (in->lost_by_worker_restart && in->now_ns < in->leader_changed_ns + CONTROL_REJOIN_NS)
            return wait_until(in->leader_changed_ns + CONTROL_REJOIN_NS);
    }
    return act_after(in, in->stop_retry_ns, CONTROL_STOP, "not the leader");
}

/* ---- the leader ---- */

static bool may_transfer_now(const struct control_input *in)
{
    return in->now_ns >= in->transfer_retry_ns;
}

/* Waits for whatever may change a leader's mind: its hold-down and the retry of a transfer. */
static uint64_t leader_wake(const struct control_input *in)
{
    uint64_t wake = CONTROL_NEVER;

    if (in->transfer_spent && in->hold_down_until_ns > in->now_ns)
        wake = in->hold_down_until_ns;
    if (in->target != CONTROL_TARGET_NONE && in->transfer_retry_ns > in->now_ns && in->transfer_retry_ns < wake)
        wake = in->transfer_retry_ns;
    return wake;
}

static struct control_output at_latest(struct control_output out, uint64_t wake_ns)
{
    if (wake_ns < out.wake_ns)
        out.wake_ns = wake_ns;
    return out;
}

/* A ready voter may be given leadership, unless we just gave it away and it came back. */
static bool can_pass_on(const struct control_input *in)
{
    return in->target == CONTROL_TARGET_READY && !in->transfer_spent && may_transfer_now(in);
}

/* The same for a voter that might manage where we cannot. */
static bool can_fall_back(const struct control_input *in)
{
    return in->target != CONTROL_TARGET_NONE && !in->transfer_spent && may_transfer_now(in);
}

/* A leader that cannot sequence at all: the best it can do is to let another one try. */
static struct control_output decide_unable(const struct control_input *in, const char *why)
{
    if (can_fall_back(in))
        return act(CONTROL_TRANSFER, why);
    return wait_until(leader_wake(in));
}

/* op-node has other blocks than consensus, and time did not help. */
static bool is_stranded(const struct control_input *in)
{
    return (in->ahead || in->start_failures >= CONTROL_START_FAILURES) &&
           in->now_ns >= in->progress_ns + CONTROL_STRANDED_NS;
}

/* Reasons for which even a running sequencer is not good enough. */
static bool must_hand_over(enum ready_reason reason)
{
    return reason == READY_UNHEALTHY || reason == READY_NODE_DOWN || reason == READY_EL_SYNCING ||
           reason == READY_UNKNOWN || reason == READY_CONDUCTOR_DISABLED;
}

static struct control_output decide_sequencing(const struct control_input *in)
{
    uint64_t stuck_ns = in->progress_ns + CONTROL_PROGRESS_NS;
    bool graced = in->now_ns < in->grace_until_ns && in->reason != READY_CONDUCTOR_DISABLED && !in->dead;
    bool unfit = must_hand_over(in->reason) && !graced;
    uint64_t wake_ns = graced ? in->grace_until_ns : unfit && in->now_ns < stuck_ns ? stuck_ns : CONTROL_NEVER;

    if (unfit && can_pass_on(in))
        return act(CONTROL_TRANSFER, "unhealthy, and another voter is ready");
    if (unfit && in->now_ns >= stuck_ns && can_fall_back(in))
        return act(CONTROL_TRANSFER, "unhealthy, and the head does not move");
    if (in->permitted)
        return at_latest(wait_until(wake_ns), leader_wake(in));
    if (in->now_ns < in->permit_hold_ns)
        return at_latest(wait_until(in->permit_hold_ns), leader_wake(in));
    if (in->heads_equal)
        return act(CONTROL_PERMIT, "the sequencer runs on the consensus head");
    if (is_stranded(in) && can_pass_on(in))
        return act(CONTROL_TRANSFER, "op-node does not come to the consensus head, and another voter is ready");
    if (!in->healthd_up)
        return wait_until(leader_wake(in));
    return at_latest(act_after(in, in->start_retry_ns, CONTROL_ADOPT, "the sequencer runs already"), leader_wake(in));
}

static struct control_output decide_idle(const struct control_input *in)
{
    uint64_t first_check_ns = in->leader_changed_ns + CONTROL_FIRST_CHECK_NS;
    uint64_t budget_ns = in->leader_changed_ns + CONTROL_START_BUDGET_NS;
    bool has_its_time = in->asked && in->now_ns < budget_ns;

    if (in->permitted && in->active == NODE_NO)
        return act(CONTROL_RELEASE, "the sequencer does not run");
    if (in->reason == READY_CONDUCTOR_DISABLED)
        return decide_unable(in, "op-node runs without --conductor.enabled");
    /* Every try would take its whole time. */
    if (in->reason == READY_NODE_DOWN && can_fall_back(in))
        return act(CONTROL_TRANSFER, "op-node does not answer");
    if (in->reason == READY_UNKNOWN && in->now_ns < first_check_ns)
        return wait_until(first_check_ns);
    if (in->reason != READY_OK && !(in->curable && in->start_failures == 0) && !has_its_time && can_pass_on(in))
        return act(CONTROL_TRANSFER, "not ready, and another voter is");
    if (in->start_failures > 0 && in->now_ns >= budget_ns && can_pass_on(in))
        return act(CONTROL_TRANSFER, "the sequencer does not start, and another voter is ready");
    if (in->ahead && is_stranded(in) && can_pass_on(in))
        return act(CONTROL_TRANSFER, "op-node is ahead of the consensus head, and another voter is not");
    if (in->start_failures >= CONTROL_START_FAILURES && can_fall_back(in))
        return act(CONTROL_TRANSFER, "the sequencer does not start");
    if (!in->healthd_up)
        return at_latest(wait_until(has_its_time ? budget_ns : CONTROL_NEVER), leader_wake(in));
    return at_latest(act_after(in, in->start_retry_ns, CONTROL_START,
                               in->reason == READY_OK ? "leading"
                               : has_its_time         ? "leading, as an operator asked"
                                                      : "leading, and no other voter is ready"),
                     leader_wake(in));
}

static struct control_output decide_leader(const struct control_input *in)
{
    if (in->op != CONTROL_OP_NONE)
        return wait_until(in->op_deadline_ns);
    if (in->witness)
        return decide_unable(in, "a witness does not sequence");
    if (!in->node_up && in->permitted)
        return act(CONTROL_RELEASE, "op-node is down");
    if (!in->node_up)
        return decide_unable(in, "op-node is down");
    if (in->active == NODE_YES || (in->active == NODE_DONT_KNOW && in->permitted))
        return decide_sequencing(in);
    return decide_idle(in);
}

struct control_output control_decide(const struct control_input *in)
{
    if (in->stopped)
        return wait_until(in->op != CONTROL_OP_NONE ? in->op_deadline_ns : CONTROL_NEVER);
    if (in->paused) {
        if (in->op != CONTROL_OP_NONE)
            return wait_until(in->op_deadline_ns);
        /* An operator's own start counts as a start. */
        if (in->leader_ready && in->node_up && in->active == NODE_YES && !in->permitted && in->heads_equal)
            return act(CONTROL_PERMIT, "started by an operator on the consensus head");
        if (in->permitted && (in->active == NODE_NO || !in->node_up))
            return act(CONTROL_RELEASE, "the sequencer does not run");
        return wait_until(CONTROL_NEVER);
    }
    if (in->consensus_up && in->leader_ready)
        return decide_leader(in);
    return decide_follower(in);
}
