/* JSON-RPC 2.0 messages as the Go op-conductor reads and writes them: pure functions on text. */
#ifndef OC_RPCD_JSONRPC_H
#define OC_RPCD_JSONRPC_H

#include "rpcd/json_scan.h"
#include "rpcd/methods.h"

#include <stdbool.h>
#include <stddef.h>

enum jsonrpc_code {
    JSONRPC_PARSE_ERROR = -32700,
    JSONRPC_INVALID_REQUEST = -32600,
    JSONRPC_METHOD_NOT_FOUND = -32601,
    JSONRPC_INVALID_PARAMS = -32602,
    JSONRPC_INTERNAL = -32603,
    JSONRPC_TIMED_OUT = -32002,
    JSONRPC_RESPONSE_TOO_LARGE = -32003,
    JSONRPC_SERVER = -32000,
};

/* More requests in one batch are refused. */
#define JSONRPC_BATCH_MAX 1000
#define JSONRPC_METHOD_NAME_MAX 128

struct jsonrpc_error {
    int code; /* 0: none */
    char message[512];
};

struct jsonrpc_message {
    bool has_id;         /* without: a notification, never answered */
    struct json_span id; /* as it came; len 0: answer with null */
    char method_name[JSONRPC_METHOD_NAME_MAX];
    const struct method *method; /* NULL when there is no such method */
    struct json_span params;     /* an array's text, or len 0 */
};

struct jsonrpc_args {
    unsigned count;
    struct json_span value[METHOD_PARAMS_MAX];
};

/* Reads one message: a span that is well-formed JSON. Fills ret_error when it is no valid request
 * or names no known method (params are checked later). */
void jsonrpc_parse(struct json_span text, struct jsonrpc_message *ret, struct jsonrpc_error *ret_error);

/* The short cut for a large commit, without walking its params: if the text is one request with the
 * members jsonrpc, id and method (conductor_commitUnsafePayload) before params, and params, being
 * last, look like [X], fills ret and ret_payload (X, unchecked) and returns true. */
bool jsonrpc_peek_commit(const char *text, size_t len, struct jsonrpc_message *ret, struct json_span *ret_payload);

/* Splits and checks params by the method's signature. */
void jsonrpc_check_args(const struct jsonrpc_message *msg, struct jsonrpc_args *ret, struct jsonrpc_error *ret_error);

__attribute__((format(printf, 3, 4))) void jsonrpc_set_error(struct jsonrpc_error *e, int code, const char *fmt, ...);

/* Writes {"code":…,"message":…}. Returns its length; buf must have 1200 bytes. */
#define JSONRPC_ERROR_TEXT_BYTES 1200
size_t jsonrpc_format_error(const struct jsonrpc_error *e, char *buf);

/* An upstream's answer: the span of its result or of its error object. Returns 0 or OC_ESYNTAX. */
int jsonrpc_parse_answer(const char *text, size_t len, struct json_span *ret_result, struct json_span *ret_error);

#endif
