/* op-node-sim: an op-node and its execution client in one process, for devnets and tests. */
#include "tests/sim/sim.h"

#include "shared/base/clock.h"
#include "shared/base/err.h"
#include "shared/base/log.h"
#include "tests/sim/gossip.h"
#include "tests/sim/sequencer.h"

#include <errno.h>
#include <inttypes.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <unistd.h>

#define EXIT_CONFIG 2
#define EXIT_QUIT 2
#define HELD_MAX 512
#define REWIND_HASHES_MAX 64

static struct http_request *held[HELD_MAX]; /* while hung or muted */
static size_t n_held;
static bool is_stopping;

/* ---- what the parts share ---- */

bool sim_is_moving(const struct sim *s)
{
    return !s->mis.value[SW_hang] && !s->mis.value[SW_freeze_head];
}

int sim_add_block(struct sim *s, const struct block_ref *ref, const uint8_t *record, size_t len, const char *via)
{
    int rc = chain_add(s->chain, ref, record, len, via);
    if (rc != CHAIN_CONFLICT || !s->mis.value[SW_reorg])
        return rc;
    const struct block_ref *parent = chain_by_hash(s->chain, ref->parent);
    if (!parent || sim_rewind(s, parent->number, "rewind") != 0)
        return rc;
    return chain_add(s->chain, ref, record, len, via);
}

int sim_rewind(struct sim *s, uint64_t number, const char *event)
{
    char extra[REWIND_HASHES_MAX * (HASH_TEXT_BYTES + 2) + 64];
    size_t n = (size_t)snprintf(extra, sizeof extra, "\"abandoned\":[");
    uint64_t head = chain_head(s->chain)->number;
    for (uint64_t i = number + 1; i <= head && i <= number + REWIND_HASHES_MAX; i++) {
        char hash[HASH_TEXT_BYTES];
        hash_to_text(chain_by_number(s->chain, i)->hash, hash);
        n += (size_t)snprintf(extra + n, sizeof extra - n, "%s\"%s\"", i > number + 1 ? "," : "", hash);
    }
    snprintf(extra + n, sizeof extra - n, "]");
    int rc = number < head ? chain_rewind(s->chain, number) : 0;
    if (rc == 0)
        journal_write(&s->journal, event, chain_head(s->chain), extra);
    return rc;
}

struct later {
    uv_timer_t timer;
    struct sim *s;
    void (*fn)(struct sim *s, void *data);
    void *data;
};

static void free_later(uv_handle_t *handle)
{
    free(handle->data);
}

static void run_later(uv_timer_t *timer)
{
    struct later *l = timer->data;
    l->fn(l->s, l->data);
    uv_close((uv_handle_t *)timer, free_later);
}

void sim_after(struct sim *s, uint64_t delay_ms, void (*fn)(struct sim *s, void *data), void *data)
{
    struct later *l = calloc(1, sizeof *l);
    if (!l)
        abort();
    l->s = s;
    l->fn = fn;
    l->data = data;
    l->timer.data = l;
    uv_timer_init(s->loop, &l->timer);
    uv_update_time(s->loop);
    uv_timer_start(&l->timer, run_later, delay_ms, 0);
    uv_unref((uv_handle_t *)&l->timer);
}

static void on_adopted(void *ctx, const struct block_ref *block, const char *via)
{
    struct sim *s = ctx;
    journal_write_text(&s->journal, "adopted", block, "via", via);
    LOG_INFO("Inserted new L2 unsafe block", LOG_HASH("hash", block->hash), LOG_U("number", block->number),
             LOG_S("via", via));
    sequencer_wake(s->sequencer);
}

/* ---- HTTP ---- */

static bool is_held_back(const struct sim *s, struct http_request *req)
{
    size_t len;
    const char *body = http_request_body(req, &len);
    if (!s->mis.value[SW_hang] && !s->mis.value[SW_mute])
        return false;
    if (len > 0 && len < 4096 && memmem(body, len, "\"sim_", 5))
        return false;
    /* A muted node still talks to its peers. */
    return s->mis.value[SW_hang] || strcmp(http_request_path(req), "/") == 0;
}

static void serve_node(struct sim *s, struct http_request *req)
{
    const char *path = http_request_path(req);
    if (strcmp(path, "/gossip") == 0)
        gossip_serve_block(s->gossip, req);
    else if (strcmp(path, "/blocks") == 0)
        gossip_serve_range(s->gossip, req);
    else
        rpc_serve(s, req, rpc_node_methods);
}

static void serve_node_later(struct sim *s, void *data)
{
    serve_node(s, data);
}

static bool hold(const struct sim *s, struct http_request *req)
{
    if (!is_held_back(s, req))
        return false;
    if (n_held < HELD_MAX)
        held[n_held++] = req;
    else
        http_respond_abort(req);
    return true;
}

static void on_node_request(void *ctx, struct http_request *req)
{
    struct sim *s = ctx;
    if (hold(s, req))
        return;
    if (s->mis.value[SW_rpc_delay_ms] > 0 && strcmp(http_request_path(req), "/") == 0)
        sim_after(s, (uint64_t)s->mis.value[SW_rpc_delay_ms], serve_node_later, req);
    else
        serve_node(s, req);
    if (n_held == 0 || s->mis.value[SW_hang] || s->mis.value[SW_mute])
        return;
    for (size_t i = 0; i < n_held; i++) /* it woke up: these clients have long given up */
        http_respond_abort(held[i]);
    n_held = 0;
}

static void on_el_request(void *ctx, struct http_request *req)
{
    struct sim *s = ctx;
    if (hold(s, req))
        return;
    if (strcmp(http_request_path(req), "/healthz") == 0)
        http_respond(req, (int)s->mis.value[SW_boost_status], "text/plain", "", 0);
    else
        rpc_serve(s, req, rpc_el_methods);
}

static int listen_on(struct sim *s, const char *what, uint16_t port, http_handler_fn handler,
                     struct http_server **ret_server, uint16_t *ret_port)
{
    struct http_server_options options;
    http_server_options_init(&options);
    options.handler = handler;
    options.ctx = s;
    int fd = http_listen_ipv4(s->cfg.rpc_addr, port, ret_port);
    *ret_server = fd < 0 ? NULL : http_server_new(s->loop, &options);
    int rc = fd < 0 ? fd : *ret_server ? http_server_add_listener(*ret_server, fd) : -ENOMEM;
    if (rc != 0)
        fprintf(stderr, "op-node-sim: cannot listen on %s:%u for %s: %s\n", s->cfg.rpc_addr, port, what, err_text(rc));
    return rc;
}

static int write_port_file(const struct sim *s)
{
    char temporary[PATH_MAX];
    if (!s->cfg.port_file)
        return 0;
    snprintf(temporary, sizeof temporary, "%s.new", s->cfg.port_file);
    FILE *f = fopen(temporary, "we");
    if (!f)
        return -errno;
    fprintf(f, "{\"rpc\":%u,\"el\":%u,\"pid\":%d}\n", s->rpc_port, s->el_port, (int)getpid());
    if (fclose(f) != 0 || rename(temporary, s->cfg.port_file) != 0)
        return -errno;
    return 0;
}

/* ---- life ---- */

void sim_stop(struct sim *s)
{
    uv_stop(s->loop);
}

static void stop_later(struct sim *s, void *data)
{
    (void)data;
    sim_stop(s);
}

static void on_signal(uv_signal_t *handle, int number)
{
    struct sim *s = handle->data;
    if (number == SIGQUIT && s->mis.value[SW_ignore_sigterm] < 2) { /* what the Go runtime does */
        fprintf(stderr, "SIGQUIT: quit\n\ngoroutine 1 [running]:\nmain.main()\n");
        _exit(EXIT_QUIT);
    }
    if (s->mis.value[SW_ignore_sigterm] || s->mis.value[SW_hang]) {
        LOG_WARN("Ignoring a signal", LOG_I("signal", number));
        return;
    }
    if (is_stopping)
        return;
    is_stopping = true;
    LOG_INFO("Shutting down", LOG_I("signal", number));
    sim_after(s, (uint64_t)s->mis.value[SW_stop_delay_ms], stop_later, NULL);
}

static int open_files(struct sim *s)
{
    char path[PATH_MAX];
    struct block genesis = {0};
    int rc = mkdir(s->cfg.data_dir, 0755) == 0 || errno == EEXIST ? 0 : -errno;
    if (rc != 0) {
        fprintf(stderr, "op-node-sim: cannot create the data directory %s: %s\n", s->cfg.data_dir, err_text(rc));
        return rc;
    }
    snprintf(path, sizeof path, "%s/journal.jsonl", s->cfg.data_dir);
    const char *journal_path = s->cfg.journal_path ? s->cfg.journal_path : path;
    rc = journal_open(&s->journal, journal_path, s->cfg.name);
    if (rc != 0) {
        fprintf(stderr, "op-node-sim: cannot open the journal %s: %s\n", journal_path, err_text(rc));
        return rc;
    }
    rc = block_build(NULL, s->cfg.genesis_time * 1000, 0, s->cfg.fork, &s->seed, &genesis);
    snprintf(path, sizeof path, "%s/blocks", s->cfg.data_dir);
    if (rc == 0)
        rc = chain_open(path, &genesis, on_adopted, s, &s->chain);
    free(genesis.record);
    if (rc != 0)
        fprintf(stderr, "op-node-sim: cannot open the blocks in %s: %s\n", path, err_text(rc));
    return rc;
}

static void begin(struct sim *s)
{
    char extra[256];
    snprintf(extra, sizeof extra, "\"block_time_ms\":%u,\"payload_bytes\":%u,\"pid\":%d", s->cfg.block_time_ms,
             s->cfg.payload_bytes, (int)getpid());
    journal_write(&s->journal, "start", chain_head(s->chain), extra);
    uint64_t head = chain_head(s->chain)->number, oldest = chain_oldest(s->chain)->number;
    if (s->cfg.lose_blocks > 0)
        sim_rewind(s, head - oldest < s->cfg.lose_blocks ? oldest : head - s->cfg.lose_blocks, "lost");
    printf("op-node-sim: rpc http://127.0.0.1:%u execution http://127.0.0.1:%u head %" PRIu64 "\n", s->rpc_port,
           s->el_port, chain_head(s->chain)->number);
    fflush(stdout);
    if (!s->cfg.sequencer_stopped)
        sequencer_start(s->sequencer);
}

static int run(struct sim *s)
{
    uv_signal_t signals[3];
    static const int NUMBERS[3] = {SIGTERM, SIGINT, SIGQUIT};
    struct http_client_options client_options;
    http_client_options_init(&client_options);
    int rc = open_files(s);
    if (rc == 0)
        rc = listen_on(s, "op-node", s->cfg.rpc_port, on_node_request, &s->node_server, &s->rpc_port);
    if (rc == 0)
        rc = listen_on(s, "the execution client", s->cfg.el_port, on_el_request, &s->el_server, &s->el_port);
    if (rc == 0 && (rc = write_port_file(s)) != 0)
        fprintf(stderr, "op-node-sim: cannot write %s: %s\n", s->cfg.port_file, err_text(rc));
    if (rc != 0)
        return EXIT_CONFIG;
    s->conductor_client = http_client_new(s->loop, &client_options);
    s->peer_client = http_client_new(s->loop, &client_options);
    if (!s->conductor_client || !s->peer_client)
        abort();
    s->sequencer = sequencer_new(s);
    s->gossip = gossip_new(s);
    for (int i = 0; i < 3; i++) {
        signals[i].data = s;
        uv_signal_init(s->loop, &signals[i]);
        uv_signal_start(&signals[i], on_signal, NUMBERS[i]);
        uv_unref((uv_handle_t *)&signals[i]);
    }
    begin(s);
    if (misbehave_apply_flags(s) != 0)
        return EXIT_CONFIG;
    uv_run(s->loop, UV_RUN_DEFAULT);
    journal_write(&s->journal, "stop", chain_head(s->chain), NULL);
    return 0;
}

int main(int argc, char **argv)
{
    static struct sim s;
    int rc = config_parse(&s.cfg, argc, argv);
    if (rc != 0)
        return rc > 0 ? 0 : EXIT_CONFIG;
    log_init(&(struct log_options){.level = LOG_INFO, .format = LOG_FMT_LOGFMTMS});
    signal(SIGPIPE, SIG_IGN);
    s.loop = uv_default_loop();
    misbehave_init(&s.mis);
    if (getrandom(&s.seed, sizeof s.seed, 0) != sizeof s.seed)
        s.seed = clock_mono_ns();
    rc = run(&s);
    /* Like a client that is stopped: what is on disk counts, the rest goes with the process. */
    fflush(NULL);
    _exit(rc);
}
