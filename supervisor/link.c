/* The supervisor's end of a worker's control channel. */
#include "supervisor/link.h"

#include "shared/base/clock.h"
#include "shared/base/err.h"
#include "shared/base/fd.h"
#include "shared/base/log.h"
#include "shared/worker/worker.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>

#define MS_NS UINT64_C(1000000)
#define LINK_QUEUE_CAP_BYTES ((size_t)1 << 20)
/* There is one supervisor, and it is not restarted under its workers. */
#define SUPERVISOR_INCARNATION 1

void link_init(struct link *l, enum proc_role role, size_t page_bytes, enum log_level log_level, struct child *child,
               struct loop *loop, link_handler_fn handler, void *handler_ctx)
{
    *l = (struct link){
        .role = role,
        .page_bytes = page_bytes,
        .log_level = log_level,
        .child = child,
        .loop = loop,
        .handler = handler,
        .handler_ctx = handler_ctx,
        .source.fd = -1,
        .page_fd = -1,
    };
}

static void hang_up(struct link *l)
{
    loop_remove(l->loop, &l->source);
    chan_close(l->chan);
    l->chan = NULL;
}

/* ---- what a worker says ---- */

static int refuse_build(struct link *l, const char *theirs)
{
    l->child->final_code = WORKER_EXIT_BUILD_MISMATCH;
    (void)snprintf(l->child->reason, sizeof l->child->reason,
                   "%s is of build %.*s, but op-conductor is of build %s; install all op-conductor executables "
                   "together and restart op-conductor",
                   l->child->name, BUILD_ID_SIZE, theirs, build_id());
    return OC_EVERSION;
}

static int on_hello(struct link *l, struct chan_msg *msg)
{
    struct msg_hello hello;

    memcpy(&hello, msg->body, sizeof hello);
    if (strncmp(hello.build_id, build_id(), sizeof hello.build_id) != 0 || hello.catalogue_hash != msg_catalogue_hash())
        return refuse_build(l, hello.build_id);
    if (l->child->state != LIFE_SPAWNING && l->child->state != LIFE_HANDSHAKE)
        return OC_EPROTO;
    if (hello.role != (uint32_t)l->role || hello.incarnation != l->child->incarnation)
        return OC_EPROTO;
    if (l->page_bytes != 0) {
        l->page = page_open(msg->fd, l->role, l->page_bytes);
        if (!l->page)
            return OC_EPROTO;
        l->page_fd = msg->fd;
        msg->fd = -1;
    }
    child_event(l->child, clock_mono_ns(), LIFE_EV_HELLO);
    return 0;
}

static int on_ready(struct link *l)
{
    uint64_t now_ns = clock_mono_ns();

    if (l->child->state != LIFE_STARTING)
        return 0; /* it was told to stop in the meantime */
    chan_set_phase(l->chan, PHASE_RUNNING);
    l->ping_sent_ns = 0;
    l->next_ping_ns = now_ns;
    child_event(l->child, now_ns, LIFE_EV_READY);
    return 0;
}

static int on_message(void *ctx, struct chan_msg *msg)
{
    struct link *l = ctx;
    struct msg_ping pong;

    if (msg->incarnation != l->child->incarnation)
        return OC_EPROTO;
    switch (msg->type) {
    case MSG_HELLO:
        return on_hello(l, msg);
    case MSG_READY:
        return on_ready(l);
    case MSG_PONG:
        memcpy(&pong, msg->body, sizeof pong);
        if (pong.sequence == l->ping_sequence)
            l->ping_sent_ns = 0;
        return 0;
    default:
        return l->handler(l->handler_ctx, l->role, msg);
    }
}

static void on_socket(void *ctx, uint32_t events)
{
    struct link *l = ctx;
    int rc;

    (void)events;
    rc = chan_step(l->chan, on_message, l);
    if (rc >= 0)
        return;
    hang_up(l);
    if (rc == OC_ECLOSED) {
        child_event(l->child, clock_mono_ns(), LIFE_EV_CHAN_END);
        return;
    }
    LOG_ERROR("A worker broke the protocol", LOG_S("process", l->child->name), LOG_E(rc));
    child_ask_kill(l->child, "it broke the protocol");
}

/* ---- what it is told ---- */

int link_open(struct link *l, int *ret_child_fd)
{
    int fds[2];
    int rc;

    link_close(l);
    rc = fd_make_socketpair(fds);
    if (rc < 0)
        return rc;
    l->chan = chan_open(fds[0], ROLE_SUPERVISOR, SUPERVISOR_INCARNATION, l->role, LINK_QUEUE_CAP_BYTES);
    rc = l->chan ? loop_add(l->loop, &l->source, fds[0], EPOLLIN, on_socket, l) : -ENOMEM;
    if (rc < 0) {
        fd_close(&fds[1]);
        link_close(l);
        return rc;
    }
    l->ping_sent_ns = 0;
    *ret_child_fd = fds[1];
    return 0;
}

void link_close(struct link *l)
{
    hang_up(l);
    page_close(l->page);
    l->page = NULL;
    fd_close(&l->page_fd);
}

int link_send(struct link *l, enum msg_type type, uint64_t request_id, const void *body, int fd)
{
    int rc = l->chan ? chan_send(l->chan, type, request_id, body, fd) : OC_ECLOSED;

    if (rc == OC_EFULL)
        child_ask_kill(l->child, "it does not read its messages");
    else if (rc == OC_EPROTO)
        LOG_ERROR("A message may not be sent now", LOG_S("process", l->child->name),
                  LOG_S("message", msg_spec_get(type) ? msg_spec_get(type)->name : "unknown"),
                  LOG_S("state", lifecycle_state_name(l->child->state)));
    return rc;
}

void link_send_start(struct link *l)
{
    const struct msg_start start = {.log_level = (uint32_t)l->log_level};

    (void)link_send(l, MSG_START, 0, &start, -1);
    if (l->chan)
        chan_set_phase(l->chan, PHASE_STARTING);
}

void link_send_drain(struct link *l, uint64_t deadline_ns)
{
    const struct msg_drain drain = {.deadline_mono_ns = deadline_ns};

    (void)link_send(l, MSG_DRAIN, 0, &drain, -1);
}

/* ---- does it still answer ---- */

static uint64_t pong_limit_ns(const struct link *l)
{
    return (l->role == ROLE_CONSENSUS ? LINK_PONG_LIMIT_CONSENSUS_MS : LINK_PONG_LIMIT_MS) * MS_NS;
}

static void watch(struct link *l, uint64_t now_ns, uint64_t slept_ns)
{
    if (l->ping_sent_ns != 0) {
        l->ping_sent_ns += slept_ns;
        if (now_ns >= l->ping_sent_ns + pong_limit_ns(l))
            child_ask_kill(l->child, "it does not answer");
    } else if (now_ns >= l->next_ping_ns) {
        struct msg_ping ping = {.sequence = ++l->ping_sequence, .sent_mono_ns = now_ns};
        if (link_send(l, MSG_PING, 0, &ping, -1) == 0)
            l->ping_sent_ns = now_ns;
        /* At the same times for all workers: one wake-up serves them. */
        l->next_ping_ns = now_ns - now_ns % (LINK_PING_EVERY_MS * MS_NS) + LINK_PING_EVERY_MS * MS_NS;
    }
}

void link_tick(struct link *l, uint64_t now_ns, uint64_t slept_ns)
{
    if (!l->chan)
        return;
    if (l->child->state == LIFE_KILLING) {
        hang_up(l);
        return;
    }
    if (l->child->state == LIFE_RUNNING)
        watch(l, now_ns, slept_ns);
    loop_set_events(l->loop, &l->source, chan_want(l->chan) & POLLOUT ? EPOLLIN | EPOLLOUT : EPOLLIN);
}

bool link_pinged(const struct link *l, uint64_t now_ns)
{
    return l->ping_sent_ns == now_ns;
}

uint64_t link_next_deadline(const struct link *l)
{
    if (!l->chan || l->child->state != LIFE_RUNNING)
        return UINT64_MAX;
    return l->ping_sent_ns != 0 ? l->ping_sent_ns + pong_limit_ns(l) : l->next_ping_ns;
}
