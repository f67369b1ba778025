/* What every worker does to be one: fds 3 and 4, HELLO, PING, DRAIN. */
#include "shared/worker/worker.h"

#include "shared/base/err.h"
#include "shared/base/fd.h"
#include "shared/base/log.h"
#include "shared/config/worker_config.h"
#include "shared/worker/crash.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

/* Requests and answers to the supervisor that may wait while it does not read. */
#define WORKER_QUEUE_CAP_BYTES ((size_t)256 << 10)

__attribute__((format(printf, 3, 4))) static int fail(enum proc_role role, enum worker_exit code, const char *fmt, ...)
{
    char text[512];
    va_list args;

    va_start(args, fmt);
    (void)vsnprintf(text, sizeof text, fmt, args);
    va_end(args);
    (void)dprintf(STDERR_FILENO, "op-conductor-%s: error: %s\n", proc_role_name(role), text);
    return (int)code;
}

/* A terminal's Ctrl-C and service managers reach the whole group; the supervisor gives the orders,
 * by DRAIN and in the end by SIGKILL. */
static void ignore_signals(void)
{
    static const int ignored[] = {SIGPIPE, SIGINT, SIGTERM, SIGHUP};

    for (size_t i = 0; i < sizeof ignored / sizeof ignored[0]; i++)
        (void)signal(ignored[i], SIG_IGN);
}

static bool is_seqpacket_socket(int fd)
{
    int type = 0;
    socklen_t len = sizeof type;

    return getsockopt(fd, SOL_SOCKET, SO_TYPE, &type, &len) == 0 && type == SOCK_SEQPACKET;
}

/* Every executable of a build must be of that build, which is found out before any other field,
 * because those could mean something else. */
static int read_config(enum proc_role role, void *ret_config, size_t config_bytes)
{
    struct config_common common;
    uint64_t file_bytes;
    int rc = fd_check_sealed(WORKER_FD_CONFIG, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE, &file_bytes);

    if (rc < 0)
        return fail(role, WORKER_EXIT_CONFIG, "fd %d is not a sealed configuration (%s)", WORKER_FD_CONFIG,
                    err_text(rc));
    if (file_bytes < sizeof common || fd_pread_all(WORKER_FD_CONFIG, &common, sizeof common, 0) < 0 ||
        common.magic != WORKER_CONFIG_MAGIC)
        return fail(role, WORKER_EXIT_BUILD_MISMATCH,
                    "the configuration on fd %d has an unknown format; install all op-conductor executables together",
                    WORKER_FD_CONFIG);
    if (strncmp(common.build_id, build_id(), sizeof common.build_id) != 0)
        return fail(role, WORKER_EXIT_BUILD_MISMATCH,
                    "this executable is of build %s, but op-conductor is of build %.*s; install all op-conductor "
                    "executables together and restart op-conductor",
                    build_id(), (int)sizeof common.build_id, common.build_id);
    if (common.role != (uint32_t)role)
        return fail(role, WORKER_EXIT_CONFIG, "the configuration is for another worker (role %u)", common.role);
    if (common.bytes != config_bytes || file_bytes != config_bytes)
        return fail(role, WORKER_EXIT_CONFIG, "the configuration has %llu bytes instead of %zu",
                    (unsigned long long)file_bytes, config_bytes);
    if (common.log_level >= LOG_LEVEL_COUNT || common.log_format >= LOG_FMT_COUNT)
        return fail(role, WORKER_EXIT_CONFIG, "the configuration has an unknown log level or format");
    if (!memchr(common.version, '\0', sizeof common.version) ||
        !memchr(common.server_id, '\0', sizeof common.server_id))
        return fail(role, WORKER_EXIT_CONFIG, "the configuration has an unterminated text");
    rc = fd_pread_all(WORKER_FD_CONFIG, ret_config, config_bytes, 0);
    if (rc < 0)
        return fail(role, WORKER_EXIT_CONFIG, "cannot read the configuration: %s", err_text(rc));
    return 0;
}

static void start_logging(const struct config_common *common)
{
    const struct log_options options = {
        .level = (enum log_level)common->log_level,
        .format = (enum log_format)common->log_format,
        .color = common->log_color != 0,
        .with_pid = common->log_pid != 0,
        .role = proc_role_name((enum proc_role)common->role),
    };
    struct stat st;

    log_init(&options);
    /* The supervisor's pipe: when nobody reads it, lines are dropped and counted. */
    if (fstat(STDOUT_FILENO, &st) == 0 && S_ISFIFO(st.st_mode))
        (void)fd_set_nonblocking(STDOUT_FILENO);
}

static int say_hello(struct worker *w, size_t page_body_bytes)
{
    struct msg_hello hello = {
        .catalogue_hash = msg_catalogue_hash(),
        .role = (uint32_t)w->role,
        .incarnation = w->incarnation,
        .page_bytes = page_body_bytes,
    };

    (void)snprintf(hello.build_id, sizeof hello.build_id, "%s", build_id());
    return chan_send(w->sup, MSG_HELLO, 0, &hello, page_fd(w->page));
}

int worker_open(struct worker *w, enum proc_role role, void *ret_config, size_t config_bytes, size_t page_body_bytes)
{
    struct config_common common;
    char thread_name[16];
    int rc, config_fd = WORKER_FD_CONFIG;

    *w = (struct worker){.role = role};
    if (!is_seqpacket_socket(WORKER_FD_CONTROL) || fcntl(WORKER_FD_CONFIG, F_GETFD) < 0)
        return fail(role, WORKER_EXIT_CONFIG,
                    "this is a worker of op-conductor, which starts it with a control socket as fd %d and its "
                    "configuration as fd %d; it cannot be run by hand: run op-conductor instead (see op-conductor "
                    "--help)",
                    WORKER_FD_CONTROL, WORKER_FD_CONFIG);
    ignore_signals();
    (void)fd_set_cloexec(WORKER_FD_CONTROL);
    rc = read_config(role, ret_config, config_bytes);
    if (rc != 0)
        return rc;
    fd_close(&config_fd);
    memcpy(&common, ret_config, sizeof common);
    start_logging(&common);
    crash_install(build_id());
    /* The kernel's name for the process is too short for the executable's. */
    (void)snprintf(thread_name, sizeof thread_name, "oc-%s", proc_role_name(role));
    (void)prctl(PR_SET_NAME, thread_name);

    w->incarnation = common.incarnation;
    w->page = page_create(role, w->incarnation, page_body_bytes);
    if (!w->page)
        return fail(role, WORKER_EXIT_INTERNAL, "cannot create the status page: %s", err_text(-errno));
    w->sup = chan_open(WORKER_FD_CONTROL, role, w->incarnation, ROLE_SUPERVISOR, WORKER_QUEUE_CAP_BYTES);
    if (!w->sup) {
        worker_close(w);
        return fail(role, WORKER_EXIT_INTERNAL, "out of memory");
    }
    rc = say_hello(w, page_body_bytes);
    if (rc < 0) {
        worker_close(w);
        return fail(role, WORKER_EXIT_INTERNAL, "cannot greet op-conductor: %s", err_text(rc));
    }
    return 0;
}

void worker_close(struct worker *w)
{
    chan_close(w->sup);
    page_free(w->page);
    w->sup = NULL;
    w->page = NULL;
}

int worker_handle(struct worker *w, const struct chan_msg *msg)
{
    struct msg_start start;
    struct msg_drain drain;
    int rc;

    switch (msg->type) {
    case MSG_PING:
        rc = chan_send(w->sup, MSG_PONG, msg->request_id, msg->body, -1);
        return rc < 0 ? rc : 1;
    case MSG_DRAIN:
        memcpy(&drain, msg->body, sizeof drain);
        w->draining = true;
        w->drain_deadline_ns = drain.deadline_mono_ns;
        return 1;
    case MSG_START:
        memcpy(&start, msg->body, sizeof start);
        if (start.log_level < LOG_LEVEL_COUNT)
            log_set_level((enum log_level)start.log_level);
        chan_set_phase(w->sup, PHASE_STARTING);
        return 0;
    default:
        return 0;
    }
}

int worker_ready(struct worker *w)
{
    const struct msg_empty empty = {0};
    int rc = chan_send(w->sup, MSG_READY, 0, &empty, -1);

    if (rc < 0)
        return rc;
    chan_set_phase(w->sup, PHASE_RUNNING);
    return 0;
}
