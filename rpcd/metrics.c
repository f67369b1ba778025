/* Counting calls and commits, and the exposition (see metrics.h). */
#include "rpcd/metrics.h"

#include "rpcd/commit.h"
#include "rpcd/histogram.h"
#include "rpcd/json_scan.h"
#include "rpcd/jsonrpc.h"
#include "rpcd/metrics_pages.h"

#include <inttypes.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Answers by error; an unusual code of an upstream counts as -32000. */
static const int codes[] = {
    0, JSONRPC_SERVER, JSONRPC_INVALID_PARAMS, JSONRPC_METHOD_NOT_FOUND, JSONRPC_INVALID_REQUEST, JSONRPC_TIMED_OUT};
enum { CODE_COUNT = sizeof codes / sizeof codes[0] };

static const struct histogram_buckets call_buckets = {11, {.005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10}};
static const struct histogram_buckets commit_buckets = {9, {.001, .0025, .005, .01, .025, .05, .1, .25, .5}};
static const struct histogram_buckets short_buckets = {8, {.0001, .00025, .0005, .001, .0025, .005, .01, .025}};
static const struct histogram_buckets store_buckets = {9, {.0001, .00025, .0005, .001, .0025, .005, .01, .025, .05}};
static const struct histogram_buckets stage_buckets = {
    12, {.0001, .00025, .0005, .001, .0025, .005, .01, .025, .05, .1, .25, .5}};
static const struct histogram_buckets size_buckets = {9, {1000, 10000, 50000, 100000, 500000, 1e6, 1.5e6, 2e6, 2.5e6}};

/* From the first byte of a commit to its answer, piece by piece. */
enum stage {
    STAGE_BODY,
    STAGE_PARSE,
    STAGE_HAND_OVER,
    STAGE_PROPOSE,
    STAGE_QUORUM,
    STAGE_APPLY,
    STAGE_ANSWER,
    STAGE_COUNT
};
static const char *const stage_names[STAGE_COUNT] = {"body",   "parse", "hand_over", "propose",
                                                     "quorum", "apply", "answer"};

struct method_counts {
    uint64_t requests;
    uint64_t responses[CODE_COUNT];
    uint64_t params_bytes, result_bytes;
    struct histogram duration;
};

struct metrics {
    struct rpcd *app;
    struct method_counts methods[METHOD_COUNT + 1]; /* the last: unknown ones */
    struct histogram commit_binary[2], commit_total, commit_parse, commit_raft, commit_store, commit_apply, commit_size;
    struct histogram stages[STAGE_COUNT];
    uint64_t scrapes;
    struct metrics_cpu cpu;
};

struct metrics *metrics_new(struct rpcd *app)
{
    struct metrics *m = calloc(1, sizeof *m);
    if (m != NULL)
        m->app = app;
    return m;
}

void metrics_free(struct metrics *m)
{
    free(m);
}

static double seconds(uint64_t ns)
{
    return (double)ns / 1e9;
}

void metrics_count_call(struct metrics *m, const struct method *method, int code, uint64_t took_ns,
                        uint64_t params_bytes, uint64_t result_bytes)
{
    struct method_counts *c = &m->methods[method != NULL ? (size_t)method->id : METHOD_COUNT];
    size_t i = CODE_COUNT - 1;
    while (i > 0 && codes[i] != code)
        i--;
    if (i == 0 && code != 0)
        i = 1;
    c->requests++;
    c->responses[i]++;
    c->params_bytes += params_bytes;
    c->result_bytes += result_bytes;
    histogram_add(&c->duration, &call_buckets, seconds(took_ns));
}

void metrics_count_commit(struct metrics *m, bool ok, bool is_binary, uint64_t took_ns, uint64_t bytes)
{
    if (is_binary)
        histogram_add(&m->commit_binary[ok], &commit_buckets, seconds(took_ns));
    if (ok)
        histogram_add(&m->commit_total, &commit_buckets, seconds(took_ns));
    histogram_add(&m->commit_size, &size_buckets, (double)bytes);
}

void metrics_count_commit_parsed(struct metrics *m, uint64_t took_ns)
{
    histogram_add(&m->commit_parse, &short_buckets, seconds(took_ns));
}

static void add_stage(struct metrics *m, enum stage stage, uint64_t from_ns, uint64_t to_ns)
{
    if (from_ns != 0 && to_ns >= from_ns)
        histogram_add(&m->stages[stage], &stage_buckets, seconds(to_ns - from_ns));
}

void metrics_count_commit_stages(struct metrics *m, const struct commit_stamps *s, uint64_t sent_ns, uint64_t now_ns)
{
    histogram_add(&m->commit_raft, &commit_buckets, seconds(now_ns - sent_ns));
    if (s->quorum != 0 && s->applied >= s->quorum)
        histogram_add(&m->commit_apply, &short_buckets, seconds(s->applied - s->quorum));
    if (s->proposed != 0 && s->leader_durable >= s->proposed)
        histogram_add(&m->commit_store, &store_buckets, seconds(s->leader_durable - s->proposed));
    add_stage(m, STAGE_BODY, s->first_byte, s->body_complete);
    add_stage(m, STAGE_PARSE, s->body_complete, s->parsed);
    add_stage(m, STAGE_HAND_OVER, sent_ns, s->taken);
    add_stage(m, STAGE_PROPOSE, s->taken, s->proposed);
    add_stage(m, STAGE_QUORUM, s->proposed, s->quorum);
    add_stage(m, STAGE_APPLY, s->quorum, s->applied);
    add_stage(m, STAGE_ANSWER, s->applied, now_ns);
}

/* ---- exposition ---- */

static const char *method_name(size_t i)
{
    return i < METHOD_COUNT ? method_get((enum method_id)i)->name : "unknown";
}

/* A counter of each method, at `offset` in its counts. */
static void put_call_counter(const struct metrics *m, struct text *out, const char *name, const char *help,
                             size_t offset)
{
    metrics_put_head(out, name, "counter", help);
    for (size_t i = 0; i <= METHOD_COUNT; i++) {
        uint64_t value;
        if (m->methods[i].requests == 0)
            continue;
        memcpy(&value, (const char *)&m->methods[i] + offset, sizeof value);
        text_put(out, "%s{method=\"%s\",rpc=\"main\"} %" PRIu64 "\n", name, method_name(i), value);
    }
}

static void put_calls(const struct metrics *m, struct text *out)
{
    char labels[160];
    put_call_counter(m, out, "op_conductor_rpc_server_requests_total", "RPC requests.",
                     offsetof(struct method_counts, requests));
    put_call_counter(m, out, "op_conductor_rpc_server_params_size_total", "Bytes of params of RPC requests.",
                     offsetof(struct method_counts, params_bytes));
    put_call_counter(m, out, "op_conductor_rpc_server_results_size_total", "Bytes of results of RPC requests.",
                     offsetof(struct method_counts, result_bytes));
    metrics_put_head(out, "op_conductor_rpc_server_responses_total", "counter", "RPC responses by error.");
    for (size_t i = 0; i <= METHOD_COUNT; i++) {
        for (size_t k = 0; k < CODE_COUNT; k++) {
            char error[32] = "<nil>";
            if (m->methods[i].responses[k] == 0)
                continue;
            if (k > 0)
                (void)snprintf(error, sizeof error, "rpc_%d", codes[k]);
            text_put(out,
                     "op_conductor_rpc_server_responses_total{error=\"%s\",method=\"%s\",rpc=\"main\"} %" PRIu64 "\n",
                     error, method_name(i), m->methods[i].responses[k]);
        }
    }
    metrics_put_head(out, "op_conductor_rpc_server_request_duration_seconds", "histogram", "Duration of RPC requests.");
    for (size_t i = 0; i <= METHOD_COUNT; i++) {
        if (m->methods[i].requests == 0)
            continue;
        (void)snprintf(labels, sizeof labels, "method=\"%s\",rpc=\"main\"", method_name(i));
        histogram_put(&m->methods[i].duration, &call_buckets, out, "op_conductor_rpc_server_request_duration_seconds",
                      labels);
    }
}

static void put_histogram(struct text *out, const struct histogram *h, const struct histogram_buckets *buckets,
                          const char *name, const char *help)
{
    metrics_put_head(out, name, "histogram", help);
    histogram_put(h, buckets, out, name, "");
}

static void put_commits(const struct metrics *m, struct text *out)
{
    static const char binary[] = "op_conductor_binary_commit_request_duration_seconds";
    static const char stage[] = "op_conductor_commit_stage_duration_seconds";
    char labels[64];
    metrics_put_head(out, binary, "histogram", "Duration of binary commit requests.");
    for (int ok = 0; ok < 2; ok++)
        if (m->commit_binary[ok].count > 0)
            histogram_put(&m->commit_binary[ok], &commit_buckets, out, binary,
                          ok ? "success=\"true\"" : "success=\"false\"");
    put_histogram(out, &m->commit_total, &commit_buckets, "op_conductor_commit_duration_seconds",
                  "From a successful commit's first byte to its answer.");
    put_histogram(out, &m->commit_parse, &short_buckets, "op_conductor_commit_marshal_duration_seconds",
                  "From the body to SSZ.");
    put_histogram(out, &m->commit_raft, &commit_buckets, "op_conductor_commit_raft_apply_duration_seconds",
                  "From hand-over to consensus to its answer.");
    put_histogram(out, &m->commit_store, &store_buckets, "op_conductor_raft_log_store_duration_seconds",
                  "From the proposal to the disk of this node, of successful commits.");
    put_histogram(out, &m->commit_apply, &short_buckets, "op_conductor_fsm_apply_duration_seconds",
                  "From the quorum to applied.");
    put_histogram(out, &m->commit_size, &size_buckets, "op_conductor_commit_payload_size_bytes",
                  "Size of committed payloads.");
    metrics_put_head(out, stage, "histogram", "Successful commits by stage.");
    for (int i = 0; i < STAGE_COUNT; i++) {
        (void)snprintf(labels, sizeof labels, "stage=\"%s\"", stage_names[i]);
        histogram_put(&m->stages[i], &stage_buckets, out, stage, labels);
    }
    metrics_put_head(out, "op_conductor_commits_under_way", "gauge", "Commits held for a leader, or with consensus.");
    text_put(out, "op_conductor_commits_under_way{state=\"held\"} %u\n", commits_held_count(m->app->commits));
    text_put(out, "op_conductor_commits_under_way{state=\"sent\"} %u\n", commits_sent_count(m->app->commits));
}

/* What the Go op-conductor has and this one has no use for: known to dashboards, without series. */
static void put_unused(struct text *out)
{
    static const struct {
        const char *name, *type, *help;
    } unused[] = {
        {"op_conductor_rollup_boost_connection_attempts_count", "counter", "Connections to rollup-boost's stream."},
        {"op_conductor_rpc_server_notifications_sent_total", "counter", "Notifications sent by the RPC server."},
        {"op_conductor_rpc_client_requests_total", "counter", "Requests of RPC clients."},
        {"op_conductor_rpc_client_request_duration_seconds", "histogram", "Duration of requests of RPC clients."},
        {"op_conductor_rpc_client_responses_total", "counter", "Responses to RPC clients by error."},
        {"op_conductor_rpc_client_notifications_received_total", "counter", "Notifications to RPC clients."},
        {"op_conductor_rpc_client_params_size_total", "counter", "Bytes of params of RPC clients."},
        {"op_conductor_rpc_client_results_size_total", "counter", "Bytes of results to RPC clients."},
    };
    for (size_t i = 0; i < sizeof unused / sizeof unused[0]; i++)
        metrics_put_head(out, unused[i].name, unused[i].type, unused[i].help);
    metrics_put_head(out, "op_conductor_websocket_clients_connected", "gauge",
                     "Connected flashblocks clients; 0, as the relay is not built.");
    text_put(out, "op_conductor_websocket_clients_connected 0\n");
}

/* As the standard handler of Go programs counts itself. */
static void put_scrapes(struct metrics *m, struct text *out)
{
    static const char total[] = "promhttp_metric_handler_requests_total";
    metrics_put_head(out, "promhttp_metric_handler_requests_in_flight", "gauge", "Scrapes being served.");
    text_put(out, "promhttp_metric_handler_requests_in_flight 1\n");
    metrics_put_head(out, total, "counter", "Scrapes by HTTP status code.");
    text_put(out, "%s{code=\"200\"} %" PRIu64 "\n%s{code=\"500\"} 0\n%s{code=\"503\"} 0\n", total, m->scrapes, total,
             total);
    m->scrapes++;
}

void metrics_on_http(void *ctx, struct http_request *req)
{
    struct rpcd *app = ctx;
    struct text out = {0};
    char version[128];
    size_t len = 0;
    const size_t version_len = json_string_encode(app->config.common.version, version, sizeof version);
    metrics_put_head(&out, "op_conductor_info", "gauge", "Tracking version and config info.");
    text_put(&out, "op_conductor_info{version=%.*s} 1\n", (int)version_len, version);
    metrics_put_head(&out, "op_conductor_up", "gauge", "1 if the op-conductor has finished starting up.");
    text_put(&out, "op_conductor_up 1\n");
    metrics_put_pages(app, &app->metrics->cpu, &out);
    put_calls(app->metrics, &out);
    put_commits(app->metrics, &out);
    metrics_put_head(&out, "op_conductor_rpc_connections", "gauge", "Open connections to the RPC listener.");
    text_put(&out, "op_conductor_rpc_connections %u\n", http_server_connection_count(app->rpc_server));
    put_unused(&out);
    put_scrapes(app->metrics, &out);
    char *body = text_finish(&out, &len);
    if (body == NULL)
        http_respond(req, 503, "text/plain; charset=utf-8", "out of memory\n", 14);
    else
        http_respond_take(req, 200, "text/plain; version=0.0.4; charset=utf-8", body, len);
}
