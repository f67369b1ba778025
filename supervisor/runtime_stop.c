/* The ordered stop: handover, op-node, rpcd, healthd, consensus. */
#include "supervisor/runtime_internal.h"

#include "shared/base/log.h"
#include "shared/worker/worker.h"

/* The conductor ends the handover by its own deadlines; this is for the day it does not. */
#define HANDOVER_LIMIT_NS UINT64_C(30000000000)

static const unsigned stage_child[] = {
    [STOP_NODE] = CHILD_NODE,
    [STOP_RPCD] = CHILD_RPCD,
    [STOP_HEALTHD] = CHILD_HEALTHD,
    [STOP_CONSENSUS] = CHILD_CONSENSUS,
};

int runtime_exit_code_of(const struct child *c)
{
    if (c->exit_signal != 0 || c->kind == LIFE_KIND_NODE)
        return 1;
    switch (c->exit_code) {
    case WORKER_EXIT_PERMISSION:
    case WORKER_EXIT_CONFIG:
        return c->exit_code;
    case WORKER_EXIT_BUILD_MISMATCH:
        return WORKER_EXIT_TRY_LATER;
    default:
        return 1;
    }
}

void runtime_begin_stop(struct runtime *rt, uint64_t now_ns, int exit_code, const char *why)
{
    if (rt->exit_code == 0)
        rt->exit_code = exit_code;
    if (rt->stage != STOP_NOT)
        return;
    rt->stage = STOP_HANDOVER;
    rt->handover_end_ns = now_ns + HANDOVER_LIMIT_NS;
    if (exit_code == 0)
        LOG_INFO("Stopping", LOG_S("reason", why));
    else
        LOG_CRIT("Application failed", LOG_S("message", why));
    runtime_story_end(rt, now_ns, FLIGHT_STOPPING, exit_code, why);
    notify_send(&rt->notify, "STOPPING=1\nSTATUS=stopping");
    conductor_begin_shutdown(rt->conductor, now_ns);
}

void runtime_hasten_stop(struct runtime *rt, uint64_t now_ns)
{
    LOG_WARN("Stopping faster, as asked");
    if (rt->stage == STOP_HANDOVER)
        conductor_begin_shutdown(rt->conductor, now_ns);
    else if (rt->stage > STOP_HANDOVER && rt->stage < STOP_DONE)
        child_hasten(&rt->children[stage_child[rt->stage]], now_ns);
}

void runtime_advance_stop(struct runtime *rt, uint64_t now_ns)
{
    while (rt->stage != STOP_NOT && rt->stage != STOP_DONE) {
        if (rt->stage == STOP_HANDOVER) {
            if (!rt->handover_is_over && now_ns < rt->handover_end_ns)
                return;
        } else if (!child_is_at_rest(&rt->children[stage_child[rt->stage]])) {
            return;
        }
        rt->stage++;
        if (rt->stage == STOP_DONE)
            return;
        /* Its last copy of the events is taken when consensus stops. */
        if (rt->stage == STOP_CONSENSUS)
            runtime_story_end(rt, now_ns, FLIGHT_ENDED, rt->exit_code, "");
        child_ask_stop(&rt->children[stage_child[rt->stage]]);
        child_tick(&rt->children[stage_child[rt->stage]], now_ns);
    }
}

uint64_t runtime_stop_deadline(const struct runtime *rt)
{
    if (rt->stage == STOP_HANDOVER)
        return rt->handover_is_over ? 0 : rt->handover_end_ns;
    return UINT64_MAX;
}
