/* The JSON-RPC of the op-node model and of its execution client. */
#include "shared/payload/json.h"
#include "tests/simulation/opnode_internal.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#define HEX_SIZE (2 * HASH_SIZE + 1)

static void hash_text(const uint8_t hash[HASH_SIZE], char ret[HEX_SIZE])
{
    hex_encode(hash, HASH_SIZE, ret);
    ret[HEX_SIZE - 1] = '\0';
}

static void answer_error(struct opnode *o, uint64_t id, const char *text)
{
    char json[256];
    snprintf(json, sizeof json, "\"error\":{\"code\":-32000,\"message\":\"%s\"}", text);
    health_answer(o->host, id, json);
}

void opnode_answer_hash(struct opnode *o, uint64_t id)
{
    char hash[HEX_SIZE], json[128];
    hash_text(opnode_head(o)->id.hash, hash);
    snprintf(json, sizeof json, "\"result\":\"0x%s\"", hash);
    health_answer(o->host, id, json);
}

static void answer_bool(struct opnode *o, uint64_t id, bool value)
{
    health_answer(o->host, id, value ? "\"result\":true" : "\"result\":false");
}

static void answer_status(struct opnode *o, uint64_t id)
{
    const struct sim_block *head = opnode_head(o);
    bool blank = o->blank_until_ms > o->host->world->now_ms;
    char hash[HEX_SIZE], json[512];
    static const uint8_t ZERO[HASH_SIZE];
    hash_text(blank ? ZERO : head->id.hash, hash);
    snprintf(json, sizeof json,
             "\"result\":{\"unsafe_l2\":{\"hash\":\"0x%s\",\"number\":%" PRIu64 ",\"timestamp\":%" PRIu64
             "},\"safe_l2\":{\"hash\":\"0x%s\",\"number\":%" PRIu64 ",\"timestamp\":%" PRIu64 "}}",
             hash, blank ? 0 : head->id.number, blank ? 0 : head->slot_ms / 1000, hash, blank ? 0 : o->safe_number,
             blank ? 0 : head->slot_ms / 1000);
    health_answer(o->host, id, json);
}

static void answer_peers(struct opnode *o, uint64_t id)
{
    const struct world *w = o->host->world;
    unsigned peers = 0;
    char json[64];
    for (unsigned i = 0; i < w->host_count; i++)
        peers += i != o->host->index && w->hosts[i].opnode.up && world_is_connected(w, i, o->host->index);
    snprintf(json, sizeof json, "\"result\":{\"connected\":%u}", peers);
    health_answer(o->host, id, json);
}

static void answer_el_head(struct opnode *o, uint64_t id)
{
    char hash[HEX_SIZE], json[192];
    hash_text(opnode_head(o)->id.hash, hash);
    snprintf(json, sizeof json, "\"result\":{\"number\":\"0x%" PRIx64 "\",\"hash\":\"0x%s\"}",
             opnode_head(o)->id.number, hash);
    health_answer(o->host, id, json);
}

/* The block whose hash follows `key` in the request; 0: none. */
static uint32_t find_block(const struct opnode *o, const char *body, const char *key)
{
    uint8_t hash[HASH_SIZE];
    const char *at = strstr(body, key);
    if (at == NULL || hex_decode(at + strlen(key), (size_t)2 * HASH_SIZE, hash) != 0)
        return 0;
    return block_find(o->host->world, hash);
}

static void start_sequencer(struct opnode *o, uint64_t id, const char *body)
{
    struct world *w = o->host->world;
    if (o->refuse_until_ms > w->now_ms) {
        answer_error(o, id, "the engine does not answer");
        return;
    }
    if (o->start.id != 0) {
        answer_error(o, id, "another start is under way");
        return;
    }
    o->start.id = id;
    o->start.hash_block = find_block(o, body, "[\"0x");
    o->start.at_ms = w->now_ms + dice_below(&w->dice, 4);
}

void opnode_start_as_leader(struct opnode *o)
{
    struct world *w = o->host->world;
    uint64_t id = o->start.id;
    int leader = rpc_leader(o->host);
    o->start.id = 0;
    if (leader < 0) {
        answer_error(o, id, "sequencer leader check failed: connection refused");
    } else if (leader == 0) {
        answer_error(o, id, "sequencer is not the leader, aborting.");
    } else if (o->active) {
        answer_error(o, id, "sequencer already running");
    } else if (o->start.hash_block != o->head) {
        answer_error(o, id, "block hash does not match: head H, received R");
    } else {
        check_started(o->host, o->head);
        w->starts++;
        o->active = true;
        o->stopping = false;
        world_log(w, o->host, "sequencer starts on %u", (unsigned)opnode_head(o)->id.number);
        opnode_schedule(o);
        health_answer(o->host, id, "\"result\":null");
    }
}

static void stop_sequencer(struct opnode *o, uint64_t id)
{
    if (!o->active) {
        answer_error(o, id, "sequencer not running");
        return;
    }
    if (o->stop_count == OPNODE_STOPS_MAX) {
        answer_error(o, id, "too many stop requests wait");
        return;
    }
    if (o->stop_hangs_until_ms <= o->host->world->now_ms)
        o->stop_calls[o->stop_count++] = id;
    o->stopping = true;
    if (o->state != OPNODE_COMMIT && o->state != OPNODE_RETRY)
        opnode_finish_stop(o);
}

void opnode_request(struct opnode *o, uint64_t id, const char *body)
{
    struct world *w = o->host->world;
    if (!o->up) {
        health_answer(o->host, id, NULL);
        return;
    }
    if (o->hang_until_ms > w->now_ms)
        return;
    if (strstr(body, "optimism_syncStatus") != NULL) {
        answer_status(o, id);
    } else if (strstr(body, "admin_sequencerActive") != NULL) {
        answer_bool(o, id, o->active);
    } else if (strstr(body, "admin_conductorEnabled") != NULL) {
        answer_bool(o, id, true);
    } else if (strstr(body, "opp2p_peerStats") != NULL) {
        answer_peers(o, id);
    } else if (strstr(body, "eth_syncing") != NULL) {
        answer_bool(o, id, o->syncing_until_ms > w->now_ms);
    } else if (strstr(body, "eth_getBlockByNumber") != NULL) {
        answer_el_head(o, id);
    } else if (o->blank_until_ms > w->now_ms) {
        answer_error(o, id, "no prestate, cannot determine if sequencer start is safe");
    } else if (strstr(body, "admin_postUnsafePayload") != NULL) {
        uint32_t block = find_block(o, body, "\"blockHash\":\"0x");
        if (block == 0)
            world_fail(w, "a payload is posted that was never sealed");
        opnode_receive(o, block);
        health_answer(o->host, id, "\"result\":null");
    } else if (strstr(body, "admin_startSequencer") != NULL) {
        start_sequencer(o, id, body);
    } else if (strstr(body, "admin_stopSequencer") != NULL) {
        stop_sequencer(o, id);
    } else if (strstr(body, "optimism_outputAtBlock") != NULL) {
        health_answer(o->host, id, "\"result\":{}"); /* nobody waits for it: it wakes a real op-node's event loop */
    } else {
        world_fail(w, "op-node is asked what it does not know: %s", body);
    }
}
