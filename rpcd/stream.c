/* Server-sent events for the status page (see stream.h). */
#include "rpcd/stream.h"

#include "rpcd/events.h"
#include "rpcd/history.h"
#include "rpcd/json_scan.h"
#include "rpcd/status.h"
#include "rpcd/verdict.h"
#include "shared/base/clock.h"
#include "shared/base/log.h"

#include <inttypes.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#define TYPE_STREAM "text/event-stream"
#define FIRST_EVENTS 60
#define FIRST_COMMITS 300
/* New ones in one look: more wait for the next. */
#define NEW_EVENTS_MAX 100

struct viewer {
    struct viewer *next, *prev;
    struct streams *all;
    struct http_stream *stream;
};

struct streams {
    struct rpcd *app;
    uv_timer_t timer; /* runs while there are viewers */
    struct viewer *list;
    unsigned count;
    uint64_t event_seen, commit_seen; /* what all viewers have */
    uint64_t told_ms;                 /* when the last status message went out */
    struct stream_look told;
};

struct streams *streams_new(struct rpcd *app)
{
    struct streams *all = calloc(1, sizeof *all);
    if (all == NULL)
        return NULL;
    all->app = app;
    (void)uv_timer_init(&app->loop, &all->timer);
    all->timer.data = all;
    return all;
}

/* ---- when to tell ---- */

bool stream_is_due(const struct stream_look *before, const struct stream_look *now, uint64_t since_ms)
{
    if (since_ms >= STREAM_BEAT_MS || memcmp(before, now, offsetof(struct stream_look, heads)) != 0)
        return true;
    return before->heads != now->heads && since_ms >= STREAM_HEAD_MS;
}

static void look(const struct status *s, struct stream_look *ret)
{
    struct page_consensus c;
    struct page_supervisor sup;
    memset(ret, 0, sizeof *ret);
    (void)status_read_consensus(s, &c);
    (void)status_read_supervisor(s, &sup);
    ret->state = c.state;
    ret->leader_ready = c.leader_ready;
    ret->transferring = c.transferring;
    ret->term = c.term;
    ret->membership = c.membership_version;
    ret->switches = sup.paused + 2 * sup.stopped + 4 * sup.overridden + 8 * sup.healthy;
    for (unsigned i = 0; i < CHILD_COUNT; i++)
        ret->switches = ret->switches * 31 + sup.children[i].state + 16 * (uint64_t)sup.children[i].restarts;
    memcpy(ret->leader_id, c.leader_id, sizeof ret->leader_id);
    ret->heads = c.head.number;
    for (uint64_t i = 0; i < c.server_count; i++) {
        const struct page_server *m = &c.servers[i];
        const bool is_known = m->record_age_ms != UINT64_MAX;
        ret->members[i] = (m->contact_age_ms <= VERDICT_CONTACT_MS ? 1u : 0) + (is_known ? 2u : 0);
        if (is_known) {
            ret->members[i] += (m->record.sequencing != 0 ? 4u : 0) + 8 * m->record.reason;
            ret->heads = ret->heads * 31 + m->record.unsafe_head.number;
        }
    }
}

/* ---- messages ---- */

static void put_message(struct text *o, const char *event, const char *json, size_t len)
{
    text_put(o, "event: %s\ndata: ", event);
    text_add(o, json, len);
    text_put(o, "\n\n");
}

static void put_status(const struct streams *all, struct text *o)
{
    const struct status *s = all->app->status;
    struct page_consensus c;
    struct page_supervisor sup;
    struct verdict v;
    char sentence[6 * VERDICT_TEXT_SIZE + 16];
    size_t len = 0;
    const bool has_consensus = status_read_consensus(s, &c);
    const bool has_supervisor = status_read_supervisor(s, &sup);
    char *json = status_to_json(s, &len);
    if (json == NULL)
        return;
    verdict_make(has_consensus ? &c : NULL, has_supervisor ? &sup : NULL, &v);
    const size_t sentence_len = json_string_encode(v.text, sentence, sizeof sentence);
    text_put(o, "event: status\ndata: {\"time_ms\":%" PRIu64 ",\"viewers\":%u,\"level\":\"%s\",\"verdict\":",
             clock_wall_ns() / 1000000, all->count, verdict_level_name(v.level));
    text_add(o, sentence, sentence_len);
    text_put(o, ",\"status\":");
    text_add(o, json, len);
    text_put(o, "}\n\n");
    free(json);
}

static void put_commits(const struct streams *all, uint64_t since, struct text *o)
{
    if (history_newest(all->app->history) <= since)
        return;
    text_put(o, "event: commits\ndata: ");
    history_put_json(all->app->history, since, o);
    text_put(o, "\n\n");
}

static void put_events(const struct streams *all, const uint64_t *since, uint64_t limit, struct text *o)
{
    size_t len = 0;
    char *json = events_to_json(all->app->flight, all->app->config.common.server_id, since, limit, &len);
    if (json != NULL)
        put_message(o, "events", json, len);
    free(json);
}

static uint64_t newest_event(const struct streams *all)
{
    return all->app->flight != NULL ? flight_reader_newest(all->app->flight) : 0;
}

/* ---- viewers ---- */

static void on_end(void *ctx)
{
    struct viewer *v = ctx;
    struct streams *all = v->all;
    if (v->prev != NULL)
        v->prev->next = v->next;
    else
        all->list = v->next;
    if (v->next != NULL)
        v->next->prev = v->prev;
    free(v);
    if (--all->count == 0)
        (void)uv_timer_stop(&all->timer);
}

static void send_all(struct streams *all, struct text *o)
{
    size_t len = 0;
    const bool is_any = o->len > 0;
    char *bytes = text_finish(o, &len);
    if (bytes == NULL && is_any)
        LOG_ERROR("Out of memory for the status page's viewers", LOG_U("viewers", all->count));
    for (struct viewer *v = all->list, *next; bytes != NULL && v != NULL; v = next) {
        next = v->next; /* v may end here */
        (void)http_stream_send(v->stream, bytes, len);
    }
    free(bytes);
}

static void on_look(uv_timer_t *timer)
{
    struct streams *all = timer->data;
    const uint64_t now_ms = clock_mono_ms(), events = newest_event(all), commits = history_newest(all->app->history);
    struct stream_look now;
    struct text o = {0};
    look(all->app->status, &now);
    if (stream_is_due(&all->told, &now, now_ms - all->told_ms)) {
        all->told = now;
        all->told_ms = now_ms;
        put_status(all, &o);
    }
    if (events != all->event_seen) {
        /* A ring that began anew: all of it is new. */
        const uint64_t since = events > all->event_seen ? all->event_seen : 0;
        put_events(all, &since, NEW_EVENTS_MAX, &o);
        all->event_seen = events - since > NEW_EVENTS_MAX ? since + NEW_EVENTS_MAX : events;
    }
    put_commits(all, all->commit_seen, &o);
    all->commit_seen = commits;
    send_all(all, &o);
}

/* What a new viewer gets first. Sets what all have, when it is the only one. */
static void greet(struct streams *all, struct viewer *v)
{
    struct text o = {0};
    size_t len = 0;
    if (all->count == 1) {
        all->event_seen = newest_event(all);
        all->commit_seen = history_newest(all->app->history);
        all->told_ms = clock_mono_ms();
        look(all->app->status, &all->told);
        (void)uv_timer_start(&all->timer, on_look, STREAM_LOOK_MS, STREAM_LOOK_MS);
    }
    text_put(&o, "retry: 500\n");
    put_message(&o, "reset", "{}", 2);
    put_status(all, &o);
    put_events(all, NULL, FIRST_EVENTS, &o);
    put_commits(all, all->commit_seen > FIRST_COMMITS ? all->commit_seen - FIRST_COMMITS : 0, &o);
    char *bytes = text_finish(&o, &len);
    if (bytes != NULL)
        (void)http_stream_send(v->stream, bytes, len);
    free(bytes);
}

void streams_open(struct streams *all, struct http_request *req)
{
    struct viewer *v = all->count < STREAMS_MAX ? calloc(1, sizeof *v) : NULL;
    http_request_add_header(req, "Cache-Control: no-store\r\n");
    if (v == NULL) {
        static const char text[] = "too many viewers of the status page: close one, or look at another node\n";
        http_request_add_header(req, "Retry-After: 10\r\n");
        http_respond(req, 503, "text/plain; charset=utf-8", text, sizeof text - 1);
        return;
    }
    http_request_add_header(req, "X-Content-Type-Options: nosniff\r\n");
    http_request_add_header(req, "X-Accel-Buffering: no\r\n"); /* of a reverse proxy */
    v->all = all;
    v->stream = http_respond_stream(req, TYPE_STREAM, STREAM_QUEUE_MAX_BYTES, on_end, v);
    if (v->stream == NULL) {
        free(v);
        return;
    }
    v->next = all->list;
    if (v->next != NULL)
        v->next->prev = v;
    all->list = v;
    all->count++;
    greet(all, v);
}
