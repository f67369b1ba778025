/* What the runtime tells the flight recorder: its own start and end, and the lives of its children. */
#include "supervisor/runtime_internal.h"

#include "shared/base/err.h"
#include "shared/base/log.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

void runtime_story_open(struct runtime *rt, uint64_t now_ns)
{
    char path[sizeof rt->opts->storage_dir + SERVER_ID_SIZE + sizeof FLIGHT_FILE_SUFFIX];
    struct flight_record r;

    (void)snprintf(path, sizeof path, "%s/%s%s", rt->opts->storage_dir, rt->opts->server_id, FLIGHT_FILE_SUFFIX);
    rt->recorder = recorder_new(path);
    if (!rt->recorder) {
        LOG_WARN("Events are not recorded: out of memory", LOG_E(-errno));
        return;
    }
    rt->broker.flight_fd = recorder_fd(rt->recorder);
    r = flight_record_make(FLIGHT_STARTED, rt->opts->server_id, recorder_before(rt->recorder));
    (void)snprintf(r.detail, sizeof r.detail, "version %s", options_version());
    recorder_put(rt->recorder, now_ns, &r);
}

void runtime_story_end(struct runtime *rt, uint64_t now_ns, enum flight_kind kind, int exit_code, const char *why)
{
    struct flight_record r = flight_record_make(kind, rt->opts->server_id, why);

    r.code = exit_code;
    recorder_put(rt->recorder, now_ns, &r);
}

/* ---- children ---- */

static void tell_up(struct runtime *rt, const struct child *c, uint64_t now_ns)
{
    struct flight_record r = flight_record_make(FLIGHT_PROCESS_UP, c->name, "");

    r.count = (uint64_t)c->pid;
    r.duration_us = (now_ns - rt->lives[c - rt->children].spawned_ns) / 1000;
    (void)snprintf(r.detail, sizeof r.detail, "incarnation %u", c->incarnation);
    recorder_put(rt->recorder, now_ns, &r);
}

static bool is_end_asked(const struct child *c)
{
    return c->restart_asked || !c->wanted;
}

void runtime_describe_end(const struct child *c, char *ret, size_t size)
{
    bool asked = is_end_asked(c);
    char how[256];

    child_describe_exit(c, how, sizeof how);
    (void)snprintf(ret, size, "%.180s%s%.60s", how,
                   asked      ? ", as asked"
                   : c->fault ? ": "
                              : "",
                   asked || !c->fault ? "" : c->fault);
}

/* The crash report: how it ended, why if that was our doing, and what it said last. */
static void tell_down(struct runtime *rt, const struct child *c, uint64_t now_ns)
{
    const struct life *life = &rt->lives[c - rt->children];
    char text[TEXT_SIZE], detail[FLIGHT_DETAIL_SIZE];
    struct flight_record r;

    runtime_describe_end(c, text, sizeof text);
    r = flight_record_make(FLIGHT_PROCESS_DOWN, c->name, text);
    r.count = (uint64_t)life->pid;
    r.code = c->exit_signal != 0 ? -c->exit_signal : c->exit_code;
    r.duration_us = (now_ns - life->spawned_ns) / 1000;
    logpipe_last_words(&c->log, detail, sizeof detail);
    /* What a process says that ends as asked is no last word. */
    if (!is_end_asked(c))
        flight_copy_text(r.detail, sizeof r.detail, detail);
    recorder_put(rt->recorder, now_ns, &r);
}

void runtime_story_changed(struct runtime *rt, const struct child *c, enum lifecycle_state old, uint64_t now_ns)
{
    struct life *life = &rt->lives[c - rt->children];
    struct flight_record r;

    switch (c->state) {
    case LIFE_SPAWNING:
        life->spawned_ns = now_ns;
        break;
    case LIFE_RUNNING:
        tell_up(rt, c, now_ns);
        break;
    case LIFE_REAPED:
        tell_down(rt, c, now_ns);
        break;
    case LIFE_BACKOFF:
    case LIFE_FAILED:
        if (old != LIFE_REAPED || c->state == LIFE_FAILED) {
            r = flight_record_make(FLIGHT_PROCESS_DOWN, c->name,
                                   c->state == LIFE_FAILED ? "given up on" : "it could not be started");
            flight_copy_text(r.detail, sizeof r.detail, c->reason);
            recorder_put(rt->recorder, now_ns, &r);
        }
        break;
    default:
        break;
    }
    if (c->pid != 0)
        life->pid = c->pid;
}
