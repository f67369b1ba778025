/* An HTTP/1.1 server on a libuv loop: keep-alive, pipelining (answered in order), chunked bodies,
 * Expect: 100-continue, and a limit or a deadline for everything that a client could make large or
 * slow. A handler may answer at once or later: a request handle stays valid until it is answered,
 * also when its client has gone meanwhile. An answer may also be a stream without an end.
 *
 * A body of known length is read from the socket straight into its final buffer. All functions
 * belong to the loop's thread.
 */
#ifndef OC_HTTP_SERVER_H
#define OC_HTTP_SERVER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <uv.h>

struct http_server;
struct http_request;

/* Called once per complete request. It must be answered exactly once, now or later, by one of the
 * http_respond functions, after which the handle is gone. */
typedef void (*http_handler_fn)(void *ctx, struct http_request *req);

struct http_server_options {
    uint64_t max_body_bytes;     /* larger: 413 */
    uint32_t max_header_bytes;   /* request line and headers as sent: 431 */
    uint32_t max_header_count;   /* 431 */
    uint32_t max_connections;    /* above, the longest idle one is closed, or one that sends half a request;
                                    if there is none, new ones wait */
    uint32_t header_timeout_ms;  /* from a request's first byte to the end of its headers */
    uint32_t body_timeout_ms;    /* from the end of the headers to the end of the body */
    uint32_t idle_timeout_ms;    /* between requests */
    uint32_t write_timeout_ms;   /* a client that takes nothing of its answer */
    uint32_t write_queue_bytes;  /* unsent answers above this: no further request is taken from that client */
    uint64_t unsent_total_bytes; /* unsent answers of all clients: one more is cut off, but a single one never */
    uint32_t read_ahead_bytes;   /* pipelined bytes kept while a request is being answered */
    http_handler_fn handler;
    void *ctx;
};

/* Sane values: 64 MiB body, 16 KiB and 100 headers, 1024 connections, 30 s header, body and write,
 * 120 s idle, 1 MiB write queue, 256 MiB unsent in total, 64 KiB read-ahead. The handler is left NULL. */
void http_server_options_init(struct http_server_options *options);

/* Copies the options. NULL when out of memory. */
struct http_server *http_server_new(uv_loop_t *loop, const struct http_server_options *options);

/* Serves on a bound, listening stream socket (TCP or Unix); takes the fd, also on failure. Any
 * number of listeners may be added. Returns 0 or -errno. */
int http_server_add_listener(struct http_server *s, int listen_fd);

/* Judges a connection that was just accepted: NULL to serve it, else the text with which its first request is
 * refused (status 403; borrowed for the life of the server). */
typedef const char *(*http_guard_fn)(int fd);

/* The same for a listener whose connections are judged first. */
int http_server_add_guarded_listener(struct http_server *s, int listen_fd, http_guard_fn guard);

/* Stops accepting; requests under way are still answered, idle connections and streams are closed. */
void http_server_stop_accepting(struct http_server *s);

/* Closes everything and frees the server once the loop has closed its handles (run the loop for
 * that). Unanswered request handles stay valid; answering them then only frees them. The handler is
 * not called again. Accepts NULL. */
void http_server_close(struct http_server *s);

uint32_t http_server_connection_count(const struct http_server *s);
/* Requests handed to the handler and not answered yet. */
uint32_t http_server_pending_count(const struct http_server *s);

/* ---- a request ---- */

/* "GET", "POST", … */
const char *http_request_method(const struct http_request *req);
/* The path without query, as sent (not decoded); the query without '?', "" when there is none. */
const char *http_request_path(const struct http_request *req);
const char *http_request_query(const struct http_request *req);
/* A header's value by name (any case), NULL when absent; the first one when repeated. */
const char *http_request_header(const struct http_request *req, const char *name);
/* The body, NUL-terminated beyond its length (the NUL does not count); the caller may modify it. */
char *http_request_body(struct http_request *req, size_t *ret_len);
/* Hands the body over to the caller, who frees it with free(). */
char *http_request_take_body(struct http_request *req, size_t *ret_len);
/* CLOCK_MONOTONIC ns of the request's first byte and of its last one. */
uint64_t http_request_first_byte_ns(const struct http_request *req);
uint64_t http_request_complete_ns(const struct http_request *req);
/* The client has closed its side (it will not read an answer, as far as anyone can tell). */
bool http_request_is_gone(const struct http_request *req);
/* Its listener has a guard, which let it pass. */
bool http_request_is_guarded(const struct http_request *req);
/* A place for the handler's own pointer. */
void http_request_set_data(struct http_request *req, void *data);
void *http_request_data(const struct http_request *req);
/* Adds one header to the answer: "Name: value\r\n" (a literal; borrowed until answered). At most
 * HTTP_EXTRA_HEADERS_MAX; more are ignored. */
#define HTTP_EXTRA_HEADERS_MAX 6
void http_request_add_header(struct http_request *req, const char *line);

/* Answers; body is copied. content_type NULL: no such header. */
void http_respond(struct http_request *req, int status, const char *content_type, const void *body, size_t len);
/* Answers; takes a malloc'd body. */
void http_respond_take(struct http_request *req, int status, const char *content_type, char *body, size_t len);
/* Closes the connection without an answer. */
void http_respond_abort(struct http_request *req);

/* ---- an answer without an end (server-sent events) ---- */

struct http_stream;

/* The stream is over and its handle gone: the client left, took too little, or the server stops. Comes
 * once, from the loop or from within http_stream_send. */
typedef void (*http_stream_end_fn)(void *ctx);

/* Answers with status 200 and everything that is sent from now on, until the connection closes. A client
 * that leaves more than `queue_max_bytes` unsent (beyond the socket's own buffer, which is made small) is
 * cut off. Returns NULL when the client has gone or memory is out; the request handle is gone in any case. */
struct http_stream *http_respond_stream(struct http_request *req, const char *content_type, uint32_t queue_max_bytes,
                                        http_stream_end_fn fn, void *ctx);
/* Copies. Returns 0, or OC_ECLOSED: it is over, `fn` has been called. */
int http_stream_send(struct http_stream *stream, const void *data, size_t len);

/* ---- helpers ---- */

/* A listening socket on 127.0.0.1. port 0: any free one. Returns the fd or -errno. */
int http_listen_loopback(uint16_t port, uint16_t *ret_port);

/* The same on an IPv4 address of this machine, or on all of them with "0.0.0.0". -EINVAL: address is none. */
int http_listen_ipv4(const char *address, uint16_t port, uint16_t *ret_port);

#endif
