/* op-node's JSON-RPC, and sim_set / sim_status. */
#include "shared/base/clock.h"
#include "shared/base/err.h"
#include "shared/base/log.h"
#include "shared/payload/json.h"
#include "tests/sim/blake2b.h"
#include "tests/sim/gossip.h"
#include "tests/sim/sequencer.h"
#include "tests/sim/sim.h"

#include <cjson/cJSON.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define SAFE_LAG_BLOCKS 10
#define FINALIZED_LAG_BLOCKS 30
#define L1_BLOCK_S 12
#define L2_CHAIN_ID 901

static uint64_t param_u64(struct json_span span)
{
    return span.at ? strtoull(span.at + (span.at[0] == '"' ? 1 : 0), NULL, 0) : 0;
}

/* ---- optimism_* ---- */

static void l1_hash(uint64_t number, char ret[HASH_TEXT_BYTES])
{
    struct blake2b b;
    uint8_t hash[32];
    blake2b_begin(&b);
    blake2b_add(&b, "l1", 2);
    blake2b_add(&b, &number, sizeof number);
    blake2b_end(&b, hash);
    hash_to_text(hash, ret);
}

static int print_l1(char *out, size_t size, const char *name, uint64_t number)
{
    char hash[HASH_TEXT_BYTES], parent[HASH_TEXT_BYTES];
    l1_hash(number, hash);
    l1_hash(number - 1, parent);
    return snprintf(out, size,
                    "\"%s\":{\"hash\":\"%s\",\"number\":%" PRIu64 ",\"parentHash\":\"%s\",\"timestamp\":%" PRIu64 "},",
                    name, hash, number, parent, number * L1_BLOCK_S);
}

/* A chain that has not begun reports now as its head's time: waiting for a first block is no lag. */
static uint64_t shown_timestamp(const struct block_ref *b)
{
    return b->number == 0 ? clock_wall_ms() / 1000 : b->timestamp;
}

static int print_l2(char *out, size_t size, const char *name, const struct block_ref *b)
{
    char hash[HASH_TEXT_BYTES], parent[HASH_TEXT_BYTES], origin[HASH_TEXT_BYTES];
    uint64_t l1 = b->timestamp / L1_BLOCK_S;
    hash_to_text(b->hash, hash);
    hash_to_text(b->parent, parent);
    l1_hash(l1, origin);
    return snprintf(out, size,
                    "\"%s\":{\"hash\":\"%s\",\"number\":%" PRIu64 ",\"parentHash\":\"%s\",\"timestamp\":%" PRIu64
                    ",\"l1origin\":{\"hash\":\"%s\",\"number\":%" PRIu64 "},\"sequenceNumber\":%" PRIu64 "},",
                    name, hash, b->number, parent, shown_timestamp(b), origin, l1, b->timestamp % L1_BLOCK_S);
}

static const struct block_ref *lagging(const struct chain *c, uint64_t blocks)
{
    uint64_t head = chain_head(c)->number, oldest = chain_oldest(c)->number;
    return head < oldest + blocks ? chain_oldest(c) : chain_by_number(c, head - blocks);
}

/* The status object; the caller frees it. */
static char *sync_status(const struct sim *s)
{
    enum { SIZE = 8192 };
    char *out = malloc(SIZE);
    if (!out)
        return NULL;
    const struct block_ref *head = chain_head(s->chain), *safe = lagging(s->chain, SAFE_LAG_BLOCKS);
    uint64_t l1 = clock_wall_ms() / 1000 / L1_BLOCK_S;
    const struct {
        const char *name;
        uint64_t number;
    } l1s[] = {{"current_l1", l1},
               {"current_l1_finalized", l1 - 64},
               {"head_l1", l1},
               {"safe_l1", l1 - 32},
               {"finalized_l1", l1 - 64}};
    const struct {
        const char *name;
        const struct block_ref *block;
    } l2s[] = {
        {"unsafe_l2", head},       {"safe_l2", safe},         {"finalized_l2", lagging(s->chain, FINALIZED_LAG_BLOCKS)},
        {"pending_safe_l2", safe}, {"cross_unsafe_l2", head}, {"local_safe_l2", safe}};
    size_t n = 0;
    out[n++] = '{';
    for (size_t i = 0; i < sizeof l1s / sizeof l1s[0]; i++)
        n += (size_t)print_l1(out + n, SIZE - n, l1s[i].name, l1s[i].number);
    for (size_t i = 0; i < sizeof l2s / sizeof l2s[0]; i++)
        n += (size_t)print_l2(out + n, SIZE - n, l2s[i].name, l2s[i].block);
    out[n - 1] = '}';
    out[n] = '\0';
    return out;
}

static void do_sync_status(struct sim *s, struct rpc_call *call, struct json_span params)
{
    (void)params;
    rpc_result_take(call, sync_status(s));
}

static void do_rollup_config(struct sim *s, struct rpc_call *call, struct json_span params)
{
    (void)params;
    char l1[HASH_TEXT_BYTES], l2[HASH_TEXT_BYTES], out[1024];
    const struct block_ref *genesis = chain_by_number(s->chain, 0);
    l1_hash(1, l1);
    hash_to_text(genesis ? genesis->hash : chain_oldest(s->chain)->hash, l2);
    snprintf(
        out, sizeof out,
        "{\"genesis\":{\"l1\":{\"hash\":\"%s\",\"number\":1},\"l2\":{\"hash\":\"%s\",\"number\":0},\"l2_time\":%" PRIu64
        ",\"system_config\":{\"batcherAddr\":\"0x00000000000000000000000000000000000000b1\","
        "\"overhead\":\"0x%064x\",\"scalar\":\"0x%064x\",\"gasLimit\":30000000}},"
        "\"block_time\":%u,\"max_sequencer_drift\":600,\"seq_window_size\":3600,\"channel_timeout\":300,"
        "\"l1_chain_id\":900,\"l2_chain_id\":%d,\"batch_inbox_address\":"
        "\"0xff00000000000000000000000000000000000901\",\"deposit_contract_address\":"
        "\"0x00000000000000000000000000000000000000d1\"}",
        l1, l2, s->cfg.genesis_time, 0, 1, s->cfg.block_time_ms < 1000 ? 1 : s->cfg.block_time_ms / 1000, L2_CHAIN_ID);
    rpc_result(call, out);
}

static void do_output_at_block(struct sim *s, struct rpc_call *call, struct json_span params)
{
    struct json_span item;
    if (!rpc_param(call, params, 0, &item))
        return;
    sequencer_wake(s->sequencer);
    const struct block_ref *b = chain_by_number(s->chain, param_u64(item));
    char *status = sync_status(s), *out = malloc(16384), hash[HASH_TEXT_BYTES], ref[1024];
    if (b && status && out) {
        hash_to_text(b->hash, hash);
        int n = print_l2(ref, sizeof ref, "blockRef", b);
        ref[n - 1] = '\0';
        snprintf(out, 16384,
                 "{\"version\":\"0x%064x\",\"outputRoot\":\"%s\",%s,\"withdrawalStorageRoot\":\"%s\","
                 "\"stateRoot\":\"%s\",\"syncStatus\":%s}",
                 0, hash, ref, hash, hash, status);
        rpc_result(call, out);
    } else {
        rpc_error(call, RPC_ERR_SERVER, "block not found");
    }
    free(status);
    free(out);
}

static void do_version(struct sim *s, struct rpc_call *call, struct json_span params)
{
    (void)s;
    (void)params;
    rpc_result(call, "\"op-node-sim\"");
}

/* ---- admin_* ---- */

static void do_sequencer_active(struct sim *s, struct rpc_call *call, struct json_span params)
{
    (void)params;
    rpc_result_bool(call, sequencer_is_active(s->sequencer));
}

static void do_start_sequencer(struct sim *s, struct rpc_call *call, struct json_span params)
{
    uint8_t hash[32];
    if (!rpc_param_hash(call, params, 0, hash))
        return;
    if (s->mis.value[SW_refuse_start])
        rpc_error(call, RPC_ERR_SERVER, "sequencer start refused by the simulator");
    else
        sequencer_start_call(s->sequencer, call, hash);
}

static void do_stop_sequencer(struct sim *s, struct rpc_call *call, struct json_span params)
{
    (void)params;
    sequencer_stop_call(s->sequencer, call);
}

struct posted {
    size_t len;
    struct block_ref ref;
    uint8_t record[];
};

static void adopt_posted(struct sim *s, void *data)
{
    struct posted *p = data;
    if (sim_is_moving(s)) {
        sim_add_block(s, &p->ref, p->record, p->len, "posted");
        /* Derivation sees the same L1 as before: once more, and then they are forgotten. */
        if (s->mis.value[SW_l1_reorg] > 0 && memcmp(chain_head(s->chain)->hash, s->reorged.hash, 32) == 0) {
            int64_t n = s->mis.value[SW_l1_reorg];
            s->mis.value[SW_l1_reorg] = 0;
            misbehave_set(s, "rewind", n);
        }
    }
    free(p);
}

static void do_post_unsafe_payload(struct sim *s, struct rpc_call *call, struct json_span params)
{
    struct json_span item;
    char text[256] = "", claimed[HASH_TEXT_BYTES], computed[HASH_TEXT_BYTES];
    if (!rpc_param(call, params, 0, &item))
        return;
    size_t bound = payload_json_record_bound(item.len);
    struct posted *p = malloc(sizeof *p + bound);
    if (!p)
        abort();
    int64_t len = payload_record_from_json(item.at, item.len, p->record, bound, text, sizeof text);
    uint8_t actual[32];
    int rc = len < 0 ? (int)len : block_check(p->record, (size_t)len, &p->ref, actual);
    if (len < 0) {
        rpc_error(call, RPC_ERR_PARAMS, "invalid argument 0: %s", text);
    } else if (rc == OC_ECONFLICT) {
        hash_to_text(p->ref.hash, claimed);
        hash_to_text(actual, computed);
        rpc_error(call, RPC_ERR_SERVER, "payload has bad block hash: %s, actual block hash is: %s", claimed, computed);
    } else if (rc != 0) {
        rpc_error(call, RPC_ERR_SERVER, "bad payload: %s", err_text(rc));
    } else if (s->mis.value[SW_refuse_posted]) {
        rpc_error(call, RPC_ERR_SERVER, "payload refused by the simulator");
    } else {
        journal_write_text(&s->journal, "posted", &p->ref, "fate",
                           s->mis.value[SW_ignore_posted] ? "ignored" : "taken");
        p->len = (size_t)len;
        bool take = !s->mis.value[SW_ignore_posted];
        if (take && s->mis.value[SW_adopt_delay_ms] > 0)
            sim_after(s, (uint64_t)s->mis.value[SW_adopt_delay_ms], adopt_posted, p);
        else if (take)
            adopt_posted(s, p);
        rpc_result(call, "null");
        p = take ? NULL : p;
    }
    free(p);
}

static void do_override_leader(struct sim *s, struct rpc_call *call, struct json_span params)
{
    (void)params;
    s->leader_overridden = true;
    rpc_result(call, "null");
}

static void do_conductor_enabled(struct sim *s, struct rpc_call *call, struct json_span params)
{
    (void)params;
    rpc_result_bool(call, s->cfg.conductor_enabled);
}

/* ---- opp2p_* ---- */

static void do_peer_stats(struct sim *s, struct rpc_call *call, struct json_span params)
{
    (void)params;
    char out[256];
    int64_t n = s->mis.value[SW_peers_connected];
    snprintf(out, sizeof out,
             "{\"connected\":%" PRId64 ",\"table\":10,\"blocksTopic\":0,\"blocksTopicV2\":0,\"blocksTopicV3\":0,"
             "\"blocksTopicV4\":%" PRId64 ",\"banned\":0,\"known\":12}",
             n, n);
    rpc_result(call, out);
}

static void do_self(struct sim *s, struct rpc_call *call, struct json_span params)
{
    (void)params;
    char out[512];
    snprintf(out, sizeof out,
             "{\"peerID\":\"16Uiu2HAm-%s\",\"nodeID\":\"%s\",\"userAgent\":\"op-node-sim\",\"protocolVersion\":\"\","
             "\"addresses\":[],\"connectedness\":0,\"direction\":0,\"chainID\":%d,\"gossipBlocks\":true}",
             s->cfg.name, s->cfg.name, L2_CHAIN_ID);
    rpc_result(call, out);
}

/* ---- sim_* ---- */

static void do_sim_set(struct sim *s, struct rpc_call *call, struct json_span params)
{
    struct json_span item;
    if (!rpc_param(call, params, 0, &item))
        return;
    cJSON *object = cJSON_ParseWithLength(item.at, item.len);
    const cJSON *member = cJSON_IsObject(object) ? object->child : NULL;
    if (!member) {
        rpc_error(call, RPC_ERR_PARAMS, "invalid argument 0: an object of switches is needed");
        cJSON_Delete(object);
        return;
    }
    for (const cJSON *m = member; m; m = m->next) {
        const char *urls[CONFIG_PEERS_MAX];
        size_t n = 0;
        if (strcmp(m->string, "peers") == 0 && cJSON_IsArray(m)) {
            for (const cJSON *url = m->child; url && n < CONFIG_PEERS_MAX; url = url->next)
                if (cJSON_IsString(url))
                    urls[n++] = url->valuestring;
            gossip_set_peers(s->gossip, urls, n);
            continue;
        }
        bool is_value = cJSON_IsNumber(m) || cJSON_IsBool(m);
        if (!is_value ||
            misbehave_set(s, m->string, cJSON_IsNumber(m) ? (int64_t)m->valuedouble : cJSON_IsTrue(m)) != 0) {
            rpc_error(call, RPC_ERR_PARAMS, "invalid argument 0: no switch '%s' with such a value", m->string);
            cJSON_Delete(object);
            return;
        }
    }
    cJSON_Delete(object);
    rpc_result(call, "null");
}

static void do_sim_status(struct sim *s, struct rpc_call *call, struct json_span params)
{
    (void)params;
    char hash[HASH_TEXT_BYTES];
    const struct block_ref *head = chain_head(s->chain);
    hash_to_text(head->hash, hash);
    cJSON *o = cJSON_CreateObject();
    cJSON_AddStringToObject(o, "name", s->cfg.name);
    cJSON_AddNumberToObject(o, "pid", getpid());
    cJSON_AddBoolToObject(o, "sequencing", sequencer_is_active(s->sequencer));
    cJSON_AddNumberToObject(o, "head", (double)head->number);
    cJSON_AddStringToObject(o, "head_hash", hash);
    cJSON_AddNumberToObject(o, "head_slot_ms", (double)head->slot_ms);
    cJSON_AddNumberToObject(o, "oldest", (double)chain_oldest(s->chain)->number);
    cJSON_AddNumberToObject(o, "queue_lowest", (double)chain_queue_lowest(s->chain));
    cJSON_AddNumberToObject(o, "commits_failed", (double)sequencer_failed_count(s->sequencer));
    cJSON *switches = cJSON_AddObjectToObject(o, "switches");
    for (int i = 0; i < SW_COUNT; i++)
        cJSON_AddNumberToObject(switches, misbehave_name((enum sim_switch)i), (double)s->mis.value[i]);
    rpc_result_take(call, cJSON_PrintUnformatted(o));
    cJSON_Delete(o);
}

const struct rpc_method rpc_node_methods[] = {
    {"optimism_syncStatus", do_sync_status},
    {"optimism_rollupConfig", do_rollup_config},
    {"optimism_outputAtBlock", do_output_at_block},
    {"optimism_version", do_version},
    {"admin_sequencerActive", do_sequencer_active},
    {"admin_startSequencer", do_start_sequencer},
    {"admin_stopSequencer", do_stop_sequencer},
    {"admin_postUnsafePayload", do_post_unsafe_payload},
    {"admin_overrideLeader", do_override_leader},
    {"admin_conductorEnabled", do_conductor_enabled},
    {"opp2p_peerStats", do_peer_stats},
    {"opp2p_self", do_self},
    {"sim_set", do_sim_set},
    {"sim_status", do_sim_status},
    {NULL, NULL},
};
