/* An HTTP server that echoes, dawdles and floods, and a client (see http_fixture.h). */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "http_fixture.h"
#include "http_helper.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define LATER_MS 60

struct http_fixture http_fixture;

struct later {
    uv_timer_t timer;
    struct http_request *req;
};

static void on_later_closed(uv_handle_t *handle)
{
    free(handle->data);
}

static void on_later(uv_timer_t *timer)
{
    struct later *l = timer->data;
    if (http_request_is_gone(l->req))
        atomic_fetch_add(&http_fixture.gone, 1);
    http_respond(l->req, 200, "text/plain", "later", 5);
    uv_close((uv_handle_t *)timer, on_later_closed);
}

static void answer_later(struct http_request *req)
{
    struct later *l = calloc(1, sizeof *l);
    l->req = req;
    uv_timer_init(&http_fixture.loop, &l->timer);
    l->timer.data = l;
    uv_timer_start(&l->timer, on_later, LATER_MS, 0);
}

/* Sends without end, a piece at a time. */
struct flood {
    uv_timer_t timer;
    struct http_stream *stream;
};

static void on_flood_end(void *ctx)
{
    struct flood *flood = ctx;
    atomic_fetch_add(&http_fixture.streams_ended, 1);
    uv_close((uv_handle_t *)&flood->timer, on_later_closed);
}

static void on_flood(uv_timer_t *timer)
{
    static const char piece[16384] = "data: x\n\n";
    struct flood *flood = timer->data;
    (void)http_stream_send(flood->stream, piece, sizeof piece);
}

static void answer_stream(struct http_request *req, unsigned period_ms)
{
    struct flood *flood = calloc(1, sizeof *flood);
    uv_timer_init(&http_fixture.loop, &flood->timer);
    flood->timer.data = flood;
    flood->stream = http_respond_stream(req, "text/event-stream", 65536, on_flood_end, flood);
    if (flood->stream == NULL) {
        atomic_fetch_add(&http_fixture.streams_refused, 1);
        uv_close((uv_handle_t *)&flood->timer, on_later_closed);
    } else {
        (void)http_stream_send(flood->stream, "hello\n", 6);
        uv_timer_start(&flood->timer, on_flood, period_ms, period_ms);
    }
}

static void handle(void *ctx, struct http_request *req)
{
    size_t len;
    const char *path = http_request_path(req);
    (void)ctx;
    atomic_fetch_add(&http_fixture.handled, 1);
    if (strcmp(path, "/echo") == 0) {
        const char *body = http_request_body(req, &len);
        http_respond(req, 200, http_request_header(req, "content-TYPE"), body, len);
    } else if (strcmp(path, "/take") == 0) {
        char *body = http_request_take_body(req, &len);
        http_respond_take(req, 200, "text/plain", body, len);
    } else if (strcmp(path, "/big") == 0) {
        len = strtoul(http_request_query(req), NULL, 10);
        char *body = malloc(len + 1);
        memset(body, 'b', len);
        http_respond_take(req, 200, "text/plain", body, len);
    } else if (strcmp(path, "/later") == 0) {
        answer_later(req);
    } else if (strcmp(path, "/stream") == 0) {
        answer_stream(req, (unsigned)strtoul(http_request_query(req), NULL, 10));
    } else if (strcmp(path, "/never") == 0) {
        http_respond_abort(req);
    } else {
        http_respond(req, 404, NULL, path, strlen(path));
    }
}

static void on_stop(uv_async_t *async)
{
    http_client_close(http_fixture.client);
    http_server_close(http_fixture.server);
    uv_close((uv_handle_t *)&http_fixture.ask, NULL);
    uv_close((uv_handle_t *)async, NULL);
}

static void on_client_answer(void *ctx, struct http_client_result *result)
{
    (void)ctx;
    snprintf(http_fixture.client_body, sizeof http_fixture.client_body, "%.60s", result->body);
    atomic_store(&http_fixture.client_status, result->status);
    atomic_store(&http_fixture.client_rc, result->rc);
}

static void on_ask(uv_async_t *async)
{
    (void)async;
    int rc = 0;
    if (http_client_post_json(http_fixture.client, http_fixture.url, "hello", 5, http_fixture.client_timeout_ms,
                              on_client_answer, NULL, &rc) == NULL)
        atomic_store(&http_fixture.client_rc, rc);
}

static void *run(void *arg)
{
    (void)arg;
    uv_run(&http_fixture.loop, UV_RUN_DEFAULT);
    return NULL;
}

int http_fixture_setup(void **state)
{
    struct http_server_options o;
    struct http_client_options c;
    (void)state;
    memset(&http_fixture, 0, sizeof http_fixture);
    http_server_options_init(&o);
    o.max_body_bytes = MAX_BODY;
    o.max_header_bytes = 4096;
    o.max_header_count = 20;
    o.max_connections = 8;
    o.header_timeout_ms = 300;
    o.body_timeout_ms = 300;
    o.idle_timeout_ms = 2000;
    o.write_timeout_ms = 500;
    o.write_queue_bytes = 65536;
    o.unsent_total_bytes = 4u << 20;
    o.handler = handle;
    http_client_options_init(&c);
    c.max_response_bytes = 1000;
    assert_int_equal(uv_loop_init(&http_fixture.loop), 0);
    http_fixture.server = http_server_new(&http_fixture.loop, &o);
    http_fixture.client = http_client_new(&http_fixture.loop, &c);
    assert_true(http_fixture.server && http_fixture.client);
    const int fd = http_listen_loopback(0, &http_fixture.port);
    assert_true(fd >= 0);
    assert_int_equal(http_server_add_listener(http_fixture.server, fd), 0);
    uv_async_init(&http_fixture.loop, &http_fixture.stop, on_stop);
    uv_async_init(&http_fixture.loop, &http_fixture.ask, on_ask);
    return pthread_create(&http_fixture.thread, NULL, run, NULL);
}

int http_fixture_teardown(void **state)
{
    (void)state;
    uv_async_send(&http_fixture.stop);
    pthread_join(http_fixture.thread, NULL);
    return uv_loop_close(&http_fixture.loop); /* busy if a handle was leaked */
}
