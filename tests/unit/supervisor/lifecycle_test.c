/* The state table, every state with every event, against a second list; and that no process is for ever. */
#include "supervisor/lifecycle.h"
#include "testing.h"

#include <string.h>

struct row {
    enum lifecycle_state state;
    enum life_event event;
    enum lifecycle_state next;
    enum life_action action;
};

#define R(s, e, n, a)                                                                                                  \
    {                                                                                                                  \
        LIFE_##s, LIFE_EV_##e, LIFE_##n, LIFE_ACT_##a                                                                  \
    }

static const struct row worker_rows[] = {
    R(DOWN, START, SPAWNING, SPAWN),
    R(SPAWNING, NO_FORK, BACKOFF, DELAY),
    R(SPAWNING, GIVE_UP, FAILED, REPORT),
    R(SPAWNING, EXEC_OK, HANDSHAKE, NONE),
    R(SPAWNING, HELLO, STARTING, SEND_START),
    R(SPAWNING, FAULT, KILLING, KILL),
    R(SPAWNING, CHAN_END, TERMINATING, NONE),
    R(SPAWNING, STOP, KILLING, KILL),
    R(SPAWNING, HASTEN, KILLING, KILL),
    R(SPAWNING, TIMEOUT, KILLING, KILL),
    R(SPAWNING, EXITED, REAPED, NONE),
    R(HANDSHAKE, HELLO, STARTING, SEND_START),
    R(HANDSHAKE, FAULT, KILLING, KILL),
    R(HANDSHAKE, CHAN_END, TERMINATING, NONE),
    R(HANDSHAKE, STOP, KILLING, KILL),
    R(HANDSHAKE, HASTEN, KILLING, KILL),
    R(HANDSHAKE, TIMEOUT, KILLING, KILL),
    R(HANDSHAKE, EXITED, REAPED, NONE),
    R(STARTING, READY, RUNNING, NONE),
    R(STARTING, FAULT, KILLING, KILL),
    R(STARTING, CHAN_END, TERMINATING, NONE),
    R(STARTING, STOP, DRAINING, DRAIN),
    R(STARTING, HASTEN, KILLING, KILL),
    R(STARTING, TIMEOUT, KILLING, KILL),
    R(STARTING, EXITED, REAPED, NONE),
    R(RUNNING, FAULT, KILLING, KILL),
    R(RUNNING, CHAN_END, TERMINATING, NONE),
    R(RUNNING, STOP, DRAINING, DRAIN),
    R(RUNNING, HASTEN, DRAINING, DRAIN),
    R(RUNNING, EXITED, REAPED, NONE),
    R(DRAINING, FAULT, KILLING, KILL),
    R(DRAINING, CHAN_END, TERMINATING, NONE),
    R(DRAINING, HASTEN, TERMINATING, TERM),
    R(DRAINING, TIMEOUT, TERMINATING, TERM),
    R(DRAINING, EXITED, REAPED, NONE),
    R(TERMINATING, FAULT, KILLING, KILL),
    R(TERMINATING, HASTEN, KILLING, KILL),
    R(TERMINATING, TIMEOUT, KILLING, KILL),
    R(TERMINATING, EXITED, REAPED, NONE),
    R(KILLING, TIMEOUT, KILLING, KILL),
    R(KILLING, EXITED, REAPED, NONE),
    R(REAPED, RETRY, BACKOFF, DELAY),
    R(REAPED, REST, DOWN, NONE),
    R(REAPED, GIVE_UP, FAILED, REPORT),
    R(BACKOFF, START, SPAWNING, SPAWN),
    R(BACKOFF, STOP, DOWN, NONE),
    R(BACKOFF, HASTEN, DOWN, NONE),
    R(BACKOFF, TIMEOUT, SPAWNING, SPAWN),
    R(FAILED, START, SPAWNING, SPAWN),
};

static const struct row node_rows[] = {
    R(DOWN, START, SPAWNING, SPAWN),
    R(SPAWNING, NO_FORK, BACKOFF, DELAY),
    R(SPAWNING, GIVE_UP, FAILED, REPORT),
    R(SPAWNING, EXEC_OK, STARTING, NONE),
    R(SPAWNING, FAULT, KILLING, KILL),
    R(SPAWNING, STOP, TERMINATING, TERM),
    R(SPAWNING, HASTEN, KILLING, KILL),
    R(SPAWNING, TIMEOUT, KILLING, KILL),
    R(SPAWNING, EXITED, REAPED, NONE),
    R(STARTING, READY, RUNNING, NONE),
    R(STARTING, FAULT, KILLING, KILL),
    R(STARTING, STOP, TERMINATING, TERM),
    R(STARTING, HASTEN, TERMINATING, TERM),
    R(STARTING, EXITED, REAPED, NONE),
    R(RUNNING, FAULT, KILLING, KILL),
    R(RUNNING, STOP, TERMINATING, TERM),
    R(RUNNING, HASTEN, TERMINATING, TERM),
    R(RUNNING, EXITED, REAPED, NONE),
    R(TERMINATING, FAULT, KILLING, KILL),
    R(TERMINATING, HASTEN, KILLING, KILL),
    R(TERMINATING, TIMEOUT, KILLING, QUIT),
    R(TERMINATING, EXITED, REAPED, NONE),
    R(KILLING, HASTEN, KILLING, KILL),
    R(KILLING, TIMEOUT, KILLING, KILL),
    R(KILLING, EXITED, REAPED, NONE),
    R(REAPED, RETRY, BACKOFF, DELAY),
    R(REAPED, REST, DOWN, NONE),
    R(REAPED, GIVE_UP, FAILED, REPORT),
    R(BACKOFF, START, SPAWNING, SPAWN),
    R(BACKOFF, STOP, DOWN, NONE),
    R(BACKOFF, HASTEN, DOWN, NONE),
    R(BACKOFF, TIMEOUT, SPAWNING, SPAWN),
    R(FAILED, START, SPAWNING, SPAWN),
};

static const struct row *find(const struct row *rows, size_t n, enum lifecycle_state state, enum life_event event)
{
    for (size_t i = 0; i < n; i++) {
        if (rows[i].state == state && rows[i].event == event)
            return &rows[i];
    }
    return NULL;
}

static void check_kind(enum life_kind kind, const struct row *rows, size_t n)
{
    for (int s = 0; s < LIFE_STATE_COUNT; s++) {
        for (int e = 0; e < LIFE_EVENT_COUNT; e++) {
            const struct row *row = find(rows, n, (enum lifecycle_state)s, (enum life_event)e);
            struct life_step step = lifecycle_next(kind, (enum lifecycle_state)s, (enum life_event)e);

            if (row) {
                if (step.ignored || step.next != row->next || step.action != row->action)
                    fail_msg("kind %d state %s event %d: got %s action %d", kind,
                             lifecycle_state_name((enum lifecycle_state)s), e, lifecycle_state_name(step.next),
                             step.action);
            } else if (!step.ignored || (int)step.next != s || step.action != LIFE_ACT_NONE) {
                fail_msg("kind %d state %s event %d should be ignored", kind,
                         lifecycle_state_name((enum lifecycle_state)s), e);
            }
        }
    }
}

static void every_state_and_event(void **state)
{
    (void)state;
    check_kind(LIFE_KIND_WORKER, worker_rows, sizeof worker_rows / sizeof worker_rows[0]);
    check_kind(LIFE_KIND_NODE, node_rows, sizeof node_rows / sizeof node_rows[0]);
}

/* op-node has no channel, so neither handshake nor DRAIN. */
static bool is_used(int kind, int s)
{
    return kind == LIFE_KIND_WORKER || (s != LIFE_HANDSHAKE && s != LIFE_DRAINING);
}

/* After STOP, deadlines alone lead to SIGKILL, from everywhere. */
static void stop_always_reaches_kill(void **state)
{
    (void)state;
    for (int kind = 0; kind < LIFE_KIND_COUNT; kind++) {
        for (int s = 0; s < LIFE_STATE_COUNT; s++) {
            enum lifecycle_state at = (enum lifecycle_state)s;
            bool killed = false;

            if (!lifecycle_is_alive(at) || !is_used(kind, s))
                continue;
            for (int i = 0; i < 6 && !killed; i++) {
                struct life_step step =
                    lifecycle_next((enum life_kind)kind, at, i == 0 ? LIFE_EV_STOP : LIFE_EV_TIMEOUT);
                at = step.next;
                killed = step.action == LIFE_ACT_KILL;
            }
            assert_true(killed);
        }
    }
}

/* What was found faulty is killed at once: a fault that nothing comes of would be looked at again and again. */
static void a_fault_is_never_ignored(void **state)
{
    (void)state;
    for (int kind = 0; kind < LIFE_KIND_COUNT; kind++) {
        for (int s = 0; s < LIFE_STATE_COUNT; s++) {
            struct life_step step = lifecycle_next((enum life_kind)kind, (enum lifecycle_state)s, LIFE_EV_FAULT);

            if (lifecycle_is_alive((enum lifecycle_state)s) && is_used(kind, s) && s != LIFE_KILLING)
                assert_true(step.next == LIFE_KILLING && step.action == LIFE_ACT_KILL);
        }
    }
}

static void every_live_state_takes_an_exit(void **state)
{
    (void)state;
    for (int kind = 0; kind < LIFE_KIND_COUNT; kind++) {
        for (int s = 0; s < LIFE_STATE_COUNT; s++) {
            struct life_step step = lifecycle_next((enum life_kind)kind, (enum lifecycle_state)s, LIFE_EV_EXITED);

            if (lifecycle_is_alive((enum lifecycle_state)s) && is_used(kind, s))
                assert_int_equal(step.next, LIFE_REAPED);
            else
                assert_true(step.ignored);
        }
    }
}

static void limits_belong_to_their_states(void **state)
{
    const struct life_limits limits = {1, 2, 3, 4, 5, 6};

    (void)state;
    assert_int_equal(lifecycle_limit_ms(&limits, LIFE_SPAWNING), 1);
    assert_int_equal(lifecycle_limit_ms(&limits, LIFE_HANDSHAKE), 2);
    assert_int_equal(lifecycle_limit_ms(&limits, LIFE_STARTING), 3);
    assert_int_equal(lifecycle_limit_ms(&limits, LIFE_RUNNING), 0);
    assert_int_equal(lifecycle_limit_ms(&limits, LIFE_DRAINING), 4);
    assert_int_equal(lifecycle_limit_ms(&limits, LIFE_TERMINATING), 5);
    assert_int_equal(lifecycle_limit_ms(&limits, LIFE_KILLING), 6);
    assert_int_equal(lifecycle_limit_ms(&limits, LIFE_BACKOFF), 0);
    for (int s = 0; s < LIFE_STATE_COUNT; s++)
        assert_string_not_equal(lifecycle_state_name((enum lifecycle_state)s), "unknown");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_state_and_event),         cmocka_unit_test(stop_always_reaches_kill),
        cmocka_unit_test(a_fault_is_never_ignored),      cmocka_unit_test(every_live_state_takes_an_exit),
        cmocka_unit_test(limits_belong_to_their_states),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
