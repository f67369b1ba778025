/* What a node says of itself, and when a death counts: the conductor against fake workers. */
#include "fake_node.h"

#include "supervisor/status.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define MS UINT64_C(1000000)

static struct fake_node *f;

static int setup(void **state)
{
    (void)state;
    f = calloc(1, sizeof *f);
    fake_open(f, "a", false);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    fake_close(f);
    free(f);
    return 0;
}

static void say(const struct msg_health *h)
{
    struct chan_msg msg = {.type = MSG_HEALTH, .body = h, .body_len = sizeof *h, .fd = -1};

    assert_int_equal(conductor_on_message(f->c, f->now_ns, ROLE_HEALTHD, &msg), 0);
}

/* Just started and slow: excused for a while. Gone: acted on as soon as a check after the start says so. */
static void test_an_op_node_dies_right_after_its_start(void **state)
{
    struct msg_health h = {.reason = HEALTH_NODE_UNREACHABLE,
                           .conductor_enabled = NODE_DONT_KNOW,
                           .sequencer_active = NODE_DONT_KNOW,
                           .is_full_check = 1};

    (void)state;
    fake_workers_up(f);
    fake_become_sequencing_leader(f);
    fake_add_server(f, "b", READY_OK);
    fake_run_ms(f, 100);
    say(&h);
    assert_int_equal(f->sent_count, 0);
    h.node_gone = 1;
    say(&h);
    assert_string_equal(fake_take(f, MSG_TRANSFER).body.transfer.target_id, "b");
    fake_expect_none(f, MSG_NODE_CMD); /* nobody there would answer a stop */
}

/* Nobody else could lead, and the start worked although the check before it had found the execution client gone. */
static void test_a_death_before_the_start_is_over(void **state)
{
    struct msg_health h = {.reason = HEALTH_EL_GONE,
                           .node_reachable = 1,
                           .conductor_enabled = NODE_YES,
                           .sequencer_active = NODE_NO,
                           .is_full_check = 1};
    struct fake_sent s;

    (void)state;
    fake_workers_up(f);
    fake_set_head(f, 10);
    h.unsafe_head = f->consensus.head;
    say(&h);
    f->consensus.term = 1;
    fake_publish(f);
    fake_leadership(f, 1, true, "a");
    fake_export_result(f, fake_take(f, MSG_EXPORT).request_id, 0);
    s = fake_take(f, MSG_NODE_CMD);
    fake_node_result(f, &s, NODE_OK, NODE_YES);
    (void)fake_take(f, MSG_PERMIT);
    fake_add_server(f, "b", READY_OK);
    h.sequencer_active = NODE_YES;
    h.is_full_check = 0;
    say(&h);
    fake_run_ms(f, 500);
    assert_int_equal(f->sent_count, 0);
    h.is_full_check = 1;
    say(&h);
    /* op-node answers, so its sequencer is stopped first. */
    assert_int_equal(fake_take(f, MSG_NODE_CMD).body.node_cmd.verb, NODE_CMD_STOP);
}

static void test_reasons_of_the_cluster(void **state)
{
    static const struct {
        struct ready_cluster in;
        enum ready_reason want;
    } rows[] = {
        {{.consensus_up = true, .is_member = true}, READY_OK},
        {{.is_member = true}, READY_NO_CONSENSUS},
        {{.leaderless_ns = 1}, READY_NO_CONSENSUS},
        {{.consensus_up = true}, READY_NOT_MEMBER},
        {{.consensus_up = true, .leaderless_ns = 9000 * MS}, READY_NOT_MEMBER},
        /* An election is not worth a word: a second, or three of its timeouts. */
        {{true, true, 1000 * MS, 300 * MS}, READY_OK},
        {{true, true, 1000 * MS + 1, 300 * MS}, READY_NO_LEADER},
        {{true, true, 1000 * MS + 1, 0}, READY_NO_LEADER},
        {{true, true, 3000 * MS, 1000 * MS}, READY_OK},
        {{true, true, 3000 * MS + 1, 1000 * MS}, READY_NO_LEADER},
    };

    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++)
        if (status_cluster_reason(&rows[i].in) != rows[i].want)
            fail_msg("row %zu: %s", i, status_ready_text(status_cluster_reason(&rows[i].in)));
}

/* Fit as it is, a node that is cut off does not call itself ready; what it tells its peers stays as it was, since only
 * those who hear it could go by that. */
static void test_a_node_that_is_cut_off(void **state)
{
    (void)state;
    fake_workers_up(f);
    fake_health(f, true, NODE_NO);
    assert_int_equal(f->page.ready_reason, READY_OK); /* it has just begun */
    fake_leadership(f, 1, false, "b");
    for (int i = 0; i < 5; i++) {
        fake_run_ms(f, 500);
        fake_health(f, true, NODE_NO);
        assert_int_equal(f->page.ready_reason, READY_OK);
    }
    fake_leadership(f, 2, false, "");
    fake_run_ms(f, 800);
    assert_int_equal(f->page.ready_reason, READY_OK);
    fake_leadership(f, 3, false, "");
    fake_run_ms(f, 500);
    fake_health(f, true, NODE_NO);
    assert_int_equal(f->page.ready_reason, READY_NO_LEADER);
    assert_int_equal(fake_told(f, FLIGHT_READY)->code, READY_NO_LEADER);
    assert_int_equal(f->record.reason, READY_OK);
    fake_leadership(f, 4, false, "b");
    assert_int_equal(f->page.ready_reason, READY_OK);
    /* What is wrong with the node itself goes first. */
    fake_leadership(f, 5, false, "");
    fake_run_ms(f, 1500);
    fake_health(f, false, NODE_NO);
    assert_int_equal(f->page.ready_reason, READY_UNHEALTHY);
}

static void test_a_node_that_is_no_member(void **state)
{
    (void)state;
    memset(f->consensus.servers, 0, sizeof f->consensus.servers);
    f->consensus.server_count = 0;
    fake_workers_up(f);
    fake_health(f, true, NODE_NO);
    assert_int_equal(f->page.ready_reason, READY_NOT_MEMBER);
    fake_add_server(f, "a", READY_OK);
    fake_leadership(f, 1, false, "b");
    assert_int_equal(f->page.ready_reason, READY_OK);
    fake_worker(f, ROLE_CONSENSUS, false);
    assert_int_equal(f->page.ready_reason, READY_NO_CONSENSUS);
    fake_worker(f, ROLE_CONSENSUS, true);
    fake_run_ms(f, 300);
    assert_int_equal(f->page.ready_reason, READY_OK); /* it rejoins: no word of it yet */
    fake_leadership(f, 2, true, "a");
    fake_run_ms(f, 1500);
    fake_health(f, true, NODE_NO);
    assert_int_equal(f->page.ready_reason, READY_OK); /* it leads */
}

/* A consensus worker gone wrong: what it publishes does not run on into what comes after it. */
static void test_names_without_an_end(void **state)
{
    struct page_server *b;
    struct fake_sent s;

    (void)state;
    fake_workers_up(f);
    fake_become_sequencing_leader(f);
    b = fake_add_server(f, "b", READY_OK);
    memset(b->id, 'b', sizeof b->id);
    memset(b->addr, 'b', sizeof b->addr);
    fake_publish(f);
    fake_run_ms(f, 2500);
    fake_health(f, false, NODE_YES);
    s = fake_take(f, MSG_NODE_CMD);
    fake_node_result(f, &s, NODE_OK, NODE_NO);
    s = fake_take(f, MSG_TRANSFER);
    assert_int_equal(strnlen(s.body.transfer.target_id, SERVER_ID_SIZE), SERVER_ID_SIZE - 1);
    assert_int_equal(strnlen(s.body.transfer.target_addr, SERVER_ADDR_SIZE), SERVER_ADDR_SIZE - 1);
}

/* "As many as there are" is a window, too. */
static void test_a_window_without_limit(void **state)
{
    struct msg_health h = {.conductor_enabled = NODE_YES, .node_reachable = 1, .unsafe_head = {.number = 100}};
    struct ready_input in = {.node_up = true,
                             .health_seen = true,
                             .last = &h,
                             .verdict = true,
                             .verdict_ns = 1,
                             .head_valid = true,
                             .head_number = 101,
                             .window = UINT64_MAX};

    (void)state;
    assert_int_equal(status_ready_reason(&in), READY_OK);
    in.head_number = UINT64_MAX;
    assert_int_equal(status_ready_reason(&in), READY_OK);
    in.window = 64;
    assert_int_equal(status_ready_reason(&in), READY_LAGGING);
    in.head_number = 0;
    assert_int_equal(status_ready_reason(&in), READY_OK);
}

/* Blocks so large that fewer of them are kept than were asked for: who needs more cannot be brought to the head. */
static void test_a_window_of_large_payloads(void **state)
{
    static const struct {
        uint64_t count, bytes, lag;
        enum ready_reason want;
    } rows[] = {
        {64, 64 << 20, 64, READY_OK},      {64, 64 << 20, 65, READY_LAGGING}, {30, 62 << 20, 30, READY_OK},
        {30, 62 << 20, 31, READY_LAGGING}, {30, 32 << 20, 31, READY_LAGGING}, {3, 3 << 20, 5, READY_OK}, /* it is new */
    };

    (void)state;
    f->opts.window_bytes = 64 << 20;
    fake_set_head(f, 1000);
    fake_workers_up(f);
    fake_leadership(f, 1, false, "b");
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        f->consensus.window_count = rows[i].count;
        f->consensus.window_bytes = rows[i].bytes;
        fake_publish(f);
        fake_heads(f, 1000 - rows[i].lag, 1000 - rows[i].lag, NODE_NO);
        if (f->record.reason != rows[i].want)
            fail_msg("row %zu: %s", i, status_ready_text((enum ready_reason)f->record.reason));
    }
}

#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        T(test_an_op_node_dies_right_after_its_start),
        T(test_a_death_before_the_start_is_over),
        cmocka_unit_test(test_reasons_of_the_cluster),
        T(test_a_node_that_is_cut_off),
        T(test_a_node_that_is_no_member),
        T(test_names_without_an_end),
        cmocka_unit_test(test_a_window_without_limit),
        T(test_a_window_of_large_payloads),
    };
    return cmocka_run_group_tests_name("readiness", tests, NULL, NULL);
}
