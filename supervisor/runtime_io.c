/* The conductor's hands: messages to workers, requests about children, the status page. */
#include "supervisor/runtime_internal.h"

#include "shared/base/clock.h"
#include "shared/base/err.h"

static struct link *find_link(struct runtime *rt, enum proc_role role)
{
    for (unsigned i = 0; i < CHILD_NODE; i++) {
        if (rt->links[i].role == role)
            return &rt->links[i];
    }
    return NULL;
}

static int io_send(void *ctx, enum proc_role to, enum msg_type type, uint64_t request_id, const void *body, int fd)
{
    struct link *l = find_link(ctx, to);

    if (!l || l->child->state != LIFE_RUNNING)
        return OC_ECLOSED;
    return link_send(l, type, request_id, body, fd);
}

/* op-node may be started and stopped by an operator until the node stops. */
static int check_node(const struct runtime *rt)
{
    if (!rt->opnode.argv)
        return OC_EUNKNOWN;
    return rt->stage == STOP_NOT ? 0 : OC_ESHUTDOWN;
}

static int io_node_start(void *ctx)
{
    struct runtime *rt = ctx;
    int rc = check_node(rt);

    if (rc < 0)
        return rc;
    rt->node_was_started = true;
    child_ask_start(&rt->children[CHILD_NODE]);
    return 0;
}

static int io_node_stop(void *ctx)
{
    struct runtime *rt = ctx;
    int rc = check_node(rt);

    if (rc < 0)
        return rc;
    rt->node_was_started = true;
    child_ask_stop(&rt->children[CHILD_NODE]);
    return 0;
}

static int io_node_restart(void *ctx)
{
    struct runtime *rt = ctx;
    int rc = check_node(rt);

    if (rc < 0)
        return rc;
    rt->node_was_started = true;
    child_ask_restart(&rt->children[CHILD_NODE]);
    return 0;
}

static int io_worker_restart(void *ctx, enum proc_role role)
{
    struct runtime *rt = ctx;
    struct link *l = find_link(rt, role);

    if (!l)
        return OC_EUNKNOWN;
    if (rt->stage != STOP_NOT)
        return OC_ESHUTDOWN;
    child_ask_restart(l->child);
    return 0;
}

static void io_publish(void *ctx, const struct page_supervisor *status)
{
    struct runtime *rt = ctx;

    rt->status = *status;
    /* At once: operators are answered only after the page says so. */
    runtime_publish(rt, clock_mono_ns());
}

static void io_stop_finished(void *ctx)
{
    struct runtime *rt = ctx;

    rt->handover_is_over = true;
}

static uint64_t io_wall_ms(void *ctx)
{
    (void)ctx;
    return clock_wall_ms();
}

static void io_record(void *ctx, uint64_t now_ns, struct flight_record *record)
{
    struct runtime *rt = ctx;

    recorder_put(rt->recorder, now_ns, record);
}

void runtime_publish(struct runtime *rt, uint64_t now_ns)
{
    for (unsigned i = 0; i < CHILD_COUNT; i++)
        child_fill_page(&rt->children[i], &rt->status.children[i]);
    rt->status.log_dropped_total = logout_dropped_count(rt->out);
    rt->status.log_queued_bytes = logout_queued_bytes(rt->out);
    rt->status.loop_times = rt->loop_times;
    page_publish(rt->page, &rt->status, now_ns);
    rt->status_changed = false;
    rt->beaten_ns = now_ns;
}

void runtime_fill_io(struct runtime *rt, struct conductor_io *ret)
{
    *ret = (struct conductor_io){
        .ctx = rt,
        .send = io_send,
        .node_start = io_node_start,
        .node_stop = io_node_stop,
        .node_restart = io_node_restart,
        .worker_restart = io_worker_restart,
        .publish = io_publish,
        .stop_finished = io_stop_finished,
        .wall_ms = io_wall_ms,
        .record = io_record,
    };
}
