/* An answer without an end, such as server-sent events. */
#include "shared/base/err.h"
#include "shared/http/server_internal.h"

#include <stdlib.h>
#include <sys/socket.h>

/* The kernel's share of what a slow client leaves unsent; it doubles this. */
#define SEND_BUFFER_BYTES (32 << 10)

struct http_stream {
    struct http_conn *conn;
    uint32_t queue_max_bytes;
    http_stream_end_fn fn; /* NULL: not begun yet */
    void *ctx;
};

void http_stream_end(struct http_stream *stream)
{
    if (stream == NULL)
        return;
    const http_stream_end_fn fn = stream->fn;
    void *const ctx = stream->ctx;
    free(stream);
    if (fn != NULL)
        fn(ctx);
}

/* A client that takes nothing must be noticed: the system would keep megabytes for it. */
static void make_send_buffer_small(struct http_conn *c)
{
    const int bytes = SEND_BUFFER_BYTES;
    uv_os_fd_t fd;
    if (uv_fileno(&c->uv.handle, &fd) == 0)
        (void)setsockopt(fd, SOL_SOCKET, SO_SNDBUF, &bytes, sizeof bytes);
}

struct http_stream *http_respond_stream(struct http_request *req, const char *content_type, uint32_t queue_max_bytes,
                                        http_stream_end_fn fn, void *ctx)
{
    char head[HTTP_HEAD_MAX_BYTES];
    struct http_conn *c = req->conn;
    struct http_stream *stream = c == NULL || c->is_eof ? NULL : calloc(1, sizeof *stream);
    if (stream == NULL) {
        http_respond_abort(req);
        return NULL;
    }
    stream->conn = c;
    stream->queue_max_bytes = queue_max_bytes;
    make_send_buffer_small(c);
    const size_t head_len = http_format_head(head, sizeof head, 200, content_type, HTTP_LENGTH_UNKNOWN, req->extra,
                                             req->extra_count, "close");
    c->req = NULL;
    http_request_free(req);
    http_conn_begin_stream(c, stream);
    http_conn_write(c, head, head_len, NULL, 0, NULL);
    if (c->state == CONN_CLOSED)
        return NULL; /* and freed with it */
    stream->fn = fn;
    stream->ctx = ctx;
    return stream;
}

int http_stream_send(struct http_stream *stream, const void *data, size_t len)
{
    struct http_conn *c = stream->conn;
    http_conn_write(c, data, len, NULL, 0, NULL);
    if (c->state != CONN_CLOSED && uv_stream_get_write_queue_size(&c->uv.stream) > stream->queue_max_bytes)
        http_conn_close(c);
    return c->state == CONN_CLOSED ? OC_ECLOSED : 0;
}
