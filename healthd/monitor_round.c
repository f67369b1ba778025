/* One round of calls, and reading their answers. */
#include "healthd/monitor_round.h"

#include "shared/base/err.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define EL_TIMEOUT_MS 1000

struct round_slot {
    struct round *round;
    enum round_call which;
    struct rpc_call *call; /* NULL when answered */
};

struct round {
    const struct config_healthd *config;
    enum round_kind kind;
    round_done_fn done;
    void *ctx;
    struct round_slot slots[CALL_COUNT];
    struct probe_request *boost; /* a plain GET */
    unsigned open;
    bool starting; /* the last call is not yet made */
    struct round_facts facts;
};

static void finish_if_done(struct round *r)
{
    if (r->open > 0 || r->starting)
        return;
    r->done(r->ctx, r->kind, &r->facts);
    free(r);
}

static void set_call(struct check_call *call, bool ok, const char *text)
{
    call->ok = ok;
    snprintf(call->text, sizeof call->text, "%s", ok ? "" : text);
}

static void read_sync(struct round_facts *f, const struct rpc_answer *a)
{
    bool parsed = a->rc == NODE_OK && node_status_parse(a->result, &f->status) == 0;
    set_call(&f->check.sync, parsed, a->rc == NODE_OK ? "the answer has no usable unsafe_l2 and safe_l2" : a->text);
    f->check.unsafe_timestamp = f->status.unsafe_timestamp;
    f->check.safe_timestamp = f->status.safe_timestamp;
}

static void read_peers(struct round_facts *f, const struct rpc_answer *a)
{
    const cJSON *connected = a->rc == NODE_OK ? cJSON_GetObjectItemCaseSensitive(a->result, "connected") : NULL;
    bool ok = connected != NULL && cJSON_IsNumber(connected) && connected->valuedouble >= 0;
    set_call(&f->check.peers, ok, a->rc == NODE_OK ? "the answer has no number of connected peers" : a->text);
    f->check.peer_count = ok ? (uint64_t)connected->valuedouble : 0;
}

static void read_el_peers(struct round_facts *f, const struct rpc_answer *a)
{
    bool ok = false;
    f->check.el_peer_count = 0;
    if (a->rc == NODE_OK && cJSON_IsArray(a->result)) {
        f->check.el_peer_count = (uint64_t)cJSON_GetArraySize(a->result);
        ok = true;
    } else if (a->rc == NODE_OK) {
        ok = rpc_get_quantity(a->result, &f->check.el_peer_count) == 0;
    }
    set_call(&f->check.el_peers, ok, a->rc == NODE_OK ? "the answer is no number of peers" : a->text);
}

static void read_el_contact(struct round_facts *f, const struct rpc_answer *a)
{
    if (a->is_silent) {
        f->el_silent++;
        snprintf(f->check.el_text, sizeof f->check.el_text, "%s", a->text);
    } else if (a->rc != NODE_TIMEOUT) {
        f->el_answered = true;
    }
}

static enum node_tristate read_bool(const struct rpc_answer *a)
{
    if (a->rc != NODE_OK || !cJSON_IsBool(a->result))
        return NODE_DONT_KNOW;
    return cJSON_IsTrue(a->result) ? NODE_YES : NODE_NO;
}

static void read_el_head(struct round_facts *f, const struct rpc_answer *a)
{
    struct block_id head = {0};
    if (a->rc == NODE_OK &&
        rpc_get_quantity(cJSON_GetObjectItemCaseSensitive(a->result, "number"), &head.number) == 0 &&
        rpc_get_hash(cJSON_GetObjectItemCaseSensitive(a->result, "hash"), head.hash) == 0)
        f->el_head = head;
}

static bool is_to_node(enum round_call which)
{
    return which == CALL_SYNC || which == CALL_ACTIVE || which == CALL_ENABLED || which == CALL_PEERS;
}

static void on_answer(void *ctx, const struct rpc_answer *a)
{
    struct round_slot *slot = ctx;
    struct round *r = slot->round;
    struct round_facts *f = &r->facts;
    slot->call = NULL;
    r->open--;
    f->node_gone += a->is_gone && is_to_node(slot->which);
    switch (slot->which) {
    case CALL_SYNC:
        read_sync(f, a);
        break;
    case CALL_ACTIVE:
        f->active = read_bool(a);
        break;
    case CALL_ENABLED:
        /* An op-node too old to know the method is taken as enabled. */
        f->enabled = rpc_is_unknown_method(a) ? NODE_YES : read_bool(a);
        break;
    case CALL_PEERS:
        read_peers(f, a);
        break;
    case CALL_SUPERVISOR:
        set_call(&f->check.supervisor, a->rc == NODE_OK && cJSON_IsObject(a->result),
                 a->rc == NODE_OK ? "the answer is no status" : a->text);
        break;
    case CALL_EL_PEERS:
        read_el_peers(f, a);
        break;
    case CALL_EL_SYNCING:
        read_el_contact(f, a);
        /* false, or an object with the progress */
        f->el_syncing = a->rc == NODE_OK && cJSON_IsObject(a->result) ? NODE_YES : read_bool(a);
        break;
    case CALL_EL_HEAD:
        read_el_contact(f, a);
        read_el_head(f, a);
        break;
    case CALL_COUNT:
    default:
        break;
    }
    finish_if_done(r);
}

static enum boost_state boost_of_status(long status)
{
    switch (status) {
    case 200:
        return BOOST_HEALTHY;
    case 206:
        return BOOST_PARTIAL;
    case 503:
        return BOOST_UNHEALTHY;
    default:
        return BOOST_UNREACHABLE;
    }
}

static enum boost_state boost_of_body(const struct probe_reply *reply)
{
    enum boost_state state = BOOST_UNREACHABLE;
    cJSON *root = reply->http_status == 200 ? cJSON_ParseWithLength(reply->body, reply->body_len) : NULL;
    const cJSON *health = cJSON_GetObjectItemCaseSensitive(root, "rollup_boost_health");
    if (cJSON_IsString(health)) {
        if (strcmp(health->valuestring, "Healthy") == 0)
            state = BOOST_HEALTHY;
        else if (strcmp(health->valuestring, "PartialContent") == 0)
            state = BOOST_PARTIAL;
        else if (strcmp(health->valuestring, "ServiceUnavailable") == 0)
            state = BOOST_UNHEALTHY;
    }
    cJSON_Delete(root);
    return state;
}

static void on_boost(void *ctx, const struct probe_reply *reply)
{
    struct round *r = ctx;
    r->boost = NULL;
    r->open--;
    if (reply->rc == 0)
        r->facts.check.boost =
            r->config->boost_next_enabled ? boost_of_body(reply) : boost_of_status(reply->http_status);
    finish_if_done(r);
}

static void start_call(struct round *r, struct probe *p, enum round_call which, const char *url, const char *method,
                       const char *params, uint64_t timeout_ms)
{
    struct round_slot *slot = &r->slots[which];
    slot->round = r;
    slot->which = which;
    slot->call = rpc_start(p, url, method, params, timeout_ms, on_answer, slot);
    if (slot->call != NULL)
        r->open++;
}

static void start_boost(struct round *r, struct probe *p)
{
    char url[CONFIG_URL_SIZE + 16];
    if (r->config->boost_next_enabled)
        snprintf(url, sizeof url, "%s", r->config->boost_next_url);
    else
        snprintf(url, sizeof url, "%s/healthz", r->config->execution_rpc);
    r->boost = probe_start(p, url, NULL, 0, r->config->boost_timeout_ms, on_boost, r);
    if (r->boost != NULL)
        r->open++;
}

static void start_full(struct round *r, struct probe *p, uint64_t timeout_ms)
{
    const struct config_healthd *c = r->config;
    /* No rule needs these two: a hanging execution client must not hold up the verdict on op-node. */
    uint64_t el_timeout_ms = timeout_ms < EL_TIMEOUT_MS ? timeout_ms : EL_TIMEOUT_MS;
    start_call(r, p, CALL_ENABLED, c->node_rpc, "admin_conductorEnabled", "", timeout_ms);
    start_call(r, p, CALL_PEERS, c->node_rpc, "opp2p_peerStats", "", timeout_ms);
    start_call(r, p, CALL_EL_SYNCING, c->execution_rpc, "eth_syncing", "", el_timeout_ms);
    start_call(r, p, CALL_EL_HEAD, c->execution_rpc, "eth_getBlockByNumber", "[\"latest\",false]", el_timeout_ms);
    if (c->supervisor_rpc[0] != '\0')
        start_call(r, p, CALL_SUPERVISOR, c->supervisor_rpc, "supervisor_syncStatus", "", timeout_ms);
    if (c->el_p2p_enabled)
        start_call(r, p, CALL_EL_PEERS, c->el_p2p_rpc[0] != '\0' ? c->el_p2p_rpc : c->execution_rpc,
                   c->el_p2p_api == EL_P2P_ADMIN ? "admin_peers" : "net_peerCount", "", timeout_ms);
    if (c->boost_enabled || c->boost_next_enabled)
        start_boost(r, p);
}

struct round *round_start(struct probe *p, const struct config_healthd *config, enum round_kind kind,
                          uint64_t timeout_ms, round_done_fn done, void *ctx)
{
    static const char not_made[] = "the call could not be made";
    struct round *r = calloc(1, sizeof *r);
    if (r == NULL)
        return NULL;
    r->config = config;
    r->kind = kind;
    r->done = done;
    r->ctx = ctx;
    r->facts.active = r->facts.enabled = r->facts.el_syncing = NODE_DONT_KNOW;
    set_call(&r->facts.check.sync, false, not_made);
    set_call(&r->facts.check.supervisor, false, not_made);
    set_call(&r->facts.check.peers, false, not_made);
    set_call(&r->facts.check.el_peers, false, not_made);
    r->starting = true;
    start_call(r, p, CALL_SYNC, config->node_rpc, "optimism_syncStatus", "", timeout_ms);
    if (kind != ROUND_PROBE)
        start_call(r, p, CALL_ACTIVE, config->node_rpc, "admin_sequencerActive", "", timeout_ms);
    if (kind == ROUND_FULL)
        start_full(r, p, timeout_ms);
    r->starting = false;
    if (r->open == 0) {
        free(r);
        return NULL;
    }
    return r;
}

void round_cancel(struct round *r)
{
    if (r == NULL)
        return;
    for (size_t i = 0; i < CALL_COUNT; i++)
        rpc_cancel(r->slots[i].call);
    if (r->boost != NULL)
        probe_cancel(r->boost);
    free(r);
}
