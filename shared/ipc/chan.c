/* Channels: catalogue-checked messages, each with at most one fd, over SOCK_SEQPACKET. */
#include "shared/ipc/chan.h"

#include "shared/base/err.h"
#include "shared/base/fd.h"
#include "shared/base/log.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdalign.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/uio.h>

/* A message is refused when it carries more fds than one; room for a few lets us close them. */
#define CHAN_CONTROL_FDS 4

struct chan_queued {
    struct chan_queued *next;
    struct msg_header header;
    int fd; /* our duplicate, or -1 */
    unsigned char body[];
};

struct chan {
    int fd;
    enum proc_role self;
    enum proc_role peer;
    uint32_t self_incarnation;
    enum msg_phase phase;
    bool broken;     /* the protocol was violated */
    bool send_ended; /* the peer is gone: there may still be something to read */
    uint64_t next_request_id;
    size_t queue_cap_bytes;
    size_t queued_bytes;
    struct chan_queued *queue_head;
    struct chan_queued **queue_tail;
    alignas(16) unsigned char body[MSG_BODY_MAX_BYTES];
};

struct chan *chan_open(int fd, enum proc_role self, uint32_t self_incarnation, enum proc_role peer,
                       size_t queue_cap_bytes)
{
    struct chan *c = calloc(1, sizeof *c);

    if (!c) {
        fd_close(&fd);
        return NULL;
    }
    c->fd = fd;
    c->self = self;
    c->peer = peer;
    c->self_incarnation = self_incarnation;
    c->phase = self == ROLE_SUPERVISOR || peer == ROLE_SUPERVISOR ? PHASE_HANDSHAKE : PHASE_RUNNING;
    c->queue_cap_bytes = queue_cap_bytes;
    c->queue_tail = &c->queue_head;
    return c;
}

static size_t queued_cost(const struct chan_queued *q)
{
    return sizeof q->header + q->header.body_bytes + (q->fd >= 0 ? CHAN_QUEUED_FD_BYTES : 0);
}

static void queue_pop(struct chan *c)
{
    struct chan_queued *q = c->queue_head;

    c->queue_head = q->next;
    if (!c->queue_head)
        c->queue_tail = &c->queue_head;
    c->queued_bytes -= queued_cost(q);
    fd_close(&q->fd);
    free(q);
}

static void queue_drop_all(struct chan *c)
{
    while (c->queue_head)
        queue_pop(c);
}

void chan_close(struct chan *c)
{
    if (!c)
        return;
    queue_drop_all(c);
    fd_close(&c->fd);
    free(c);
}

int chan_fd(const struct chan *c)
{
    return c->fd;
}

enum proc_role chan_peer(const struct chan *c)
{
    return c->peer;
}

short chan_want(const struct chan *c)
{
    return (short)(POLLIN | (c->queue_head ? POLLOUT : 0));
}

void chan_set_phase(struct chan *c, enum msg_phase phase)
{
    c->phase = phase;
}

uint64_t chan_next_request_id(struct chan *c)
{
    return ++c->next_request_id;
}

/* Says which rule a message broke; with NULL it is legal. */
static const char *rule_broken(const struct chan *c, const struct msg_spec *spec, enum proc_role from,
                               enum proc_role to, size_t body_bytes, bool has_fd)
{
    if (!spec)
        return "it is not in the catalogue";
    if (!(spec->from_roles & (unsigned)from) || !(spec->to_roles & (unsigned)to))
        return "this side may not send it";
    if (!(spec->phases & (unsigned)c->phase))
        return "it is not legal in this phase";
    if (body_bytes != spec->body_bytes)
        return "its size is wrong";
    if (has_fd && spec->fd_rule == MSG_FD_NONE)
        return "it carries a file descriptor";
    if (!has_fd && spec->fd_rule == MSG_FD_MUST)
        return "it lacks its file descriptor";
    return NULL;
}

/* Ends the channel. `type` is what the header says, or 0. */
static int break_channel(struct chan *c, unsigned type, const char *why)
{
    const struct msg_spec *spec = msg_spec_get(type);

    c->broken = true;
    LOG_ERROR("A message from another process broke the protocol; closing the channel",
              LOG_S("peer", proc_role_name(c->peer)), LOG_S("type", spec ? spec->name : "?"), LOG_U("number", type),
              LOG_U("phase", c->phase), LOG_S("reason", why));
    return OC_EPROTO;
}

/* One sendmsg. Returns 0, -EAGAIN (later), OC_EFULL (no memory, or too many fds under way) or OC_ECLOSED. */
static int send_now(struct chan *c, const struct msg_header *header, const void *body, int fd)
{
    struct iovec iov[2] = {
        {.iov_base = (void *)(uintptr_t)header, .iov_len = sizeof *header},
        {.iov_base = (void *)(uintptr_t)body, .iov_len = header->body_bytes},
    };
    alignas(struct cmsghdr) char control[CMSG_SPACE(sizeof(int))] = {0};
    struct msghdr msg = {.msg_iov = iov, .msg_iovlen = 2};

    if (fd >= 0) {
        struct cmsghdr *cm;

        msg.msg_control = control;
        msg.msg_controllen = sizeof control;
        cm = CMSG_FIRSTHDR(&msg);
        cm->cmsg_level = SOL_SOCKET;
        cm->cmsg_type = SCM_RIGHTS;
        cm->cmsg_len = CMSG_LEN(sizeof(int));
        memcpy(CMSG_DATA(cm), &fd, sizeof fd);
    }
    for (;;) {
        if (sendmsg(c->fd, &msg, MSG_DONTWAIT | MSG_NOSIGNAL) >= 0)
            return 0;
        switch (errno) {
        case EINTR:
            continue;
        case EAGAIN:
            return -EAGAIN;
        case ENOMEM:
        case ENOBUFS:
        case ETOOMANYREFS:
            return OC_EFULL;
        case EPIPE:
        case ECONNRESET:
        case ENOTCONN:
            break;
        default:
            LOG_ERROR("Cannot send to another process", LOG_S("peer", proc_role_name(c->peer)), LOG_E(-errno));
            break;
        }
        c->send_ended = true;
        queue_drop_all(c);
        return OC_ECLOSED;
    }
}

static int queue_push(struct chan *c, const struct msg_header *header, const void *body, int fd)
{
    struct chan_queued *q = malloc(sizeof *q + header->body_bytes);

    if (!q)
        return OC_EFULL;
    q->next = NULL;
    q->header = *header;
    q->fd = fd;
    memcpy(q->body, body, header->body_bytes);
    if (queued_cost(q) > c->queue_cap_bytes - c->queued_bytes) {
        free(q);
        return OC_EFULL;
    }
    if (fd >= 0) {
        q->fd = fcntl(fd, F_DUPFD_CLOEXEC, 3);
        if (q->fd < 0) {
            free(q);
            return OC_EFULL;
        }
    }
    *c->queue_tail = q;
    c->queue_tail = &q->next;
    c->queued_bytes += queued_cost(q);
    return 0;
}

int chan_send(struct chan *c, enum msg_type type, uint64_t request_id, const void *body, int fd)
{
    const struct msg_spec *spec = msg_spec_get(type);
    struct msg_header header = {.type = type, .request_id = request_id, .incarnation = c->self_incarnation};
    const char *why = rule_broken(c, spec, c->self, c->peer, spec ? spec->body_bytes : 0, fd >= 0);
    int rc;

    if (!spec || why) {
        LOG_ERROR("Refusing to send a message that the protocol forbids", LOG_S("peer", proc_role_name(c->peer)),
                  LOG_S("type", spec ? spec->name : "?"), LOG_U("number", type), LOG_U("phase", c->phase),
                  LOG_S("reason", why));
        return OC_EPROTO;
    }
    if (c->broken || c->send_ended)
        return OC_ECLOSED;
    header.body_bytes = (uint32_t)spec->body_bytes;
    if (!c->queue_head) {
        rc = send_now(c, &header, body, fd);
        if (rc != -EAGAIN)
            return rc;
    }
    return queue_push(c, &header, body, fd);
}

/* Writes the queue until the socket is full. The end of the peer is found by reading. */
static void flush_queue(struct chan *c)
{
    while (c->queue_head && !c->send_ended) {
        if (send_now(c, &c->queue_head->header, c->queue_head->body, c->queue_head->fd) != 0)
            return;
        queue_pop(c);
    }
}

/* Takes the fds out of a received message: the first into *ret_fd, the others are closed.
 * Returns how many there were. */
static size_t take_fds(struct msghdr *msg, int *ret_fd)
{
    size_t count = 0;

    *ret_fd = -1;
    for (struct cmsghdr *cm = CMSG_FIRSTHDR(msg); cm; cm = CMSG_NXTHDR(msg, cm)) {
        size_t n;

        if (cm->cmsg_level != SOL_SOCKET || cm->cmsg_type != SCM_RIGHTS)
            continue;
        n = (cm->cmsg_len - CMSG_LEN(0)) / sizeof(int);
        for (size_t i = 0; i < n; i++, count++) {
            int fd;
            memcpy(&fd, CMSG_DATA(cm) + i * sizeof fd, sizeof fd);
            if (count == 0)
                *ret_fd = fd;
            else
                fd_close(&fd);
        }
    }
    return count;
}

/* Receives, checks and hands over one message. Returns 1 when one was handled, 0 when there is none
 * now, or a negative code. */
static int receive_one(struct chan *c, chan_handler_fn handler, void *ctx)
{
    struct msg_header header = {0};
    struct iovec iov[2] = {
        {.iov_base = &header, .iov_len = sizeof header},
        {.iov_base = c->body, .iov_len = sizeof c->body},
    };
    alignas(struct cmsghdr) char control[CMSG_SPACE(CHAN_CONTROL_FDS * sizeof(int))];
    struct msghdr msg = {.msg_iov = iov, .msg_iovlen = 2, .msg_control = control, .msg_controllen = sizeof control};
    struct chan_msg out;
    const char *why = NULL;
    size_t n_fds, body_bytes;
    ssize_t n;
    int fd, rc;

    do {
        n = recvmsg(c->fd, &msg, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
        /* A peer that ended without reading everything reports a reset once; what it had sent
         * before is still there to be read. */
    } while (n < 0 && (errno == EINTR || errno == ECONNRESET));
    if (n < 0) {
        if (errno == EAGAIN)
            return 0;
        LOG_ERROR("Cannot receive from another process", LOG_S("peer", proc_role_name(c->peer)), LOG_E(-errno));
        return OC_ECLOSED;
    }
    n_fds = take_fds(&msg, &fd);
    if (n == 0 && n_fds == 0)
        return OC_ECLOSED;

    body_bytes = (size_t)n < sizeof header ? 0 : (size_t)n - sizeof header;
    if ((size_t)n < sizeof header || (msg.msg_flags & MSG_TRUNC) || header.body_bytes != body_bytes)
        why = "its length is not what its header says";
    else if (n_fds > 1 || (msg.msg_flags & MSG_CTRUNC))
        why = "it carries several file descriptors, or this process has none left";
    else
        why = rule_broken(c, msg_spec_get(header.type), c->peer, c->self, body_bytes, n_fds == 1);
    if (why) {
        fd_close(&fd);
        return break_channel(c, header.type, why);
    }

    out = (struct chan_msg){
        .type = (enum msg_type)header.type,
        .incarnation = header.incarnation,
        .request_id = header.request_id,
        .body = c->body,
        .body_len = body_bytes,
        .fd = fd,
    };
    rc = handler(ctx, &out);
    fd_close(&out.fd);
    return rc < 0 ? rc : 1;
}

int chan_step(struct chan *c, chan_handler_fn handler, void *ctx)
{
    if (c->broken)
        return OC_EPROTO;
    flush_queue(c);
    for (int i = 0; i < CHAN_BATCH; i++) {
        int rc = receive_one(c, handler, ctx);
        if (rc <= 0)
            return rc;
    }
    return 0;
}
