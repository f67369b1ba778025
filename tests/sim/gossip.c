/* Pushes blocks to peers and fetches missing ones. */
#include "tests/sim/gossip.h"

#include "shared/base/clock.h"
#include "shared/base/err.h"
#include "shared/base/log.h"
#include "tests/sim/sequencer.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define GOSSIP_TIMEOUT_MS 5000
#define SYNC_TIMEOUT_MS 10000
#define SYNC_INTERVAL_MS 500
#define SYNC_ANSWER_BYTES ((size_t)16 << 20)
#define SYNC_BLOCKS_MAX 256

struct gossip {
    struct sim *s;
    uv_timer_t timer;
    char *peers[CONFIG_PEERS_MAX]; /* without a trailing slash */
    size_t n_peers;
    size_t next_peer;
    bool is_syncing;
    uint64_t seed;
};

static void ask_for_blocks(struct gossip *g);

static void on_timer(uv_timer_t *timer)
{
    ask_for_blocks(timer->data);
}

struct gossip *gossip_new(struct sim *s)
{
    struct gossip *g = calloc(1, sizeof *g);
    if (!g)
        abort();
    g->s = s;
    g->seed = clock_mono_ns();
    gossip_set_peers(g, s->cfg.peers, s->cfg.n_peers);
    g->timer.data = g;
    uv_timer_init(s->loop, &g->timer);
    uv_timer_start(&g->timer, on_timer, 0, SYNC_INTERVAL_MS);
    return g;
}

static void free_peers(struct gossip *g)
{
    for (size_t i = 0; i < g->n_peers; i++)
        free(g->peers[i]);
    g->n_peers = 0;
}

void gossip_set_peers(struct gossip *g, const char *const *urls, size_t n)
{
    free_peers(g);
    for (size_t i = 0; i < n && i < CONFIG_PEERS_MAX; i++) {
        size_t len = strlen(urls[i]);
        while (len > 0 && urls[i][len - 1] == '/')
            len--;
        char *copy = strndup(urls[i], len);
        if (!copy)
            abort();
        g->peers[g->n_peers++] = copy;
    }
}

/* ---- pushing ---- */

static void on_pushed(void *ctx, struct http_client_result *result)
{
    struct sim *s = ctx;
    if (result->rc != 0 && sim_is_moving(s))
        LOG_DEBUG("A peer did not take a block", LOG_S("err", result->text));
}

static bool happens(struct gossip *g, int64_t percent)
{
    g->seed = g->seed * 6364136223846793005u + 1442695040888963407u;
    return (int64_t)((g->seed >> 33) % 100) < percent;
}

struct delayed_block {
    size_t len;
    uint8_t record[];
};

static void push(struct sim *s, const uint8_t *record, size_t len)
{
    struct gossip *g = s->gossip;
    for (size_t i = 0; i < g->n_peers; i++) {
        char url[512];
        snprintf(url, sizeof url, "%s/gossip", g->peers[i]);
        if (!happens(g, s->mis.value[SW_gossip_drop_out]))
            http_client_post(s->peer_client, url, "application/octet-stream", record, len, GOSSIP_TIMEOUT_MS, on_pushed,
                             s, NULL);
    }
}

static void push_delayed(struct sim *s, void *data)
{
    struct delayed_block *d = data;
    push(s, d->record, d->len);
    free(d);
}

void gossip_send(struct gossip *g, const struct block_ref *ref, const uint8_t *record, size_t len)
{
    struct sim *s = g->s;
    int64_t delay_ms = s->mis.value[SW_gossip_delay_ms];
    if (delay_ms > 0) {
        struct delayed_block *d = malloc(sizeof *d + len);
        if (!d)
            abort();
        d->len = len;
        memcpy(d->record, record, len);
        sim_after(s, (uint64_t)delay_ms, push_delayed, d);
    } else {
        push(s, record, len);
    }
    journal_write(&s->journal, "gossiped", ref, NULL);
}

/* ---- being pushed to ---- */

void gossip_serve_block(struct gossip *g, struct http_request *req)
{
    struct sim *s = g->s;
    size_t len;
    const uint8_t *record = (const uint8_t *)http_request_body(req, &len);
    struct block_ref ref;
    uint8_t actual[32];
    int rc = len == 0 ? OC_ESYNTAX : block_check(record, len, &ref, actual);
    if (rc == 0 && !happens(g, s->mis.value[SW_gossip_drop_in]) && sim_is_moving(s)) {
        int result = sim_add_block(s, &ref, record, len, "gossip");
        if (result == CHAIN_QUEUED)
            ask_for_blocks(g);
    }
    if (rc == 0)
        http_respond(req, 200, NULL, "", 0);
    else
        http_respond(req, 400, "text/plain", "bad block\n", 10);
}

/* ---- fetching ---- */

/* The answer: (u32 length, record) for each block. */
void gossip_serve_range(struct gossip *g, struct http_request *req)
{
    struct chain *c = g->s->chain;
    size_t len;
    const char *body = http_request_body(req, &len);
    uint64_t from = len ? strtoull(body, NULL, 10) : 0;
    uint64_t oldest = chain_oldest(c)->number;
    if (from < oldest)
        from = oldest;
    size_t at = 0, size = 4096;
    char *out = malloc(size);
    if (!out)
        abort();
    for (unsigned i = 0; i < SYNC_BLOCKS_MAX; i++) {
        size_t record_len;
        uint8_t *record = chain_read_record(c, from + i, &record_len);
        if (!record)
            break;
        if (at > 0 && at + record_len > SYNC_ANSWER_BYTES) {
            free(record);
            break;
        }
        while (size < at + 4 + record_len)
            size *= 2;
        out = realloc(out, size);
        if (!out)
            abort();
        uint32_t prefix = (uint32_t)record_len;
        memcpy(out + at, &prefix, 4);
        memcpy(out + at + 4, record, record_len);
        at += 4 + record_len;
        free(record);
    }
    http_respond_take(req, 200, "application/octet-stream", out, at);
}

/* Takes the blocks of an answer. Returns how many became the head. */
static unsigned take_blocks(struct sim *s, const uint8_t *data, size_t len)
{
    unsigned adopted = 0;
    for (size_t at = 0; len - at >= 4;) {
        uint32_t record_len;
        memcpy(&record_len, data + at, 4);
        at += 4;
        if (record_len > len - at)
            break;
        struct block_ref ref;
        uint8_t actual[32];
        if (block_check(data + at, record_len, &ref, actual) != 0)
            break;
        int rc;
        if (adopted == 0 && ref.number > chain_head(s->chain)->number + 1)
            rc = chain_restart_from(s->chain, &ref, data + at, record_len); /* the peer keeps nothing older */
        else
            rc = sim_add_block(s, &ref, data + at, record_len, "sync");
        if (rc == CHAIN_ADOPTED)
            adopted++;
        else if (rc != CHAIN_KNOWN)
            break;
        at += record_len;
    }
    return adopted;
}

static void on_blocks(void *ctx, struct http_client_result *result)
{
    struct gossip *g = ctx;
    g->is_syncing = false;
    if (result->rc != 0 || result->status != 200 || !sim_is_moving(g->s) || sequencer_is_active(g->s->sequencer))
        return;
    if (take_blocks(g->s, (const uint8_t *)result->body, result->body_len) > 0)
        ask_for_blocks(g);
}

/* Asks the next peer for what follows the head. */
static void ask_for_blocks(struct gossip *g)
{
    struct sim *s = g->s;
    if (g->is_syncing || g->n_peers == 0 || s->mis.value[SW_no_sync] || !sim_is_moving(s) ||
        sequencer_is_active(s->sequencer))
        return;
    char url[512], body[32];
    snprintf(url, sizeof url, "%s/blocks", g->peers[g->next_peer++ % g->n_peers]);
    int n = snprintf(body, sizeof body, "%" PRIu64, chain_head(s->chain)->number + 1);
    g->is_syncing = http_client_post(s->peer_client, url, "text/plain", body, (size_t)n, SYNC_TIMEOUT_MS, on_blocks, g,
                                     NULL) != NULL;
}
