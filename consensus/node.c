/* The worker's loop: opens everything, carries events between the parts, closes everything. */
#include "consensus/node.h"

#include "consensus/adopt.h"
#include "consensus/commit.h"
#include "consensus/export.h"
#include "consensus/identity.h"
#include "consensus/link.h"
#include "consensus/members.h"
#include "consensus/node_io.h"
#include "consensus/publish.h"
#include "consensus/transfer.h"
#include "shared/base/clock.h"
#include "shared/base/err.h"
#include "shared/base/log.h"
#include "shared/shm/pages.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <unistd.h>

/* The log kept on disk and in memory is bounded by bytes, whatever the entry counts say. */
#define SNAPSHOT_THRESHOLD_BYTES ((uint64_t)64 << 20)
#define TRAILING_BYTES ((uint64_t)32 << 20)

void node_exit(struct node *n, int code)
{
    if (n->is_exiting)
        return;
    n->is_exiting = true;
    n->exit_code = code;
    uv_stop(&n->loop);
}

/* ---- the loop ---- */

static void on_disk(uv_poll_t *poll, int status, int events)
{
    struct node *n = poll->data;
    struct storage_event event;
    (void)status;
    (void)events;
    while (n->driver && !n->is_exiting && storage_poll(n->storage, &event) == 1)
        node_take_disk_event(n, &event);
}

static void on_timer(uv_timer_t *timer)
{
    node_tick(timer->data);
}

/* Before the loop sleeps: spread what changed, then arm the one timer. */
static void on_prepare(uv_prepare_t *prepare)
{
    struct node *n = prepare->data;
    uint64_t deadline, now;
    if (n->is_exiting)
        return;
    node_spread_news(n);
    link_settle(n->link);
    if (n->is_started)
        peers_tick(n->peers, clock_mono_ms());
    deadline = node_deadline_ms(n);
    if (deadline == UINT64_MAX) {
        uv_timer_stop(&n->timer);
        return;
    }
    now = clock_mono_ms();
    uv_update_time(&n->loop);
    uv_timer_start(&n->timer, on_timer, deadline > now ? deadline - now : 0, 0);
}

/* ---- start ---- */

static int exit_code_of_storage(int rc)
{
    switch (rc) {
    case -EACCES:
    case -EPERM:
    case -EROFS:
        return WORKER_EXIT_PERMISSION;
    case OC_ECORRUPT:
    case OC_EVERSION:
    case OC_ECONFLICT:
        return WORKER_EXIT_CONFIG;
    default:
        return WORKER_EXIT_TRY_LATER;
    }
}

static int fail_storage(struct node *n, const char *what, int rc, const char *text)
{
    char reason[STORAGE_TEXT_SIZE + 256];
    bool is_damaged = rc == OC_ECORRUPT;

    snprintf(reason, sizeof reason, "%s%s", *text ? text : err_text(rc),
             is_damaged
                 ? ". A server must not vote without what it knew: remove it from the cluster, empty the directory, "
                   "start it, and add it again"
                 : "");
    LOG_CRIT(is_damaged ? "The raft storage is damaged" : what, LOG_S("dir", n->config.storage_dir),
             LOG_S("reason", reason));
    return exit_code_of_storage(rc);
}

static int open_storage(struct node *n)
{
    char text[STORAGE_TEXT_SIZE] = "";
    const struct storage_options options = {.dir = n->config.storage_dir, .name = n->config.common.server_id};
    int rc = storage_open(&options, &n->storage, text, sizeof text);
    if (rc)
        return fail_storage(n, "Cannot open the raft storage", rc, text);
    n->raft_id = identity_raft_id(n->config.common.server_id, storage_identity(n->storage)->uuid);
    return 0;
}

static uint64_t make_random(void)
{
    uint64_t value;
    if (getrandom(&value, sizeof value, 0) != sizeof value)
        value = clock_mono_ns();
    return value | 1; /* never 0, which means "unknown" */
}

static int listen_for_peers(struct node *n)
{
    struct frame_hello self = {.raft_id = n->raft_id,
                               .election_timeout_ms = n->config.election_timeout_ms,
                               .process_nonce = make_random(),
                               .proposal_level = PROPOSAL_LEVEL};
    const struct peers_events events = node_peers_events(n);
    const char *host = n->config.bind_host, *reason;
    char text[SERVER_ADDR_SIZE + 16], unused[SERVER_ADDR_SIZE];
    uint16_t port;
    const struct storage_identity *id = storage_identity(n->storage);
    memcpy(self.storage_uuid, id->uuid, sizeof self.storage_uuid);
    memcpy(self.cluster_id, id->cluster_id, sizeof self.cluster_id);
    memcpy(self.name, n->config.common.server_id, sizeof self.name);
    snprintf(self.version, sizeof self.version, "%.*s", (int)sizeof self.version - 1, n->config.common.version);
    n->peers = peers_new(&n->loop, &self, &events);
    if (!n->peers)
        return WORKER_EXIT_TRY_LATER;
    int rc = peers_listen(n->peers, host, (uint16_t)n->config.bind_port, &port, text, sizeof text);
    if (rc) {
        LOG_CRIT(rc == UV_EADDRINUSE
                     ? "The consensus address is in use: stop the other process or change --consensus.port"
                     : "Cannot listen on the consensus address: check --consensus.addr and --consensus.port",
                 LOG_S("address", text), LOG_S("err", uv_strerror(rc)));
        return rc == UV_EADDRINUSE || rc == UV_EAI_AGAIN || rc == UV_ENOMEM ? WORKER_EXIT_TRY_LATER
               : rc == UV_EACCES                                            ? WORKER_EXIT_PERMISSION
                                                                            : WORKER_EXIT_CONFIG;
    }
    if (n->config.advertised[0])
        snprintf(n->advertised, sizeof n->advertised, "%s", n->config.advertised);
    else if (!*host || strcmp(host, "0.0.0.0") == 0 || strcmp(host, "::") == 0 ||
             identity_join_host_port(host, port, n->advertised, sizeof n->advertised)) {
        LOG_CRIT("The consensus address cannot be told to other conductors: set --consensus.advertised",
                 LOG_S("address", text));
        return WORKER_EXIT_CONFIG;
    }
    if (identity_split_host_port(n->advertised, unused, sizeof unused, &port, &reason)) {
        LOG_CRIT("--consensus.advertised is not host:port", LOG_S("value", n->advertised), LOG_S("reason", reason));
        return WORKER_EXIT_CONFIG;
    }
    peers_set_address(n->peers, n->advertised);
    LOG_INFO("Consensus is listening", LOG_S("address", text), LOG_S("advertised", n->advertised));
    return 0;
}

static int bootstrap(struct node *n, const char *address)
{
    if (!n->config.bootstrap)
        return 0;
    if (!storage_is_pristine(n->storage)) {
        LOG_WARN("Raft cluster already exists, skipping bootstrap");
        return 0;
    }
    int rc = storage_bootstrap(n->storage, n->raft_id, address);
    if (rc)
        return fail_storage(n, "Cannot bootstrap the raft cluster", rc, "");
    peers_set_cluster_id(n->peers, storage_identity(n->storage)->cluster_id);
    LOG_INFO("Raft cluster bootstrapped, pausing conductor.");
    return 0;
}

static int start_driver(struct node *n, const char *address)
{
    char text[STORAGE_TEXT_SIZE] = "";
    struct driver_recovered recovered;
    struct driver_options options = {
        .self_id = n->raft_id,
        .election_timeout_ms = n->config.election_timeout_ms,
        .snapshot_threshold = n->config.snapshot_threshold,
        .snapshot_threshold_bytes = SNAPSHOT_THRESHOLD_BYTES,
        .snapshot_interval_ms = n->config.snapshot_interval_ms,
        .trailing_entries = n->config.trailing_logs,
        .trailing_bytes = TRAILING_BYTES,
        .turn = DRIVER_TURN_LAST, /* its supervisor may be about to say that it is paused */
    };
    const struct driver_io io = node_driver_io(n);
    snprintf(options.self_address, sizeof options.self_address, "%s", address);
    options.random_seed = make_random();
    int rc = storage_recover(n->storage, &recovered, text, sizeof text);
    if (rc)
        return fail_storage(n, "Cannot read the raft storage", rc, text);
    if (*text)
        LOG_WARN("The raft log was repaired", LOG_S("what", text));
    rc = storage_start(n->storage);
    if (rc == 0)
        rc = driver_open(&options, &io, &n->driver);
    if (rc == 0)
        rc = driver_start(n->driver, clock_mono_ms(), &recovered);
    storage_recovered_done(n->storage);
    if (rc && !n->is_exiting)
        LOG_CRIT("Cannot start raft", LOG_E(rc));
    return rc ? WORKER_EXIT_INTERNAL : 0;
}

static int start(struct node *n)
{
    char address[MEMBER_ADDRESS_SIZE];
    int rc;
    n->head_changed_ms = clock_mono_ms();
    n->window = window_new((unsigned)n->config.window_payloads, n->config.window_bytes);
    if (!n->window)
        return WORKER_EXIT_TRY_LATER;
    if (identity_check_name(n->config.common.server_id)) {
        LOG_CRIT("--raft.server.id must be printable and without '@'", LOG_S("value", n->config.common.server_id));
        return WORKER_EXIT_CONFIG;
    }
    rc = open_storage(n);
    if (rc == 0)
        rc = listen_for_peers(n);
    if (rc)
        return rc;
    if (identity_format_address(n->config.common.server_id, n->advertised, address, sizeof address))
        return WORKER_EXIT_CONFIG;
    rc = bootstrap(n, address);
    if (rc == 0)
        rc = start_driver(n, address);
    if (rc)
        return rc;
    if (uv_poll_init(&n->loop, &n->disk_poll, storage_fd(n->storage)))
        return WORKER_EXIT_INTERNAL;
    n->disk_poll.data = n;
    uv_poll_start(&n->disk_poll, UV_READABLE, on_disk);
    return 0;
}

void node_start(struct node *n)
{
    int code = n->is_started ? 0 : start(n);
    if (code) {
        node_exit(n, code);
        return;
    }
    if (n->is_exiting)
        return; /* its log cannot be applied */
    n->is_started = n->is_dirty = true;
    if (worker_ready(&n->worker) < 0)
        node_exit(n, WORKER_EXIT_INTERNAL);
}

void node_stop_raft(struct node *n)
{
    if (n->is_stopped)
        return;
    LOG_INFO("Leaving raft until the next start");
    n->is_stopped = n->is_dirty = true;
    peers_stop(n->peers);
    uv_poll_stop(&n->disk_poll);
    driver_close(n->driver);
    n->driver = NULL;
}

/* ---- end ---- */

/* How long handles may take to close at the end (a refusal being flushed, a name being looked up). */
#define CLOSE_MS 1500

/* Returns false when something is still under way that cannot be broken off, and will want the loop. */
static bool close_all(struct node *n)
{
    link_free(n->link);
    members_free(n->members);
    transfer_free(n->transfer);
    exports_free(n->exports);
    adopts_free(n->adopts);
    commits_free(n->commits);
    peers_free(n->peers);
    driver_close(n->driver);
    n->driver = NULL;
    uv_close((uv_handle_t *)&n->timer, NULL);
    uv_close((uv_handle_t *)&n->prepare, NULL);
    if (n->disk_poll.data)
        uv_close((uv_handle_t *)&n->disk_poll, NULL);
    storage_close(n->storage);
    for (uint64_t end = clock_mono_ms() + CLOSE_MS; uv_run(&n->loop, UV_RUN_NOWAIT) && clock_mono_ms() < end;)
        (void)usleep(1000);
    window_free(n->window);
    publish_free(n->publisher);
    worker_close(&n->worker);
    return uv_loop_close(&n->loop) == 0;
}

static bool open_parts(struct node *n)
{
    n->commits = commits_new(n);
    n->exports = exports_new(n);
    n->adopts = adopts_new(n);
    n->members = members_new(n);
    n->transfer = transfer_new(n);
    n->publisher = publish_new(n);
    n->link = link_new(n);
    return n->commits && n->exports && n->adopts && n->members && n->transfer && n->publisher && n->link;
}

int node_run(void)
{
    struct node *n = calloc(1, sizeof *n);
    int code;
    if (!n)
        return WORKER_EXIT_INTERNAL;
    code = worker_open(&n->worker, ROLE_CONSENSUS, &n->config, sizeof n->config, sizeof(struct page_consensus));
    if (code) {
        free(n);
        return code;
    }
    if (uv_loop_init(&n->loop)) {
        worker_close(&n->worker);
        free(n);
        return WORKER_EXIT_INTERNAL;
    }
    uv_timer_init(&n->loop, &n->timer);
    uv_prepare_init(&n->loop, &n->prepare);
    n->timer.data = n->prepare.data = n;
    uv_prepare_start(&n->prepare, on_prepare);
    if (open_parts(n))
        uv_run(&n->loop, UV_RUN_DEFAULT);
    else
        n->exit_code = WORKER_EXIT_INTERNAL;
    bool is_closed = close_all(n);
    code = n->exit_code;
    if (!is_closed)
        _exit(code); /* exit() would wait for the thread that asks a name server, and the loop must not go before it */
    free(n);
    return code;
}
