/* A worker's start over fds 3 and 4, in a child process: the handshake, and every way to be refused. */
#include "testing.h"

#include "shared/base/clock.h"
#include "shared/base/err.h"
#include "shared/base/fd.h"
#include "shared/base/log.h"
#include "shared/config/worker_config.h"
#include "shared/worker/worker.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#define BODY_BYTES 64
#define DEADLINE_MS 20000

static struct config_healthd good_config(void)
{
    struct config_healthd config;

    memset(&config, 0, sizeof config);
    config.common.magic = WORKER_CONFIG_MAGIC;
    config.common.bytes = sizeof config;
    config.common.role = ROLE_HEALTHD;
    config.common.incarnation = 6;
    (void)snprintf(config.common.build_id, sizeof config.common.build_id, "%s", build_id());
    (void)snprintf(config.common.server_id, sizeof config.common.server_id, "seq-0");
    config.common.log_level = LOG_INFO;
    config.common.log_format = LOG_FMT_LOGFMT;
    (void)snprintf(config.node_rpc, sizeof config.node_rpc, "http://127.0.0.1:1");
    return config;
}

/* ---- the child ---- */

static int child_on_message(void *ctx, struct chan_msg *msg)
{
    struct worker *w = ctx;
    int rc = worker_handle(w, msg);

    if (rc != 0)
        return rc;
    if (msg->type == MSG_START)
        return worker_ready(w);
    return OC_EPROTO;
}

/* Exits with 0 after a whole life, 1 when the parent is gone, or worker_open's code. */
static int child_main(void)
{
    struct config_healthd config;
    struct worker w;
    char name[32] = "";
    uint64_t body[BODY_BYTES / 8] = {1, 2, 3};
    int rc = worker_open(&w, ROLE_HEALTHD, &config, sizeof config, BODY_BYTES);

    if (rc != 0)
        return rc;
    (void)prctl(PR_GET_NAME, name);
    if (strcmp(config.node_rpc, "http://127.0.0.1:1") != 0 || w.incarnation != 6 || w.role != ROLE_HEALTHD ||
        strcmp(name, "oc-healthd") != 0)
        return 2;
    /* What a terminal sends to the whole group must not end a worker. */
    if (raise(SIGINT) != 0 || raise(SIGTERM) != 0 || raise(SIGPIPE) != 0)
        return 3;
    /* Nothing is left for a program started from here; number 4 is the page's by now. */
    if (!(fcntl(WORKER_FD_CONTROL, F_GETFD) & FD_CLOEXEC) || page_fd(w.page) != WORKER_FD_CONFIG ||
        !(fcntl(WORKER_FD_CONFIG, F_GETFD) & FD_CLOEXEC))
        return 4;
    page_publish(w.page, body, clock_mono_ns());
    LOG_INFO("ready soon");
    while (!w.draining) {
        struct pollfd p = {.fd = chan_fd(w.sup), .events = chan_want(w.sup)};
        if (poll(&p, 1, DEADLINE_MS) <= 0)
            return 5;
        rc = chan_step(w.sup, child_on_message, &w);
        if (rc < 0) {
            worker_close(&w);
            return rc == OC_ECLOSED ? 1 : 6;
        }
    }
    LOG_INFO("below the level that START gave");
    LOG_WARN("at that level");
    rc = w.drain_deadline_ns == 1234 ? 0 : 7;
    worker_close(&w);
    return rc;
}

struct child {
    pid_t pid;
    int control; /* our end, or -1 */
    int err;     /* reads its stderr */
    int out;     /* reads its stdout */
};

/* Starts a child that has `config_fd` as fd 4 and one end of a new socketpair as fd 3 (or neither). */
static struct child start_child(int config_fd)
{
    struct child child = {.control = -1};
    int pair[2] = {-1, -1}, err[2], out[2];

    assert_int_equal(pipe2(err, O_CLOEXEC), 0);
    assert_int_equal(pipe2(out, O_CLOEXEC), 0);
    if (config_fd >= 0)
        assert_int_equal(fd_make_socketpair(pair), 0);
    (void)fflush(NULL);
    child.pid = fork();
    assert_true(child.pid >= 0);
    if (child.pid == 0) {
        /* Out of the way first: any of these may be 3 or 4 here. */
        int control = fcntl(pair[1], F_DUPFD, 20), config = fcntl(config_fd, F_DUPFD, 20);
        (void)dup2(err[1], STDERR_FILENO);
        (void)dup2(out[1], STDOUT_FILENO);
        for (int fd = 3; fd < 20; fd++)
            (void)close(fd);
        if (control >= 0)
            (void)dup2(control, WORKER_FD_CONTROL);
        if (config >= 0)
            (void)dup2(config, WORKER_FD_CONFIG);
        for (int fd = 20; fd < 40; fd++)
            (void)close(fd);
        _exit(child_main());
    }
    fd_close(&err[1]);
    fd_close(&out[1]);
    fd_close(&pair[1]);
    child.err = err[0];
    child.out = out[0];
    child.control = pair[0];
    return child;
}

static int make_config_fd(const void *config, size_t bytes, int seals)
{
    int fd = fd_make_memfd("test-config", 0);

    assert_true(fd >= 0);
    assert_int_equal(fd_write_all(fd, config, bytes), 0);
    assert_int_equal(fd_seal(fd, seals), 0);
    return fd;
}

static size_t read_text(int *fd, char *text, size_t size)
{
    size_t len = 0;

    for (ssize_t n; len < size - 1 && (n = read(*fd, text + len, size - 1 - len)) > 0;)
        len += (size_t)n;
    text[len] = '\0';
    fd_close(fd);
    return len;
}

static int wait_for_exit(struct child *child)
{
    int status;

    assert_int_equal(waitpid(child->pid, &status, 0), child->pid);
    assert_true(WIFEXITED(status));
    return WEXITSTATUS(status);
}

/* ---- the supervisor's side ---- */

struct talk {
    struct chan *c;
    struct page_reader *page;
    bool ready;
    uint64_t pong_request_id;
    struct msg_ping pong;
};

static int on_worker_message(void *ctx, struct chan_msg *msg)
{
    struct talk *t = ctx;
    struct msg_hello hello;
    const struct msg_start start = {.log_level = LOG_WARN};

    switch (msg->type) {
    case MSG_HELLO:
        memcpy(&hello, msg->body, sizeof hello);
        assert_string_equal(hello.build_id, build_id());
        assert_true(hello.catalogue_hash == msg_catalogue_hash());
        assert_int_equal(hello.role, ROLE_HEALTHD);
        assert_int_equal(hello.incarnation, 6);
        assert_int_equal(msg->incarnation, 6);
        assert_int_equal(hello.page_bytes, BODY_BYTES);
        t->page = page_open(msg->fd, ROLE_HEALTHD, BODY_BYTES);
        assert_non_null(t->page);
        assert_int_equal(page_incarnation(t->page), 6);
        assert_int_equal(chan_send(t->c, MSG_START, 0, &start, -1), 0);
        chan_set_phase(t->c, PHASE_STARTING);
        return 0;
    case MSG_READY:
        t->ready = true;
        chan_set_phase(t->c, PHASE_RUNNING);
        return 0;
    case MSG_PONG:
        memcpy(&t->pong, msg->body, sizeof t->pong);
        t->pong_request_id = msg->request_id;
        return 0;
    default:
        fail_msg("unexpected message %d", (int)msg->type);
        return OC_EPROTO;
    }
}

static int talk_step(struct talk *t)
{
    struct pollfd p = {.fd = chan_fd(t->c), .events = chan_want(t->c)};

    assert_int_equal(poll(&p, 1, DEADLINE_MS), 1);
    return chan_step(t->c, on_worker_message, t);
}

static struct talk talk_until_ready(struct child *child)
{
    struct talk t = {.c = chan_open(child->control, ROLE_SUPERVISOR, 1, ROLE_HEALTHD, 65536)};

    child->control = -1;
    assert_non_null(t.c);
    while (!t.ready)
        assert_int_equal(talk_step(&t), 0);
    return t;
}

static void a_whole_life(void **state)
{
    const struct config_healthd config = good_config();
    const struct msg_ping ping = {.sequence = 8, .sent_mono_ns = 9};
    const struct msg_drain drain = {.deadline_mono_ns = 1234};
    int before = count_open_fds(), config_fd = make_config_fd(&config, sizeof config, FD_SEALS_FINAL);
    struct child child = start_child(config_fd);
    struct talk t = talk_until_ready(&child);
    uint64_t body[BODY_BYTES / 8];
    char text[4096];

    (void)state;
    assert_int_equal(page_read(t.page, body, sizeof body), 0);
    assert_int_equal(body[2], 3);
    assert_true(page_age_ms(t.page, clock_mono_ns()) < DEADLINE_MS);

    assert_int_equal(chan_send(t.c, MSG_PING, 55, &ping, -1), 0);
    while (t.pong_request_id == 0)
        assert_int_equal(talk_step(&t), 0);
    assert_int_equal(t.pong_request_id, 55);
    assert_memory_equal(&t.pong, &ping, sizeof ping);

    assert_int_equal(chan_send(t.c, MSG_DRAIN, 0, &drain, -1), 0);
    assert_int_equal(talk_step(&t), OC_ECLOSED);
    assert_int_equal(wait_for_exit(&child), 0);
    assert_true(read_text(&child.out, text, sizeof text) > 0);
    assert_non_null(strstr(text, " lvl=info msg=\"ready soon\" role=healthd\n"));
    assert_null(strstr(text, "below the level"));
    assert_non_null(strstr(text, "at that level"));
    (void)read_text(&child.err, text, sizeof text);
    assert_string_equal(text, "");

    page_close(t.page);
    chan_close(t.c);
    fd_close(&config_fd);
    assert_int_equal(count_open_fds(), before);
}

static void the_parent_is_missed(void **state)
{
    const struct config_healthd config = good_config();
    int config_fd = make_config_fd(&config, sizeof config, FD_SEALS_FINAL);
    struct child child = start_child(config_fd);
    struct talk t = talk_until_ready(&child);

    (void)state;
    chan_close(t.c);
    assert_int_equal(wait_for_exit(&child), 1);
    page_close(t.page);
    fd_close(&child.err);
    fd_close(&child.out);
    fd_close(&config_fd);
}

static void by_hand_it_explains_itself(void **state)
{
    struct child child = start_child(-1);
    char text[4096];

    (void)state;
    (void)read_text(&child.err, text, sizeof text);
    assert_int_equal(wait_for_exit(&child), WORKER_EXIT_CONFIG);
    assert_non_null(strstr(text, "op-conductor-healthd: error: this is a worker of op-conductor"));
    assert_non_null(strstr(text, "run op-conductor instead"));
    fd_close(&child.out);
}

enum damage {
    DAMAGE_MAGIC,
    DAMAGE_BUILD,
    DAMAGE_BUILD_UNTERMINATED,
    DAMAGE_ROLE,
    DAMAGE_BYTES,
    DAMAGE_SHORT,
    DAMAGE_TINY,
    DAMAGE_LONG,
    DAMAGE_SEALS,
    DAMAGE_LEVEL,
    DAMAGE_FORMAT,
    DAMAGE_TEXT,
};

static void bad_configs_are_refused(void **state)
{
    static const struct {
        enum damage damage;
        int code;
        const char *text;
    } cases[] = {
        {DAMAGE_MAGIC, WORKER_EXIT_BUILD_MISMATCH, "unknown format"},
        {DAMAGE_BUILD, WORKER_EXIT_BUILD_MISMATCH, "op-conductor is of build another"},
        {DAMAGE_BUILD_UNTERMINATED, WORKER_EXIT_BUILD_MISMATCH, "op-conductor is of build xxx"},
        {DAMAGE_ROLE, WORKER_EXIT_CONFIG, "another worker"},
        {DAMAGE_BYTES, WORKER_EXIT_CONFIG, "bytes instead of"},
        {DAMAGE_SHORT, WORKER_EXIT_CONFIG, "bytes instead of"},
        {DAMAGE_TINY, WORKER_EXIT_BUILD_MISMATCH, "unknown format"},
        {DAMAGE_LONG, WORKER_EXIT_CONFIG, "bytes instead of"},
        {DAMAGE_SEALS, WORKER_EXIT_CONFIG, "not a sealed configuration"},
        {DAMAGE_LEVEL, WORKER_EXIT_CONFIG, "log level"},
        {DAMAGE_FORMAT, WORKER_EXIT_CONFIG, "format"},
        {DAMAGE_TEXT, WORKER_EXIT_CONFIG, "unterminated"},
    };

    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct {
            struct config_healthd config;
            char more[8];
        } file = {.config = good_config()};
        struct config_common *common = &file.config.common;
        size_t bytes = sizeof file.config;
        int seals = FD_SEALS_FINAL, config_fd;
        struct child child;
        char text[4096];

        switch (cases[i].damage) {
        case DAMAGE_MAGIC:
            common->magic++;
            break;
        case DAMAGE_BUILD:
            (void)snprintf(common->build_id, sizeof common->build_id, "another");
            break;
        case DAMAGE_BUILD_UNTERMINATED:
            memset(common->build_id, 'x', sizeof common->build_id);
            break;
        case DAMAGE_ROLE:
            common->role = ROLE_RPCD;
            break;
        case DAMAGE_BYTES:
            common->bytes += 8;
            break;
        case DAMAGE_SHORT:
            bytes -= 8;
            break;
        case DAMAGE_TINY:
            bytes = 16;
            break;
        case DAMAGE_LONG:
            bytes += 8;
            break;
        case DAMAGE_SEALS:
            seals = F_SEAL_SHRINK | F_SEAL_GROW;
            break;
        case DAMAGE_LEVEL:
            common->log_level = LOG_LEVEL_COUNT;
            break;
        case DAMAGE_FORMAT:
            common->log_format = LOG_FMT_COUNT;
            break;
        case DAMAGE_TEXT:
            memset(common->server_id, 'y', sizeof common->server_id);
            break;
        }
        config_fd = make_config_fd(&file, bytes, seals);
        child = start_child(config_fd);
        (void)read_text(&child.err, text, sizeof text);
        assert_int_equal(wait_for_exit(&child), cases[i].code);
        if (!strstr(text, cases[i].text))
            fail_msg("case %zu says: %s", i, text);
        fd_close(&child.out);
        fd_close(&child.control);
        fd_close(&config_fd);
    }
}

/* A supervisor that is gone before the greeting. */
static void nobody_to_greet(void **state)
{
    const struct config_healthd config = good_config();
    int config_fd = make_config_fd(&config, sizeof config, FD_SEALS_FINAL);
    struct child child = start_child(config_fd);
    int code;

    (void)state;
    fd_close(&child.control);
    code = wait_for_exit(&child);
    /* Depending on who was faster: HELLO failed, or the end was read after it. */
    assert_true(code == WORKER_EXIT_INTERNAL || code == 1);
    fd_close(&child.err);
    fd_close(&child.out);
    fd_close(&config_fd);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_whole_life),
        cmocka_unit_test(the_parent_is_missed),
        cmocka_unit_test(by_hand_it_explains_itself),
        cmocka_unit_test(bad_configs_are_refused),
        cmocka_unit_test(nobody_to_greet),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
