/* Real op-conductor-consensus processes under faults: hung members, a lost rpcd, expired commits,
 * several commits at once, an operator's resume that outlives a restart.
 */
#include "cluster.h"

#include "shared/base/clock.h"
#include "shared/base/err.h"
#include "shared/base/fd.h"
#include "shared/worker/worker.h"

#include <fcntl.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

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

static void extend(unsigned leader, size_t bytes)
{
    struct block next = block_make(tip.record ? &tip : NULL, bytes, 0);
    int rc = node_commit(&cluster, leader, &next, COMMIT_MS);
    if (rc)
        fail_msg("commit of %zu bytes on seq-%u: %d (%s)", bytes, leader, rc, cluster.nodes[leader].commit.text);
    advance(next);
}

static bool all_reported(struct cluster *c, void *ctx)
{
    struct page_consensus page = node_page(c, 0);
    (void)ctx;
    for (unsigned i = 0; i < page.server_count; i++)
        if (page.servers[i].record_age_ms == UINT64_MAX)
            return false;
    return page.server_count == 3;
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
    assert_true(cluster_run(&cluster, LEADER_MS, all_reported, NULL));
    extend(0, 1000);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    for (unsigned i = 0; i < CLUSTER_NODES; i++)
        if (cluster.nodes[i].pid)
            kill(cluster.nodes[i].pid, SIGCONT);
    cluster_close(&cluster);
    block_free(&tip);
    return 0;
}

static long rss_kb(pid_t pid)
{
    char path[64], line[256];
    long kb = 0;
    snprintf(path, sizeof path, "/proc/%d/status", (int)pid);
    FILE *f = fopen(path, "re");
    assert_non_null(f);
    while (fgets(line, sizeof line, f))
        if (strncmp(line, "VmRSS:", 6) == 0)
            kb = strtol(line + 6, NULL, 10);
    (void)fclose(f);
    return kb;
}

/* ---- in this order, on one cluster ---- */

static void test_resume_outlives_a_restart(void **state)
{
    const struct msg_empty empty = {0};
    (void)state;
    node_kill(&cluster, 0);
    node_spawn(&cluster, 0, true);
    node_wait_ready(&cluster, 0);
    cluster_wait_head(&cluster, 0, &tip.id, LEADER_MS);
    assert_int_equal(cluster.nodes[0].leadership.fresh_bootstrap, 1);
    assert_int_equal(chan_send(cluster.nodes[0].sup, MSG_RELEASE_HOLD, 0, &empty, -1), 0);
    cluster_run(&cluster, 300, NULL, NULL);
    assert_int_equal(cluster.nodes[0].leadership.fresh_bootstrap, 0);
    node_kill(&cluster, 0);
    node_spawn(&cluster, 0, true);
    node_wait_ready(&cluster, 0);
    cluster_wait_head(&cluster, 0, &tip.id, LEADER_MS);
    assert_int_equal(cluster.nodes[0].leadership.fresh_bootstrap, 0);
}

struct answers {
    struct cnode *node;
    unsigned wanted;
};

static bool has_answers(struct cluster *c, void *ctx)
{
    const struct answers *a = ctx;
    (void)c;
    return a->node->commit_answers >= a->wanted;
}

/* A block may be on its way while the next one comes: it is judged against the end of the log. */
static void test_commits_overlap(void **state)
{
    enum { COUNT = 8 };
    unsigned leader = cluster_wait_leader(&cluster, LEADER_MS, -1);
    struct cnode *n = &cluster.nodes[leader];
    struct block blocks[COUNT];
    uint64_t offsets[COUNT];
    struct answers wait = {n, n->commit_answers + COUNT};
    (void)state;
    for (unsigned i = 0; i < COUNT; i++) {
        struct msg_commit req = {.deadline_mono_ns = clock_mono_ns() + COMMIT_MS * UINT64_C(1000000)};
        blocks[i] = block_make(i ? &blocks[i - 1] : &tip, 100000, 0);
        req.len = blocks[i].len;
        req.block = blocks[i].id;
        uint8_t *slot = ring_reserve(n->ring, req.len, &req.offset);
        assert_non_null(slot);
        memcpy(slot, blocks[i].record, req.len);
        offsets[i] = req.offset;
        assert_int_equal(chan_send(n->rpcd, MSG_COMMIT, i + 1000, &req, -1), 0);
    }
    assert_true(cluster_run(&cluster, COMMIT_MS, has_answers, &wait));
    assert_int_equal(n->commit.rc, 0);
    assert_memory_equal(&n->commit.head, &blocks[COUNT - 1].id, sizeof n->commit.head);
    for (unsigned i = 0; i < COUNT; i++)
        ring_release(n->ring, offsets[i]);
    for (unsigned i = 0; i + 1 < COUNT; i++)
        block_free(&blocks[i]);
    advance(blocks[COUNT - 1]);
}

static void test_rpcd_may_come_and_go(void **state)
{
    unsigned leader = cluster_wait_leader(&cluster, LEADER_MS, -1);
    struct cnode *n = &cluster.nodes[leader];
    const struct msg_peer peer = {.role = ROLE_RPCD, .incarnation = 1};
    (void)state;
    for (unsigned i = 0; i < 3; i++) {
        /* it dies with a commit under way, and the next one finds everything in order */
        struct block next = block_make(&tip, 200000, 0);
        struct msg_commit req = {
            .len = next.len, .block = next.id, .deadline_mono_ns = clock_mono_ns() + COMMIT_MS * UINT64_C(1000000)};
        uint8_t *slot = ring_reserve(n->ring, next.len, &req.offset);
        assert_non_null(slot);
        memcpy(slot, next.record, next.len);
        assert_int_equal(chan_send(n->rpcd, MSG_COMMIT, 1, &req, -1), 0);
        node_drop_rpcd(&cluster, leader);
        assert_int_equal(chan_send(n->sup, MSG_PEER_DOWN, 0, &peer, -1), 0);
        cluster_run(&cluster, 50, NULL, NULL);
        node_open_rpcd(&cluster, leader);
        assert_int_equal(node_commit(&cluster, leader, &next, COMMIT_MS), 0); /* the caller's second try */
        advance(next);
        extend(leader, 1000);
    }
}

/* Without a majority a commit is refused at its deadline; once there is one, the retry succeeds. */
static void test_commit_expires_without_a_majority(void **state)
{
    unsigned leader = cluster_wait_leader(&cluster, LEADER_MS, -1);
    struct block next = block_make(&tip, 5000, 0);
    (void)state;
    for (unsigned i = 0; i < 3; i++)
        if (i != leader)
            assert_int_equal(kill(cluster.nodes[i].pid, SIGSTOP), 0);
    uint64_t start = clock_mono_ns();
    int rc = node_commit(&cluster, leader, &next, 100);
    printf("commit without a majority: refused after %.0f ms (%s)\n", (double)(clock_mono_ns() - start) / 1e6,
           cluster.nodes[leader].commit.text);
    assert_int_equal(rc, OC_EDEADLINE);
    for (unsigned i = 0; i < 3; i++)
        if (i != leader)
            assert_int_equal(kill(cluster.nodes[i].pid, SIGCONT), 0);
    cluster_run(&cluster, 500, NULL, NULL);
    leader = cluster_wait_leader(&cluster, LEADER_MS, -1);
    rc = node_commit(&cluster, leader, &next, COMMIT_MS);
    if (rc)
        fail_msg("the retry: %d (%s)", rc, cluster.nodes[leader].commit.text);
    advance(next);
}

static void test_hung_leader(void **state)
{
    (void)state;
    for (unsigned round = 0; round < 3; round++) {
        unsigned old = cluster_wait_leader(&cluster, LEADER_MS, -1);
        uint64_t start = clock_mono_ns();
        assert_int_equal(kill(cluster.nodes[old].pid, SIGSTOP), 0);
        unsigned leader = cluster_wait_leader(&cluster, LEADER_MS, (int)old);
        printf("leader hung: new leader after %.0f ms\n", (double)(clock_mono_ns() - start) / 1e6);
        extend(leader, 100000);
        assert_int_equal(kill(cluster.nodes[old].pid, SIGCONT), 0);
        cluster_wait_head(&cluster, old, &tip.id, LEADER_MS);
        cluster_run(&cluster, 200, NULL, NULL);
        assert_int_not_equal(cluster.nodes[old].leadership.state, RAFT_ROLE_LEADER);
    }
}

/* A member that does not read costs the leader a bounded amount of memory, and comes back. */
static void test_hung_follower(void **state)
{
    unsigned leader = cluster_wait_leader(&cluster, LEADER_MS, -1), hung = (leader + 1) % 3;
    double worst_ms = 0;
    (void)state;
    assert_int_equal(kill(cluster.nodes[hung].pid, SIGSTOP), 0);
    long before = rss_kb(cluster.nodes[leader].pid);
    for (unsigned i = 0; i < 60; i++) {
        extend(leader, 5000000);
        const struct commit_stamps *s = &cluster.nodes[leader].commit.stamps;
        double ms = (double)(s->applied - s->taken) / 1e6;
        worst_ms = ms > worst_ms ? ms : worst_ms;
    }
    long after = rss_kb(cluster.nodes[leader].pid);
    printf("hung follower: 300 MB committed, slowest %.0f ms; leader's memory %ld MB before, %ld MB after\n", worst_ms,
           before >> 10, after >> 10);
    assert_true(after < (1 << 20)); /* 1 GiB, with a sanitizer's overhead */
    assert_int_equal(kill(cluster.nodes[hung].pid, SIGCONT), 0);
    uint64_t start = clock_mono_ns();
    cluster_wait_head(&cluster, hung, &tip.id, 60000);
    printf("hung follower: has all again after %.0f ms\n", (double)(clock_mono_ns() - start) / 1e6);
}

/* All members are told everything about each other. */
static bool sees_records(struct cluster *c, void *ctx)
{
    (void)ctx;
    for (unsigned i = 0; i < 3; i++) {
        struct page_consensus page = node_page(c, i);
        for (unsigned k = 0; k < 3; k++)
            if (page.servers[k].record_age_ms > 3000 || page.servers[k].contact_age_ms > 3000 ||
                page.servers[k].record.unsafe_head.number != 4242)
                return false;
    }
    return true;
}

static void test_records_everywhere(void **state)
{
    (void)state;
    for (unsigned i = 0; i < 3; i++)
        cluster.nodes[i].record.unsafe_head.number = 4242;
    assert_true(cluster_run(&cluster, LEADER_MS, sees_records, NULL));
}

/* Under an override the chain went on without consensus: what a majority has is adopted. */
static void test_head_of_the_majority_is_adopted(void **state)
{
    unsigned leader = cluster_wait_leader(&cluster, LEADER_MS, -1);
    (void)state;
    for (unsigned i = 0; i < 3; i++)
        cluster.nodes[i].record.unsafe_head.number = 0;
    extend(leader, 1000); /* it has just moved */
    struct block ahead = block_make(&tip, 100, 7), later = block_make(&ahead, 100, 7),
                 next = block_make(&later, 100, 7);
    /* one alone is not enough; nor is a majority while consensus moves */
    cluster.nodes[leader].record.unsafe_head = later.id;
    cluster_run(&cluster, 500, NULL, NULL);
    assert_int_equal(node_commit(&cluster, leader, &next, COMMIT_MS), OC_EGAP);
    for (unsigned i = 0; i < 3; i++)
        cluster.nodes[i].record.unsafe_head = later.id;
    cluster_run(&cluster, 500, NULL, NULL);
    for (unsigned i = 0; i < 2; i++)
        assert_int_equal(node_commit(&cluster, leader, &next, COMMIT_MS), OC_EGAP);
    cluster_run(&cluster, 10500, NULL, NULL);
    assert_int_equal(node_export(&cluster, leader, later.id.number), 0);
    assert_memory_equal(&cluster.nodes[leader].export_result.head, &later.id, sizeof later.id);
    assert_int_equal(cluster.nodes[leader].conflict.kind, HEAD_ADOPTED);
    assert_int_equal(node_commit(&cluster, leader, &next, COMMIT_MS), 0);
    block_free(&ahead);
    block_free(&later);
    advance(next);
    extend(leader, 1000);
}

/* A lookup cannot be broken off: the process ends without it. */
static void test_a_hanging_name_server_holds_up_no_exit(void **state)
{
    char aliases[sizeof cluster.nodes[0].dir + 16];
    struct cnode unknown = {.name = "seq-9", .addr = "nowhere:50050"}, *n = &cluster.nodes[3];
    (void)state;
    (void)snprintf(aliases, sizeof aliases, "%s.aliases", n->dir);
    assert_int_equal(mkfifo(aliases, 0600), 0); /* who reads it waits, and the resolver reads it */
    assert_int_equal(setenv("HOSTALIASES", aliases, 1), 0);
    node_spawn(&cluster, 3, false);
    node_wait_ready(&cluster, 3);
    assert_int_equal(unsetenv("HOSTALIASES"), 0);
    assert_int_not_equal(node_member_op(&cluster, 3, MEMBER_ADD_VOTER, &unknown, 0, 200), 0);
    chan_close(n->sup);
    n->sup = NULL;
    int status = node_wait_exit(&cluster, 3, 5000);
    assert_true(WIFEXITED(status));
    assert_int_equal(WEXITSTATUS(status), WORKER_EXIT_OK);
    assert_int_equal(unlink(aliases), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_resume_outlives_a_restart),
        cmocka_unit_test(test_commits_overlap),
        cmocka_unit_test(test_rpcd_may_come_and_go),
        cmocka_unit_test(test_commit_expires_without_a_majority),
        cmocka_unit_test(test_hung_leader),
        cmocka_unit_test(test_hung_follower),
        cmocka_unit_test(test_records_everywhere),
        cmocka_unit_test(test_head_of_the_majority_is_adopted),
        cmocka_unit_test(test_a_hanging_name_server_holds_up_no_exit),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
