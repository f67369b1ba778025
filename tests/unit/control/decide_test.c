/* The control decision over every combination of its inputs, against what must always hold; and the
 * upstream loop's eight cases. */
#include "supervisor/control.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#define NOW UINT64_C(100000000000)
#define FUTURE (NOW + 700)
#define OP_DEADLINE (NOW + 900)

/* Takes `n` values out of *code, which counts through all combinations. */
static unsigned take(uint64_t *code, unsigned n)
{
    unsigned v = (unsigned)(*code % n);

    *code /= n;
    return v;
}

static const enum ready_reason reasons[] = {
    READY_OK,        READY_UNKNOWN,    READY_NODE_DOWN, READY_CONDUCTOR_DISABLED,
    READY_UNHEALTHY, READY_EL_SYNCING, READY_LAGGING,   READY_HELD_DOWN,
};

/* Times are either past or to come: more values cannot make a difference. */
static void make_input(uint64_t code, struct control_input *in)
{
    memset(in, 0, sizeof *in);
    in->now_ns = NOW;
    in->reason = reasons[take(&code, sizeof reasons / sizeof reasons[0])];
    in->active = (enum node_tristate)take(&code, 3);
    in->op = (enum control_op)take(&code, CONTROL_OP_COUNT);
    in->target = (enum control_target)take(&code, CONTROL_TARGET_COUNT);
    in->leader_ready = take(&code, 2);
    in->consensus_up = take(&code, 2);
    in->other_leads = take(&code, 2);
    in->was_leader = take(&code, 2);
    in->lost_by_worker_restart = take(&code, 2);
    in->paused = take(&code, 2);
    in->stopped = take(&code, 2);
    in->healthd_up = take(&code, 2);
    in->node_up = take(&code, 2);
    in->maybe_active = take(&code, 2);
    in->permitted = take(&code, 2);
    in->heads_equal = take(&code, 2);
    in->witness = take(&code, 2);
    in->transfer_spent = take(&code, 2);
    in->start_failures = take(&code, 2) * CONTROL_START_FAILURES;
    in->start_retry_ns = take(&code, 2) * FUTURE;
    in->stop_retry_ns = take(&code, 2) ? FUTURE : 0;
    in->transfer_retry_ns = in->start_retry_ns; /* independent of each other: see test_retries */
    in->leader_changed_ns = take(&code, 2) ? NOW - 1 : 1;
    in->progress_ns = in->leader_changed_ns;
    in->grace_until_ns = take(&code, 2) * FUTURE;
    in->curable = in->reason == READY_UNHEALTHY && in->grace_until_ns != 0; /* they never meet */
    in->hold_down_until_ns = in->transfer_spent ? NOW + CONTROL_HOLD_DOWN_NS : 0;
    in->op_deadline_ns = in->op != CONTROL_OP_NONE ? OP_DEADLINE : 0;
}

static const uint64_t combinations = UINT64_C(8) * 3 * CONTROL_OP_COUNT * CONTROL_TARGET_COUNT * (1u << 19);

/* NULL, or what is broken. */
static const char *check(const struct control_input *in, const struct control_output *out)
{
    bool leads = in->leader_ready && in->consensus_up;
    enum control_action a = out->action;

    if (a >= CONTROL_ACTION_COUNT || (a != CONTROL_NONE && *out->why == '\0'))
        return "no such action, or no reason for it";
    if ((a == CONTROL_START || a == CONTROL_ADOPT || a == CONTROL_TRANSFER) && !leads)
        return "acts as a leader without leading";
    if (leads && !in->paused && a == CONTROL_PERMIT && in->permit_hold_ns > in->now_ns)
        return "a permit while the execution client has lost its head";
    if (a == CONTROL_PERMIT && !(in->leader_ready && in->active == NODE_YES && in->heads_equal && in->node_up))
        return "a permit without equal heads, a leader and a running sequencer";
    if (in->op != CONTROL_OP_NONE && a != CONTROL_NONE && !(a == CONTROL_STOP && in->op == CONTROL_OP_START) &&
        a != CONTROL_RELEASE)
        return "two operations at a time";
    if (in->op != CONTROL_OP_NONE && leads && a != CONTROL_NONE)
        return "a leader begins something during an operation";
    if (in->paused && a != CONTROL_NONE && a != CONTROL_PERMIT && a != CONTROL_RELEASE)
        return "acts while paused";
    if (in->stopped && a != CONTROL_NONE)
        return "acts while stopped";
    if (!in->healthd_up && (a == CONTROL_START || a == CONTROL_ADOPT || a == CONTROL_STOP))
        return "commands op-node without healthd";
    if (!in->node_up && (a == CONTROL_START || a == CONTROL_ADOPT))
        return "starts an op-node that is down";
    if (in->witness && (a == CONTROL_START || a == CONTROL_ADOPT))
        return "a witness sequences";
    if (a == CONTROL_START && (in->active == NODE_YES || (in->active == NODE_DONT_KNOW && in->permitted)))
        return "starts a sequencer that runs";
    if (a == CONTROL_ADOPT && in->active == NODE_NO)
        return "adopts a sequencer that does not run";
    if (a == CONTROL_START && in->reason == READY_CONDUCTOR_DISABLED)
        return "starts an op-node that asks no conductor";
    if (a == CONTROL_STOP && leads)
        return "a leader stops its sequencer without handing over";
    if (a == CONTROL_STOP && !in->other_leads && !in->was_leader && in->op != CONTROL_OP_START)
        return "stops a live sequencer although nobody else is known to lead";
    if (a == CONTROL_TRANSFER && (in->target == CONTROL_TARGET_NONE || in->transfer_spent))
        return "transfers to nobody, or a second time";
    if (a == CONTROL_TRANSFER && in->target == CONTROL_TARGET_FALLBACK && in->node_up && !in->witness &&
        in->reason == READY_OK && in->start_failures == 0)
        return "gives leadership to a node that is not ready although this one is";
    if (a == CONTROL_TRANSFER && in->asked && NOW < in->leader_changed_ns + CONTROL_START_BUDGET_NS && in->node_up &&
        !in->witness && in->active == NODE_NO && in->start_failures == 0 && !in->ahead &&
        in->reason != READY_NODE_DOWN && in->reason != READY_CONDUCTOR_DISABLED)
        return "a leader that an operator named does not use its time";
    if (a == CONTROL_TRANSFER && in->reason == READY_OK && in->node_up && !in->witness && in->permitted &&
        in->active == NODE_YES)
        return "a good sequencing leader gives up";
    if (a == CONTROL_NONE && in->op != CONTROL_OP_NONE && out->wake_ns > OP_DEADLINE && !in->stopped && !in->paused)
        return "does not look at an operation's deadline";
    if (a == CONTROL_NONE && out->wake_ns <= in->now_ns)
        return "would spin";
    /* A leader that could act and does not must look again by itself, unless it sequences with a permit
     * or only an event can help. */
    if (a == CONTROL_NONE && leads && !in->paused && !in->stopped && in->op == CONTROL_OP_NONE && in->node_up &&
        !in->witness && in->healthd_up && !in->permitted && in->reason != READY_CONDUCTOR_DISABLED &&
        out->wake_ns == CONTROL_NEVER)
        return "a leader that does not sequence sleeps for ever";
    /* Not leading and running although another leads: stopped now, or soon. */
    if (a == CONTROL_NONE && !leads && !in->paused && !in->stopped && in->op == CONTROL_OP_NONE && in->healthd_up &&
        in->node_up && in->active == NODE_YES && (in->other_leads || in->was_leader) && out->wake_ns == CONTROL_NEVER)
        return "a sequencer runs on beside another leader";
    return NULL;
}

static enum control_action decide_and_check(const struct control_input *in, uint64_t code)
{
    struct control_output out = control_decide(in);
    const char *broken = check(in, &out);

    if (broken != NULL)
        fail_msg("combination %llu: %s (action %d)", (unsigned long long)code, broken, (int)out.action);
    return out.action;
}

static void test_every_combination(void **state)
{
    uint64_t actions[CONTROL_ACTION_COUNT] = {0};

    (void)state;
    for (uint64_t code = 0; code < combinations; code++) {
        struct control_input in;

        make_input(code, &in);
        actions[decide_and_check(&in, code)]++;
        if (!in.leader_ready || !in.consensus_up || in.stopped)
            continue;
        /* What only a leader looks at. */
        in.ahead = true;
        actions[decide_and_check(&in, code)]++;
        in.permit_hold_ns = FUTURE;
        actions[decide_and_check(&in, code)]++;
        in.ahead = false;
        actions[decide_and_check(&in, code)]++;
        in.permit_hold_ns = 0;
        in.asked = true;
        actions[decide_and_check(&in, code)]++;
    }
    for (unsigned a = 0; a < CONTROL_ACTION_COUNT; a++)
        assert_true(actions[a] > 0);
}

/* What a leader with nothing under way decides by, each value free of the others. */
static void make_leader(uint64_t code, struct control_input *in)
{
    static const unsigned failures[] = {0, 1, CONTROL_START_FAILURES};
    static const uint64_t progress[] = {NOW - 1, NOW - CONTROL_PROGRESS_NS, NOW - CONTROL_STRANDED_NS};

    *in = (struct control_input){.now_ns = NOW, .consensus_up = true, .leader_ready = true, .was_leader = true};
    in->reason = reasons[take(&code, sizeof reasons / sizeof reasons[0])];
    in->active = (enum node_tristate)take(&code, 3);
    in->target = (enum control_target)take(&code, CONTROL_TARGET_COUNT);
    in->start_failures = failures[take(&code, 3)];
    in->progress_ns = progress[take(&code, 3)];
    in->leader_changed_ns = take(&code, 2) ? NOW - 1 : NOW - CONTROL_STRANDED_NS;
    in->healthd_up = take(&code, 2);
    in->node_up = take(&code, 2);
    in->permitted = take(&code, 2);
    in->heads_equal = take(&code, 2);
    in->witness = take(&code, 2);
    in->transfer_spent = take(&code, 2);
    in->hold_down_until_ns = in->transfer_spent ? FUTURE : 0;
    in->start_retry_ns = take(&code, 2) * FUTURE;
    in->transfer_retry_ns = take(&code, 2) * FUTURE;
    in->grace_until_ns = take(&code, 2) * FUTURE;
    in->permit_hold_ns = take(&code, 2) * FUTURE;
    in->curable = take(&code, 2);
    in->ahead = take(&code, 2);
    in->asked = take(&code, 2);
    in->dead = take(&code, 2) && (in->reason == READY_NODE_DOWN || in->reason == READY_UNHEALTHY);
}

static void test_every_leader(void **state)
{
    const uint64_t leaders = UINT64_C(8) * 3 * CONTROL_TARGET_COUNT * 3 * 3 * (1u << 15);

    (void)state;
    for (uint64_t code = 0; code < leaders; code++) {
        struct control_input in;

        make_leader(code, &in);
        enum control_action action = decide_and_check(&in, code);
        bool can = !in.witness && in.node_up && in.reason != READY_CONDUCTOR_DISABLED;
        bool sequences = can && in.active == NODE_YES;
        bool unfit = in.reason == READY_UNHEALTHY || in.reason == READY_NODE_DOWN || in.reason == READY_EL_SYNCING ||
                     in.reason == READY_UNKNOWN;
        bool may_pass_on = in.target == CONTROL_TARGET_READY && !in.transfer_spent && in.transfer_retry_ns == 0;
        /* Who cannot sequence, or does it badly, does not keep what a ready voter could have. */
        if (may_pass_on && (!can || (sequences && unfit && (in.grace_until_ns == 0 || in.dead))))
            assert_true(action == CONTROL_TRANSFER || action == CONTROL_RELEASE);
        /* Who can, and has the means, and nobody to give it to, tries. */
        if (can && in.active == NODE_NO && !in.permitted && in.healthd_up && in.target == CONTROL_TARGET_NONE &&
            in.start_retry_ns == 0 && in.reason != READY_UNKNOWN)
            assert_int_equal(action, CONTROL_START);
        /* A sequencer that runs is not started a second time, nor stopped but for a handover. */
        if (sequences)
            assert_true(action != CONTROL_START && action != CONTROL_STOP);
        if (in.transfer_spent || in.transfer_retry_ns != 0)
            assert_true(action != CONTROL_TRANSFER);
    }
}

static struct control_input base(bool leader, bool healthy, bool active)
{
    return (struct control_input){
        .now_ns = NOW,
        .consensus_up = true,
        .leader_ready = leader,
        .other_leads = !leader,
        .leader_changed_ns = NOW - 50,
        .progress_ns = NOW - 50,
        .healthd_up = true,
        .node_up = true,
        .reason = healthy ? READY_OK : READY_UNHEALTHY,
        .active = active ? NODE_YES : NODE_NO,
        .maybe_active = active,
        .permitted = leader && active,
        .target = CONTROL_TARGET_READY,
    };
}

static enum control_action decide(const struct control_input *in)
{
    return control_decide(in).action;
}

static void test_the_eight_cases(void **state)
{
    static const enum control_action want[2][2][2] = {
        {{CONTROL_NONE, CONTROL_STOP}, {CONTROL_NONE, CONTROL_STOP}},
        {{CONTROL_TRANSFER, CONTROL_TRANSFER}, {CONTROL_START, CONTROL_NONE}},
    };

    (void)state;
    for (unsigned i = 0; i < 8; i++) {
        struct control_input in = base(i & 4, i & 2, i & 1);

        assert_int_equal(decide(&in), want[i >> 2][i >> 1 & 1][i & 1]);
    }
}

static void test_no_other_can(void **state)
{
    struct control_input in = base(true, false, false);

    (void)state;
    /* Nobody is ready: it tries itself, and keeps leading while the head moves. */
    in.target = CONTROL_TARGET_FALLBACK;
    assert_int_equal(decide(&in), CONTROL_START);
    in.start_failures = CONTROL_START_FAILURES;
    assert_int_equal(decide(&in), CONTROL_TRANSFER);
    in.target = CONTROL_TARGET_NONE;
    assert_int_equal(decide(&in), CONTROL_START);
    in = base(true, false, true);
    in.target = CONTROL_TARGET_FALLBACK;
    assert_int_equal(decide(&in), CONTROL_NONE);
    assert_int_equal(control_decide(&in).wake_ns, in.progress_ns + CONTROL_PROGRESS_NS);
    in.progress_ns = NOW - CONTROL_PROGRESS_NS;
    assert_int_equal(decide(&in), CONTROL_TRANSFER);
}

static void test_at_most_one_transfer(void **state)
{
    struct control_input in = base(true, false, false);

    (void)state;
    in.transfer_spent = true;
    in.hold_down_until_ns = NOW + 1000;
    assert_int_equal(decide(&in), CONTROL_START);
    in.start_retry_ns = NOW + 5000;
    assert_int_equal(control_decide(&in).wake_ns, NOW + 1000);
}

static void test_a_started_sequencer_has_time(void **state)
{
    struct control_input in = base(true, false, true);

    (void)state;
    in.grace_until_ns = NOW + 40;
    assert_int_equal(decide(&in), CONTROL_NONE);
    assert_int_equal(control_decide(&in).wake_ns, NOW + 40);
    in.grace_until_ns = NOW;
    assert_int_equal(decide(&in), CONTROL_TRANSFER);
}

/* Slow and behind are excused for a while after a start; dead is not. */
static void test_a_death_after_a_start(void **state)
{
    static const struct {
        enum ready_reason reason;
        bool dead;
        enum control_target target;
        enum control_action want;
    } rows[] = {
        {READY_NODE_DOWN, false, CONTROL_TARGET_READY, CONTROL_NONE},
        {READY_NODE_DOWN, true, CONTROL_TARGET_READY, CONTROL_TRANSFER},
        {READY_NODE_DOWN, true, CONTROL_TARGET_FALLBACK, CONTROL_NONE},
        {READY_NODE_DOWN, true, CONTROL_TARGET_NONE, CONTROL_NONE},
        {READY_UNHEALTHY, false, CONTROL_TARGET_READY, CONTROL_NONE},
        {READY_UNHEALTHY, true, CONTROL_TARGET_READY, CONTROL_TRANSFER}, /* the execution client */
        {READY_EL_SYNCING, false, CONTROL_TARGET_READY, CONTROL_NONE},
        {READY_UNKNOWN, false, CONTROL_TARGET_READY, CONTROL_NONE},
        {READY_CONDUCTOR_DISABLED, false, CONTROL_TARGET_READY, CONTROL_TRANSFER},
        {READY_OK, false, CONTROL_TARGET_READY, CONTROL_NONE},
    };

    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        for (unsigned active = NODE_YES; active <= NODE_DONT_KNOW; active++) {
            struct control_input in = base(true, false, true);

            in.active = (enum node_tristate)active;
            in.reason = rows[i].reason;
            in.dead = rows[i].dead;
            in.target = rows[i].target;
            in.grace_until_ns = NOW + 40;
            if (decide(&in) != rows[i].want)
                fail_msg("row %zu, active %u: action %d", i, active, (int)decide(&in));
        }
    }
}

static void test_an_old_head_is_cured_by_starting(void **state)
{
    struct control_input in = base(true, false, false);

    (void)state;
    in.curable = true;
    assert_int_equal(decide(&in), CONTROL_START);
    in.start_failures = 1;
    assert_int_equal(decide(&in), CONTROL_TRANSFER);
}

static void test_start_budget(void **state)
{
    struct control_input in = base(true, true, false);

    (void)state;
    in.start_failures = 1;
    assert_int_equal(decide(&in), CONTROL_START);
    in.leader_changed_ns = NOW - CONTROL_START_BUDGET_NS;
    assert_int_equal(decide(&in), CONTROL_TRANSFER);
    in.target = CONTROL_TARGET_FALLBACK;
    assert_int_equal(decide(&in), CONTROL_START);
}

/* An operator's transfer to a node that is not ready: it may try. */
static void test_an_operators_choice_has_its_time(void **state)
{
    struct control_input in = base(true, false, false);

    (void)state;
    assert_int_equal(decide(&in), CONTROL_TRANSFER);
    in.asked = true;
    assert_int_equal(decide(&in), CONTROL_START);
    in.healthd_up = false;
    assert_int_equal(decide(&in), CONTROL_NONE);
    assert_int_equal(control_decide(&in).wake_ns, in.leader_changed_ns + CONTROL_START_BUDGET_NS);
    in.leader_changed_ns = NOW - CONTROL_START_BUDGET_NS;
    assert_int_equal(decide(&in), CONTROL_TRANSFER);
    /* But not to one that cannot. */
    in = base(true, false, false);
    in.asked = true;
    in.reason = READY_NODE_DOWN;
    assert_int_equal(decide(&in), CONTROL_TRANSFER);
}

/* op-node has other blocks than consensus: first time may help, then another voter. */
static void test_a_stranded_leader(void **state)
{
    for (unsigned active = 0; active < 2; active++) {
        struct control_input in = base(true, true, active);

        (void)state;
        in.permitted = false;
        in.ahead = true;
        in.progress_ns = NOW - CONTROL_STRANDED_NS + 1;
        assert_int_equal(decide(&in), active ? CONTROL_ADOPT : CONTROL_START);
        in.progress_ns--;
        assert_int_equal(decide(&in), CONTROL_TRANSFER);
        in.target = CONTROL_TARGET_FALLBACK; /* all are ahead: they would do no better */
        assert_int_equal(decide(&in), active ? CONTROL_ADOPT : CONTROL_START);
        in.target = CONTROL_TARGET_READY;
        in.permitted = active;
        assert_int_equal(decide(&in), active ? CONTROL_NONE : CONTROL_TRANSFER);
    }
}

/* An op-node that does not answer: every try would take its whole time. */
static void test_a_silent_op_node(void **state)
{
    for (unsigned active = 0; active < 2; active++) {
        struct control_input in = base(true, false, active);

        (void)state;
        in.reason = READY_NODE_DOWN;
        assert_int_equal(decide(&in), CONTROL_TRANSFER);
    }
    struct control_input in = base(true, false, false);

    in.reason = READY_NODE_DOWN;
    in.target = CONTROL_TARGET_FALLBACK;
    assert_int_equal(decide(&in), CONTROL_TRANSFER);
    in.target = CONTROL_TARGET_NONE;
    assert_int_equal(decide(&in), CONTROL_START);
}

static void test_no_permit_while_the_head_is_lost(void **state)
{
    struct control_input in = base(true, true, true);

    (void)state;
    in.permitted = false;
    in.heads_equal = true;
    in.permit_hold_ns = NOW + 10;
    assert_int_equal(decide(&in), CONTROL_NONE);
    assert_int_equal(control_decide(&in).wake_ns, NOW + 10);
    in.permit_hold_ns = NOW;
    assert_int_equal(decide(&in), CONTROL_PERMIT);
}

static void test_worker_restart(void **state)
{
    struct control_input in = base(false, true, true);

    (void)state;
    in.consensus_up = false;
    in.other_leads = false;
    in.was_leader = true;
    in.lost_by_worker_restart = true;
    assert_int_equal(decide(&in), CONTROL_NONE);
    assert_int_equal(control_decide(&in).wake_ns, in.leader_changed_ns + CONTROL_REJOIN_NS);
    in.leader_changed_ns = NOW - CONTROL_REJOIN_NS;
    assert_int_equal(decide(&in), CONTROL_STOP);
    in.leader_changed_ns = NOW;
    in.lost_by_worker_restart = false; /* stepped down: at once */
    assert_int_equal(decide(&in), CONTROL_STOP);
    /* Won back with the sequencer running: looked at, not stopped. */
    in = base(true, true, true);
    in.permitted = false;
    assert_int_equal(decide(&in), CONTROL_ADOPT);
    in.heads_equal = true;
    assert_int_equal(decide(&in), CONTROL_PERMIT);
}

static void test_waits_for_the_first_check(void **state)
{
    struct control_input in = base(true, true, false);

    (void)state;
    in.reason = READY_UNKNOWN;
    assert_int_equal(decide(&in), CONTROL_NONE);
    assert_int_equal(control_decide(&in).wake_ns, in.leader_changed_ns + CONTROL_FIRST_CHECK_NS);
    in.leader_changed_ns = NOW - CONTROL_FIRST_CHECK_NS;
    assert_int_equal(decide(&in), CONTROL_TRANSFER);
    in.target = CONTROL_TARGET_FALLBACK;
    assert_int_equal(decide(&in), CONTROL_START);
}

static void test_retries(void **state)
{
    struct control_input in = base(true, true, false);

    (void)state;
    in.start_retry_ns = NOW + 10;
    assert_int_equal(decide(&in), CONTROL_NONE);
    assert_int_equal(control_decide(&in).wake_ns, NOW + 10);
    in = base(false, true, true);
    in.stop_retry_ns = NOW + 20;
    assert_int_equal(decide(&in), CONTROL_NONE);
    assert_int_equal(control_decide(&in).wake_ns, NOW + 20);
    in = base(true, false, true);
    in.transfer_retry_ns = NOW + 30;
    assert_int_equal(decide(&in), CONTROL_NONE);
    assert_int_equal(control_decide(&in).wake_ns, NOW + 30);
    assert_int_equal(control_backoff_ms(1, 2000), 100);
    assert_int_equal(control_backoff_ms(2, 2000), 200);
    assert_int_equal(control_backoff_ms(5, 2000), 1600);
    assert_int_equal(control_backoff_ms(6, 2000), 2000);
    assert_int_equal(control_backoff_ms(UINT32_MAX, 2000), 2000);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_every_combination),
        cmocka_unit_test(test_every_leader),
        cmocka_unit_test(test_the_eight_cases),
        cmocka_unit_test(test_no_other_can),
        cmocka_unit_test(test_at_most_one_transfer),
        cmocka_unit_test(test_worker_restart),
        cmocka_unit_test(test_waits_for_the_first_check),
        cmocka_unit_test(test_retries),
        cmocka_unit_test(test_a_started_sequencer_has_time),
        cmocka_unit_test(test_a_death_after_a_start),
        cmocka_unit_test(test_a_stranded_leader),
        cmocka_unit_test(test_a_silent_op_node),
        cmocka_unit_test(test_no_permit_while_the_head_is_lost),
        cmocka_unit_test(test_start_budget),
        cmocka_unit_test(test_an_operators_choice_has_its_time),
        cmocka_unit_test(test_an_old_head_is_cured_by_starting),
    };
    return cmocka_run_group_tests_name("decide", tests, NULL, NULL);
}
