/* The conductor against fake workers: what it asks of them, in which order, and what it never asks. */
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

static void test_a_healthy_leader_starts(void **state)
{
    (void)state;
    fake_workers_up(f);
    fake_become_sequencing_leader(f);
    assert_int_equal(f->page.starts_ok_total, 1);
    assert_int_equal(f->page.state_changes_total[7], 1);
    fake_run_ms(f, 500);
    assert_int_equal(f->sent_count, 0);
    assert_int_equal(f->record.sequencing, 1);
    assert_int_equal(f->record.reason, READY_OK);
}

static void test_records_five_times_a_second(void **state)
{
    unsigned before;

    (void)state;
    fake_workers_up(f);
    fake_health(f, true, NODE_NO);
    before = f->records;
    fake_run_ms(f, 2000);
    assert_true(f->records - before >= 10);
    assert_true(f->records - before <= 40);
}

/* healthd is told when the clock disagrees with the peers', and a new healthd again. */
static void test_a_wrong_clock(void **state)
{
    (void)state;
    fake_workers_up(f);
    struct page_server *b = fake_add_server(f, "b", READY_OK), *c = fake_add_server(f, "c", READY_OK);
    b->record.wall_ms = c->record.wall_ms = f->now_ns / 1000000 + 1700000000000 - 3600000;
    fake_publish(f);
    fake_run_ms(f, 300);
    assert_int_equal(fake_take(f, MSG_CLOCK).body.clock.is_trusted, 0);
    fake_run_ms(f, 600);
    fake_expect_none(f, MSG_CLOCK);
    fake_worker(f, ROLE_HEALTHD, false);
    fake_worker(f, ROLE_HEALTHD, true);
    assert_int_equal(fake_take(f, MSG_CLOCK).body.clock.is_trusted, 0);
    /* What it finds before it has heard that does not count. */
    fake_health(f, true, NODE_NO);
    assert_int_equal(f->page.healthy, 1);
    fake_lag(f);
    assert_int_equal(f->page.healthy, 1);
    fake_run_ms(f, 600);
    fake_lag(f);
    assert_int_equal(f->page.healthy, 0);
    /* Peers that fall silent do not set it right. */
    b->record_age_ms = c->record_age_ms = 5000;
    fake_publish(f);
    fake_run_ms(f, 300);
    fake_expect_none(f, MSG_CLOCK);
    b->record_age_ms = c->record_age_ms = 0;
    b->record.wall_ms = c->record.wall_ms = f->now_ns / 1000000 + 1700000000000;
    fake_publish(f);
    fake_run_ms(f, 300);
    assert_int_equal(fake_take(f, MSG_CLOCK).body.clock.is_trusted, 1);
    fake_worker(f, ROLE_HEALTHD, false);
    fake_worker(f, ROLE_HEALTHD, true);
    fake_run_ms(f, 300);
    fake_expect_none(f, MSG_CLOCK);
}

/* The record goes along with what wakes consensus anyway, if it is due soon; else when it is due. */
static void test_a_record_saves_a_wake_up(void **state)
{
    static const struct {
        unsigned after_ms;
        bool wakes;
        unsigned records;
    } turns[] = {
        {199, false, 0}, {1, false, 1}, {59, true, 0}, {1, false, 0}, {139, false, 0}, {1, false, 1},
        {60, true, 1},   {60, true, 1}, {59, true, 0}, {1, true, 1},  {200, true, 1},  {199, false, 0},
    };

    (void)state;
    fake_workers_up(f);
    fake_run_ms(f, 1000);
    for (unsigned before = f->records; f->records == before;) /* up to a turn in which one is sent */
        fake_run_ms(f, 1);
    for (size_t i = 0; i < sizeof turns / sizeof turns[0]; i++) {
        unsigned before = f->records;

        f->now_ns += turns[i].after_ms * UINT64_C(1000000);
        if (turns[i].wakes)
            conductor_consensus_wakes(f->c);
        (void)conductor_tick(f->c, f->now_ns);
        print_message("  turn %zu\n", i);
        assert_int_equal(f->records - before, turns[i].records);
    }
}

/* A supervisor that was stopped for long reads what its workers said meanwhile before it calls anything late. */
static void test_a_stand_still_makes_nothing_late(void **state)
{
    struct fake_sent s;

    (void)state;
    fake_workers_up(f);
    fake_become_sequencing_leader(f);
    fake_add_server(f, "b", READY_OK);
    fake_publish(f);
    fake_run_ms(f, 900);
    f->now_ns += UINT64_C(8000000000);
    (void)conductor_tick(f->c, f->now_ns);
    assert_int_equal(f->sent_count, 0);
    assert_int_equal(f->record.reason, READY_OK);
    fake_health(f, true, NODE_YES);
    fake_run_ms(f, 1000);
    assert_int_equal(f->sent_count, 0);
    /* Nor what was under way: its answer is still to be read. */
    fake_admin(f, 7, ADMIN_TRANSFER_TO, "b");
    s = fake_take(f, MSG_NODE_CMD);
    f->now_ns += UINT64_C(8000000000);
    (void)conductor_tick(f->c, f->now_ns);
    fake_expect_none(f, MSG_TRANSFER);
    fake_node_result(f, &s, NODE_OK, NODE_NO);
    s = fake_take(f, MSG_TRANSFER);
    fake_transfer_result(f, s.request_id, OC_EUNKNOWN);
    assert_int_equal(fake_take(f, MSG_ADMIN_RESULT).body.admin_result.rc, OC_EUNKNOWN);
}

/* But a healthd that is silent while the supervisor runs has nothing to say. */
static void test_a_silent_healthd_is_found_out(void **state)
{
    (void)state;
    fake_workers_up(f);
    fake_become_sequencing_leader(f);
    fake_add_server(f, "b", READY_OK);
    fake_publish(f);
    f->now_ns += UINT64_C(8000000000);
    fake_run_ms(f, 2500);
    fake_expect_none(f, MSG_NODE_CMD);
    fake_run_ms(f, 1000);
    assert_int_equal(f->record.reason, READY_UNKNOWN);
    assert_int_equal(fake_take(f, MSG_NODE_CMD).body.node_cmd.verb, NODE_CMD_STOP);
}

static void test_lost_leadership_stops_until_stopped(void **state)
{
    struct fake_sent s;

    (void)state;
    fake_workers_up(f);
    fake_become_sequencing_leader(f);
    fake_leadership(f, 2, false, "b");
    s = fake_take(f, MSG_NODE_CMD);
    assert_int_equal(s.body.node_cmd.verb, NODE_CMD_STOP);
    for (unsigned i = 0; i < 5; i++) {
        fake_node_result(f, &s, NODE_UNREACHABLE, NODE_DONT_KNOW);
        fake_expect_none(f, MSG_NODE_CMD);
        fake_run_ms(f, 2000);
        s = fake_take(f, MSG_NODE_CMD);
        assert_int_equal(s.body.node_cmd.verb, NODE_CMD_STOP);
    }
    fake_node_result(f, &s, NODE_OK, NODE_NO);
    fake_run_ms(f, 3000);
    fake_expect_none(f, MSG_NODE_CMD);
    assert_int_equal(f->page.active, NODE_NO);
    assert_int_equal(f->page.stops_ok_total, 1);
}

static void test_lost_during_a_start(void **state)
{
    struct fake_sent s, stop;

    (void)state;
    fake_workers_up(f);
    fake_health(f, true, NODE_NO);
    f->consensus.term = 1;
    fake_set_head(f, 10);
    fake_leadership(f, 1, true, "a");
    s = fake_take(f, MSG_EXPORT);
    /* During the export: nothing happened yet. */
    fake_leadership(f, 2, false, "b");
    fake_expect_none(f, MSG_NODE_CMD);
    fake_export_result(f, s.request_id, 0);
    fake_expect_none(f, MSG_NODE_CMD);
    /* During the takeover: stopped at once; its late success changes nothing. */
    f->consensus.term = 3;
    fake_publish(f);
    fake_leadership(f, 3, true, "a");
    fake_export_result(f, fake_take(f, MSG_EXPORT).request_id, 0);
    s = fake_take(f, MSG_NODE_CMD);
    fake_leadership(f, 4, false, "b");
    stop = fake_take(f, MSG_NODE_CMD);
    assert_int_equal(stop.body.node_cmd.verb, NODE_CMD_STOP);
    fake_node_result(f, &s, NODE_OK, NODE_YES);
    fake_expect_none(f, MSG_PERMIT);
    fake_node_result(f, &stop, NODE_OK, NODE_NO);
    fake_run_ms(f, 2000);
    fake_expect_none(f, MSG_NODE_CMD);
}

static void test_beside_a_live_sequencer(void **state)
{
    struct fake_sent s;

    (void)state;
    fake_workers_up(f);
    fake_set_head(f, 10);
    fake_health(f, true, NODE_YES);
    fake_leadership(f, 1, false, "");
    fake_run_ms(f, 3000);
    fake_expect_none(f, MSG_NODE_CMD);
    /* It leads itself: looked at, not stopped. The heads agree, so that is all. */
    f->consensus.term = 2;
    fake_publish(f);
    fake_leadership(f, 2, true, "a");
    s = fake_take(f, MSG_EXPORT);
    fake_export_result(f, s.request_id, 0);
    s = fake_take(f, MSG_NODE_CMD);
    assert_int_equal(s.body.node_cmd.verb, NODE_CMD_ADOPT);
    fake_node_result(f, &s, NODE_OK, NODE_YES);
    (void)fake_take(f, MSG_PERMIT);
    fake_expect_none(f, MSG_NODE_CMD);
    /* Somebody else leads: stopped. */
    fake_leadership(f, 3, false, "b");
    assert_int_equal(fake_take(f, MSG_NODE_CMD).body.node_cmd.verb, NODE_CMD_STOP);
}

static void test_unhealthy_leader_hands_over(void **state)
{
    struct fake_sent s;

    (void)state;
    fake_workers_up(f);
    fake_become_sequencing_leader(f);
    /* Nobody is ready: it keeps the chain going. */
    fake_add_server(f, "b", READY_UNHEALTHY);
    fake_run_ms(f, 2000);
    fake_health(f, false, NODE_YES);
    fake_run_ms(f, 500);
    assert_int_equal(f->sent_count, 0);
    f->consensus.servers[1].record.reason = READY_OK;
    fake_publish(f);
    fake_run_ms(f, 500);
    s = fake_take(f, MSG_NODE_CMD);
    assert_int_equal(s.body.node_cmd.verb, NODE_CMD_STOP);
    fake_expect_none(f, MSG_TRANSFER);
    fake_node_result(f, &s, NODE_OK, NODE_NO);
    s = fake_take(f, MSG_TRANSFER);
    assert_string_equal(s.body.transfer.target_id, "b");
    fake_transfer_result(f, s.request_id, 0);
    /* Not started again in the moment before consensus says so. */
    assert_int_equal(f->page.leader, 0);
    assert_int_equal(f->page.transfers_ok_total, 1);
    f->sent_count = 0;
    fake_leadership(f, 2, false, "b");
    fake_run_ms(f, 2000);
    assert_int_equal(f->sent_count, 0);
    fake_health(f, true, NODE_NO);
    assert_int_equal(f->record.reason, READY_HELD_DOWN);
    fake_run_ms(f, 2500);
    fake_health(f, true, NODE_NO);
    fake_run_ms(f, 500);
    assert_int_equal(f->record.reason, READY_OK);
}

static void test_a_hanging_op_node_is_not_waited_for(void **state)
{
    struct msg_health h = {.reason = HEALTH_NODE_UNREACHABLE,
                           .conductor_enabled = NODE_DONT_KNOW,
                           .sequencer_active = NODE_DONT_KNOW,
                           .is_full_check = 1};
    struct chan_msg msg = {.type = MSG_HEALTH, .body = &h, .body_len = sizeof h, .fd = -1};
    struct fake_sent s;

    (void)state;
    fake_workers_up(f);
    fake_become_sequencing_leader(f);
    fake_add_server(f, "b", READY_OK);
    fake_run_ms(f, 2500);
    assert_int_equal(conductor_on_message(f->c, f->now_ns, ROLE_HEALTHD, &msg), 0);
    s = fake_take(f, MSG_TRANSFER);
    fake_expect_none(f, MSG_NODE_CMD);
    fake_transfer_result(f, s.request_id, 0);
    assert_int_equal(fake_take(f, MSG_NODE_CMD).body.node_cmd.verb, NODE_CMD_STOP);
}

static void test_healthd_restarts_during_a_takeover(void **state)
{
    struct fake_sent s;

    (void)state;
    fake_workers_up(f);
    fake_health(f, true, NODE_NO);
    fake_set_head(f, 10);
    f->consensus.term = 1;
    fake_publish(f);
    fake_leadership(f, 1, true, "a");
    fake_export_result(f, fake_take(f, MSG_EXPORT).request_id, 0);
    (void)fake_take(f, MSG_NODE_CMD);
    fake_worker(f, ROLE_HEALTHD, false);
    fake_run_ms(f, 200);
    assert_int_equal(f->sent_count, 0);
    fake_worker(f, ROLE_HEALTHD, true);
    s = fake_take(f, MSG_EXPORT);
    fake_export_result(f, s.request_id, 0);
    s = fake_take(f, MSG_NODE_CMD);
    /* The first try had worked. */
    fake_node_result(f, &s, NODE_ALREADY, NODE_YES);
    (void)fake_take(f, MSG_PERMIT);
    assert_int_equal(f->page.starts_already_total, 1);
}

static void test_healthd_restarts_under_a_sequencing_leader(void **state)
{
    (void)state;
    fake_workers_up(f);
    fake_become_sequencing_leader(f);
    fake_add_server(f, "b", READY_OK);
    fake_worker(f, ROLE_HEALTHD, false);
    fake_run_ms(f, 1000);
    fake_worker(f, ROLE_HEALTHD, true);
    fake_run_ms(f, 500);
    fake_health(f, true, NODE_YES);
    assert_int_equal(f->sent_count, 0);
    /* Down for good: after three seconds another node takes over. */
    fake_worker(f, ROLE_HEALTHD, false);
    fake_run_ms(f, 2900);
    assert_int_equal(f->sent_count, 0);
    fake_run_ms(f, 200);
    (void)fake_take(f, MSG_TRANSFER);
}

static void test_consensus_restarts_under_a_sequencing_leader(void **state)
{
    struct fake_sent s;

    (void)state;
    fake_workers_up(f);
    fake_become_sequencing_leader(f);
    fake_worker(f, ROLE_CONSENSUS, false);
    assert_int_equal(f->page.leader, 0);
    fake_run_ms(f, 100);
    fake_worker(f, ROLE_CONSENSUS, true);
    fake_leadership(f, 1, false, "");
    fake_run_ms(f, 400);
    assert_int_equal(f->sent_count, 0);
    f->consensus.term = 2;
    fake_set_head(f, 11);
    fake_leadership(f, 2, true, "a");
    fake_export_result(f, fake_take(f, MSG_EXPORT).request_id, 0);
    s = fake_take(f, MSG_NODE_CMD);
    assert_int_equal(s.body.node_cmd.verb, NODE_CMD_ADOPT);
    fake_node_result(f, &s, NODE_OK, NODE_YES);
    assert_int_equal(fake_take(f, MSG_PERMIT).body.permit.term, 2);
    /* And when another node won: stopped. */
    fake_worker(f, ROLE_CONSENSUS, false);
    fake_worker(f, ROLE_CONSENSUS, true);
    fake_leadership(f, 3, false, "b");
    assert_int_equal(fake_take(f, MSG_NODE_CMD).body.node_cmd.verb, NODE_CMD_STOP);
}

static void test_op_node_exits(void **state)
{
    struct fake_sent s;

    (void)state;
    fake_workers_up(f);
    assert_int_equal(fake_take(f, MSG_NODE_EVENT).body.node_event.up, 1);
    fake_become_sequencing_leader(f);
    fake_add_server(f, "b", READY_OK);
    conductor_on_node(f->c, f->now_ns, false, 1);
    /* At once, and without a stop that nobody would answer. */
    s = fake_take(f, MSG_TRANSFER);
    assert_string_equal(s.body.transfer.target_id, "b");
    fake_expect_none(f, MSG_NODE_CMD);
    assert_int_equal(fake_take(f, MSG_NODE_EVENT).body.node_event.up, 0);
    assert_int_equal(f->record.reason, READY_NODE_DOWN);
    assert_int_equal(f->record.sequencing, 0);
    fake_transfer_result(f, s.request_id, 0);
    fake_leadership(f, 2, false, "b");
    /* A report of the old one counts no more. */
    fake_health(f, true, NODE_YES);
    assert_int_equal(f->page.active, NODE_NO);
    conductor_on_node(f->c, f->now_ns, true, 2);
    fake_health(f, true, NODE_YES);
    assert_int_equal(f->record.reason, READY_UNKNOWN);
}

static void test_op_node_exits_alone(void **state)
{
    struct fake_sent s;

    (void)state;
    fake_workers_up(f);
    fake_become_sequencing_leader(f);
    conductor_on_node(f->c, f->now_ns, false, 1);
    assert_int_equal(fake_take(f, MSG_PERMIT).body.permit.verb, PERMIT_WITHDRAWN);
    fake_run_ms(f, 1000);
    fake_expect_none(f, MSG_TRANSFER);
    fake_expect_none(f, MSG_EXPORT);
    /* It comes back, and is started again. */
    conductor_on_node(f->c, f->now_ns, true, 1);
    fake_health(f, true, NODE_NO);
    s = fake_take(f, MSG_EXPORT);
    fake_export_result(f, s.request_id, 0);
    assert_int_equal(fake_take(f, MSG_NODE_CMD).body.node_cmd.verb, NODE_CMD_TAKEOVER);
}

static void test_a_start_that_fails_is_given_away(void **state)
{
    struct fake_sent s;
    unsigned tries = 0;

    (void)state;
    fake_workers_up(f);
    fake_add_server(f, "b", READY_UNHEALTHY);
    fake_health(f, true, NODE_NO);
    fake_set_head(f, 10);
    f->consensus.term = 1;
    fake_publish(f);
    fake_leadership(f, 1, true, "a");
    for (; tries < 3; tries++) {
        s = fake_take(f, MSG_EXPORT);
        fake_export_result(f, s.request_id, 0);
        s = fake_take(f, MSG_NODE_CMD);
        fake_node_result(f, &s, NODE_REFUSED, NODE_NO);
        if (tries < 2)
            fake_expect_none(f, MSG_EXPORT);
        fake_run_ms(f, 1000);
    }
    assert_string_equal(fake_take(f, MSG_TRANSFER).body.transfer.target_id, "b");
}

static void test_nothing_answers(void **state)
{
    (void)state;
    fake_workers_up(f);
    fake_health(f, true, NODE_NO);
    fake_set_head(f, 10);
    f->consensus.term = 1;
    fake_publish(f);
    fake_leadership(f, 1, true, "a");
    for (unsigned i = 0; i < 3; i++) {
        struct fake_sent s;

        (void)fake_take(f, MSG_EXPORT);
        fake_expect_none(f, MSG_EXPORT);
        fake_run_ms(f, 4000); /* no answer to the export */
        s = fake_take(f, MSG_EXPORT);
        fake_export_result(f, s.request_id, 0);
        (void)fake_take(f, MSG_NODE_CMD);
        fake_run_ms(f, 3800); /* none to the takeover */
    }
}

#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
#define TM(name) cmocka_unit_test_setup_teardown(name, setup_managed, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        T(test_a_healthy_leader_starts),
        T(test_records_five_times_a_second),
        T(test_a_wrong_clock),
        T(test_lost_leadership_stops_until_stopped),
        T(test_a_stand_still_makes_nothing_late),
        T(test_a_silent_healthd_is_found_out),
        T(test_lost_during_a_start),
        T(test_beside_a_live_sequencer),
        T(test_unhealthy_leader_hands_over),
        T(test_a_hanging_op_node_is_not_waited_for),
        T(test_a_record_saves_a_wake_up),
        T(test_healthd_restarts_during_a_takeover),
        T(test_healthd_restarts_under_a_sequencing_leader),
        T(test_consensus_restarts_under_a_sequencing_leader),
        TM(test_op_node_exits),
        TM(test_op_node_exits_alone),
        T(test_a_start_that_fails_is_given_away),
        T(test_nothing_answers),
    };
    return cmocka_run_group_tests_name("conductor", tests, NULL, NULL);
}
