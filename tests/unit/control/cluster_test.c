/* Several conductors around one simulated consensus, on a simulated clock: leadership ends up where
 * sequencing is possible, and does not wander when it is possible nowhere. */
#include "fake_node.h"

#include "shared/base/err.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define MS UINT64_C(1000000)
#define NODES 3
#define STEP_MS 5
#define BLOCK_MS 200
#define NOBODY (-1)

/* op-node as the conductor knows it. */
struct sim_node {
    struct fake_node f;
    bool can_start; /* admin_startSequencer works */
    bool healthy;
    bool hangs; /* no command is answered */
    bool active;
};

struct sim {
    struct sim_node nodes[NODES];
    int leader;
    uint64_t term, head, now_ms, last_block_ms, transfers;
    bool transfers_fail;
};

static struct sim *sim;

static void tell_leadership(int leader)
{
    sim->leader = leader;
    sim->term++;
    for (int i = 0; i < NODES; i++) {
        struct fake_node *f = &sim->nodes[i].f;

        f->consensus.term = sim->term;
        fake_publish(f);
        fake_leadership(f, sim->term, i == leader, leader != NOBODY ? sim->nodes[leader].f.opts.server_id : "");
    }
}

static int setup(void **state)
{
    (void)state;
    sim = calloc(1, sizeof *sim);
    sim->leader = NOBODY;
    sim->head = 10;
    sim->now_ms = 1000;
    for (int i = 0; i < NODES; i++) {
        const char id[2] = {(char)('a' + i), '\0'};
        struct sim_node *n = &sim->nodes[i];

        fake_open(&n->f, id, false);
        memset(n->f.consensus.servers, 0, sizeof n->f.consensus.servers);
        n->f.consensus.server_count = 0;
        for (int k = 0; k < NODES; k++) {
            const char other[2] = {(char)('a' + k), '\0'};

            fake_add_server(&n->f, other, READY_UNKNOWN);
        }
        fake_set_head(&n->f, sim->head);
        fake_workers_up(&n->f);
        n->can_start = n->healthy = true;
    }
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    for (int i = 0; i < NODES; i++)
        fake_close(&sim->nodes[i].f);
    free(sim);
    return 0;
}

static void answer_node_cmd(struct sim_node *n, const struct fake_sent *s)
{
    enum node_rc rc = NODE_OK;

    if (n->hangs)
        return;
    switch (s->body.node_cmd.verb) {
    case NODE_CMD_TAKEOVER:
        rc = n->active ? NODE_ALREADY : n->can_start ? NODE_OK : NODE_REFUSED;
        n->active = n->active || n->can_start;
        break;
    case NODE_CMD_STOP:
        rc = n->active ? NODE_OK : NODE_ALREADY;
        n->active = false;
        break;
    default:
        break;
    }
    fake_node_result(&n->f, s, rc, n->active ? NODE_YES : NODE_NO);
}

/* The one transfer of this step, done after all nodes had their turn. */
static int serve(int index, struct fake_sent *ret_transfer)
{
    struct sim_node *n = &sim->nodes[index];
    int transferring = NOBODY;

    while (n->f.sent_count > 0) {
        struct fake_sent s = n->f.sent[0];

        memmove(&n->f.sent[0], &n->f.sent[1], (n->f.sent_count - 1) * sizeof s);
        n->f.sent_count--;
        if (s.type == MSG_EXPORT) {
            fake_export_result(&n->f, s.request_id, index == sim->leader ? 0 : OC_ENOTLEADER);
        } else if (s.type == MSG_NODE_CMD) {
            answer_node_cmd(n, &s);
        } else if (s.type == MSG_TRANSFER) {
            *ret_transfer = s;
            transferring = index;
        }
    }
    return transferring;
}

static void transfer(int from, const struct fake_sent *s)
{
    int target = s->body.transfer.target_id[0] - 'a';

    if (from != sim->leader || sim->transfers_fail) {
        fake_transfer_result(&sim->nodes[from].f, s->request_id, OC_EDEADLINE);
        return;
    }
    assert_int_not_equal(target, from);
    sim->transfers++;
    fake_transfer_result(&sim->nodes[from].f, s->request_id, 0);
    tell_leadership(target);
}

/* The records that consensus would exchange, and health checks once a second. */
static void gossip(void)
{
    for (int i = 0; i < NODES; i++) {
        struct sim_node *n = &sim->nodes[i];

        for (int k = 0; k < NODES; k++)
            n->f.consensus.servers[k].record = sim->nodes[k].f.record;
        fake_set_head(&n->f, sim->head);
        if (sim->now_ms % 1000 == (uint64_t)i * 100)
            fake_health(&n->f, n->healthy, n->active ? NODE_YES : NODE_NO);
    }
}

static void run_ms(uint64_t ms)
{
    for (uint64_t end = sim->now_ms + ms; sim->now_ms < end; sim->now_ms += STEP_MS) {
        if (sim->now_ms % 50 == 0)
            gossip();
        for (int i = 0; i < NODES; i++) {
            struct fake_sent s;
            int from = serve(i, &s);

            if (from != NOBODY)
                transfer(from, &s);
            fake_run_ms(&sim->nodes[i].f, STEP_MS);
        }
        /* Only the leader's commits count. */
        if (sim->now_ms % BLOCK_MS == 0 && sim->leader != NOBODY && sim->nodes[sim->leader].active) {
            sim->head++;
            sim->last_block_ms = sim->now_ms;
        }
    }
}

static unsigned active_count(void)
{
    unsigned n = 0;

    for (int i = 0; i < NODES; i++)
        n += sim->nodes[i].active;
    return n;
}

static void expect_sequencing(int node)
{
    assert_int_equal(sim->leader, node);
    assert_true(sim->nodes[node].active);
    assert_int_equal(active_count(), 1);
}

static void break_node(int node)
{
    sim->nodes[node].can_start = false;
    sim->nodes[node].healthy = false;
    sim->nodes[node].active = false;
}

static void start_at(int node)
{
    run_ms(1500);
    tell_leadership(node);
}

static void test_two_cannot_and_one_can(void **state)
{
    (void)state;
    break_node(0);
    break_node(1);
    start_at(0);
    run_ms(1000);
    expect_sequencing(2);
    assert_int_equal(sim->transfers, 1);
    run_ms(60000);
    expect_sequencing(2);
    assert_int_equal(sim->transfers, 1);
}

/* None is ready, and two that cannot must not pass leadership to and fro. */
static void test_two_cannot_and_an_unhealthy_one_can(void **state)
{
    (void)state;
    break_node(0);
    break_node(1);
    sim->nodes[2].healthy = false;
    start_at(0);
    run_ms(15000);
    expect_sequencing(2);
}

static void test_all_unhealthy_but_able(void **state)
{
    uint64_t head;

    (void)state;
    for (int i = 0; i < NODES; i++)
        sim->nodes[i].healthy = false;
    start_at(1);
    run_ms(5000);
    expect_sequencing(1);
    head = sim->head;
    run_ms(60000);
    expect_sequencing(1);
    assert_int_equal(sim->transfers, 0);
    assert_true(sim->head >= head + 60000 / BLOCK_MS - 1);
}

/* A chain that stood still makes all nodes unhealthy; when one starts, the others' checks see it first. */
static void test_recovery_stays_where_it_began(void **state)
{
    (void)state;
    for (int i = 0; i < NODES; i++)
        sim->nodes[i].healthy = false;
    start_at(0);
    while (!sim->nodes[0].active)
        run_ms(STEP_MS);
    sim->nodes[1].healthy = sim->nodes[2].healthy = true;
    run_ms(800);
    sim->nodes[0].healthy = true;
    run_ms(10000);
    expect_sequencing(0);
    assert_int_equal(sim->transfers, 0);
}

static void test_none_can_until_one_can(void **state)
{
    (void)state;
    for (int i = 0; i < NODES; i++)
        break_node(i);
    start_at(0);
    run_ms(60000);
    assert_int_equal(active_count(), 0);
    /* It is passed round, but slowly: a hold-down lies between two turns of a node. */
    assert_true(sim->transfers >= 2);
    assert_true(sim->transfers <= 60000 / 500);
    sim->nodes[2].can_start = true;
    sim->nodes[2].healthy = true;
    run_ms(12000);
    expect_sequencing(2);
}

static void test_alone_and_unhealthy(void **state)
{
    (void)state;
    start_at(0);
    run_ms(1000);
    for (int i = 1; i < NODES; i++) {
        for (int k = 0; k < NODES; k++)
            sim->nodes[k].f.consensus.servers[i].contact_age_ms = 60000;
    }
    sim->nodes[0].healthy = false;
    run_ms(30000);
    expect_sequencing(0);
    assert_int_equal(sim->transfers, 0);
}

static void test_health_that_flaps_everywhere(void **state)
{
    (void)state;
    start_at(0);
    for (int second = 0; second < 60; second++) {
        for (int i = 0; i < NODES; i++)
            sim->nodes[i].healthy = (second + i) % 2 == 0;
        run_ms(1000);
    }
    /* At most one per verdict, and blocks all the time. */
    assert_true(sim->transfers <= 60);
    assert_true(sim->head >= 10 + 60000 / BLOCK_MS / 2);
    for (int i = 0; i < NODES; i++)
        sim->nodes[i].healthy = true;
    run_ms(3000);
    assert_int_equal(active_count(), 1);
    assert_true(sim->nodes[sim->leader].active);
}

static void test_transfers_that_fail(void **state)
{
    uint64_t head;

    (void)state;
    start_at(0);
    run_ms(1000);
    sim->transfers_fail = true;
    sim->nodes[0].healthy = false;
    head = sim->head;
    run_ms(30000);
    expect_sequencing(0);
    assert_true(sim->head >= head + 30000 / BLOCK_MS / 2);
    sim->transfers_fail = false;
    run_ms(15000);
    assert_int_not_equal(sim->leader, 0);
    assert_int_equal(active_count(), 1);
}

static void test_old_leader_that_hangs(void **state)
{
    (void)state;
    start_at(0);
    run_ms(1000);
    expect_sequencing(0);
    sim->nodes[0].hangs = true;
    tell_leadership(1);
    run_ms(2000);
    assert_true(sim->nodes[1].active);
    assert_int_equal(sim->leader, 1);
    /* As soon as it answers again it is stopped. */
    sim->nodes[0].hangs = false;
    run_ms(6000);
    expect_sequencing(1);
}

#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        T(test_two_cannot_and_an_unhealthy_one_can),
        T(test_two_cannot_and_one_can),
        T(test_all_unhealthy_but_able),
        T(test_none_can_until_one_can),
        T(test_alone_and_unhealthy),
        T(test_health_that_flaps_everywhere),
        T(test_transfers_that_fail),
        T(test_old_leader_that_hangs),
        T(test_recovery_stays_where_it_began),
    };
    return cmocka_run_group_tests_name("cluster", tests, NULL, NULL);
}
