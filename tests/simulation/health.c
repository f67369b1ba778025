/* healthd of one host: its real monitor and control around simulated HTTP. */
#include "healthd/control.h"
#include "healthd/monitor.h"
#include "shared/base/clock.h"
#include "shared/base/err.h"
#include "tests/simulation/world.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define CHECKS_MAX 8

struct probe {
    struct host *host;
    struct probe_request *list;
    uint64_t next_id;
};

struct probe_request {
    struct probe_request *next;
    struct probe *probe;
    uint64_t id;
    probe_done_fn done;
    void *ctx;
    char *body;
    uint64_t arrive_ms, deadline_ms, reply_ms; /* reply_ms NEVER: not yet */
    bool is_arrived;
    char *reply; /* NULL with a reply_ms: the connection broke */
};

struct health {
    struct host *host;
    struct config_healthd config;
    struct probe probe;
    struct monitor *monitor;
    struct control *control;
    struct {
        uint64_t request_id, check;
    } waiting[CHECKS_MAX];
    unsigned waiting_count;
    uint64_t wake_ns;
};

/* ---- in place of probe.c ---- */

struct probe_request *probe_start(struct probe *p, const char *url, char *body, size_t body_len, uint64_t timeout_ms,
                                  probe_done_fn done, void *ctx)
{
    struct world *w = p->host->world;
    struct probe_request *r = calloc(1, sizeof *r), **end = &p->list;
    (void)url;
    (void)body_len;
    if (r == NULL)
        abort();
    *r = (struct probe_request){.probe = p,
                                .id = p->next_id += HOSTS_MAX,
                                .done = done,
                                .ctx = ctx,
                                .body = body,
                                .arrive_ms = w->now_ms + dice_below(&w->dice, 2),
                                .deadline_ms = w->now_ms + timeout_ms,
                                .reply_ms = NEVER};
    while (*end != NULL)
        end = &(*end)->next;
    *end = r;
    return r;
}

static void request_free(struct probe_request *r)
{
    free(r->body);
    free(r->reply);
    free(r);
}

static void unlink_request(struct probe_request *r)
{
    struct probe_request **at = &r->probe->list;
    while (*at != r)
        at = &(*at)->next;
    *at = r->next;
}

void probe_cancel(struct probe_request *r)
{
    unlink_request(r);
    request_free(r);
}

void health_answer(struct host *h, uint64_t id, const char *json)
{
    static const char format[] = "{\"jsonrpc\":\"2.0\",\"id\":1,%s}";
    if (h->healthd == NULL)
        return;
    for (struct probe_request *r = h->healthd->probe.list; r != NULL; r = r->next) {
        if (r->id != id || r->reply_ms != NEVER)
            continue;
        r->reply_ms = h->world->now_ms + dice_below(&h->world->dice, 2);
        if (json == NULL)
            return;
        size_t size = sizeof format + strlen(json);
        r->reply = malloc(size);
        if (r->reply == NULL)
            abort();
        snprintf(r->reply, size, format, json);
        return;
    }
}

static void finish_request(struct probe_request *r, bool is_late)
{
    struct probe_reply reply = {.rc = is_late ? -ETIMEDOUT : -ECONNRESET,
                                .text = is_late ? "timeout" : "connection refused"};
    if (!is_late && r->reply != NULL)
        reply = (struct probe_reply){.http_status = 200, .body = r->reply, .body_len = strlen(r->reply), .text = ""};
    unlink_request(r);
    r->done(r->ctx, &reply);
    request_free(r);
}

/* Callbacks start and cancel requests, so the list is looked at anew after each. */
static bool step_request(struct probe *p)
{
    uint64_t now = p->host->world->now_ms;
    for (struct probe_request *r = p->list; r != NULL; r = r->next) {
        if (!r->is_arrived && r->arrive_ms <= now) {
            r->is_arrived = true;
            opnode_request(&p->host->opnode, r->id, r->body);
        }
        if (r->reply_ms > now && r->deadline_ms > now)
            continue;
        finish_request(r, r->reply_ms > now);
        return true;
    }
    return false;
}

/* ---- what monitor and control tell, as in loop.c ---- */

static void send_message(struct health *d, enum msg_type type, uint64_t request_id, const void *body)
{
    channel_send(d->host, HEALTH_TO_SUP, type, request_id, body, msg_spec_get(type)->body_bytes, -1);
}

static void answer_checks(struct health *d, const struct msg_health *h)
{
    unsigned kept = 0;
    for (unsigned i = 0; i < d->waiting_count; i++) {
        if (d->waiting[i].check > monitor_checks_done(d->monitor)) {
            d->waiting[kept++] = d->waiting[i];
            continue;
        }
        const struct msg_node_result r = {.verb = NODE_CMD_CHECK,
                                          .rc = h->node_reachable ? NODE_OK : NODE_UNREACHABLE,
                                          .sequencer_active = h->sequencer_active,
                                          .head = h->unsafe_head};
        send_message(d, MSG_NODE_RESULT, d->waiting[i].request_id, &r);
    }
    d->waiting_count = kept;
}

static void on_health(void *ctx, const struct page_health *page)
{
    struct health *d = ctx;
    if (page->last.sequencer_active == NODE_NO)
        control_note_inactive(d->control);
    send_message(d, MSG_HEALTH, 0, &page->last);
    answer_checks(d, &page->last);
}

static void on_result(void *ctx, uint64_t request_id, const struct msg_node_result *r)
{
    struct health *d = ctx;
    world_log(d->host->world, d->host, "healthd: verb %u ends with %u, active %u, head %llu %s", r->verb, r->rc,
              r->sequencer_active, (unsigned long long)r->head.number, r->text);
    monitor_note_command(d->monitor, (enum node_tristate)r->sequencer_active,
                         r->verb != NODE_CMD_ADOPT && control_may_be_active(d->control), clock_mono_ns());
    send_message(d, MSG_NODE_RESULT, request_id, r);
}

static void on_status(void *ctx, const struct node_status *status)
{
    struct health *d = ctx;
    monitor_note_status(d->monitor, status, clock_mono_ns());
}

/* ---- life ---- */

void health_start(struct host *h)
{
    struct health *d = calloc(1, sizeof *d);
    const struct control_events events = {.ctx = d, .result = on_result, .status = on_status};
    uint64_t now_ns = clock_mono_ns();
    if (d == NULL)
        abort();
    h->healthd = d;
    h->health = (struct process){.up = true, .up_at_ms = NEVER};
    d->host = h;
    d->probe.host = h;
    d->probe.next_id = h->index + 1;
    d->config.interval_ms = h->options.health_interval_ms;
    d->config.unsafe_interval_ms = h->options.unsafe_interval_ms;
    d->config.min_peer_count = h->options.min_peer_count;
    d->control = control_new(&d->probe, "op-node", &events);
    d->monitor = monitor_new(&d->probe, &d->config, now_ns, on_health, d);
    if (d->control == NULL || d->monitor == NULL)
        abort();
    world_log(h->world, h, "healthd starts");
    supervisor_tell_worker(h, ROLE_HEALTHD, true);
}

void health_kill(struct host *h)
{
    struct health *d = h->healthd;
    if (!h->health.up)
        return;
    world_log(h->world, h, "healthd ends");
    /* With its supervisor gone it stops the sequencer that it started, if it still gets to it. */
    if (!h->sup.up && control_may_be_active(d->control) && dice_chance(&h->world->dice, 70))
        opnode_request(&h->opnode, NEVER, "admin_stopSequencer");
    h->health = (struct process){.up_at_ms = h->world->now_ms + 5 + dice_below(&h->world->dice, 50)};
    control_free(d->control);
    monitor_free(d->monitor);
    while (d->probe.list != NULL)
        probe_cancel(d->probe.list);
    free(d);
    h->healthd = NULL;
    channel_clear(&h->channels[SUP_TO_HEALTH]);
    supervisor_tell_worker(h, ROLE_HEALTHD, false);
}

static void take_letter(struct health *d, struct letter *l)
{
    uint64_t now_ns = clock_mono_ns();
    const void *body = l->body;
    if (l->type == MSG_NODE_EVENT) {
        const struct msg_node_event *event = body;
        if (!event->up)
            control_node_down(d->control, now_ns);
        monitor_node_event(d->monitor, event->up != 0, event->node_incarnation, now_ns);
    } else if (l->type == MSG_CLOCK) {
        const struct msg_clock *clock = body;
        monitor_set_clock(d->monitor, clock->is_trusted != 0);
    } else if (l->type == MSG_NODE_CMD) {
        const struct msg_node_cmd *cmd = body;
        if (cmd->verb != NODE_CMD_CHECK) {
            control_submit(d->control, l->request_id, cmd, l->fd, now_ns);
        } else if (d->waiting_count < CHECKS_MAX) {
            d->waiting[d->waiting_count].request_id = l->request_id;
            d->waiting[d->waiting_count++].check = monitor_request_check(d->monitor);
        }
    }
    letter_free(l);
}

void health_step(struct host *h)
{
    struct health *d = h->healthd;
    struct letter *l;
    bool is_news = false;
    while ((l = channel_take(h->world, &h->channels[SUP_TO_HEALTH])) != NULL) {
        take_letter(d, l);
        is_news = true;
    }
    while (step_request(&d->probe))
        is_news = true;
    if (!is_news && d->wake_ns > h->world->now_ms * 1000000)
        return;
    uint64_t control_ns = control_tick(d->control, clock_mono_ns());
    uint64_t monitor_ns = monitor_tick(d->monitor, clock_mono_ns());
    d->wake_ns = control_ns < monitor_ns ? control_ns : monitor_ns;
}
