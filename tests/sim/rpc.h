/* JSON-RPC over the HTTP server: requests and batches, answered at once or later. */
#ifndef OC_SIM_RPC_H
#define OC_SIM_RPC_H

#include "shared/http/server.h"
#include "tests/sim/jsonscan.h"

#include <stdint.h>

struct sim;
struct rpc_call;

/* params: the raw array (at is NULL when absent); valid until the call is answered. */
typedef void (*rpc_method_fn)(struct sim *s, struct rpc_call *call, struct json_span params);

struct rpc_method {
    const char *name;
    rpc_method_fn fn;
};

/* Serves one HTTP request. The table ends with a NULL name. */
void rpc_serve(struct sim *s, struct http_request *req, const struct rpc_method *table);

/* Each call is answered exactly once, by one of these. */
void rpc_result(struct rpc_call *call, const char *raw_json); /* copied */
void rpc_result_take(struct rpc_call *call, char *raw_json);  /* malloc'd; NULL: out of memory error */
void rpc_result_bool(struct rpc_call *call, bool value);
void rpc_result_quantity(struct rpc_call *call, uint64_t value); /* "0x…" */
void rpc_result_hash(struct rpc_call *call, const uint8_t hash[32]);
void rpc_error(struct rpc_call *call, int code, const char *format, ...) __attribute__((format(printf, 3, 4)));

#define RPC_ERR_PARAMS (-32602)
#define RPC_ERR_SERVER (-32000)

/* The i-th parameter; answers with "missing value" and returns false when there is none. */
bool rpc_param(struct rpc_call *call, struct json_span params, size_t i, struct json_span *ret);
/* A hash as the i-th parameter; answers with an error and returns false when it is none. */
bool rpc_param_hash(struct rpc_call *call, struct json_span params, size_t i, uint8_t ret[32]);

#endif
