/* The whole supervisor with workers and an op-node that misbehave: restart, watchdog, ordered stop, and
 * nothing left running. */
#include "rig.h"
#include "shared/base/err.h"
#include "testing.h"

#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

/* Answers SIGTERM; its helper is left to the supervisor. */
#define GOOD_NODE                                                                                                      \
    "trap 'echo node term 0 $$ >>$J; exit 0' TERM; sleep 1000 & echo node helper 0 $! >>$J; echo node up 0 $$ >>$J; "  \
    "while :; do wait; done"
/* Ignores SIGTERM and SIGQUIT, and has a helper in a session of its own. */
#define STUBBORN_NODE                                                                                                  \
    "trap '' TERM QUIT; setsid sleep 1000 & echo node helper 0 $! >>$J; echo node up 0 $$ >>$J; while :; do wait; "    \
    "done"

static int setup(void **state)
{
    static struct rig rig;

    rig_open(&rig);
    *state = &rig;
    return 0;
}

static int teardown(void **state)
{
    rig_close(*state);
    return 0;
}

static void wait_all_ready(struct rig *r)
{
    rig_wait_for(r, "journal", "consensus ready 1");
    rig_wait_for(r, "journal", "healthd ready 1");
    rig_wait_for(r, "journal", "rpcd ready 1");
}

static void stop(struct rig *r, int timeout_ms)
{
    assert_int_equal(kill(r->pid, SIGTERM), 0);
    assert_int_equal(rig_wait_exit(r, timeout_ms), 0);
    rig_check_nothing_left(r);
}

static void starts_and_stops_in_order(void **state)
{
    struct rig *r = *state;

    rig_start(r, GOOD_NODE, NULL, -1);
    wait_all_ready(r);
    rig_wait_for(r, "journal", "node up");
    rig_wait_for(r, "log", "OpConductor started");
    assert_true(rig_position(r, "node up") > rig_position(r, "healthd ready"));
    assert_true(rig_position(r, "node up") > rig_position(r, "rpcd ready"));
    stop(r, RIG_WAIT_MS);
    assert_true(rig_position(r, "node term") < rig_position(r, "rpcd drain"));
    assert_true(rig_position(r, "rpcd drain") < rig_position(r, "healthd drain"));
    assert_true(rig_position(r, "healthd drain") < rig_position(r, "consensus drain"));
}

static void a_killed_worker_comes_back(void **state)
{
    static const char *const roles[] = {"rpcd", "healthd", "consensus"};
    struct rig *r = *state;

    rig_start(r, NULL, NULL, -1);
    wait_all_ready(r);
    for (size_t i = 0; i < sizeof roles / sizeof roles[0]; i++) {
        char line[64];
        (void)snprintf(line, sizeof line, "%s ready 1", roles[i]);
        assert_int_equal(kill(rig_pid(r, line), SIGKILL), 0);
        (void)snprintf(line, sizeof line, "%s ready 2", roles[i]);
        rig_wait_for(r, "journal", line);
    }
    stop(r, RIG_WAIT_MS);
}

static void rpcd_is_given_pages_listeners_and_its_peer(void **state)
{
    struct rig *r = *state;

    rig_start(r, NULL, NULL, -1);
    wait_all_ready(r);
    rig_wait_for(r, "journal", "rpcd peer_up 1");
    rig_wait_for(r, "journal", "consensus peer_up 1");
    rig_wait_for(r, "journal", "rpcd listener 1");
    rig_wait_for(r, "journal", "rpcd page_supervisor_1");
    rig_wait_for(r, "journal", "rpcd page_consensus_1");
    rig_wait_for(r, "journal", "rpcd page_healthd_1");
    /* A new consensus: the old edge ends, a new page and a new edge follow. */
    assert_int_equal(kill(rig_pid(r, "consensus ready 1"), SIGKILL), 0);
    rig_wait_for(r, "journal", "rpcd peer_down 1");
    rig_wait_for(r, "journal", "rpcd page_consensus_2");
    rig_wait_for(r, "journal", "consensus peer_up 2");
    /* A new rpcd gets everything again. */
    assert_int_equal(kill(rig_pid(r, "rpcd ready 1"), SIGKILL), 0);
    rig_wait_for(r, "journal", "consensus peer_down 2");
    rig_wait_for(r, "journal", "rpcd listener 2");
    rig_wait_for(r, "journal", "rpcd page_healthd_1 2");
    rig_wait_for(r, "journal", "rpcd peer_up 2");
    stop(r, RIG_WAIT_MS);
}

static void a_hanging_worker_is_replaced(void **state)
{
    struct rig *r = *state;

    rig_set_behaviour(r, "healthd", "hang");
    rig_start(r, NULL, NULL, -1);
    rig_wait_for(r, "journal", "healthd ready 1");
    rig_set_behaviour(r, "healthd", "");
    rig_wait_for(r, "journal", "healthd ready 2");
    rig_wait_for(r, "log", "it does not answer");
    stop(r, RIG_WAIT_MS);
}

static void a_worker_that_breaks_the_protocol_is_replaced(void **state)
{
    struct rig *r = *state;

    rig_set_behaviour(r, "consensus", "violate");
    rig_start(r, NULL, NULL, -1);
    rig_wait_for(r, "journal", "consensus ready 1");
    rig_set_behaviour(r, "consensus", "");
    rig_wait_for(r, "journal", "consensus ready 2");
    rig_wait_for(r, "log", "it broke the protocol");
    stop(r, RIG_WAIT_MS);
}

static void a_flood_stops_nobody(void **state)
{
    struct rig *r = *state;
    int fds[2];

    /* 20 MB, and nobody reads our output. */
    assert_int_equal(pipe2(fds, O_CLOEXEC), 0);
    rig_set_behaviour(r, "rpcd", "flood");
    rig_start(r, NULL, NULL, fds[1]);
    (void)close(fds[1]);
    rig_wait_for(r, "journal", "rpcd flooded 1");
    rig_wait_for(r, "journal", "healthd ready 1");
    stop(r, RIG_WAIT_MS);
    (void)close(fds[0]);
}

static void a_permanent_exit_stops_everything(void **state)
{
    struct rig *r = *state;

    rig_set_behaviour(r, "consensus", "exit 78");
    rig_start(r, GOOD_NODE, NULL, -1);
    assert_int_equal(rig_wait_exit(r, RIG_WAIT_MS), 78);
    rig_check_nothing_left(r);
    assert_non_null(strstr(rig_read(r, "log"), "Application failed"));
    assert_non_null(strstr(rig_read(r, "log"), "consensus: exit code 78: error: the reason of the test"));
    assert_null(strstr(rig_read(r, "journal"), "consensus started 2"));
}

static void another_build_stops_everything(void **state)
{
    struct rig *r = *state;

    rig_set_behaviour(r, "rpcd", "wrong-build");
    rig_start(r, NULL, NULL, -1);
    assert_int_equal(rig_wait_exit(r, RIG_WAIT_MS), 75);
    rig_check_nothing_left(r);
    assert_non_null(strstr(rig_read(r, "log"), "another-build"));
}

static void a_worker_that_never_starts_is_given_up_on(void **state)
{
    struct rig *r = *state;

    rig_set_behaviour(r, "rpcd", "exit 75");
    rig_start(r, NULL, NULL, -1);
    assert_int_equal(rig_wait_exit(r, RIG_WAIT_MS), 1);
    rig_check_nothing_left(r);
    assert_non_null(strstr(rig_read(r, "journal"), "rpcd started 5"));
    assert_null(strstr(rig_read(r, "journal"), "rpcd started 6"));
}

static void an_op_node_that_dies_is_restarted(void **state)
{
    struct rig *r = *state;

    rig_start(r, GOOD_NODE, NULL, -1);
    rig_wait_for(r, "journal", "node up");
    assert_int_equal(kill(rig_pid(r, "node up"), SIGKILL), 0);
    /* No worker is restarted here. */
    rig_wait_for(r, "log", "incarnation=2");
    stop(r, RIG_WAIT_MS);
}

/* Answered at once, unless nobody waits for it any more. */
static void op_nodes_log_is_asked_for(void **state)
{
    struct rig *r = *state;

    rig_set_behaviour(r, "rpcd", "ask");
    rig_start(r, GOOD_NODE, NULL, -1);
    rig_wait_for(r, "journal", "rpcd log_3_0_kept 1");
    assert_null(strstr(rig_read(r, "journal"), "log_1_"));
    assert_null(strstr(rig_read(r, "journal"), "log_2_"));
    stop(r, RIG_WAIT_MS);
}

static void without_an_op_node_of_ours_there_is_no_log(void **state)
{
    struct rig *r = *state;
    char want[64];

    (void)snprintf(want, sizeof want, "rpcd log_3_%d_none 1", OC_EUNKNOWN);
    rig_set_behaviour(r, "rpcd", "ask");
    rig_start(r, NULL, NULL, -1);
    rig_wait_for(r, "journal", want);
    stop(r, RIG_WAIT_MS);
}

static void a_stubborn_op_node_and_its_helpers_are_killed(void **state)
{
    struct rig *r = *state;

    rig_start(r, STUBBORN_NODE, "--node.stop-timeout=100ms", -1);
    rig_wait_for(r, "journal", "node up");
    stop(r, RIG_WAIT_MS);
    assert_non_null(strstr(rig_read(r, "log"), "asking for a dump"));
}

static void a_second_signal_hastens(void **state)
{
    struct rig *r = *state;

    /* By itself the stop would take ten minutes. */
    rig_start(r, STUBBORN_NODE, "--node.stop-timeout=10m", -1);
    rig_wait_for(r, "journal", "node up");
    assert_int_equal(kill(r->pid, SIGTERM), 0);
    rig_wait_for(r, "log", "terminating");
    assert_int_equal(kill(r->pid, SIGTERM), 0);
    assert_int_equal(rig_wait_exit(r, RIG_WAIT_MS), 0);
    rig_check_nothing_left(r);
}

static void a_worker_that_ignores_drain_is_killed(void **state)
{
    struct rig *r = *state;

    rig_set_behaviour(r, "rpcd", "stubborn");
    rig_start(r, NULL, NULL, -1);
    wait_all_ready(r);
    stop(r, RIG_WAIT_MS);
    (void)rig_position(r, "rpcd drain");
}

static void nobody_outlives_a_killed_supervisor(void **state)
{
    struct rig *r = *state;

    rig_start(r, GOOD_NODE, NULL, -1);
    wait_all_ready(r);
    rig_wait_for(r, "journal", "node up");
    assert_int_equal(kill(r->pid, SIGKILL), 0);
    assert_int_equal(rig_wait_exit(r, RIG_WAIT_MS), 128 + SIGKILL);
    rig_wait_for(r, "journal", "rpcd orphaned");
    rig_wait_for(r, "journal", "healthd orphaned");
    rig_wait_for(r, "journal", "consensus orphaned");
    rig_wait_for(r, "journal", "node term");
    /* op-node's helper is the documented limit: only a service manager's control group catches it. */
    (void)kill(rig_pid(r, "node helper"), SIGKILL);
    rig_check_nothing_left(r);
}

static void a_missing_worker_is_named(void **state)
{
    struct rig *r = *state;
    char path[128];

    (void)snprintf(path, sizeof path, "%s/op-conductor-healthd", r->dir);
    assert_int_equal(unlink(path), 0);
    rig_start(r, NULL, NULL, -1);
    assert_int_equal(rig_wait_exit(r, RIG_WAIT_MS), 1);
    assert_non_null(strstr(rig_read(r, "log"), "op-conductor-healthd"));
    assert_non_null(strstr(rig_read(r, "log"), "install all executables together"));
}

static void a_missing_op_node_is_named_before_anything_starts(void **state)
{
    struct rig *r = *state;

    rig_start_program(r, "no-such-op-node");
    assert_int_equal(rig_wait_exit(r, RIG_WAIT_MS), 1);
    assert_non_null(strstr(rig_read(r, "log"), "no-such-op-node"));
    assert_string_equal(rig_read(r, "journal"), "");
}

#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        T(starts_and_stops_in_order),
        T(a_killed_worker_comes_back),
        T(rpcd_is_given_pages_listeners_and_its_peer),
        T(a_hanging_worker_is_replaced),
        T(a_worker_that_breaks_the_protocol_is_replaced),
        T(a_flood_stops_nobody),
        T(a_permanent_exit_stops_everything),
        T(another_build_stops_everything),
        T(a_worker_that_never_starts_is_given_up_on),
        T(an_op_node_that_dies_is_restarted),
        T(op_nodes_log_is_asked_for),
        T(without_an_op_node_of_ours_there_is_no_log),
        T(a_stubborn_op_node_and_its_helpers_are_killed),
        T(a_second_signal_hastens),
        T(a_worker_that_ignores_drain_is_killed),
        T(nobody_outlives_a_killed_supervisor),
        T(a_missing_worker_is_named),
        T(a_missing_op_node_is_named_before_anything_starts),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
