/* The HTTP server against good, slow, huge and hostile clients. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "http_fixture.h"
#include "http_helper.h"

#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

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
        const int fd = helper_connect(http_fixture.port);
        helper_send_text(fd, cases[i].request);
        check_case(&cases[i], fd);
    }
}

/* The same, one byte at a time: no state may depend on where a read ends. */
static void test_byte_by_byte(void **state)
{
    (void)state;
    for (size_t i = 0; i < 8; i++) {
        const int fd = helper_connect(http_fixture.port);
        for (const char *p = cases[i].request; *p != '\0'; p++)
            helper_send(fd, p, 1);
        check_case(&cases[i], fd);
    }
}

static void test_pipelined_in_order(void **state)
{
    (void)state;
    char expect[32];
    const int fd = helper_connect(http_fixture.port);
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
    const int fd = helper_connect(http_fixture.port);
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
        struct http_answer a = helper_post(http_fixture.port, "/echo", "x/y", body, MAX_BODY - (size_t)i);
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
    const int fd = helper_connect(http_fixture.port);
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
    int fd = helper_connect(http_fixture.port);
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
    fd = helper_connect(http_fixture.port);
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
    int fd = helper_connect(http_fixture.port);
    helper_send_text(fd, "GET /echo HTTP/1.1\r\nHost: a\r\n");
    for (int i = 0; i < 25; i++) {
        snprintf(line, sizeof line, "X-%d: y\r\n", i);
        helper_send_text(fd, line);
    }
    struct http_answer a = helper_read(fd, 0);
    assert_int_equal(a.status, 431);
    helper_free(&a);
    close(fd);
    fd = helper_connect(http_fixture.port);
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
    const int head = helper_connect(http_fixture.port), body = helper_connect(http_fixture.port),
              idle = helper_connect(http_fixture.port);
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
    const int fd = helper_connect(http_fixture.port);
    for (int i = 0; i < 50; i++)
        helper_send_text(fd, "GET /big?8000000 HTTP/1.1\r\nHost: a\r\n\r\n");
    usleep(1500 * 1000); /* the write timeout is 500 ms */
    const size_t got = helper_drain(fd);
    assert_true(got < (size_t)30 * 8000000); /* cut off long before all answers */
    close(fd);
}

/* Answers that nobody reads share one limit, however many ask for them; who reads is served all the same. */
static void test_readers_that_do_not_read(void **state)
{
    enum { READERS = 6, BYTES = 8000000 };
    (void)state;
    int fds[READERS];
    unsigned whole = 0;
    for (int i = 0; i < READERS; i++) {
        fds[i] = helper_connect(http_fixture.port);
        helper_send_text(fds[i], "GET /big?8000000 HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n");
    }
    while (atomic_load(&http_fixture.handled) < READERS)
        usleep(500);
    const int fd = helper_connect(http_fixture.port);
    helper_send_text(fd, "GET /x HTTP/1.1\r\nHost: a\r\n\r\n");
    struct http_answer a = helper_read(fd, 0);
    assert_int_equal(a.status, 404);
    helper_free(&a);
    close(fd);
    for (int i = 0; i < READERS; i++) {
        whole += helper_drain(fds[i]) >= BYTES;
        close(fds[i]);
    }
    assert_true(whole <= 1); /* the first, as one answer always has room */
}

static void test_disconnect_before_answer(void **state)
{
    (void)state;
    const unsigned before = atomic_load(&http_fixture.handled);
    for (int i = 0; i < 20; i++) {
        const int fd = helper_connect(http_fixture.port);
        const struct linger hard = {.l_onoff = 1};
        helper_send_text(fd, "GET /later HTTP/1.1\r\nHost: a\r\n\r\n");
        if (i % 2 == 0)
            setsockopt(fd, SOL_SOCKET, SO_LINGER, &hard, sizeof hard);
        while (atomic_load(&http_fixture.handled) <= before + (unsigned)i)
            usleep(500);
        close(fd);
    }
    for (int i = 0; i < 1000 && atomic_load(&http_fixture.gone) < 20; i++)
        usleep(10000);
    assert_int_equal(atomic_load(&http_fixture.gone), 20);
}

static bool wait_ended(unsigned count)
{
    for (int i = 0; i < 500 && atomic_load(&http_fixture.streams_ended) < count; i++)
        usleep(10000);
    return atomic_load(&http_fixture.streams_ended) == count;
}

static void test_stream(void **state)
{
    char head[512], hello[7] = "";
    (void)state;
    /* A reader gets everything, and what it sends meanwhile is ignored. */
    int fd = helper_connect(http_fixture.port);
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
    assert_int_equal(atomic_load(&http_fixture.streams_ended), 0);
    close(fd); /* its end is told, once */
    assert_true(wait_ended(1));
    /* One that reads nothing is cut off, though it stays connected. */
    fd = helper_connect(http_fixture.port);
    helper_send_text(fd, "GET /stream?1 HTTP/1.1\r\nHost: a\r\n\r\n");
    assert_true(wait_ended(2));
    assert_true(helper_drain(fd) < (size_t)8 << 20);
    close(fd);
    /* A stream without news is neither idle nor slow. */
    fd = helper_connect(http_fixture.port);
    helper_send_text(fd, "GET /stream?60000 HTTP/1.1\r\nHost: a\r\n\r\n");
    usleep(2500 * 1000); /* the idle timeout is 2 s */
    assert_int_equal(atomic_load(&http_fixture.streams_ended), 2);
    close(fd);
    assert_true(wait_ended(3));
    assert_int_equal(atomic_load(&http_fixture.streams_refused), 0);
    /* The teardown ends this one, and must free all of it. */
    fd = helper_connect(http_fixture.port);
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
        fds[i] = helper_connect(http_fixture.port);
    const int fd = helper_connect(http_fixture.port);
    helper_send_text(fd, "GET /x HTTP/1.1\r\nHost: a\r\n\r\n");
    struct http_answer a = helper_read(fd, 0);
    assert_int_equal(a.status, 404);
    helper_free(&a);
    close(fd);
    for (int i = 0; i < 30; i++)
        close(fds[i]);
}

/* Nor does a crowd of clients that begin a request and do not end it, long before their time is up. */
static void test_dawdlers_make_room(void **state)
{
    (void)state;
    static const char *const parts[] = {"POST /echo HTTP/1.1\r\nHo",
                                        "POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 9\r\n\r\na"};
    struct timespec begin, end;
    int fds[8];
    for (int i = 0; i < 8; i++) {
        fds[i] = helper_connect(http_fixture.port);
        helper_send_text(fds[i], parts[i % 2]);
    }
    usleep(100 * 1000);
    (void)clock_gettime(CLOCK_MONOTONIC, &begin);
    const int fd = helper_connect(http_fixture.port);
    helper_send_text(fd, "GET /x HTTP/1.1\r\nHost: a\r\n\r\n");
    struct http_answer a = helper_read(fd, 0);
    (void)clock_gettime(CLOCK_MONOTONIC, &end);
    assert_int_equal(a.status, 404);
    assert_true((end.tv_sec - begin.tv_sec) * 1000 + (end.tv_nsec - begin.tv_nsec) / 1000000 < 1000);
    helper_free(&a);
    close(fd);
    for (int i = 0; i < 8; i++)
        close(fds[i]);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_exchanges, http_fixture_setup, http_fixture_teardown),
        cmocka_unit_test_setup_teardown(test_byte_by_byte, http_fixture_setup, http_fixture_teardown),
        cmocka_unit_test_setup_teardown(test_pipelined_in_order, http_fixture_setup, http_fixture_teardown),
        cmocka_unit_test_setup_teardown(test_pipelined_half_closed, http_fixture_setup, http_fixture_teardown),
        cmocka_unit_test_setup_teardown(test_large_bodies, http_fixture_setup, http_fixture_teardown),
        cmocka_unit_test_setup_teardown(test_chunked_above_limit, http_fixture_setup, http_fixture_teardown),
        cmocka_unit_test_setup_teardown(test_expect_continue, http_fixture_setup, http_fixture_teardown),
        cmocka_unit_test_setup_teardown(test_header_limits, http_fixture_setup, http_fixture_teardown),
        cmocka_unit_test_setup_teardown(test_slow_clients_are_dropped, http_fixture_setup, http_fixture_teardown),
        cmocka_unit_test_setup_teardown(test_reader_that_does_not_read, http_fixture_setup, http_fixture_teardown),
        cmocka_unit_test_setup_teardown(test_readers_that_do_not_read, http_fixture_setup, http_fixture_teardown),
        cmocka_unit_test_setup_teardown(test_disconnect_before_answer, http_fixture_setup, http_fixture_teardown),
        cmocka_unit_test_setup_teardown(test_stream, http_fixture_setup, http_fixture_teardown),
        cmocka_unit_test_setup_teardown(test_connection_cap, http_fixture_setup, http_fixture_teardown),
        cmocka_unit_test_setup_teardown(test_dawdlers_make_room, http_fixture_setup, http_fixture_teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
