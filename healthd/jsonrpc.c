/* JSON-RPC calls: build the request, judge the answer. */
#include "healthd/jsonrpc.h"

#include "shared/base/err.h"
#include "shared/payload/json.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

struct rpc_call {
    struct probe_request *request;
    rpc_done_fn done;
    void *ctx;
};

static void judge_object(const cJSON *root, struct rpc_answer *ret)
{
    const cJSON *error = cJSON_GetObjectItemCaseSensitive(root, "error");
    const cJSON *result = cJSON_GetObjectItemCaseSensitive(root, "result");
    if (cJSON_IsObject(error)) {
        const cJSON *code = cJSON_GetObjectItemCaseSensitive(error, "code");
        const cJSON *message = cJSON_GetObjectItemCaseSensitive(error, "message");
        ret->rc = NODE_REFUSED;
        ret->code = cJSON_IsNumber(code) ? code->valueint : 0;
        ret->text = cJSON_IsString(message) ? message->valuestring : "an error without message";
    } else if (result != NULL) {
        ret->rc = NODE_OK;
        ret->result = result;
    } else {
        ret->text = "the answer has neither result nor error";
    }
}

static void on_reply(void *ctx, const struct probe_reply *reply)
{
    struct rpc_call *call = ctx;
    struct rpc_answer answer = {.rc = NODE_UNREACHABLE, .text = ""};
    char status[64];
    const char *end = NULL;
    cJSON *root = NULL;
    if (reply->rc != 0) {
        answer.rc = reply->rc == -ETIMEDOUT ? NODE_TIMEOUT : NODE_UNREACHABLE;
        answer.is_gone = reply->rc == -ECONNRESET;
        answer.is_silent = answer.is_gone || reply->rc == -EIO;
        answer.text = reply->text;
    } else if (reply->http_status < 200 || reply->http_status > 299) {
        snprintf(status, sizeof status, "HTTP status %ld", reply->http_status);
        answer.text = status;
    } else {
        root = cJSON_ParseWithLengthOpts(reply->body, reply->body_len, &end, 0);
        if (cJSON_IsObject(root))
            judge_object(root, &answer);
        else
            answer.text = "the answer is not a JSON-RPC object";
    }
    call->done(call->ctx, &answer);
    cJSON_Delete(root);
    free(call);
}

struct rpc_call *rpc_start(struct probe *p, const char *url, const char *method, const char *params,
                           uint64_t timeout_ms, rpc_done_fn done, void *ctx)
{
    static const char format[] = "{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"%s\",\"params\":%s}";
    const char *list = params[0] != '\0' ? params : "[]";
    size_t size = sizeof format + strlen(method) + strlen(list);
    struct rpc_call *call = calloc(1, sizeof *call);
    char *body = malloc(size);
    if (call == NULL || body == NULL) {
        free(call);
        free(body);
        return NULL;
    }
    int len = snprintf(body, size, format, method, list);
    call->done = done;
    call->ctx = ctx;
    call->request = probe_start(p, url, body, (size_t)len, timeout_ms, on_reply, call);
    if (call->request == NULL) {
        free(call);
        return NULL;
    }
    return call;
}

void rpc_cancel(struct rpc_call *call)
{
    if (call == NULL)
        return;
    probe_cancel(call->request);
    free(call);
}

bool rpc_is_unknown_method(const struct rpc_answer *answer)
{
    return answer->rc == NODE_REFUSED &&
           (answer->code == RPC_METHOD_NOT_FOUND || strcasestr(answer->text, "method not found") != NULL);
}

int rpc_get_quantity(const cJSON *item, uint64_t *ret)
{
    if (!cJSON_IsString(item) || strncmp(item->valuestring, "0x", 2) != 0)
        return OC_ESYNTAX;
    const char *digits = item->valuestring + 2;
    size_t len = strlen(digits);
    if (len == 0 || len > 16 || strspn(digits, "0123456789abcdefABCDEF") != len)
        return OC_ESYNTAX;
    *ret = strtoull(digits, NULL, 16);
    return 0;
}

int rpc_get_hash(const cJSON *item, uint8_t ret[HASH_SIZE])
{
    if (!cJSON_IsString(item) || strncmp(item->valuestring, "0x", 2) != 0 ||
        strlen(item->valuestring) != 2 + (size_t)2 * HASH_SIZE)
        return OC_ESYNTAX;
    return hex_decode(item->valuestring + 2, (size_t)2 * HASH_SIZE, ret);
}
