/* When a driver asks for votes: nodes that are not ready, or paused, let the others go first. */
#include "consensus/driver.h"
#include "tests/unit/consensus/driver_rig.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

/* The chosen turn is the grace that the others have; then the node asks like anybody else. */
static void others_are_let_ask_first(void **state)
{
    static const struct {
        enum driver_turn turn;
        unsigned quiet, asks_by; /* in election timeouts since the leader is not known */
    } rows[] = {{DRIVER_TURN_FIRST, 1, 2}, {DRIVER_TURN_LATER, 2, 4}, {DRIVER_TURN_LAST, 6, 8}};
    (void)state;
    for (unsigned i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct world *w = start(3, 0);
        driver_set_turn(w->driver, w->now, rows[i].turn);
        advance(w, rows[i].quiet * ET - 5);
        assert_int_equal(count_sent(w, WIRE_REQUEST_VOTE, 2), 0);
        advance(w, (rows[i].asks_by - rows[i].quiet) * ET + 10);
        assert_true(count_sent(w, WIRE_REQUEST_VOTE, 2) > 0);
        end(w);
    }
}

/* A node that becomes ready while it holds back does not wait for its next timer. */
static void an_earlier_turn_is_taken_at_once(void **state)
{
    (void)state;
    struct world *w = start(3, 0);
    driver_set_turn(w->driver, w->now, DRIVER_TURN_LAST);
    advance(w, 2 * ET - 5);
    driver_set_turn(w->driver, w->now, DRIVER_TURN_LATER); /* its grace is not over either */
    assert_int_equal(count_sent(w, WIRE_REQUEST_VOTE, 2), 0);
    driver_set_turn(w->driver, w->now, DRIVER_TURN_FIRST);
    advance(w, 4);
    assert_true(count_sent(w, WIRE_REQUEST_VOTE, 2) > 0);
    end(w);
}

/* Also when the leader's process is known to be gone: it forgets the leader, so that others get its vote. */
static void a_paused_node_does_not_ask_early(void **state)
{
    (void)state;
    struct world *w = start(3, 0);
    assert_int_equal(receive(w, 2, append(2, 1, 1, NULL)), 0);
    driver_set_turn(w->driver, w->now, DRIVER_TURN_LAST);
    driver_peer_gone(w->driver, w->now, 2);
    advance(w, 60);
    assert_int_equal(driver_view(w->driver).leader_id, 0);
    assert_int_equal(count_sent(w, WIRE_REQUEST_VOTE, 3), 0);
    assert_int_equal(receive(w, 3, vote(3, 3, 1, 1, true)), 0);
    assert_int_equal(w->sent[w->sent_count - 1].msg.kind, WIRE_VOTE_RESULT);
    assert_int_equal(w->sent[w->sent_count - 1].msg.vote_result.granted, 1);
    end(w);
}

/* An operator's transfer to a paused node is not delayed. */
static void a_transfer_waits_for_no_turn(void **state)
{
    (void)state;
    struct world *w = start(3, 0);
    assert_int_equal(receive(w, 2, append(2, 1, 1, NULL)), 0);
    driver_set_turn(w->driver, w->now, DRIVER_TURN_LAST);
    struct wire_msg m = {.kind = WIRE_TIMEOUT_NOW, .term = 2, .version = 1};
    m.timeout_now.last_log_index = 1;
    m.timeout_now.last_log_term = 1;
    assert_int_equal(receive(w, 2, m), 0);
    assert_true(count_sent(w, WIRE_REQUEST_VOTE, 3) > 0);
    end(w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(others_are_let_ask_first),
        cmocka_unit_test(an_earlier_turn_is_taken_at_once),
        cmocka_unit_test(a_paused_node_does_not_ask_early),
        cmocka_unit_test(a_transfer_waits_for_no_turn),
    };
    return cmocka_run_group_tests_name("turn", tests, NULL, NULL);
}
