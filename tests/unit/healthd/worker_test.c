/* The whole worker as a child process, with this test as its supervisor and a fake op-node. */
#include "fake_node.h"

#include "healthd/monitor.h"
#include "shared/base/clock.h"
#include "shared/base/fd.h"
#include "shared/ipc/chan.h"
#include "shared/shm/page.h"
#include "shared/worker/worker.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#define MS_NS UINT64_C(1000000)
#define PATIENCE_MS 20000

struct bench {
    struct fake_node *node;
    struct fake_node *client; /* NULL: node is the execution client as well */
    pid_t pid;
    struct chan *chan;
    struct page_reader *page;
    bool ready, closed;
    unsigned pongs, healths, full_checks, results;
    uint64_t interval_ms; /* 0: one second */
    bool no_client;       /* nothing listens where the execution client should */
    bool is_foreign;      /* op-node is not the supervisor's child */
    bool lost_by_full;    /* the first health with op-node out of reach came of a full check */
    struct msg_health health;
    struct msg_node_result result;
    uint64_t result_id;
    unsigned healths_at_result;
};

static int on_message(void *ctx, struct chan_msg *msg)
{
    struct bench *b = ctx;
    switch (msg->type) {
    case MSG_HELLO:
        b->page = page_open(msg->fd, ROLE_HEALTHD, sizeof(struct page_health));
        break;
    case MSG_READY:
        b->ready = true;
        chan_set_phase(b->chan, PHASE_RUNNING); /* more may come in the same batch */
        break;
    case MSG_PONG:
        b->pongs++;
        break;
    case MSG_HEALTH:
        if (b->health.node_reachable && !((const struct msg_health *)msg->body)->node_reachable)
            b->lost_by_full = ((const struct msg_health *)msg->body)->is_full_check != 0;
        memcpy(&b->health, msg->body, sizeof b->health);
        b->healths++;
        b->full_checks += b->health.is_full_check;
        break;
    case MSG_NODE_RESULT:
        memcpy(&b->result, msg->body, sizeof b->result);
        b->result_id = msg->request_id;
        b->results++;
        b->healths_at_result = b->healths;
        break;
    default:
        fail_msg("unexpected message %d", msg->type);
    }
    return 0;
}

static void turn(struct bench *b)
{
    struct pollfd p = {.fd = chan_fd(b->chan), .events = chan_want(b->chan)};
    (void)poll(&p, 1, 10);
    if (chan_step(b->chan, on_message, b) != 0)
        b->closed = true;
}

/* Waits, bounded, until the condition holds. */
#define WAIT_FOR(b, condition)                                                                                         \
    do {                                                                                                               \
        uint64_t limit_ns_ = clock_mono_ns() + PATIENCE_MS * MS_NS;                                                    \
        while (!(condition) && clock_mono_ns() < limit_ns_)                                                            \
            turn(b);                                                                                                   \
        assert_true(condition);                                                                                        \
    } while (0)

static int config_fd(const struct bench *b)
{
    static struct config_healthd c;
    memset(&c, 0, sizeof c);
    c.common.magic = WORKER_CONFIG_MAGIC;
    c.common.bytes = sizeof c;
    c.common.role = ROLE_HEALTHD;
    c.common.incarnation = 3;
    snprintf(c.common.build_id, sizeof c.common.build_id, "%s", build_id());
    snprintf(c.common.server_id, sizeof c.common.server_id, "seq-0");
    c.common.log_level = 2;
    fake_node_url(b->node, c.node_rpc, sizeof c.node_rpc);
    fake_node_url(b->client != NULL ? b->client : b->node, c.execution_rpc, sizeof c.execution_rpc);
    c.interval_ms = b->interval_ms != 0 ? b->interval_ms : 1000;
    c.unsafe_interval_ms = 60000;
    c.min_peer_count = 2;
    if (b->no_client)
        snprintf(c.execution_rpc, sizeof c.execution_rpc, "http://127.0.0.1:1");
    c.el_p2p_enabled = !b->no_client;
    c.el_p2p_min_peer_count = 1;
    c.node_managed = !b->is_foreign;
    int fd = fd_make_memfd("config", 0);
    assert_true(fd >= 0);
    assert_int_equal(fd_write_all(fd, &c, sizeof c), 0);
    assert_int_equal(fd_seal(fd, FD_SEALS_FINAL), 0);
    return fd;
}

/* Starts the worker with fds 3 and 4 and goes on until it is ready. */
static void start_worker(struct bench *b)
{
    int pair[2], config = config_fd(b);
    const struct msg_start start = {.log_level = 2};
    assert_int_equal(fd_make_socketpair(pair), 0);
    b->pid = fork();
    if (b->pid == 0) {
        /* Out of the way of 3 and 4 first, whatever the numbers are. */
        int control = fcntl(pair[1], F_DUPFD, 50), cfg = fcntl(config, F_DUPFD, 50);
        int null = open("/dev/null", O_WRONLY);
        if (dup2(null, 1) < 0 || dup2(control, WORKER_FD_CONTROL) < 0 || dup2(cfg, WORKER_FD_CONFIG) < 0)
            _exit(99);
        close(control);
        close(cfg);
        for (int fd = 5; fd < 50; fd++)
            close(fd);
        execl(HEALTHD_EXECUTABLE, HEALTHD_EXECUTABLE, (char *)NULL);
        _exit(98);
    }
    close(pair[1]);
    close(config);
    b->chan = chan_open(pair[0], ROLE_SUPERVISOR, 1, ROLE_HEALTHD, 65536);
    assert_non_null(b->chan);
    WAIT_FOR(b, b->page != NULL);
    assert_int_equal(page_incarnation(b->page), 3);
    assert_int_equal(chan_send(b->chan, MSG_START, 0, &start, -1), 0);
    chan_set_phase(b->chan, PHASE_STARTING);
    WAIT_FOR(b, b->ready);
}

static int bench_open(void **state)
{
    struct bench *b = calloc(1, sizeof *b);
    assert_non_null(b);
    b->node = fake_node_new(100);
    *state = b;
    return 0;
}

/* Reaps the worker, bounded; returns its exit code or 1000 + signal. */
static int reap(struct bench *b)
{
    uint64_t limit_ns = clock_mono_ns() + PATIENCE_MS * MS_NS;
    int status = 0;
    while (waitpid(b->pid, &status, WNOHANG) == 0) {
        if (clock_mono_ns() > limit_ns) {
            kill(b->pid, SIGKILL);
            waitpid(b->pid, &status, 0);
            break;
        }
        usleep(2000);
    }
    b->pid = 0;
    return WIFEXITED(status) ? WEXITSTATUS(status) : 1000 + WTERMSIG(status);
}

static int bench_close(void **state)
{
    struct bench *b = *state;
    chan_close(b->chan);
    if (b->pid > 0)
        (void)reap(b);
    if (b->page != NULL)
        page_close(b->page);
    fake_node_free(b->node);
    fake_node_free(b->client);
    free(b);
    return 0;
}

static void send_cmd(struct bench *b, uint64_t id, enum node_verb verb, uint64_t head, int fd, uint64_t records,
                     uint64_t timeout_ms)
{
    struct msg_node_cmd cmd = {.verb = verb, .record_count = records};
    cmd.deadline_mono_ns = clock_mono_ns() + timeout_ms * MS_NS;
    if (head != 0) {
        cmd.head_valid = 1;
        cmd.head = fake_block(head);
    }
    assert_int_equal(chan_send(b->chan, MSG_NODE_CMD, id, &cmd, fd), 0);
}

static void send_event(struct bench *b, bool up, uint32_t incarnation)
{
    const struct msg_node_event event = {.up = up, .node_incarnation = incarnation};
    assert_int_equal(chan_send(b->chan, MSG_NODE_EVENT, 0, &event, -1), 0);
}

static void test_first_answer_is_followed_by_a_full_check(void **state)
{
    struct bench *b = *state;
    struct page_health page;
    struct block_id head = fake_block(100);
    start_worker(b);
    WAIT_FOR(b, b->full_checks >= 1);
    assert_int_equal(b->health.healthy, 1);
    assert_int_equal(b->health.reason, HEALTH_OK);
    assert_int_equal(b->health.node_reachable, 1);
    assert_int_equal(b->health.conductor_enabled, NODE_YES);
    assert_int_equal(b->health.sequencer_active, NODE_NO);
    assert_int_equal(b->health.el_syncing, NODE_NO);
    assert_int_equal(b->health.peer_count, 5);
    assert_memory_equal(&b->health.unsafe_head, &head, sizeof head);
    assert_memory_equal(&b->health.el_head, &head, sizeof head);
    assert_int_equal(page_read(b->page, &page, sizeof page), 0);
    assert_true(page.checks_ok_total >= 1);
    assert_int_equal(page.last.healthy, 1);
}

/* A clock that disagrees with all peers says nothing about the age of a block. */
static void test_a_distrusted_clock(void **state)
{
    struct bench *b = *state;
    struct msg_clock clock = {.is_trusted = 0, .offset_ms = 3600000};
    fake_node_set_timestamp(b->node, 1000);
    start_worker(b);
    WAIT_FOR(b, b->health.reason == HEALTH_UNSAFE_LAG);
    assert_int_equal(chan_send(b->chan, MSG_CLOCK, 0, &clock, -1), 0);
    WAIT_FOR(b, b->health.reason == HEALTH_OK);
    clock.is_trusted = 1;
    assert_int_equal(chan_send(b->chan, MSG_CLOCK, 0, &clock, -1), 0);
    WAIT_FOR(b, b->health.reason == HEALTH_UNSAFE_LAG);
}

static void test_verdict_follows_the_node(void **state)
{
    struct bench *b = *state;
    struct page_health page;
    start_worker(b);
    WAIT_FOR(b, b->full_checks >= 1 && b->health.healthy);
    fake_node_set_peers(b->node, 1);
    WAIT_FOR(b, b->health.reason == HEALTH_PEERS);
    assert_int_equal(b->health.healthy, 0);
    fake_node_set_peers(b->node, 3);
    WAIT_FOR(b, b->health.healthy);
    fake_node_set_mood(b->node, FAKE_EL_PEERS, FAKE_ERROR, "no peers api");
    WAIT_FOR(b, b->health.reason == HEALTH_EL_PEERS_ERROR);
    fake_node_set_timestamp(b->node, 1000);
    WAIT_FOR(b, b->health.reason == HEALTH_UNSAFE_LAG);
    fake_node_set_mood(b->node, FAKE_SYNC, FAKE_HTTP_500, NULL);
    WAIT_FOR(b, b->health.reason == HEALTH_NODE_UNREACHABLE && b->health.node_reachable == 0);
    assert_int_equal(b->health.node_gone, 0);
    assert_int_equal(page_read(b->page, &page, sizeof page), 0);
    assert_true(page.checks_failed_total[HEALTH_PEERS] >= 1);
    assert_true(page.checks_failed_total[HEALTH_UNSAFE_LAG] >= 1);
}

/* An op-node that runs on its own dies: its connections tell, before any poll or check is due. */
static void test_a_death_is_seen_by_its_connections(void **state)
{
    struct bench *b = *state;
    b->interval_ms = 30000;
    b->is_foreign = true;
    start_worker(b);
    WAIT_FOR(b, b->full_checks >= 1 && b->health.healthy);
    fake_node_free(b->node);
    b->node = NULL;
    WAIT_FOR(b, b->health.node_reachable == 0);
    assert_true(b->lost_by_full);
    WAIT_FOR(b, b->health.reason == HEALTH_NODE_UNREACHABLE && !b->health.healthy);
    assert_int_equal(b->health.node_gone, 1);
}

/* An execution client that was there and is not; one that answers nothing, or an error, is there. */
static void test_a_lost_execution_client(void **state)
{
    struct bench *b = *state;
    b->client = fake_node_new(100);
    start_worker(b);
    WAIT_FOR(b, b->full_checks >= 1 && b->health.healthy);
    fake_node_set_mood(b->client, FAKE_SYNCING, FAKE_HANGS, NULL);
    fake_node_set_mood(b->client, FAKE_BLOCK, FAKE_HTTP_500, NULL);
    unsigned seen = b->full_checks;
    WAIT_FOR(b, b->full_checks >= seen + 2);
    assert_int_equal(b->health.reason, HEALTH_OK);
    fake_node_free(b->client);
    b->client = NULL;
    WAIT_FOR(b, b->health.reason == HEALTH_EL_GONE);
    assert_int_equal(b->health.healthy, 0);
    assert_int_equal(b->health.only_old_head, 0);
    assert_non_null(strstr(b->health.text, "cannot connect to the execution client: "));
}

/* The flag may name anything where nobody needs it. */
static void test_an_execution_client_that_never_was(void **state)
{
    struct bench *b = *state;
    b->no_client = true;
    start_worker(b);
    WAIT_FOR(b, b->full_checks >= 3);
    assert_int_equal(b->health.healthy, 1);
}

/* The truth is polled: someone else started the sequencer. */
static void test_sequencer_state_is_polled(void **state)
{
    struct bench *b = *state;
    start_worker(b);
    WAIT_FOR(b, b->health.sequencer_active == NODE_NO && b->healths > 0);
    fake_node_set_active(b->node, true);
    WAIT_FOR(b, b->health.sequencer_active == NODE_YES);
}

static void test_takeover_and_stop(void **state)
{
    struct bench *b = *state;
    struct block_id head = fake_block(105);
    int fd = fake_export(98, 105);
    start_worker(b);
    send_cmd(b, 11, NODE_CMD_TAKEOVER, 105, fd, 8, 10000);
    fd_close(&fd);
    WAIT_FOR(b, b->results == 1);
    assert_int_equal(b->result_id, 11);
    assert_int_equal(b->result.verb, NODE_CMD_TAKEOVER);
    assert_int_equal(b->result.rc, NODE_OK);
    assert_int_equal(b->result.posted_count, 5);
    assert_memory_equal(&b->result.head, &head, sizeof head);
    /* HEALTH said so first. */
    assert_true(b->healths_at_result >= 1);
    assert_int_equal(b->health.sequencer_active, NODE_YES);
    assert_memory_equal(&b->health.unsafe_head, &head, sizeof head);
    send_cmd(b, 12, NODE_CMD_STOP, 0, -1, 0, 5000);
    WAIT_FOR(b, b->results == 2);
    assert_int_equal(b->result.rc, NODE_OK);
    assert_memory_equal(&b->result.head, &head, sizeof head);
    assert_int_equal(b->health.sequencer_active, NODE_NO);
}

/* A health check that hangs for seconds holds up neither commands nor PONGs nor the page. */
static void test_hanging_checks_delay_nothing(void **state)
{
    struct bench *b = *state;
    const struct msg_ping ping = {.sequence = 1};
    fake_node_set_mood(b->node, FAKE_PEERS, FAKE_HANGS, NULL);
    fake_node_set_mood(b->node, FAKE_BLOCK, FAKE_HANGS, NULL);
    start_worker(b);
    uint64_t limit_ns = clock_mono_ns() + PATIENCE_MS * MS_NS;
    while (fake_node_calls(b->node, FAKE_PEERS) == 0 && clock_mono_ns() < limit_ns)
        turn(b);
    assert_int_equal(b->full_checks, 0);
    send_cmd(b, 1, NODE_CMD_START, 100, -1, 0, 5000);
    assert_int_equal(chan_send(b->chan, MSG_PING, 5, &ping, -1), 0);
    WAIT_FOR(b, b->results == 1 && b->pongs == 1);
    assert_int_equal(b->full_checks, 0);
    assert_int_equal(b->result.rc, NODE_OK);
    assert_true(page_age_ms(b->page, clock_mono_ns()) < UINT64_C(10) * PAGE_STALE_MS);
    /* In the end the check says that op-node does not answer. */
    WAIT_FOR(b, b->full_checks >= 1);
    assert_int_equal(b->health.reason, HEALTH_NODE_UNREACHABLE);
    assert_non_null(strstr(b->health.text, "opp2p_peerStats"));
}

static void test_node_events(void **state)
{
    struct bench *b = *state;
    start_worker(b);
    WAIT_FOR(b, b->full_checks >= 1);
    send_event(b, false, 4);
    WAIT_FOR(b, b->health.node_reachable == 0);
    assert_int_equal(b->health.reason, HEALTH_NODE_UNREACHABLE);
    assert_int_equal(b->health.sequencer_active, NODE_NO);
    assert_int_equal(b->health.node_incarnation, 4);
    unsigned asked = fake_node_calls(b->node, FAKE_SYNC), healths = b->healths;
    send_cmd(b, 9, NODE_CMD_CHECK, 0, -1, 0, 1000);
    WAIT_FOR(b, b->results == 1);
    assert_int_equal(b->result.rc, NODE_UNREACHABLE);
    assert_true(b->healths > healths);
    assert_int_equal(fake_node_calls(b->node, FAKE_SYNC), asked);
    send_event(b, true, 5);
    WAIT_FOR(b, b->health.node_incarnation == 5 && b->health.is_full_check && b->health.healthy);
    assert_int_equal(b->health.node_reachable, 1);
}

static void test_check_on_demand(void **state)
{
    struct bench *b = *state;
    start_worker(b);
    WAIT_FOR(b, b->full_checks >= 1);
    unsigned before = b->full_checks;
    fake_node_set_peers(b->node, 0);
    send_cmd(b, 21, NODE_CMD_CHECK, 0, -1, 0, 5000);
    WAIT_FOR(b, b->results == 1);
    assert_int_equal(b->result.verb, NODE_CMD_CHECK);
    assert_int_equal(b->result_id, 21);
    assert_int_equal(b->result.rc, NODE_OK);
    assert_true(b->full_checks > before);
    assert_int_equal(b->health.reason, HEALTH_PEERS);
    assert_int_equal(b->result.head.number, 100);
}

static void test_orphan_stops_what_it_started(void **state)
{
    struct bench *b = *state;
    start_worker(b);
    send_cmd(b, 1, NODE_CMD_TAKEOVER, 100, -1, 0, 5000);
    WAIT_FOR(b, b->results == 1);
    assert_true(fake_node_is_active(b->node));
    chan_close(b->chan);
    b->chan = NULL;
    assert_int_equal(reap(b), WORKER_EXIT_OK);
    assert_false(fake_node_is_active(b->node));
}

static void test_orphan_ends_though_the_stop_hangs(void **state)
{
    struct bench *b = *state;
    start_worker(b);
    send_cmd(b, 1, NODE_CMD_START, 100, -1, 0, 5000);
    WAIT_FOR(b, b->results == 1);
    fake_node_set_mood(b->node, FAKE_STOP, FAKE_HANGS, NULL);
    chan_close(b->chan);
    b->chan = NULL;
    assert_int_equal(reap(b), WORKER_EXIT_OK);
    assert_true(fake_node_calls(b->node, FAKE_STOP) >= 1);
}

static void test_orphan_leaves_a_sequencer_of_others_alone(void **state)
{
    struct bench *b = *state;
    fake_node_set_active(b->node, true);
    start_worker(b);
    WAIT_FOR(b, b->health.sequencer_active == NODE_YES);
    chan_close(b->chan);
    b->chan = NULL;
    assert_int_equal(reap(b), WORKER_EXIT_OK);
    assert_true(fake_node_is_active(b->node));
    assert_int_equal(fake_node_calls(b->node, FAKE_STOP), 0);
}

/* A drained worker is replaced; the sequencer runs on. */
static void test_drain_does_not_stop_the_sequencer(void **state)
{
    struct bench *b = *state;
    const struct msg_drain drain = {.deadline_mono_ns = clock_mono_ns() + 10000 * MS_NS};
    start_worker(b);
    send_cmd(b, 1, NODE_CMD_START, 100, -1, 0, 5000);
    WAIT_FOR(b, b->results == 1);
    assert_int_equal(chan_send(b->chan, MSG_DRAIN, 0, &drain, -1), 0);
    WAIT_FOR(b, b->closed);
    assert_int_equal(reap(b), WORKER_EXIT_OK);
    assert_true(fake_node_is_active(b->node));
}

#define WORKER_TEST(f) cmocka_unit_test_setup_teardown(f, bench_open, bench_close)

int main(void)
{
    const struct CMUnitTest tests[] = {
        WORKER_TEST(test_first_answer_is_followed_by_a_full_check),
        WORKER_TEST(test_verdict_follows_the_node),
        WORKER_TEST(test_a_distrusted_clock),
        WORKER_TEST(test_a_death_is_seen_by_its_connections),
        WORKER_TEST(test_a_lost_execution_client),
        WORKER_TEST(test_an_execution_client_that_never_was),
        WORKER_TEST(test_sequencer_state_is_polled),
        WORKER_TEST(test_takeover_and_stop),
        WORKER_TEST(test_hanging_checks_delay_nothing),
        WORKER_TEST(test_node_events),
        WORKER_TEST(test_check_on_demand),
        WORKER_TEST(test_orphan_stops_what_it_started),
        WORKER_TEST(test_orphan_ends_though_the_stop_hangs),
        WORKER_TEST(test_orphan_leaves_a_sequencer_of_others_alone),
        WORKER_TEST(test_drain_does_not_stop_the_sequencer),
    };
    signal(SIGPIPE, SIG_IGN);
    return cmocka_run_group_tests_name("healthd as a process", tests, NULL, NULL);
}
