/* Answers from the status pages (see questions.h). */
#include "rpcd/questions.h"

#include "rpcd/events.h"
#include "rpcd/status.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void reply_string(struct rpc_call *call, const char *text)
{
    char json[256];
    rpc_reply_json(call, json, json_string_encode(text, json, sizeof json));
}

static void reply_leader_with_id(struct rpc_call *call)
{
    const struct status *s = call->app->status;
    struct page_supervisor sup;
    struct status_raft raft;
    char id[2 * SERVER_ID_SIZE], addr[2 * SERVER_ADDR_SIZE], json[sizeof id + sizeof addr + 64];
    status_read_raft(s, &raft);
    if (status_read_supervisor(s, &sup) && sup.overridden != 0) {
        (void)snprintf(raft.leader_id, sizeof raft.leader_id, "N/A (Leader overridden)");
        (void)snprintf(raft.leader_addr, sizeof raft.leader_addr, "N/A");
    }
    const size_t id_len = json_string_encode(raft.leader_id, id, sizeof id);
    const size_t addr_len = json_string_encode(raft.leader_addr, addr, sizeof addr);
    const int n =
        snprintf(json, sizeof json, "{\"id\":%.*s,\"addr\":%.*s,\"suffrage\":0}", (int)id_len, id, (int)addr_len, addr);
    rpc_reply_json(call, json, (size_t)n);
}

static void reply_modules(struct rpc_call *call)
{
    static const char base[] = "{\"conductor\":\"1.0\",\"health\":\"1.0\",\"rpc\":\"1.0\"}";
    static const char with_proxy[] = "{\"admin\":\"1.0\",\"conductor\":\"1.0\",\"eth\":\"1.0\",\"health\":\"1.0\","
                                     "\"miner\":\"1.0\",\"optimism\":\"1.0\",\"rpc\":\"1.0\"}";
    const char *text = call->app->config.enable_proxy ? with_proxy : base;
    rpc_reply_json(call, text, strlen(text));
}

static void reply_text(struct rpc_call *call, char *json, size_t len)
{
    if (json == NULL)
        rpc_reply_error(call, JSONRPC_SERVER, "out of memory");
    else
        rpc_reply_json(call, json, len);
    free(json);
}

void questions_answer(struct rpc_call *call)
{
    const struct status *s = call->app->status;
    struct page_supervisor sup;
    size_t len = 0;
    if (call->msg.method->id == METHOD_LEADER) { /* the hot one */
        rpc_reply_bool(call, status_answers_leader(s));
        return;
    }
    const bool is_known = status_read_supervisor(s, &sup);
    switch (call->msg.method->id) {
    case METHOD_LEADER_WITH_ID:
        reply_leader_with_id(call);
        return;
    case METHOD_LEADER_OVERRIDDEN:
        rpc_reply_bool(call, sup.overridden != 0);
        return;
    case METHOD_ACTIVE:
        rpc_reply_bool(call, is_known && sup.paused == 0 && sup.stopped == 0);
        return;
    case METHOD_PAUSED:
        rpc_reply_bool(call, sup.paused != 0);
        return;
    case METHOD_STOPPED:
        rpc_reply_bool(call, sup.stopped != 0);
        return;
    case METHOD_SEQUENCER_HEALTHY:
        rpc_reply_bool(call, sup.healthy != 0);
        return;
    case METHOD_CLUSTER_MEMBERSHIP: {
        char *json = status_membership_to_json(s, &len);
        reply_text(call, json, len);
        return;
    }
    case METHOD_STATUS: {
        char *json = status_to_json(s, &len);
        reply_text(call, json, len);
        return;
    }
    case METHOD_EVENTS:
        events_answer(call);
        return;
    case METHOD_HEALTH_STATUS:
        reply_string(call, call->app->config.common.version);
        return;
    case METHOD_RPC_MODULES:
        reply_modules(call);
        return;
    default:
        rpc_reply_error(call, JSONRPC_INTERNAL, "method handler crashed");
        return;
    }
}
