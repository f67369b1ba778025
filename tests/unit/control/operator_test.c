/* What operators ask of the conductor, against fake workers: pausing, transfers, stopping. */
#include "fake_node.h"

#include "shared/base/err.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static struct fake_node *f;

static int setup(void **state)
{
    (void)state;
    f = calloc(1, sizeof *f);
    fake_open(f, "a", false);
    return 0;
}

static int setup_managed(void **state)
{
    (void)state;
    f = calloc(1, sizeof *f);
    fake_open(f, "a", true);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    fake_close(f);
    free(f);
    return 0;
}

static void test_failed_transfer_resumes_here(void **state)
{
    struct fake_sent s;

    (void)state;
    fake_workers_up(f);
    fake_become_sequencing_leader(f);
    fake_add_server(f, "b", READY_OK);
    fake_admin(f, 9, ADMIN_TRANSFER_TO, "b");
    s = fake_take(f, MSG_NODE_CMD);
    assert_int_equal(s.body.node_cmd.verb, NODE_CMD_STOP);
    fake_expect_none(f, MSG_ADMIN_RESULT);
    /* Another operator is told so meanwhile. */
    fake_admin(f, 10, ADMIN_TRANSFER, "");
    assert_int_equal(fake_take(f, MSG_ADMIN_RESULT).body.admin_result.rc, OC_ETRANSFER);
    fake_node_result(f, &s, NODE_OK, NODE_NO);
    s = fake_take(f, MSG_TRANSFER);
    fake_transfer_result(f, s.request_id, OC_EDEADLINE);
    s = fake_take(f, MSG_ADMIN_RESULT);
    assert_int_equal(s.request_id, 9);
    assert_int_equal(s.body.admin_result.rc, OC_EDEADLINE);
    assert_int_equal(f->page.asked_transfers_failed_total, 1);
    assert_int_equal(f->page.transfers_failed_total, 0);
    s = fake_take(f, MSG_EXPORT);
    fake_export_result(f, s.request_id, 0);
    assert_int_equal(fake_take(f, MSG_NODE_CMD).body.node_cmd.verb, NODE_CMD_TAKEOVER);
}

static void test_transfer_answers(void **state)
{
    (void)state;
    fake_workers_up(f);
    fake_admin(f, 1, ADMIN_TRANSFER, "");
    assert_int_equal(fake_take(f, MSG_ADMIN_RESULT).body.admin_result.rc, 0);
    fake_admin(f, 2, ADMIN_TRANSFER_TO, "b");
    assert_string_equal(fake_take(f, MSG_ADMIN_RESULT).body.admin_result.text, "node is not the leader");
    fake_admin(f, 3, ADMIN_TRANSFER_TO, "a");
    assert_string_equal(fake_take(f, MSG_ADMIN_RESULT).body.admin_result.text, "cannot transfer leadership to itself");
    fake_become_sequencing_leader(f);
    fake_admin(f, 4, ADMIN_TRANSFER, "");
    assert_string_equal(fake_take(f, MSG_ADMIN_RESULT).body.admin_result.text, "cannot find peer");
    /* Nobody stops sequencing for a server that cannot take over. */
    fake_add_server(f, "standby", READY_OK)->suffrage = 1;
    fake_publish(f);
    fake_admin(f, 5, ADMIN_TRANSFER_TO, "nobody");
    assert_string_equal(fake_take(f, MSG_ADMIN_RESULT).body.admin_result.text,
                        "cannot find replication state for nobody");
    fake_admin(f, 6, ADMIN_TRANSFER_TO, "standby");
    assert_string_equal(fake_take(f, MSG_ADMIN_RESULT).body.admin_result.text,
                        "cannot find replication state for standby");
    fake_expect_none(f, MSG_NODE_CMD);
}

static void test_stop_that_hangs_does_not_hold_a_transfer_up(void **state)
{
    struct fake_sent s;

    (void)state;
    fake_workers_up(f);
    fake_become_sequencing_leader(f);
    fake_add_server(f, "b", READY_OK);
    fake_admin(f, 9, ADMIN_TRANSFER, "");
    (void)fake_take(f, MSG_NODE_CMD);
    fake_run_ms(f, 4000);
    s = fake_take(f, MSG_TRANSFER);
    fake_transfer_result(f, s.request_id, 0);
    assert_int_equal(fake_take(f, MSG_ADMIN_RESULT).body.admin_result.rc, 0);
    /* And goes on stopping it. */
    assert_int_equal(fake_take(f, MSG_NODE_CMD).body.node_cmd.verb, NODE_CMD_STOP);
}

static void test_op_node_found_silent_while_it_is_stopped(void **state)
{
    struct msg_health h = {.reason = HEALTH_NODE_UNREACHABLE, .sequencer_active = NODE_DONT_KNOW, .is_full_check = 1};
    struct chan_msg msg = {.type = MSG_HEALTH, .body = &h, .body_len = sizeof h, .fd = -1};

    (void)state;
    fake_workers_up(f);
    fake_become_sequencing_leader(f);
    fake_add_server(f, "b", READY_OK);
    fake_admin(f, 9, ADMIN_TRANSFER, "");
    assert_int_equal(fake_take(f, MSG_NODE_CMD).body.node_cmd.verb, NODE_CMD_STOP);
    fake_run_ms(f, 100);
    fake_expect_none(f, MSG_TRANSFER);
    assert_int_equal(conductor_on_message(f->c, f->now_ns, ROLE_HEALTHD, &msg), 0);
    fake_transfer_result(f, fake_take(f, MSG_TRANSFER).request_id, 0);
    assert_int_equal(fake_take(f, MSG_ADMIN_RESULT).body.admin_result.rc, 0);
}

static void test_paused_does_nothing_by_itself(void **state)
{
    struct fake_sent s;

    (void)state;
    fake_workers_up(f);
    fake_become_sequencing_leader(f);
    fake_add_server(f, "b", READY_OK);
    fake_admin(f, 1, ADMIN_PAUSE, "");
    assert_int_equal(f->page.paused, 1);
    (void)fake_take(f, MSG_ADMIN_RESULT);
    fake_health(f, false, NODE_YES);
    fake_run_ms(f, 2000);
    assert_int_equal(f->sent_count, 0);
    /* An operator's transfer is carried out, and leaves the sequencer to the operator. */
    fake_admin(f, 2, ADMIN_TRANSFER, "");
    fake_expect_none(f, MSG_NODE_CMD);
    s = fake_take(f, MSG_TRANSFER);
    fake_transfer_result(f, s.request_id, 0);
    fake_leadership(f, 2, false, "b");
    fake_run_ms(f, 2000);
    fake_expect_none(f, MSG_NODE_CMD);
    fake_admin(f, 3, ADMIN_RESUME, "");
    s = fake_take(f, MSG_NODE_CMD);
    assert_int_equal(s.body.node_cmd.verb, NODE_CMD_STOP);
    /* A paused leader's sequencer that an operator starts gets its permit. */
    fake_admin(f, 4, ADMIN_PAUSE, "");
    fake_node_result(f, &s, NODE_OK, NODE_NO);
    f->sent_count = 0;
    fake_leadership(f, 3, true, "a");
    fake_run_ms(f, 10);
    assert_int_equal(f->sent_count, 0);
    fake_health(f, true, NODE_YES);
    s = fake_take(f, MSG_PERMIT);
    assert_int_equal(s.body.permit.term, 3);
    fake_health(f, true, NODE_NO);
    assert_int_equal(fake_take(f, MSG_PERMIT).body.permit.verb, PERMIT_WITHDRAWN);
}

/* Paused between the export and the takeover: nothing is started any more. */
static void test_pause_during_a_start(void **state)
{
    struct fake_sent s;

    (void)state;
    fake_workers_up(f);
    fake_health(f, true, NODE_NO);
    fake_set_head(f, 10);
    f->consensus.term = 1;
    fake_leadership(f, 1, true, f->opts.server_id);
    s = fake_take(f, MSG_EXPORT);
    fake_admin(f, 1, ADMIN_PAUSE, "");
    fake_export_result(f, s.request_id, 0);
    fake_run_ms(f, 2000);
    fake_expect_none(f, MSG_NODE_CMD);
    fake_admin(f, 2, ADMIN_RESUME, "");
    (void)fake_take(f, MSG_EXPORT);
}

static void test_shutdown_of_a_leader(void **state)
{
    struct fake_sent s;

    (void)state;
    fake_workers_up(f);
    fake_become_sequencing_leader(f);
    fake_add_server(f, "b", READY_OK);
    conductor_begin_shutdown(f->c, f->now_ns);
    s = fake_take(f, MSG_NODE_CMD);
    assert_int_equal(s.body.node_cmd.verb, NODE_CMD_STOP);
    fake_node_result(f, &s, NODE_OK, NODE_NO);
    s = fake_take(f, MSG_TRANSFER);
    fake_transfer_result(f, s.request_id, 0);
    fake_leadership(f, 2, false, "b");
    fake_run_ms(f, 50);
    assert_int_equal(f->stop_finished, 0);
    f->consensus.servers[1].record.sequencing = 1;
    fake_publish(f);
    fake_run_ms(f, 50);
    assert_int_equal(f->stop_finished, 1);
    fake_run_ms(f, 5000);
    conductor_begin_shutdown(f->c, f->now_ns);
    assert_int_equal(f->stop_finished, 1);
    fake_expect_none(f, MSG_EXPORT);
    fake_expect_none(f, MSG_NODE_CMD);
}

static void test_shutdown_is_bounded(void **state)
{
    (void)state;
    fake_workers_up(f);
    fake_become_sequencing_leader(f);
    fake_add_server(f, "b", READY_OK);
    conductor_begin_shutdown(f->c, f->now_ns);
    fake_run_ms(f, 8000);
    assert_int_equal(f->stop_finished, 1);
}

static void test_shutdown_cut_short(void **state)
{
    (void)state;
    fake_workers_up(f);
    fake_become_sequencing_leader(f);
    fake_add_server(f, "b", READY_OK);
    conductor_begin_shutdown(f->c, f->now_ns);
    assert_int_equal(f->stop_finished, 0);
    conductor_begin_shutdown(f->c, f->now_ns);
    assert_int_equal(f->stop_finished, 1);
}

static void test_shutdown_of_a_follower(void **state)
{
    (void)state;
    fake_workers_up(f);
    fake_leadership(f, 1, false, "b");
    conductor_begin_shutdown(f->c, f->now_ns);
    assert_int_equal(f->stop_finished, 1);
    assert_int_equal(f->record.reason, READY_STOPPED);
}

static void test_conductor_stop(void **state)
{
    struct fake_sent s;

    (void)state;
    fake_workers_up(f);
    fake_become_sequencing_leader(f);
    fake_admin(f, 7, ADMIN_STOP, "");
    s = fake_take(f, MSG_NODE_CMD);
    fake_expect_none(f, MSG_ADMIN_RESULT);
    fake_node_result(f, &s, NODE_OK, NODE_NO);
    (void)fake_take(f, MSG_STOP_RAFT);
    assert_int_equal(fake_take(f, MSG_ADMIN_RESULT).body.admin_result.rc, 0);
    assert_int_equal(f->page.stopped, 1);
    assert_int_equal(fake_take(f, MSG_PERMIT).body.permit.verb, PERMIT_WITHDRAWN);
    fake_run_ms(f, 5000);
    assert_int_equal(f->sent_count, 0);
    fake_admin(f, 8, ADMIN_STOP, "");
    assert_int_equal(fake_take(f, MSG_ADMIN_RESULT).body.admin_result.rc, 0);
}

static void test_stopping_op_node_hands_over_first(void **state)
{
    struct fake_sent s;

    (void)state;
    fake_workers_up(f);
    fake_become_sequencing_leader(f);
    fake_add_server(f, "b", READY_OK);
    fake_admin(f, 3, ADMIN_NODE_RESTART, "");
    assert_int_equal(f->node_restarts, 0);
    fake_node_result(f, (s = fake_take(f, MSG_NODE_CMD), &s), NODE_OK, NODE_NO);
    fake_transfer_result(f, fake_take(f, MSG_TRANSFER).request_id, 0);
    assert_int_equal(f->node_restarts, 1);
    assert_int_equal(fake_take(f, MSG_ADMIN_RESULT).body.admin_result.rc, 0);
}

static void test_other_requests(void **state)
{
    (void)state;
    fake_workers_up(f);
    fake_admin(f, 1, ADMIN_NODE_START, "");
    assert_true(fake_take(f, MSG_ADMIN_RESULT).body.admin_result.rc != 0); /* not managed */
    fake_admin(f, 2, ADMIN_RESTART_WORKER, "healthd");
    assert_int_equal(fake_take(f, MSG_ADMIN_RESULT).body.admin_result.rc, 0);
    assert_int_equal(f->worker_restarts, 1);
    fake_admin(f, 3, ADMIN_RESTART_WORKER, "nobody");
    assert_true(fake_take(f, MSG_ADMIN_RESULT).body.admin_result.rc != 0);
    fake_admin(f, 4, (enum admin_verb)99, "");
    assert_true(fake_take(f, MSG_ADMIN_RESULT).body.admin_result.rc != 0);
}

/* Hands over for its health's sake, and is healthy again. */
static void hand_over_and_recover(void)
{
    struct fake_sent s;

    fake_workers_up(f);
    fake_become_sequencing_leader(f);
    fake_add_server(f, "b", READY_OK);
    fake_run_ms(f, 2500);
    fake_health(f, false, NODE_YES);
    s = fake_take(f, MSG_NODE_CMD);
    fake_node_result(f, &s, NODE_OK, NODE_NO);
    fake_transfer_result(f, fake_take(f, MSG_TRANSFER).request_id, 0);
    fake_leadership(f, 2, false, "b");
    fake_set_head(f, f->consensus.head.number + 1);
    fake_health(f, true, NODE_NO);
    assert_int_equal(f->record.reason, READY_HELD_DOWN);
    f->sent_count = 0;
}

static void get_leadership(uint32_t asked)
{
    struct msg_leadership m = {.state = RAFT_ROLE_LEADER,
                               .leader_ready = 1,
                               .term = 3,
                               .leader_id = "a",
                               .head_valid = 1,
                               .asked = asked,
                               .head = f->consensus.head};
    struct chan_msg msg = {.type = MSG_LEADERSHIP, .body = &m, .body_len = sizeof m, .fd = -1};

    assert_int_equal(conductor_on_message(f->c, f->now_ns, ROLE_CONSENSUS, &msg), 0);
}

static void test_held_down_it_passes_leadership_on(void **state)
{
    (void)state;
    hand_over_and_recover();
    get_leadership(0);
    assert_string_equal(fake_take(f, MSG_TRANSFER).body.transfer.target_id, "b");
}

static void test_held_down_it_keeps_what_an_operator_gave(void **state)
{
    (void)state;
    hand_over_and_recover();
    get_leadership(1);
    (void)fake_take(f, MSG_EXPORT);
    fake_expect_none(f, MSG_TRANSFER);
    assert_int_equal(f->record.reason, READY_OK);
}

static void test_fresh_bootstrap_waits_for_resume(void **state)
{
    struct msg_leadership m = {
        .state = RAFT_ROLE_LEADER, .leader_ready = 1, .term = 1, .leader_id = "a", .fresh_bootstrap = 1};
    struct chan_msg msg = {.type = MSG_LEADERSHIP, .body = &m, .body_len = sizeof m, .fd = -1};
    struct fake_sent s;

    (void)state;
    fake_workers_up(f);
    fake_health(f, true, NODE_NO);
    f->consensus.term = 1;
    assert_int_equal(conductor_on_message(f->c, f->now_ns, ROLE_CONSENSUS, &msg), 0);
    fake_run_ms(f, 5000);
    assert_int_equal(f->page.paused, 1);
    assert_int_equal(f->record.reason, READY_PAUSED);
    assert_int_equal(f->sent_count, 0);
    /* Resumed: consensus forgets the hold, and sequencing starts without a head. */
    fake_health(f, true, NODE_NO);
    fake_admin(f, 5, ADMIN_RESUME, "");
    s = fake_take(f, MSG_ADMIN_RESULT);
    assert_int_equal(s.body.admin_result.rc, 0);
    assert_int_equal(f->page.paused, 0);
    (void)fake_take(f, MSG_RELEASE_HOLD);
    s = fake_take(f, MSG_EXPORT);
    assert_int_equal(s.body.export.above_number, 0);
    fake_export_result(f, s.request_id, 0);
    s = fake_take(f, MSG_NODE_CMD);
    assert_int_equal(s.body.node_cmd.verb, NODE_CMD_TAKEOVER);
    assert_int_equal(s.body.node_cmd.head_valid, 0);
    fake_node_result(f, &s, NODE_OK, NODE_YES);
    (void)fake_take(f, MSG_PERMIT);
    /* An event that consensus sent before it knew does not pause again, and is answered. */
    assert_int_equal(conductor_on_message(f->c, f->now_ns, ROLE_CONSENSUS, &msg), 0);
    assert_int_equal(f->page.paused, 0);
    (void)fake_take(f, MSG_RELEASE_HOLD);
}

#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
#define TM(name) cmocka_unit_test_setup_teardown(name, setup_managed, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        T(test_failed_transfer_resumes_here),
        T(test_transfer_answers),
        T(test_stop_that_hangs_does_not_hold_a_transfer_up),
        T(test_op_node_found_silent_while_it_is_stopped),
        T(test_paused_does_nothing_by_itself),
        T(test_pause_during_a_start),
        T(test_shutdown_of_a_leader),
        T(test_shutdown_is_bounded),
        T(test_shutdown_cut_short),
        T(test_shutdown_of_a_follower),
        T(test_conductor_stop),
        TM(test_stopping_op_node_hands_over_first),
        T(test_other_requests),
        T(test_held_down_it_passes_leadership_on),
        T(test_held_down_it_keeps_what_an_operator_gave),
        T(test_fresh_bootstrap_waits_for_resume),
    };
    return cmocka_run_group_tests_name("operators", tests, NULL, NULL);
}
