/* Messages from supervisor and rpcd (see link.h). */
#include "consensus/link.h"

#include "consensus/adopt.h"
#include "consensus/commit.h"
#include "consensus/export.h"
#include "consensus/flightlog.h"
#include "consensus/members.h"
#include "consensus/node.h"
#include "consensus/transfer.h"
#include "shared/base/err.h"
#include "shared/base/fd.h"
#include "shared/base/log.h"
#include "shared/flight/record.h"
#include "shared/ipc/ring.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define RPCD_QUEUE_BYTES ((size_t)256 << 10)
#define RING_MAX_BYTES ((size_t)256 << 20)

/* A channel on the loop. The poll handle is on the heap because libuv closes it later. */
struct watch {
    struct chan *chan;
    uv_poll_t *poll;
    int events;
};

struct link {
    struct node *node;
    struct watch supervisor, rpcd;
    struct ring_view ring;
    struct flightlog *flightlog; /* NULL: the recorder was not handed over yet */
    bool ring_open;
    bool rpcd_broken; /* a send failed: closed once nobody uses it */
};

/* ---- polling ---- */

static int watch_open(struct link *l, struct watch *w, struct chan *chan, uv_poll_cb on_event)
{
    w->chan = chan;
    w->events = 0;
    w->poll = calloc(1, sizeof *w->poll);
    if (!w->poll || uv_poll_init(&l->node->loop, w->poll, chan_fd(chan))) {
        free(w->poll);
        w->poll = NULL;
        return OC_EFULL;
    }
    w->poll->data = l;
    w->events = UV_READABLE;
    uv_poll_start(w->poll, w->events, on_event);
    return 0;
}

static void on_poll_closed(uv_handle_t *handle)
{
    free(handle);
}

static void watch_close(struct watch *w)
{
    if (w->poll) {
        uv_poll_stop(w->poll);
        uv_close((uv_handle_t *)w->poll, on_poll_closed);
    }
    w->poll = NULL;
    w->chan = NULL;
}

static void watch_settle(struct watch *w, uv_poll_cb on_event)
{
    if (!w->poll)
        return;
    int events = UV_READABLE | (chan_want(w->chan) & POLLOUT ? UV_WRITABLE : 0);
    if (events != w->events) {
        w->events = events;
        uv_poll_start(w->poll, events, on_event);
    }
}

/* ---- rpcd ---- */

static void close_rpcd(struct link *l)
{
    struct chan *chan = l->rpcd.chan;
    if (!chan)
        return;
    watch_close(&l->rpcd);
    chan_close(chan);
    l->rpcd_broken = false;
    if (l->ring_open)
        ring_view_close(&l->ring);
    l->ring_open = false;
    commits_drop_callers(l->node->commits);
    adopts_drop_callers(l->node->adopts);
    members_drop_callers(l->node->members);
}

static int open_ring(struct link *l, struct chan_msg *msg)
{
    if (l->ring_open)
        return OC_EPROTO;
    int rc = ring_view_open(&l->ring, msg->fd, RING_MAX_BYTES);
    l->ring_open = rc == 0;
    return rc;
}

static int on_rpcd_message(void *ctx, struct chan_msg *msg)
{
    struct link *l = ctx;
    struct node *n = l->node;
    switch (msg->type) {
    case MSG_RING:
        return open_ring(l, msg);
    case MSG_COMMIT:
        commits_request(n->commits, msg, l->ring_open ? &l->ring : NULL);
        return 0;
    case MSG_MEMBER_OP:
        members_request(n->members, msg);
        return 0;
    case MSG_ADOPT_HEAD:
        adopts_request(n->adopts, msg);
        return 0;
    case MSG_PAYLOAD_GET:
        exports_get_payload(n, msg);
        return 0;
    default:
        return OC_EPROTO;
    }
}

static void on_rpcd_event(uv_poll_t *poll, int status, int events)
{
    struct link *l = poll->data;
    (void)status;
    (void)events;
    int rc = chan_step(l->rpcd.chan, on_rpcd_message, l);
    if (rc < 0) {
        if (rc != OC_ECLOSED)
            LOG_ERROR("The channel to rpcd broke", LOG_E(rc));
        close_rpcd(l);
    }
}

static int open_rpcd(struct link *l, struct chan_msg *msg)
{
    struct msg_peer peer;
    memcpy(&peer, msg->body, sizeof peer);
    if (peer.role != ROLE_RPCD)
        return OC_EPROTO;
    close_rpcd(l);
    struct chan *chan = chan_open(msg->fd, ROLE_CONSENSUS, l->node->worker.incarnation, ROLE_RPCD, RPCD_QUEUE_BYTES);
    msg->fd = -1;
    if (!chan || watch_open(l, &l->rpcd, chan, on_rpcd_event)) {
        chan_close(chan);
        l->rpcd.chan = NULL;
        return OC_EFULL;
    }
    return 0;
}

/* ---- supervisor ---- */

static int release_hold(struct node *n)
{
    int rc = storage_identity(n->storage)->fresh_bootstrap ? storage_set_fresh_bootstrap(n->storage, false) : 0;
    if (rc)
        LOG_ERROR("Cannot store that the conductor was resumed", LOG_S("dir", n->config.storage_dir), LOG_E(rc));
    n->is_dirty = true;
    return 0;
}

/* The file is beside the storage directory, whose lock keeps other processes of this name away. */
static void take_flight(struct link *l, int fd)
{
    struct node *n = l->node;
    char path[sizeof n->config.storage_dir + sizeof FLIGHT_FILE_SUFFIX];
    if (!n->is_started || n->is_exiting || l->flightlog)
        return;
    snprintf(path, sizeof path, "%s%s", n->config.storage_dir, FLIGHT_FILE_SUFFIX);
    l->flightlog = flightlog_start(fd, path);
    if (!l->flightlog)
        LOG_WARN("Events are kept in memory only", LOG_S("file", path), LOG_E(-errno));
}

static int on_supervisor_message(void *ctx, struct chan_msg *msg)
{
    struct link *l = ctx;
    struct node *n = l->node;
    int rc = worker_handle(&n->worker, msg);
    if (rc != 0) {
        if (n->worker.draining)
            node_exit(n, WORKER_EXIT_OK);
        return rc < 0 ? rc : 0;
    }
    switch (msg->type) {
    case MSG_START:
        node_start(n);
        return 0;
    case MSG_PEER_UP:
        return open_rpcd(l, msg);
    case MSG_PEER_DOWN:
        close_rpcd(l);
        return 0;
    case MSG_FLIGHT:
        take_flight(l, msg->fd);
        return 0;
    case MSG_PAGE: /* nobody's page is read here */
        return 0;
    case MSG_TRANSFER:
        transfer_request(n->transfer, msg);
        return 0;
    case MSG_EXPORT:
        exports_request(n->exports, msg);
        return 0;
    case MSG_PERMIT:
        commits_set_permit(n->commits, msg->body);
        return 0;
    case MSG_SELF_RECORD:
        node_take_self_record(n, msg->body);
        return 0;
    case MSG_RELEASE_HOLD:
        return release_hold(n);
    case MSG_STOP_RAFT:
        node_stop_raft(n);
        return 0;
    default:
        return OC_EPROTO;
    }
}

static void on_supervisor_event(uv_poll_t *poll, int status, int events)
{
    struct link *l = poll->data;
    (void)status;
    (void)events;
    int rc = chan_step(l->supervisor.chan, on_supervisor_message, l);
    if (rc < 0) {
        if (rc != OC_ECLOSED)
            LOG_ERROR("The channel to the supervisor broke", LOG_E(rc));
        /* Without a parent there is nobody to work for: the log is flushed on the way out. */
        node_exit(l->node, rc == OC_ECLOSED ? WORKER_EXIT_OK : WORKER_EXIT_INTERNAL);
    }
}

/* ---- both ---- */

struct link *link_new(struct node *n)
{
    struct link *l = calloc(1, sizeof *l);
    if (!l)
        return NULL;
    l->node = n;
    if (watch_open(l, &l->supervisor, n->worker.sup, on_supervisor_event)) {
        free(l);
        return NULL;
    }
    return l;
}

void link_free(struct link *l)
{
    if (!l)
        return;
    close_rpcd(l);
    watch_close(&l->supervisor);
    flightlog_stop(l->flightlog);
    free(l);
}

void link_settle(struct link *l)
{
    if (l->rpcd_broken)
        close_rpcd(l);
    watch_settle(&l->supervisor, on_supervisor_event);
    watch_settle(&l->rpcd, on_rpcd_event);
}

void link_send_supervisor(struct link *l, enum msg_type type, uint64_t request_id, const void *body, int fd)
{
    int rc = chan_send(l->supervisor.chan, type, request_id, body, fd);
    if (rc == OC_EFULL || rc == OC_EPROTO) {
        LOG_CRIT("The supervisor does not read its channel", LOG_E(rc));
        node_exit(l->node, WORKER_EXIT_INTERNAL);
    }
}

void link_send_rpcd(struct link *l, enum msg_type type, uint64_t request_id, const void *body, int fd)
{
    if (l->rpcd.chan && chan_send(l->rpcd.chan, type, request_id, body, fd) < 0)
        l->rpcd_broken = true;
}
