/* The test's supervisor and rpcd (see cluster.h). */
#include "cluster.h"

#include "shared/base/clock.h"
#include "shared/base/err.h"
#include "shared/base/fd.h"
#include "shared/base/log.h"
#include "shared/config/worker_config.h"
#include "shared/worker/worker.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <netinet/in.h>
#include <poll.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#define QUEUE_BYTES ((size_t)1 << 20)
#define ANSWER_MS 30000
#define RECORD_PERIOD_NS UINT64_C(200000000)

static uint32_t pick_port(void)
{
    struct sockaddr_in a = {.sin_family = AF_INET, .sin_addr = {.s_addr = htonl(INADDR_LOOPBACK)}};
    socklen_t len = sizeof a;
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_true(fd >= 0);
    assert_int_equal(bind(fd, (struct sockaddr *)&a, sizeof a), 0);
    assert_int_equal(getsockname(fd, (struct sockaddr *)&a, &len), 0);
    close(fd);
    return ntohs(a.sin_port);
}

void cluster_open(struct cluster *c)
{
    memset(c, 0, sizeof *c);
    snprintf(c->dir, sizeof c->dir, "wire-cluster-XXXXXX");
    assert_non_null(mkdtemp(c->dir));
    for (unsigned i = 0; i < CLUSTER_NODES; i++) {
        struct cnode *n = &c->nodes[i];
        n->number = i;
        n->port = pick_port();
        n->result_fd = -1;
        n->record.unsafe_head.hash[0] = 1; /* op-node is at its genesis */
        snprintf(n->name, sizeof n->name, "seq-%u", i);
        snprintf(n->addr, sizeof n->addr, "127.0.0.1:%u", n->port);
        snprintf(n->dir, sizeof n->dir, "%s/%s", c->dir, n->name);
    }
}

static int remove_one(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
    (void)st;
    (void)type;
    (void)ftw;
    return remove(path);
}

void node_wipe(struct cluster *c, unsigned i)
{
    nftw(c->nodes[i].dir, remove_one, 16, FTW_DEPTH | FTW_PHYS);
}

void cluster_close(struct cluster *c)
{
    for (unsigned i = 0; i < CLUSTER_NODES; i++)
        node_kill(c, i);
    nftw(c->dir, remove_one, 16, FTW_DEPTH | FTW_PHYS);
}

/* ---- one process ---- */

/* Warnings; WIRE_LOG_LEVEL=1 shows all, for looking at a failure by hand. */
static uint32_t log_level_wanted(void)
{
    const char *level = getenv("WIRE_LOG_LEVEL");
    return level ? (uint32_t)strtoul(level, NULL, 10) : LOG_WARN;
}

static int make_config(const struct cnode *n)
{
    struct config_consensus config = {
        .common = {.magic = WORKER_CONFIG_MAGIC,
                   .bytes = sizeof config,
                   .role = ROLE_CONSENSUS,
                   .incarnation = n->incarnation},
        .bind_host = "127.0.0.1",
        .bind_port = n->port,
        .bootstrap = n->bootstrap,
        .election_timeout_ms = 300,
        .snapshot_interval_ms = 3600000,
        .snapshot_threshold = 48,
        .trailing_logs = 8,
        .window_payloads = 64,
        .window_bytes = 64u << 20,
        .payload_max_bytes = 32u << 20,
    };
    snprintf(config.common.build_id, sizeof config.common.build_id, "%s", build_id());
    snprintf(config.common.server_id, sizeof config.common.server_id, "%s", n->name);
    snprintf(config.storage_dir, sizeof config.storage_dir, "%s", n->dir);
    config.common.log_level = log_level_wanted();
    int fd = fd_make_memfd("config", sizeof config);
    assert_true(fd >= 0);
    assert_int_equal(fd_write_all(fd, &config, sizeof config), 0);
    assert_int_equal(fd_seal(fd, FD_SEALS_FINAL), 0);
    return fd;
}

void node_spawn(struct cluster *c, unsigned i, bool bootstrap)
{
    struct cnode *n = &c->nodes[i];
    int pair[2];
    assert_int_equal(n->pid, 0);
    n->bootstrap = bootstrap;
    n->incarnation++;
    n->is_ready = false;
    memset(&n->leadership, 0, sizeof n->leadership);
    int config = make_config(n);
    assert_int_equal(fd_make_socketpair(pair), 0);
    pid_t pid = fork();
    assert_true(pid >= 0);
    if (pid == 0) {
        /* First out of the way of 3 and 4, then onto them. */
        int control = fcntl(pair[1], F_DUPFD, 10), cfg = fcntl(config, F_DUPFD, 10);
        dup2(control, WORKER_FD_CONTROL);
        dup2(cfg, WORKER_FD_CONFIG);
        close(control);
        close(cfg);
        execl(CONSENSUS_EXECUTABLE, CONSENSUS_EXECUTABLE, (char *)NULL);
        _exit(127);
    }
    close(pair[1]);
    close(config);
    n->pid = pid;
    n->sup = chan_open(pair[0], ROLE_SUPERVISOR, 1, ROLE_CONSENSUS, QUEUE_BYTES);
    assert_non_null(n->sup);
}

static void close_rpcd(struct cnode *n)
{
    chan_close(n->rpcd);
    n->rpcd = NULL;
    ring_free(n->ring);
    n->ring = NULL;
}

static void forget(struct cnode *n)
{
    close_rpcd(n);
    chan_close(n->sup);
    n->sup = NULL;
    if (n->page)
        page_close(n->page);
    n->page = NULL;
    n->pid = 0;
    n->is_ready = false;
    memset(&n->leadership, 0, sizeof n->leadership);
    fd_close(&n->result_fd);
}

int node_force(struct cluster *c, unsigned i, bool is_yes)
{
    char command[600];
    (void)fflush(stdout);
    (void)snprintf(command, sizeof command, "%s --force-new-cluster %s %s </dev/null", CONSENSUS_EXECUTABLE,
                   c->nodes[i].dir, is_yes ? "--yes" : "");
    int status = system(command); /* NOLINT(cert-env33-c): paths of this test */
    assert_true(WIFEXITED(status));
    return WEXITSTATUS(status);
}

void node_kill(struct cluster *c, unsigned i)
{
    struct cnode *n = &c->nodes[i];
    if (!n->pid)
        return;
    kill(n->pid, SIGKILL);
    waitpid(n->pid, &n->exit_status, 0);
    forget(n);
}

static bool has_exited(struct cluster *c, void *ctx)
{
    struct cnode *n = ctx;
    (void)c;
    if (waitpid(n->pid, &n->exit_status, WNOHANG) != n->pid)
        return false;
    forget(n);
    return true;
}

int node_wait_exit(struct cluster *c, unsigned i, unsigned timeout_ms)
{
    assert_true(cluster_run(c, timeout_ms, has_exited, &c->nodes[i]));
    return c->nodes[i].exit_status;
}

/* ---- messages ---- */

static void keep_fd(struct cnode *n, struct chan_msg *msg)
{
    fd_close(&n->result_fd);
    n->result_fd = msg->fd;
    msg->fd = -1;
}

static void open_rpcd(struct cnode *n)
{
    assert_null(n->rpcd);
    const struct msg_peer peer = {.role = ROLE_RPCD, .incarnation = 1};
    struct msg_ring ring = {.bytes = RING_DEFAULT_BYTES};
    int pair[2];
    assert_int_equal(fd_make_socketpair(pair), 0);
    assert_int_equal(chan_send(n->sup, MSG_PEER_UP, 0, &peer, pair[1]), 0);
    close(pair[1]);
    n->rpcd = chan_open(pair[0], ROLE_RPCD, 1, ROLE_CONSENSUS, QUEUE_BYTES);
    n->ring = ring_create(RING_DEFAULT_BYTES);
    assert_non_null(n->rpcd);
    assert_non_null(n->ring);
    assert_int_equal(chan_send(n->rpcd, MSG_RING, 0, &ring, ring_fd(n->ring)), 0);
}

void node_open_rpcd(struct cluster *c, unsigned i)
{
    open_rpcd(&c->nodes[i]);
}

void node_drop_rpcd(struct cluster *c, unsigned i)
{
    close_rpcd(&c->nodes[i]);
}

static int on_supervisor(void *ctx, struct chan_msg *msg)
{
    struct cnode *n = ctx;
    const struct msg_start start = {.log_level = log_level_wanted()};
    switch (msg->type) {
    case MSG_HELLO:
        n->page = page_open(msg->fd, ROLE_CONSENSUS, sizeof(struct page_consensus));
        assert_non_null(n->page);
        assert_int_equal(chan_send(n->sup, MSG_START, 0, &start, -1), 0);
        chan_set_phase(n->sup, PHASE_STARTING);
        break;
    case MSG_READY:
        chan_set_phase(n->sup, PHASE_RUNNING);
        n->is_ready = true;
        assert_int_equal(chan_send(n->sup, MSG_SELF_RECORD, 0, &n->record, -1), 0);
        open_rpcd(n);
        break;
    case MSG_HEAD_EVENT:
        n->conflict = *(const struct msg_head_event *)msg->body;
        n->conflicts++;
        break;
    case MSG_LEADERSHIP: {
        struct page_consensus page;
        memcpy(&n->leadership, msg->body, sizeof n->leadership);
        /* The page says it first. */
        assert_int_equal(page_read(n->page, &page, sizeof page), 0);
        assert_true(page.term >= n->leadership.term);
        break;
    }
    case MSG_EXPORT_RESULT:
        memcpy(&n->export_result, msg->body, sizeof n->export_result);
        n->export_answers++;
        keep_fd(n, msg);
        break;
    case MSG_TRANSFER_RESULT:
        memcpy(&n->transfer, msg->body, sizeof n->transfer);
        n->transfer_answers++;
        break;
    default:
        break;
    }
    return 0;
}

static int on_rpcd(void *ctx, struct chan_msg *msg)
{
    struct cnode *n = ctx;
    switch (msg->type) {
    case MSG_COMMIT_RESULT:
        memcpy(&n->commit, msg->body, sizeof n->commit);
        n->commit_answers++;
        break;
    case MSG_MEMBER_RESULT:
        memcpy(&n->member, msg->body, sizeof n->member);
        n->member_answers++;
        break;
    case MSG_PAYLOAD_RESULT:
        memcpy(&n->payload, msg->body, sizeof n->payload);
        n->payload_answers++;
        keep_fd(n, msg);
        break;
    default:
        break;
    }
    return 0;
}

static void send_records(struct cluster *c, uint64_t now)
{
    if (now < c->next_record_ns)
        return;
    c->next_record_ns = now + RECORD_PERIOD_NS;
    for (unsigned i = 0; i < CLUSTER_NODES; i++)
        if (c->nodes[i].is_ready && c->nodes[i].sup)
            (void)chan_send(c->nodes[i].sup, MSG_SELF_RECORD, 0, &c->nodes[i].record, -1);
}

bool cluster_run(struct cluster *c, unsigned timeout_ms, cluster_done_fn done, void *ctx)
{
    uint64_t end = clock_mono_ns() + timeout_ms * UINT64_C(1000000);
    for (;;) {
        struct pollfd fds[2 * CLUSTER_NODES];
        struct cnode *owners[2 * CLUSTER_NODES];
        nfds_t count = 0;
        if (done && done(c, ctx))
            return true;
        uint64_t now = clock_mono_ns();
        if (now >= end)
            return false;
        send_records(c, now);
        for (unsigned i = 0; i < CLUSTER_NODES; i++) {
            struct cnode *n = &c->nodes[i];
            struct chan *chans[2] = {n->sup, n->rpcd};
            for (unsigned k = 0; k < 2; k++)
                if (chans[k]) {
                    owners[count] = n;
                    fds[count++] = (struct pollfd){.fd = chan_fd(chans[k]), .events = chan_want(chans[k])};
                }
        }
        if (poll(fds, count, 1) <= 0)
            continue;
        for (nfds_t k = 0; k < count; k++) {
            struct cnode *n = owners[k];
            if (!fds[k].revents)
                continue;
            if (n->sup && fds[k].fd == chan_fd(n->sup)) {
                if (chan_step(n->sup, on_supervisor, n) < 0) {
                    chan_close(n->sup);
                    n->sup = NULL;
                    n->is_ready = false;
                }
            } else if (n->rpcd && fds[k].fd == chan_fd(n->rpcd) && chan_step(n->rpcd, on_rpcd, n) < 0) {
                close_rpcd(n);
            }
        }
    }
}

static bool is_ready(struct cluster *c, void *ctx)
{
    (void)c;
    return ((struct cnode *)ctx)->is_ready;
}

void node_wait_ready(struct cluster *c, unsigned i)
{
    if (!cluster_run(c, ANSWER_MS, is_ready, &c->nodes[i]))
        fail_msg("%s did not become ready", c->nodes[i].name);
}

struct page_consensus node_page(struct cluster *c, unsigned i)
{
    struct page_consensus page;
    assert_non_null(c->nodes[i].page);
    assert_int_equal(page_read(c->nodes[i].page, &page, sizeof page), 0);
    return page;
}

static int find_leader(const struct cluster *c, int not_this)
{
    for (unsigned i = 0; i < CLUSTER_NODES; i++)
        if ((int)i != not_this && c->nodes[i].leadership.state == RAFT_ROLE_LEADER &&
            c->nodes[i].leadership.leader_ready)
            return (int)i;
    return -1;
}

static bool has_leader(struct cluster *c, void *ctx)
{
    return find_leader(c, *(int *)ctx) >= 0;
}

unsigned cluster_wait_leader(struct cluster *c, unsigned timeout_ms, int not_this)
{
    if (!cluster_run(c, timeout_ms, has_leader, &not_this))
        fail_msg("no leader within %u ms", timeout_ms);
    return (unsigned)find_leader(c, not_this);
}

struct head_wait {
    unsigned node;
    const struct block_id *head;
};

static bool has_head(struct cluster *c, void *ctx)
{
    const struct head_wait *w = ctx;
    struct page_consensus page;
    struct cnode *n = &c->nodes[w->node];
    return n->page && page_read(n->page, &page, sizeof page) == 0 && page.head_valid &&
           memcmp(&page.head, w->head, sizeof page.head) == 0;
}

void cluster_wait_head(struct cluster *c, unsigned i, const struct block_id *head, unsigned timeout_ms)
{
    struct head_wait w = {i, head};
    if (!cluster_run(c, timeout_ms, has_head, &w))
        fail_msg("%s does not show block %llu as its head", c->nodes[i].name, (unsigned long long)head->number);
}

/* ---- requests ---- */

struct answer_wait {
    const unsigned *count;
    unsigned from;
    struct chan *const *chan;
};

static bool has_answer(struct cluster *c, void *ctx)
{
    const struct answer_wait *w = ctx;
    (void)c;
    return *w->count != w->from || !*w->chan;
}

/* Returns whether the answer came; false when the process went away. */
static bool wait_answer(struct cluster *c, const unsigned *count, unsigned from, struct chan *const *chan)
{
    struct answer_wait w = {count, from, chan};
    assert_true(cluster_run(c, ANSWER_MS, has_answer, &w));
    return *count != from;
}

int node_commit(struct cluster *c, unsigned i, const struct block *b, unsigned deadline_ms)
{
    struct cnode *n = &c->nodes[i];
    struct msg_commit req = {.len = b->len, .block = b->id};
    unsigned before = n->commit_answers;
    int fd = -1;
    req.stamps.first_byte = clock_mono_ns();
    req.deadline_mono_ns = req.stamps.first_byte + deadline_ms * UINT64_C(1000000);
    uint8_t *slot = n->ring ? ring_reserve(n->ring, b->len, &req.offset) : NULL;
    if (slot) {
        memcpy(slot, b->record, b->len);
    } else {
        fd = fd_make_memfd("payload", b->len);
        assert_true(fd >= 0);
        assert_int_equal(fd_write_all(fd, b->record, b->len), 0);
        assert_int_equal(fd_seal(fd, FD_SEALS_FINAL), 0);
    }
    req.stamps.parsed = clock_mono_ns();
    int rc = n->rpcd ? chan_send(n->rpcd, MSG_COMMIT, chan_next_request_id(n->rpcd), &req, fd) : OC_ECLOSED;
    fd_close(&fd);
    if (rc)
        return rc;
    if (!wait_answer(c, &n->commit_answers, before, &n->rpcd))
        return OC_ECLOSED;
    if (n->ring && slot)
        ring_release(n->ring, req.offset);
    return n->commit.rc;
}

int node_member_op(struct cluster *c, unsigned i, enum member_verb verb, const struct cnode *target, uint64_t version,
                   unsigned deadline_ms)
{
    struct cnode *n = &c->nodes[i];
    struct msg_member_op req = {
        .verb = verb, .version = version, .deadline_mono_ns = clock_mono_ns() + deadline_ms * UINT64_C(1000000)};
    unsigned before = n->member_answers;
    snprintf(req.id, sizeof req.id, "%s", target->name);
    snprintf(req.addr, sizeof req.addr, "%s", target->addr);
    assert_int_equal(chan_send(n->rpcd, MSG_MEMBER_OP, chan_next_request_id(n->rpcd), &req, -1), 0);
    return wait_answer(c, &n->member_answers, before, &n->rpcd) ? n->member.rc : OC_ECLOSED;
}

int node_transfer(struct cluster *c, unsigned i, const char *target)
{
    struct cnode *n = &c->nodes[i];
    struct msg_transfer req = {.timeout_ms = 5000, .asked = 1};
    unsigned before = n->transfer_answers;
    snprintf(req.target_id, sizeof req.target_id, "%s", target);
    assert_int_equal(chan_send(n->sup, MSG_TRANSFER, chan_next_request_id(n->sup), &req, -1), 0);
    return wait_answer(c, &n->transfer_answers, before, &n->sup) ? n->transfer.rc : OC_ECLOSED;
}

int node_export(struct cluster *c, unsigned i, uint64_t above_number)
{
    struct cnode *n = &c->nodes[i];
    struct msg_export req = {.above_number = above_number, .deadline_mono_ns = clock_mono_ns() + 5000000000u};
    unsigned before = n->export_answers;
    assert_int_equal(chan_send(n->sup, MSG_EXPORT, chan_next_request_id(n->sup), &req, -1), 0);
    return wait_answer(c, &n->export_answers, before, &n->sup) ? n->export_result.rc : OC_ECLOSED;
}

int node_adopt_head(struct cluster *c, unsigned i, const struct block_id *head)
{
    struct cnode *n = &c->nodes[i];
    struct msg_adopt_head req = {.head = *head, .deadline_mono_ns = clock_mono_ns() + ANSWER_MS * UINT64_C(1000000)};
    unsigned before = n->member_answers;
    assert_int_equal(chan_send(n->rpcd, MSG_ADOPT_HEAD, chan_next_request_id(n->rpcd), &req, -1), 0);
    return wait_answer(c, &n->member_answers, before, &n->rpcd) ? n->member.rc : OC_ECLOSED;
}

void node_send_permit(struct cluster *c, unsigned i, enum permit_verb verb, const struct block_id *head)
{
    struct msg_permit permit = {
        .term = node_page(c, i).term, .verb = verb, .looked_mono_ns = clock_mono_ns(), .head = *head};
    assert_int_equal(chan_send(c->nodes[i].sup, MSG_PERMIT, 0, &permit, -1), 0);
}

int node_get_payload(struct cluster *c, unsigned i, uint64_t number)
{
    struct cnode *n = &c->nodes[i];
    struct msg_payload_get req = {.number = number};
    unsigned before = n->payload_answers;
    assert_int_equal(chan_send(n->rpcd, MSG_PAYLOAD_GET, chan_next_request_id(n->rpcd), &req, -1), 0);
    return wait_answer(c, &n->payload_answers, before, &n->rpcd) ? n->payload.rc : OC_ECLOSED;
}
