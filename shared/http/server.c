/* The server itself: its listeners, its connection list and the tick that enforces deadlines. */
#include "shared/base/fd.h"
#include "shared/http/server_internal.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

/* Connections taken per wake-up, so that a flood of them does not starve the others. */
#define ACCEPT_BATCH 32

void http_server_options_init(struct http_server_options *options)
{
    memset(options, 0, sizeof *options);
    options->max_body_bytes = UINT64_C(64) << 20;
    options->max_header_bytes = 16 << 10;
    options->max_header_count = 100;
    options->max_connections = 1024;
    options->header_timeout_ms = 30000;
    options->body_timeout_ms = 30000;
    options->idle_timeout_ms = 120000;
    options->write_timeout_ms = 30000;
    options->write_queue_bytes = 1 << 20;
    options->unsent_total_bytes = UINT64_C(256) << 20;
    options->read_ahead_bytes = 64 << 10;
}

static uint32_t min_u32(uint32_t a, uint32_t b)
{
    return a < b ? a : b;
}

static void on_tick(uv_timer_t *timer)
{
    struct http_server *s = timer->data;
    const uint64_t now_ms = uv_now(s->loop);
    for (struct http_conn *c = s->conns, *next; c != NULL; c = next) {
        next = c->next;
        http_conn_check_deadline(c, now_ms);
    }
    if (s->is_full)
        http_server_resume_accepting(s); /* somebody may dawdle by now */
    if (s->conns == NULL)
        uv_timer_stop(timer);
}

static void start_tick(struct http_server *s)
{
    if (uv_is_active((uv_handle_t *)&s->tick))
        return;
    const struct http_server_options *o = &s->options;
    uint32_t period_ms =
        min_u32(min_u32(o->header_timeout_ms, o->body_timeout_ms), min_u32(o->idle_timeout_ms, o->write_timeout_ms)) /
        8;
    if (period_ms > 500)
        period_ms = 500;
    if (period_ms < 5)
        period_ms = 5;
    (void)uv_timer_start(&s->tick, on_tick, period_ms, period_ms);
}

struct http_server *http_server_new(uv_loop_t *loop, const struct http_server_options *options)
{
    struct http_server *s = calloc(1, sizeof *s);
    if (s == NULL)
        return NULL;
    s->loop = loop;
    s->options = *options;
    s->max_buffered_bytes = 4 * options->max_body_bytes;
    s->accepting = true;
    http_parse_init_settings(&s->settings);
    (void)uv_timer_init(loop, &s->tick);
    s->tick.data = s;
    s->open_handles = 1;
    return s;
}

static struct http_conn *find_oldest(const struct http_server *s, bool (*is_meant)(const struct http_conn *c))
{
    struct http_conn *oldest = NULL;
    for (struct http_conn *c = s->conns; c != NULL; c = c->next)
        if (is_meant(c) && (oldest == NULL || c->state_since_ms < oldest->state_since_ms))
            oldest = c;
    return oldest;
}

/* The connection that makes room for another: the one that has been idle longest, or else that dawdles longest, so that
 * a crowd of half requests keeps neither op-node nor the admin socket out. */
static struct http_conn *find_leaver(const struct http_server *s)
{
    struct http_conn *idle = find_oldest(s, http_conn_is_idle);
    return idle != NULL ? idle : find_oldest(s, http_conn_is_dawdling);
}

static void on_listener(uv_poll_t *poll, int status, int events);

static void set_polling(struct http_listener *l, bool on)
{
    if (l->is_polling == on)
        return;
    l->is_polling = on;
    if (on)
        (void)uv_poll_start(&l->poll, UV_READABLE, on_listener);
    else
        (void)uv_poll_stop(&l->poll);
}

/* Until a connection closes, becomes idle or, at the next tick, dawdles. */
static void pause_accepting(struct http_listener *l)
{
    l->server->is_full = true;
    set_polling(l, false);
}

static void on_listener(uv_poll_t *poll, int status, int events)
{
    struct http_listener *l = poll->data;
    struct http_server *s = l->server;
    (void)events;
    if (status < 0)
        return;
    for (int i = 0; i < ACCEPT_BATCH; i++) {
        struct http_conn *leaver = NULL;
        if (s->conn_count >= s->options.max_connections && (leaver = find_leaver(s)) == NULL) {
            pause_accepting(l);
            return;
        }
        const int fd = accept4(l->fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
        if (fd < 0) {
            if (errno == EINTR || errno == ECONNABORTED)
                continue;
            /* Out of descriptors: another connection gives one back. */
            if (errno == EMFILE || errno == ENFILE) {
                leaver = find_leaver(s);
                if (leaver != NULL)
                    http_conn_close(leaver);
                else if (s->conn_count > 0)
                    pause_accepting(l);
            }
            return;
        }
        if (leaver != NULL)
            http_conn_close(leaver);
        if (http_conn_open(s, fd, l->guard) == 0)
            start_tick(s);
    }
}

int http_server_add_listener(struct http_server *s, int listen_fd)
{
    return http_server_add_guarded_listener(s, listen_fd, NULL);
}

int http_server_add_guarded_listener(struct http_server *s, int listen_fd, http_guard_fn guard)
{
    struct http_listener *l = calloc(1, sizeof *l);
    int rc = -ENOMEM;
    if (l == NULL)
        goto fail;
    rc = fd_set_nonblocking(listen_fd);
    if (rc < 0)
        goto fail;
    rc = uv_poll_init(s->loop, &l->poll, listen_fd);
    if (rc < 0)
        goto fail;
    l->server = s;
    l->fd = listen_fd;
    l->guard = guard;
    l->poll.data = l;
    l->next = s->listeners;
    s->listeners = l;
    s->open_handles++;
    if (s->accepting)
        set_polling(l, true);
    return 0;
fail:
    free(l);
    fd_close(&listen_fd);
    return rc;
}

static void on_listener_closed(uv_handle_t *handle)
{
    struct http_listener *l = handle->data;
    struct http_server *s = l->server;
    fd_close(&l->fd);
    free(l);
    s->open_handles--;
    http_server_maybe_free(s);
}

void http_server_stop_accepting(struct http_server *s)
{
    s->accepting = false;
    while (s->listeners != NULL) {
        struct http_listener *l = s->listeners;
        s->listeners = l->next;
        uv_close((uv_handle_t *)&l->poll, on_listener_closed);
    }
    for (struct http_conn *c = s->conns, *next; c != NULL; c = next) {
        next = c->next;
        if (http_conn_is_idle(c) || c->state == CONN_STREAM)
            http_conn_close(c);
    }
}

void http_server_resume_accepting(struct http_server *s)
{
    s->is_full = false;
    if (s->accepting)
        for (struct http_listener *l = s->listeners; l != NULL; l = l->next)
            set_polling(l, true);
}

void http_server_conn_gone(struct http_server *s)
{
    s->conn_count--;
    if (s->is_full)
        http_server_resume_accepting(s);
    http_server_maybe_free(s);
}

void http_server_maybe_free(struct http_server *s)
{
    if (!s->closing || s->open_handles > 0 || s->conn_count > 0 || s->pending_count > 0)
        return;
    while (s->free_requests != NULL) {
        struct http_request *req = s->free_requests;
        s->free_requests = req->next_free;
        free(req->text);
        free(req->headers);
        free(req);
    }
    free(s->spare_body);
    free(s);
}

static void on_tick_closed(uv_handle_t *handle)
{
    struct http_server *s = handle->data;
    s->open_handles--;
    http_server_maybe_free(s);
}

void http_server_close(struct http_server *s)
{
    if (s == NULL || s->closing)
        return;
    s->closing = true;
    http_server_stop_accepting(s);
    for (struct http_conn *c = s->conns, *next; c != NULL; c = next) {
        next = c->next;
        http_conn_close(c);
    }
    uv_close((uv_handle_t *)&s->tick, on_tick_closed);
}

uint32_t http_server_connection_count(const struct http_server *s)
{
    return s->conn_count;
}

uint32_t http_server_pending_count(const struct http_server *s)
{
    return s->pending_count;
}

int http_listen_loopback(uint16_t port, uint16_t *ret_port)
{
    return http_listen_ipv4("127.0.0.1", port, ret_port);
}

int http_listen_ipv4(const char *address, uint16_t port, uint16_t *ret_port)
{
    struct sockaddr_in addr = {.sin_family = AF_INET, .sin_port = htons(port)};
    socklen_t len = sizeof addr;
    const int on = 1;
    if (inet_pton(AF_INET, address, &addr.sin_addr) != 1)
        return -EINVAL;
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return -errno;
    (void)setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
    if (bind(fd, (struct sockaddr *)&addr, sizeof addr) < 0 || listen(fd, 512) < 0 ||
        getsockname(fd, (struct sockaddr *)&addr, &len) < 0) {
        const int rc = -errno;
        fd_close(&fd);
        return rc;
    }
    *ret_port = ntohs(addr.sin_port);
    return fd;
}
