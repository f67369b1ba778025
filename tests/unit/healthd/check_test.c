/* The health rules: every rule, its boundaries, and which one comes first. */
#include "healthd/check.h"

#include "shared/proto/health_text.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#define NOW 1000000u

static const struct check_limits all_limits = {
    .unsafe_interval_ms = 10000,
    .safe_enabled = true,
    .safe_interval_ms = 60000,
    .min_peer_count = 3,
    .supervisor_enabled = true,
    .el_p2p_enabled = true,
    .el_p2p_min_peer_count = 2,
    .boost_enabled = true,
};

static const struct check_facts all_good = {
    .wall_s = NOW,
    .sync = {.ok = true},
    .unsafe_timestamp = NOW - 10,
    .safe_timestamp = NOW - 60,
    .supervisor = {.ok = true},
    .peers = {.ok = true},
    .peer_count = 3,
    .el_peers = {.ok = true},
    .el_peer_count = 2,
    .boost = BOOST_HEALTHY,
};

/* One fact (or limit) changed in an otherwise good round at all boundaries. */
struct rule_case {
    const char *what;
    enum health_reason want;
    size_t fact_offset; /* SIZE_MAX: none */
    uint64_t fact_value;
    size_t limit_offset; /* SIZE_MAX: none */
    uint64_t limit_value;
};

#define FACT(member, value) offsetof(struct check_facts, member), (value)
#define LIMIT(member, value) offsetof(struct check_limits, member), (value)
#define NONE SIZE_MAX, 0

static const struct rule_case number_cases[] = {
    {"all at their boundaries", HEALTH_OK, NONE, NONE},
    {"unsafe head one second too old", HEALTH_UNSAFE_LAG, FACT(unsafe_timestamp, NOW - 11), NONE},
    {"unsafe head from the future", HEALTH_OK, FACT(unsafe_timestamp, NOW + 500), NONE},
    {"unsafe head never set", HEALTH_UNSAFE_LAG, FACT(unsafe_timestamp, 0), NONE},
    {"head stands still for exactly the interval", HEALTH_OK, FACT(head_still_s, 10), NONE},
    {"head stands still for longer", HEALTH_UNSAFE_LAG, FACT(head_still_s, 11), NONE},
    {"a wider interval", HEALTH_OK, FACT(unsafe_timestamp, NOW - 20), LIMIT(unsafe_interval_ms, 20000)},
    {"interval 0 and a head of this second", HEALTH_OK, FACT(unsafe_timestamp, NOW), LIMIT(unsafe_interval_ms, 0)},
    {"interval 0 and a head of the last second", HEALTH_UNSAFE_LAG, FACT(unsafe_timestamp, NOW - 1),
     LIMIT(unsafe_interval_ms, 0)},
    {"safe head one second too old", HEALTH_SAFE_LAG, FACT(safe_timestamp, NOW - 61), NONE},
    {"safe head from the future", HEALTH_OK, FACT(safe_timestamp, NOW + 1), NONE},
    {"one peer too few", HEALTH_PEERS, FACT(peer_count, 2), NONE},
    {"no peers", HEALTH_PEERS, FACT(peer_count, 0), NONE},
    {"no peers wanted", HEALTH_OK, FACT(peer_count, 0), LIMIT(min_peer_count, 0)},
    {"one peer of the execution client too few", HEALTH_EL_PEERS, FACT(el_peer_count, 1), NONE},
};

static void test_numbers_at_their_boundaries(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof number_cases / sizeof number_cases[0]; i++) {
        const struct rule_case *c = &number_cases[i];
        struct check_facts facts = all_good;
        struct check_limits limits = all_limits;
        struct boost_tolerance tolerance = {0};
        struct check_verdict v;
        if (c->fact_offset != SIZE_MAX)
            memcpy((char *)&facts + c->fact_offset, &c->fact_value, sizeof c->fact_value);
        if (c->limit_offset != SIZE_MAX)
            memcpy((char *)&limits + c->limit_offset, &c->limit_value, sizeof c->limit_value);
        check_evaluate(&limits, &facts, &tolerance, &v);
        if (v.reason != c->want)
            fail_msg("%s: got %d, want %d (%s)", c->what, v.reason, c->want, v.text);
        assert_int_equal(v.text[0] == '\0', v.reason == HEALTH_OK);
    }
}

static enum health_reason evaluate(const struct check_limits *limits, const struct check_facts *facts,
                                   char text[TEXT_SIZE])
{
    struct boost_tolerance tolerance = {0};
    struct check_verdict v;
    check_evaluate(limits, facts, &tolerance, &v);
    memcpy(text, v.text, sizeof v.text);
    return v.reason;
}

/* On a wrong clock only what does not need it counts: that the head stands still. */
static void test_a_distrusted_clock(void **state)
{
    struct check_facts f = all_good;
    char text[TEXT_SIZE];
    (void)state;
    f.wall_s += 3600;
    assert_int_equal(evaluate(&all_limits, &f, text), HEALTH_UNSAFE_LAG);
    f.wall_distrusted = true;
    assert_int_equal(evaluate(&all_limits, &f, text), HEALTH_OK);
    f.wall_s -= 7200;
    assert_int_equal(evaluate(&all_limits, &f, text), HEALTH_OK);
    f.head_still_s = 11;
    assert_int_equal(evaluate(&all_limits, &f, text), HEALTH_UNSAFE_LAG);
}

/* Whether an old head hides another failure. */
static void test_only_an_old_head(void **state)
{
    struct boost_tolerance tolerance = {0};
    struct check_limits limits = all_limits;
    struct check_facts f = all_good;
    struct check_verdict v;
    (void)state;
    check_evaluate(&limits, &f, &tolerance, &v);
    assert_false(v.only_old_head); /* nothing is wrong at all */
    f.unsafe_timestamp = NOW - 11;
    check_evaluate(&limits, &f, &tolerance, &v);
    assert_int_equal(v.reason, HEALTH_UNSAFE_LAG);
    assert_true(v.only_old_head);
    f.peer_count = 2;
    check_evaluate(&limits, &f, &tolerance, &v);
    assert_int_equal(v.reason, HEALTH_UNSAFE_LAG);
    assert_false(v.only_old_head);
    /* Looking does not use up what is tolerated. */
    f.peer_count = 3;
    f.boost = BOOST_PARTIAL;
    limits.boost_tolerance_limit = 1;
    limits.boost_tolerance_interval_ms = 60000;
    for (int i = 0; i < 3; i++) {
        check_evaluate(&limits, &f, &tolerance, &v);
        assert_true(v.only_old_head);
    }
    assert_int_equal(tolerance.count, 0);
}

/* Everything fails; repairing one thing after the other shows the order of the rules. */
static void test_the_first_failing_rule_decides(void **state)
{
    struct check_facts f = {.wall_s = NOW, .boost = BOOST_UNREACHABLE, .el_gone = true, .el_text = "no route"};
    char text[TEXT_SIZE];
    (void)state;
    snprintf(f.sync.text, sizeof f.sync.text, "connection refused");
    snprintf(f.supervisor.text, sizeof f.supervisor.text, "supervisor gone");
    snprintf(f.peers.text, sizeof f.peers.text, "p2p is disabled");
    snprintf(f.el_peers.text, sizeof f.el_peers.text, "no such api");
    assert_int_equal(evaluate(&all_limits, &f, text), HEALTH_NODE_UNREACHABLE);
    assert_string_equal(text, "cannot connect to sequencer rpc endpoints: optimism_syncStatus: connection refused");
    f.sync.ok = true;
    assert_int_equal(evaluate(&all_limits, &f, text), HEALTH_SUPERVISOR_UNREACHABLE);
    assert_non_null(strstr(text, "supervisor gone"));
    f.supervisor.ok = true;
    assert_int_equal(evaluate(&all_limits, &f, text), HEALTH_EL_GONE);
    assert_string_equal(text, "cannot connect to the execution client: no route");
    f.el_gone = false;
    assert_int_equal(evaluate(&all_limits, &f, text), HEALTH_UNSAFE_LAG);
    f.unsafe_timestamp = NOW;
    assert_int_equal(evaluate(&all_limits, &f, text), HEALTH_SAFE_LAG);
    f.safe_timestamp = NOW;
    assert_int_equal(evaluate(&all_limits, &f, text), HEALTH_NODE_UNREACHABLE);
    assert_string_equal(text, "cannot connect to sequencer rpc endpoints: opp2p_peerStats: p2p is disabled");
    f.peers.ok = true;
    assert_int_equal(evaluate(&all_limits, &f, text), HEALTH_PEERS);
    assert_string_equal(text, "sequencer is not healthy: 0 peers are connected, fewer than 3");
    f.peer_count = 3;
    assert_int_equal(evaluate(&all_limits, &f, text), HEALTH_EL_PEERS_ERROR);
    assert_non_null(strstr(text, "no such api"));
    f.el_peers.ok = true;
    assert_int_equal(evaluate(&all_limits, &f, text), HEALTH_EL_PEERS);
    f.el_peer_count = 2;
    assert_int_equal(evaluate(&all_limits, &f, text), HEALTH_BOOST_UNREACHABLE);
    f.boost = BOOST_UNHEALTHY;
    assert_int_equal(evaluate(&all_limits, &f, text), HEALTH_BOOST_UNHEALTHY);
    f.boost = BOOST_PARTIAL;
    assert_int_equal(evaluate(&all_limits, &f, text), HEALTH_BOOST_PARTIAL);
    f.boost = BOOST_HEALTHY;
    assert_int_equal(evaluate(&all_limits, &f, text), HEALTH_OK);
}

/* What is not configured is not asked for. */
static void test_rules_that_are_off(void **state)
{
    const struct check_limits few = {.unsafe_interval_ms = 10000, .min_peer_count = 1};
    struct check_facts f = {
        .wall_s = NOW, .sync = {.ok = true}, .unsafe_timestamp = NOW, .peers = {.ok = true}, .peer_count = 1};
    char text[TEXT_SIZE];
    (void)state;
    assert_int_equal(evaluate(&few, &f, text), HEALTH_OK);
}

struct boost_case {
    uint64_t wall_s;
    enum health_reason want;
};

static void test_partial_boost_is_tolerated_per_bucket(void **state)
{
    /* Two in each bucket of 10 s; buckets start at multiples of 10. */
    static const struct boost_case cases[] = {
        {100, HEALTH_OK}, {101, HEALTH_OK}, {102, HEALTH_BOOST_PARTIAL}, {109, HEALTH_BOOST_PARTIAL},
        {110, HEALTH_OK}, {119, HEALTH_OK}, {119, HEALTH_BOOST_PARTIAL}, {140, HEALTH_OK},
    };
    struct check_limits limits = {.unsafe_interval_ms = 1000000,
                                  .boost_enabled = true,
                                  .boost_tolerance_limit = 2,
                                  .boost_tolerance_interval_ms = 10000};
    struct boost_tolerance tolerance = {0};
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct check_facts f = {.wall_s = cases[i].wall_s,
                                .sync = {.ok = true},
                                .unsafe_timestamp = cases[i].wall_s,
                                .peers = {.ok = true},
                                .boost = BOOST_PARTIAL};
        struct check_verdict v;
        check_evaluate(&limits, &f, &tolerance, &v);
        if (v.reason != cases[i].want)
            fail_msg("case %zu: got %d, want %d", i, v.reason, cases[i].want);
    }
}

static void test_reason_texts_are_the_known_ones(void **state)
{
    (void)state;
    assert_string_equal(health_reason_text(HEALTH_OK), "");
    assert_string_equal(health_reason_text(HEALTH_UNSAFE_LAG), "sequencer is not healthy");
    assert_string_equal(health_reason_text(HEALTH_PEERS), "sequencer is not healthy");
    assert_string_equal(health_reason_text(HEALTH_NODE_UNREACHABLE), "cannot connect to sequencer rpc endpoints");
    assert_string_equal(health_reason_text(HEALTH_BOOST_UNHEALTHY), "rollup boost is not healthy");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_numbers_at_their_boundaries),
        cmocka_unit_test(test_only_an_old_head),
        cmocka_unit_test(test_the_first_failing_rule_decides),
        cmocka_unit_test(test_a_distrusted_clock),
        cmocka_unit_test(test_rules_that_are_off),
        cmocka_unit_test(test_partial_boost_is_tolerated_per_bucket),
        cmocka_unit_test(test_reason_texts_are_the_known_ones),
    };
    return cmocka_run_group_tests_name("health rules", tests, NULL, NULL);
}
