/* The request handle: storage, accessors and the calls that answer it. */
#include "shared/http/server_internal.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#define FREE_REQUESTS_MAX 256
#define TEXT_FIRST_BYTES 1024
/* Smaller buffers come quickly from malloc anyway. */
#define SPARE_BODY_MIN_BYTES ((size_t)64 << 10)

struct http_request *http_request_new(struct http_conn *c)
{
    struct http_server *s = c->server;
    struct http_request *req = s->free_requests;
    if (req != NULL) {
        s->free_requests = req->next_free;
        s->free_request_count--;
        char *const text = req->text;
        const uint32_t text_size = req->text_size;
        struct http_header *const headers = req->headers;
        memset(req, 0, sizeof *req);
        req->text = text;
        req->text_size = text_size;
        req->headers = headers;
    } else {
        req = calloc(1, sizeof *req);
        if (req == NULL)
            return NULL;
        req->headers = calloc(s->options.max_header_count, sizeof *req->headers);
        if (req->headers == NULL) {
            free(req);
            return NULL;
        }
    }
    req->headers_size = s->options.max_header_count;
    req->server = s;
    req->conn = c;
    return req;
}

static void drop_body(struct http_request *req)
{
    struct http_server *s = req->server;
    s->buffered_bytes -= req->counted_bytes;
    req->counted_bytes = 0;
    if (req->body_size >= SPARE_BODY_MIN_BYTES && req->body_size <= HTTP_SPARE_BODY_MAX_BYTES &&
        req->body_size > s->spare_body_bytes) {
        free(s->spare_body);
        s->spare_body = req->body;
        s->spare_body_bytes = req->body_size;
    } else {
        free(req->body);
    }
    req->body = NULL;
    req->body_len = req->body_size = 0;
}

void http_request_free(struct http_request *req)
{
    struct http_server *s = req->server;
    drop_body(req);
    if (req->is_handed_over)
        s->pending_count--;
    if (s->free_request_count < FREE_REQUESTS_MAX && !s->closing) {
        req->next_free = s->free_requests;
        s->free_requests = req;
        s->free_request_count++;
    } else {
        free(req->text);
        free(req->headers);
        free(req);
    }
    http_server_maybe_free(s);
}

int http_request_append(struct http_request *req, const char *at, size_t len)
{
    if (req->text_len + len > req->text_size) {
        size_t size = req->text_size == 0 ? TEXT_FIRST_BYTES : req->text_size;
        while (size < req->text_len + len)
            size *= 2;
        char *text = realloc(req->text, size);
        if (text == NULL)
            return -ENOMEM;
        req->text = text;
        req->text_size = (uint32_t)size;
    }
    memcpy(req->text + req->text_len, at, len);
    req->text_len += (uint32_t)len;
    return 0;
}

int http_request_reserve_body(struct http_request *req, size_t total)
{
    struct http_server *s = req->server;
    size_t size = req->body_size;
    if (total + 1 <= size)
        return 0;
    if (req->body == NULL && total + 1 >= SPARE_BODY_MIN_BYTES && total + 1 <= s->spare_body_bytes) {
        req->body = s->spare_body;
        req->body_size = s->spare_body_bytes;
        s->spare_body = NULL;
        s->spare_body_bytes = 0;
        return 0;
    }
    if (req->body_length_known) {
        size = total + 1;
    } else {
        size = size == 0 ? 4096 : size;
        while (size < total + 1)
            size *= 2;
    }
    char *body = realloc(req->body, size);
    if (body == NULL)
        return -ENOMEM;
    req->body = body;
    req->body_size = size;
    return 0;
}

const char *http_request_method(const struct http_request *req)
{
    return llhttp_method_name((llhttp_method_t)req->method);
}

const char *http_request_path(const struct http_request *req)
{
    return req->text;
}

const char *http_request_query(const struct http_request *req)
{
    return req->text + req->query;
}

const char *http_request_header(const struct http_request *req, const char *name)
{
    for (uint32_t i = 0; i < req->header_count; i++)
        if (strcasecmp(req->text + req->headers[i].name, name) == 0)
            return req->text + req->headers[i].value;
    return NULL;
}

char *http_request_body(struct http_request *req, size_t *ret_len)
{
    static char empty[1];
    *ret_len = req->body_len;
    return req->body != NULL ? req->body : empty;
}

char *http_request_take_body(struct http_request *req, size_t *ret_len)
{
    if (req->body == NULL && http_request_reserve_body(req, 0) < 0)
        return NULL;
    char *body = req->body;
    if (body == NULL)
        return NULL;
    body[req->body_len] = '\0';
    *ret_len = req->body_len;
    req->server->buffered_bytes -= req->counted_bytes;
    req->counted_bytes = 0;
    req->body = NULL;
    req->body_len = req->body_size = 0;
    return body;
}

uint64_t http_request_first_byte_ns(const struct http_request *req)
{
    return req->first_byte_ns;
}

uint64_t http_request_complete_ns(const struct http_request *req)
{
    return req->complete_ns;
}

bool http_request_is_gone(const struct http_request *req)
{
    return req->is_gone;
}

bool http_request_is_guarded(const struct http_request *req)
{
    return req->conn != NULL && req->conn->is_guarded;
}

void http_request_set_data(struct http_request *req, void *data)
{
    req->data = data;
}

void *http_request_data(const struct http_request *req)
{
    return req->data;
}

void http_request_add_header(struct http_request *req, const char *line)
{
    if (req->extra_count < HTTP_EXTRA_HEADERS_MAX)
        req->extra[req->extra_count++] = line;
}

static void respond(struct http_request *req, int status, const char *content_type, const char *body, size_t len,
                    char *owned)
{
    struct http_conn *c = req->conn;
    char head[HTTP_HEAD_MAX_BYTES];
    if (c == NULL) {
        free(owned);
        http_request_free(req);
        return;
    }
    if (!c->server->accepting || c->is_eof)
        c->keep_alive = c->keep_alive && c->ahead_len > c->ahead_off;
    const char *connection = NULL;
    if (!c->keep_alive)
        connection = "close";
    else if (req->http_minor == 0)
        connection = "keep-alive";
    const size_t head_len =
        http_format_head(head, sizeof head, status, content_type, len, req->extra, req->extra_count, connection);
    if (req->is_head_method)
        len = 0;
    c->req = NULL;
    http_conn_write(c, head, head_len, body, len, owned);
    http_request_free(req); /* not before: the answer may be a part of it */
    http_conn_answered(c);
}

void http_respond(struct http_request *req, int status, const char *content_type, const void *body, size_t len)
{
    respond(req, status, content_type, body, len, NULL);
}

void http_respond_take(struct http_request *req, int status, const char *content_type, char *body, size_t len)
{
    respond(req, status, content_type, body, len, body);
}

void http_respond_abort(struct http_request *req)
{
    struct http_conn *c = req->conn;
    if (c != NULL) {
        c->req = NULL;
        http_conn_close(c);
    }
    http_request_free(req);
}
