/* JSON-RPC calls over probe.h: one request, one typed answer. */
#ifndef OC_HEALTHD_JSONRPC_H
#define OC_HEALTHD_JSONRPC_H

#include "healthd/probe.h"

#include "shared/proto/bodies.h"

#include <cJSON.h>

struct rpc_call;

struct rpc_answer {
    enum node_rc rc;     /* NODE_OK, NODE_UNREACHABLE, NODE_TIMEOUT, NODE_REFUSED (an error object) */
    int code;            /* of the error object; 0 otherwise */
    bool is_silent;      /* with NODE_UNREACHABLE: not even an HTTP status came … */
    bool is_gone;        /* … because nobody is there: refused, or hung up */
    const char *text;    /* what failed, "" with NODE_OK */
    const cJSON *result; /* with NODE_OK; never NULL, may be a JSON null */
};

#define RPC_METHOD_NOT_FOUND (-32601)

/* Called once from probe_step; the answer is borrowed for the call. */
typedef void (*rpc_done_fn)(void *ctx, const struct rpc_answer *answer);

/* Calls `method` with `params` (JSON text of an array; "" for none). The url is copied. Returns
 * NULL when out of memory (the callback is not called then). */
struct rpc_call *rpc_start(struct probe *p, const char *url, const char *method, const char *params,
                           uint64_t timeout_ms, rpc_done_fn done, void *ctx);

/* Drops a call; its callback is not called. Accepts NULL. */
void rpc_cancel(struct rpc_call *call);

/* Whether op-node or the execution client does not know the method. */
bool rpc_is_unknown_method(const struct rpc_answer *answer);

/* A "0x…" string as a number, or as 32 bytes. Return 0 or OC_ESYNTAX. */
int rpc_get_quantity(const cJSON *item, uint64_t *ret);
int rpc_get_hash(const cJSON *item, uint8_t ret[HASH_SIZE]);

#endif
