/* Leader-gated pass-through (see proxy.h). */
#include "rpcd/proxy.h"

#include "rpcd/status.h"
#include "shared/base/err.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define PROXY_TIMEOUT_MS 10000

static const char not_leader[] = "refusing to proxy request to non-leader sequencer";

/* How far a hex number may go: a block number upstream is a signed one. */
#define BLOCK_BITS 63
#define OUTPUT_BITS 64
#define SIZE_BITS 256

static bool is_hex(char c)
{
    return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'f') || (c >= 'A' && c <= 'F');
}

/* Bits that a number needs whose first digit is `first`. */
static size_t count_bits(char first, size_t digits)
{
    static const char bits[] = "0122333344444444";
    const unsigned value = first <= '9' ? (unsigned)(first - '0') : (unsigned)((first | 0x20) - 'a') + 10;
    return 4 * (digits - 1) + (size_t)(bits[value] - '0');
}

/* Why a JSON value is no hex number as Ethereum writes them ("0x", no leading zeros); NULL when it is one. */
static const char *find_problem(struct json_span value, unsigned max_bits)
{
    if (value.len < 2 || value.at[0] != '"')
        return "hex string without 0x prefix";
    const char *digits = value.at + 1;
    size_t count = value.len - 2;
    if (count == 0)
        return "empty hex string";
    if (count < 2 || digits[0] != '0' || (digits[1] | 0x20) != 'x')
        return "hex string without 0x prefix";
    digits += 2;
    count -= 2;
    if (count == 0)
        return "hex string \"0x\"";
    for (size_t i = 0; i < count; i++)
        if (!is_hex(digits[i]))
            return "invalid hex string";
    if (count > 1 && digits[0] == '0')
        return "hex number with leading zero digits";
    if (count_bits(digits[0], count) <= max_bits)
        return NULL;
    return max_bits == BLOCK_BITS    ? "block number larger than int64"
           : max_bits == OUTPUT_BITS ? "hex number > 64 bits"
                                     : "hex number > 256 bits";
}

static bool is_tag(struct json_span value)
{
    static const char *const tags[] = {"\"latest\"", "\"safe\"", "\"finalized\"", "\"pending\"", "\"earliest\""};
    for (size_t i = 0; i < sizeof tags / sizeof tags[0]; i++)
        if (value.len == strlen(tags[i]) && memcmp(value.at, tags[i], value.len) == 0)
            return true;
    return false;
}

/* What upstream refuses itself, before it looks at leadership. Returns whether the arguments are fit to pass on. */
static bool check_args(struct rpc_call *call)
{
    const struct json_span *args = call->args.value;
    const char *problem = NULL;
    unsigned index = 0;
    switch (call->msg.method->id) {
    case METHOD_BLOCK_BY_NUMBER:
        problem = is_tag(args[0]) ? NULL : find_problem(args[0], BLOCK_BITS);
        break;
    case METHOD_SET_MAX_DA_SIZE:
        while (index < 2 && (problem = find_problem(args[index], SIZE_BITS)) == NULL)
            index++;
        break;
    case METHOD_OUTPUT_AT_BLOCK:
        problem = find_problem(args[0], OUTPUT_BITS);
        if (problem != NULL)
            rpc_reply_error(call, JSONRPC_SERVER, "failed to decode block number: %s", problem);
        return problem == NULL;
    default:
        return true;
    }
    if (problem != NULL)
        rpc_reply_error(call, JSONRPC_INVALID_PARAMS, "invalid argument %u: %s", index, problem);
    return problem == NULL;
}

/* All but miner_setMaxDASize are for clients that look for the active sequencer. */
static bool is_gated(const struct rpc_call *call)
{
    return call->msg.method->id != METHOD_SET_MAX_DA_SIZE;
}

/* An upstream's answer on its way to the client. */
struct answer {
    uv_work_t work;
    struct rpc_call *call;
    int status;
    char *body;
    size_t body_len;
    int rc; /* of reading it */
    struct json_span value, error;
    char *text; /* the whole answer, NULL: not made yet */
    size_t text_len;
};

static void read_answer(struct answer *a)
{
    a->rc = jsonrpc_parse_answer(a->body, a->body_len, &a->value, &a->error);
}

static void reply_answer(struct answer *a)
{
    struct rpc_call *call = a->call;
    if (a->rc < 0)
        rpc_reply_error(call, JSONRPC_SERVER, "%d %s", a->status,
                        a->status / 100 == 2 ? "answer is no JSON-RPC" : "from the upstream");
    else if (a->error.len > 0)
        rpc_reply_error_json(call, a->error.at, a->error.len);
    else if (is_gated(call) && !status_answers_leader(call->app->status)) /* lost while it was under way */
        rpc_reply_error(call, JSONRPC_SERVER, "%s", not_leader);
    else if (a->text != NULL)
        rpc_reply_wrapped(call, a->text, a->text_len, a->value.len);
    else
        rpc_reply_json(call, a->value.at, a->value.len);
}

static void read_in_thread(uv_work_t *work)
{
    struct answer *a = work->data;
    read_answer(a);
    if (a->rc == 0 && a->error.len == 0)
        a->text = rpc_wrap_result(a->call, a->value.at, a->value.len, &a->text_len);
    if (a->text != NULL) { /* giving tens of megabytes back takes its time too */
        free(a->body);
        a->body = NULL;
    }
}

static void on_read(uv_work_t *work, int status)
{
    struct answer *a = work->data;
    (void)status; /* never cancelled */
    reply_answer(a);
    free(a->body);
    free(a);
}

/* Takes the body of a large answer. Returns false when it cannot be read in a thread. */
static bool read_aside(const struct answer *from, struct http_client_result *result)
{
    struct answer *a = malloc(sizeof *a);
    if (a == NULL)
        return false;
    *a = *from;
    a->work.data = a;
    if (uv_queue_work(&a->call->app->loop, &a->work, read_in_thread, on_read) < 0) {
        free(a);
        return false;
    }
    result->body = NULL; /* kept */
    return true;
}

static void on_answer(void *ctx, struct http_client_result *result)
{
    struct answer a = {.call = ctx, .status = result->status, .body = result->body, .body_len = result->body_len};
    if (result->rc < 0) {
        rpc_reply_error(a.call, JSONRPC_SERVER, "%s", result->text);
        return;
    }
    if (a.body_len > RPC_LOOP_MAX_BYTES && read_aside(&a, result))
        return;
    read_answer(&a);
    reply_answer(&a);
}

void proxy_call(struct rpc_call *call)
{
    const struct config_rpcd *config = &call->app->config;
    const struct method *m = call->msg.method;
    const struct json_span params = call->msg.params;
    int rc;
    if (!check_args(call))
        return;
    if (is_gated(call) && !status_answers_leader(call->app->status)) {
        rpc_reply_error(call, JSONRPC_SERVER, "%s", not_leader);
        return;
    }
    const char *params_text = params.len > 0 ? params.at : "[]";
    const size_t params_len = params.len > 0 ? params.len : 2;
    const size_t size = params_len + 128;
    char *body = malloc(size);
    if (body == NULL) {
        rpc_reply_error(call, JSONRPC_SERVER, "out of memory");
        return;
    }
    const int len = snprintf(body, size, "{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"%s\",\"params\":%.*s}", m->name,
                             (int)params_len, params_text);
    const char *url = m->kind == KIND_PROXY_NODE ? config->node_rpc : config->execution_rpc;
    if (http_client_post_json(call->app->client, url, body, (size_t)len, PROXY_TIMEOUT_MS, on_answer, call, &rc) ==
        NULL)
        rpc_reply_error(call, JSONRPC_SERVER, "%s", err_text(rc));
    free(body);
}
