/* The driver's disk, network and state machine, and the peers' news, for the real process. */
#include "consensus/node_io.h"

#include "consensus/adopt.h"
#include "consensus/commit.h"
#include "consensus/export.h"
#include "shared/base/clock.h"
#include "shared/base/err.h"
#include "shared/base/log.h"

#include <errno.h>

/* ---- disk ---- */

static int io_save_term_vote(void *ctx, uint64_t term, uint64_t voted_for)
{
    struct node *n = ctx;
    return storage_save_term_vote(n->storage, term, voted_for);
}

static void io_append(void *ctx, uint64_t index, struct entry *e)
{
    struct node *n = ctx;
    storage_append(n->storage, index, e);
}

static void io_truncate(void *ctx, uint64_t from_index)
{
    struct node *n = ctx;
    storage_truncate(n->storage, from_index);
}

static void io_save_snapshot(void *ctx, struct snapshot *s, uint64_t keep_from, bool install)
{
    struct node *n = ctx;
    storage_save_snapshot(n->storage, s, keep_from, install);
}

/* ---- network ---- */

static void io_send(void *ctx, uint64_t peer_id, const struct wire_msg *msg)
{
    struct node *n = ctx;
    peers_send(n->peers, peer_id, msg);
}

/* ---- state machine ---- */

static int io_apply(void *ctx, uint64_t index, uint64_t term, struct entry *e)
{
    struct node *n = ctx;
    enum window_result result = WINDOW_ACCEPTED;
    uint64_t quorum_ns = clock_mono_ns();
    if (entry_type(e) == ENTRY_COMMAND) {
        result = window_apply(n->window, index, e);
        n->head_changed_ms = clock_mono_ms();
    }
    if (result == WINDOW_INVALID) {
        /* Its checksum is good, so whoever wrote it meant something. To go on without it would be to disagree with the
         * members that understand it. */
        LOG_CRIT("An entry of the log is of a kind that this version does not understand: install the version that the "
                 "other members run",
                 LOG_U("index", index));
        return OC_EVERSION;
    }
    n->is_dirty = true;
    commits_on_applied(n->commits, index, term, result, quorum_ns);
    exports_on_applied(n->exports, index, term);
    adopts_on_applied(n->adopts, index, term, result);
    return 0;
}

static int io_restore(void *ctx, const struct snapshot *s)
{
    struct node *n = ctx;
    n->is_dirty = true;
    n->head_changed_ms = clock_mono_ms();
    return window_restore(n->window, s);
}

static int io_take(void *ctx, struct snapshot *s)
{
    struct node *n = ctx;
    return window_save(n->window, s);
}

/* ---- news ---- */

static void io_changed(void *ctx)
{
    struct node *n = ctx;
    n->is_dirty = true;
}

static void io_failed(void *ctx, int rc, const char *why)
{
    struct node *n = ctx;
    if (rc == OC_EVERSION) { /* another start of this version would change nothing */
        LOG_CRIT("Consensus stops", LOG_S("reason", why), LOG_E(rc));
        node_exit(n, WORKER_EXIT_CONFIG);
        return;
    }
    LOG_CRIT("Consensus stops and will be restarted", LOG_S("reason", why), LOG_E(rc));
    node_exit(n, rc == OC_EDISK || rc == -EIO || rc == -ENOSPC ? WORKER_EXIT_TRY_LATER : WORKER_EXIT_INTERNAL);
}

struct driver_io node_driver_io(struct node *n)
{
    return (struct driver_io){
        .ctx = n,
        .save_term_vote = io_save_term_vote,
        .append = io_append,
        .truncate = io_truncate,
        .save_snapshot = io_save_snapshot,
        .send = io_send,
        .apply = io_apply,
        .restore = io_restore,
        .take = io_take,
        .changed = io_changed,
        .failed = io_failed,
    };
}

/* ---- what peers report ---- */

static int peers_receive(void *ctx, uint64_t from_id, struct wire_msg *msg)
{
    struct node *n = ctx;
    if (n->driver)
        return driver_receive(n->driver, clock_mono_ms(), from_id, msg);
    if (msg->kind == WIRE_APPEND)
        entry_unref(msg->append.entry);
    else if (msg->kind == WIRE_INSTALL_SNAPSHOT)
        snapshot_unref(msg->install.snapshot);
    return OC_ECLOSED;
}

static void peers_connected(void *ctx, uint64_t id)
{
    struct node *n = ctx;
    if (n->driver)
        driver_peer_connected(n->driver, clock_mono_ms(), id);
}

static void peers_gone(void *ctx, uint64_t id)
{
    struct node *n = ctx;
    if (n->driver)
        driver_peer_gone(n->driver, clock_mono_ms(), id);
}

static void peers_progress(void *ctx, uint64_t id)
{
    struct node *n = ctx;
    if (n->driver)
        driver_peer_progress(n->driver, clock_mono_ms(), id);
}

struct peers_events node_peers_events(struct node *n)
{
    return (struct peers_events){
        .ctx = n,
        .receive = peers_receive,
        .connected = peers_connected,
        .gone = peers_gone,
        .progress = peers_progress,
    };
}
