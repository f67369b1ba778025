/* Holding, sending and answering commits (see commit.h). */
#include "rpcd/commit.h"

#include "rpcd/history.h"
#include "rpcd/intake.h"
#include "rpcd/link.h"
#include "rpcd/metrics.h"
#include "rpcd/status.h"
#include "shared/base/clock.h"
#include "shared/base/err.h"
#include "shared/base/log.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#define COMMITS_MAX 64
/* How often held commits look whether a leader is known now. */
#define HOLD_PERIOD_MS 2
/* After consensus said "not now". */
#define RETRY_NS UINT64_C(5000000)
/* An answer this late comes from a consensus that the supervisor should have replaced long ago. */
#define ANSWER_MAX_NS UINT64_C(60000000000)
#define MS UINT64_C(1000000)
/* What an SSZ envelope has in front of the payload. */
#define SSZ_ENVELOPE_ROOT_BYTES 32

struct commit {
    struct commit *next, *prev;
    struct commits *all;
    struct rpc_call *call; /* one of these two, until answered */
    struct http_request *binary;
    struct intake_record record;
    uint64_t deadline_ns, hold_until_ns, retry_ns;
    struct commit_stamps stamps;
    uint64_t sent_ns;
    bool is_sent;
    int last_rc; /* why consensus sent it back */
    char last_text[TEXT_SIZE];
};

struct commits {
    struct rpcd *app;
    struct commit *list;
    uint32_t count, held_count;
    uv_timer_t timer;
    uint64_t memfd_bytes;
};

struct commits *commits_new(struct rpcd *app)
{
    struct commits *cs = calloc(1, sizeof *cs);
    if (cs == NULL)
        return NULL;
    cs->app = app;
    (void)uv_timer_init(&app->loop, &cs->timer);
    cs->timer.data = cs;
    return cs;
}

void commits_free(struct commits *cs)
{
    free(cs);
}

uint32_t commits_held_count(const struct commits *cs)
{
    return cs->held_count;
}

uint32_t commits_sent_count(const struct commits *cs)
{
    return cs->count - cs->held_count;
}

/* ---- one commit's end ---- */

static void release(struct commit *c)
{
    struct commits *cs = c->all;
    intake_release(&c->record, link_ring(cs->app->link), &cs->memfd_bytes);
    if (c->prev != NULL)
        c->prev->next = c->next;
    else
        cs->list = c->next;
    if (c->next != NULL)
        c->next->prev = c->prev;
    cs->count--;
    if (!c->is_sent)
        cs->held_count--;
    free(c);
}

static void answer(struct commit *c, int rc, const char *text)
{
    struct rpc_call *call = c->call;
    struct http_request *binary = c->binary;
    c->call = NULL;
    c->binary = NULL;
    if (call == NULL && binary == NULL)
        return; /* it already gave up */
    struct rpcd *app = c->all->app;
    const uint64_t took_ns = clock_mono_ns() - c->stamps.first_byte;
    metrics_count_commit(app->metrics, rc == 0, binary != NULL, took_ns, c->record.len);
    history_add_commit(app->history, c->record.block.number, clock_wall_ns() / 1000000, took_ns / 1000, rc == 0);
    if (rc != 0) {
        LOG_WARN("Commit failed", LOG_U("number", c->record.block.number), LOG_HASH("hash", c->record.block.hash),
                 LOG_S("reason", text));
    }
    if (call != NULL && rc == 0)
        rpc_reply_null(call);
    else if (call != NULL)
        rpc_reply_error(call, JSONRPC_SERVER, "failed to apply payload envelope: %s", text);
    else if (rc == 0)
        http_respond(binary, 200, NULL, NULL, 0);
    else
        http_respond(binary, 500, "text/plain; charset=utf-8", text, strlen(text));
}

/* Answers and forgets; not while consensus may still read the slot. */
static void end(struct commit *c, int rc, const char *text)
{
    answer(c, rc, text);
    release(c);
}

static bool is_caller_gone(const struct commit *c)
{
    const struct http_request *req = c->call != NULL ? rpc_call_request(c->call) : c->binary;
    return req == NULL || http_request_is_gone(req);
}

/* ---- sending ---- */

static void on_result(void *ctx, int rc, const void *body, int *fd);

/* Returns whether it was sent. */
static bool send_commit(struct commit *c, uint64_t now_ns)
{
    struct commits *cs = c->all;
    int rc;
    struct msg_commit msg = {
        .offset = c->record.offset,
        .len = c->record.len,
        .deadline_mono_ns = c->deadline_ns,
        .block = c->record.block,
        .stamps = c->stamps,
    };
    if (link_request(cs->app->link, ROLE_CONSENSUS, MSG_COMMIT, &msg, c->record.fd, c->deadline_ns + ANSWER_MAX_NS,
                     on_result, c, &rc) == 0)
        return false;
    c->is_sent = true;
    c->sent_ns = now_ns;
    cs->held_count--;
    return true;
}

/* Sends, refuses or goes on holding. May free c. */
static void step(struct commit *c, uint64_t now_ns)
{
    struct commits *cs = c->all;
    struct status_raft raft;
    if (is_caller_gone(c)) {
        end(c, OC_ECLOSED, "the caller is gone");
        return;
    }
    if (now_ns < c->retry_ns)
        return;
    status_read_raft(cs->app->status, &raft);
    switch (status_commit_verdict(&raft, link_has_consensus(cs->app->link), cs->app->config.common.server_id)) {
    case COMMIT_REFUSE_OTHER:
        end(c, OC_ENOTLEADER, err_text(c->last_rc == OC_ELOST ? OC_ELOST : OC_ENOTLEADER));
        return;
    case COMMIT_REFUSE_STOPPED:
        end(c, OC_ESHUTDOWN, err_text(OC_ESHUTDOWN));
        return;
    case COMMIT_SEND:
        if (send_commit(c, now_ns))
            return;
        break;
    case COMMIT_HOLD:
        break;
    }
    if (now_ns < c->hold_until_ns && now_ns < c->deadline_ns)
        return;
    int rc = c->last_rc != 0 ? c->last_rc : OC_ENOTLEADER;
    if (raft.is_fresh && raft.transferring)
        rc = OC_ETRANSFER;
    end(c, rc, rc == c->last_rc && c->last_text[0] != '\0' ? c->last_text : err_text(rc));
}

static void on_timer(uv_timer_t *timer);

static void set_timer(struct commits *cs)
{
    uint64_t delay_ms = UINT64_MAX;
    const uint64_t now_ns = clock_mono_ns();
    for (const struct commit *c = cs->list; c != NULL; c = c->next) {
        const uint64_t left_ms = c->deadline_ns > now_ns ? (c->deadline_ns - now_ns) / MS + 1 : 1;
        const bool is_answered = c->call == NULL && c->binary == NULL;
        if (!is_answered && left_ms < delay_ms)
            delay_ms = left_ms;
    }
    if (cs->held_count > 0 && delay_ms > HOLD_PERIOD_MS)
        delay_ms = HOLD_PERIOD_MS;
    if (delay_ms == UINT64_MAX)
        (void)uv_timer_stop(&cs->timer);
    else
        (void)uv_timer_start(&cs->timer, on_timer, delay_ms, 0);
}

static void step_all(struct commits *cs)
{
    const uint64_t now_ns = clock_mono_ns();
    for (struct commit *c = cs->list, *next; c != NULL; c = next) {
        next = c->next;
        if (!c->is_sent)
            step(c, now_ns);
        else if (now_ns >= c->deadline_ns)
            answer(c, OC_EDEADLINE, "the payload was not committed before its deadline");
    }
    set_timer(cs);
}

static void on_timer(uv_timer_t *timer)
{
    step_all(timer->data);
}

void commits_wake(struct commits *cs)
{
    step_all(cs);
}

/* Not committed, but perhaps soon: by us after an election or a restart, while the caller waits. */
static bool is_worth_holding(int rc)
{
    return rc == OC_ECLOSED || rc == OC_ETRANSFER || rc == OC_ENOTLEADER || rc == OC_ELOST || rc == OC_EFULL ||
           rc == OC_ENOTYET;
}

static void on_result(void *ctx, int rc, const void *body, int *fd)
{
    struct commit *c = ctx;
    struct commits *cs = c->all;
    struct msg_commit_result result;
    const uint64_t now_ns = clock_mono_ns();
    (void)fd;
    memset(&result, 0, sizeof result);
    if (rc == 0)
        memcpy(&result, body, sizeof result);
    else
        result.rc = rc;
    result.text[sizeof result.text - 1] = '\0';
    if (rc == 0 && result.rc == 0)
        metrics_count_commit_stages(cs->app->metrics, &result.stamps, c->sent_ns, now_ns);
    const bool is_answered = c->call == NULL && c->binary == NULL;
    if (!is_answered && is_worth_holding(result.rc) && now_ns < c->deadline_ns) {
        c->is_sent = false;
        cs->held_count++;
        c->last_rc = result.rc == OC_ECLOSED ? 0 : result.rc;
        memcpy(c->last_text, result.text, sizeof c->last_text);
        c->retry_ns = now_ns + RETRY_NS;
        set_timer(cs);
        return;
    }
    c->is_sent = true;
    end(c, result.rc, result.text[0] != '\0' ? result.text : err_text(result.rc));
    set_timer(cs);
}

/* ---- taking ---- */

static struct commit *commit_new(struct commits *cs, const struct http_request *req, const struct intake_record *record,
                                 uint64_t parsed_ns)
{
    const struct config_rpcd *config = &cs->app->config;
    struct commit *c = calloc(1, sizeof *c);
    if (c == NULL)
        return NULL;
    c->all = cs;
    c->record = *record;
    c->stamps.first_byte = http_request_first_byte_ns(req);
    c->stamps.body_complete = http_request_complete_ns(req);
    c->stamps.parsed = parsed_ns;
    c->deadline_ns = c->stamps.first_byte + config->commit_timeout_ms * MS;
    c->hold_until_ns = c->stamps.first_byte + config->commit_hold_ms * MS;
    c->next = cs->list;
    if (c->next != NULL)
        c->next->prev = c;
    cs->list = c;
    cs->count++;
    cs->held_count++;
    return c;
}

/* Returns 0 and *ret_commit, or a negative code with a text. */
static int take(struct commits *cs, const struct http_request *req, const void *data, size_t len, bool is_ssz,
                struct commit **ret_commit, char *text, size_t text_size)
{
    struct intake_record record;
    if (cs->count >= COMMITS_MAX) {
        (void)snprintf(text, text_size, "too many commits at once");
        return OC_EFULL;
    }
    const int rc = intake_read(&record, data, len, is_ssz, cs->app->config.payload_max_bytes, link_ring(cs->app->link),
                               &cs->memfd_bytes, text, text_size);
    if (rc < 0)
        return rc;
    *ret_commit = commit_new(cs, req, &record, clock_mono_ns());
    if (*ret_commit == NULL) {
        intake_release(&record, link_ring(cs->app->link), &cs->memfd_bytes);
        (void)snprintf(text, text_size, "out of memory");
        return OC_EFULL;
    }
    return 0;
}

static void start(struct commit *c)
{
    struct commits *cs = c->all;
    metrics_count_commit_parsed(cs->app->metrics, c->stamps.parsed - c->stamps.body_complete);
    step(c, clock_mono_ns());
    set_timer(cs);
}

bool commit_try_call(struct rpc_call *call, struct json_span payload)
{
    struct commit *c;
    char text[512];
    const int rc =
        take(call->app->commits, rpc_call_request(call), payload.at, payload.len, false, &c, text, sizeof text);
    if (rc == OC_ESYNTAX)
        return false;
    if (rc < 0) {
        rpc_reply_error(call, rc == OC_ERANGE ? JSONRPC_INVALID_PARAMS : JSONRPC_SERVER, "%s", text);
        return true;
    }
    c->call = call;
    start(c);
    return true;
}

void commit_call(struct rpc_call *call, struct json_span payload)
{
    struct commit *c;
    char text[512];
    const int rc =
        take(call->app->commits, rpc_call_request(call), payload.at, payload.len, false, &c, text, sizeof text);
    if (rc == OC_ESYNTAX || rc == OC_ERANGE) {
        rpc_reply_error(call, JSONRPC_INVALID_PARAMS, "%s", text);
    } else if (rc < 0) {
        rpc_reply_error(call, JSONRPC_SERVER, "%s", text);
    } else {
        c->call = call;
        start(c);
    }
}

/* A missing or empty type is taken too; parameters do not matter. */
static bool is_octet_stream(const char *type)
{
    static const char wanted[] = "application/octet-stream";
    const size_t len = type == NULL ? 0 : strcspn(type, "; \t");
    return len == 0 || (len == sizeof wanted - 1 && strncasecmp(type, wanted, len) == 0);
}

static void respond_text(struct http_request *req, int status, const char *text)
{
    http_respond(req, status, "text/plain; charset=utf-8", text, strlen(text));
}

void commit_binary(struct rpcd *app, struct http_request *req)
{
    struct commit *c;
    char text[512];
    size_t len;
    const char *body = http_request_body(req, &len);
    const char *type = http_request_header(req, "content-type");
    if (strcmp(http_request_method(req), "POST") != 0) {
        http_request_add_header(req, "Allow: POST\r\n");
        respond_text(req, 405, "method not allowed\n");
    } else if (!is_octet_stream(type)) {
        respond_text(req, 415, "invalid content type, only application/octet-stream is supported\n");
    } else if (len == 0) {
        respond_text(req, 400, "empty payload\n");
    } else if (len > app->config.payload_max_bytes + SSZ_ENVELOPE_ROOT_BYTES) {
        (void)snprintf(text, sizeof text, "payload too large (%zu>%llu)\n", len,
                       (unsigned long long)app->config.payload_max_bytes + SSZ_ENVELOPE_ROOT_BYTES);
        respond_text(req, 413, text);
    } else if (take(app->commits, req, body, len, true, &c, text, sizeof text) < 0) {
        metrics_count_commit(app->metrics, false, true, clock_mono_ns() - http_request_first_byte_ns(req), len);
        respond_text(req, 500, text);
    } else {
        c->binary = req;
        start(c);
    }
}
