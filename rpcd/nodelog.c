/* op-node's output as JSON (see nodelog.h). */
#include "rpcd/nodelog.h"

#include "rpcd/link.h"
#include "rpcd/text.h"
#include "shared/base/clock.h"
#include "shared/base/err.h"
#include "shared/proto/node_log.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#define TIMEOUT_MS 5000
/* Answers are large: more of them at once would crowd the supervisor's channel. */
#define READERS_MAX 8

static unsigned reader_count;

static const char *const kind_names[NODE_LOG_KIND_COUNT] = {
    [NODE_LOG_LINE] = "line",
    [NODE_LOG_STARTED] = "started",
    [NODE_LOG_ENDED] = "ended",
};

/* Any bytes as a JSON string. A NUL, which readers of JSON stumble over, becomes a space. */
static void put_bytes(struct text *o, const char *at, size_t len)
{
    static char copy[NODE_LOG_LINE_MAX_BYTES + 1], json[6 * NODE_LOG_LINE_MAX_BYTES + 16];
    for (size_t i = 0; i < len; i++)
        copy[i] = at[i] != '\0' ? at[i] : ' ';
    copy[len] = '\0';
    text_add(o, json, json_string_encode(copy, json, sizeof json));
}

char *nodelog_to_json(const struct msg_node_log_result *m, const char *node, size_t *ret_len)
{
    struct text o = {0};
    struct node_log_line line;
    size_t offset = 0;
    int rc;
    text_put(&o, "{\"node\":");
    put_bytes(&o, node, strlen(node));
    text_put(&o, ",\"instance\":%" PRIu64 ",\"next_sequence\":%" PRIu64 ",\"lines\":[", m->instance, m->next_sequence);
    for (uint32_t i = 0; (rc = node_log_next(m, &offset, i, &line)) > 0; i++) {
        text_put(&o, "%s{\"sequence\":%" PRIu64 ",\"time_ms\":%" PRIu64 ",\"kind\":\"%s\",\"text\":", i > 0 ? "," : "",
                 line.sequence, line.wall_ms, kind_names[line.kind]);
        put_bytes(&o, line.text, line.len);
        text_put(&o, "}");
    }
    text_put(&o, "]}");
    char *json = text_finish(&o, ret_len);
    if (rc < 0) {
        free(json);
        return NULL;
    }
    return json;
}

static void reply_refusal(struct rpc_call *call, int rc)
{
    if (rc == OC_EDEADLINE)
        rpc_reply_error(call, JSONRPC_SERVER, "timeout to read op-node's log");
    else if (rc == OC_EUNKNOWN)
        rpc_reply_error(call, JSONRPC_SERVER,
                        "op-node is not managed by this conductor, which was started without \"-- op-node ...\": look "
                        "where op-node itself was started, for a service with journalctl -u op-node");
    else
        rpc_reply_error(call, JSONRPC_SERVER, "op-node's log: %s", err_text(rc));
}

static void on_answer(void *ctx, int rc, const void *body, int *fd)
{
    struct rpc_call *call = ctx;
    const struct msg_node_log_result *m = body;
    size_t len = 0;
    (void)fd;
    reader_count--;
    if (rc == 0)
        rc = m->rc;
    if (rc < 0) {
        reply_refusal(call, rc);
        return;
    }
    char *json = nodelog_to_json(m, call->app->config.common.server_id, &len);
    if (json == NULL)
        rpc_reply_error(call, JSONRPC_SERVER, "op-node's log cannot be read: out of memory");
    else
        rpc_reply_json(call, json, len);
    free(json);
}

void nodelog_call(struct rpc_call *call)
{
    const uint64_t deadline_ns = clock_mono_ns() + TIMEOUT_MS * UINT64_C(1000000);
    struct msg_node_log ask = {.deadline_mono_ns = deadline_ns};
    uint64_t limit = NODELOG_DEFAULT;
    int rc;
    if (!http_request_is_guarded(rpc_call_request(call))) {
        rpc_reply_error(call, JSONRPC_SERVER,
                        "op-node's log may hold secrets and is shown on the admin socket only (--rpc.admin-socket): "
                        "ask there, on that machine");
        return;
    }
    if (reader_count == READERS_MAX) {
        rpc_reply_error(call, JSONRPC_SERVER, "too many read op-node's log at once: ask again");
        return;
    }
    ask.is_newest = !rpc_take_u64(call, 0, &ask.after);
    if (!rpc_take_u64(call, 1, &limit) && ask.is_newest == 0)
        limit = UINT32_MAX;
    ask.line_limit = limit < UINT32_MAX ? (uint32_t)limit : UINT32_MAX;
    if (link_request(call->app->link, ROLE_SUPERVISOR, MSG_NODE_LOG, &ask, -1, deadline_ns, on_answer, call, &rc) == 0)
        reply_refusal(call, rc);
    else
        reader_count++;
}
