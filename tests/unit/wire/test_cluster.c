/* Real op-conductor-consensus processes, driven as supervisor and rpcd would: a cluster forms, keeps a
 * chain, loses members, and every answer is what it should be. Prints what it measured.
 */
#include "cluster.h"

#include "shared/base/clock.h"
#include "shared/base/err.h"
#include "shared/payload/record.h"
#include "shared/worker/worker.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#define COMMIT_MS 20000
#define LEADER_MS 20000
#define MEMBER_MS 20000

static struct cluster cluster;
static struct block tip; /* the newest committed block */

static double ms_since(uint64_t start_ns)
{
    return (double)(clock_mono_ns() - start_ns) / 1e6;
}

/* Puts the next block on the chain through that node. */
static void extend(unsigned leader, size_t bytes)
{
    struct block next = block_make(tip.record ? &tip : NULL, bytes, 0);
    int rc = node_commit(&cluster, leader, &next, COMMIT_MS);
    if (rc)
        fail_msg("commit of %zu bytes on seq-%u: %d (%s)", bytes, leader, rc, cluster.nodes[leader].commit.text);
    const struct msg_commit_result *result = &cluster.nodes[leader].commit;
    assert_int_equal(result->head_valid, 1);
    assert_memory_equal(&result->head, &next.id, sizeof next.id);
    assert_true(result->stamps.taken <= result->stamps.proposed);
    assert_true(result->stamps.proposed <= result->stamps.applied);
    block_free(&tip);
    tip = next;
}

static int compare(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return x < y ? -1 : x > y;
}

static void measure(unsigned leader, size_t bytes, unsigned count)
{
    double ms[64];
    assert_true(count <= 64);
    for (unsigned i = 0; i < count; i++) {
        extend(leader, bytes);
        const struct commit_stamps *s = &cluster.nodes[leader].commit.stamps;
        ms[i] = (double)(s->applied - s->taken) / 1e6;
    }
    qsort(ms, count, sizeof ms[0], compare);
    printf("commit %7zu bytes: p50 %.2f ms, max %.2f ms (n=%u)\n", bytes, ms[count / 2], ms[count - 1], count);
}

static void wait_all_heads(unsigned count)
{
    for (unsigned i = 0; i < count; i++)
        if (cluster.nodes[i].pid)
            cluster_wait_head(&cluster, i, &tip.id, LEADER_MS);
}

static int setup(void **state)
{
    (void)state;
    cluster_open(&cluster);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    cluster_close(&cluster);
    block_free(&tip);
    return 0;
}

/* ---- in this order: each test goes on where the one before stopped ---- */

static void test_bootstrap(void **state)
{
    (void)state;
    node_spawn(&cluster, 0, true);
    node_wait_ready(&cluster, 0);
    assert_int_equal(cluster_wait_leader(&cluster, LEADER_MS, -1), 0);
    struct page_consensus page = node_page(&cluster, 0);
    assert_string_equal(page.leader_id, "seq-0");
    assert_string_equal(page.leader_addr, cluster.nodes[0].addr);
    assert_int_equal(page.server_count, 1);
    assert_int_equal(page.servers[0].suffrage, SUFFRAGE_VOTER);
    assert_int_equal(page.head_valid, 0);
    assert_int_equal(cluster.nodes[0].leadership.fresh_bootstrap, 1);
    assert_int_equal(node_get_payload(&cluster, 0, 0), OC_EUNKNOWN);
    assert_int_equal(node_export(&cluster, 0, 0), 0);
    assert_int_equal(cluster.nodes[0].export_result.head_valid, 0);
}

static void test_add_voters(void **state)
{
    (void)state;
    for (unsigned i = 1; i < 3; i++) {
        node_spawn(&cluster, i, false);
        node_wait_ready(&cluster, i);
        assert_int_equal(cluster.nodes[i].leadership.fresh_bootstrap, 0);
        uint64_t start = clock_mono_ns();
        int rc = node_member_op(&cluster, 0, MEMBER_ADD_VOTER, &cluster.nodes[i], 0, MEMBER_MS);
        if (rc)
            fail_msg("add voter: %d (%s)", rc, cluster.nodes[0].member.text);
        printf("voter added in %.1f ms\n", ms_since(start));
    }
    struct page_consensus page = node_page(&cluster, 0);
    assert_int_equal(page.server_count, 3);
    for (unsigned i = 0; i < 3; i++)
        assert_int_equal(page.servers[i].suffrage, SUFFRAGE_VOTER);
    /* again, with nothing to do; and guarded by a version that is over */
    assert_int_equal(node_member_op(&cluster, 0, MEMBER_ADD_VOTER, &cluster.nodes[0], 0, MEMBER_MS), 0);
    assert_int_equal(node_member_op(&cluster, 0, MEMBER_ADD_VOTER, &cluster.nodes[2], 0, MEMBER_MS), 0);
    assert_int_equal(node_member_op(&cluster, 0, MEMBER_ADD_NONVOTER, &cluster.nodes[2], 0, MEMBER_MS), 0);
    assert_int_equal(cluster.nodes[0].member.version, page.membership_version);
    assert_int_equal(node_page(&cluster, 0).servers[2].suffrage, SUFFRAGE_VOTER);
    assert_int_equal(node_member_op(&cluster, 0, MEMBER_ADD_VOTER, &cluster.nodes[2], 1, MEMBER_MS), OC_ECONFVERSION);
    printf("version guard: %s\n", cluster.nodes[0].member.text);
    assert_non_null(strstr(cluster.nodes[0].member.text, "configuration changed since 1 (latest is "));
}

static void test_member_errors(void **state)
{
    struct cnode nobody = cluster.nodes[3], liar = cluster.nodes[1], duplicate = cluster.nodes[4];
    char text[128];
    (void)state;
    assert_int_not_equal(node_member_op(&cluster, 0, MEMBER_ADD_VOTER, &nobody, 0, MEMBER_MS), 0);
    snprintf(text, sizeof text, "dial tcp %s: connect: connection refused", nobody.addr);
    assert_string_equal(cluster.nodes[0].member.text, text);
    snprintf(liar.name, sizeof liar.name, "seq-9");
    assert_int_equal(node_member_op(&cluster, 0, MEMBER_ADD_VOTER, &liar, 0, MEMBER_MS), OC_ERANGE);
    assert_non_null(strstr(cluster.nodes[0].member.text, "is seq-1, not seq-9"));
    snprintf(duplicate.addr, sizeof duplicate.addr, "127.0.0.1");
    assert_int_equal(node_member_op(&cluster, 0, MEMBER_ADD_VOTER, &duplicate, 0, MEMBER_MS), OC_ESYNTAX);
    assert_string_equal(cluster.nodes[0].member.text, "dial tcp: address 127.0.0.1: missing port in address");
    /* on a follower, and of an unknown server */
    assert_int_equal(node_member_op(&cluster, 1, MEMBER_REMOVE, &cluster.nodes[2], 0, MEMBER_MS), OC_ENOTLEADER);
    assert_string_equal(cluster.nodes[1].member.text, "node is not the leader");
    assert_int_equal(node_member_op(&cluster, 0, MEMBER_REMOVE, &nobody, 0, MEMBER_MS), 0);
    assert_int_equal(node_member_op(&cluster, 0, MEMBER_DEMOTE, &nobody, 0, MEMBER_MS), OC_EUNKNOWN);
}

/* Before the first head all members must have said what they know. */
static bool all_reported(struct cluster *c, void *ctx)
{
    struct page_consensus page = node_page(c, 0);
    (void)ctx;
    for (unsigned i = 0; i < page.server_count; i++)
        if (page.servers[i].record_age_ms == UINT64_MAX)
            return false;
    return true;
}

static void test_commits_of_all_sizes(void **state)
{
    (void)state;
    assert_true(cluster_run(&cluster, LEADER_MS, all_reported, NULL));
    measure(0, 1000, 20);
    measure(0, 100000, 20);
    measure(0, 1000000, 10);
    measure(0, 5000000, 5);
    extend(0, 9000000); /* more than the ring: by memfd */
    wait_all_heads(3);
    struct page_consensus page = node_page(&cluster, 0);
    assert_int_equal(page.commits_total, 56);
    assert_true(page.last_commit_us > 0);
    assert_int_equal(node_commit(&cluster, 1, &tip, COMMIT_MS), OC_ENOTLEADER);
}

static void test_commit_answers(void **state)
{
    struct block gap, late, sibling;
    (void)state;
    extend(0, 2000);
    /* the same again succeeds and changes nothing */
    assert_int_equal(node_commit(&cluster, 0, &tip, COMMIT_MS), 0);
    assert_memory_equal(&cluster.nodes[0].commit.head, &tip.id, sizeof tip.id);
    /* a conflict with an acknowledged block, and a gap, do not */
    struct block parent = {.id = {.number = tip.id.number - 1}};
    memcpy(parent.id.hash, tip.parent, HASH_SIZE);
    sibling = block_make(&parent, 2000, 1);
    assert_int_not_equal(node_commit(&cluster, 0, &sibling, COMMIT_MS), 0);
    printf("conflict: %s\n", cluster.nodes[0].commit.text);
    gap = block_make(&sibling, 2000, 0);
    assert_int_not_equal(node_commit(&cluster, 0, &gap, COMMIT_MS), 0);
    printf("gap: %s\n", cluster.nodes[0].commit.text);
    late = block_make(&tip, 2000, 0);
    assert_int_equal(node_commit(&cluster, 0, &late, 0), OC_EDEADLINE);
    /* bytes that are no record */
    memset(late.record + 40, 0xff, 60);
    assert_int_not_equal(node_commit(&cluster, 0, &late, COMMIT_MS), 0);
    struct page_consensus page = node_page(&cluster, 0);
    assert_memory_equal(&page.head, &tip.id, sizeof tip.id);
    block_free(&sibling);
    block_free(&gap);
    block_free(&late);
}

static void test_export_and_payload(void **state)
{
    struct cnode *n = &cluster.nodes[0];
    struct payload_view view;
    (void)state;
    for (unsigned i = 0; i < 3; i++)
        extend(0, 500 + i);
    assert_int_equal(node_export(&cluster, 0, tip.id.number - 3), 0);
    assert_int_equal(n->export_result.record_count, 3);
    assert_int_equal(n->export_result.first_number, tip.id.number - 2);
    assert_memory_equal(&n->export_result.head, &tip.id, sizeof tip.id);
    uint8_t *data = malloc(n->export_result.total_bytes);
    assert_non_null(data);
    assert_int_equal(pread(n->result_fd, data, n->export_result.total_bytes, 0), (ssize_t)n->export_result.total_bytes);
    size_t at = 0;
    for (unsigned i = 0; i < 3; i++) {
        uint64_t len;
        memcpy(&len, data + at, sizeof len);
        uint8_t *record = malloc(len); /* aligned, as its reader has it */
        assert_non_null(record);
        memcpy(record, data + at + sizeof len, len);
        assert_int_equal(payload_view_parse(record, len, &view), 0);
        assert_int_equal(view.header.block_number, tip.id.number - 2 + i);
        free(record);
        at += sizeof len + len;
    }
    assert_int_equal(at, n->export_result.total_bytes);
    free(data);
    assert_int_equal(node_export(&cluster, 1, 0), OC_ENOTLEADER);
    /* nothing above the head: no file */
    assert_int_equal(node_export(&cluster, 0, tip.id.number), 0);
    assert_int_equal(n->export_result.record_count, 0);
    assert_int_equal(n->result_fd, -1);
    /* any member serves payloads */
    cluster_wait_head(&cluster, 2, &tip.id, LEADER_MS);
    assert_int_equal(node_get_payload(&cluster, 2, 0), 0);
    assert_memory_equal(&cluster.nodes[2].payload.block, &tip.id, sizeof tip.id);
    assert_int_equal(cluster.nodes[2].payload.bytes, tip.len);
    assert_int_equal(node_get_payload(&cluster, 2, 1), OC_EUNKNOWN);
}

static void test_transfer(void **state)
{
    unsigned leader = 0;
    (void)state;
    assert_int_not_equal(node_transfer(&cluster, 0, "seq-0"), 0);
    assert_string_equal(cluster.nodes[0].transfer.text, "cannot transfer leadership to itself");
    assert_int_equal(node_transfer(&cluster, 0, "seq-7"), OC_EUNKNOWN);
    assert_string_equal(cluster.nodes[0].transfer.text, "cannot find replication state for seq-7");
    assert_int_equal(node_transfer(&cluster, 1, "seq-2"), OC_ENOTLEADER);
    for (unsigned i = 0; i < 6; i++) {
        unsigned target = (leader + 1) % 3;
        uint64_t start = clock_mono_ns();
        int rc = node_transfer(&cluster, leader, cluster.nodes[target].name);
        for (unsigned k = 0; k < 5 && rc == OC_EDEADLINE; k++) /* a loaded machine: the target was too late */
            rc = node_transfer(&cluster, leader, cluster.nodes[target].name);
        if (rc)
            fail_msg("transfer: %d (%s)", rc, cluster.nodes[leader].transfer.text);
        assert_string_equal(cluster.nodes[leader].transfer.new_leader_id, cluster.nodes[target].name);
        assert_int_equal(cluster_wait_leader(&cluster, LEADER_MS, (int)leader), target);
        printf("transfer to %s: %.1f ms until its leadership was reported\n", cluster.nodes[target].name,
               ms_since(start));
        assert_int_equal(cluster.nodes[target].leadership.asked, 1);
        leader = target;
        extend(leader, 10000);
    }
    /* Nobody was named. */
    assert_int_equal(node_transfer(&cluster, leader, ""), 0);
    leader = cluster_wait_leader(&cluster, LEADER_MS, (int)leader);
    assert_int_equal(cluster.nodes[leader].leadership.asked, 0);
    extend(leader, 10000);
}

/* Its target listens a moment later: leadership waits for that, and is not refused. */
static void test_transfer_to_one_that_starts(void **state)
{
    (void)state;
    for (unsigned round = 0; round < 3; round++) {
        unsigned leader = cluster_wait_leader(&cluster, LEADER_MS, -1), target = (leader + 1) % 3;
        wait_all_heads(3);
        node_kill(&cluster, target);
        node_spawn(&cluster, target, false);
        uint64_t start = clock_mono_ns();
        assert_int_equal(node_transfer(&cluster, leader, cluster.nodes[target].name), 0);
        assert_string_equal(cluster.nodes[leader].transfer.new_leader_id, cluster.nodes[target].name);
        printf("transfer to one that starts: %.1f ms\n", ms_since(start));
        assert_int_equal(cluster_wait_leader(&cluster, LEADER_MS, (int)leader), target);
        extend(target, 10000);
    }
}

static void test_kill_leader(void **state)
{
    (void)state;
    for (unsigned round = 0; round < 5; round++) {
        unsigned old = cluster_wait_leader(&cluster, LEADER_MS, -1);
        wait_all_heads(3);
        uint64_t start = clock_mono_ns();
        node_kill(&cluster, old);
        unsigned leader = cluster_wait_leader(&cluster, LEADER_MS, (int)old);
        double elected = ms_since(start);
        extend(leader, 100000);
        printf("leader killed: new leader after %.1f ms, next block committed after %.1f ms\n", elected,
               ms_since(start));
        node_spawn(&cluster, old, true); /* the flag left set does no harm */
        node_wait_ready(&cluster, old);
        extend(leader, 100000);
        cluster_wait_head(&cluster, old, &tip.id, LEADER_MS);
    }
}

/* Its worker comes back at once, as a supervisor sees to: that must not be worse than staying away. */
static void test_leader_restarts_at_once(void **state)
{
    (void)state;
    for (unsigned round = 0; round < 3; round++) {
        unsigned old = cluster_wait_leader(&cluster, LEADER_MS, -1);
        wait_all_heads(3);
        uint64_t start = clock_mono_ns();
        node_kill(&cluster, old);
        node_spawn(&cluster, old, false);
        unsigned leader = cluster_wait_leader(&cluster, LEADER_MS, -1);
        double elected = ms_since(start);
        node_wait_ready(&cluster, leader);
        extend(leader, 10000);
        printf("leader restarted at once: a leader after %.1f ms, next block committed after %.1f ms\n", elected,
               ms_since(start));
        node_wait_ready(&cluster, old);
    }
}

static void test_kill_all(void **state)
{
    uint64_t start;
    (void)state;
    for (unsigned i = 0; i < 3; i++)
        node_kill(&cluster, i);
    start = clock_mono_ns();
    for (unsigned i = 0; i < 3; i++)
        node_spawn(&cluster, i, false);
    unsigned leader = cluster_wait_leader(&cluster, LEADER_MS, -1);
    printf("all killed and restarted: leader after %.1f ms\n", ms_since(start));
    for (unsigned i = 0; i < 3; i++)
        node_wait_ready(&cluster, i);
    extend(leader, 1000);
    wait_all_heads(3);
}

static bool is_nonvoter(struct cluster *c, void *ctx)
{
    struct page_consensus page = node_page(c, 3);
    (void)ctx;
    return page.server_count == 4 && page.servers[3].suffrage == SUFFRAGE_NONVOTER;
}

static bool has_shorter_log(struct cluster *c, void *ctx)
{
    return node_page(c, *(unsigned *)ctx).first_index > 1;
}

static void test_empty_joiner_gets_a_snapshot(void **state)
{
    unsigned leader = cluster_wait_leader(&cluster, LEADER_MS, -1);
    (void)state;
    for (unsigned i = 0; i < 70; i++)
        extend(leader, 20000);
    assert_true(cluster_run(&cluster, LEADER_MS, has_shorter_log, &leader)); /* its snapshot is written beside */
    node_spawn(&cluster, 3, false);
    node_wait_ready(&cluster, 3);
    uint64_t start = clock_mono_ns();
    int rc = node_member_op(&cluster, leader, MEMBER_ADD_NONVOTER, &cluster.nodes[3], 0, MEMBER_MS);
    if (rc)
        fail_msg("add non-voter: %d (%s)", rc, cluster.nodes[leader].member.text);
    cluster_wait_head(&cluster, 3, &tip.id, LEADER_MS);
    struct page_consensus page = node_page(&cluster, 3);
    printf("empty joiner: caught up by a snapshot at %llu in %.1f ms\n", (unsigned long long)page.snapshot_index,
           ms_since(start));
    assert_true(page.snapshot_index > 0);
    assert_true(cluster_run(&cluster, LEADER_MS, is_nonvoter, NULL));
    struct page_consensus leaders = node_page(&cluster, leader);
    assert_memory_equal(page.cluster_id, leaders.cluster_id, sizeof page.cluster_id);
    /* promoted, demoted, restarted, removed */
    assert_int_equal(node_member_op(&cluster, leader, MEMBER_ADD_VOTER, &cluster.nodes[3], 0, MEMBER_MS), 0);
    assert_int_equal(node_page(&cluster, leader).servers[3].suffrage, SUFFRAGE_VOTER);
    assert_int_equal(node_member_op(&cluster, leader, MEMBER_DEMOTE, &cluster.nodes[3], 0, MEMBER_MS), 0);
    assert_int_equal(node_page(&cluster, leader).servers[3].suffrage, SUFFRAGE_NONVOTER);
    node_kill(&cluster, 3);
    node_spawn(&cluster, 3, false);
    extend(leader, 1000);
    node_wait_ready(&cluster, 3);
    cluster_wait_head(&cluster, 3, &tip.id, LEADER_MS);
    assert_int_equal(node_member_op(&cluster, leader, MEMBER_REMOVE, &cluster.nodes[3], 0, MEMBER_MS), 0);
    assert_int_equal(node_page(&cluster, leader).server_count, 3);
    node_kill(&cluster, 3);
    extend(leader, 1000);
}

/* An emptied disk under an old name is another server: it has no vote until it is added again. */
static void test_wiped_member_is_replaced(void **state)
{
    unsigned leader = cluster_wait_leader(&cluster, LEADER_MS, -1), victim = (leader + 1) % 3;
    (void)state;
    node_kill(&cluster, victim);
    node_wipe(&cluster, victim);
    node_spawn(&cluster, victim, false);
    node_wait_ready(&cluster, victim);
    extend(leader, 1000);
    assert_int_equal(node_page(&cluster, victim).head_valid, 0);
    int rc = node_member_op(&cluster, leader, MEMBER_ADD_VOTER, &cluster.nodes[victim], 0, MEMBER_MS);
    if (rc)
        fail_msg("replace: %d (%s)", rc, cluster.nodes[leader].member.text);
    cluster_wait_head(&cluster, victim, &tip.id, LEADER_MS);
    assert_int_equal(node_page(&cluster, leader).server_count, 3);
}

static void test_remove_the_leader(void **state)
{
    unsigned leader = cluster_wait_leader(&cluster, LEADER_MS, -1);
    (void)state;
    int rc = node_member_op(&cluster, leader, MEMBER_REMOVE, &cluster.nodes[leader], 0, MEMBER_MS);
    if (rc)
        fail_msg("remove the leader: %d (%s)", rc, cluster.nodes[leader].member.text);
    unsigned next = cluster_wait_leader(&cluster, LEADER_MS, (int)leader);
    extend(next, 1000);
    rc = node_member_op(&cluster, next, MEMBER_ADD_VOTER, &cluster.nodes[leader], 0, MEMBER_MS);
    if (rc)
        fail_msg("add it back: %d (%s)", rc, cluster.nodes[next].member.text);
    cluster_wait_head(&cluster, leader, &tip.id, LEADER_MS);
}

static bool is_stopped(struct cluster *c, void *ctx)
{
    (void)c;
    return ((struct cnode *)ctx)->leadership.state == RAFT_ROLE_STOPPED;
}

static void test_stop_raft_and_drain(void **state)
{
    const struct msg_empty empty = {0};
    const struct msg_drain drain = {.deadline_mono_ns = clock_mono_ns() + 5000000000u};
    unsigned leader = cluster_wait_leader(&cluster, LEADER_MS, -1), other = (leader + 1) % 3;
    struct cnode *n = &cluster.nodes[leader];
    (void)state;
    assert_int_equal(chan_send(n->sup, MSG_STOP_RAFT, 0, &empty, -1), 0);
    assert_true(cluster_run(&cluster, LEADER_MS, is_stopped, n));
    assert_int_equal(node_commit(&cluster, leader, &tip, COMMIT_MS), OC_ESHUTDOWN);
    unsigned next = cluster_wait_leader(&cluster, LEADER_MS, (int)leader);
    extend(next, 1000);
    assert_int_equal(chan_send(n->sup, MSG_DRAIN, 0, &drain, -1), 0);
    int status = node_wait_exit(&cluster, leader, LEADER_MS);
    assert_true(WIFEXITED(status));
    assert_int_equal(WEXITSTATUS(status), WORKER_EXIT_OK);
    /* its parent gone, another one ends by itself */
    other = next == other ? (leader + 2) % 3 : other;
    chan_close(cluster.nodes[other].sup);
    cluster.nodes[other].sup = NULL;
    status = node_wait_exit(&cluster, other, LEADER_MS);
    assert_true(WIFEXITED(status));
    assert_int_equal(WEXITSTATUS(status), WORKER_EXIT_OK);
}

static void test_port_in_use(void **state)
{
    (void)state;
    uint32_t port = cluster.nodes[4].port;
    unsigned alive = 0;
    while (!cluster.nodes[alive].pid)
        alive++;
    cluster.nodes[4].port = cluster.nodes[alive].port;
    node_spawn(&cluster, 4, true);
    int status = node_wait_exit(&cluster, 4, LEADER_MS);
    assert_true(WIFEXITED(status));
    assert_int_equal(WEXITSTATUS(status), WORKER_EXIT_TRY_LATER);
    cluster.nodes[4].port = port;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_bootstrap),
        cmocka_unit_test(test_add_voters),
        cmocka_unit_test(test_member_errors),
        cmocka_unit_test(test_commits_of_all_sizes),
        cmocka_unit_test(test_commit_answers),
        cmocka_unit_test(test_export_and_payload),
        cmocka_unit_test(test_transfer),
        cmocka_unit_test(test_transfer_to_one_that_starts),
        cmocka_unit_test(test_kill_leader),
        cmocka_unit_test(test_leader_restarts_at_once),
        cmocka_unit_test(test_kill_all),
        cmocka_unit_test(test_empty_joiner_gets_a_snapshot),
        cmocka_unit_test(test_wiped_member_is_replaced),
        cmocka_unit_test(test_remove_the_leader),
        cmocka_unit_test(test_stop_raft_and_drain),
        cmocka_unit_test(test_port_in_use),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
