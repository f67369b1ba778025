/* Channels and requests under way (see link.h). */
#include "rpcd/link.h"

#include "rpcd/commit.h"
#include "rpcd/events.h"
#include "rpcd/listen.h"
#include "rpcd/status.h"
#include "shared/base/clock.h"
#include "shared/base/err.h"
#include "shared/base/log.h"
#include "shared/proto/proto.h"

#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>

#define CONSENSUS_QUEUE_BYTES ((size_t)256 << 10)
#define PENDING_MAX 512
#define EXPIRE_PERIOD_MS 10

struct pending {
    uint64_t id; /* 0: free */
    enum proc_role to;
    enum msg_type answer;
    uint64_t deadline_ns;
    link_answer_fn fn;
    void *ctx;
};

struct link {
    struct rpcd *app;
    uv_poll_t supervisor_poll;
    uv_poll_t *consensus_poll;               /* on the heap: libuv closes it later */
    int supervisor_events, consensus_events; /* what the two are polled for */
    struct chan *consensus;
    bool consensus_broken; /* to be closed from the loop, outside of any of its calls */
    struct ring *ring;
    uv_timer_t expire;
    uint64_t last_id;
    struct pending pending[PENDING_MAX];
    uint32_t pending_count;
};

static const struct {
    enum msg_type request, answer;
} answers[] = {
    {MSG_ADMIN, MSG_ADMIN_RESULT},       {MSG_COMMIT, MSG_COMMIT_RESULT},       {MSG_MEMBER_OP, MSG_MEMBER_RESULT},
    {MSG_ADOPT_HEAD, MSG_MEMBER_RESULT}, {MSG_PAYLOAD_GET, MSG_PAYLOAD_RESULT}, {MSG_NODE_LOG, MSG_NODE_LOG_RESULT},
};

/* ---- requests under way ---- */

static void complete(struct link *l, struct pending *p, int rc, const void *body, int *fd)
{
    const struct pending done = *p;
    p->id = 0;
    l->pending_count--;
    if (l->pending_count == 0 && !l->consensus_broken)
        (void)uv_timer_stop(&l->expire); /* or it would wake the loop once for nothing */
    done.fn(done.ctx, rc, body, fd);
}

static void fail_all(struct link *l, enum proc_role to, int rc)
{
    int no_fd = -1;
    /* A callback may ask again; what it adds is newer than `newest`. */
    const uint64_t newest = l->last_id;
    for (size_t i = 0; i < PENDING_MAX; i++)
        if (l->pending[i].id != 0 && l->pending[i].id <= newest && l->pending[i].to == to)
            complete(l, &l->pending[i], rc, NULL, &no_fd);
}

static void close_consensus(struct link *l);

static void on_expire(uv_timer_t *timer)
{
    struct link *l = timer->data;
    const uint64_t now_ns = clock_mono_ns();
    int no_fd = -1;
    if (l->consensus_broken)
        close_consensus(l);
    for (size_t i = 0; i < PENDING_MAX && l->pending_count > 0; i++)
        if (l->pending[i].id != 0 && now_ns >= l->pending[i].deadline_ns)
            complete(l, &l->pending[i], OC_EDEADLINE, NULL, &no_fd);
    if (l->pending_count == 0)
        uv_timer_stop(timer);
}

static void take_answer(struct link *l, enum proc_role from, struct chan_msg *msg)
{
    if (msg->request_id == 0)
        return;
    for (size_t i = 0; i < PENDING_MAX; i++) {
        struct pending *p = &l->pending[i];
        if (p->id == msg->request_id && p->to == from && p->answer == msg->type) {
            complete(l, p, 0, msg->body, &msg->fd);
            return;
        }
    }
    /* Came after its deadline: nobody waits for it. */
}

static enum msg_type answer_of(enum msg_type request)
{
    for (size_t i = 0; i < sizeof answers / sizeof answers[0]; i++)
        if (answers[i].request == request)
            return answers[i].answer;
    return MSG_INVALID;
}

static void on_supervisor_poll(uv_poll_t *poll, int status, int events);
static void on_consensus_poll(uv_poll_t *poll, int status, int events);

/* libuv takes the descriptor out of its epoll and in again even if nothing is new. */
static void settle(uv_poll_t *poll, int *events, const struct chan *c, uv_poll_cb on_event)
{
    int wanted = UV_READABLE | ((chan_want(c) & POLLOUT) != 0 ? UV_WRITABLE : 0);
    if (wanted != *events && uv_poll_start(poll, wanted, on_event) == 0)
        *events = wanted;
}

uint64_t link_request(struct link *l, enum proc_role to, enum msg_type type, const void *body, int fd,
                      uint64_t deadline_ns, link_answer_fn fn, void *ctx, int *ret_rc)
{
    struct chan *chan = to == ROLE_SUPERVISOR ? l->app->worker.sup : l->consensus;
    size_t slot = 0;
    *ret_rc = OC_ECLOSED;
    if (chan == NULL || (to == ROLE_CONSENSUS && l->consensus_broken))
        return 0;
    *ret_rc = OC_EFULL;
    while (slot < PENDING_MAX && l->pending[slot].id != 0)
        slot++;
    if (slot == PENDING_MAX)
        return 0;
    const uint64_t id = ++l->last_id;
    const int rc = chan_send(chan, type, id, body, fd);
    if (rc < 0) {
        *ret_rc = rc;
        if (to == ROLE_CONSENSUS && rc != OC_EFULL)
            l->consensus_broken = true;
        return 0;
    }
    if (to == ROLE_SUPERVISOR)
        settle(&l->supervisor_poll, &l->supervisor_events, chan, on_supervisor_poll);
    else
        settle(l->consensus_poll, &l->consensus_events, chan, on_consensus_poll);
    l->pending[slot] = (struct pending){id, to, answer_of(type), deadline_ns, fn, ctx};
    l->pending_count++;
    if (!uv_is_active((uv_handle_t *)&l->expire))
        (void)uv_timer_start(&l->expire, on_expire, EXPIRE_PERIOD_MS, EXPIRE_PERIOD_MS);
    return id;
}

void link_tell_supervisor(struct link *l, enum msg_type type, const void *body)
{
    struct chan *chan = l->app->worker.sup;
    (void)chan_send(chan, type, 0, body, -1); /* an ended channel is noticed by its poll */
    settle(&l->supervisor_poll, &l->supervisor_events, chan, on_supervisor_poll);
}

/* ---- consensus ---- */

struct ring *link_ring(struct link *l)
{
    return l->ring;
}

bool link_has_consensus(const struct link *l)
{
    return l->consensus != NULL && !l->consensus_broken;
}

static void on_poll_closed(uv_handle_t *handle)
{
    free(handle);
}

static void close_consensus(struct link *l)
{
    if (l->consensus == NULL)
        return;
    struct chan *chan = l->consensus;
    l->consensus = NULL;
    l->consensus_broken = false;
    uv_close((uv_handle_t *)l->consensus_poll, on_poll_closed);
    l->consensus_poll = NULL;
    chan_close(chan);
    status_consensus_down(l->app->status);
    fail_all(l, ROLE_CONSENSUS, OC_ECLOSED);
}

static int on_consensus_message(void *ctx, struct chan_msg *msg)
{
    take_answer(ctx, ROLE_CONSENSUS, msg);
    return 0;
}

static void on_consensus_poll(uv_poll_t *poll, int status, int events)
{
    struct link *l = poll->data;
    (void)events;
    if (status < 0)
        l->consensus_events = 0; /* libuv polls for nothing any more */
    const int rc = chan_step(l->consensus, on_consensus_message, l);
    if (rc < 0 || l->consensus_broken) {
        if (rc < 0 && rc != OC_ECLOSED)
            LOG_ERROR("The channel to consensus broke", LOG_E(rc));
        close_consensus(l);
        return;
    }
    settle(poll, &l->consensus_events, l->consensus, on_consensus_poll);
}

static int open_consensus(struct link *l, struct chan_msg *msg)
{
    struct msg_peer peer;
    memcpy(&peer, msg->body, sizeof peer);
    if (peer.role != ROLE_CONSENSUS)
        return OC_EPROTO;
    close_consensus(l);
    l->consensus = chan_open(msg->fd, ROLE_RPCD, l->app->worker.incarnation, ROLE_CONSENSUS, CONSENSUS_QUEUE_BYTES);
    msg->fd = -1;
    l->consensus_poll = calloc(1, sizeof *l->consensus_poll);
    if (l->consensus == NULL || l->consensus_poll == NULL ||
        uv_poll_init(&l->app->loop, l->consensus_poll, chan_fd(l->consensus)) < 0) {
        free(l->consensus_poll);
        chan_close(l->consensus);
        l->consensus_poll = NULL;
        l->consensus = NULL;
        return -ENOMEM;
    }
    l->consensus_poll->data = l;
    l->consensus_events = 0;
    settle(l->consensus_poll, &l->consensus_events, l->consensus, on_consensus_poll);
    const struct msg_ring ring = {.bytes = RING_DEFAULT_BYTES};
    const int rc = chan_send(l->consensus, MSG_RING, 0, &ring, ring_fd(l->ring));
    if (rc < 0) {
        LOG_WARN("Consensus went away while it was greeted", LOG_E(rc));
        close_consensus(l);
        return 0;
    }
    commits_wake(l->app->commits);
    return 0;
}

/* ---- supervisor ---- */

static int take_page(struct link *l, struct chan_msg *msg)
{
    struct msg_page page;
    memcpy(&page, msg->body, sizeof page);
    const int rc = status_set_page(l->app->status, &page, msg->fd);
    if (rc < 0)
        LOG_ERROR("Cannot use a status page", LOG_S("owner", proc_role_name((enum proc_role)page.owner_role)),
                  LOG_E(rc));
    return rc;
}

static int take_peer_down(struct link *l, const struct chan_msg *msg)
{
    struct msg_peer peer;
    memcpy(&peer, msg->body, sizeof peer);
    if (peer.role == ROLE_CONSENSUS) {
        close_consensus(l);
        status_consensus_down(l->app->status);
    }
    return 0;
}

static int on_supervisor_message(void *ctx, struct chan_msg *msg)
{
    struct link *l = ctx;
    struct rpcd *app = l->app;
    const bool was_draining = app->worker.draining;
    const int rc = worker_handle(&app->worker, msg);
    if (rc != 0) {
        if (app->worker.draining && !was_draining)
            listen_drain(app, app->worker.drain_deadline_ns);
        return rc < 0 ? rc : 0;
    }
    switch (msg->type) {
    case MSG_START:
        return worker_ready(&app->worker);
    case MSG_PEER_UP:
        return open_consensus(l, msg);
    case MSG_PEER_DOWN:
        return take_peer_down(l, msg);
    case MSG_PAGE:
        return take_page(l, msg);
    case MSG_FLIGHT:
        return events_take_ring(app, msg->fd);
    case MSG_LISTENER:
        return listen_take(app, msg);
    case MSG_ADMIN_RESULT:
    case MSG_NODE_LOG_RESULT:
        take_answer(l, ROLE_SUPERVISOR, msg);
        return 0;
    default:
        return OC_EPROTO;
    }
}

static void on_supervisor_poll(uv_poll_t *poll, int status, int events)
{
    struct link *l = poll->data;
    (void)events;
    if (status < 0)
        l->supervisor_events = 0;
    const int rc = chan_step(l->app->worker.sup, on_supervisor_message, l);
    if (rc < 0) {
        /* Nothing that we could answer would be true without a parent. */
        if (rc != OC_ECLOSED)
            LOG_ERROR("The channel to the supervisor broke", LOG_E(rc));
        (void)uv_poll_stop(poll);
        listen_exit(l->app, rc == OC_ECLOSED ? WORKER_EXIT_OK : WORKER_EXIT_INTERNAL);
        return;
    }
    settle(poll, &l->supervisor_events, l->app->worker.sup, on_supervisor_poll);
}

struct link *link_new(struct rpcd *app)
{
    struct link *l = calloc(1, sizeof *l);
    if (l == NULL)
        return NULL;
    l->app = app;
    l->ring = ring_create(RING_DEFAULT_BYTES);
    if (l->ring == NULL || uv_poll_init(&app->loop, &l->supervisor_poll, chan_fd(app->worker.sup)) < 0) {
        ring_free(l->ring);
        free(l);
        return NULL;
    }
    l->supervisor_poll.data = l;
    (void)uv_timer_init(&app->loop, &l->expire);
    l->expire.data = l;
    settle(&l->supervisor_poll, &l->supervisor_events, app->worker.sup, on_supervisor_poll);
    return l;
}

void link_free(struct link *l)
{
    if (l == NULL)
        return;
    chan_close(l->consensus);
    ring_free(l->ring);
    free(l);
}
