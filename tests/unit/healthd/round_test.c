/* One round of calls: what each answer is read as, for every kind of check that can be configured. */
#include "fake_node.h"

#include "healthd/monitor_round.h"
#include "shared/base/clock.h"

#include <curl/curl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define TIMEOUT_MS 10000

struct bench {
    struct fake_node *node;
    struct probe *probe;
    struct config_healthd config;
    bool done;
    enum round_kind kind;
    struct round_facts facts;
};

static int bench_open(void **state)
{
    struct bench *b = calloc(1, sizeof *b);
    assert_non_null(b);
    b->node = fake_node_new(100);
    b->probe = probe_new();
    assert_non_null(b->probe);
    fake_node_url(b->node, b->config.node_rpc, sizeof b->config.node_rpc);
    fake_node_url(b->node, b->config.execution_rpc, sizeof b->config.execution_rpc);
    b->config.boost_timeout_ms = TIMEOUT_MS;
    *state = b;
    return 0;
}

static int bench_close(void **state)
{
    struct bench *b = *state;
    probe_free(b->probe);
    fake_node_free(b->node);
    free(b);
    return 0;
}

static void on_done(void *ctx, enum round_kind kind, const struct round_facts *facts)
{
    struct bench *b = ctx;
    assert_false(b->done);
    b->done = true;
    b->kind = kind;
    b->facts = *facts;
}

static const struct round_facts *run_round_within(struct bench *b, enum round_kind kind, uint64_t timeout_ms)
{
    uint64_t limit_ns = clock_mono_ns() + UINT64_C(2000000) * TIMEOUT_MS;
    b->done = false;
    assert_non_null(round_start(b->probe, &b->config, kind, timeout_ms, on_done, b));
    while (!b->done && clock_mono_ns() < limit_ns)
        (void)probe_step(b->probe, -1, 0, 20);
    assert_true(b->done);
    assert_int_equal(b->kind, kind);
    return &b->facts;
}

static const struct round_facts *run_round(struct bench *b, enum round_kind kind)
{
    return run_round_within(b, kind, TIMEOUT_MS);
}

static void test_each_kind_asks_only_what_it_needs(void **state)
{
    struct bench *b = *state;
    const struct round_facts *f = run_round(b, ROUND_PROBE);
    assert_true(f->check.sync.ok);
    assert_int_equal(f->status.unsafe_head.number, 100);
    assert_int_equal(f->active, NODE_DONT_KNOW);
    assert_int_equal(fake_node_calls(b->node, FAKE_ACTIVE), 0);
    f = run_round(b, ROUND_LIGHT);
    assert_int_equal(f->active, NODE_NO);
    assert_int_equal(f->enabled, NODE_DONT_KNOW);
    assert_int_equal(fake_node_calls(b->node, FAKE_PEERS), 0);
    f = run_round(b, ROUND_FULL);
    assert_int_equal(f->enabled, NODE_YES);
    assert_true(f->check.peers.ok);
    assert_int_equal(f->check.peer_count, 5);
    assert_int_equal(f->el_syncing, NODE_NO);
    assert_int_equal(f->el_head.number, 100);
    /* Not configured. */
    assert_int_equal(fake_node_calls(b->node, FAKE_EL_PEERS), 0);
    assert_int_equal(fake_node_calls(b->node, FAKE_SUPERVISOR), 0);
}

static void test_optional_calls(void **state)
{
    struct bench *b = *state;
    b->config.el_p2p_enabled = 1;
    fake_node_url(b->node, b->config.supervisor_rpc, sizeof b->config.supervisor_rpc);
    const struct round_facts *f = run_round(b, ROUND_FULL);
    assert_true(f->check.el_peers.ok);
    assert_int_equal(f->check.el_peer_count, 5);
    assert_true(f->check.supervisor.ok);
    b->config.el_p2p_api = EL_P2P_ADMIN;
    fake_node_set_mood(b->node, FAKE_SUPERVISOR, FAKE_ERROR, "not ready");
    f = run_round(b, ROUND_FULL);
    assert_true(f->check.el_peers.ok);
    assert_int_equal(f->check.el_peer_count, 3);
    assert_false(f->check.supervisor.ok);
    assert_string_equal(f->check.supervisor.text, "not ready");
}

struct answer_case {
    enum fake_method method;
    const char *result; /* NULL: no such method */
    enum node_tristate active, enabled, syncing;
    bool sync_ok, peers_ok;
};

static void test_odd_answers(void **state)
{
    static const struct answer_case cases[] = {
        {FAKE_ENABLED, NULL, NODE_NO, NODE_YES, NODE_NO, true, true},
        {FAKE_ENABLED, "false", NODE_NO, NODE_NO, NODE_NO, true, true},
        {FAKE_ENABLED, "7", NODE_NO, NODE_DONT_KNOW, NODE_NO, true, true},
        {FAKE_ACTIVE, "true", NODE_YES, NODE_YES, NODE_NO, true, true},
        {FAKE_ACTIVE, "null", NODE_DONT_KNOW, NODE_YES, NODE_NO, true, true},
        {FAKE_ACTIVE, NULL, NODE_DONT_KNOW, NODE_YES, NODE_NO, true, true},
        {FAKE_SYNCING, "{\"currentBlock\":\"0x1\"}", NODE_NO, NODE_YES, NODE_YES, true, true},
        {FAKE_SYNCING, NULL, NODE_NO, NODE_YES, NODE_DONT_KNOW, true, true},
        {FAKE_PEERS, "{}", NODE_NO, NODE_YES, NODE_NO, true, false},
        {FAKE_PEERS, "{\"connected\":-1}", NODE_NO, NODE_YES, NODE_NO, true, false},
        {FAKE_PEERS, NULL, NODE_NO, NODE_YES, NODE_NO, true, false},
        {FAKE_SYNC, "null", NODE_NO, NODE_YES, NODE_NO, false, true},
        {FAKE_SYNC, "{\"unsafe_l2\":{\"number\":1,\"timestamp\":2,\"hash\":\"0x12\"},\"safe_l2\":{}}", NODE_NO,
         NODE_YES, NODE_NO, false, true},
        {FAKE_BLOCK, "null", NODE_NO, NODE_YES, NODE_NO, true, true},
    };
    struct bench *b = *state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        const struct answer_case *c = &cases[i];
        fake_node_set_mood(b->node, c->method, c->result != NULL ? FAKE_RESULT : FAKE_UNKNOWN, c->result);
        const struct round_facts *f = run_round(b, ROUND_FULL);
        if (f->active != c->active || f->enabled != c->enabled || f->el_syncing != c->syncing ||
            f->check.sync.ok != c->sync_ok || f->check.peers.ok != c->peers_ok)
            fail_msg("case %zu: active %d enabled %d syncing %d sync %d peers %d", i, f->active, f->enabled,
                     f->el_syncing, f->check.sync.ok, f->check.peers.ok);
        assert_int_equal(f->check.sync.text[0] == '\0', f->check.sync.ok);
        assert_int_equal(f->check.peers.text[0] == '\0', f->check.peers.ok);
        fake_node_set_mood(b->node, c->method, FAKE_NORMAL, NULL);
    }
}

struct boost_case {
    int status;
    const char *body;
    enum boost_state plain, next;
};

static void test_rollup_boost(void **state)
{
    static const struct boost_case cases[] = {
        {200, "{\"version\":\"1\",\"rollup_boost_health\":\"Healthy\"}", BOOST_HEALTHY, BOOST_HEALTHY},
        {200, "{\"rollup_boost_health\":\"PartialContent\"}", BOOST_HEALTHY, BOOST_PARTIAL},
        {200, "{\"rollup_boost_health\":\"ServiceUnavailable\"}", BOOST_HEALTHY, BOOST_UNHEALTHY},
        {200, "{\"rollup_boost_health\":\"Odd\"}", BOOST_HEALTHY, BOOST_UNREACHABLE},
        {200, "no JSON", BOOST_HEALTHY, BOOST_UNREACHABLE},
        {206, "{\"rollup_boost_health\":\"Healthy\"}", BOOST_PARTIAL, BOOST_UNREACHABLE},
        {503, "", BOOST_UNHEALTHY, BOOST_UNREACHABLE},
        {404, "", BOOST_UNREACHABLE, BOOST_UNREACHABLE},
    };
    struct bench *b = *state;
    fake_node_url(b->node, b->config.boost_next_url, sizeof b->config.boost_next_url);
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        fake_node_set_get(b->node, cases[i].status, cases[i].body);
        b->config.boost_enabled = 1;
        b->config.boost_next_enabled = 0;
        if (run_round(b, ROUND_FULL)->check.boost != cases[i].plain)
            fail_msg("case %zu: %d", i, b->facts.check.boost);
        b->config.boost_enabled = 0;
        b->config.boost_next_enabled = 1;
        if (run_round(b, ROUND_FULL)->check.boost != cases[i].next)
            fail_msg("case %zu, next: %d", i, b->facts.check.boost);
    }
}

static void test_a_cancelled_round_calls_nobody(void **state)
{
    struct bench *b = *state;
    fake_node_set_mood(b->node, FAKE_PEERS, FAKE_HANGS, NULL);
    struct round *r = round_start(b->probe, &b->config, ROUND_FULL, TIMEOUT_MS, on_done, b);
    for (int i = 0; i < 10; i++)
        (void)probe_step(b->probe, -1, 0, 10);
    round_cancel(r);
    for (int i = 0; i < 3; i++)
        (void)probe_step(b->probe, -1, 0, 10);
    assert_false(b->done);
}

/* Whoever answers anything, or may yet, is there. */
static void test_a_death_is_told_from_silence(void **state)
{
    static const enum fake_mood moods[] = {FAKE_NORMAL, FAKE_HANGS, FAKE_HTTP_500, FAKE_GARBAGE, FAKE_UNKNOWN};
    static const enum fake_method methods[] = {FAKE_SYNC, FAKE_ACTIVE, FAKE_ENABLED, FAKE_PEERS};
    struct bench *b = *state;
    for (size_t i = 0; i < sizeof moods / sizeof moods[0]; i++) {
        for (size_t k = 0; k < sizeof methods / sizeof methods[0]; k++)
            fake_node_set_mood(b->node, methods[k], moods[i], NULL);
        const struct round_facts *f = run_round_within(b, ROUND_FULL, moods[i] == FAKE_HANGS ? 200 : TIMEOUT_MS);
        assert_int_equal(f->check.sync.ok, moods[i] == FAKE_NORMAL);
        assert_int_equal(f->node_gone, 0);
    }
    fake_node_free(b->node);
    b->node = NULL;
    assert_int_equal(run_round(b, ROUND_FULL)->node_gone, ROUND_NODE_CALLS);
}

static void count_loss(void *ctx)
{
    ++*(unsigned *)ctx;
}

/* Once for all the connections that end at once; not while a request is under way, which fails. */
static void test_lost_connections_are_told(void **state)
{
    struct bench *b = *state;
    unsigned losses = 0;
    probe_watch(b->probe, count_loss, &losses);
    (void)run_round(b, ROUND_FULL);
    for (int i = 0; i < 3; i++)
        (void)probe_step(b->probe, -1, 0, 10);
    assert_int_equal(losses, 0);
    fake_node_free(b->node);
    for (int i = 0; i < 20; i++)
        (void)probe_step(b->probe, -1, 0, 10);
    assert_true(losses >= 1 && losses <= 8); /* the fake closes one after the other */
    const unsigned told = losses;
    for (int i = 0; i < 5; i++)
        (void)probe_step(b->probe, -1, 0, 10);
    assert_int_equal(losses, told);

    b->node = fake_node_new(100);
    fake_node_url(b->node, b->config.node_rpc, sizeof b->config.node_rpc);
    fake_node_url(b->node, b->config.execution_rpc, sizeof b->config.execution_rpc);
    fake_node_set_mood(b->node, FAKE_SYNC, FAKE_HANGS, NULL);
    assert_non_null(round_start(b->probe, &b->config, ROUND_PROBE, TIMEOUT_MS, on_done, b));
    b->done = false;
    for (int i = 0; i < 10; i++)
        (void)probe_step(b->probe, -1, 0, 10);
    fake_node_free(b->node);
    b->node = NULL;
    for (int i = 0; i < 200 && !b->done; i++)
        (void)probe_step(b->probe, -1, 0, 10);
    assert_true(b->done && !b->facts.check.sync.ok);
    assert_int_equal(losses, told);
}

#define ROUND_TEST(f) cmocka_unit_test_setup_teardown(f, bench_open, bench_close)

int main(void)
{
    const struct CMUnitTest tests[] = {
        ROUND_TEST(test_each_kind_asks_only_what_it_needs),
        ROUND_TEST(test_optional_calls),
        ROUND_TEST(test_odd_answers),
        ROUND_TEST(test_rollup_boost),
        ROUND_TEST(test_a_cancelled_round_calls_nobody),
        ROUND_TEST(test_a_death_is_told_from_silence),
        ROUND_TEST(test_lost_connections_are_told),
    };
    curl_global_init(CURL_GLOBAL_DEFAULT);
    int failed = cmocka_run_group_tests_name("a round of calls", tests, NULL, NULL);
    curl_global_cleanup();
    return failed;
}
