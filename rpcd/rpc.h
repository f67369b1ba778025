/* One HTTP request of JSON-RPC on its way through rpcd: its messages are executed one after the
 * other, and each call is answered by exactly one of the rpc_reply functions, now or later.
 */
#ifndef OC_RPCD_RPC_H
#define OC_RPCD_RPC_H

#include "rpcd/jsonrpc.h"
#include "rpcd/rpcd.h"

struct rpc_exchange;

/* A longer text is read in a thread of libuv's pool: the loop has commits to serve meanwhile. */
#define RPC_LOOP_MAX_BYTES ((size_t)256 << 10)

struct rpc_call {
    struct rpc_exchange *exchange;
    struct rpcd *app;
    struct jsonrpc_message msg;
    struct jsonrpc_args args;
    uint64_t start_ns; /* CLOCK_MONOTONIC, when this call began */
};

/* The handler of the RPC listeners. ctx: struct rpcd. */
void rpc_on_http(void *ctx, struct http_request *req);

struct http_request *rpc_call_request(const struct rpc_call *call);

/* A parameter that is a number: false when it was left out, or null. */
bool rpc_take_u64(const struct rpc_call *call, unsigned index, uint64_t *ret);

/* After any of these the call is gone. */
void rpc_reply_json(struct rpc_call *call, const char *json, size_t len);
void rpc_reply_null(struct rpc_call *call);
void rpc_reply_bool(struct rpc_call *call, bool value);
__attribute__((format(printf, 3, 4))) void rpc_reply_error(struct rpc_call *call, int code, const char *fmt, ...);
/* An error object's text, passed through. */
void rpc_reply_error_json(struct rpc_call *call, const char *json, size_t len);
/* Takes what rpc_wrap_result made. json_len: of the result, for the metrics. */
void rpc_reply_wrapped(struct rpc_call *call, char *text, size_t text_len, size_t json_len);

/* May run in a thread: the whole answer of a call that is alone in its request, with a copy of the result. Returns a
 * malloc'd text, or NULL (a batch, no id, out of memory): then rpc_reply_json has to do. */
char *rpc_wrap_result(const struct rpc_call *call, const char *json, size_t len, size_t *ret_len);

#endif
