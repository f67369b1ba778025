/* One connection: reading, taking requests one after the other, deadlines, closing. */
#include "shared/base/fd.h"
#include "shared/http/server_internal.h"

#include <errno.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

/* Who keeps others waiting for this part of the time that a head may take has had its turn. */
#define DAWDLING_PART 8

static void pump(struct http_conn *c);

static uint64_t now_ms(const struct http_conn *c)
{
    return uv_now(c->server->loop);
}

static void on_closed(uv_handle_t *handle)
{
    struct http_conn *c = handle->data;
    struct http_server *s = c->server;
    free(c->ahead);
    free(c);
    http_server_conn_gone(s);
}

void http_conn_close(struct http_conn *c)
{
    if (c->state == CONN_CLOSED)
        return;
    struct http_request *req = c->req;
    struct http_stream *stream = c->stream;
    const bool is_handed_over = c->state == CONN_BUSY;
    c->state = CONN_CLOSED;
    c->req = NULL;
    c->stream = NULL;
    if (c->prev != NULL)
        c->prev->next = c->next;
    else
        c->server->conns = c->next;
    if (c->next != NULL)
        c->next->prev = c->prev;
    if (req != NULL) {
        req->conn = NULL;
        req->is_gone = true;
        if (!is_handed_over)
            http_request_free(req);
    }
    uv_close(&c->uv.handle, on_closed);
    http_stream_end(stream);
}

bool http_conn_is_idle(const struct http_conn *c)
{
    return c->state == CONN_HEAD && c->req == NULL && uv_stream_get_write_queue_size(&c->uv.stream) == 0;
}

bool http_conn_is_dawdling(const struct http_conn *c)
{
    const bool is_waited_for = c->state == CONN_HEAD || c->state == CONN_BODY || c->state == CONN_LINGER;
    return is_waited_for && uv_stream_get_write_queue_size(&c->uv.stream) == 0 &&
           now_ms(c) - c->state_since_ms > c->server->options.header_timeout_ms / DAWDLING_PART;
}

static void start_next(struct http_conn *c)
{
    c->state = CONN_HEAD;
    c->state_since_ms = now_ms(c);
    memset(&c->scan, 0, sizeof c->scan);
    c->message_complete = c->keep_alive = c->has_trailer = false;
    c->framing_bytes = 0;
    llhttp_reset(&c->parser);
    if (c->server->is_full)
        http_server_resume_accepting(c->server);
}

static void on_shutdown(uv_shutdown_t *req, int status)
{
    struct http_conn *c = req->handle->data;
    if (c->state == CONN_CLOSED)
        return;
    c->state_since_ms = now_ms(c);
    if (status < 0 || c->is_eof)
        http_conn_close(c);
}

static void alloc_buffer(uv_handle_t *handle, size_t suggested, uv_buf_t *buf)
{
    struct http_conn *c = handle->data;
    (void)suggested;
    if (c->state == CONN_BODY && c->req->body_length_known) {
        /* body_size was reserved for the whole length, plus one */
        const size_t left = (size_t)c->parser.content_length;
        if (left > 0 && left <= c->req->body_size - c->req->body_len) {
            *buf = uv_buf_init(c->req->body + c->req->body_len, (unsigned)left);
            return;
        }
    }
    *buf = uv_buf_init(c->server->read_buf, (unsigned)sizeof c->server->read_buf);
}

static void on_read(uv_stream_t *stream, ssize_t nread, const uv_buf_t *buf);

static void set_reading(struct http_conn *c, bool on)
{
    if (c->state == CONN_CLOSED || c->is_reading == on || (on && c->is_eof))
        return;
    c->is_reading = on;
    if (!on)
        (void)uv_read_stop(&c->uv.stream);
    else if (uv_read_start(&c->uv.stream, alloc_buffer, on_read) < 0)
        http_conn_close(c);
}

/* No more requests: send what is queued, close our side, wait a little for the client's. Closing at
 * once would make the kernel throw away an answer that the client has not read yet. */
static void finish(struct http_conn *c)
{
    if (c->state == CONN_CLOSED || c->state == CONN_LINGER)
        return;
    c->state = CONN_LINGER;
    c->state_since_ms = now_ms(c);
    c->write_progress_ms = c->state_since_ms;
    c->ahead_len = c->ahead_off = 0;
    set_reading(c, true);
    if (c->state != CONN_CLOSED && uv_shutdown(&c->shutdown, &c->uv.stream, on_shutdown) < 0)
        http_conn_close(c);
}

static void reject(struct http_conn *c, int status, const char *text)
{
    char head[512], body[128];
    (void)snprintf(body, sizeof body, "%s\n", text);
    const size_t body_len = strlen(body);
    const size_t head_len =
        http_format_head(head, sizeof head, status, "text/plain; charset=utf-8", body_len, NULL, 0, "close");
    if (c->req != NULL) {
        http_request_free(c->req);
        c->req = NULL;
    }
    http_conn_write(c, head, head_len, body, body_len, NULL);
    finish(c);
}

/* Returns how many bytes were used. */
static size_t feed_head(struct http_conn *c, char *data, size_t len)
{
    const struct http_server_options *o = &c->server->options;
    size_t used = 0;
    const enum http_scan_result found =
        http_scan_step(&c->scan, data, len, o->max_header_bytes, o->max_header_count + 1, &used);
    if (found == HTTP_SCAN_BAD || found == HTTP_SCAN_TOO_LARGE) {
        if (found == HTTP_SCAN_BAD)
            (void)http_parse_refuse(c, 400, "malformed line in the request's head");
        else
            (void)http_parse_refuse(c, 431, "request head too large");
        return used;
    }
    if (c->scan.bytes == 0)
        return used; /* blank lines only */
    if (c->req == NULL) {
        c->req = http_request_new(c);
        if (c->req == NULL) {
            (void)http_parse_refuse(c, 503, "out of memory");
            return used;
        }
        c->req->first_byte_ns = uv_hrtime();
        c->state_since_ms = now_ms(c);
    }
    (void)http_parse_feed(c, data, used);
    if (found == HTTP_SCAN_END && c->state == CONN_HEAD && c->reject_status == 0)
        (void)http_parse_refuse(c, 400, "malformed request head");
    return used;
}

static void hand_over(struct http_conn *c)
{
    struct http_request *req = c->req;
    c->message_complete = false;
    c->state = CONN_BUSY;
    if (req->body != NULL)
        req->body[req->body_len] = '\0';
    req->complete_ns = uv_hrtime();
    req->is_handed_over = true;
    c->server->pending_count++;
    c->server->options.handler(c->server->options.ctx, req);
}

/* Parses until the bytes are used up or a request waits for its answer. Returns how many were used. */
static size_t feed(struct http_conn *c, char *data, size_t len)
{
    size_t done = 0;
    c->is_feeding = true;
    while (done < len && (c->state == CONN_HEAD || c->state == CONN_BODY)) {
        done +=
            c->state == CONN_HEAD ? feed_head(c, data + done, len - done) : http_parse_feed(c, data + done, len - done);
        if (c->state == CONN_CLOSED)
            break;
        if (c->reject_status != 0)
            reject(c, c->reject_status, c->reject_text);
        else if (c->message_complete)
            hand_over(c);
    }
    c->is_feeding = false;
    return done;
}

static void keep_ahead(struct http_conn *c, const char *data, size_t len)
{
    if (c->ahead_off > 0) {
        memmove(c->ahead, c->ahead + c->ahead_off, c->ahead_len - c->ahead_off);
        c->ahead_len -= c->ahead_off;
        c->ahead_off = 0;
    }
    if (c->ahead_len + len > c->ahead_size) {
        const size_t size = c->ahead_len + len;
        char *ahead = realloc(c->ahead, size);
        if (ahead == NULL) {
            http_conn_close(c);
            return;
        }
        c->ahead = ahead;
        c->ahead_size = size;
    }
    memcpy(c->ahead + c->ahead_len, data, len);
    c->ahead_len += len;
    if (c->ahead_len >= c->server->options.read_ahead_bytes)
        set_reading(c, false);
}

/* Works off the bytes kept, then settles whether to read on. */
static void pump(struct http_conn *c)
{
    if (c->ahead_len > c->ahead_off && c->state == CONN_HEAD) {
        c->ahead_off += feed(c, c->ahead + c->ahead_off, c->ahead_len - c->ahead_off);
        if (c->state == CONN_CLOSED)
            return;
    }
    if (c->ahead_off >= c->ahead_len) {
        free(c->ahead);
        c->ahead = NULL;
        c->ahead_off = c->ahead_len = c->ahead_size = 0;
    }
    if (c->ahead_len - c->ahead_off < c->server->options.read_ahead_bytes)
        set_reading(c, true);
    if (c->is_eof && (c->state == CONN_HEAD || c->state == CONN_BODY))
        finish(c);
}

static void on_read(uv_stream_t *stream, ssize_t nread, const uv_buf_t *buf)
{
    struct http_conn *c = stream->data;
    if (nread == 0 || c->state == CONN_CLOSED)
        return;
    if (nread < 0) {
        c->is_eof = true;
        c->is_reading = false;
        (void)uv_read_stop(stream);
        if (nread == UV_EOF && c->state == CONN_BUSY) {
            if (c->req != NULL)
                c->req->is_gone = true;
            return; /* perhaps only its sending side: the answer is still tried */
        }
        /* Answers that are still queued go out first. */
        if (nread != UV_EOF || c->state == CONN_STREAM || uv_stream_get_write_queue_size(stream) == 0)
            http_conn_close(c);
        else
            finish(c);
        return;
    }
    if (c->state == CONN_LINGER || c->state == CONN_STREAM)
        return;
    size_t used = 0;
    if (c->state != CONN_BUSY)
        used = feed(c, buf->base, (size_t)nread);
    if (c->state == CONN_BUSY && used < (size_t)nread)
        keep_ahead(c, buf->base + used, (size_t)nread - used);
}

void http_conn_begin_stream(struct http_conn *c, struct http_stream *stream)
{
    c->state = CONN_STREAM;
    c->keep_alive = false;
    c->stream = stream;
    c->ahead_len = c->ahead_off = 0;
    set_reading(c, true); /* to notice that the client leaves */
}

void http_conn_answered(struct http_conn *c)
{
    if (c->state != CONN_BUSY)
        return;
    if (!c->keep_alive) {
        finish(c);
        return;
    }
    if (uv_stream_get_write_queue_size(&c->uv.stream) > c->server->options.write_queue_bytes)
        return; /* stays busy until the client has taken some of it */
    start_next(c);
    if (!c->is_feeding)
        pump(c);
}

void http_conn_on_written(struct http_conn *c)
{
    c->write_progress_ms = now_ms(c);
    if (c->state == CONN_BUSY && c->req == NULL)
        http_conn_answered(c);
}

void http_conn_check_deadline(struct http_conn *c, uint64_t now)
{
    const struct http_server_options *o = &c->server->options;
    const size_t queued = uv_stream_get_write_queue_size(&c->uv.stream);
    const uint64_t age_ms = now - c->state_since_ms;
    if (queued != c->write_queue_seen) {
        c->write_queue_seen = queued;
        c->write_progress_ms = now;
    }
    if (queued > 0 && now - c->write_progress_ms > o->write_timeout_ms) {
        http_conn_close(c);
        return;
    }
    const bool is_idle_too_long = c->state == CONN_HEAD && c->req == NULL && age_ms > o->idle_timeout_ms;
    const bool is_linger_over = c->state == CONN_LINGER && queued == 0 && age_ms > HTTP_LINGER_MS;
    if (is_idle_too_long || is_linger_over)
        http_conn_close(c);
    else if ((c->state == CONN_HEAD && c->req != NULL && age_ms > o->header_timeout_ms) ||
             (c->state == CONN_BODY && age_ms > o->body_timeout_ms))
        reject(c, 408, "the request took too long to arrive");
}

int http_conn_open(struct http_server *s, int fd, http_guard_fn guard)
{
    int domain = 0;
    socklen_t len = sizeof domain;
    int rc = -ENOMEM;
    struct http_conn *c = calloc(1, sizeof *c);
    if (c == NULL)
        goto fail;
    c->is_guarded = guard != NULL;
    c->refusal = guard != NULL ? guard(fd) : NULL;
    if (getsockopt(fd, SOL_SOCKET, SO_DOMAIN, &domain, &len) == 0 && domain == AF_UNIX) {
        (void)uv_pipe_init(s->loop, &c->uv.pipe, 0);
        rc = uv_pipe_open(&c->uv.pipe, fd);
    } else {
        (void)uv_tcp_init(s->loop, &c->uv.tcp);
        rc = uv_tcp_open(&c->uv.tcp, fd);
        if (rc == 0)
            (void)uv_tcp_nodelay(&c->uv.tcp, 1);
    }
    c->uv.handle.data = c;
    c->server = s;
    s->conn_count++;
    c->next = s->conns;
    if (c->next != NULL)
        c->next->prev = c;
    s->conns = c;
    c->write_progress_ms = uv_now(s->loop);
    llhttp_init(&c->parser, HTTP_REQUEST, &s->settings);
    c->parser.data = c;
    start_next(c);
    if (rc < 0) {
        http_conn_close(c);
        goto fail_fd;
    }
    set_reading(c, true);
    return 0;
fail:
    free(c);
fail_fd:
    fd_close(&fd);
    return rc;
}
