/* op-node and the consensus head: when a permit ends, how what op-node left is given back, and what happens
 * when op-node is ahead. */
#include "fake_node.h"

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
    fake_workers_up(f);
    fake_become_sequencing_leader(f); /* head 10 */
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    fake_close(f);
    free(f);
    return 0;
}

static void expect_permit(enum permit_verb verb)
{
    assert_int_equal(fake_take(f, MSG_PERMIT).body.permit.verb, verb);
}

/* The look that follows: exported from `above` on, given to op-node, which answers so. */
static void answer_adopt(uint64_t above, enum node_rc rc)
{
    struct fake_sent s = fake_take(f, MSG_EXPORT);

    assert_int_equal(s.body.export.above_number, above);
    fake_export_result(f, s.request_id, 0);
    s = fake_take(f, MSG_NODE_CMD);
    assert_int_equal(s.body.node_cmd.verb, NODE_CMD_ADOPT);
    if (rc == NODE_AHEAD)
        s.body.node_cmd.head.number += 5; /* where op-node says it is */
    fake_node_result(f, &s, rc, NODE_YES);
}

static void test_inactive_ends_it(void **state)
{
    (void)state;
    fake_heads(f, 10, 10, NODE_NO);
    expect_permit(PERMIT_WITHDRAWN);
}

static void test_growing_heads_keep_it(void **state)
{
    (void)state;
    for (uint64_t n = 10; n < 14; n++) {
        fake_set_head(f, n);
        fake_heads(f, n, n, NODE_YES);
    }
    fake_heads(f, 13, 0, NODE_YES); /* the execution client did not answer */
    fake_expect_none(f, MSG_PERMIT);
}

static void test_a_head_that_goes_back_suspends_it(void **state)
{
    (void)state;
    fake_heads(f, 10, 10, NODE_YES);
    fake_heads(f, 8, 10, NODE_YES);
    expect_permit(PERMIT_SUSPENDED);
    answer_adopt(8, NODE_OK);
    expect_permit(PERMIT_GRANTED);
}

static void test_the_same_height_is_not_the_same_block(void **state)
{
    struct msg_health m = {.healthy = 1,
                           .node_reachable = 1,
                           .sequencer_active = NODE_YES,
                           .checked_mono_ns = f->now_ns,
                           .unsafe_head = {.number = 10, .hash = {7}}};
    struct chan_msg msg = {.type = MSG_HEALTH, .body = &m, .body_len = sizeof m, .fd = -1};

    (void)state;
    fake_heads(f, 10, 10, NODE_YES);
    assert_int_equal(conductor_on_message(f->c, f->now_ns, ROLE_HEALTHD, &msg), 0);
    expect_permit(PERMIT_SUSPENDED);
}

/* op-node still says that it has the head, but its execution client lost it. */
static void test_a_lost_head_of_the_execution_client(void **state)
{
    (void)state;
    fake_heads(f, 10, 10, NODE_YES);
    fake_heads(f, 10, 4, NODE_YES);
    expect_permit(PERMIT_SUSPENDED);
    fake_run_ms(f, 1000);
    fake_heads(f, 10, 7, NODE_YES);
    fake_expect_none(f, MSG_PERMIT);
    fake_expect_none(f, MSG_EXPORT);
    fake_heads(f, 10, 10, NODE_YES);
    expect_permit(PERMIT_GRANTED);
}

static void test_a_lost_head_is_not_waited_for_ever(void **state)
{
    (void)state;
    fake_heads(f, 10, 10, NODE_YES);
    fake_heads(f, 10, 4, NODE_YES);
    expect_permit(PERMIT_SUSPENDED);
    for (unsigned i = 0; i < 10; i++) {
        fake_expect_none(f, MSG_PERMIT);
        fake_run_ms(f, 1000);
        fake_heads(f, 10, 4, NODE_YES);
    }
    expect_permit(PERMIT_GRANTED);
}

/* An op-node that is not ours and did not answer may be another process now. */
static void test_unreachable_ends_it(void **state)
{
    struct msg_health m = {.node_reachable = 0,
                           .sequencer_active = NODE_DONT_KNOW,
                           .checked_mono_ns = f->now_ns,
                           .unsafe_head = f->consensus.head};
    struct chan_msg msg = {.type = MSG_HEALTH, .body = &m, .body_len = sizeof m, .fd = -1};

    (void)state;
    assert_int_equal(conductor_on_message(f->c, f->now_ns, ROLE_HEALTHD, &msg), 0);
    fake_expect_none(f, MSG_PERMIT);
    fake_heads(f, 10, 10, NODE_YES);
    /* the newest is taken first: withdrawn, then granted by what was seen now */
    expect_permit(PERMIT_GRANTED);
    expect_permit(PERMIT_WITHDRAWN);
}

static void test_what_was_left_is_given_back(void **state)
{
    (void)state;
    fake_heads(f, 10, 10, NODE_YES);
    fake_run_ms(f, 10);
    fake_conflict(f, 8, false);
    expect_permit(PERMIT_SUSPENDED);
    /* Health from before, or from a look that ended since, says that op-node has the head: not enough. */
    fake_heads(f, 10, 10, NODE_YES);
    fake_expect_none(f, MSG_PERMIT);
    fake_run_ms(f, 10);
    answer_adopt(7, NODE_OK);
    struct fake_sent s = fake_take(f, MSG_PERMIT);
    assert_int_equal(s.body.permit.verb, PERMIT_GRANTED);
    assert_int_equal(s.body.permit.head.number, 10);
    assert_int_equal(s.body.permit.looked_mono_ns, f->now_ns - UINT64_C(10000000));
    /* It leaves them again: suspended, and not posted over and over while op-node makes up its mind. */
    fake_heads(f, 7, 10, NODE_YES);
    expect_permit(PERMIT_SUSPENDED);
    fake_run_ms(f, 2000);
    fake_expect_none(f, MSG_EXPORT);
    fake_run_ms(f, 1000);
    (void)fake_take(f, MSG_EXPORT);
}

/* Both heads went back and op-node builds on another branch: giving back what it left is the cure, so that does
 * not wait for the execution client to find its head again. */
static void test_giving_back_does_not_wait_for_the_execution_client(void **state)
{
    (void)state;
    fake_heads(f, 10, 10, NODE_YES);
    fake_run_ms(f, 10);
    fake_heads(f, 10, 3, NODE_YES);
    expect_permit(PERMIT_SUSPENDED);
    fake_expect_none(f, MSG_EXPORT);
    fake_conflict(f, 4, false);
    fake_run_ms(f, 10);
    answer_adopt(3, NODE_OK);
    expect_permit(PERMIT_GRANTED);
}

/* A look that was under way when the payload was refused proves nothing. */
static void test_an_earlier_look_does_not_count(void **state)
{
    struct fake_sent s;

    (void)state;
    fake_heads(f, 10, 10, NODE_YES);
    fake_heads(f, 9, 10, NODE_YES);
    expect_permit(PERMIT_SUSPENDED);
    s = fake_take(f, MSG_EXPORT);
    fake_export_result(f, s.request_id, 0);
    s = fake_take(f, MSG_NODE_CMD);
    fake_run_ms(f, 5);
    fake_conflict(f, 10, false);
    fake_run_ms(f, 5);
    fake_node_result(f, &s, NODE_OK, NODE_YES);
    fake_expect_none(f, MSG_PERMIT);
    answer_adopt(9, NODE_OK);
    expect_permit(PERMIT_GRANTED);
}

static void test_old_news_of_a_conflict(void **state)
{
    (void)state;
    f->consensus.term = 9; /* not the term it leads in */
    fake_conflict(f, 8, false);
    assert_int_equal(f->sent_count, 0);
}

/* Alone and ahead: asked again and again, ever more slowly, without giving up leadership. */
static void test_ahead_without_another_voter(void **state)
{
    unsigned looks = 0;

    (void)state;
    fake_run_ms(f, 10);
    fake_conflict(f, 10, true);
    expect_permit(PERMIT_SUSPENDED);
    for (unsigned ms = 0; ms < 20000; ms += 100) {
        bool asked = false;

        for (size_t i = 0; i < f->sent_count; i++)
            asked = asked || f->sent[i].type == MSG_EXPORT;
        if (asked) {
            answer_adopt(9, NODE_AHEAD);
            looks++;
        }
        fake_run_ms(f, 100);
    }
    assert_in_range(looks, 15, 30);
    fake_expect_none(f, MSG_TRANSFER);
    fake_expect_none(f, MSG_PERMIT);
}

static void test_ahead_beside_a_ready_voter(void **state)
{
    (void)state;
    fake_add_server(f, "b", READY_OK);
    fake_run_ms(f, 10);
    fake_conflict(f, 10, true);
    expect_permit(PERMIT_SUSPENDED);
    for (unsigned ms = 0; ms < 11000; ms += 1000) {
        answer_adopt(9, NODE_AHEAD);
        fake_expect_none(f, MSG_TRANSFER);
        fake_run_ms(f, 1000);
        fake_heads(f, 15, 15, NODE_YES); /* healthy otherwise */
    }
    answer_adopt(9, NODE_AHEAD);
    fake_run_ms(f, 2000);
    assert_int_equal(fake_take(f, MSG_NODE_CMD).body.node_cmd.verb, NODE_CMD_STOP);
}

#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        T(test_inactive_ends_it),
        T(test_growing_heads_keep_it),
        T(test_a_head_that_goes_back_suspends_it),
        T(test_the_same_height_is_not_the_same_block),
        T(test_a_lost_head_of_the_execution_client),
        T(test_a_lost_head_is_not_waited_for_ever),
        T(test_unreachable_ends_it),
        T(test_what_was_left_is_given_back),
        T(test_giving_back_does_not_wait_for_the_execution_client),
        T(test_an_earlier_look_does_not_count),
        T(test_old_news_of_a_conflict),
        T(test_ahead_without_another_voter),
        T(test_ahead_beside_a_ready_voter),
    };
    return cmocka_run_group_tests_name("head", tests, NULL, NULL);
}
