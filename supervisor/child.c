/* Carries out the life of one supervised process. */
#include "supervisor/child.h"

#include "shared/base/clock.h"
#include "shared/base/err.h"
#include "shared/base/fd.h"
#include "shared/base/log.h"
#include "shared/worker/worker.h"
#include "supervisor/saidline.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/pidfd.h>
#include <sys/wait.h>
#include <unistd.h>

#define MS_NS UINT64_C(1000000)
/* Per turn: a flooding child shares the loop with the others. */
#define LOG_READ_BUDGET_BYTES ((size_t)256 << 10)

void child_init(struct child *c, enum life_kind kind, const char *name, const struct childline_style *log_style,
                const struct child_hooks *hooks, struct loop *loop, struct logout *out)
{
    *c = (struct child){
        .kind = kind,
        .name = name,
        .log_style = *log_style,
        .hooks = hooks,
        .loop = loop,
        .out = out,
        .state = LIFE_DOWN,
        .deadline_ns = UINT64_MAX,
        .pidfd = -1,
        .status_fd = -1,
        .log.fd = -1,
        .pid_source.fd = -1,
        .status_source.fd = -1,
        .log_source.fd = -1,
    };
}

/* ---- signals ---- */

static void send_signal(struct child *c, int sig)
{
    /* op-node's helpers die with it. Its group cannot be another's: the leader is not reaped yet. */
    if (sig == SIGKILL && c->kind == LIFE_KIND_NODE && c->pid > 0)
        (void)kill(-c->pid, SIGKILL);
    if (c->pidfd >= 0)
        (void)pidfd_send_signal(c->pidfd, sig, NULL, 0);
}

/* ---- starting ---- */

static void on_exit_ready(void *ctx, uint32_t events)
{
    (void)events;
    child_check_exit(ctx, clock_mono_ns());
}

static void on_log_ready(void *ctx, uint32_t events)
{
    struct child *c = ctx;

    (void)events;
    if (!logpipe_read(&c->log, LOG_READ_BUDGET_BYTES)) {
        loop_remove(c->loop, &c->log_source);
        logpipe_close(&c->log);
    }
}

static void read_status(struct child *c)
{
    if (c->status_fd < 0)
        return;
    /* A record is written at once or not at all. */
    if (read(c->status_fd, &c->failure, sizeof c->failure) != (ssize_t)sizeof c->failure)
        c->failure = (struct spawn_failure){0};
    loop_remove(c->loop, &c->status_source);
    fd_close(&c->status_fd);
}

static void on_status_ready(void *ctx, uint32_t events)
{
    struct child *c = ctx;

    (void)events;
    read_status(c);
    if (c->failure.err == 0)
        child_event(c, clock_mono_ns(), LIFE_EV_EXEC_OK);
}

static int watch_process(struct child *c, const struct spawned *s)
{
    int rc;

    c->pid = s->pid;
    c->pidfd = s->pidfd;
    c->status_fd = s->status_fd;
    rc = loop_add(c->loop, &c->pid_source, c->pidfd, EPOLLIN, on_exit_ready, c);
    if (rc == 0)
        rc = loop_add(c->loop, &c->status_source, c->status_fd, EPOLLIN, on_status_ready, c);
    if (rc == 0)
        rc = loop_add(c->loop, &c->log_source, c->log.fd, EPOLLIN, on_log_ready, c);
    return rc;
}

static void fail_start(struct child *c, uint64_t now_ns, int rc, const char *error)
{
    bool no_program = rc == -ENOENT || rc == -EACCES;

    LOG_ERROR("Cannot start a process", LOG_S("process", c->name), LOG_S("reason", error), LOG_E(rc));
    c->hooks->spawned(c->hooks->ctx, c, false);
    logpipe_close(&c->log);
    if (no_program && backoff_is_final(&c->backoff, c->kind == LIFE_KIND_WORKER, -rc, 0, 0)) {
        c->exit_code = WORKER_EXIT_CONFIG;
        c->exit_signal = 0;
        (void)snprintf(c->reason, sizeof c->reason, "%s", error);
        child_event(c, now_ns, LIFE_EV_GIVE_UP);
        return;
    }
    c->delay_ms = backoff_on_death(&c->backoff, false, 0, c->backoff_cap_ms, (uint32_t)now_ns);
    child_event(c, now_ns, LIFE_EV_NO_FORK);
}

static void spawn(struct child *c, uint64_t now_ns)
{
    struct spawn_spec spec = {.fd_count = 3};
    char error[512] = "";
    struct spawned spawned = {.pidfd = -1, .status_fd = -1};
    int null_fd = open("/dev/null", O_RDWR | O_CLOEXEC);
    int log_fd = -1;
    int rc;

    c->incarnation++;
    c->ready_ns = 0;
    c->failure = (struct spawn_failure){0};
    c->final_code = 0;
    c->fault = NULL;
    rc = null_fd < 0 ? -errno : logpipe_open(&c->log, c->out, &c->log_style, c->kept_log, &log_fd);
    spec.fds[0] = null_fd;
    spec.fds[1] = spec.fds[2] = log_fd;
    if (rc == 0)
        rc = c->hooks->prepare(c->hooks->ctx, c, &spec, error, sizeof error);
    if (rc == 0)
        rc = spawn_process(&spec, &spawned);
    fd_close(&log_fd);
    fd_close(&null_fd);
    if (rc < 0) {
        fail_start(c, now_ns, rc, error[0] ? error : err_text(rc));
        return;
    }
    rc = watch_process(c, &spawned);
    c->hooks->spawned(c->hooks->ctx, c, true);
    if (rc < 0)
        child_ask_kill(c, "its file descriptors cannot be watched");
    LOG_DEBUG("Process started", LOG_S("process", c->name), LOG_I("process_id", c->pid),
              LOG_U("incarnation", c->incarnation));
}

/* ---- the table's actions ---- */

static void act(struct child *c, uint64_t now_ns, enum life_action action)
{
    switch (action) {
    case LIFE_ACT_SPAWN:
        spawn(c, now_ns);
        break;
    case LIFE_ACT_SEND_START:
        c->hooks->send_start(c->hooks->ctx, c);
        break;
    case LIFE_ACT_DRAIN:
        c->hooks->send_drain(c->hooks->ctx, c, c->deadline_ns);
        break;
    case LIFE_ACT_TERM:
        send_signal(c, SIGTERM);
        send_signal(c, SIGCONT);
        break;
    case LIFE_ACT_QUIT:
        LOG_WARN("Process does not end, asking for a dump of what it does", LOG_S("process", c->name),
                 LOG_I("process_id", c->pid));
        send_signal(c, SIGQUIT);
        break;
    case LIFE_ACT_KILL:
        LOG_WARN("Killing a process", LOG_S("process", c->name), LOG_I("process_id", c->pid),
                 LOG_S("reason", c->fault ? c->fault : "its time is up"));
        send_signal(c, SIGKILL);
        break;
    case LIFE_ACT_DELAY:
        c->deadline_ns = now_ns + c->delay_ms * MS_NS;
        break;
    case LIFE_ACT_REPORT:
        LOG_ERROR("Process is given up on", LOG_S("process", c->name), LOG_S("reason", c->reason));
        break;
    default:
        break;
    }
}

void child_event(struct child *c, uint64_t now_ns, enum life_event event)
{
    struct life_step step = lifecycle_next(c->kind, c->state, event);
    enum lifecycle_state old = c->state;
    uint64_t limit_ms;

    if (step.ignored)
        return;
    c->state = step.next;
    c->since_ns = now_ns;
    limit_ms = lifecycle_limit_ms(&c->limits, c->state);
    c->deadline_ns = limit_ms ? now_ns + limit_ms * MS_NS : UINT64_MAX;
    if (c->state == LIFE_RUNNING)
        c->ready_ns = now_ns;
    /* A start that is refused moves on at once; everything else is complete before it is told. */
    if (step.action != LIFE_ACT_SPAWN)
        act(c, now_ns, step.action);
    if (old != c->state)
        c->hooks->changed(c->hooks->ctx, c, old, now_ns);
    if (step.action == LIFE_ACT_SPAWN)
        act(c, now_ns, step.action);
}

/* ---- the end of a process ---- */

static void release_process(struct child *c)
{
    loop_remove(c->loop, &c->pid_source);
    loop_remove(c->loop, &c->log_source);
    read_status(c);
    fd_close(&c->pidfd);
    logpipe_close(&c->log);
    c->pid = 0;
}

void child_describe_exit(const struct child *c, char *ret, size_t size)
{
    if (c->failure.err != 0)
        (void)snprintf(ret, size, "%s: %s", spawn_step_text(c->failure.step), err_text(-c->failure.err));
    else if (c->exit_signal != 0)
        (void)snprintf(ret, size, "ended by signal %d (%s)", c->exit_signal, strsignal(c->exit_signal));
    else
        (void)snprintf(ret, size, "exit code %d", c->exit_code);
}

static void decide_after_exit(struct child *c, uint64_t now_ns, pid_t pid)
{
    bool is_worker = c->kind == LIFE_KIND_WORKER;
    bool was_ready = c->ready_ns != 0;
    bool asked = c->restart_asked || !c->wanted;
    uint64_t ran_ms = was_ready ? (now_ns - c->ready_ns) / MS_NS : 0;
    int code = c->final_code ? c->final_code : c->exit_code;
    int sig = c->final_code ? 0 : c->exit_signal;
    char how[256], said[LOGPIPE_LAST_BYTES];

    child_describe_exit(c, how, sizeof how);
    saidline_extract(c->log.last, said, sizeof said);
    c->ready_ns = 0;
    if (asked) {
        LOG_INFO("Process ended as asked", LOG_S("process", c->name), LOG_I("process_id", pid), LOG_S("how", how));
        c->backoff.was_ever_ready |= was_ready;
        c->delay_ms = 0;
    } else {
        LOG_WARN("Process ended", LOG_S("process", c->name), LOG_I("process_id", pid), LOG_S("how", how),
                 LOG_S("fault", c->fault ? c->fault : "none"), LOG_U("ran_ms", ran_ms), LOG_S("last_output", said));
        c->delay_ms = backoff_on_death(&c->backoff, was_ready, ran_ms, c->backoff_cap_ms, (uint32_t)now_ns);
    }
    c->restart_asked = false;
    if (!c->wanted) {
        child_event(c, now_ns, LIFE_EV_REST);
    } else if (!asked && backoff_is_final(&c->backoff, is_worker, c->failure.err, code, sig)) {
        c->exit_code = code;
        c->exit_signal = sig;
        if (c->reason[0] == '\0')
            (void)snprintf(c->reason, sizeof c->reason, "%s: %s%s%s", c->name, how, said[0] ? ": " : "", said);
        child_event(c, now_ns, LIFE_EV_GIVE_UP);
    } else {
        child_event(c, now_ns, LIFE_EV_RETRY);
    }
}

void child_check_exit(struct child *c, uint64_t now_ns)
{
    siginfo_t info;
    pid_t pid = c->pid;

    if (c->pidfd < 0)
        return;
    memset(&info, 0, sizeof info);
    if (waitid(P_PIDFD, (id_t)c->pidfd, &info, WEXITED | WNOHANG | WNOWAIT) < 0 || info.si_pid == 0)
        return;
    /* While it is a zombie its number, and so its group's, cannot be reused. */
    if (c->kind == LIFE_KIND_NODE)
        (void)kill(-pid, SIGKILL);
    (void)waitid(P_PIDFD, (id_t)c->pidfd, &info, WEXITED | WNOHANG);
    c->exit_code = info.si_code == CLD_EXITED ? info.si_status : 0;
    c->exit_signal = info.si_code == CLD_EXITED ? 0 : info.si_status;
    release_process(c);
    child_event(c, now_ns, LIFE_EV_EXITED);
    decide_after_exit(c, now_ns, pid);
}

/* ---- requests and time ---- */

void child_ask_start(struct child *c)
{
    c->wanted = true;
    c->start_asked = true;
    c->stop_asked = false;
}

void child_ask_stop(struct child *c)
{
    c->wanted = false;
    c->start_asked = false;
    c->restart_asked = false;
    c->stop_asked = true;
}

void child_ask_restart(struct child *c)
{
    c->wanted = true;
    c->start_asked = true; /* if it does not run, this is a start */
    c->stop_asked = true;
    c->restart_asked = true;
}

void child_ask_kill(struct child *c, const char *why)
{
    if (!c->fault && lifecycle_is_alive(c->state))
        c->fault = why;
}

void child_hasten(struct child *c, uint64_t now_ns)
{
    child_event(c, now_ns, LIFE_EV_HASTEN);
}

void child_tick(struct child *c, uint64_t now_ns)
{
    if (c->fault && c->state != LIFE_KILLING && lifecycle_is_alive(c->state))
        child_event(c, now_ns, LIFE_EV_FAULT);
    if (c->stop_asked) {
        bool alive = lifecycle_is_alive(c->state);
        c->stop_asked = false;
        /* A start that waits for its time is not stopped by a restart, but brought forward below. */
        if (alive || !c->wanted)
            child_event(c, now_ns, LIFE_EV_STOP);
        if (!alive)
            c->restart_asked = false;
    }
    if (c->start_asked && !c->restart_asked) {
        c->start_asked = false;
        child_event(c, now_ns, LIFE_EV_START);
    }
    if (now_ns >= c->deadline_ns)
        child_event(c, now_ns, LIFE_EV_TIMEOUT);
}

uint64_t child_next_deadline(const struct child *c)
{
    bool due = (c->start_asked && !c->restart_asked) || c->stop_asked ||
               (c->fault && c->state != LIFE_KILLING && lifecycle_is_alive(c->state));

    return due ? 0 : c->deadline_ns;
}

bool child_is_at_rest(const struct child *c)
{
    return (c->state == LIFE_DOWN || c->state == LIFE_FAILED) && !c->start_asked;
}

void child_fill_page(const struct child *c, struct page_child *ret)
{
    *ret = (struct page_child){
        .state = (uint32_t)c->state,
        .pid = (uint32_t)c->pid,
        .incarnation = c->incarnation,
        .restarts = c->incarnation > 0 ? c->incarnation - 1 : 0,
        .since_mono_ns = c->since_ns,
    };
}
