/* A worker for tests of the supervisor: its role is the end of its name, and "<name>.behaviour" beside
 * it says how to misbehave. What it sees and does goes, line by line, into the "journal" beside it:
 * role, word, incarnation, pid. */
#include "shared/config/worker_config.h"
#include "shared/shm/pages.h"
#include "shared/worker/worker.h"

#include "shared/base/clock.h"
#include "shared/base/fd.h"

#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define BEHAVIOUR_SIZE 64

struct fake {
    struct worker worker;
    enum proc_role role;
    size_t config_bytes;
    size_t page_bytes;
    char dir[PATH_MAX];
    char behaviour[BEHAVIOUR_SIZE]; /* "" = a good one */
    union {
        struct config_common common;
        struct config_consensus consensus;
        struct config_healthd healthd;
        struct config_rpcd rpcd;
    } config;
    int exit_code; /* -1: goes on */
};

static void note(const struct fake *f, const char *word)
{
    char path[PATH_MAX + 16], line[256];
    int fd, n;

    (void)snprintf(path, sizeof path, "%s/journal", f->dir);
    n = snprintf(line, sizeof line, "%s %s %u %d\n", proc_role_name(f->role), word, f->worker.incarnation, getpid());
    fd = open(path, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0600);
    if (fd < 0 || write(fd, line, (size_t)n) != n)
        abort();
    fd_close(&fd);
}

static bool behaves(const struct fake *f, const char *word)
{
    return strncmp(f->behaviour, word, strlen(word)) == 0;
}

static void learn(struct fake *f, const char *path)
{
    const char *slash = strrchr(path, '/');
    const char *role = strrchr(path, '-') + 1;
    char file[PATH_MAX + 32];
    ssize_t n = 0;
    int fd;

    (void)snprintf(f->dir, sizeof f->dir, "%.*s", (int)(slash - path), path);
    if (strcmp(role, "consensus") == 0) {
        f->role = ROLE_CONSENSUS;
        f->config_bytes = sizeof f->config.consensus;
        f->page_bytes = sizeof(struct page_consensus);
    } else if (strcmp(role, "healthd") == 0) {
        f->role = ROLE_HEALTHD;
        f->config_bytes = sizeof f->config.healthd;
        f->page_bytes = sizeof(struct page_health);
    } else {
        f->role = ROLE_RPCD;
        f->config_bytes = sizeof f->config.rpcd;
        f->page_bytes = 8;
    }
    (void)snprintf(file, sizeof file, "%s/%s.behaviour", f->dir, role);
    fd = open(file, O_RDONLY | O_CLOEXEC);
    if (fd >= 0)
        n = read(fd, f->behaviour, sizeof f->behaviour - 1);
    f->behaviour[n > 0 ? n : 0] = '\0';
    fd_close(&fd);
}

/* A HELLO of another build, instead of worker_open's. */
static int say_wrong_hello(void)
{
    struct msg_hello hello = {.build_id = "another-build", .catalogue_hash = msg_catalogue_hash()};
    struct page_writer *page = page_create(ROLE_RPCD, 1, 8);
    struct chan *c = chan_open(WORKER_FD_CONTROL, ROLE_RPCD, 1, ROLE_SUPERVISOR, 4096);

    if (!page || !c || chan_send(c, MSG_HELLO, 0, &hello, page_fd(page)) < 0)
        return WORKER_EXIT_INTERNAL;
    (void)pause();
    return WORKER_EXIT_OK;
}

static void flood(void)
{
    char line[512];

    memset(line, 'f', sizeof line);
    line[sizeof line - 1] = '\n';
    (void)fcntl(STDOUT_FILENO, F_SETFL, 0); /* blocking: the supervisor has to read */
    for (int i = 0; i < 40000; i++) {
        if (write(STDOUT_FILENO, line, sizeof line) != (ssize_t)sizeof line)
            abort();
    }
}

/* Three requests for op-node's log; nobody waits for the answers of the first two. */
static void ask_for_log(struct fake *f)
{
    const uint64_t deadlines_ns[] = {0, clock_mono_ns() - 1, clock_mono_ns() + UINT64_C(60000000000)};

    for (uint64_t i = 0; i < 3; i++) {
        const struct msg_node_log ask = {.line_limit = 10, .deadline_mono_ns = deadlines_ns[i]};

        if (chan_send(f->worker.sup, MSG_NODE_LOG, i + 1, &ask, -1) < 0)
            abort();
    }
}

static void take_log(const struct fake *f, const struct chan_msg *msg)
{
    struct msg_node_log_result result;
    char word[64];

    memcpy(&result, msg->body, sizeof result);
    (void)snprintf(word, sizeof word, "log_%u_%d_%s", (unsigned)msg->request_id, result.rc,
                   result.instance != 0 ? "kept" : "none");
    note(f, word);
}

static void after_ready(struct fake *f)
{
    note(f, "ready");
    if (behaves(f, "hang")) {
        for (;;)
            (void)pause();
    }
    if (behaves(f, "violate") && send(WORKER_FD_CONTROL, "nonsense", 8, 0) != 8)
        abort();
    if (behaves(f, "flood")) {
        flood();
        note(f, "flooded");
    }
    if (behaves(f, "ask"))
        ask_for_log(f);
}

static int on_message(void *ctx, struct chan_msg *msg)
{
    struct fake *f = ctx;
    int rc = worker_handle(&f->worker, msg);

    if (rc < 0)
        return rc;
    switch (msg->type) {
    case MSG_START:
        if (behaves(f, "mute"))
            break;
        rc = worker_ready(&f->worker);
        if (rc == 0)
            after_ready(f);
        return rc;
    case MSG_DRAIN:
        note(f, "drain");
        if (!behaves(f, "stubborn"))
            f->exit_code = WORKER_EXIT_OK;
        break;
    case MSG_PEER_UP:
        note(f, "peer_up");
        break;
    case MSG_PEER_DOWN:
        note(f, "peer_down");
        break;
    case MSG_PAGE: {
        struct msg_page page;
        char word[64];
        memcpy(&page, msg->body, sizeof page);
        (void)snprintf(word, sizeof word, "page_%s_%u", proc_role_name((enum proc_role)page.owner_role),
                       page.incarnation);
        note(f, word);
        break;
    }
    case MSG_NODE_LOG_RESULT:
        take_log(f, msg);
        break;
    case MSG_LISTENER:
        note(f, "listener");
        break;
    default:
        break;
    }
    return 0;
}

static int serve(struct fake *f)
{
    for (;;) {
        struct pollfd p = {.fd = chan_fd(f->worker.sup), .events = chan_want(f->worker.sup)};
        int rc;

        page_beat(f->worker.page, clock_mono_ns());
        if (poll(&p, 1, 50) < 0)
            return WORKER_EXIT_INTERNAL;
        rc = chan_step(f->worker.sup, on_message, f);
        if (rc < 0) {
            note(f, "orphaned");
            return WORKER_EXIT_OK;
        }
        if (f->exit_code >= 0)
            return f->exit_code;
    }
}

int main(int argc, char *argv[])
{
    static struct fake f;
    int rc;

    (void)argc;
    learn(&f, argv[0]);
    f.exit_code = -1;
    if (behaves(&f, "silent")) {
        (void)pause();
        return 1;
    }
    if (behaves(&f, "wrong-build"))
        return say_wrong_hello();
    rc = worker_open(&f.worker, f.role, &f.config, f.config_bytes, f.page_bytes);
    if (rc != 0)
        return rc;
    note(&f, "started");
    if (behaves(&f, "exit ")) {
        (void)dprintf(STDERR_FILENO, "error: the reason of the test\n");
        rc = (int)strtol(f.behaviour + strlen("exit "), NULL, 10);
    } else {
        rc = serve(&f);
    }
    worker_close(&f.worker);
    return rc;
}
