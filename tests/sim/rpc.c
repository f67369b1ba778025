/* Takes JSON-RPC requests apart and puts the answers together. */
#include "tests/sim/rpc.h"

#include "shared/base/err.h"
#include "tests/sim/block.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define BATCH_MAX 256
#define ERROR_TEXT_MAX_BYTES 512

struct rpc_batch {
    struct http_request *req;
    size_t n, n_left;
    bool is_array;
    char **answers; /* NULL: a notification */
};

struct rpc_call {
    struct rpc_batch *batch;
    size_t index;
    struct json_span id; /* in the request; at is NULL: a notification */
};

static void finish_batch(struct rpc_batch *b)
{
    size_t total = 4;
    for (size_t i = 0; i < b->n; i++)
        total += b->answers[i] ? strlen(b->answers[i]) + 1 : 0;
    char *out = malloc(total);
    if (!out)
        abort();
    size_t at = 0;
    for (size_t i = 0; i < b->n; i++) {
        if (!b->answers[i])
            continue;
        if (b->is_array)
            out[at] = at == 0 ? '[' : ',';
        at += b->is_array;
        size_t len = strlen(b->answers[i]);
        memcpy(out + at, b->answers[i], len);
        at += len;
        free(b->answers[i]);
    }
    if (at > 0 && b->is_array)
        out[at++] = ']';
    if (at > 0)
        out[at++] = '\n';
    http_respond_take(b->req, 200, "application/json", out, at);
    free(b->answers);
    free(b);
}

/* kind is "result" or "error". */
static void answer(struct rpc_call *call, const char *kind, const char *raw)
{
    struct rpc_batch *b = call->batch;
    if (call->id.at) {
        size_t size = strlen(raw) + call->id.len + 64;
        char *text = malloc(size);
        if (!text)
            abort();
        snprintf(text, size, "{\"jsonrpc\":\"2.0\",\"id\":%.*s,\"%s\":%s}", (int)call->id.len, call->id.at, kind, raw);
        b->answers[call->index] = text;
    }
    free(call);
    if (--b->n_left == 0)
        finish_batch(b);
}

void rpc_result(struct rpc_call *call, const char *raw_json)
{
    answer(call, "result", raw_json);
}

void rpc_result_take(struct rpc_call *call, char *raw_json)
{
    if (raw_json)
        answer(call, "result", raw_json);
    else
        rpc_error(call, RPC_ERR_SERVER, "out of memory");
    free(raw_json);
}

void rpc_result_bool(struct rpc_call *call, bool value)
{
    rpc_result(call, value ? "true" : "false");
}

void rpc_result_quantity(struct rpc_call *call, uint64_t value)
{
    char text[32];
    snprintf(text, sizeof text, "\"0x%" PRIx64 "\"", value);
    rpc_result(call, text);
}

void rpc_result_hash(struct rpc_call *call, const uint8_t hash[32])
{
    char text[HASH_TEXT_BYTES], quoted[HASH_TEXT_BYTES + 2];
    hash_to_text(hash, text);
    snprintf(quoted, sizeof quoted, "\"%s\"", text);
    rpc_result(call, quoted);
}

void rpc_error(struct rpc_call *call, int code, const char *format, ...)
{
    char text[ERROR_TEXT_MAX_BYTES], raw[ERROR_TEXT_MAX_BYTES + 64];
    va_list args;
    va_start(args, format);
    vsnprintf(text, sizeof text, format, args);
    va_end(args);
    for (char *p = text; *p; p++)
        if (*p == '"' || *p == '\\' || (unsigned char)*p < 0x20)
            *p = '\'';
    snprintf(raw, sizeof raw, "{\"code\":%d,\"message\":\"%s\"}", code, text);
    answer(call, "error", raw);
}

bool rpc_param(struct rpc_call *call, struct json_span params, size_t i, struct json_span *ret)
{
    if (params.at && json_item(params, i, ret) == 0 && ret->at)
        return true;
    rpc_error(call, RPC_ERR_PARAMS, "missing value for required argument %zu", i);
    return false;
}

bool rpc_param_hash(struct rpc_call *call, struct json_span params, size_t i, uint8_t ret[32])
{
    struct json_span item;
    if (!rpc_param(call, params, i, &item))
        return false;
    if (item.len >= 2 && item.at[0] == '"' && hash_from_text(item.at + 1, item.len - 2, ret) == 0)
        return true;
    rpc_error(call, RPC_ERR_PARAMS, "invalid argument %zu: not a 32-byte hash", i);
    return false;
}

static void start_call(struct sim *s, struct rpc_batch *b, size_t index, struct json_span text,
                       const struct rpc_method *table)
{
    struct rpc_call *call = calloc(1, sizeof *call);
    if (!call)
        abort();
    *call = (struct rpc_call){.batch = b, .index = index};
    struct json_span method, params;
    if (json_member(text, "id", &call->id) != 0 || json_member(text, "method", &method) != 0 ||
        json_member(text, "params", &params) != 0) {
        call->id = (struct json_span){"null", 4};
        rpc_error(call, -32700, "parse error");
        return;
    }
    if (!method.at) {
        rpc_error(call, -32600, "invalid request");
        return;
    }
    for (const struct rpc_method *m = table; m->name; m++) {
        if (json_span_is_string(method, m->name)) {
            m->fn(s, call, json_span_is(params, "null") ? (struct json_span){NULL, 0} : params);
            return;
        }
    }
    struct json_span bare = method.len >= 2 ? (struct json_span){method.at + 1, method.len - 2} : method;
    rpc_error(call, -32601, "the method %.*s does not exist/is not available", (int)(bare.len < 80 ? bare.len : 80),
              bare.at);
}

void rpc_serve(struct sim *s, struct http_request *req, const struct rpc_method *table)
{
    size_t len;
    char *body = http_request_body(req, &len);
    struct json_span text = {body, len}, item;
    size_t at = strspn(len ? body : "", " \t\r\n");
    if (at == len) {
        http_respond(req, 200, NULL, "", 0);
        return;
    }
    bool is_array = body[at] == '[';
    size_t n = 1;
    if (is_array) {
        for (n = 0; n < BATCH_MAX && json_item(text, n, &item) == 0 && item.at;)
            n++;
        if (n == 0) {
            static const char EMPTY[] =
                "{\"jsonrpc\":\"2.0\",\"id\":null,\"error\":{\"code\":-32600,\"message\":\"empty batch\"}}";
            http_respond(req, 200, "application/json", EMPTY, sizeof EMPTY - 1);
            return;
        }
    }
    struct rpc_batch *b = calloc(1, sizeof *b);
    if (!b || !(b->answers = calloc(n, sizeof *b->answers)))
        abort();
    b->req = req;
    b->n = n;
    b->n_left = n;
    b->is_array = is_array;
    for (size_t i = 0; i < n; i++) {
        if (is_array)
            json_item(text, i, &item);
        start_call(s, b, i, is_array ? item : text, table);
    }
}
