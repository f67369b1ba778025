/* The workers and op-node as children: how they are started, and what follows from their lives. */
#include "supervisor/runtime_internal.h"

#include "shared/base/clock.h"
#include "shared/base/err.h"
#include "shared/base/fd.h"
#include "shared/base/log.h"
#include "supervisor/reap.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

/* op-node's lines among ours. */
#define NODE_LOG_PREFIX "[op-node] "

static struct link *link_of(struct runtime *rt, const struct child *c)
{
    return c->kind == LIFE_KIND_WORKER ? &rt->links[c - rt->children] : NULL;
}

/* ---- starting ---- */

static int on_prepare(void *ctx, struct child *c, struct spawn_spec *spec, char *error, size_t error_size)
{
    struct runtime *rt = ctx;
    struct link *l = link_of(rt, c);
    int rc;

    if (!l)
        return opnode_prepare(&rt->opnode, spec, error, error_size);
    rc = link_open(l, &rt->spawn_control_fd);
    if (rc < 0) {
        (void)snprintf(error, error_size, "cannot make a channel: %s", err_text(rc));
        return rc;
    }
    return workers_prepare(&rt->workers, l->role, c->incarnation, rt->spawn_control_fd, &rt->spawn_config_fd, spec,
                           error, error_size);
}

static void on_spawned(void *ctx, struct child *c, bool ok)
{
    struct runtime *rt = ctx;
    struct link *l = link_of(rt, c);

    /* Kept open here, the end of the child would hide its death. */
    fd_close(&rt->spawn_control_fd);
    fd_close(&rt->spawn_config_fd);
    if (!l)
        nodelog_add_start(rt->node_log, clock_wall_ms(), ok ? c->pid : 0);
    else if (!ok)
        link_close(l);
}

static void on_send_start(void *ctx, struct child *c)
{
    link_send_start(link_of(ctx, c));
}

static void on_send_drain(void *ctx, struct child *c, uint64_t deadline_ns)
{
    link_send_drain(link_of(ctx, c), deadline_ns);
}

/* ---- what follows from a change ---- */

static void keep_consensus_port(struct runtime *rt, const struct link *l)
{
    struct page_consensus page;

    if (l->role != ROLE_CONSENSUS || !l->page || page_read(l->page, &page, sizeof page) < 0)
        return;
    page.self_addr[sizeof page.self_addr - 1] = '\0';
    workers_remember_address(&rt->workers, page.self_addr);
}

static void worker_changed(struct runtime *rt, struct child *c, struct link *l, enum lifecycle_state old,
                           uint64_t now_ns)
{
    if (old == LIFE_RUNNING)
        conductor_on_worker(rt->conductor, now_ns, l->role, false);
    switch (c->state) {
    case LIFE_STARTING:
        if (l->page)
            conductor_set_page(rt->conductor, l->role, l->page);
        broker_on_started(&rt->broker, l);
        break;
    case LIFE_RUNNING:
        LOG_INFO("Worker is running", LOG_S("process", c->name), LOG_I("process_id", c->pid),
                 LOG_U("incarnation", c->incarnation));
        conductor_on_worker(rt->conductor, now_ns, l->role, true);
        break;
    case LIFE_TERMINATING:
    case LIFE_KILLING:
        broker_on_gone(&rt->broker, l);
        break;
    case LIFE_REAPED:
        broker_on_gone(&rt->broker, l);
        conductor_set_page(rt->conductor, l->role, NULL);
        keep_consensus_port(rt, l);
        link_close(l);
        break;
    default:
        break;
    }
}

static void node_changed(struct runtime *rt, struct child *c, enum lifecycle_state old, uint64_t now_ns)
{
    char how[TEXT_SIZE];

    if (c->state == LIFE_STARTING && old == LIFE_SPAWNING) {
        LOG_INFO("op-node started", LOG_I("process_id", c->pid), LOG_U("incarnation", c->incarnation),
                 LOG_S("path", rt->opnode.path));
        rt->node_is_announced = true;
        conductor_on_node(rt->conductor, now_ns, true, c->incarnation);
    }
    if (c->state == LIFE_REAPED) {
        runtime_describe_end(c, how, sizeof how);
        nodelog_add_end(rt->node_log, clock_wall_ms(), how);
        rt->sweep_orphans = true;
        if (rt->node_is_announced)
            conductor_on_node(rt->conductor, now_ns, false, c->incarnation);
        rt->node_is_announced = false;
    }
}

static void on_changed(void *ctx, struct child *c, enum lifecycle_state old, uint64_t now_ns)
{
    struct runtime *rt = ctx;
    struct link *l = link_of(rt, c);

    LOG_DEBUG("Process state", LOG_S("process", c->name), LOG_S("from", lifecycle_state_name(old)),
              LOG_S("to", lifecycle_state_name(c->state)));
    rt->status_changed = true;
    runtime_story_changed(rt, c, old, now_ns);
    if (l)
        worker_changed(rt, c, l, old, now_ns);
    else
        node_changed(rt, c, old, now_ns);
    if (c->state == LIFE_FAILED)
        runtime_begin_stop(rt, now_ns, runtime_exit_code_of(c), c->reason);
}

/* What op-node said. An answer that nobody waits for is not sent: many of them at once would fill the queue. */
static int answer_node_log(struct runtime *rt, const struct chan_msg *msg, uint64_t now_ns)
{
    static struct msg_node_log_result result; /* large for a stack */
    struct msg_node_log ask;

    memcpy(&ask, msg->body, sizeof ask);
    if (now_ns >= ask.deadline_mono_ns)
        return 0;
    if (rt->node_log)
        nodelog_answer(rt->node_log, &ask, &result);
    else
        result = (struct msg_node_log_result){.rc = rt->opnode.argv ? -ENOMEM : OC_EUNKNOWN};
    (void)link_send(&rt->links[CHILD_RPCD], MSG_NODE_LOG_RESULT, msg->request_id, &result, -1);
    return 0;
}

static int on_message(void *ctx, enum proc_role from, struct chan_msg *msg)
{
    struct runtime *rt = ctx;
    struct child *node = &rt->children[CHILD_NODE];
    uint64_t now_ns = clock_mono_ns();

    if (msg->type == MSG_HEALTH) {
        struct msg_health health;
        memcpy(&health, msg->body, sizeof health);
        if (health.node_reachable && health.node_incarnation == node->incarnation && node->incarnation != 0)
            child_event(node, now_ns, LIFE_EV_READY);
    }
    if (msg->type == MSG_NODE_LOG)
        return answer_node_log(rt, msg, now_ns);
    return conductor_on_message(rt->conductor, now_ns, from, msg);
}

/* ---- set-up ---- */

int runtime_init_children(struct runtime *rt)
{
    static const struct {
        enum proc_role role;
        const char *name;
        size_t page_bytes;
        struct life_limits limits;
    } specs[CHILD_NODE] = {
        /* Opening a long log on a slow disk takes its time; leaving, it flushes. */
        [CHILD_CONSENSUS] = {ROLE_CONSENSUS,
                             "consensus",
                             sizeof(struct page_consensus),
                             {5000, 5000, 120000, 5000, 500, 1000}},
        [CHILD_HEALTHD] = {ROLE_HEALTHD, "healthd", sizeof(struct page_health), {5000, 5000, 15000, 3000, 500, 1000}},
        [CHILD_RPCD] = {ROLE_RPCD, "rpcd", 0, {5000, 5000, 15000, 3000, 500, 1000}},
    };
    const struct childline_style node_style = {
        .format = rt->opts->log_format, .role = "op-node", .prefix = NODE_LOG_PREFIX, .level = LOG_INFO};
    struct child *node = &rt->children[CHILD_NODE];

    rt->hooks = (struct child_hooks){
        .ctx = rt,
        .prepare = on_prepare,
        .spawned = on_spawned,
        .send_start = on_send_start,
        .send_drain = on_send_drain,
        .changed = on_changed,
    };
    for (unsigned i = 0; i < CHILD_NODE; i++) {
        struct child *c = &rt->children[i];
        /* Workers log in our format; only what a library or the runtime says before an end does not fit. */
        const struct childline_style style = {
            .format = rt->opts->log_format, .role = specs[i].name, .prefix = "", .level = LOG_WARN};

        child_init(c, LIFE_KIND_WORKER, specs[i].name, &style, &rt->hooks, rt->loop, rt->out);
        c->limits = specs[i].limits;
        c->backoff_cap_ms = 5000;
        link_init(&rt->links[i], specs[i].role, specs[i].page_bytes, rt->opts->log_level, c, rt->loop, on_message, rt);
    }
    child_init(node, LIFE_KIND_NODE, "op-node", &node_style, &rt->hooks, rt->loop, rt->out);
    node->limits = (struct life_limits){
        .spawn_ms = 5000,
        .terminate_ms = rt->opts->node_stop_timeout_ms > 0 ? rt->opts->node_stop_timeout_ms : 1,
        .kill_ms = 2000,
    };
    node->backoff_cap_ms = rt->opts->node_restart_delay_max_ms;
    if (rt->opnode.argv)
        rt->node_log = nodelog_new(clock_wall_ms());
    if (rt->opnode.argv && !rt->node_log)
        LOG_WARN("op-node's output is not kept for conductorctl: out of memory");
    node->kept_log = rt->node_log;
    return 0;
}

void runtime_start_node_when_due(struct runtime *rt)
{
    if (rt->node_was_started || !rt->opnode.argv || rt->stage != STOP_NOT)
        return;
    /* It calls rpcd back, and healthd must watch it from the first moment. */
    if (rt->children[CHILD_RPCD].state != LIFE_RUNNING || rt->children[CHILD_HEALTHD].state != LIFE_RUNNING)
        return;
    rt->node_was_started = true;
    child_ask_start(&rt->children[CHILD_NODE]);
}

/* ---- orphans ---- */

bool runtime_is_own_child(void *ctx, pid_t pid)
{
    const struct runtime *rt = ctx;

    for (unsigned i = 0; i < CHILD_COUNT; i++) {
        if (rt->children[i].pid == pid)
            return true;
    }
    return false;
}

void runtime_sweep_orphans(struct runtime *rt)
{
    unsigned count;

    reap_orphans(runtime_is_own_child, rt);
    if (!rt->sweep_orphans || rt->children[CHILD_NODE].pid != 0)
        return;
    /* The children of the killed ones become ours in turn; SIGCHLD brings us back until none is left. */
    count = reap_kill_orphans(runtime_is_own_child, rt);
    if (count > 0)
        LOG_DEBUG("Killed processes that op-node left behind", LOG_U("count", count));
    rt->sweep_orphans = count > 0;
}
