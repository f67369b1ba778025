/* An HTTP client on a libuv loop (curl multi: its sockets and its timer are the loop's). Connections
 * are kept alive and reused; every request has a deadline and a cap on the answer's size.
 */
#ifndef OC_HTTP_CLIENT_H
#define OC_HTTP_CLIENT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <uv.h>

struct http_client;
struct http_client_request;

struct http_client_options {
    uint32_t max_requests;       /* under way at once; more are refused */
    uint32_t max_connections;    /* kept open in total; requests wait for one */
    uint64_t max_response_bytes; /* larger answers fail with OC_ERANGE */
    uint32_t connect_timeout_ms;
};

/* 256 requests, 32 connections, 64 MiB, 2 s. */
void http_client_options_init(struct http_client_options *options);

struct http_client_result {
    int rc;           /* 0: an HTTP answer of any status came. OC_EDEADLINE, OC_ERANGE (too large), OC_ECLOSED
                         (could not connect, or the connection broke) */
    int status;       /* HTTP status; 0 without an answer */
    const char *text; /* what went wrong, for people; "" when rc is 0 */
    char *body;       /* the answer, NUL-terminated, borrowed for the call; set to NULL to keep it (free() it) */
    size_t body_len;
    const char *content_type; /* "" when absent; borrowed for the call */
};

/* Called exactly once per request, from the loop, never from within http_client_post; not called
 * for a cancelled request. */
typedef void (*http_client_fn)(void *ctx, struct http_client_result *result);

/* NULL when out of memory. */
struct http_client *http_client_new(uv_loop_t *loop, const struct http_client_options *options);
/* Cancels all requests and frees the client once the loop has closed its handles (run the loop for
 * that). Accepts NULL. */
void http_client_close(struct http_client *c);

/* POSTs a body (copied) to a http:// or https:// URL. Returns a handle for http_client_cancel,
 * valid until the callback, or NULL with *ret_rc set (may be NULL): OC_EFULL, -ENOMEM. A bad URL is
 * reported to the callback. */
struct http_client_request *http_client_post(struct http_client *c, const char *url, const char *content_type,
                                             const void *body, size_t len, uint32_t timeout_ms, http_client_fn fn,
                                             void *ctx, int *ret_rc);
/* The same with the content type of JSON. */
struct http_client_request *http_client_post_json(struct http_client *c, const char *url, const void *body, size_t len,
                                                  uint32_t timeout_ms, http_client_fn fn, void *ctx, int *ret_rc);
/* The callback will not be called. */
void http_client_cancel(struct http_client_request *req);

uint32_t http_client_pending_count(const struct http_client *c);

#endif
