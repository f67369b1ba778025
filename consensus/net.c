/* Streams over plain TCP (see net.h). */
#include "consensus/net.h"

#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define BACKLOG 64
/* Unacknowledged bytes for this long: the other host is gone. */
#define USER_TIMEOUT_MS 5000

struct net_stream {
    uv_tcp_t tcp;
    uv_connect_t connect;
    uv_shutdown_t shutdown;
    uv_timer_t flush_timer;
    const struct net_events *events;
    void *ctx;
    int open_handles;
    bool closing;
    char peer_text[64];
};

struct send {
    uv_write_t write;
    void (*release)(void *arg);
    void *arg;
    uint8_t head[];
};

struct net_listener {
    uv_tcp_t tcp;
    net_accept_fn on_accept;
    void *ctx;
};

static void format_addr(const struct sockaddr *addr, char *text, size_t size)
{
    char host[INET6_ADDRSTRLEN] = "?";
    unsigned port = 0;
    if (addr->sa_family == AF_INET) {
        const struct sockaddr_in *a = (const void *)addr;
        uv_ip4_name(a, host, sizeof host);
        port = ntohs(a->sin_port);
    } else if (addr->sa_family == AF_INET6) {
        const struct sockaddr_in6 *a = (const void *)addr;
        uv_ip6_name(a, host, sizeof host);
        port = ntohs(a->sin6_port);
    }
    snprintf(text, size, addr->sa_family == AF_INET6 ? "[%s]:%u" : "%s:%u", host, port);
}

/* ---- closing ---- */

static void on_handle_closed(uv_handle_t *handle)
{
    struct net_stream *s = handle->data;
    if (--s->open_handles > 0)
        return;
    if (s->events && s->events->released)
        s->events->released(s->ctx);
    free(s);
}

static void close_handles(struct net_stream *s)
{
    if (!uv_is_closing((uv_handle_t *)&s->tcp)) {
        uv_close((uv_handle_t *)&s->tcp, on_handle_closed);
        uv_close((uv_handle_t *)&s->flush_timer, on_handle_closed);
    }
}

static void on_shutdown(uv_shutdown_t *req, int status)
{
    (void)status;
    close_handles(req->handle->data);
}

static void on_flush_timeout(uv_timer_t *timer)
{
    close_handles(timer->data);
}

void net_close(struct net_stream *s, bool flush)
{
    if (s->closing)
        return;
    s->closing = true;
    uv_read_stop((uv_stream_t *)&s->tcp);
    if (flush && uv_shutdown(&s->shutdown, (uv_stream_t *)&s->tcp, on_shutdown) == 0) {
        uv_timer_start(&s->flush_timer, on_flush_timeout, NET_FLUSH_MS, 0);
        return;
    }
    close_handles(s);
}

static void end(struct net_stream *s, int rc)
{
    if (s->closing)
        return;
    s->closing = true;
    s->events->ended(s->ctx, rc);
    close_handles(s);
}

/* ---- reading ---- */

static void on_alloc(uv_handle_t *handle, size_t suggested, uv_buf_t *buf)
{
    struct net_stream *s = handle->data;
    size_t room = 0;
    (void)suggested;
    buf->base = (char *)s->events->buffer(s->ctx, &room);
    buf->len = room;
}

static void on_read(uv_stream_t *stream, ssize_t n, const uv_buf_t *buf)
{
    struct net_stream *s = stream->data;
    (void)buf;
    if (n == 0 || s->closing)
        return;
    if (n < 0) {
        end(s, (int)n);
        return;
    }
    int rc = s->events->received(s->ctx, (size_t)n);
    if (rc < 0)
        end(s, rc);
}

/* ---- opening ---- */

static struct net_stream *stream_new(uv_loop_t *loop)
{
    struct net_stream *s = calloc(1, sizeof *s);
    if (!s)
        return NULL;
    if (uv_tcp_init(loop, &s->tcp)) {
        free(s);
        return NULL;
    }
    uv_timer_init(loop, &s->flush_timer);
    s->tcp.data = s->flush_timer.data = s;
    s->open_handles = 2;
    return s;
}

static void set_socket_options(struct net_stream *s)
{
    uv_os_fd_t fd;
    unsigned timeout = USER_TIMEOUT_MS;
    uv_tcp_nodelay(&s->tcp, 1);
    uv_tcp_keepalive(&s->tcp, 1, 2);
    if (uv_fileno((uv_handle_t *)&s->tcp, &fd) == 0)
        setsockopt(fd, IPPROTO_TCP, TCP_USER_TIMEOUT, &timeout, sizeof timeout);
}

static void on_connect(uv_connect_t *req, int status)
{
    struct net_stream *s = req->handle->data;
    if (s->closing)
        return;
    if (status == 0) {
        set_socket_options(s);
        s->events->connected(s->ctx);
        if (s->closing)
            return;
        status = uv_read_start((uv_stream_t *)&s->tcp, on_alloc, on_read);
    }
    if (status)
        end(s, status);
}

struct net_stream *net_dial(uv_loop_t *loop, const struct sockaddr *addr, const struct net_events *events, void *ctx)
{
    struct net_stream *s = stream_new(loop);
    if (!s)
        return NULL;
    format_addr(addr, s->peer_text, sizeof s->peer_text);
    if (uv_tcp_connect(&s->connect, &s->tcp, addr, on_connect)) {
        s->closing = true; /* events stay NULL: the caller hears of it by the NULL only */
        close_handles(s);
        return NULL;
    }
    s->events = events;
    s->ctx = ctx;
    return s;
}

static void on_connection(uv_stream_t *server, int status)
{
    struct net_listener *l = server->data;
    if (status)
        return;
    struct net_stream *s = stream_new(server->loop);
    if (!s)
        return;
    struct sockaddr_storage addr;
    int len = sizeof addr;
    const struct net_events *events = NULL;
    if (uv_accept(server, (uv_stream_t *)&s->tcp)) {
        s->closing = true;
        close_handles(s);
        return;
    }
    if (uv_tcp_getpeername(&s->tcp, (struct sockaddr *)&addr, &len) == 0)
        format_addr((struct sockaddr *)&addr, s->peer_text, sizeof s->peer_text);
    set_socket_options(s);
    void *ctx = l->on_accept(l->ctx, s, &events);
    if (!ctx) {
        s->closing = true;
        close_handles(s);
        return;
    }
    s->events = events;
    s->ctx = ctx;
    int rc = uv_read_start((uv_stream_t *)&s->tcp, on_alloc, on_read);
    if (rc)
        end(s, rc);
}

/* ---- writing ---- */

static void on_written(uv_write_t *req, int status)
{
    struct send *w = (struct send *)req;
    struct net_stream *s = req->handle->data;
    if (w->release)
        w->release(w->arg);
    free(w);
    if (status && status != UV_ECANCELED)
        end(s, status);
}

void net_send(struct net_stream *s, const void *head, size_t head_len, const void *payload, size_t payload_len,
              void (*release)(void *arg), void *arg)
{
    /* What is small goes out at once, mostly; without a request the loop need not look at it again. */
    if (!s->closing && !release && !payload_len) {
        uv_buf_t buf = {.base = (char *)(uintptr_t)head, .len = head_len};
        int n = uv_try_write((uv_stream_t *)&s->tcp, &buf, 1);
        if (n == (int)head_len)
            return;
        if (n > 0) {
            head = (const char *)head + n;
            head_len -= (size_t)n;
        }
    }
    struct send *w = s->closing ? NULL : malloc(sizeof *w + head_len);
    if (w) {
        w->release = release;
        w->arg = arg;
        memcpy(w->head, head, head_len);
        uv_buf_t bufs[2] = {
            {.base = (char *)w->head, .len = head_len},
            {.base = (char *)(uintptr_t)payload, .len = payload_len},
        };
        if (uv_write(&w->write, (uv_stream_t *)&s->tcp, bufs, payload_len ? 2 : 1, on_written) == 0)
            return;
        free(w);
    }
    if (release)
        release(arg);
}

size_t net_queued_bytes(const struct net_stream *s)
{
    return uv_stream_get_write_queue_size((const uv_stream_t *)&s->tcp);
}

const char *net_peer_text(const struct net_stream *s)
{
    return s->peer_text;
}

/* ---- listening ---- */

static void on_listener_closed(uv_handle_t *handle)
{
    free(handle->data);
}

int net_listen(uv_loop_t *loop, const char *host, uint16_t port, net_accept_fn on_accept, void *ctx,
               struct net_listener **ret_listener, char *ret_text, size_t text_size)
{
    uv_getaddrinfo_t req;
    struct addrinfo hints = {.ai_family = AF_UNSPEC, .ai_socktype = SOCK_STREAM, .ai_flags = AI_PASSIVE};
    char service[8];
    snprintf(service, sizeof service, "%u", (unsigned)port);
    snprintf(ret_text, text_size, "%s:%u", host, (unsigned)port);
    int rc = uv_getaddrinfo(loop, &req, NULL, *host ? host : NULL, service, &hints);
    if (rc)
        return rc;
    struct net_listener *l = calloc(1, sizeof *l);
    if (!l) {
        uv_freeaddrinfo(req.addrinfo);
        return -ENOMEM;
    }
    format_addr(req.addrinfo->ai_addr, ret_text, text_size);
    l->on_accept = on_accept;
    l->ctx = ctx;
    rc = uv_tcp_init(loop, &l->tcp);
    if (rc) {
        free(l);
        uv_freeaddrinfo(req.addrinfo);
        return rc;
    }
    l->tcp.data = l;
    rc = uv_tcp_bind(&l->tcp, req.addrinfo->ai_addr, 0);
    uv_freeaddrinfo(req.addrinfo);
    if (rc == 0) /* libuv reports an address in use here */
        rc = uv_listen((uv_stream_t *)&l->tcp, BACKLOG, on_connection);
    if (rc) {
        uv_close((uv_handle_t *)&l->tcp, on_listener_closed);
        return rc;
    }
    *ret_listener = l;
    return 0;
}

uint16_t net_listener_port(const struct net_listener *l)
{
    struct sockaddr_storage addr;
    int len = sizeof addr;
    if (uv_tcp_getsockname(&l->tcp, (struct sockaddr *)&addr, &len))
        return 0;
    return ntohs(addr.ss_family == AF_INET6 ? ((struct sockaddr_in6 *)&addr)->sin6_port
                                            : ((struct sockaddr_in *)&addr)->sin_port);
}

void net_listener_close(struct net_listener *l)
{
    if (l)
        uv_close((uv_handle_t *)&l->tcp, on_listener_closed);
}
