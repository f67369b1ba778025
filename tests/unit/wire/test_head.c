/* Real op-conductor-consensus processes and the rules of the unsafe head: the very first one, what op-node left,
 * and what an operator says.
 */
#include "cluster.h"

#include "shared/base/clock.h"
#include "shared/base/err.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define COMMIT_MS 20000
#define LEADER_MS 20000

static struct cluster cluster;
static struct block tip;

static void advance(struct block next)
{
    block_free(&tip);
    tip = next;
}

static int setup(void **state)
{
    (void)state;
    cluster_open(&cluster);
    node_spawn(&cluster, 0, true);
    node_wait_ready(&cluster, 0);
    cluster_wait_leader(&cluster, LEADER_MS, -1);
    for (unsigned i = 1; i < 3; i++) {
        node_spawn(&cluster, i, false);
        node_wait_ready(&cluster, i);
        assert_int_equal(node_member_op(&cluster, 0, MEMBER_ADD_VOTER, &cluster.nodes[i], 0, 20000), 0);
    }
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    cluster_close(&cluster);
    block_free(&tip);
    return 0;
}

static void expect_commit(unsigned i, const struct block *b, int want)
{
    int rc = node_commit(&cluster, i, b, COMMIT_MS);
    if (rc != want)
        fail_msg("block %llu: %d (%s), not %d", (unsigned long long)b->id.number, rc, cluster.nodes[i].commit.text,
                 want);
}

static void extend(unsigned leader)
{
    struct block next = block_make(&tip, 1000, 0);
    expect_commit(leader, &next, 0);
    advance(next);
}

struct told {
    uint64_t heads[3];
};

static bool heads_told(struct cluster *c, void *ctx)
{
    const struct told *t = ctx;
    struct page_consensus page = node_page(c, 0);
    for (unsigned i = 0; i < 3; i++)
        if (page.servers[i].record_age_ms == UINT64_MAX || page.servers[i].record.unsafe_head.number != t->heads[i])
            return false;
    return true;
}

/* What the three op-nodes say their heads are. */
static void tell(const struct block *a, const struct block *b, const struct block *c)
{
    const struct block *blocks[3] = {a, b, c};
    struct told t;
    for (unsigned i = 0; i < 3; i++) {
        cluster.nodes[i].record.unsafe_head = blocks[i]->id;
        t.heads[i] = blocks[i]->id.number;
    }
    assert_true(cluster_run(&cluster, LEADER_MS, heads_told, &t));
}

/* ---- in this order, on one cluster ---- */

/* A cluster formed beside a live chain: the first head is above everybody's, and everybody was heard. */
static void test_the_first_head(void **state)
{
    struct block genesis = block_make(NULL, 100, 0), live = block_make(&genesis, 100, 0),
                 next = block_make(&live, 100, 0);
    struct block behind = block_make(&genesis, 100, 1);
    (void)state;
    assert_int_equal(cluster_wait_leader(&cluster, LEADER_MS, -1), 0);
    memset(&cluster.nodes[2].record.unsafe_head, 0, sizeof(struct block_id)); /* its op-node has not answered */
    cluster.nodes[0].record.unsafe_head = cluster.nodes[1].record.unsafe_head = live.id;
    cluster_run(&cluster, 500, NULL, NULL);
    expect_commit(0, &next, OC_ENOTYET);
    tell(&genesis, &genesis, &live);
    expect_commit(0, &behind, OC_ECONFLICT); /* would fork the live chain */
    expect_commit(0, &next, 0);
    advance(next);
    extend(0);
    block_free(&genesis);
    block_free(&live);
    block_free(&behind);
}

/* What op-node leaves is posted back to it; only when it then leaves that again, later, it is replaced. */
static void test_left_blocks(void **state)
{
    struct cnode *n = &cluster.nodes[0];
    struct block parent = {.id = tip.id};
    (void)state;
    extend(0);
    extend(0);
    struct block other = block_make(&parent, 1000, 3);
    unsigned before = n->conflicts;
    node_send_permit(&cluster, 0, PERMIT_GRANTED, &tip.id);
    expect_commit(0, &other, OC_ECONFLICT);
    cluster_run(&cluster, 50, NULL, NULL);
    assert_int_equal(n->conflicts, before + 1);
    assert_int_equal(n->conflict.kind, HEAD_LEFT);
    assert_int_equal(n->conflict.from_number, other.id.number);
    assert_memory_equal(&n->conflict.head, &tip.id, sizeof tip.id);
    expect_commit(0, &other, OC_ECONFLICT); /* op-node's second try */
    /* the supervisor has given them back; what comes at once was built before */
    node_send_permit(&cluster, 0, PERMIT_GRANTED, &tip.id);
    cluster_run(&cluster, 100, NULL, NULL);
    before = n->conflicts;
    expect_commit(0, &other, OC_ECONFLICT);
    cluster_run(&cluster, 50, NULL, NULL);
    assert_int_equal(n->conflicts, before); /* known by now */
    node_send_permit(&cluster, 0, PERMIT_SUSPENDED, &tip.id);
    cluster_run(&cluster, 1200, NULL, NULL);
    expect_commit(0, &other, OC_ECONFLICT); /* perhaps a request that was long under way: it was refused before */
    block_free(&other);
    other = block_make(&parent, 1000, 5); /* built anew */
    expect_commit(0, &other, 0);
    for (unsigned i = 0; i < 3; i++)
        cluster_wait_head(&cluster, i, &other.id, LEADER_MS);
    assert_int_equal(n->conflict.kind, HEAD_REPLACED);
    assert_memory_equal(&n->conflict.block, &other.id, sizeof other.id);
    advance(other);
    extend(0);
}

/* That its op-node exited in between is no proof. */
static void test_left_blocks_of_another_op_node(void **state)
{
    struct block parent = {.id = tip.id};
    (void)state;
    extend(0);
    struct block other = block_make(&parent, 1000, 4);
    expect_commit(0, &other, OC_ECONFLICT);
    node_send_permit(&cluster, 0, PERMIT_GRANTED, &tip.id);
    node_send_permit(&cluster, 0, PERMIT_WITHDRAWN, &tip.id);
    cluster_run(&cluster, 1200, NULL, NULL);
    expect_commit(0, &other, OC_ECONFLICT);
    block_free(&other);
    extend(0);
}

static void test_adopt_head(void **state)
{
    struct cnode *n = &cluster.nodes[0];
    struct block ahead = block_make(&tip, 100, 7), later = block_make(&ahead, 100, 7),
                 next = block_make(&later, 100, 7);
    (void)state;
    expect_commit(0, &next, OC_EGAP);
    cluster_run(&cluster, 50, NULL, NULL);
    assert_int_equal(n->conflict.kind, HEAD_AHEAD);
    assert_int_equal(node_adopt_head(&cluster, 0, &later.id), OC_EUNKNOWN);
    printf("unknown: %s\n", n->member.text);
    tell(&tip, &tip, &later);
    assert_int_equal(node_adopt_head(&cluster, 1, &later.id), OC_ENOTLEADER);
    assert_int_equal(node_adopt_head(&cluster, 0, &later.id), 0);
    assert_int_equal(node_adopt_head(&cluster, 0, &later.id), 0); /* it is */
    for (unsigned i = 0; i < 3; i++)
        cluster_wait_head(&cluster, i, &later.id, LEADER_MS);
    expect_commit(0, &next, 0);
    /* and back to one that the rules never would */
    tell(&tip, &tip, &next);
    assert_int_equal(node_adopt_head(&cluster, 0, &tip.id), 0);
    extend(0);
    block_free(&ahead);
    block_free(&later);
    block_free(&next);
}

/* An adopted head survives a restart of everybody. */
static void test_adopted_head_is_kept(void **state)
{
    struct block ahead = block_make(&tip, 100, 9);
    (void)state;
    tell(&ahead, &tip, &tip);
    assert_int_equal(node_adopt_head(&cluster, 0, &ahead.id), 0);
    for (unsigned i = 0; i < 3; i++)
        cluster_wait_head(&cluster, i, &ahead.id, LEADER_MS);
    for (unsigned i = 0; i < 3; i++)
        node_kill(&cluster, i);
    for (unsigned i = 0; i < 3; i++)
        node_spawn(&cluster, i, false);
    for (unsigned i = 0; i < 3; i++)
        node_wait_ready(&cluster, i);
    advance(ahead);
    extend(cluster_wait_leader(&cluster, LEADER_MS, -1));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_the_first_head),
        cmocka_unit_test(test_left_blocks),
        cmocka_unit_test(test_left_blocks_of_another_op_node),
        cmocka_unit_test(test_adopt_head),
        cmocka_unit_test(test_adopted_head_is_kept),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
