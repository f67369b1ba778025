/* Answers on their way out: at once when the socket takes them, queued otherwise. */
#include "shared/http/server_internal.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct pending_write {
    uv_write_t req;
    size_t bytes;
    char *owned; /* may be NULL */
    char tail[]; /* a copy of what was not sent */
};

const char *http_status_text(int status)
{
    static const struct {
        int status;
        const char *text;
    } table[] = {
        {200, "OK"},
        {204, "No Content"},
        {400, "Bad Request"},
        {401, "Unauthorized"},
        {403, "Forbidden"},
        {404, "Not Found"},
        {405, "Method Not Allowed"},
        {408, "Request Timeout"},
        {413, "Request Entity Too Large"},
        {415, "Unsupported Media Type"},
        {417, "Expectation Failed"},
        {431, "Request Header Fields Too Large"},
        {500, "Internal Server Error"},
        {501, "Not Implemented"},
        {502, "Bad Gateway"},
        {503, "Service Unavailable"},
        {504, "Gateway Timeout"},
    };
    for (size_t i = 0; i < sizeof table / sizeof table[0]; i++)
        if (table[i].status == status)
            return table[i].text;
    return "Unknown";
}

size_t http_format_head(char *buf, size_t size, int status, const char *content_type, size_t body_len,
                        const char *const *extra, size_t extra_count, const char *connection)
{
    char length[48] = "";
    if (body_len != HTTP_LENGTH_UNKNOWN)
        (void)snprintf(length, sizeof length, "Content-Length: %zu\r\n", body_len);
    int n = snprintf(buf, size, "HTTP/1.1 %d %s\r\n%s%s%s%s%s%s%s", status, http_status_text(status),
                     content_type != NULL ? "Content-Type: " : "", content_type != NULL ? content_type : "",
                     content_type != NULL ? "\r\n" : "", length, connection != NULL ? "Connection: " : "",
                     connection != NULL ? connection : "", connection != NULL ? "\r\n" : "");
    size_t len = n > 0 && (size_t)n < size ? (size_t)n : 0;
    for (size_t i = 0; i < extra_count; i++) {
        const size_t add = strlen(extra[i]);
        if (len + add + 2 >= size)
            break;
        memcpy(buf + len, extra[i], add);
        len += add;
    }
    buf[len] = '\r';
    buf[len + 1] = '\n';
    return len + 2;
}

static void on_written(uv_write_t *req, int status)
{
    struct pending_write *w = req->data;
    struct http_conn *c = req->handle->data;
    c->server->queued_bytes -= w->bytes;
    free(w->owned);
    free(w);
    if (c->state == CONN_CLOSED)
        return;
    if (status < 0)
        http_conn_close(c);
    else
        http_conn_on_written(c);
}

void http_conn_write(struct http_conn *c, const char *head, size_t head_len, const char *body, size_t body_len,
                     char *owned)
{
    struct http_server *s = c->server;
    const uv_buf_t bufs[2] = {uv_buf_init((char *)(uintptr_t)head, (unsigned)head_len),
                              uv_buf_init((char *)(uintptr_t)body, (unsigned)body_len)};
    struct pending_write *w = NULL;
    size_t sent = 0;
    if (c->state == CONN_CLOSED)
        goto out;
    const int rc = uv_try_write(&c->uv.stream, bufs, body_len > 0 ? 2 : 1);
    if (rc > 0)
        sent = (size_t)rc;
    else if (rc < 0 && rc != UV_EAGAIN) {
        http_conn_close(c);
        goto out;
    }
    if (sent == head_len + body_len)
        goto out;
    const size_t unsent = head_len + body_len - sent;
    if (s->queued_bytes > 0 && s->queued_bytes + unsent > s->options.unsent_total_bytes) {
        http_conn_close(c); /* clients that do not read would take all memory together */
        goto out;
    }
    /* The unsent part of the head is copied; of the body only if it is not ours. */
    const size_t head_left = sent < head_len ? head_len - sent : 0;
    const size_t body_sent = sent > head_len ? sent - head_len : 0;
    const size_t body_copied = owned == NULL ? body_len - body_sent : 0;
    w = malloc(sizeof *w + head_left + body_copied);
    if (w == NULL) {
        http_conn_close(c);
        goto out;
    }
    if (head_left > 0)
        memcpy(w->tail, head + (head_len - head_left), head_left);
    if (body_copied > 0)
        memcpy(w->tail + head_left, body + body_sent, body_copied);
    w->req.data = w;
    w->bytes = unsent;
    w->owned = owned;
    uv_buf_t left[2];
    unsigned count = 0;
    if (head_left + body_copied > 0)
        left[count++] = uv_buf_init(w->tail, (unsigned)(head_left + body_copied));
    if (owned != NULL && body_len > body_sent)
        left[count++] = uv_buf_init(owned + body_sent, (unsigned)(body_len - body_sent));
    if (uv_stream_get_write_queue_size(&c->uv.stream) == 0)
        c->write_progress_ms = uv_now(c->server->loop);
    if (uv_write(&w->req, &c->uv.stream, left, count, on_written) < 0) {
        free(w);
        http_conn_close(c);
        goto out;
    }
    s->queued_bytes += unsent;
    return;
out:
    free(owned);
}
