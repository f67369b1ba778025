/* epoll with sources that may vanish while their events are being delivered. */
#include "supervisor/loop.h"

#include "shared/base/fd.h"

#include <errno.h>
#include <stdlib.h>

#define LOOP_BATCH 64
/* A bound for any wait, so that a miscalculated deadline costs a moment and not the node. */
#define LOOP_WAIT_MAX_MS 1000

struct loop {
    int epoll_fd;
    int count;
    struct epoll_event batch[LOOP_BATCH];
};

struct loop *loop_new(void)
{
    struct loop *l = calloc(1, sizeof *l);

    if (!l)
        return NULL;
    l->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
    if (l->epoll_fd < 0) {
        int saved = errno;
        free(l);
        errno = saved;
        return NULL;
    }
    return l;
}

void loop_free(struct loop *l)
{
    if (!l)
        return;
    fd_close(&l->epoll_fd);
    free(l);
}

int loop_add(struct loop *l, struct loop_source *s, int fd, uint32_t events, void (*fn)(void *ctx, uint32_t events),
             void *ctx)
{
    struct epoll_event ev = {.events = events, .data.ptr = s};

    loop_remove(l, s);
    if (epoll_ctl(l->epoll_fd, EPOLL_CTL_ADD, fd, &ev) < 0)
        return -errno;
    *s = (struct loop_source){.fd = fd, .events = events, .fn = fn, .ctx = ctx};
    return 0;
}

void loop_set_events(struct loop *l, struct loop_source *s, uint32_t events)
{
    struct epoll_event ev = {.events = events, .data.ptr = s};

    if (s->fd < 0 || s->events == events)
        return;
    if (epoll_ctl(l->epoll_fd, EPOLL_CTL_MOD, s->fd, &ev) == 0)
        s->events = events;
}

void loop_remove(struct loop *l, struct loop_source *s)
{
    if (s->fd < 0)
        return;
    (void)epoll_ctl(l->epoll_fd, EPOLL_CTL_DEL, s->fd, NULL);
    s->fd = -1;
    s->events = 0;
    for (int i = 0; i < l->count; i++) {
        if (l->batch[i].data.ptr == s)
            l->batch[i].data.ptr = NULL;
    }
}

int loop_turn(struct loop *l, uint64_t now_ns, uint64_t deadline_ns)
{
    uint64_t wait_ms = deadline_ns > now_ns ? (deadline_ns - now_ns + 999999) / 1000000 : 0;
    int n = epoll_wait(l->epoll_fd, l->batch, LOOP_BATCH, wait_ms < LOOP_WAIT_MAX_MS ? (int)wait_ms : LOOP_WAIT_MAX_MS);

    if (n < 0)
        return errno == EINTR ? 0 : -errno;
    l->count = n;
    for (int i = 0; i < n; i++) {
        struct loop_source *s = l->batch[i].data.ptr;
        if (s)
            s->fn(s->ctx, l->batch[i].events);
    }
    l->count = 0;
    return 0;
}
