/* HTTP requests to JSON-RPC calls and back: routes, batches, order, answers. */
#include "rpcd/rpc.h"

#include "rpcd/admin.h"
#include "rpcd/commit.h"
#include "rpcd/members.h"
#include "rpcd/metrics.h"
#include "rpcd/nodelog.h"
#include "rpcd/page.h"
#include "rpcd/proxy.h"
#include "rpcd/questions.h"
#include "shared/base/clock.h"
#include "shared/base/log.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#define TEXT_PLAIN "text/plain; charset=utf-8"
#define JSON_TYPE "application/json"
/* Only a body this long is worth the short cut for commits. */
#define PEEK_MIN_BYTES 2048
/* The calls of a batch are read one by one on the loop, so all of them together must be quick to read. */
#define BATCH_MAX_BYTES ((size_t)5 << 20)
/* A batch whose answers have that many bytes gets errors for the rest of its calls: geth's default limit. */
#define BATCH_ANSWER_MAX_BYTES ((size_t)25000000)

struct rpc_exchange {
    struct rpcd *app;
    struct http_request *req;
    struct json_walk batch;
    bool is_batch, is_running, is_answered;
    struct rpc_call call; /* the one at hand: calls are executed in order */
    char *out;
    size_t out_len, out_size;
    char small[512];
    /* What reading the body found; of a large one in a thread. */
    uv_work_t work;
    struct json_span body;
    int count; /* of calls; negative: malformed */
    struct jsonrpc_error error;
};

struct http_request *rpc_call_request(const struct rpc_call *call)
{
    return call->exchange->req;
}

bool rpc_take_u64(const struct rpc_call *call, unsigned index, uint64_t *ret)
{
    return index < call->args.count && json_u64_decode(call->args.value[index], ret) == 0; /* not null */
}

/* ---- what goes out ---- */

static bool out_append(struct rpc_exchange *x, const char *at, size_t len)
{
    if (x->out_len + len > x->out_size) {
        size_t size = x->out_size * 2;
        while (size < x->out_len + len)
            size *= 2;
        char *out = x->out == x->small ? malloc(size) : realloc(x->out, size);
        if (out == NULL)
            return false;
        if (x->out == x->small)
            memcpy(out, x->small, x->out_len);
        x->out = out;
        x->out_size = size;
    }
    memcpy(x->out + x->out_len, at, len);
    x->out_len += len;
    return true;
}

static bool out_text(struct rpc_exchange *x, const char *text)
{
    return out_append(x, text, strlen(text));
}

/* Appends one response object; `member` is "result" or "error". */
static void out_response(struct rpc_exchange *x, struct json_span id, const char *member, const char *json, size_t len)
{
    if (x->is_batch && x->out_len > 1)
        (void)out_text(x, ",");
    bool ok = out_text(x, "{\"jsonrpc\":\"2.0\",\"id\":");
    ok = ok && (id.len > 0 ? out_append(x, id.at, id.len) : out_text(x, "null"));
    ok = ok && out_text(x, ",\"") && out_text(x, member) && out_text(x, "\":") && out_append(x, json, len) &&
         out_text(x, "}");
    if (!ok)
        LOG_ERROR("Out of memory for an answer", LOG_U("bytes", len));
}

static void exchange_finish(struct rpc_exchange *x)
{
    if (x->is_batch && x->out_len > 1)
        (void)out_text(x, "]");
    else if (x->is_batch)
        x->out_len = 0;
    if (x->out_len > 0)
        (void)out_text(x, "\n");
    if (http_request_header(x->req, "origin") != NULL)
        http_request_add_header(x->req, "Access-Control-Allow-Origin: *\r\n");
    if (x->out != x->small)
        http_respond_take(x->req, 200, JSON_TYPE, x->out, x->out_len);
    else
        http_respond(x->req, 200, JSON_TYPE, x->out, x->out_len);
    free(x);
}

static void exchange_run(struct rpc_exchange *x);

static void count_reply(const struct rpc_call *call, size_t len, int code)
{
    const uint64_t took_ns = clock_mono_ns() - call->start_ns;
    metrics_count_call(call->app->metrics, call->msg.method, code, took_ns, call->msg.params.len, code == 0 ? len : 0);
}

static void answered(struct rpc_exchange *x)
{
    x->is_answered = true;
    if (!x->is_running)
        exchange_run(x);
}

static void reply(struct rpc_call *call, const char *member, const char *json, size_t len, int code)
{
    struct rpc_exchange *x = call->exchange;
    count_reply(call, len, code);
    if (call->msg.has_id)
        out_response(x, call->msg.id, member, json, len);
    answered(x);
}

char *rpc_wrap_result(const struct rpc_call *call, const char *json, size_t len, size_t *ret_len)
{
    static const char before[] = "{\"jsonrpc\":\"2.0\",\"id\":", between[] = ",\"result\":", after[] = "}";
    const struct json_span id = call->msg.id;
    if (call->exchange->is_batch || !call->msg.has_id || id.len == 0)
        return NULL;
    /* One more for the newline that ends every answer. */
    char *const text = malloc(sizeof before + id.len + sizeof between + len + sizeof after);
    char *p = text;
    if (text == NULL)
        return NULL;
    p = mempcpy(p, before, sizeof before - 1);
    p = mempcpy(p, id.at, id.len);
    p = mempcpy(p, between, sizeof between - 1);
    p = mempcpy(p, json, len);
    p = mempcpy(p, after, sizeof after - 1);
    *ret_len = (size_t)(p - text);
    return text;
}

void rpc_reply_wrapped(struct rpc_call *call, char *text, size_t text_len, size_t json_len)
{
    struct rpc_exchange *x = call->exchange;
    count_reply(call, json_len, 0);
    x->out = text; /* alone in its exchange, so nothing was put out before */
    x->out_len = text_len;
    x->out_size = text_len + 1;
    answered(x);
}

void rpc_reply_json(struct rpc_call *call, const char *json, size_t len)
{
    reply(call, "result", json, len, 0);
}

void rpc_reply_null(struct rpc_call *call)
{
    reply(call, "result", "null", 4, 0);
}

void rpc_reply_bool(struct rpc_call *call, bool value)
{
    reply(call, "result", value ? "true" : "false", value ? 4 : 5, 0);
}

static void reply_error(struct rpc_call *call, const struct jsonrpc_error *e)
{
    char text[JSONRPC_ERROR_TEXT_BYTES];
    reply(call, "error", text, jsonrpc_format_error(e, text), e->code);
}

void rpc_reply_error(struct rpc_call *call, int code, const char *fmt, ...)
{
    struct jsonrpc_error e = {.code = code};
    va_list args;
    va_start(args, fmt);
    (void)vsnprintf(e.message, sizeof e.message, fmt, args);
    va_end(args);
    reply_error(call, &e);
}

void rpc_reply_error_json(struct rpc_call *call, const char *json, size_t len)
{
    reply(call, "error", json, len, JSONRPC_SERVER);
}

/* ---- what comes in ---- */

static void dispatch(struct rpc_call *call)
{
    switch (call->msg.method->kind) {
    case KIND_QUESTION:
        questions_answer(call);
        return;
    case KIND_ADMIN:
        admin_call(call);
        return;
    case KIND_NODE_LOG:
        nodelog_call(call);
        return;
    case KIND_MEMBER:
        members_call(call);
        return;
    case KIND_ADOPT:
        members_adopt_head(call);
        return;
    case KIND_PAYLOAD:
        members_latest_payload(call);
        return;
    case KIND_COMMIT:
        commit_call(call, call->args.value[0]);
        return;
    case KIND_PROXY_NODE:
    case KIND_PROXY_EXECUTION:
        proxy_call(call);
        return;
    }
}

static bool is_served(const struct rpcd *app, const struct method *m)
{
    return app->config.enable_proxy || (m->kind != KIND_PROXY_NODE && m->kind != KIND_PROXY_EXECUTION);
}

/* Pure, as it may run in a thread: nothing is answered or counted here. */
static void read_call(struct rpc_call *call, struct json_span text, struct jsonrpc_error *ret_error)
{
    jsonrpc_parse(text, &call->msg, ret_error);
    if (ret_error->code == 0 && !is_served(call->app, call->msg.method))
        jsonrpc_set_error(ret_error, JSONRPC_METHOD_NOT_FOUND, "the method %s does not exist/is not available",
                          call->msg.method_name);
    if (ret_error->code == 0)
        jsonrpc_check_args(&call->msg, &call->args, ret_error);
}

static void execute(struct rpc_call *call, const struct jsonrpc_error *e)
{
    if (e->code != 0)
        reply_error(call, e);
    else
        dispatch(call);
}

/* Goes on until a call waits for its answer or all is done. */
static void exchange_run(struct rpc_exchange *x)
{
    x->is_running = true;
    while (x->is_answered) {
        if (!x->is_batch || json_next(&x->batch) <= 0) {
            exchange_finish(x);
            return;
        }
        x->is_answered = false;
        x->call.start_ns = clock_mono_ns();
        read_call(&x->call, x->batch.value, &x->error);
        if (x->error.code == 0 && x->out_len >= BATCH_ANSWER_MAX_BYTES)
            jsonrpc_set_error(&x->error, JSONRPC_RESPONSE_TOO_LARGE, "response too large");
        execute(&x->call, &x->error);
    }
    x->is_running = false;
}

static struct rpc_exchange *exchange_new(struct rpcd *app, struct http_request *req)
{
    struct rpc_exchange *x = calloc(1, sizeof *x);
    if (x == NULL)
        return NULL;
    x->app = app;
    x->req = req;
    x->out = x->small;
    x->out_size = sizeof x->small;
    x->call.exchange = x;
    x->call.app = app;
    return x;
}

/* Errors about the body as a whole carry no newline. */
static void respond_error(struct http_request *req, int code, const char *message)
{
    struct jsonrpc_error e;
    char text[JSONRPC_ERROR_TEXT_BYTES], body[JSONRPC_ERROR_TEXT_BYTES + 64];
    jsonrpc_set_error(&e, code, "%s", message);
    const size_t error_len = jsonrpc_format_error(&e, text);
    const int len =
        snprintf(body, sizeof body, "{\"jsonrpc\":\"2.0\",\"id\":null,\"error\":%.*s}", (int)error_len, text);
    http_respond(req, 200, JSON_TYPE, body, (size_t)len);
}

/* Returns the number of elements, or -1 when the text is malformed. Only the first value counts: what
 * follows it is ignored. */
static int count_batch(const char *at, const char *end)
{
    struct json_walk it;
    int count = 0, rc = json_walk_start(&it, at, end);
    while (rc >= 0 && (rc = json_next(&it)) > 0)
        if (++count > JSONRPC_BATCH_MAX)
            return count;
    return rc < 0 ? -1 : count;
}

static bool try_commit(struct rpc_exchange *x, const char *body, size_t len)
{
    struct json_span payload;
    if (len < PEEK_MIN_BYTES || !jsonrpc_peek_commit(body, len, &x->call.msg, &payload))
        return false;
    x->call.msg.params = payload; /* counted, not read again */
    x->call.start_ns = clock_mono_ns();
    return commit_try_call(&x->call, payload);
}

/* Pure, as read_call. */
static void read_body(struct rpc_exchange *x)
{
    const char *at = x->body.at, *const end = at + x->body.len;
    struct json_span whole;
    x->is_batch = *at == '[';
    if (!x->is_batch) {
        x->count = json_skip_value(&at, end, &whole) < 0 ? -1 : 1;
        if (x->count > 0)
            read_call(&x->call, whole, &x->error);
    } else {
        x->count = x->body.len > BATCH_MAX_BYTES ? JSONRPC_BATCH_MAX + 1 : count_batch(at, end);
    }
}

static void exchange_begin(struct rpc_exchange *x)
{
    if (x->count <= 0 || x->count > JSONRPC_BATCH_MAX) {
        respond_error(x->req, x->count < 0 ? JSONRPC_PARSE_ERROR : JSONRPC_INVALID_REQUEST,
                      x->count < 0    ? "parse error"
                      : x->count == 0 ? "empty batch"
                                      : "batch too large");
        free(x);
        return;
    }
    x->is_running = true;
    if (x->is_batch && json_walk_start(&x->batch, x->body.at, x->body.at + x->body.len) == 0) {
        x->is_answered = true;
        (void)out_text(x, "[");
    } else {
        execute(&x->call, &x->error);
    }
    exchange_run(x);
}

static void read_in_thread(uv_work_t *work)
{
    read_body(work->data);
}

static void on_read(uv_work_t *work, int status)
{
    (void)status; /* never cancelled */
    exchange_begin(work->data);
}

static void serve_rpc(struct rpcd *app, struct http_request *req)
{
    size_t len;
    const char *at = http_request_body(req, &len), *end = at + len;
    const char *const start = at;
    json_skip_space(&at, end);
    if (at == end) {
        http_respond(req, 200, JSON_TYPE, NULL, 0);
        return;
    }
    struct rpc_exchange *x = exchange_new(app, req);
    if (x == NULL) {
        http_respond(req, 503, TEXT_PLAIN, "out of memory\n", 14);
        return;
    }
    if (try_commit(x, start, len))
        return;
    x->body = (struct json_span){at, (size_t)(end - at)};
    x->call.start_ns = clock_mono_ns();
    x->work.data = x;
    if (len > RPC_LOOP_MAX_BYTES && uv_queue_work(&app->loop, &x->work, read_in_thread, on_read) == 0)
        return;
    read_body(x);
    exchange_begin(x);
}

static bool is_json_type(const char *type)
{
    static const char *const allowed[] = {"application/json", "application/json-rpc", "application/jsonrequest"};
    if (type == NULL)
        return false;
    size_t len = strcspn(type, ";");
    while (len > 0 && (type[len - 1] == ' ' || type[len - 1] == '\t'))
        len--;
    for (size_t i = 0; i < sizeof allowed / sizeof allowed[0]; i++)
        if (strlen(allowed[i]) == len && strncasecmp(type, allowed[i], len) == 0)
            return true;
    return false;
}

static void respond_text(struct http_request *req, int status, const char *text)
{
    http_respond(req, status, TEXT_PLAIN, text, strlen(text));
}

static void serve_options(struct http_request *req)
{
    if (http_request_header(req, "origin") != NULL &&
        http_request_header(req, "access-control-request-method") != NULL) {
        http_request_add_header(req, "Access-Control-Allow-Origin: *\r\n");
        http_request_add_header(req, "Access-Control-Allow-Methods: POST, GET\r\n");
        http_request_add_header(req, "Access-Control-Allow-Headers: *\r\n");
        http_request_add_header(req, "Access-Control-Max-Age: 600\r\n");
        http_respond(req, 204, NULL, NULL, 0);
        return;
    }
    http_respond(req, 200, NULL, NULL, 0);
}

static void serve_root(struct rpcd *app, struct http_request *req)
{
    const char *method = http_request_method(req);
    size_t len;
    (void)http_request_body(req, &len);
    if (strcmp(method, "GET") == 0 && len == 0 && http_request_query(req)[0] == '\0')
        http_respond(req, 200, NULL, NULL, 0);
    else if (strcmp(method, "PUT") == 0 || strcmp(method, "DELETE") == 0 || strcmp(method, "CONNECT") == 0)
        respond_text(req, 405, "method not allowed\n");
    else if (strcmp(method, "OPTIONS") == 0)
        serve_options(req);
    else if (!is_json_type(http_request_header(req, "content-type")))
        respond_text(req, 415, "invalid content type, only application/json is supported\n");
    else
        serve_rpc(app, req);
}

void rpc_on_http(void *ctx, struct http_request *req)
{
    struct rpcd *app = ctx;
    const char *path = http_request_path(req);
    if (log_enabled(LOG_DEBUG))
        LOG_DEBUG("served HTTP request", LOG_S("method", http_request_method(req)), LOG_S("path", path));
    if (page_takes(app, req)) {
        page_serve(app, req);
    } else if (strcmp(path, "/") == 0) {
        serve_root(app, req);
    } else if (strcmp(path, "/healthz") == 0 || strcmp(path, "/healthz/") == 0) {
        char version[100], body[128];
        const size_t len = json_string_encode(app->config.common.version, version, sizeof version);
        const int n = snprintf(body, sizeof body, "{\"version\":%.*s}\n", (int)len, version);
        http_respond(req, 200, JSON_TYPE, body, (size_t)n);
    } else if (strcmp(path, "/commit-unsafe-payload") == 0) {
        commit_binary(app, req);
    } else {
        respond_text(req, 404, "404 page not found\n");
    }
}
