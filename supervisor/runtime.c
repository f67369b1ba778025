/* The supervisor's loop and what lives on it. */
#include "supervisor/runtime_internal.h"

#include "shared/base/clock.h"
#include "shared/base/err.h"
#include "shared/base/fd.h"
#include "shared/base/log.h"
#include "supervisor/listener.h"
#include "supervisor/reap.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/signalfd.h>
#include <unistd.h>

#define MS_NS UINT64_C(1000000)
/* A turn that comes this much later than planned means that we were not running. */
#define LATE_NS (50 * MS_NS)
#define DROP_REPORT_EVERY_NS (10000 * MS_NS)
/* The standard output is a file on a full disk: when to try again. */
#define FULL_RETRY_NS (100 * MS_NS)

static uint64_t earliest(uint64_t a, uint64_t b)
{
    return a < b ? a : b;
}

/* ---- signals ---- */

static void on_signal(void *ctx, uint32_t events)
{
    struct runtime *rt = ctx;
    struct signalfd_siginfo info;

    (void)events;
    while (read(rt->signal_fd, &info, sizeof info) == (ssize_t)sizeof info) {
        uint64_t now_ns = clock_mono_ns();

        if (info.ssi_signo == SIGCHLD) {
            for (unsigned i = 0; i < CHILD_COUNT; i++)
                child_check_exit(&rt->children[i], now_ns);
            runtime_sweep_orphans(rt);
        } else if (rt->stage == STOP_NOT) {
            runtime_begin_stop(rt, now_ns, 0, strsignal((int)info.ssi_signo));
        } else {
            runtime_hasten_stop(rt, now_ns);
        }
    }
}

static int watch_signals(struct runtime *rt)
{
    static const int watched[] = {SIGTERM, SIGINT, SIGHUP, SIGCHLD};
    sigset_t set;

    (void)sigemptyset(&set);
    for (size_t i = 0; i < sizeof watched / sizeof watched[0]; i++)
        (void)sigaddset(&set, watched[i]);
    /* Inherited as ignored, it would collect exits behind our back. (SIGHUP under nohup stays so.) */
    (void)signal(SIGCHLD, SIG_DFL);
    if (sigprocmask(SIG_BLOCK, &set, NULL) < 0)
        return -errno;
    (void)signal(SIGPIPE, SIG_IGN);
    rt->signal_fd = signalfd(-1, &set, SFD_NONBLOCK | SFD_CLOEXEC);
    if (rt->signal_fd < 0)
        return -errno;
    return loop_add(rt->loop, &rt->signal_source, rt->signal_fd, EPOLLIN, on_signal, rt);
}

/* ---- set-up ---- */

static int open_listeners(struct runtime *rt, char *error, size_t error_size)
{
    const struct options *o = rt->opts;

    rt->rpc_fd =
        listener_open(o->rpc_host, o->rpc_port, "--rpc.addr, --rpc.port", &rt->broker.rpc_port, error, error_size);
    if (rt->rpc_fd < 0)
        return rt->rpc_fd;
    LOG_INFO("Listening for RPC", LOG_S("addr", o->rpc_host), LOG_U("port", rt->broker.rpc_port));
    if (!o->metrics_enabled)
        return 0;
    rt->metrics_fd = listener_open(o->metrics_host, o->metrics_port, "--metrics.addr, --metrics.port",
                                   &rt->broker.metrics_port, error, error_size);
    if (rt->metrics_fd < 0)
        return rt->metrics_fd;
    LOG_INFO("Listening for metrics", LOG_S("addr", o->metrics_host), LOG_U("port", rt->broker.metrics_port));
    return 0;
}

/* Asked for, it must be there; the default is a convenience. */
static int open_admin_socket(struct runtime *rt, char *const envp[], char *error, size_t error_size)
{
    char path[OPTIONS_SOCKET_SIZE];
    int rc;

    listener_admin_choose(rt->opts, envp, path, sizeof path);
    if (*path == '\0')
        return 0;
    rc = listener_admin_open(&rt->admin, path, error, error_size);
    if (rc == 0)
        LOG_INFO("Listening for local operators", LOG_S("path", path));
    else if (!rt->opts->admin_socket_given)
        LOG_WARN("No admin socket", LOG_S("message", error));
    return rt->opts->admin_socket_given ? rc : 0;
}

static int init_parts(struct runtime *rt, char *const envp[], char *error, size_t error_size)
{
    struct conductor_io io;
    char address[128];
    char url[160];
    int rc;

    rc = workers_init(&rt->workers, rt->opts, envp, error, error_size);
    if (rc == 0)
        rc = open_listeners(rt, error, error_size);
    if (rc == 0)
        rc = open_admin_socket(rt, envp, error, error_size);
    if (rc < 0)
        return rc;
    listener_local_address(rt->opts->rpc_host, rt->broker.rpc_port, address, sizeof address);
    (void)snprintf(url, sizeof url, "http://%s", address);
    rc = opnode_init(&rt->opnode, rt->opts, envp, url, error, error_size);
    if (rc < 0)
        return rc;
    (void)snprintf(error, error_size, "cannot set up the supervisor");
    rt->loop = loop_new();
    rt->page = page_create(ROLE_SUPERVISOR, 1, sizeof(struct page_supervisor));
    if (!rt->loop || !rt->page)
        return -errno;
    runtime_story_open(rt, clock_mono_ns());
    rc = watch_signals(rt);
    if (rc == 0)
        rc = reap_init();
    if (rc == 0)
        rc = runtime_init_children(rt);
    if (rc < 0)
        return rc;
    runtime_fill_io(rt, &io);
    rt->conductor = conductor_new(rt->opts, &io, clock_mono_ns());
    if (!rt->conductor)
        return -ENOMEM;
    rt->broker.consensus = &rt->links[CHILD_CONSENSUS];
    rt->broker.healthd = &rt->links[CHILD_HEALTHD];
    rt->broker.rpcd = &rt->links[CHILD_RPCD];
    rt->broker.page_fd = page_fd(rt->page);
    rt->broker.rpc_fd = rt->rpc_fd;
    rt->broker.metrics_fd = rt->metrics_fd;
    rt->broker.admin_fd = rt->admin.fd;
    return 0;
}

static void free_parts(struct runtime *rt)
{
    conductor_free(rt->conductor);
    for (unsigned i = 0; i < CHILD_NODE; i++)
        if (rt->links[i].loop) /* else it failed before there were any */
            link_close(&rt->links[i]);
    page_free(rt->page);
    recorder_free(rt->recorder);
    nodelog_free(rt->node_log);
    opnode_free(&rt->opnode);
    workers_free(&rt->workers);
    loop_free(rt->loop);
    fd_close(&rt->signal_fd);
    fd_close(&rt->rpc_fd);
    fd_close(&rt->metrics_fd);
    listener_admin_close(&rt->admin);
    notify_close(&rt->notify);
}

/* ---- one turn ---- */

static void on_stdout_ready(void *ctx, uint32_t events)
{
    /* What is left is written at the end of every turn. */
    (void)ctx;
    (void)events;
}

/* Returns when to try again at the latest. */
static uint64_t flush_log(struct runtime *rt, uint64_t now_ns)
{
    uint64_t dropped = logout_dropped_count(rt->out);

    if (dropped != rt->reported_drops && now_ns >= rt->next_drop_report_ns && logout_is_empty(rt->out)) {
        LOG_WARN("Log lines were dropped because the standard output is too slow",
                 LOG_U("count", dropped - rt->reported_drops));
        rt->reported_drops = dropped;
        rt->next_drop_report_ns = now_ns + DROP_REPORT_EVERY_NS;
    }
    if (!logout_flush(rt->out)) {
        loop_remove(rt->loop, &rt->stdout_source);
        return UINT64_MAX;
    }
    if (rt->stdout_source.fd < 0 &&
        loop_add(rt->loop, &rt->stdout_source, STDOUT_FILENO, EPOLLOUT, on_stdout_ready, rt) < 0)
        return now_ns + (logout_is_out_of_space(rt->out) ? FULL_RETRY_NS : MS_NS); /* a file cannot be watched */
    return UINT64_MAX;
}

static void say_ready(struct runtime *rt)
{
    if (rt->said_ready || rt->stage != STOP_NOT)
        return;
    for (unsigned i = 0; i < CHILD_NODE; i++) {
        if (rt->children[i].state != LIFE_RUNNING)
            return;
    }
    rt->said_ready = true;
    LOG_INFO("OpConductor started", LOG_S("server", rt->opts->server_id), LOG_S("version", options_version()));
    notify_send(&rt->notify, "READY=1\nSTATUS=running");
}

/* Does what is due; returns when the next turn has to be at the latest. */
static uint64_t turn(struct runtime *rt, uint64_t now_ns, uint64_t slept_ns)
{
    uint64_t deadline_ns;

    runtime_start_node_when_due(rt);
    for (unsigned i = 0; i < CHILD_NODE; i++)
        link_tick(&rt->links[i], now_ns, slept_ns);
    if (link_pinged(&rt->links[CHILD_CONSENSUS], now_ns))
        conductor_consensus_wakes(rt->conductor);
    for (unsigned i = 0; i < CHILD_COUNT; i++)
        child_tick(&rt->children[i], now_ns);
    runtime_sweep_orphans(rt);
    deadline_ns = conductor_tick(rt->conductor, now_ns);
    runtime_advance_stop(rt, now_ns);
    say_ready(rt);
    if (rt->status_changed) {
        rt->status = *conductor_page(rt->conductor);
        runtime_publish(rt, now_ns);
    } else if (now_ns >= rt->beaten_ns + PAGE_MAY_BEAT_MS * MS_NS) {
        runtime_publish(rt, now_ns);
    }
    /* What was queued by the conductor and the ticks must be polled for. */
    for (unsigned i = 0; i < CHILD_NODE; i++) {
        link_tick(&rt->links[i], now_ns, 0);
        deadline_ns = earliest(deadline_ns, link_next_deadline(&rt->links[i]));
    }
    for (unsigned i = 0; i < CHILD_COUNT; i++)
        deadline_ns = earliest(deadline_ns, child_next_deadline(&rt->children[i]));
    deadline_ns = earliest(deadline_ns, runtime_stop_deadline(rt));
    deadline_ns = earliest(deadline_ns, rt->beaten_ns + PAGE_BEAT_MS * MS_NS);
    deadline_ns = earliest(deadline_ns, notify_tick(&rt->notify, now_ns));
    return earliest(deadline_ns, flush_log(rt, now_ns));
}

static int run_loop(struct runtime *rt)
{
    uint64_t now_ns = clock_mono_ns();
    uint64_t slept_ns = 0;

    for (unsigned i = 0; i < CHILD_NODE; i++)
        child_ask_start(&rt->children[i]);
    for (;;) {
        uint64_t deadline_ns = turn(rt, now_ns, slept_ns);
        uint64_t planned_ns, begun_ns = now_ns;
        int rc;

        if (rt->stage == STOP_DONE)
            return rt->exit_code;
        rc = loop_turn(rt->loop, now_ns, deadline_ns);
        if (rc < 0) {
            LOG_CRIT("The event loop failed", LOG_E(rc));
            return 1;
        }
        planned_ns = deadline_ns > now_ns ? deadline_ns : now_ns;
        now_ns = clock_mono_ns();
        page_histogram_add(&rt->loop_times, (now_ns - begun_ns) / 1000);
        slept_ns = now_ns > planned_ns + LATE_NS ? now_ns - planned_ns : 0;
    }
}

int runtime_run(const struct options *opts, char *const envp[], struct logout *out)
{
    static struct runtime runtime;
    struct runtime *rt = &runtime;
    char error[512] = "";
    int rc;

    *rt = (struct runtime){
        .opts = opts,
        .out = out,
        .signal_fd = -1,
        .signal_source.fd = -1,
        .stdout_source.fd = -1,
        .spawn_control_fd = -1,
        .spawn_config_fd = -1,
        .rpc_fd = -1,
        .metrics_fd = -1,
        .admin.fd = -1,
        .notify.fd = -1,
        .broker.page_fd = -1,
        .broker.rpc_fd = -1,
        .broker.metrics_fd = -1,
        .broker.admin_fd = -1,
        .broker.flight_fd = -1,
    };
    rc = init_parts(rt, envp, error, sizeof error);
    if (rc < 0) {
        LOG_CRIT("Application failed", LOG_S("message", error), LOG_E(rc));
        rc = 1;
    } else {
        notify_open(&rt->notify, clock_mono_ns());
        rc = run_loop(rt);
        LOG_INFO("OpConductor stopped", LOG_S("server", opts->server_id), LOG_I("exit_code", rc));
    }
    free_parts(rt);
    return rc;
}
