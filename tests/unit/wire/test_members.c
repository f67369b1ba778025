/* Real op-conductor-consensus processes and the corners of membership: the leader itself, a name with another
 * storage, a majority that is lost for good.
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
#include <unistd.h>

#include <cmocka.h>

#define COMMIT_MS 20000
#define LEADER_MS 20000
#define MEMBER_MS 20000

static struct cluster cluster;
static struct block tip;

static void extend(unsigned leader)
{
    struct block next = block_make(tip.record ? &tip : NULL, 2000, 0);
    int rc = node_commit(&cluster, leader, &next, COMMIT_MS);
    if (rc)
        fail_msg("commit on seq-%u: %d (%s)", leader, rc, cluster.nodes[leader].commit.text);
    block_free(&tip);
    tip = next;
}

static void change(unsigned leader, enum member_verb verb, unsigned target, int want)
{
    struct cnode *n = &cluster.nodes[leader];
    int rc = node_member_op(&cluster, leader, verb, &cluster.nodes[target], 0, MEMBER_MS);
    if (rc != want)
        fail_msg("change %d of seq-%u: %d (%s), not %d", verb, target, rc, n->member.text, want);
}

static bool all_reported(struct cluster *c, void *ctx)
{
    struct page_consensus page = node_page(c, 0);
    (void)ctx;
    for (unsigned i = 0; i < page.server_count; i++)
        if (page.servers[i].record_age_ms == UINT64_MAX)
            return false;
    return true;
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
        change(0, MEMBER_ADD_VOTER, i, 0);
    }
    assert_true(cluster_run(&cluster, LEADER_MS, all_reported, NULL));
    extend(0);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    cluster_close(&cluster);
    block_free(&tip);
    return 0;
}

static uint64_t suffrage_of(unsigned at, const char *name)
{
    struct page_consensus page = node_page(&cluster, at);
    for (unsigned i = 0; i < page.server_count; i++)
        if (strcmp(page.servers[i].id, name) == 0)
            return page.servers[i].suffrage;
    return UINT64_MAX;
}

/* ---- in this order, on one cluster ---- */

/* It goes on as a standby under another leader, and gets its vote back. */
static void test_demote_the_leader(void **state)
{
    unsigned old = cluster_wait_leader(&cluster, LEADER_MS, -1);
    struct cnode *n = &cluster.nodes[old];
    (void)state;
    change(old, MEMBER_DEMOTE, old, 0);
    unsigned next = cluster_wait_leader(&cluster, LEADER_MS, (int)old);
    extend(next);
    cluster_wait_head(&cluster, old, &tip.id, LEADER_MS);
    assert_int_equal(suffrage_of(next, n->name), SUFFRAGE_NONVOTER);
    assert_int_not_equal(n->leadership.state, RAFT_ROLE_LEADER);
    change(next, MEMBER_DEMOTE, old, 0); /* again: nothing to do */
    change(next, MEMBER_ADD_VOTER, old, 0);
    assert_int_equal(suffrage_of(next, n->name), SUFFRAGE_VOTER);
    extend(next);
}

/* With two voters the leader has to hand over first: else nobody could tell a majority that it left. */
static void test_the_leader_of_two_stays(void **state)
{
    unsigned leader = cluster_wait_leader(&cluster, LEADER_MS, -1), other = (leader + 1) % 3, third = (leader + 2) % 3;
    (void)state;
    change(leader, MEMBER_REMOVE, third, 0);
    change(leader, MEMBER_REMOVE, third, 0); /* again: nothing to do */
    change(leader, MEMBER_REMOVE, leader, OC_ERANGE);
    printf("remove the leader of two: %s\n", cluster.nodes[leader].member.text);
    assert_non_null(strstr(cluster.nodes[leader].member.text, "transfer leadership first"));
    change(leader, MEMBER_DEMOTE, leader, OC_ERANGE);
    int rc = node_transfer(&cluster, leader, cluster.nodes[other].name);
    for (unsigned k = 0; k < 5 && rc == OC_EDEADLINE; k++) /* a loaded machine: the target was too late */
        rc = node_transfer(&cluster, leader, cluster.nodes[other].name);
    assert_int_equal(rc, 0);
    assert_int_equal(cluster_wait_leader(&cluster, LEADER_MS, (int)leader), other);
    change(other, MEMBER_REMOVE, leader, 0);
    extend(other);
    change(other, MEMBER_REMOVE, other, OC_ERANGE);
    assert_non_null(strstr(cluster.nodes[other].member.text, "at least one voter"));
    change(other, MEMBER_ADD_VOTER, leader, 0);
    change(other, MEMBER_ADD_VOTER, third, 0);
    for (unsigned i = 0; i < 3; i++)
        cluster_wait_head(&cluster, i, &tip.id, LEADER_MS);
}

/* A leader without its majority steps down, and nobody is elected by a vote that does not count. */
static bool has_leader(struct cluster *c, void *ctx)
{
    (void)ctx;
    for (unsigned i = 0; i < 3; i++)
        if (c->nodes[i].pid && c->nodes[i].leadership.leader_ready)
            return true;
    return false;
}

static void test_an_emptied_disk_has_no_vote(void **state)
{
    unsigned leader = cluster_wait_leader(&cluster, LEADER_MS, -1), wiped = (leader + 1) % 3, dead = (leader + 2) % 3;
    (void)state;
    node_kill(&cluster, wiped);
    node_kill(&cluster, dead);
    node_wipe(&cluster, wiped);
    node_spawn(&cluster, wiped, false);
    node_wait_ready(&cluster, wiped);
    struct block next = block_make(&tip, 100, 0);
    assert_int_not_equal(node_commit(&cluster, leader, &next, 1000), 0);
    cluster_run(&cluster, 1000, NULL, NULL);
    assert_false(cluster_run(&cluster, 2000, has_leader, NULL));
    assert_int_equal(node_page(&cluster, wiped).head_valid, 0);
    /* the dead one comes back: a majority again, and the wiped one can be added anew */
    node_spawn(&cluster, dead, false);
    node_wait_ready(&cluster, dead);
    leader = cluster_wait_leader(&cluster, LEADER_MS, -1);
    assert_int_equal(node_commit(&cluster, leader, &next, COMMIT_MS), 0); /* it may have been stored meanwhile */
    block_free(&tip);
    tip = next;
    extend(leader);
    change(leader, MEMBER_REMOVE, wiped, 0);
    change(leader, MEMBER_ADD_VOTER, wiped, 0);
    cluster_wait_head(&cluster, wiped, &tip.id, LEADER_MS);
    assert_int_equal(node_page(&cluster, leader).server_count, 3);
}

static void test_force_new_cluster(void **state)
{
    unsigned kept = cluster_wait_leader(&cluster, LEADER_MS, -1), lost = (kept + 1) % 3, other = (kept + 2) % 3;
    struct page_consensus before = node_page(&cluster, kept), now;
    char events[sizeof cluster.nodes[0].dir + 8];
    (void)state;
    snprintf(events, sizeof events, "%s.events", cluster.nodes[kept].dir);
    assert_int_equal(node_force(&cluster, kept, true), 1); /* in use */
    for (unsigned i = 0; i < 3; i++)
        node_kill(&cluster, i);
    assert_int_equal(node_force(&cluster, 4, true), 1);     /* no such directory */
    assert_int_equal(node_force(&cluster, kept, false), 1); /* nobody to ask */
    node_spawn(&cluster, kept, false);
    node_wait_ready(&cluster, kept);
    assert_false(cluster_run(&cluster, 1000, has_leader, NULL)); /* nothing was done */
    node_kill(&cluster, kept);
    assert_int_equal(access(events, F_OK), -1);
    assert_int_equal(node_force(&cluster, kept, true), 0);
    assert_int_equal(access(events, F_OK), 0);             /* what was done can be read later */
    assert_int_equal(node_force(&cluster, kept, true), 0); /* again: nothing to do */
    node_spawn(&cluster, kept, false);
    node_wait_ready(&cluster, kept);
    assert_int_equal(cluster_wait_leader(&cluster, LEADER_MS, -1), kept);
    cluster_wait_head(&cluster, kept, &tip.id, LEADER_MS);
    now = node_page(&cluster, kept);
    assert_int_equal(now.server_count, 1);
    assert_true(now.membership_version > before.membership_version);
    assert_memory_not_equal(now.cluster_id, before.cluster_id, sizeof now.cluster_id);
    assert_int_equal(cluster.nodes[kept].leadership.fresh_bootstrap, 1); /* paused until an operator resumes it */
    extend(kept);
    /* An old member comes back with its old disk: it changes nothing, and cannot be added like that. */
    node_spawn(&cluster, lost, false);
    node_wait_ready(&cluster, lost);
    cluster_run(&cluster, 1500, NULL, NULL);
    extend(kept);
    assert_int_equal(node_page(&cluster, kept).server_count, 1);
    change(kept, MEMBER_ADD_VOTER, lost, OC_ECONFLICT);
    printf("an old member: %s\n", cluster.nodes[kept].member.text);
    /* Emptied, both join. */
    node_kill(&cluster, lost);
    node_wipe(&cluster, lost);
    node_wipe(&cluster, other);
    for (unsigned i = 0; i < 3; i++) {
        if (i == kept)
            continue;
        node_spawn(&cluster, i, false);
        node_wait_ready(&cluster, i);
        change(kept, MEMBER_ADD_VOTER, i, 0);
        cluster_wait_head(&cluster, i, &tip.id, LEADER_MS);
    }
    /* And the new cluster lives on without the one it came from. */
    node_kill(&cluster, kept);
    extend(cluster_wait_leader(&cluster, LEADER_MS, (int)kept));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_demote_the_leader),
        cmocka_unit_test(test_the_leader_of_two_stays),
        cmocka_unit_test(test_an_emptied_disk_has_no_vote),
        cmocka_unit_test(test_force_new_cluster),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
