/* The block production cycle: wait for the slot, seal, commit (two tries within the conductor's
 * timeout, 50 ms apart; after a failure 1 s of backoff), gossip, adopt.
 */
#include "tests/sim/sequencer.h"

#include "shared/base/clock.h"
#include "shared/base/log.h"
#include "shared/payload/json.h"
#include "shared/payload/record.h"
#include "tests/sim/gossip.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define COMMIT_TRIES 2
#define COMMIT_TRY_GAP_MS 50
#define BACKOFF_MS 1000
#define STOP_CALLS_MAX 16
#define LEADER_TIMEOUT_MS 1000
/* op-node looks at a sequencer that was started when anything else happens, at the latest after so many block times. */
#define DOZE_BLOCKS 2

enum sequencer_state {
    SEQ_IDLE,    /* nothing to do, or not active */
    SEQ_DOZE,    /* started, which the event loop has not noticed yet */
    SEQ_WAIT,    /* built; waits for its slot */
    SEQ_COMMIT,  /* a try is under way */
    SEQ_RETRY,   /* between tries, or held back by slow_commit_ms */
    SEQ_BACKOFF, /* after a failed commit */
};

struct sequencer {
    struct sim *s;
    uv_timer_t timer;
    bool active;
    bool stopping;
    enum sequencer_state state;
    struct block built; /* record NULL: none */
    char *request;      /* the commit's JSON-RPC body */
    size_t request_len;
    uint64_t commit_deadline_ms; /* monotonic */
    unsigned tries;
    uint64_t failed_count;
    struct rpc_call *stop_calls[STOP_CALLS_MAX];
    size_t n_stop_calls;
};

static void try_commit(struct sequencer *q);
static void on_timer(uv_timer_t *timer);

static void set_timer(struct sequencer *q, enum sequencer_state state, uint64_t delay_ms)
{
    q->state = state;
    uv_update_time(q->s->loop);
    uv_timer_start(&q->timer, on_timer, delay_ms, 0);
}

static void drop_built(struct sequencer *q)
{
    free(q->built.record);
    free(q->request);
    q->built.record = NULL;
    q->request = NULL;
}

struct sequencer *sequencer_new(struct sim *s)
{
    struct sequencer *q = calloc(1, sizeof *q);
    if (!q)
        abort();
    q->s = s;
    q->timer.data = q;
    uv_timer_init(s->loop, &q->timer);
    return q;
}

bool sequencer_is_active(const struct sequencer *q)
{
    return q->active;
}

uint64_t sequencer_failed_count(const struct sequencer *q)
{
    return q->failed_count;
}

/* The slot after the parent's; a chain's first block is due now, not at its genesis. */
static uint64_t next_slot_ms(const struct sim *s, const struct block_ref *parent)
{
    uint64_t step = s->cfg.block_time_ms, slot = parent->slot_ms + step, now = clock_wall_ms();
    if (parent->number == 0 && now > slot)
        slot += (now - slot + step - 1) / step * step;
    return slot;
}

static bool build(struct sequencer *q)
{
    struct sim *s = q->s;
    struct block_ref parent = *chain_head(s->chain);
    if (q->built.record && memcmp(q->built.ref.parent, parent.hash, 32) == 0)
        return true;
    drop_built(q);
    int64_t other_size = s->mis.value[SW_payload_bytes];
    uint32_t payload_bytes = other_size > 0 ? (uint32_t)other_size : s->cfg.payload_bytes;
    int rc = block_build(&parent, next_slot_ms(s, &parent), payload_bytes, s->cfg.fork, &s->seed, &q->built);
    struct payload_view view;
    if (rc == 0)
        rc = payload_view_open(q->built.record, q->built.len, &view);
    size_t envelope_len = 0;
    char *envelope = rc == 0 ? payload_record_to_json(&view, &envelope_len) : NULL;
    q->request = envelope ? malloc(envelope_len + 128) : NULL;
    if (!q->request) {
        LOG_ERROR("Cannot build a block", LOG_E(rc));
        free(envelope);
        return false;
    }
    int n =
        snprintf(q->request, 128,
                 "{\"jsonrpc\":\"2.0\",\"id\":%" PRIu64 ",\"method\":\"conductor_commitUnsafePayload\",\"params\":[",
                 q->built.ref.number);
    memcpy(q->request + n, envelope, envelope_len);
    memcpy(q->request + (size_t)n + envelope_len, "]}", 2);
    q->request_len = (size_t)n + envelope_len + 2;
    free(envelope);
    return true;
}

static void schedule(struct sequencer *q)
{
    if (!q->active || q->stopping || !sim_is_moving(q->s)) {
        if (q->state == SEQ_WAIT || q->state == SEQ_BACKOFF || q->state == SEQ_DOZE) {
            uv_timer_stop(&q->timer);
            q->state = SEQ_IDLE;
        }
        return;
    }
    if (q->state == SEQ_COMMIT || q->state == SEQ_RETRY || q->state == SEQ_DOZE)
        return;
    if (!build(q)) {
        set_timer(q, SEQ_BACKOFF, BACKOFF_MS);
        return;
    }
    uint64_t now = clock_wall_ms();
    set_timer(q, SEQ_WAIT, q->built.ref.slot_ms > now ? q->built.ref.slot_ms - now : 0);
}

static void finish_stop(struct sequencer *q)
{
    struct sim *s = q->s;
    uv_timer_stop(&q->timer);
    q->state = SEQ_IDLE;
    q->active = false;
    q->stopping = false;
    drop_built(q);
    journal_write(&s->journal, "sequencer_stopped", chain_head(s->chain), NULL);
    LOG_INFO("Sequencer has been stopped", LOG_U("number", chain_head(s->chain)->number));
    for (size_t i = 0; i < q->n_stop_calls; i++)
        rpc_result_hash(q->stop_calls[i], chain_head(s->chain)->hash);
    q->n_stop_calls = 0;
}

static void on_acknowledged(struct sequencer *q, const char *by)
{
    struct sim *s = q->s;
    struct block b = q->built;
    q->built.record = NULL; /* adopting calls back */
    drop_built(q);
    q->state = SEQ_IDLE;
    journal_write_text(&s->journal, "acknowledged", &b.ref, "by", by);
    gossip_send(s->gossip, &b.ref, b.record, b.len);
    const struct block_ref *head = chain_head(s->chain);
    const struct block_ref *same = chain_by_number(s->chain, b.ref.number);
    /* Something else took its place meanwhile: the acknowledged block is the one that counts. */
    if ((same ? memcmp(same->hash, b.ref.hash, 32) != 0 : false) ||
        (b.ref.number == head->number + 1 && memcmp(head->hash, b.ref.parent, 32) != 0)) {
        const struct block_ref *parent = chain_by_hash(s->chain, b.ref.parent);
        if (parent)
            sim_rewind(s, parent->number, "rewind");
    }
    int rc = chain_add(s->chain, &b.ref, b.record, b.len, "own");
    if (rc < 0)
        LOG_ERROR("Cannot adopt the own block", LOG_E(rc));
    free(b.record);
    if (q->stopping)
        finish_stop(q);
    else
        schedule(q);
}

static void on_commit_failed(struct sequencer *q, const char *text)
{
    q->failed_count++;
    journal_write_text(&q->s->journal, "commit_failed", &q->built.ref, "text", text);
    LOG_WARN("Failed to commit a block to the conductor", LOG_U("number", q->built.ref.number), LOG_S("err", text));
    if (q->stopping) {
        finish_stop(q);
        return;
    }
    if (q->s->mis.value[SW_rebuild])
        drop_built(q);
    set_timer(q, SEQ_BACKOFF, BACKOFF_MS);
}

static void on_commit_answer(void *ctx, struct http_client_result *result)
{
    struct sequencer *q = ctx;
    char text[256];
    struct json_span answer = {result->body, result->body_len}, error, value, message;
    if (result->rc != 0) {
        snprintf(text, sizeof text, "%s", result->text);
    } else if (result->status != 200) {
        snprintf(text, sizeof text, "HTTP status %d", result->status);
    } else if (json_member(answer, "error", &error) != 0 || json_member(answer, "result", &value) != 0) {
        snprintf(text, sizeof text, "the answer is no JSON");
    } else if (error.at) {
        if (json_member(error, "message", &message) != 0 || message.len < 2)
            message = error;
        else
            message = (struct json_span){message.at + 1, message.len - 2}; /* without its quotes */
        snprintf(text, sizeof text, "%.*s", (int)(message.len < 200 ? message.len : 200), message.at);
    } else if (!value.at) {
        snprintf(text, sizeof text, "the answer has no result");
    } else {
        on_acknowledged(q, "conductor");
        return;
    }
    if (q->tries < COMMIT_TRIES && clock_mono_ms() + COMMIT_TRY_GAP_MS < q->commit_deadline_ms) {
        set_timer(q, SEQ_RETRY, COMMIT_TRY_GAP_MS);
        return;
    }
    on_commit_failed(q, text);
}

static void try_commit(struct sequencer *q)
{
    struct sim *s = q->s;
    if (!s->cfg.conductor_enabled || s->leader_overridden) {
        on_acknowledged(q, s->leader_overridden ? "override" : "none");
        return;
    }
    uint64_t now = clock_mono_ms();
    if (now >= q->commit_deadline_ms) {
        on_commit_failed(q, "context deadline exceeded");
        return;
    }
    q->tries++;
    q->state = SEQ_COMMIT;
    int rc = 0;
    if (!http_client_post_json(s->conductor_client, s->cfg.conductor_rpc, q->request, q->request_len,
                               (uint32_t)(q->commit_deadline_ms - now), on_commit_answer, q, &rc))
        on_commit_failed(q, "cannot send the request");
}

static void seal(struct sequencer *q)
{
    if (clock_wall_ms() < q->built.ref.slot_ms) { /* the timer counts whole loop ticks */
        schedule(q);
        return;
    }
    journal_write(&q->s->journal, "sealed", &q->built.ref, NULL);
    q->tries = 0;
    q->commit_deadline_ms = clock_mono_ms() + q->s->cfg.conductor_timeout_ms;
    if (q->s->mis.value[SW_slow_commit_ms] > 0)
        set_timer(q, SEQ_RETRY, (uint64_t)q->s->mis.value[SW_slow_commit_ms]);
    else
        try_commit(q);
}

static void on_timer(uv_timer_t *timer)
{
    struct sequencer *q = timer->data;
    switch (q->state) {
    case SEQ_WAIT:
        if (sim_is_moving(q->s))
            seal(q);
        else
            q->state = SEQ_IDLE;
        break;
    case SEQ_RETRY:
        try_commit(q);
        break;
    case SEQ_DOZE:
    case SEQ_BACKOFF:
        q->state = SEQ_IDLE;
        schedule(q);
        break;
    case SEQ_IDLE:
    case SEQ_COMMIT:
        break;
    }
}

void sequencer_wake(struct sequencer *q)
{
    if (q->state == SEQ_DOZE)
        q->state = SEQ_IDLE;
    schedule(q);
}

static void begin(struct sequencer *q)
{
    q->active = true;
    journal_write(&q->s->journal, "sequencer_started", chain_head(q->s->chain), NULL);
    LOG_INFO("Sequencer has been started", LOG_U("number", chain_head(q->s->chain)->number));
}

void sequencer_start(struct sequencer *q)
{
    begin(q);
    schedule(q);
}

struct start_request {
    struct sequencer *q;
    struct rpc_call *call;
    uint8_t hash[32];
};

static void start_as_leader(struct start_request *r)
{
    struct sequencer *q = r->q;
    const struct block_ref *head = chain_head(q->s->chain);
    char mine[HASH_TEXT_BYTES], theirs[HASH_TEXT_BYTES];
    hash_to_text(head->hash, mine);
    hash_to_text(r->hash, theirs);
    if (q->active) {
        rpc_error(r->call, RPC_ERR_SERVER, "sequencer already running");
    } else if (memcmp(head->hash, r->hash, 32) != 0) {
        rpc_error(r->call, RPC_ERR_SERVER, "block hash does not match: head %s:%" PRIu64 ", received %s", mine,
                  head->number, theirs);
    } else {
        begin(q);
        set_timer(q, SEQ_DOZE, DOZE_BLOCKS * q->s->cfg.block_time_ms);
        rpc_result(r->call, "null");
    }
    free(r);
}

static void on_leader_answer(void *ctx, struct http_client_result *result)
{
    struct start_request *r = ctx;
    struct json_span answer = {result->body, result->body_len}, value = {NULL, 0};
    if (result->rc == 0 && result->status == 200 && json_member(answer, "result", &value) != 0)
        value.at = NULL;
    if (json_span_is(value, "true")) {
        start_as_leader(r);
        return;
    }
    if (json_span_is(value, "false"))
        rpc_error(r->call, RPC_ERR_SERVER, "sequencer is not the leader, aborting.");
    else
        rpc_error(r->call, RPC_ERR_SERVER, "sequencer leader check failed: %s",
                  result->rc != 0 ? result->text : "the conductor gave no answer to conductor_leader");
    free(r);
}

void sequencer_start_call(struct sequencer *q, struct rpc_call *call, const uint8_t hash[32])
{
    static const char QUESTION[] = "{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"conductor_leader\",\"params\":[]}";
    struct sim *s = q->s;
    struct start_request *r = malloc(sizeof *r);
    if (!r)
        abort();
    r->q = q;
    r->call = call;
    memcpy(r->hash, hash, 32);
    if (!s->cfg.conductor_enabled || s->leader_overridden) {
        start_as_leader(r);
        return;
    }
    if (!http_client_post_json(s->conductor_client, s->cfg.conductor_rpc, QUESTION, sizeof QUESTION - 1,
                               LEADER_TIMEOUT_MS, on_leader_answer, r, NULL)) {
        rpc_error(call, RPC_ERR_SERVER, "sequencer leader check failed: cannot send the request");
        free(r);
    }
}

void sequencer_stop_call(struct sequencer *q, struct rpc_call *call)
{
    if (!q->active) {
        rpc_error(call, RPC_ERR_SERVER, "sequencer not running");
        return;
    }
    if (q->n_stop_calls == STOP_CALLS_MAX) {
        rpc_error(call, RPC_ERR_SERVER, "too many stop requests wait");
        return;
    }
    if (!q->s->mis.value[SW_hang_stop])
        q->stop_calls[q->n_stop_calls++] = call;
    q->stopping = true;
    if (q->state != SEQ_COMMIT && q->state != SEQ_RETRY)
        finish_stop(q);
}
