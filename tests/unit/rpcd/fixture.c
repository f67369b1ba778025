/* Playing the processes around rpcd (see fixture.h). */
#include "fixture.h"
#include "http_helper.h"

#include "shared/base/clock.h"
#include "shared/base/err.h"
#include "shared/base/fd.h"
#include "shared/base/log.h"
#include "shared/config/worker_config.h"
#include "shared/http/server.h"
#include "shared/payload/record.h"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#define CHECK(ok)                                                                                                      \
    do {                                                                                                               \
        if (!(ok)) {                                                                                                   \
            fprintf(stderr, "%s:%d: %s failed\n", __FILE__, __LINE__, #ok);                                            \
            abort();                                                                                                   \
        }                                                                                                              \
    } while (0)

static void send_fd(struct chan *c, enum msg_type type, const void *body, int fd)
{
    CHECK(chan_send(c, type, 0, body, fd) == 0);
}

static void send_page(struct fixture *f, enum proc_role role, uint32_t incarnation, const struct page_writer *page)
{
    const struct msg_page msg = {(uint32_t)role, incarnation};
    send_fd(f->sup, MSG_PAGE, &msg, page_fd(page));
}

/* ---- consensus ---- */

static void take_commit(struct fixture *f, struct chan_msg *msg)
{
    struct msg_commit_result result = {0};
    struct payload_view view;
    memcpy(&f->last_commit, msg->body, sizeof f->last_commit);
    const struct msg_commit *c = &f->last_commit;
    free(f->last_record);
    f->last_record = malloc(c->len);
    int rc = 0;
    f->commits_seen++;
    if (msg->fd >= 0) {
        uint64_t bytes;
        f->commits_by_fd++;
        rc = fd_check_sealed(msg->fd, F_SEAL_WRITE | F_SEAL_SHRINK, &bytes);
        if (rc == 0)
            rc = fd_pread_all(msg->fd, f->last_record, c->len, 0);
    } else {
        rc = f->ring_open ? ring_view_copy(&f->ring, c->offset, c->len, f->last_record) : OC_EPROTO;
    }
    if (rc < 0 || payload_view_parse(f->last_record, c->len, &view) < 0 || view.header.block_number != c->block.number)
        f->commits_bad++;
    if (f->commit_mute)
        return;
    result.rc = f->commit_rc;
    result.stamps = c->stamps;
    result.stamps.taken = result.stamps.proposed = result.stamps.quorum = result.stamps.applied = clock_mono_ns();
    if (result.rc == OC_ECONFLICT)
        snprintf(result.text, sizeof result.text, "the block conflicts");
    CHECK(chan_send(f->cons, MSG_COMMIT_RESULT, msg->request_id, &result, -1) == 0);
}

static void answer_payload(struct fixture *f, const struct chan_msg *msg)
{
    struct msg_payload_result result = {.rc = OC_EUNKNOWN};
    int fd = -1;
    if (f->last_record != NULL) {
        result.rc = 0;
        result.block = f->last_commit.block;
        result.bytes = f->last_commit.len;
        fd = fd_make_memfd("payload", 0);
        CHECK(fd >= 0 && fd_write_all(fd, f->last_record, f->last_commit.len) == 0 && fd_seal(fd, FD_SEALS_FINAL) == 0);
    }
    CHECK(chan_send(f->cons, MSG_PAYLOAD_RESULT, msg->request_id, &result, fd) == 0);
    fd_close(&fd);
}

static int on_cons(void *ctx, struct chan_msg *msg)
{
    struct fixture *f = ctx;
    struct msg_member_result member = {.rc = f->member_rc};
    switch (msg->type) {
    case MSG_RING:
        CHECK(!f->ring_open && ring_view_open(&f->ring, msg->fd, (size_t)64 << 20) == 0);
        f->ring_open = true;
        return 0;
    case MSG_COMMIT:
        take_commit(f, msg);
        return 0;
    case MSG_MEMBER_OP:
        memcpy(&f->last_member, msg->body, sizeof f->last_member);
        if (member.rc != 0)
            snprintf(member.text, sizeof member.text, "configuration changed since 3 (latest is 7)");
        CHECK(chan_send(f->cons, MSG_MEMBER_RESULT, msg->request_id, &member, -1) == 0);
        return 0;
    case MSG_PAYLOAD_GET:
        answer_payload(f, msg);
        return 0;
    default:
        return OC_EPROTO;
    }
}

void fixture_consensus_up(struct fixture *f)
{
    const struct msg_peer peer = {ROLE_CONSENSUS, ++f->cons_incarnation};
    int fds[2];
    pthread_mutex_lock(&f->lock);
    CHECK(fd_make_socketpair(fds) == 0);
    f->cons = chan_open(fds[0], ROLE_CONSENSUS, peer.incarnation, ROLE_RPCD, 1 << 20);
    f->page_cons = page_create(ROLE_CONSENSUS, peer.incarnation, sizeof f->body_cons);
    CHECK(f->cons != NULL && f->page_cons != NULL);
    f->beat_cons = true;
    page_publish(f->page_cons, &f->body_cons, clock_mono_ns());
    send_page(f, ROLE_CONSENSUS, peer.incarnation, f->page_cons);
    send_fd(f->sup, MSG_PEER_UP, &peer, fds[1]);
    close(fds[1]);
    pthread_mutex_unlock(&f->lock);
}

void fixture_consensus_down(struct fixture *f, bool tell_rpcd)
{
    const struct msg_peer peer = {ROLE_CONSENSUS, f->cons_incarnation};
    pthread_mutex_lock(&f->lock);
    chan_close(f->cons);
    f->cons = NULL;
    page_free(f->page_cons);
    f->page_cons = NULL;
    if (f->ring_open)
        ring_view_close(&f->ring);
    f->ring_open = false;
    if (tell_rpcd)
        CHECK(chan_send(f->sup, MSG_PEER_DOWN, 0, &peer, -1) == 0);
    pthread_mutex_unlock(&f->lock);
}

/* ---- supervisor ---- */

static int on_sup(void *ctx, struct chan_msg *msg)
{
    struct fixture *f = ctx;
    const struct msg_start start = {.log_level = LOG_ERROR};
    struct msg_admin_result result = {.rc = f->admin_rc};
    struct msg_hello hello;
    switch (msg->type) {
    case MSG_HELLO:
        memcpy(&hello, msg->body, sizeof hello);
        CHECK(strcmp(hello.build_id, build_id()) == 0 && hello.role == ROLE_RPCD);
        CHECK(chan_send(f->sup, MSG_START, 0, &start, -1) == 0);
        chan_set_phase(f->sup, PHASE_STARTING);
        return 0;
    case MSG_READY:
        chan_set_phase(f->sup, PHASE_RUNNING);
        f->is_running = true;
        return 0;
    case MSG_NOTE:
        memcpy(&f->last_note, msg->body, sizeof f->last_note);
        return 0;
    case MSG_ADMIN:
        memcpy(&f->last_admin, msg->body, sizeof f->last_admin);
        if (f->last_admin.verb == ADMIN_OVERRIDE) {
            f->body_sup.overridden = f->last_admin.flag;
            page_publish(f->page_sup, &f->body_sup, clock_mono_ns());
        }
        if (result.rc == OC_EUNKNOWN)
            snprintf(result.text, sizeof result.text, "cannot resume because of this");
        return chan_send(f->sup, MSG_ADMIN_RESULT, msg->request_id, &result, -1);
    default:
        return OC_EPROTO;
    }
}

static void *play(void *ctx)
{
    struct fixture *f = ctx;
    for (;;) {
        struct pollfd fds[2] = {{.fd = -1}, {.fd = -1}};
        pthread_mutex_lock(&f->lock);
        if (f->stop) {
            pthread_mutex_unlock(&f->lock);
            return NULL;
        }
        fds[0] = (struct pollfd){chan_fd(f->sup), chan_want(f->sup), 0};
        if (f->cons != NULL)
            fds[1] = (struct pollfd){chan_fd(f->cons), chan_want(f->cons), 0};
        const uint64_t now_ns = clock_mono_ns();
        page_beat(f->page_sup, now_ns);
        page_beat(f->page_health, now_ns);
        if (f->page_cons != NULL && f->beat_cons)
            page_beat(f->page_cons, now_ns);
        pthread_mutex_unlock(&f->lock);
        (void)poll(fds, 2, 10);
        pthread_mutex_lock(&f->lock);
        if (!f->stop && chan_step(f->sup, on_sup, f) == OC_EPROTO)
            abort();
        if (f->cons != NULL && chan_step(f->cons, on_cons, f) == OC_EPROTO)
            abort();
        pthread_mutex_unlock(&f->lock);
    }
}

/* ---- upstreams of the proxy ---- */

/* {"jsonrpc":"2.0","id":1,"result":[0,0,…,0]}: text that takes its time to read. */
static char *large_answer(size_t result_bytes, bool is_cut, size_t *ret_len)
{
    static const char before[] = "{\"jsonrpc\":\"2.0\",\"id\":1,\"result\":";
    char *text = malloc(sizeof before + result_bytes + 1);
    size_t len = sizeof before - 1;
    memcpy(text, before, len);
    for (size_t i = 0; i < result_bytes; i++)
        text[len++] = i % 2 == 1 ? '0' : i == 0 ? '[' : ',';
    text[len - 1] = ']';
    if (!is_cut)
        text[len++] = '}';
    *ret_len = len;
    return text;
}

static void send_large_answer(struct fixture *f, int fd)
{
    char head[128];
    size_t len;
    char *text = large_answer(f->upstream_bytes, f->upstream_fails, &len);
    const int n =
        snprintf(head, sizeof head, "HTTP/1.1 200 OK\r\nContent-Length: %zu\r\nConnection: close\r\n\r\n", len);
    helper_send(fd, head, (size_t)n);
    helper_send(fd, text, len);
    free(text);
}

static void serve_upstream(struct fixture *f, int fd)
{
    char buf[4096], answer[1024];
    size_t len = 0;
    const char *body = "{\"jsonrpc\":\"2.0\",\"id\":1,\"result\":{\"big\": 12345678901234567890, \"x\":[ 1 ]}}";
    while (len + 1 < sizeof buf) {
        const ssize_t n = recv(fd, buf + len, sizeof buf - 1 - len, 0);
        if (n <= 0)
            break;
        len += (size_t)n;
        buf[len] = '\0';
        const char *end = strstr(buf, "\r\n\r\n"), *length = strstr(buf, "Content-Length: ");
        if (end != NULL && length != NULL && len >= (size_t)(end + 4 - buf) + strtoul(length + 16, NULL, 10))
            break;
    }
    pthread_mutex_lock(&f->lock);
    if (f->upstream_fails)
        body = "{\"jsonrpc\":\"2.0\",\"id\":1,\"error\":{\"code\":-38001,\"message\":\"no\",\"data\":{\"a\":1}}}";
    if (strstr(buf, "miner_setMaxDASize\",\"params\":[\"0x1\",\"0x2\"]") != NULL)
        body = "{\"jsonrpc\":\"2.0\",\"id\":1,\"result\":true}";
    pthread_mutex_unlock(&f->lock);
    if (f->upstream_bytes > 0) {
        send_large_answer(f, fd);
        close(fd);
        return;
    }
    const int n = snprintf(answer, sizeof answer,
                           "HTTP/1.1 200 OK\r\nContent-Length: %zu\r\nConnection: close\r\n\r\n%s", strlen(body), body);
    helper_send(fd, answer, (size_t)n);
    close(fd);
}

static void *play_upstream(void *ctx)
{
    struct fixture *f = ctx;
    for (;;) {
        struct pollfd p = {f->upstream_fd, POLLIN, 0};
        (void)poll(&p, 1, 20);
        pthread_mutex_lock(&f->lock);
        const bool stop = f->stop;
        pthread_mutex_unlock(&f->lock);
        if (stop)
            return NULL;
        const int fd = accept4(f->upstream_fd, NULL, NULL, SOCK_CLOEXEC);
        if (fd >= 0)
            serve_upstream(f, fd);
    }
}

/* ---- rpcd ---- */

static int make_config(const struct fixture *f)
{
    struct config_rpcd c = {0};
    c.common.magic = WORKER_CONFIG_MAGIC;
    c.common.bytes = sizeof c;
    c.common.role = ROLE_RPCD;
    c.common.incarnation = 1;
    c.common.log_level = LOG_ERROR;
    snprintf(c.common.build_id, sizeof c.common.build_id, "%s", build_id());
    snprintf(c.common.version, sizeof c.common.version, "v0.0.1");
    snprintf(c.common.server_id, sizeof c.common.server_id, "seq-0");
    snprintf(c.node_rpc, sizeof c.node_rpc, "http://127.0.0.1:%u", f->upstream_port);
    snprintf(c.execution_rpc, sizeof c.execution_rpc, "http://127.0.0.1:%u/", f->upstream_port);
    c.max_body_bytes = (uint64_t)64 << 20;
    c.payload_max_bytes = (uint64_t)32 << 20;
    c.commit_timeout_ms = 4000; /* four times the real ones: slow machines */
    c.commit_hold_ms = 3200;
    c.enable_proxy = 1;
    c.metrics_enabled = 1;
    c.status_page = 1;
    const int fd = fd_make_memfd("config", 0);
    CHECK(fd >= 0 && fd_write_all(fd, &c, sizeof c) == 0 && fd_seal(fd, FD_SEALS_FINAL) == 0);
    return fd;
}

static void spawn(struct fixture *f)
{
    int fds[2];
    const int config = make_config(f);
    CHECK(fd_make_socketpair(fds) == 0);
    f->pid = fork();
    CHECK(f->pid >= 0);
    if (f->pid == 0) {
        const int control = fcntl(fds[1], F_DUPFD, 10), conf = fcntl(config, F_DUPFD, 10);
        if (dup2(control, WORKER_FD_CONTROL) < 0 || dup2(conf, WORKER_FD_CONFIG) < 0)
            _exit(127);
        close(control);
        close(conf);
        execl(RPCD_PATH, RPCD_PATH, (char *)NULL);
        _exit(127);
    }
    close(fds[1]);
    close(config);
    f->sup = chan_open(fds[0], ROLE_SUPERVISOR, 1, ROLE_RPCD, 1 << 20);
    CHECK(f->sup != NULL);
}

void fixture_start(struct fixture *f)
{
    const struct log_options log = {.level = LOG_ERROR};
    log_init(&log);
    memset(f, 0, sizeof *f);
    pthread_mutex_init(&f->lock, NULL);
    f->upstream_fd = http_listen_loopback(0, &f->upstream_port);
    f->rpc_fd = http_listen_loopback(0, &f->rpc_port);
    f->metrics_fd = http_listen_loopback(0, &f->metrics_port);
    f->admin_fd = http_listen_loopback(0, &f->admin_port);
    f->page_sup = page_create(ROLE_SUPERVISOR, 1, sizeof f->body_sup);
    f->page_health = page_create(ROLE_HEALTHD, 1, sizeof f->body_health);
    CHECK(f->upstream_fd >= 0 && f->rpc_fd >= 0 && f->metrics_fd >= 0 && f->admin_fd >= 0 && f->page_sup &&
          f->page_health);
    f->body_sup.healthy = 1;
    page_publish(f->page_sup, &f->body_sup, clock_mono_ns());
    page_publish(f->page_health, &f->body_health, clock_mono_ns());
    spawn(f);
    pthread_create(&f->thread, NULL, play, f);
    pthread_create(&f->upstream, NULL, play_upstream, f);
    const uint64_t deadline_ms = clock_mono_ms() + 20000;
    for (bool is_running = false; !is_running;) {
        CHECK(clock_mono_ms() < deadline_ms);
        usleep(2000);
        pthread_mutex_lock(&f->lock);
        is_running = f->is_running;
        pthread_mutex_unlock(&f->lock);
    }
    pthread_mutex_lock(&f->lock);
    struct msg_listener listener = {LISTENER_RPC, f->rpc_port};
    send_fd(f->sup, MSG_LISTENER, &listener, f->rpc_fd);
    listener = (struct msg_listener){LISTENER_METRICS, f->metrics_port};
    send_fd(f->sup, MSG_LISTENER, &listener, f->metrics_fd);
    listener = (struct msg_listener){LISTENER_ADMIN, 0};
    send_fd(f->sup, MSG_LISTENER, &listener, f->admin_fd);
    send_page(f, ROLE_SUPERVISOR, 1, f->page_sup);
    send_page(f, ROLE_HEALTHD, 1, f->page_health);
    pthread_mutex_unlock(&f->lock);
    fixture_consensus_up(f);
    fixture_set_raft(f, RAFT_ROLE_LEADER, true, "seq-0");
}

int fixture_stop(struct fixture *f)
{
    int status;
    pthread_mutex_lock(&f->lock);
    f->stop = true;
    pthread_mutex_unlock(&f->lock);
    pthread_join(f->thread, NULL);
    pthread_join(f->upstream, NULL);
    chan_close(f->sup); /* its parent is gone: rpcd ends */
    chan_close(f->cons);
    CHECK(waitpid(f->pid, &status, 0) == f->pid);
    page_free(f->page_sup);
    page_free(f->page_health);
    page_free(f->page_cons);
    if (f->ring_open)
        ring_view_close(&f->ring);
    free(f->last_record);
    close(f->rpc_fd);
    close(f->metrics_fd);
    close(f->admin_fd);
    close(f->upstream_fd);
    return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

void fixture_set_raft(struct fixture *f, uint32_t state, bool ready, const char *leader)
{
    pthread_mutex_lock(&f->lock);
    f->body_cons.state = state;
    f->body_cons.leader_ready = ready;
    f->body_cons.term = 5;
    snprintf(f->body_cons.leader_id, sizeof f->body_cons.leader_id, "%s", leader);
    snprintf(f->body_cons.leader_addr, sizeof f->body_cons.leader_addr, "%s",
             leader[0] != '\0' ? "10.0.0.1:50050" : "");
    f->body_cons.server_count = 2;
    f->body_cons.membership_version = 7;
    snprintf(f->body_cons.servers[0].id, SERVER_ID_SIZE, "seq-0");
    snprintf(f->body_cons.servers[0].addr, SERVER_ADDR_SIZE, "10.0.0.1:50050");
    snprintf(f->body_cons.servers[1].id, SERVER_ID_SIZE, "seq-1");
    snprintf(f->body_cons.servers[1].addr, SERVER_ADDR_SIZE, "10.0.0.2:50050");
    f->body_cons.servers[1].suffrage = SUFFRAGE_NONVOTER;
    f->body_cons.servers[1].record_age_ms = UINT64_MAX;
    f->body_cons.servers[1].contact_age_ms = UINT64_MAX;
    if (f->page_cons != NULL)
        page_publish(f->page_cons, &f->body_cons, clock_mono_ns());
    pthread_mutex_unlock(&f->lock);
}

void fixture_publish_supervisor(struct fixture *f)
{
    pthread_mutex_lock(&f->lock);
    page_publish(f->page_sup, &f->body_sup, clock_mono_ns());
    pthread_mutex_unlock(&f->lock);
}

char *fixture_call(struct fixture *f, const char *body)
{
    struct http_answer a = helper_post(f->rpc_port, "/", "application/json", body, strlen(body));
    CHECK(a.status == 200);
    return a.body;
}

char *fixture_commit_body(uint64_t number, size_t tx_bytes, size_t *ret_len)
{
    char zeros[513], *out = malloc(2 * tx_bytes + 4096);
    memset(zeros, '0', 512);
    zeros[512] = '\0';
    size_t n = (size_t)sprintf(
        out,
        "{\"jsonrpc\":\"2.0\",\"id\":%llu,\"method\":\"conductor_commitUnsafePayload\",\"params\":[{"
        "\"parentBeaconBlockRoot\":\"0x%064d\",\"executionPayload\":{\"parentHash\":\"0x%064llx\",\"feeRecipient\":"
        "\"0x%040d\",\"stateRoot\":\"0x%064d\",\"receiptsRoot\":\"0x%064d\",\"logsBloom\":\"0x%s\",\"prevRandao\":"
        "\"0x%064d\",\"blockNumber\":\"0x%llx\",\"gasLimit\":\"0x1c9c380\",\"gasUsed\":\"0xb3a5\",\"timestamp\":"
        "\"0x6641fa7f\",\"extraData\":\"0x\",\"baseFeePerGas\":\"0x3b9aca00\",\"blockHash\":\"0x%064llx\","
        "\"withdrawals\":[],\"blobGasUsed\":\"0x0\",\"excessBlobGas\":\"0x0\",\"transactions\":[\"0x",
        (unsigned long long)number, 1, (unsigned long long)(number - 1), 2, 3, 4, zeros, 5, (unsigned long long)number,
        (unsigned long long)number);
    memset(out + n, 'a', 2 * tx_bytes);
    n += 2 * tx_bytes;
    n += (size_t)sprintf(out + n, "\"]}}]}");
    *ret_len = n;
    return out;
}
