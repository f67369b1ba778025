/* The loop: waits for the control channel and for answers over HTTP at once, so that no check delays
 * a command. */
#include "healthd/loop.h"

#include "healthd/control.h"
#include "healthd/monitor.h"
#include "shared/base/clock.h"
#include "shared/base/err.h"
#include "shared/base/log.h"

#include <errno.h>
#include <limits.h>
#include <string.h>

#define MS_NS UINT64_C(1000000)
/* When the supervisor is gone: time to stop what this process started. */
#define LAST_STOP_MS 2000
/* CHECK commands that may wait for their check. */
#define CHECKS_MAX 8

struct waiting_check {
    uint64_t request_id;
    uint64_t check; /* the number of the check that answers it */
    uint64_t since_ns;
};

struct healthd {
    struct worker *worker;
    const struct config_healthd *config;
    struct probe *probe;
    struct monitor *monitor;
    struct control *control;
    struct waiting_check waiting[CHECKS_MAX];
    size_t waiting_count;
    uint64_t beaten_ns; /* when the page was written to last */
    bool running;       /* START came */
    int send_error;
};

static void send_message(struct healthd *d, enum msg_type type, uint64_t request_id, const void *body)
{
    int rc = chan_send(d->worker->sup, type, request_id, body, -1);
    if (rc != 0 && d->send_error == 0)
        d->send_error = rc;
}

/* ---- what monitor and control tell ---- */

static void answer_checks(struct healthd *d, const struct msg_health *h)
{
    size_t kept = 0;
    uint64_t done = monitor_checks_done(d->monitor), now_ns = clock_mono_ns();
    for (size_t i = 0; i < d->waiting_count; i++) {
        const struct waiting_check *c = &d->waiting[i];
        if (c->check > done) {
            d->waiting[kept++] = *c;
            continue;
        }
        struct msg_node_result r = {
            .verb = NODE_CMD_CHECK,
            .rc = h->node_reachable ? NODE_OK : NODE_UNREACHABLE,
            .sequencer_active = h->sequencer_active,
            .head = h->unsafe_head,
            .duration_us = (now_ns - c->since_ns) / 1000,
        };
        memcpy(r.text, h->text, sizeof r.text);
        send_message(d, MSG_NODE_RESULT, c->request_id, &r);
    }
    d->waiting_count = kept;
}

static void on_health(void *ctx, const struct page_health *page)
{
    struct healthd *d = ctx;
    uint64_t now_ns = clock_mono_ns();
    page_publish(d->worker->page, page, now_ns);
    d->beaten_ns = now_ns;
    if (page->last.sequencer_active == NODE_NO)
        control_note_inactive(d->control);
    send_message(d, MSG_HEALTH, 0, &page->last);
    answer_checks(d, &page->last);
}

static const char *rc_text(uint32_t rc)
{
    static const char *const names[NODE_RC_COUNT] = {"ok",       "already", "unreachable", "refused",
                                                     "mismatch", "ahead",   "gap",         "timeout"};
    return rc < NODE_RC_COUNT ? names[rc] : "unknown";
}

static const char *verb_text(uint32_t verb)
{
    static const char *const names[] = {"", "start", "stop", "takeover", "adopt", "check"};
    return verb < sizeof names / sizeof names[0] ? names[verb] : "unknown";
}

static void on_result(void *ctx, uint64_t request_id, const struct msg_node_result *r)
{
    struct healthd *d = ctx;
    enum log_level level = r->rc == NODE_OK ? LOG_INFO : LOG_WARN;
    LOG_AT(level, "op-node command done", LOG_S("command", verb_text(r->verb)), LOG_S("result", rc_text(r->rc)),
           LOG_U("us", r->duration_us), LOG_U("posted", r->posted_count), LOG_U("head", r->head.number),
           LOG_HASH("hash", r->head.hash), LOG_S("text", r->text));
    /* The page and HEALTH first: the result may make others look. */
    monitor_note_command(d->monitor, (enum node_tristate)r->sequencer_active,
                         r->verb != NODE_CMD_ADOPT && control_may_be_active(d->control), clock_mono_ns());
    send_message(d, MSG_NODE_RESULT, request_id, r);
}

static void on_status(void *ctx, const struct node_status *status)
{
    struct healthd *d = ctx;
    monitor_note_status(d->monitor, status, clock_mono_ns());
}

static void on_lost(void *ctx)
{
    struct healthd *d = ctx;
    monitor_note_loss(d->monitor, clock_mono_ns());
}

/* ---- what the supervisor tells ---- */

static void take_check(struct healthd *d, uint64_t request_id, uint64_t now_ns)
{
    if (d->waiting_count == CHECKS_MAX) {
        struct msg_node_result r = {.verb = NODE_CMD_CHECK,
                                    .rc = NODE_REFUSED,
                                    .sequencer_active = NODE_DONT_KNOW,
                                    .text = "too many checks are waiting"};
        send_message(d, MSG_NODE_RESULT, request_id, &r);
        return;
    }
    d->waiting[d->waiting_count++] = (struct waiting_check){request_id, monitor_request_check(d->monitor), now_ns};
}

static int take_start(struct healthd *d, const struct msg_start *start)
{
    uint64_t now_ns = clock_mono_ns();
    const struct control_events events = {.ctx = d, .result = on_result, .status = on_status};
    if (d->running)
        return OC_EPROTO;
    if (start->log_level < LOG_LEVEL_COUNT)
        log_set_level((enum log_level)start->log_level);
    d->control = control_new(d->probe, d->config->node_rpc, &events);
    d->monitor = monitor_new(d->probe, d->config, now_ns, on_health, d);
    if (d->control == NULL || d->monitor == NULL)
        return -ENOMEM;
    if (!d->config->node_managed) /* of a managed one the supervisor tells */
        probe_watch(d->probe, on_lost, d);
    page_publish(d->worker->page, monitor_page(d->monitor), now_ns);
    d->running = true;
    return worker_ready(d->worker);
}

static int on_message(void *ctx, struct chan_msg *msg)
{
    struct healthd *d = ctx;
    uint64_t now_ns = clock_mono_ns();
    int rc = worker_handle(d->worker, msg);
    if (rc != 0)
        return rc < 0 ? rc : 0;
    if (msg->type == MSG_START)
        return take_start(d, msg->body);
    if (!d->running)
        return OC_EPROTO;
    if (msg->type == MSG_NODE_EVENT) {
        const struct msg_node_event *event = msg->body;
        if (!event->up)
            control_node_down(d->control, now_ns);
        monitor_node_event(d->monitor, event->up != 0, event->node_incarnation, now_ns);
    } else if (msg->type == MSG_CLOCK) {
        monitor_set_clock(d->monitor, ((const struct msg_clock *)msg->body)->is_trusted != 0);
    } else if (msg->type == MSG_NODE_CMD) {
        const struct msg_node_cmd *cmd = msg->body;
        if (cmd->verb == NODE_CMD_CHECK)
            take_check(d, msg->request_id, now_ns);
        else
            control_submit(d->control, msg->request_id, cmd, msg->fd, now_ns);
    }
    return 0;
}

/* ---- the loop ---- */

static void on_last_result(void *ctx, uint64_t request_id, const struct msg_node_result *r)
{
    bool *done = ctx;
    (void)request_id;
    *done = true;
    LOG_INFO("stopped the sequencer because op-conductor is gone", LOG_S("result", rc_text(r->rc)));
}

static void ignore_status(void *ctx, const struct node_status *status)
{
    (void)ctx;
    (void)status;
}

/* Nobody is left to decide about a sequencer that this process started. */
static void stop_at_the_end(struct healthd *d)
{
    bool done = false;
    const struct control_events events = {.ctx = &done, .result = on_last_result, .status = ignore_status};
    const struct msg_node_cmd stop = {.verb = NODE_CMD_STOP,
                                      .deadline_mono_ns = clock_mono_ns() + LAST_STOP_MS * MS_NS};
    struct control *control = control_new(d->probe, d->config->node_rpc, &events);
    if (control == NULL)
        return;
    control_submit(control, 1, &stop, -1, clock_mono_ns());
    (void)control_tick(control, clock_mono_ns());
    while (!done) {
        (void)probe_step(d->probe, -1, 0, 50);
        (void)control_tick(control, clock_mono_ns());
    }
    control_free(control);
}

static int wait_ms(uint64_t next_ns, uint64_t now_ns)
{
    if (next_ns <= now_ns)
        return 0;
    uint64_t ms = (next_ns - now_ns + MS_NS - 1) / MS_NS;
    return ms > INT_MAX ? INT_MAX : (int)ms;
}

static uint64_t tick(struct healthd *d, uint64_t now_ns)
{
    if (!d->running)
        return UINT64_MAX;
    uint64_t control_ns = control_tick(d->control, now_ns);
    uint64_t monitor_ns = monitor_tick(d->monitor, now_ns);
    if (now_ns >= d->beaten_ns + PAGE_MAY_BEAT_MS * MS_NS) {
        page_beat(d->worker->page, now_ns);
        d->beaten_ns = now_ns;
    }
    uint64_t next = d->beaten_ns + PAGE_BEAT_MS * MS_NS;
    next = control_ns < next ? control_ns : next;
    return monitor_ns < next ? monitor_ns : next;
}

/* Drained: a command that runs is given the time that the supervisor grants. */
static bool is_drained(const struct healthd *d, uint64_t now_ns)
{
    if (!d->worker->draining)
        return false;
    return !d->running || control_is_idle(d->control) || now_ns >= d->worker->drain_deadline_ns;
}

static int run(struct healthd *d)
{
    struct chan *sup = d->worker->sup;
    for (;;) {
        uint64_t now_ns = clock_mono_ns();
        uint64_t next_ns = tick(d, now_ns);
        if (is_drained(d, now_ns))
            return WORKER_EXIT_OK;
        (void)probe_step(d->probe, chan_fd(sup), chan_want(sup), wait_ms(next_ns, now_ns));
        int rc = chan_step(sup, on_message, d);
        if (rc == 0)
            rc = d->send_error;
        if (rc == 0)
            continue;
        if (d->running && control_may_be_active(d->control))
            stop_at_the_end(d);
        if (rc == OC_ECLOSED)
            return WORKER_EXIT_OK;
        LOG_ERROR("the control channel has failed", LOG_E(rc));
        return WORKER_EXIT_INTERNAL;
    }
}

int healthd_run(struct worker *w, const struct config_healthd *config)
{
    struct healthd d = {.worker = w, .config = config, .probe = probe_new()};
    int code = WORKER_EXIT_INTERNAL;
    if (d.probe != NULL)
        code = run(&d);
    else
        LOG_ERROR("out of memory");
    control_free(d.control);
    monitor_free(d.monitor);
    probe_free(d.probe);
    return code;
}
