/* The HTTP server against good, slow, huge and hostile clients; the HTTP client against that server. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "http_helper.h"
#include "shared/base/err.h"
#include "shared/http/client.h"
#include "shared/http/server.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define MAX_BODY (1u << 20)
#define LATER_MS 60

static struct fixture {
    pthread_t thread;
    uv_loop_t loop;
    uv_async_t stop;
    struct http_server *server;
    struct http_client *client;
    uint16_t port;
    atomic_uint handled, gone, streams_ended, streams_refused;
    /* What the client tests ask for, and got. */
    uv_async_t ask;
    char url[64];
    atomic_int client_rc, client_status;
    uint32_t client_timeout_ms;
    char client_body[64];
} f;

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
        atomic_fetch_add(&f.gone, 1);
    http_respond(l->req, 200, "text/plain", "later", 5);
    uv_close((uv_handle_t *)timer, on_later_closed);
}

static void answer_later(struct http_request *req)
{
    struct later *l = calloc(1, sizeof *l);
    l->req = req;
    uv_timer_init(&f.loop, &l->timer);
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
    atomic_fetch_add(&f.streams_ended, 1);
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
    uv_timer_init(&f.loop, &flood->timer);
    flood->timer.data = flood;
    flood->stream = http_respond_stream(req, "text/event-stream", 65536, on_flood_end, flood);
    if (flood->stream == NULL) {
        atomic_fetch_add(&f.streams_refused, 1);
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
    atomic_fetch_add(&f.handled, 1);
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
    http_client_close(f.client);
    http_server_close(f.server);
    uv_close((uv_handle_t *)&f.ask, NULL);
    uv_close((uv_handle_t *)async, NULL);
}

static void on_client_answer(void *ctx, struct http_client_result *result)
{
    (void)ctx;
    snprintf(f.client_body, sizeof f.client_body, "%.60s", result->body);
    atomic_store(&f.client_status, result->status);
    atomic_store(&f.client_rc, result->rc);
}

static void on_ask(uv_async_t *async)
{
    (void)async;
    int rc = 0;
    if (http_client_post_json(f.client, f.url, "hello", 5, f.client_timeout_ms, on_client_answer, NULL, &rc) == NULL)
        atomic_store(&f.client_rc, rc);
}

static void *run(void *arg)
{
    (void)arg;
    uv_run(&f.loop, UV_RUN_DEFAULT);
    return NULL;
}

static int setup(void **state)
{
    struct http_server_options o;
    struct http_client_options c;
    (void)state;
    memset(&f, 0, sizeof f);
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
    o.handler = handle;
    http_client_options_init(&c);
    c.max_response_bytes = 1000;
    assert_int_equal(uv_loop_init(&f.loop), 0);
    f.server = http_server_new(&f.loop, &o);
    f.client = http_client_new(&f.loop, &c);
    assert_true(f.server && f.client);
    const int fd = http_listen_loopback(0, &f.port);
    assert_true(fd >= 0);
    assert_int_equal(http_server_add_listener(f.server, fd), 0);
    uv_async_init(&f.loop, &f.stop, on_stop);
    uv_async_init(&f.loop, &f.ask, on_ask);
    return pthread_create(&f.thread, NULL, run, NULL);
}

static int teardown(void **state)
{
    (void)state;
    uv_async_send(&f.stop);
    pthread_join(f.thread, NULL);
    return uv_loop_close(&f.loop); /* busy if a handle was leaked */
}

/* ---- requests on one connection ---- */

struct exchange_case {
    const char *name;
    const char *request;
    int status;       /* 0: closed without an answer */
    const char *body; /* NULL: any */
    int is_open;      /* the connection goes on */
};

static const struct exchange_case cases[] = {
    {"body", "POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhello", 200, "hello", 1},
    {"empty body", "POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n", 200, "", 1},
    {"no body", "GET /echo HTTP/1.1\r\nHost: a\r\n\r\n", 200, "", 1},
    {"taken body", "POST /take HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhello", 200, "hello", 1},
    {"blank lines first", "\r\n\r\nGET /echo HTTP/1.1\r\nHost: a\r\n\r\n", 200, "", 1},
    {"chunked",
     "POST /echo HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n2;x=y\r\nde\r\n0\r\n\r\n", 200,
     "abcde", 1},
    {"chunked with trailer",
     "POST /echo HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\nX: y\r\n\r\n", 200, "abc",
     0},
    {"path and query", "GET /none?a=b HTTP/1.1\r\nHost: a\r\n\r\n", 404, "/none", 1},
    {"absolute form", "GET http://a/none HTTP/1.1\r\nHost: a\r\n\r\n", 404, "/none", 1},
    {"empty header", "GET /echo HTTP/1.1\r\nHost: a\r\nX-Empty:\r\nX-Y: z\r\n\r\n", 200, "", 1},
    {"upgrade is ignored", "GET /echo HTTP/1.1\r\nHost: a\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\n", 200,
     "", 1},
    {"close", "GET /echo HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n", 200, "", 0},
    {"HTTP/1.0", "GET /echo HTTP/1.0\r\n\r\n", 200, "", 0},
    {"HTTP/1.0 keep-alive", "GET /echo HTTP/1.0\r\nConnection: keep-alive\r\n\r\n", 200, "", 1},
    {"aborted", "GET /never HTTP/1.1\r\nHost: a\r\n\r\n", 0, NULL, 0},
    {"no host", "GET /echo HTTP/1.1\r\n\r\n", 400, NULL, 0},
    {"two hosts", "GET /echo HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n", 400, NULL, 0},
    {"length and chunked", "POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n",
     400, NULL, 0},
    {"two lengths", "POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\n", 400, NULL, 0},
    {"unknown encoding", "POST /echo HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: xchunked\r\n\r\n", 501, NULL, 0},
    {"two encodings",
     "POST /echo HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: identity\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
     501, NULL, 0},
    {"space before colon", "POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length : 5\r\n\r\nhello", 400, NULL, 0},
    {"bare LF", "GET /echo HTTP/1.1\nHost: a\n\n", 400, NULL, 0},
    {"bare CR hides a header", "POST /echo HTTP/1.1\r\nHost: a\r\nX:\rTransfer-Encoding: chunked\r\n\r\n", 400, NULL,
     0},
    {"continued line", "GET /echo HTTP/1.1\r\nHost: a\r\nX: a\r\n b\r\n\r\n", 400, NULL, 0},
    {"not HTTP", "\x16\x03\x01 garbage\r\n\r\n", 400, NULL, 0},
    {"HTTP/2", "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 400, NULL, 0},
    {"other expectation", "POST /echo HTTP/1.1\r\nHost: a\r\nExpect: tea\r\nContent-Length: 1\r\n\r\n", 417, NULL, 0},
    {"length above the limit", "POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 1048577\r\n\r\n", 413,
     "content length too large (1048577>1048576)\n", 0},
    {"length above all integers", "POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 99999999999999999999\r\n\r\n", 400,
     NULL, 0},
    {"negative length", "POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: -1\r\n\r\n", 400, NULL, 0},
    {"bad chunk size", "POST /echo HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n", 400, NULL, 0},
    {"huge chunk", "POST /echo HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\nffffffffffffffffff\r\n", 400,
     NULL, 0},
};

static void check_case(const struct exchange_case *c, int fd)
{
    struct http_answer a = helper_read(fd, 0);
    if (a.status != c->status || (c->body != NULL && (a.body == NULL || strcmp(a.body, c->body) != 0)))
        fail_msg("%s: status %d, body '%s'", c->name, a.status, a.body != NULL ? a.body : "");
    helper_free(&a);
    if (c->is_open) {
        helper_send_text(fd, "GET /again HTTP/1.1\r\nHost: a\r\n\r\n");
        a = helper_read(fd, 0);
        if (a.status != 404 || strcmp(a.body, "/again") != 0)
            fail_msg("%s: the connection is not in step: status %d", c->name, a.status);
        helper_free(&a);
    } else if (c->status != 0 && helper_drain(fd) != 0) {
        fail_msg("%s: more came after the answer", c->name);
    }
    close(fd);
}

static void test_exchanges(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        const int fd = helper_connect(f.port);
        helper_send_text(fd, cases[i].request);
        check_case(&cases[i], fd);
    }
}

/* The same, one byte at a time: no state may depend on where a read ends. */
static void test_byte_by_byte(void **state)
{
    (void)state;
    for (size_t i = 0; i < 8; i++) {
        const int fd = helper_connect(f.port);
        for (const char *p = cases[i].request; *p != '\0'; p++)
            helper_send(fd, p, 1);
        check_case(&cases[i], fd);
    }
}

static void test_pipelined_in_order(void **state)
{
    (void)state;
    char expect[32];
    const int fd = helper_connect(f.port);
    for (int i = 0; i < 20; i++) {
        char text[128];
        snprintf(text, sizeof text,
                 "GET %s HTTP/1.1\r\nHost: a\r\n\r\nPOST /n%d HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\nxy",
                 i % 7 == 0 ? "/later" : "/echo", i);
        helper_send_text(fd, text);
    }
    for (int i = 0; i < 20; i++) {
        struct http_answer a = helper_read(fd, 0);
        assert_int_equal(a.status, 200);
        assert_string_equal(a.body, i % 7 == 0 ? "later" : "");
        helper_free(&a);
        a = helper_read(fd, 0);
        snprintf(expect, sizeof expect, "/n%d", i);
        assert_string_equal(a.body, expect);
        helper_free(&a);
    }
    close(fd);
}

static void test_pipelined_half_closed(void **state)
{
    (void)state;
    const int fd = helper_connect(f.port);
    helper_send_text(fd, "GET /later HTTP/1.1\r\nHost: a\r\n\r\nGET /x HTTP/1.1\r\nHost: a\r\n\r\n");
    shutdown(fd, SHUT_WR);
    struct http_answer a = helper_read(fd, 0);
    assert_int_equal(a.status, 200);
    helper_free(&a);
    a = helper_read(fd, 0);
    assert_int_equal(a.status, 404);
    helper_free(&a);
    assert_true(helper_drain(fd) == 0);
    close(fd);
}

static void test_large_bodies(void **state)
{
    (void)state;
    char *body = malloc(MAX_BODY);
    for (size_t i = 0; i < MAX_BODY; i++)
        body[i] = (char)('a' + i % 23);
    for (int i = 0; i < 5; i++) {
        struct http_answer a = helper_post(f.port, "/echo", "x/y", body, MAX_BODY - (size_t)i);
        assert_int_equal(a.status, 200);
        assert_true(a.body_len == MAX_BODY - (size_t)i);
        assert_memory_equal(a.body, body, a.body_len);
        assert_non_null(strstr(a.head, "Content-Type: x/y\r\n"));
        helper_free(&a);
    }
    free(body);
}

static void test_chunked_above_limit(void **state)
{
    (void)state;
    char chunk[65536];
    const int fd = helper_connect(f.port);
    helper_send_text(fd, "POST /echo HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n");
    memset(chunk, 'x', sizeof chunk);
    for (int i = 0; i < 17; i++) {
        helper_send_text(fd, "10000\r\n");
        helper_send(fd, chunk, sizeof chunk);
        helper_send_text(fd, "\r\n");
    }
    struct http_answer a = helper_read(fd, 0);
    assert_int_equal(a.status, 413);
    helper_free(&a);
    close(fd);
}

static void test_expect_continue(void **state)
{
    (void)state;
    int fd = helper_connect(f.port);
    helper_send_text(fd, "POST /echo HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 3\r\n\r\n");
    struct http_answer a = helper_read(fd, 1);
    assert_int_equal(a.status, 100);
    helper_free(&a);
    helper_send_text(fd, "abc");
    a = helper_read(fd, 1);
    assert_int_equal(a.status, 200);
    helper_free(&a);
    close(fd);
    /* Too large: refused before the body is sent. */
    fd = helper_connect(f.port);
    helper_send_text(fd, "POST /echo HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 2000000\r\n\r\n");
    a = helper_read(fd, 1);
    assert_int_equal(a.status, 413);
    helper_free(&a);
    close(fd);
}

static void test_header_limits(void **state)
{
    (void)state;
    char line[64];
    int fd = helper_connect(f.port);
    helper_send_text(fd, "GET /echo HTTP/1.1\r\nHost: a\r\n");
    for (int i = 0; i < 25; i++) {
        snprintf(line, sizeof line, "X-%d: y\r\n", i);
        helper_send_text(fd, line);
    }
    struct http_answer a = helper_read(fd, 0);
    assert_int_equal(a.status, 431);
    helper_free(&a);
    close(fd);
    fd = helper_connect(f.port);
    helper_send_text(fd, "GET /echo HTTP/1.1\r\nHost: a\r\nX: ");
    for (int i = 0; i < 100; i++)
        helper_send_text(fd, "0123456789012345678901234567890123456789012345678901234567890123456789");
    a = helper_read(fd, 0);
    assert_int_equal(a.status, 431);
    helper_free(&a);
    close(fd);
}

static void test_slow_clients_are_dropped(void **state)
{
    (void)state;
    const int head = helper_connect(f.port), body = helper_connect(f.port), idle = helper_connect(f.port);
    helper_send_text(head, "GET /echo HTTP/1.1\r\nHo");
    helper_send_text(body, "POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 10\r\n\r\nabc");
    struct http_answer a = helper_read(head, 0);
    assert_int_equal(a.status, 408);
    helper_free(&a);
    a = helper_read(body, 0);
    assert_int_equal(a.status, 408);
    helper_free(&a);
    assert_true(helper_drain(idle) == 0); /* ends, by the server's doing */
    close(head);
    close(body);
    close(idle);
}

static void test_reader_that_does_not_read(void **state)
{
    (void)state;
    const int fd = helper_connect(f.port);
    for (int i = 0; i < 50; i++)
        helper_send_text(fd, "GET /big?8000000 HTTP/1.1\r\nHost: a\r\n\r\n");
    usleep(1500 * 1000); /* the write timeout is 500 ms */
    const size_t got = helper_drain(fd);
    assert_true(got < (size_t)30 * 8000000); /* cut off long before all answers */
    close(fd);
}

static void test_disconnect_before_answer(void **state)
{
    (void)state;
    const unsigned before = atomic_load(&f.handled);
    for (int i = 0; i < 20; i++) {
        const int fd = helper_connect(f.port);
        const struct linger hard = {.l_onoff = 1};
        helper_send_text(fd, "GET /later HTTP/1.1\r\nHost: a\r\n\r\n");
        if (i % 2 == 0)
            setsockopt(fd, SOL_SOCKET, SO_LINGER, &hard, sizeof hard);
        while (atomic_load(&f.handled) <= before + (unsigned)i)
            usleep(500);
        close(fd);
    }
    for (int i = 0; i < 1000 && atomic_load(&f.gone) < 20; i++)
        usleep(10000);
    assert_int_equal(atomic_load(&f.gone), 20);
}

static bool wait_ended(unsigned count)
{
    for (int i = 0; i < 500 && atomic_load(&f.streams_ended) < count; i++)
        usleep(10000);
    return atomic_load(&f.streams_ended) == count;
}

static void test_stream(void **state)
{
    char head[512], hello[7] = "";
    (void)state;
    /* A reader gets everything, and what it sends meanwhile is ignored. */
    int fd = helper_connect(f.port);
    helper_send_text(fd, "GET /stream?1 HTTP/1.1\r\nHost: a\r\n\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n");
    struct http_answer a = helper_read(fd, 0);
    assert_int_equal(a.status, 200);
    snprintf(head, sizeof head, "%.500s", a.head);
    helper_free(&a);
    assert_non_null(strstr(head, "Content-Type: text/event-stream\r\nConnection: close\r\n"));
    assert_null(strstr(head, "Content-Length"));
    assert_true(recv(fd, hello, 6, MSG_WAITALL) == 6 && strcmp(hello, "hello\n") == 0);
    helper_send_text(fd, "GET / HTTP/1.1\r\nHost: a\r\n\r\n");
    for (size_t got = 0; got < (size_t)1 << 20;) {
        char buf[65536];
        const ssize_t n = recv(fd, buf, sizeof buf, 0);
        assert_true(n > 0);
        got += (size_t)n;
    }
    assert_int_equal(atomic_load(&f.streams_ended), 0);
    close(fd); /* its end is told, once */
    assert_true(wait_ended(1));
    /* One that reads nothing is cut off, though it stays connected. */
    fd = helper_connect(f.port);
    helper_send_text(fd, "GET /stream?1 HTTP/1.1\r\nHost: a\r\n\r\n");
    assert_true(wait_ended(2));
    assert_true(helper_drain(fd) < (size_t)8 << 20);
    close(fd);
    /* A stream without news is neither idle nor slow. */
    fd = helper_connect(f.port);
    helper_send_text(fd, "GET /stream?60000 HTTP/1.1\r\nHost: a\r\n\r\n");
    usleep(2500 * 1000); /* the idle timeout is 2 s */
    assert_int_equal(atomic_load(&f.streams_ended), 2);
    close(fd);
    assert_true(wait_ended(3));
    assert_int_equal(atomic_load(&f.streams_refused), 0);
    /* The teardown ends this one, and must free all of it. */
    fd = helper_connect(f.port);
    helper_send_text(fd, "GET /stream?60000 HTTP/1.1\r\nHost: a\r\n\r\n");
    a = helper_read(fd, 0);
    assert_int_equal(a.status, 200);
    helper_free(&a);
}

static void test_connection_cap(void **state)
{
    (void)state;
    int fds[30];
    /* Idle ones make room for new ones, so that a crowd of them keeps nobody out. */
    for (int i = 0; i < 30; i++)
        fds[i] = helper_connect(f.port);
    const int fd = helper_connect(f.port);
    helper_send_text(fd, "GET /x HTTP/1.1\r\nHost: a\r\n\r\n");
    struct http_answer a = helper_read(fd, 0);
    assert_int_equal(a.status, 404);
    helper_free(&a);
    close(fd);
    for (int i = 0; i < 30; i++)
        close(fds[i]);
}

/* ---- client ---- */

#define NOT_YET 12345

static void ask(const char *path, uint16_t port, uint32_t timeout_ms)
{
    snprintf(f.url, sizeof f.url, "http://127.0.0.1:%u%s", port, path);
    f.client_timeout_ms = timeout_ms;
    atomic_store(&f.client_rc, NOT_YET);
    uv_async_send(&f.ask);
    for (int i = 0; i < 1500 && atomic_load(&f.client_rc) == NOT_YET; i++)
        usleep(10000);
}

static void test_client(void **state)
{
    (void)state;
    for (int i = 0; i < 5; i++) {
        ask("/echo", f.port, 10000);
        assert_int_equal(atomic_load(&f.client_rc), 0);
        assert_int_equal(atomic_load(&f.client_status), 200);
        assert_string_equal(f.client_body, "hello");
    }
    assert_int_equal(http_server_connection_count(f.server), 1); /* kept alive */
    ask("/none", f.port, 10000);
    assert_int_equal(atomic_load(&f.client_status), 404);
    ask("/big?1001", f.port, 10000);
    assert_int_equal(atomic_load(&f.client_rc), OC_ERANGE);
    ask("/later", f.port, 10);
    assert_int_equal(atomic_load(&f.client_rc), OC_EDEADLINE);
    ask("/never", f.port, 10000);
    assert_int_equal(atomic_load(&f.client_rc), OC_ECLOSED);
    uint16_t free_port;
    const int fd = http_listen_loopback(0, &free_port);
    close(fd);
    ask("/", free_port, 10000);
    assert_int_equal(atomic_load(&f.client_rc), OC_ECLOSED);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_exchanges, setup, teardown),
        cmocka_unit_test_setup_teardown(test_byte_by_byte, setup, teardown),
        cmocka_unit_test_setup_teardown(test_pipelined_in_order, setup, teardown),
        cmocka_unit_test_setup_teardown(test_pipelined_half_closed, setup, teardown),
        cmocka_unit_test_setup_teardown(test_large_bodies, setup, teardown),
        cmocka_unit_test_setup_teardown(test_chunked_above_limit, setup, teardown),
        cmocka_unit_test_setup_teardown(test_expect_continue, setup, teardown),
        cmocka_unit_test_setup_teardown(test_header_limits, setup, teardown),
        cmocka_unit_test_setup_teardown(test_slow_clients_are_dropped, setup, teardown),
        cmocka_unit_test_setup_teardown(test_reader_that_does_not_read, setup, teardown),
        cmocka_unit_test_setup_teardown(test_disconnect_before_answer, setup, teardown),
        cmocka_unit_test_setup_teardown(test_stream, setup, teardown),
        cmocka_unit_test_setup_teardown(test_connection_cap, setup, teardown),
        cmocka_unit_test_setup_teardown(test_client, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
