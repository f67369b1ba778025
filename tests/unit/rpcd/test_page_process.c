/* The status page and its stream, from a real op-conductor-rpcd. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "fixture.h"
#include "http_helper.h"

#include "rpcd/stream.h"
#include "shared/base/clock.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define ASK_PAGE "GET / HTTP/1.1\r\nHost: a\r\nAccept: text/html\r\n\r\n"
#define ASK_STREAM "GET /events HTTP/1.1\r\nHost: a\r\nAccept: text/event-stream\r\n\r\n"

static struct fixture f;

static int setup(void **state)
{
    (void)state;
    fixture_start(&f);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    return fixture_stop(&f);
}

static struct http_answer ask(const char *request)
{
    const int fd = helper_connect(f.rpc_port);
    helper_send_text(fd, request);
    struct http_answer a = helper_read(fd, 0);
    close(fd);
    return a;
}

/* The rest of a stream as far as it comes until `wanted` is in it; the milliseconds that took, or -1. */
static int read_until(int fd, const char *wanted)
{
    static char got[1 << 20];
    size_t len = 0;
    const uint64_t start_ms = clock_mono_ms();
    while (len < sizeof got - 1 && clock_mono_ms() < start_ms + 5000) {
        const ssize_t n = recv(fd, got + len, sizeof got - 1 - len, 0);
        if (n <= 0)
            return -1;
        len += (size_t)n;
        got[len] = '\0';
        if (strstr(got, wanted) != NULL)
            return (int)(clock_mono_ms() - start_ms);
    }
    return -1;
}

static int open_stream(int *ret_status)
{
    const int fd = helper_connect(f.rpc_port);
    helper_send_text(fd, ASK_STREAM);
    struct http_answer a = helper_read(fd, 0);
    *ret_status = a.status;
    helper_free(&a);
    return fd;
}

static void test_headers(void **state)
{
    static const char *const wanted[] = {
        "Content-Type: text/html; charset=utf-8\r\n",
        "Cache-Control: no-store\r\n",
        "X-Content-Type-Options: nosniff\r\n",
        "Referrer-Policy: no-referrer\r\n",
        "Vary: Accept\r\n",
        "Content-Security-Policy: default-src 'none'; script-src 'nonce-",
        "base-uri 'none'; form-action 'none'; frame-ancestors 'none'\r\n",
    };
    char nonce[2][33];
    (void)state;
    for (unsigned k = 0; k < 2; k++) {
        struct http_answer a = ask(ASK_PAGE);
        assert_int_equal(a.status, 200);
        for (size_t i = 0; i < sizeof wanted / sizeof wanted[0]; i++)
            if (strstr(a.head, wanted[i]) == NULL)
                fail_msg("no '%s' in\n%s", wanted[i], a.head);
        assert_null(strstr(a.head, "unsafe-inline"));
        const char *at = strstr(a.head, "script-src 'nonce-") + 18;
        (void)snprintf(nonce[k], sizeof nonce[k], "%.32s", at);
        assert_int_equal(at[32], '\'');
        char tag[80];
        (void)snprintf(tag, sizeof tag, "<script nonce=\"%s\">", nonce[k]);
        assert_non_null(strstr(a.body, tag));
        assert_non_null(strstr(a.body, "seq-0 leads"));
        helper_free(&a);
    }
    assert_string_not_equal(nonce[0], nonce[1]);
}

/* Who does not ask for it gets what was there before. */
static void test_others_are_not_disturbed(void **state)
{
    static const struct {
        const char *request;
        int status;
        const char *body;
    } rows[] = {
        {"GET / HTTP/1.1\r\nHost: a\r\nAccept: */*\r\n\r\n", 200, ""},
        {"GET /?x HTTP/1.1\r\nHost: a\r\nAccept: */*\r\n\r\n", 415, NULL},
        {"POST / HTTP/1.1\r\nHost: a\r\nAccept: text/html\r\nContent-Length: 0\r\n\r\n", 415, NULL},
        {"GET /healthz HTTP/1.1\r\nHost: a\r\nAccept: text/html\r\n\r\n", 200, "{\"version\":\"v0.0.1\"}\n"},
        {"GET /events HTTP/1.1\r\nHost: a\r\nAccept: */*\r\n\r\n", 404, "404 page not found\n"},
        {"GET /events HTTP/1.1\r\nHost: a\r\n\r\n", 404, "404 page not found\n"},
        {"POST /events HTTP/1.1\r\nHost: a\r\nAccept: text/event-stream\r\nContent-Length: 0\r\n\r\n", 404, NULL},
        {"GET /index.html HTTP/1.1\r\nHost: a\r\nAccept: text/html\r\n\r\n", 404, "404 page not found\n"},
    };
    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct http_answer a = ask(rows[i].request);
        if (a.status != rows[i].status || (rows[i].body != NULL && strcmp(a.body, rows[i].body) != 0))
            fail_msg("%s: %d %s", rows[i].request, a.status, a.body);
        helper_free(&a);
    }
}

static void test_stream_tells_at_once(void **state)
{
    int status;
    size_t len;
    (void)state;
    const int fd = open_stream(&status);
    assert_int_equal(status, 200);
    assert_true(read_until(fd, "\"leader\":{\"id\":\"seq-0\"") >= 0);
    for (int i = 0; i < 4; i++) { /* long before the next heartbeat */
        const char *leader = i % 2 == 0 ? "seq-1" : "seq-0";
        char wanted[64];
        (void)snprintf(wanted, sizeof wanted, "\"leader\":{\"id\":\"%s\"", leader);
        fixture_set_raft(&f, i % 2 == 0 ? RAFT_ROLE_FOLLOWER : RAFT_ROLE_LEADER, i % 2 != 0, leader);
        const int took_ms = read_until(fd, wanted);
        if (took_ms < 0 || took_ms > 700)
            fail_msg("%s was told after %d ms", leader, took_ms);
    }
    /* A commit, as soon as it is answered; the newest ones to who comes later. */
    char *body = fixture_commit_body(77, 100, &len);
    free(fixture_call(&f, body));
    free(body);
    assert_true(read_until(fd, "event: commits\ndata: [[1,77,") >= 0);
    assert_true(read_until(fd, "event: status\n") >= 0); /* a heartbeat */
    close(fd);
    const int later = open_stream(&status);
    assert_true(read_until(later, "event: commits\ndata: [[1,77,") >= 0);
    close(later);
}

static void test_few_streams(void **state)
{
    int fds[STREAMS_MAX], status;
    (void)state;
    for (int i = 0; i < STREAMS_MAX; i++) {
        fds[i] = open_stream(&status);
        assert_int_equal(status, 200);
    }
    struct http_answer a = ask(ASK_STREAM);
    assert_int_equal(a.status, 503);
    assert_non_null(strstr(a.head, "Retry-After: "));
    assert_non_null(strstr(a.body, "too many viewers"));
    helper_free(&a);
    a = ask(ASK_PAGE); /* which needs no stream */
    assert_int_equal(a.status, 200);
    helper_free(&a);
    /* A place is free as soon as one leaves. */
    close(fds[3]);
    for (int i = 0; i < 100; i++) {
        usleep(20000);
        fds[3] = open_stream(&status);
        if (status == 200)
            break;
        close(fds[3]);
    }
    assert_int_equal(status, 200);
    for (int i = 0; i < STREAMS_MAX; i++) {
        assert_true(read_until(fds[i], "event: status\n") >= 0);
        close(fds[i]);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_headers, setup, teardown),
        cmocka_unit_test_setup_teardown(test_others_are_not_disturbed, setup, teardown),
        cmocka_unit_test_setup_teardown(test_stream_tells_at_once, setup, teardown),
        cmocka_unit_test_setup_teardown(test_few_streams, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
