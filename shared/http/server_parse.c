/* From bytes to a request: llhttp's callbacks and the checks that it leaves to us. */
#include "shared/http/server_internal.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

/* A chunked body may carry this much framing, plus a share of what it carries. */
#define FRAMING_BASE_BYTES ((uint64_t)64 << 10)
#define FRAMING_PER_BODY_BYTE 8

int http_parse_refuse(struct http_conn *c, int status, const char *text)
{
    if (c->reject_status == 0) {
        c->reject_status = status;
        (void)snprintf(c->reject_text, sizeof c->reject_text, "%s", text);
    }
    return -1;
}

static int refuse_memory(struct http_conn *c)
{
    return http_parse_refuse(c, 503, "out of memory");
}

static int on_url(llhttp_t *parser, const char *at, size_t len)
{
    struct http_conn *c = parser->data;
    c->req->piece = PIECE_URL;
    return http_request_append(c->req, at, len) < 0 ? refuse_memory(c) : 0;
}

static int end_piece(struct http_conn *c)
{
    struct http_request *req = c->req;
    if (req->piece == PIECE_NONE)
        return 0;
    /* A name without a value callback: its value is the empty string at its end. */
    if (req->piece == PIECE_NAME)
        req->headers[req->header_count - 1].value = req->text_len;
    return http_request_append(req, "", 1) < 0 ? refuse_memory(c) : 0;
}

static int on_header_field(llhttp_t *parser, const char *at, size_t len)
{
    struct http_conn *c = parser->data;
    struct http_request *req = c->req;
    if (c->state == CONN_BODY) { /* of a trailer: ignored, and the connection is not used again */
        c->has_trailer = true;
        return 0;
    }
    if (req->piece != PIECE_NAME) {
        if (end_piece(c) < 0)
            return -1;
        if (req->header_count == req->headers_size)
            return http_parse_refuse(c, 431, "too many headers");
        req->headers[req->header_count++] = (struct http_header){req->text_len, req->text_len};
        req->piece = PIECE_NAME;
    }
    return http_request_append(req, at, len) < 0 ? refuse_memory(c) : 0;
}

static int on_header_value(llhttp_t *parser, const char *at, size_t len)
{
    struct http_conn *c = parser->data;
    struct http_request *req = c->req;
    if (c->state == CONN_BODY)
        return 0;
    if (req->piece == PIECE_NAME) {
        if (end_piece(c) < 0)
            return -1;
        req->headers[req->header_count - 1].value = req->text_len;
        req->piece = PIECE_VALUE;
    }
    return http_request_append(req, at, len) < 0 ? refuse_memory(c) : 0;
}

/* Host and Transfer-Encoding may come once only; what comes otherwise is an attempt to be read
 * differently by someone in front of us. */
static int check_headers(struct http_conn *c)
{
    const struct http_request *req = c->req;
    unsigned hosts = 0, encodings = 0;
    for (uint32_t i = 0; i < req->header_count; i++) {
        const char *name = req->text + req->headers[i].name, *value = req->text + req->headers[i].value;
        if (strcasecmp(name, "host") == 0)
            hosts++;
        if (strcasecmp(name, "transfer-encoding") == 0) {
            encodings++;
            if (strcasecmp(value, "chunked") != 0)
                return http_parse_refuse(c, 501, "unsupported transfer encoding");
        }
        if (strcasecmp(name, "expect") == 0 && strcasecmp(value, "100-continue") != 0)
            return http_parse_refuse(c, 417, "unsupported expectation");
    }
    if (hosts > 1 || (hosts == 0 && c->parser.http_major == 1 && c->parser.http_minor >= 1))
        return http_parse_refuse(c, 400, "exactly one Host header is required");
    if (encodings > 1)
        return http_parse_refuse(c, 400, "more than one Transfer-Encoding header");
    return 0;
}

static void split_url(struct http_request *req)
{
    char *path = req->text;
    char *absolute = strstr(path, "://");
    if (path[0] != '/' && absolute != NULL) {
        const char *slash = strchr(absolute + 3, '/');
        const char *rest = slash != NULL ? slash : "/";
        memmove(path, rest, strlen(rest) + 1);
    }
    char *mark = strchr(path, '?');
    if (mark != NULL) {
        *mark = '\0';
        req->query = (uint32_t)(mark + 1 - req->text);
    } else {
        req->query = (uint32_t)strlen(path);
    }
}

static int on_headers_complete(llhttp_t *parser)
{
    struct http_conn *c = parser->data;
    struct http_request *req = c->req;
    const struct http_server_options *o = &c->server->options;
    if (end_piece(c) < 0 || check_headers(c) < 0)
        return -1;
    if (c->refusal != NULL)
        return http_parse_refuse(c, 403, c->refusal);
    if (req->text_len == 0)
        return http_parse_refuse(c, 400, "no path");
    split_url(req);
    req->piece = PIECE_NONE;
    req->method = parser->method;
    req->http_minor = parser->http_minor;
    req->is_head_method = parser->method == HTTP_HEAD;
    parser->upgrade = 0; /* not offered: the request is answered as if it had not asked */
    c->state = CONN_BODY;
    c->state_since_ms = uv_now(c->server->loop);
    const bool has_length = (parser->flags & F_CONTENT_LENGTH) != 0;
    const bool is_chunked = (parser->flags & F_CHUNKED) != 0;
    if (has_length && parser->content_length > o->max_body_bytes) {
        char text[96];
        (void)snprintf(text, sizeof text, "content length too large (%" PRIu64 ">%" PRIu64 ")",
                       (uint64_t)parser->content_length, o->max_body_bytes);
        return http_parse_refuse(c, 413, text);
    }
    if (has_length) {
        req->body_length_known = true;
        if (http_request_reserve_body(req, (size_t)parser->content_length) < 0)
            return refuse_memory(c);
    }
    if (((has_length && parser->content_length > 0) || is_chunked) && http_request_header(req, "expect") != NULL) {
        static const char go_on[] = "HTTP/1.1 100 Continue\r\n\r\n";
        http_conn_write(c, go_on, sizeof go_on - 1, NULL, 0, NULL);
        if (c->state == CONN_CLOSED)
            return -1;
    }
    return 0;
}

static int on_body(llhttp_t *parser, const char *at, size_t len)
{
    struct http_conn *c = parser->data;
    struct http_request *req = c->req;
    struct http_server *s = c->server;
    if (len > s->options.max_body_bytes - req->body_len) {
        char text[96];
        (void)snprintf(text, sizeof text, "request body larger than %" PRIu64 " bytes", s->options.max_body_bytes);
        return http_parse_refuse(c, 413, text);
    }
    if (s->buffered_bytes + len > s->max_buffered_bytes)
        return http_parse_refuse(c, 503, "too many large requests at once");
    if (http_request_reserve_body(req, req->body_len + len) < 0)
        return refuse_memory(c);
    if (at != req->body + req->body_len) /* not read straight into place */
        memcpy(req->body + req->body_len, at, len);
    req->body_len += len;
    req->counted_bytes += len;
    s->buffered_bytes += len;
    return 0;
}

static int on_message_complete(llhttp_t *parser)
{
    struct http_conn *c = parser->data;
    c->message_complete = true;
    c->keep_alive = llhttp_should_keep_alive(parser) != 0 && !c->has_trailer && parser->method != HTTP_CONNECT;
    return HPE_PAUSED;
}

void http_parse_init_settings(llhttp_settings_t *settings)
{
    llhttp_settings_init(settings);
    settings->on_url = on_url;
    settings->on_header_field = on_header_field;
    settings->on_header_value = on_header_value;
    settings->on_headers_complete = on_headers_complete;
    settings->on_body = on_body;
    settings->on_message_complete = on_message_complete;
}

size_t http_parse_feed(struct http_conn *c, char *data, size_t len)
{
    const size_t body_before = c->req->body_len;
    const bool was_body = c->state == CONN_BODY;
    const llhttp_errno_t rc = llhttp_execute(&c->parser, data, len);
    size_t used = len;
    if (rc == HPE_PAUSED)
        used = (size_t)(llhttp_get_error_pos(&c->parser) - data);
    else if (rc != HPE_OK)
        (void)http_parse_refuse(c, 400, llhttp_errno_name(rc));
    if (was_body && !c->req->body_length_known) {
        c->framing_bytes += used - (c->req->body_len - body_before);
        if (c->framing_bytes > FRAMING_BASE_BYTES + FRAMING_PER_BODY_BYTE * c->req->body_len)
            (void)http_parse_refuse(c, 400, "too much chunk framing");
    }
    return used;
}
