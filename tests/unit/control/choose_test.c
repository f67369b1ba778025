/* The choice of a transfer's target. */
#include "supervisor/choose.h"
#include "supervisor/status.h"
#include "supervisor/status_clock.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static struct page_consensus *page;
static struct choose_history history;

static int setup(void **state)
{
    (void)state;
    page = calloc(1, sizeof *page);
    memset(&history, 0, sizeof history);
    page->head_valid = 1;
    page->head.number = 100;
    return page == NULL;
}

static int teardown(void **state)
{
    (void)state;
    free(page);
    return 0;
}

static struct page_server *add(const char *id, enum ready_reason reason, uint64_t head)
{
    struct page_server *s = &page->servers[page->server_count++];

    snprintf(s->id, sizeof s->id, "%s", id);
    snprintf(s->addr, sizeof s->addr, "%s:1", id);
    s->record.reason = reason;
    s->record.unsafe_head.number = head;
    return s;
}

static void expect(enum control_target want, const char *id)
{
    unsigned index = 0;

    assert_int_equal(choose_target(page, "self", &history, 1000, &index), want);
    if (id != NULL)
        assert_string_equal(page->servers[index].id, id);
}

static void test_nobody(void **state)
{
    (void)state;
    expect(CONTROL_TARGET_NONE, NULL);
    add("self", READY_OK, 100);
    expect(CONTROL_TARGET_NONE, NULL);
}

static void test_only_reachable_voters(void **state)
{
    (void)state;
    add("self", READY_OK, 100);
    add("nonvoter", READY_OK, 100)->suffrage = SUFFRAGE_NONVOTER;
    add("silent", READY_OK, 100)->contact_age_ms = 5000;
    add("old", READY_OK, 100)->record_age_ms = UINT64_MAX;
    add("paused", READY_OK, 100)->record.paused = 1;
    expect(CONTROL_TARGET_NONE, NULL);
    add("good", READY_OK, 90);
    expect(CONTROL_TARGET_READY, "good");
}

static void test_ready_before_near(void **state)
{
    (void)state;
    add("near", READY_UNHEALTHY, 100);
    expect(CONTROL_TARGET_FALLBACK, "near");
    add("ready", READY_OK, 40);
    expect(CONTROL_TARGET_READY, "ready");
}

static void test_classes(void **state)
{
    (void)state;
    for (unsigned r = 0; r < READY_REASON_COUNT; r++) {
        bool ready = r == READY_OK;
        bool fallback = r == READY_UNKNOWN || r == READY_UNHEALTHY || r == READY_LAGGING || r == READY_HELD_DOWN;

        page->server_count = 0;
        memset(page->servers, 0, sizeof page->servers);
        add("x", (enum ready_reason)r, 100);
        expect(ready ? CONTROL_TARGET_READY : fallback ? CONTROL_TARGET_FALLBACK : CONTROL_TARGET_NONE, NULL);
    }
}

static void test_held_down_is_between(void **state)
{
    (void)state;
    add("a", READY_UNHEALTHY, 100);
    add("b", READY_HELD_DOWN, 50);
    expect(CONTROL_TARGET_FALLBACK, "b");
    add("c", READY_OK, 40);
    expect(CONTROL_TARGET_READY, "c");
}

static void test_order(void **state)
{
    (void)state;
    add("c", READY_OK, 100);
    add("b", READY_OK, 100);
    add("a", READY_OK, 98);
    expect(CONTROL_TARGET_READY, "b");
    choose_note_failure(&history, "b", 2000);
    expect(CONTROL_TARGET_READY, "c");
    choose_note_failure(&history, "c", 2000);
    expect(CONTROL_TARGET_READY, "a");
    choose_note_failure(&history, "a", 2000);
    expect(CONTROL_TARGET_READY, "b");
    choose_forget_failure(&history, "c");
    expect(CONTROL_TARGET_READY, "c");
}

/* Where nobody is ready each gets its turn, and a hold-down does not bring back who has just had its own. */
static void test_whose_turn_it_is(void **state)
{
    (void)state;
    add("a", READY_UNHEALTHY, 100);
    add("b", READY_UNHEALTHY, 100);
    add("c", READY_UNHEALTHY, 90);
    expect(CONTROL_TARGET_FALLBACK, "a");
    choose_note_barren(&history, "a", 500);
    expect(CONTROL_TARGET_FALLBACK, "b");
    choose_note_barren(&history, "b", 600);
    expect(CONTROL_TARGET_FALLBACK, "c");
    choose_note_barren(&history, "c", 700);
    expect(CONTROL_TARGET_FALLBACK, "a");
    choose_note_barren(&history, "a", 800);
    expect(CONTROL_TARGET_FALLBACK, "b");
    choose_forget_barren(&history, "c");
    expect(CONTROL_TARGET_FALLBACK, "c");
    page->servers[1].record.reason = READY_HELD_DOWN;
    expect(CONTROL_TARGET_FALLBACK, "c");
    /* Ready still comes first. */
    page->servers[0].record.reason = READY_OK;
    expect(CONTROL_TARGET_READY, "a");
    for (unsigned i = 0; i < 3 * CLUSTER_SERVERS_MAX; i++) {
        char id[16];

        snprintf(id, sizeof id, "n%u", i);
        choose_note_barren(&history, id, 900);
        assert_true(history.barren_count <= CLUSTER_SERVERS_MAX);
    }
}

/* An op-node above the consensus head cannot start on it. */
static void test_ahead_is_not_ready(void **state)
{
    (void)state;
    add("a", READY_OK, 101);
    expect(CONTROL_TARGET_FALLBACK, "a");
    add("b", READY_OK, 103);
    expect(CONTROL_TARGET_FALLBACK, "a");
    add("c", READY_OK, 40);
    expect(CONTROL_TARGET_READY, "c");
}

/* Without a head the first one must be above everybody's. */
static void test_the_highest_without_a_head(void **state)
{
    (void)state;
    page->head_valid = 0;
    add("a", READY_OK, 50);
    add("b", READY_OK, 70);
    expect(CONTROL_TARGET_READY, "b");
}

static void test_failures_are_forgotten(void **state)
{
    (void)state;
    add("a", READY_OK, 100);
    add("b", READY_OK, 100);
    choose_note_failure(&history, "a", 1000); /* over now */
    expect(CONTROL_TARGET_READY, "a");
    for (unsigned i = 0; i < 3 * CHOOSE_FAILED_MAX; i++) {
        char id[16];

        snprintf(id, sizeof id, "n%u", i);
        choose_note_failure(&history, id, 5000);
        assert_true(history.count <= CHOOSE_FAILED_MAX);
    }
    choose_note_failure(&history, "a", 5000);
    expect(CONTROL_TARGET_READY, "b");
}

static void test_too_many_servers(void **state)
{
    (void)state;
    for (unsigned i = 0; i < CLUSTER_SERVERS_MAX; i++)
        add("self", READY_OK, 100);
    page->server_count = UINT64_MAX;
    expect(CONTROL_TARGET_NONE, NULL);
}

/* ---- readiness of this node ---- */

static void test_ready_reason(void **state)
{
    struct msg_health h = {.conductor_enabled = NODE_YES, .el_syncing = NODE_NO, .unsafe_head = {.number = 90}};
    struct ready_input good = {.now_ns = 1000000000,
                               .node_up = true,
                               .health_seen = true,
                               .last = &h,
                               .verdict = true,
                               .verdict_ns = 900000000,
                               .interval_ns = 1000000000,
                               .head_valid = true,
                               .head_number = 100,
                               .window = 64};
    struct ready_input in = good;

    (void)state;
    assert_int_equal(status_ready_reason(&in), READY_OK);
    in.witness = true;
    assert_int_equal(status_ready_reason(&in), READY_WITNESS);
    in = good;
    in.node_up = false;
    assert_int_equal(status_ready_reason(&in), READY_NODE_DOWN);
    in = good;
    in.health_seen = false;
    assert_int_equal(status_ready_reason(&in), READY_UNKNOWN);
    /* Kept for three seconds, or for two intervals when that is longer. */
    in = good;
    in.now_ns = 3899999999;
    assert_int_equal(status_ready_reason(&in), READY_OK);
    in.now_ns = 3900000000;
    assert_int_equal(status_ready_reason(&in), READY_UNKNOWN);
    in.interval_ns = 5000000000;
    assert_int_equal(status_ready_reason(&in), READY_OK);
    in = good;
    in.verdict = false;
    assert_int_equal(status_ready_reason(&in), READY_NODE_DOWN);
    h.node_reachable = 1;
    assert_int_equal(status_ready_reason(&in), READY_UNHEALTHY);
    in = good;
    in.head_number = 155;
    assert_int_equal(status_ready_reason(&in), READY_LAGGING);
    in.head_number = 154;
    assert_int_equal(status_ready_reason(&in), READY_OK);
    in.hold_down_until_ns = in.now_ns + 1;
    assert_int_equal(status_ready_reason(&in), READY_HELD_DOWN);
    in = good;
    h.el_syncing = NODE_YES;
    assert_int_equal(status_ready_reason(&in), READY_EL_SYNCING);
    h.conductor_enabled = NODE_NO;
    assert_int_equal(status_ready_reason(&in), READY_CONDUCTOR_DISABLED);
}

/* A sequencer that stands still makes every head old: that must not keep the others from taking over. */
static void test_an_old_head_of_the_whole_chain(void **state)
{
    struct msg_health h = {.conductor_enabled = NODE_YES,
                           .node_reachable = 1,
                           .reason = HEALTH_UNSAFE_LAG,
                           .only_old_head = 1,
                           .unsafe_head = {.number = 100}};
    struct ready_input in = {.now_ns = 1000000000,
                             .node_up = true,
                             .health_seen = true,
                             .last = &h,
                             .verdict_ns = 900000000,
                             .interval_ns = 1000000000,
                             .head_valid = true,
                             .head_number = 100,
                             .window = 64};

    (void)state;
    assert_int_equal(status_ready_reason(&in), READY_OK);
    in.head_number = 101;
    assert_int_equal(status_ready_reason(&in), READY_OK);
    in.head_number = 102; /* the chain goes on, only this op-node does not follow */
    assert_int_equal(status_ready_reason(&in), READY_UNHEALTHY);
    in.head_number = 100;
    in.hold_down_until_ns = in.now_ns + 1;
    assert_int_equal(status_ready_reason(&in), READY_HELD_DOWN);
    in.hold_down_until_ns = 0;
    h.only_old_head = 0;
    assert_int_equal(status_ready_reason(&in), READY_UNHEALTHY);
    h.only_old_head = 1;
    in.leads = true; /* it is the one that stands still */
    assert_int_equal(status_ready_reason(&in), READY_UNHEALTHY);
    in.leads = false;
    in.head_valid = false;
    assert_int_equal(status_ready_reason(&in), READY_UNHEALTHY);
}

/* ---- clocks ---- */

#define WALL UINT64_C(1700000000000)

static void add_clock(const char *id, int64_t ahead_ms, uint64_t age_ms)
{
    struct page_server *s = add(id, READY_OK, 100);

    s->record.wall_ms = (uint64_t)((int64_t)(WALL - age_ms) + ahead_ms);
    s->record_age_ms = age_ms;
}

static int64_t offset(void)
{
    int64_t offset_ms;

    (void)status_clock_compare(page, "self", WALL, &offset_ms);
    return offset_ms;
}

static void test_clock_offset(void **state)
{
    const int64_t hour = 3600000;

    (void)state;
    assert_int_equal(offset(), 0);
    add_clock("self", 5 * hour, 0);
    assert_int_equal(offset(), 0);
    add_clock("silent", hour, 1600);
    add("old", READY_OK, 100)->record_age_ms = UINT64_MAX;
    add("without", READY_OK, 100);
    assert_int_equal(offset(), 0);
    /* two clocks: nobody knows which is wrong */
    add_clock("a", hour, 200);
    assert_int_equal(offset(), -hour);
    /* three: the one that is alone is */
    add_clock("b", 30, 100);
    assert_int_equal(offset(), -30);
    page->servers[page->server_count - 1].record.wall_ms += (uint64_t)hour;
    assert_int_equal(offset(), -hour);
    /* four: two against two */
    add_clock("c", -20, 0);
    assert_int_equal(offset(), -hour);
    add_clock("d", 0, 0);
    assert_in_range((uint64_t)(offset() + 100), 0, 200);
}

/* Over all clocks of three to five members: the verdict is that of the majority, if there is one. */
static void test_clock_majority(void **state)
{
    (void)state;
    for (unsigned others = 2; others <= 4; others++) {
        for (unsigned wrong = 0; wrong < 1u << (others + 1); wrong++) {
            bool self_wrong = (wrong & 1) != 0;
            unsigned wrong_count = 0;

            page->server_count = 0;
            memset(page->servers, 0, sizeof page->servers);
            for (unsigned i = 0; i <= others; i++)
                wrong_count += wrong >> i & 1;
            for (unsigned i = 1; i <= others; i++) {
                bool is_wrong = (wrong >> i & 1) != 0;

                add_clock("x", is_wrong == self_wrong ? 0 : is_wrong ? 3600000 : -3600000, 150);
            }
            if (wrong_count * 2 < others + 1)
                assert_int_equal(status_clock_trusted(offset(), true), !self_wrong);
            if (wrong_count * 2 > others + 1)
                assert_int_equal(status_clock_trusted(offset(), true), self_wrong);
            if (wrong_count * 2 == others + 1)
                assert_false(status_clock_trusted(offset(), true));
        }
    }
}

static void test_clock_trust_does_not_flicker(void **state)
{
    (void)state;
    assert_true(status_clock_trusted(-CLOCK_DISTRUST_MS, true));
    assert_false(status_clock_trusted(-CLOCK_DISTRUST_MS - 1, true));
    assert_false(status_clock_trusted(CLOCK_TRUST_MS + 1, false));
    assert_true(status_clock_trusted(CLOCK_TRUST_MS, false));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_nobody, setup, teardown),
        cmocka_unit_test_setup_teardown(test_only_reachable_voters, setup, teardown),
        cmocka_unit_test_setup_teardown(test_ready_before_near, setup, teardown),
        cmocka_unit_test_setup_teardown(test_classes, setup, teardown),
        cmocka_unit_test_setup_teardown(test_held_down_is_between, setup, teardown),
        cmocka_unit_test_setup_teardown(test_order, setup, teardown),
        cmocka_unit_test_setup_teardown(test_whose_turn_it_is, setup, teardown),
        cmocka_unit_test_setup_teardown(test_ahead_is_not_ready, setup, teardown),
        cmocka_unit_test_setup_teardown(test_the_highest_without_a_head, setup, teardown),
        cmocka_unit_test_setup_teardown(test_failures_are_forgotten, setup, teardown),
        cmocka_unit_test_setup_teardown(test_too_many_servers, setup, teardown),
        cmocka_unit_test(test_ready_reason),
        cmocka_unit_test(test_an_old_head_of_the_whole_chain),
        cmocka_unit_test_setup_teardown(test_clock_offset, setup, teardown),
        cmocka_unit_test_setup_teardown(test_clock_majority, setup, teardown),
        cmocka_unit_test(test_clock_trust_does_not_flicker),
    };
    return cmocka_run_group_tests_name("choose", tests, NULL, NULL);
}
