/* Emitting log lines: level, sink, and a default sink that never waits and keeps lines whole. */
#include "testing.h"

#include "shared/base/fd.h"
#include "shared/base/log.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

struct capture {
    char text[LOG_LINE_MAX_BYTES + 1];
    unsigned count;
};

static void capture_line(void *ctx, const char *line, size_t len)
{
    struct capture *c = ctx;

    assert_true(len <= LOG_LINE_MAX_BYTES);
    memcpy(c->text, line, len);
    c->text[len] = '\0';
    c->count++;
    errno = EIO;
}

static void emitting_honours_level_and_sink(void **state)
{
    static struct capture c;
    const struct log_options options = {.level = LOG_WARN, .format = LOG_FMT_LOGFMT};

    (void)state;
    log_init(&options);
    log_set_sink(capture_line, &c);
    LOG_INFO("not shown");
    assert_int_equal(c.count, 0);
    errno = ENOTTY;
    LOG_WARN("shown", LOG_U("n", 3));
    assert_int_equal(errno, ENOTTY);
    assert_int_equal(c.count, 1);
    assert_non_null(strstr(c.text, " lvl=warn msg=shown n=3\n"));
    log_set_level(LOG_TRACE);
    LOG_TRACE("now too");
    assert_int_equal(c.count, 2);
    log_set_level(LOG_CRIT);
    assert_false(log_enabled(LOG_ERROR));
    log_emit(LOG_ERROR, "direct", NULL, 0);
    assert_int_equal(c.count, 2);
    log_set_sink(NULL, NULL);
}

/* Nobody reads fd 1: lines are dropped whole and counted, also when the fd itself would block. */
static void a_full_pipe_drops_whole_lines(void **state)
{
    const struct log_options options = {.level = LOG_INFO, .format = LOG_FMT_LOGFMT};

    (void)state;
    for (int nonblocking = 0; nonblocking < 2; nonblocking++) {
        int fds[2], saved = fcntl(STDOUT_FILENO, F_DUPFD_CLOEXEC, 10);
        uint64_t dropped = log_dropped_count();
        static char text[3001], drained[256 << 10];
        size_t len = 0, lines = 0;

        assert_true(saved >= 0);
        memset(text, 'x', sizeof text - 1);
        assert_int_equal(pipe2(fds, O_CLOEXEC), 0);
        if (nonblocking)
            assert_int_equal(fd_set_nonblocking(fds[1]), 0);
        (void)fflush(stdout);
        assert_true(dup2(fds[1], STDOUT_FILENO) >= 0);
        fd_close(&fds[1]);
        log_init(&options);
        for (int i = 0; i < 200; i++)
            LOG_INFO("line", LOG_S("text", text));
        dropped = log_dropped_count() - dropped;
        assert_true(dup2(saved, STDOUT_FILENO) >= 0);
        fd_close(&saved);

        for (ssize_t n; (n = read(fds[0], drained + len, sizeof drained - len)) > 0;)
            len += (size_t)n;
        fd_close(&fds[0]);
        for (size_t at = 0; at < len; lines++) {
            char *end = memchr(drained + at, '\n', len - at);
            assert_non_null(end);
            assert_memory_equal(drained + at, "t=", 2);
            assert_true((size_t)(end - (drained + at)) > 3000);
            at = (size_t)(end - drained) + 1;
        }
        assert_true(lines > 0 && dropped > 0);
        assert_int_equal(lines + dropped, 200);
    }
}

/* A slow reader of a socket sees whole lines too, and nothing is lost uncounted. */
static void a_slow_stream_gets_whole_lines(void **state)
{
    const struct log_options options = {.level = LOG_INFO, .format = LOG_FMT_LOGFMT};
    static char text[3001], drained[1 << 20];
    uint64_t dropped = log_dropped_count();
    size_t len = 0, lines = 0;
    const int smallest = 1;
    int fds[2], saved;

    (void)state;
    /* The smallest send buffer there is: a long line is two pieces inside. */
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, fds), 0);
    assert_int_equal(setsockopt(fds[1], SOL_SOCKET, SO_SNDBUF, &smallest, sizeof smallest), 0);
    saved = fcntl(STDOUT_FILENO, F_DUPFD_CLOEXEC, 10);
    assert_true(saved >= 0);
    memset(text, 'x', sizeof text - 1);
    (void)fflush(stdout);
    assert_true(dup2(fds[1], STDOUT_FILENO) >= 0);
    log_init(&options);
    /* The reader takes a little less than is written, and in the end
     * all there is. */
    for (int i = 0; i < 300; i++) {
        ssize_t n;
        LOG_INFO("line", LOG_S("text", text));
        n = read(fds[0], drained + len, 1500);
        len += n > 0 ? (size_t)n : 0;
    }
    for (int round = 0; round < 3; round++) {
        struct pollfd p = {.fd = fds[0], .events = POLLIN};
        while (poll(&p, 1, 100) == 1) {
            ssize_t n = read(fds[0], drained + len, sizeof drained - len);
            assert_true(n > 0);
            len += (size_t)n;
        }
        if (round < 2)
            LOG_INFO("end");
    }
    dropped = log_dropped_count() - dropped;
    assert_true(dup2(saved, STDOUT_FILENO) >= 0);
    fd_close(&saved);
    fd_close(&fds[1]);
    fd_close(&fds[0]);

    for (size_t at = 0; at < len; lines++) {
        char *end = memchr(drained + at, '\n', len - at);
        assert_non_null(end);
        assert_memory_equal(drained + at, "t=", 2);
        assert_true(end[-1] == 'x' || memcmp(end - 3, "end", 3) == 0);
        at = (size_t)(end - drained) + 1;
    }
    assert_int_equal(lines + dropped, 302);
    assert_true(lines > 100 && dropped > 10);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(emitting_honours_level_and_sink),
        cmocka_unit_test(a_full_pipe_drops_whole_lines),
        cmocka_unit_test(a_slow_stream_gets_whole_lines),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
