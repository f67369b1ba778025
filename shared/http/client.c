/* The HTTP client: curl's multi interface driven by a libuv loop. */
#include "shared/http/client.h"

#include "shared/base/err.h"

#include <curl/curl.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define TEXT_BYTES (CURL_ERROR_SIZE + 64)

/* A socket that curl wants watched. */
struct watch {
    struct watch *next, *prev;
    struct http_client *client;
    uv_poll_t poll;
    curl_socket_t fd;
};

struct http_client_request {
    struct http_client_request *next, *prev;
    struct http_client *client;
    CURL *easy;
    struct curl_slist *headers;
    http_client_fn fn;
    void *ctx;
    char *body;
    size_t body_len, body_size;
    bool too_large;
    char error[CURL_ERROR_SIZE];
};

struct http_client {
    uv_loop_t *loop;
    struct http_client_options options;
    CURLM *multi;
    uv_timer_t timer;
    struct watch *watches;
    struct http_client_request *requests;
    uint32_t pending_count;
    uint32_t open_handles;
    bool closing;
};

void http_client_options_init(struct http_client_options *options)
{
    memset(options, 0, sizeof *options);
    options->max_requests = 256;
    options->max_connections = 32;
    options->max_response_bytes = UINT64_C(64) << 20;
    options->connect_timeout_ms = 2000;
}

static void maybe_free(struct http_client *c)
{
    if (c->closing && c->open_handles == 0)
        free(c);
}

static void drop_request(struct http_client_request *r)
{
    struct http_client *c = r->client;
    (void)curl_multi_remove_handle(c->multi, r->easy);
    curl_easy_cleanup(r->easy);
    curl_slist_free_all(r->headers);
    if (r->prev != NULL)
        r->prev->next = r->next;
    else
        c->requests = r->next;
    if (r->next != NULL)
        r->next->prev = r->prev;
    c->pending_count--;
    free(r->body);
    free(r);
}

static void finish_request(struct http_client_request *r, CURLcode code)
{
    struct http_client_result result = {0};
    char text[TEXT_BYTES] = "";
    long status = 0;
    char *content_type = NULL;
    const http_client_fn fn = r->fn;
    void *ctx = r->ctx;
    (void)curl_easy_getinfo(r->easy, CURLINFO_RESPONSE_CODE, &status);
    (void)curl_easy_getinfo(r->easy, CURLINFO_CONTENT_TYPE, &content_type);
    if (r->too_large) {
        result.rc = OC_ERANGE;
        (void)snprintf(text, sizeof text, "the answer is larger than %llu bytes",
                       (unsigned long long)r->client->options.max_response_bytes);
    } else if (code == CURLE_OPERATION_TIMEDOUT) {
        result.rc = OC_EDEADLINE;
        (void)snprintf(text, sizeof text, "%s", r->error[0] != '\0' ? r->error : curl_easy_strerror(code));
    } else if (code != CURLE_OK) {
        result.rc = OC_ECLOSED;
        (void)snprintf(text, sizeof text, "%s", r->error[0] != '\0' ? r->error : curl_easy_strerror(code));
    }
    char type[128];
    (void)snprintf(type, sizeof type, "%s", content_type != NULL ? content_type : "");
    result.status = result.rc == 0 ? (int)status : 0;
    result.text = text;
    result.content_type = type;
    if (result.rc == 0) {
        result.body = r->body;
        result.body_len = r->body_len;
        r->body = NULL;
    }
    static char empty[1];
    const bool has_body = result.body != NULL;
    if (!has_body)
        result.body = empty;
    drop_request(r); /* before the callback, which may close the client */
    fn(ctx, &result);
    if (has_body)
        free(result.body);
}

static void reap(struct http_client *c)
{
    CURLMsg *msg;
    int left;
    while (!c->closing && (msg = curl_multi_info_read(c->multi, &left)) != NULL) {
        struct http_client_request *r = NULL;
        if (msg->msg != CURLMSG_DONE)
            continue;
        (void)curl_easy_getinfo(msg->easy_handle, CURLINFO_PRIVATE, (char **)&r);
        finish_request(r, msg->data.result);
    }
}

static void on_timer(uv_timer_t *timer)
{
    struct http_client *c = timer->data;
    int running;
    (void)curl_multi_socket_action(c->multi, CURL_SOCKET_TIMEOUT, 0, &running);
    reap(c);
}

static int set_timer(CURLM *multi, long timeout_ms, void *ctx)
{
    struct http_client *c = ctx;
    (void)multi;
    if (c->closing)
        return 0;
    if (timeout_ms < 0)
        (void)uv_timer_stop(&c->timer);
    else
        (void)uv_timer_start(&c->timer, on_timer, (uint64_t)timeout_ms, 0);
    return 0;
}

static void on_socket(uv_poll_t *poll, int status, int events)
{
    struct watch *w = poll->data;
    struct http_client *c = w->client;
    int flags = 0, running;
    if (status < 0)
        flags = CURL_CSELECT_ERR;
    if ((events & UV_READABLE) != 0)
        flags |= CURL_CSELECT_IN;
    if ((events & UV_WRITABLE) != 0)
        flags |= CURL_CSELECT_OUT;
    (void)curl_multi_socket_action(c->multi, w->fd, flags, &running);
    reap(c);
}

static void on_watch_closed(uv_handle_t *handle)
{
    struct watch *w = handle->data;
    struct http_client *c = w->client;
    free(w);
    c->open_handles--;
    maybe_free(c);
}

static void drop_watch(struct watch *w)
{
    struct http_client *c = w->client;
    if (w->prev != NULL)
        w->prev->next = w->next;
    else
        c->watches = w->next;
    if (w->next != NULL)
        w->next->prev = w->prev;
    uv_close((uv_handle_t *)&w->poll, on_watch_closed);
}

static int set_socket(CURL *easy, curl_socket_t fd, int what, void *ctx, void *socket_ctx)
{
    struct http_client *c = ctx;
    struct watch *w = socket_ctx;
    int events = 0;
    (void)easy;
    if (what == CURL_POLL_REMOVE) {
        if (w != NULL) {
            (void)curl_multi_assign(c->multi, fd, NULL);
            drop_watch(w);
        }
        return 0;
    }
    if (w == NULL) {
        w = calloc(1, sizeof *w);
        if (w == NULL)
            return -1;
        if (uv_poll_init(c->loop, &w->poll, fd) < 0) {
            free(w);
            return -1;
        }
        w->poll.data = w;
        w->client = c;
        w->fd = fd;
        w->next = c->watches;
        if (w->next != NULL)
            w->next->prev = w;
        c->watches = w;
        c->open_handles++;
        (void)curl_multi_assign(c->multi, fd, w);
    }
    if (what == CURL_POLL_IN || what == CURL_POLL_INOUT)
        events |= UV_READABLE;
    if (what == CURL_POLL_OUT || what == CURL_POLL_INOUT)
        events |= UV_WRITABLE;
    (void)uv_poll_start(&w->poll, events, on_socket);
    return 0;
}

static size_t on_data(char *data, size_t size, size_t count, void *ctx)
{
    struct http_client_request *r = ctx;
    const size_t len = size * count;
    if (r->body_len + len > r->client->options.max_response_bytes) {
        r->too_large = true;
        return 0;
    }
    if (r->body_len + len + 1 > r->body_size) {
        size_t bytes = r->body_size == 0 ? 1024 : r->body_size;
        while (bytes < r->body_len + len + 1)
            bytes *= 2;
        char *body = realloc(r->body, bytes);
        if (body == NULL)
            return 0;
        r->body = body;
        r->body_size = bytes;
    }
    memcpy(r->body + r->body_len, data, len);
    r->body_len += len;
    r->body[r->body_len] = '\0';
    return len;
}

struct http_client *http_client_new(uv_loop_t *loop, const struct http_client_options *options)
{
    static bool is_initialised;
    if (!is_initialised && curl_global_init(CURL_GLOBAL_DEFAULT) != 0)
        return NULL;
    is_initialised = true;
    struct http_client *c = calloc(1, sizeof *c);
    if (c == NULL)
        return NULL;
    c->multi = curl_multi_init();
    if (c->multi == NULL) {
        free(c);
        return NULL;
    }
    c->loop = loop;
    c->options = *options;
    (void)uv_timer_init(loop, &c->timer);
    c->timer.data = c;
    c->open_handles = 1;
    (void)curl_multi_setopt(c->multi, CURLMOPT_SOCKETFUNCTION, set_socket);
    (void)curl_multi_setopt(c->multi, CURLMOPT_SOCKETDATA, c);
    (void)curl_multi_setopt(c->multi, CURLMOPT_TIMERFUNCTION, set_timer);
    (void)curl_multi_setopt(c->multi, CURLMOPT_TIMERDATA, c);
    (void)curl_multi_setopt(c->multi, CURLMOPT_MAX_TOTAL_CONNECTIONS, (long)options->max_connections);
    (void)curl_multi_setopt(c->multi, CURLMOPT_MAXCONNECTS, (long)options->max_connections);
    return c;
}

static void on_timer_closed(uv_handle_t *handle)
{
    struct http_client *c = handle->data;
    c->open_handles--;
    maybe_free(c);
}

void http_client_close(struct http_client *c)
{
    if (c == NULL || c->closing)
        return;
    c->closing = true;
    for (struct http_client_request *r = c->requests, *next; r != NULL; r = next) {
        next = r->next;
        drop_request(r);
    }
    (void)curl_multi_cleanup(c->multi);
    for (struct watch *w = c->watches, *next; w != NULL; w = next) {
        next = w->next;
        drop_watch(w);
    }
    uv_close((uv_handle_t *)&c->timer, on_timer_closed);
}

static int set_options(struct http_client_request *r, const char *url, const char *content_type, const void *body,
                       size_t len, uint32_t timeout_ms)
{
    char header[256];
    CURL *e = r->easy;
    (void)snprintf(header, sizeof header, "Content-Type: %s", content_type);
    r->headers = curl_slist_append(NULL, header);
    if (r->headers == NULL || curl_slist_append(r->headers, "Expect:") == NULL)
        return -ENOMEM;
    (void)curl_easy_setopt(e, CURLOPT_PRIVATE, r);
    (void)curl_easy_setopt(e, CURLOPT_NOSIGNAL, 1L);
    (void)curl_easy_setopt(e, CURLOPT_PROXY, ""); /* the machines of a cluster, never through a proxy */
    (void)curl_easy_setopt(e, CURLOPT_PROTOCOLS_STR, "http,https");
    (void)curl_easy_setopt(e, CURLOPT_HTTP_VERSION, (long)CURL_HTTP_VERSION_1_1);
    (void)curl_easy_setopt(e, CURLOPT_HTTPHEADER, r->headers);
    (void)curl_easy_setopt(e, CURLOPT_ERRORBUFFER, r->error);
    (void)curl_easy_setopt(e, CURLOPT_WRITEFUNCTION, on_data);
    (void)curl_easy_setopt(e, CURLOPT_WRITEDATA, r);
    (void)curl_easy_setopt(e, CURLOPT_TIMEOUT_MS, (long)timeout_ms);
    (void)curl_easy_setopt(e, CURLOPT_CONNECTTIMEOUT_MS, (long)r->client->options.connect_timeout_ms);
    (void)curl_easy_setopt(e, CURLOPT_POST, 1L);
    (void)curl_easy_setopt(e, CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t)len);
    if (curl_easy_setopt(e, CURLOPT_URL, url) != CURLE_OK ||
        curl_easy_setopt(e, CURLOPT_COPYPOSTFIELDS, len > 0 ? body : "") != CURLE_OK)
        return -ENOMEM;
    return 0;
}

struct http_client_request *http_client_post(struct http_client *c, const char *url, const char *content_type,
                                             const void *body, size_t len, uint32_t timeout_ms, http_client_fn fn,
                                             void *ctx, int *ret_rc)
{
    int rc = OC_EFULL;
    struct http_client_request *r = NULL;
    if (c->closing || c->pending_count >= c->options.max_requests)
        goto fail;
    rc = -ENOMEM;
    r = calloc(1, sizeof *r);
    if (r == NULL)
        goto fail;
    r->client = c;
    r->fn = fn;
    r->ctx = ctx;
    r->easy = curl_easy_init();
    if (r->easy == NULL || set_options(r, url, content_type, body, len, timeout_ms) < 0)
        goto fail;
    if (curl_multi_add_handle(c->multi, r->easy) != CURLM_OK)
        goto fail;
    r->next = c->requests;
    if (r->next != NULL)
        r->next->prev = r;
    c->requests = r;
    c->pending_count++;
    return r;
fail:
    if (r != NULL) {
        curl_easy_cleanup(r->easy);
        curl_slist_free_all(r->headers);
        free(r);
    }
    if (ret_rc != NULL)
        *ret_rc = rc;
    return NULL;
}

struct http_client_request *http_client_post_json(struct http_client *c, const char *url, const void *body, size_t len,
                                                  uint32_t timeout_ms, http_client_fn fn, void *ctx, int *ret_rc)
{
    return http_client_post(c, url, "application/json", body, len, timeout_ms, fn, ctx, ret_rc);
}

void http_client_cancel(struct http_client_request *req)
{
    drop_request(req);
}

uint32_t http_client_pending_count(const struct http_client *c)
{
    return c->pending_count;
}
