/* The execution client's JSON-RPC. */
#include "shared/payload/json.h"
#include "shared/payload/record.h"
#include "tests/sim/sim.h"

#include <cjson/cJSON.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define SAFE_LAG_BLOCKS 10
#define FINALIZED_LAG_BLOCKS 30
#define EMPTY_UNCLES "0x1dcc4de8dec75d7aab85b567b6ccd41ad312451b948a7413f0a142fd40d49347"

static void do_block_number(struct sim *s, struct rpc_call *call, struct json_span params)
{
    (void)params;
    rpc_result_quantity(call, chain_head(s->chain)->number);
}

/* Members of an execution payload under the names that a header has. */
static const char *const RENAMED[][2] = {
    {"blockHash", "hash"},
    {"blockNumber", "number"},
    {"prevRandao", "mixHash"},
    {"feeRecipient", "miner"},
    {"parentHash", "parentHash"},
    {"stateRoot", "stateRoot"},
    {"receiptsRoot", "receiptsRoot"},
    {"logsBloom", "logsBloom"},
    {"gasLimit", "gasLimit"},
    {"gasUsed", "gasUsed"},
    {"timestamp", "timestamp"},
    {"extraData", "extraData"},
    {"baseFeePerGas", "baseFeePerGas"},
    {"blobGasUsed", "blobGasUsed"},
    {"excessBlobGas", "excessBlobGas"},
    {"withdrawalsRoot", "withdrawalsRoot"},
};

static char *header_json(struct json_span envelope, size_t record_len)
{
    struct json_span payload, value;
    if (json_member(envelope, "executionPayload", &payload) != 0 || !payload.at)
        return NULL;
    char size_text[32];
    cJSON *o = cJSON_CreateObject();
    for (size_t i = 0; i < sizeof RENAMED / sizeof RENAMED[0]; i++) {
        if (json_member(payload, RENAMED[i][0], &value) != 0 || !value.at || value.len < 2)
            continue;
        char *text = strndup(value.at, value.len);
        if (!text)
            abort();
        cJSON_AddRawToObject(o, RENAMED[i][1], text);
        free(text);
    }
    if (json_member(envelope, "parentBeaconBlockRoot", &value) == 0 && value.at) {
        char *text = strndup(value.at, value.len);
        if (!text)
            abort();
        cJSON_AddRawToObject(o, "parentBeaconBlockRoot", text);
        free(text);
    }
    snprintf(size_text, sizeof size_text, "0x%zx", record_len);
    cJSON_AddStringToObject(o, "sha3Uncles", EMPTY_UNCLES);
    cJSON_AddStringToObject(o, "difficulty", "0x0");
    cJSON_AddStringToObject(o, "nonce", "0x0000000000000000");
    cJSON_AddStringToObject(o, "size", size_text);
    cJSON *hash = cJSON_GetObjectItemCaseSensitive(o, "stateRoot");
    cJSON_AddItemToObject(o, "transactionsRoot", cJSON_Duplicate(hash, 1));
    cJSON_AddItemToObject(o, "uncles", cJSON_CreateArray());
    cJSON_AddItemToObject(o, "transactions", cJSON_CreateArray());
    char *text = cJSON_PrintUnformatted(o);
    cJSON_Delete(o);
    return text;
}

static void answer_block(struct sim *s, struct rpc_call *call, const struct block_ref *b)
{
    size_t record_len = 0, len = 0;
    uint8_t *record = b ? chain_read_record(s->chain, b->number, &record_len) : NULL;
    struct payload_view view;
    if (!record) {
        rpc_result(call, "null");
        return;
    }
    char *envelope = payload_view_open(record, record_len, &view) == 0 ? payload_record_to_json(&view, &len) : NULL;
    rpc_result_take(call, envelope ? header_json((struct json_span){envelope, len}, record_len) : NULL);
    free(envelope);
    free(record);
}

static const struct block_ref *lagging(const struct chain *c, uint64_t blocks)
{
    uint64_t head = chain_head(c)->number, oldest = chain_oldest(c)->number;
    return head < oldest + blocks ? chain_oldest(c) : chain_by_number(c, head - blocks);
}

static void do_block_by_number(struct sim *s, struct rpc_call *call, struct json_span params)
{
    struct json_span item, full;
    if (!rpc_param(call, params, 0, &item) || !rpc_param(call, params, 1, &full))
        return;
    if (json_span_is_string(item, "latest") || json_span_is_string(item, "pending"))
        answer_block(s, call, chain_head(s->chain));
    else if (json_span_is_string(item, "safe"))
        answer_block(s, call, lagging(s->chain, SAFE_LAG_BLOCKS));
    else if (json_span_is_string(item, "finalized"))
        answer_block(s, call, lagging(s->chain, FINALIZED_LAG_BLOCKS));
    else if (json_span_is_string(item, "earliest"))
        answer_block(s, call, chain_by_number(s->chain, 0));
    else if (item.len > 4 && memcmp(item.at, "\"0x", 3) == 0)
        answer_block(s, call, chain_by_number(s->chain, strtoull(item.at + 1, NULL, 16)));
    else
        rpc_error(call, RPC_ERR_PARAMS, "invalid argument 0: neither a tag nor a 0x number");
}

static void do_block_by_hash(struct sim *s, struct rpc_call *call, struct json_span params)
{
    uint8_t hash[32];
    if (rpc_param_hash(call, params, 0, hash))
        answer_block(s, call, chain_by_hash(s->chain, hash));
}

static void do_syncing(struct sim *s, struct rpc_call *call, struct json_span params)
{
    (void)params;
    if (s->mis.value[SW_el_syncing])
        rpc_result(call, "{\"startingBlock\":\"0x0\",\"currentBlock\":\"0x1\",\"highestBlock\":\"0x100\"}");
    else
        rpc_result_bool(call, false);
}

static void do_chain_id(struct sim *s, struct rpc_call *call, struct json_span params)
{
    (void)s;
    (void)params;
    rpc_result_quantity(call, 901);
}

static void do_peer_count(struct sim *s, struct rpc_call *call, struct json_span params)
{
    (void)params;
    rpc_result_quantity(call, (uint64_t)s->mis.value[SW_peers_connected]);
}

static void do_admin_peers(struct sim *s, struct rpc_call *call, struct json_span params)
{
    (void)params;
    cJSON *list = cJSON_CreateArray();
    for (int64_t i = 0; i < s->mis.value[SW_peers_connected]; i++)
        cJSON_AddItemToArray(list, cJSON_CreateObject());
    rpc_result_take(call, cJSON_PrintUnformatted(list));
    cJSON_Delete(list);
}

static void do_client_version(struct sim *s, struct rpc_call *call, struct json_span params)
{
    (void)s;
    (void)params;
    rpc_result(call, "\"op-node-sim\"");
}

static void do_set_max_da_size(struct sim *s, struct rpc_call *call, struct json_span params)
{
    struct json_span item;
    (void)s;
    if (rpc_param(call, params, 0, &item) && rpc_param(call, params, 1, &item))
        rpc_result_bool(call, true);
}

const struct rpc_method rpc_el_methods[] = {
    {"eth_blockNumber", do_block_number},
    {"eth_getBlockByNumber", do_block_by_number},
    {"eth_getBlockByHash", do_block_by_hash},
    {"eth_syncing", do_syncing},
    {"eth_chainId", do_chain_id},
    {"net_peerCount", do_peer_count},
    {"admin_peers", do_admin_peers},
    {"web3_clientVersion", do_client_version},
    {"miner_setMaxDASize", do_set_max_da_size},
    {NULL, NULL},
};
