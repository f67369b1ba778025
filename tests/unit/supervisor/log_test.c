/* Children's output to ours: lines, prefixes, floods, and a reader that does not read. */
#include "shared/base/clock.h"
#include "shared/base/fd.h"
#include "supervisor/logout.h"
#include "supervisor/logpipe.h"
#include "testing.h"

#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

static const struct childline_style as_it_is = {.format = LOG_FMT_LOGFMT, .role = "rpcd", .prefix = ""};

struct sink {
    int fds[2];
    struct logout *out;
};

static void open_sink(struct sink *s, size_t buffer_bytes)
{
    assert_int_equal(pipe2(s->fds, O_CLOEXEC), 0);
    s->out = logout_new(s->fds[1], buffer_bytes);
    assert_non_null(s->out);
}

static void close_sink(struct sink *s)
{
    logout_free(s->out);
    fd_close(&s->fds[0]);
    fd_close(&s->fds[1]);
}

/* Everything that has arrived, NUL-terminated. */
static size_t take(struct sink *s, char *buf, size_t size)
{
    size_t used = 0;

    (void)fd_set_nonblocking(s->fds[0]);
    for (;;) {
        ssize_t n = read(s->fds[0], buf + used, size - 1 - used);
        if (n <= 0)
            break;
        used += (size_t)n;
    }
    buf[used] = '\0';
    return used;
}

static void a_blocked_reader_costs_lines_and_no_time(void **state)
{
    struct sink s;
    char line[101];
    char *got = malloc(4 << 20);
    uint64_t begin_ms = clock_mono_ms();
    size_t bytes, lines = 0;

    (void)state;
    assert_non_null(got);
    open_sink(&s, 64 << 10);
    memset(line, 'x', 99);
    line[99] = '\n';
    line[100] = '\0';
    /* Far more than pipe and buffer hold, to a blocking pipe that nobody reads. */
    for (int i = 0; i < 5000; i++) {
        logout_write(s.out, line, 100);
        (void)logout_flush(s.out);
    }
    assert_true(clock_mono_ms() - begin_ms < 5000);
    assert_true(logout_dropped_count(s.out) > 0);
    assert_false(logout_is_empty(s.out));
    bytes = take(&s, got, 4 << 20);
    while (logout_flush(s.out) || !logout_is_empty(s.out))
        bytes += take(&s, got + bytes, (4 << 20) - bytes);
    bytes += take(&s, got + bytes, (4 << 20) - bytes);
    /* Whole lines only, and none lost without being counted. */
    assert_int_equal(bytes % 100, 0);
    for (size_t i = 0; i < bytes; i += 100, lines++)
        assert_memory_equal(got + i, line, 100);
    assert_int_equal(lines + logout_dropped_count(s.out), 5000);
    close_sink(&s);
    free(got);
}

static void a_reader_that_left_is_survived(void **state)
{
    struct sink s;

    (void)state;
    (void)signal(SIGPIPE, SIG_IGN);
    open_sink(&s, 4096);
    fd_close(&s.fds[0]);
    logout_write(s.out, "one\n", 4);
    assert_false(logout_flush(s.out));
    logout_write(s.out, "two\n", 4);
    assert_false(logout_flush(s.out));
    assert_int_equal(logout_dropped_count(s.out), 1);
    logout_finish(s.out, 100);
    close_sink(&s);
}

static void finish_is_bounded(void **state)
{
    struct sink s;
    char line[4096];
    uint64_t begin_ms = clock_mono_ms();

    (void)state;
    open_sink(&s, 1 << 20);
    memset(line, 'y', sizeof line);
    for (int i = 0; i < 200; i++)
        logout_write(s.out, line, sizeof line);
    logout_finish(s.out, 50);
    assert_in_range(clock_mono_ms() - begin_ms, 45, 5000);
    assert_false(logout_is_empty(s.out));
    close_sink(&s);
}

static void a_full_disk_is_not_hammered(void **state)
{
    const int fd = open("/dev/full", O_WRONLY | O_CLOEXEC);
    struct logout *out = logout_new(fd, 4096);
    struct rusage before, after;
    (void)state;
    assert_true(fd >= 0 && out != NULL);
    assert_false(logout_is_out_of_space(out));
    logout_write(out, "one\n", 4);
    assert_true(logout_flush(out));
    assert_true(logout_is_out_of_space(out));
    assert_int_equal(logout_queued_bytes(out), 4); /* kept for when there is space again */
    getrusage(RUSAGE_SELF, &before);
    logout_finish(out, 100);
    getrusage(RUSAGE_SELF, &after);
    assert_in_range(after.ru_nvcsw - before.ru_nvcsw, 1, 20); /* it sleeps between its tries */
    logout_free(out);
    close(fd);
}

static void lines_are_split_and_prefixed(void **state)
{
    static const struct childline_style node_text = {
        .format = LOG_FMT_TEXT, .role = "op-node", .prefix = "[op-node] ", .level = LOG_INFO};
    struct sink s;
    struct logpipe p;
    char got[256];
    int fd;

    (void)state;
    open_sink(&s, 4096);
    assert_int_equal(logpipe_open(&p, s.out, &node_text, NULL, &fd), 0);
    assert_int_equal(write(fd, "one\ntw", 6), 6);
    assert_true(logpipe_read(&p, 1 << 20));
    assert_int_equal(write(fd, "o\n\nthree", 8), 8);
    assert_true(logpipe_read(&p, 1 << 20));
    (void)logout_flush(s.out);
    (void)take(&s, got, sizeof got);
    assert_string_equal(got, "[op-node] one\n[op-node] two\n[op-node] \n");
    assert_string_equal(p.last, "two");
    fd_close(&fd);
    assert_false(logpipe_read(&p, 1 << 20));
    logpipe_close(&p);
    (void)logout_flush(s.out);
    (void)take(&s, got, sizeof got);
    assert_string_equal(got, "[op-node] three\n");
    assert_string_equal(p.last, "three");
    logpipe_close(&p);
    close_sink(&s);
}

static void a_long_line_comes_in_pieces(void **state)
{
    struct sink s;
    struct logpipe p;
    static char text[3 * LOGPIPE_LINE_MAX_BYTES];
    static char got[8 * LOGPIPE_LINE_MAX_BYTES];
    size_t xs = 0, n;
    int fd;

    (void)state;
    open_sink(&s, sizeof got);
    assert_int_equal(logpipe_open(&p, s.out, &as_it_is, NULL, &fd), 0);
    memset(text, 'x', sizeof text - 1);
    text[sizeof text - 1] = '\n';
    assert_int_equal(write(fd, text, sizeof text), sizeof text);
    while (xs < sizeof text - 1) {
        size_t before = xs;
        assert_true(logpipe_read(&p, 5000)); /* the budget ends inside a line, too */
        (void)logout_flush(s.out);
        n = take(&s, got, sizeof got);
        for (size_t i = 0; i < n; i++)
            xs += got[i] == 'x';
        assert_true(xs > before || n == 0);
    }
    assert_int_equal(xs, sizeof text - 1);
    assert_true(strlen(p.last) < LOGPIPE_LAST_BYTES);
    fd_close(&fd);
    logpipe_close(&p);
    close_sink(&s);
}

static void a_flood_is_always_read(void **state)
{
    struct sink s;
    struct logpipe p;
    char line[128];
    int fd;

    (void)state;
    open_sink(&s, 4096); /* full at once, and never flushed */
    assert_int_equal(logpipe_open(&p, s.out, &as_it_is, NULL, &fd), 0);
    memset(line, 'z', sizeof line);
    line[sizeof line - 1] = '\n';
    /* The pipe would block the writer long before, were it not read. */
    for (int i = 0; i < 100000; i++) {
        assert_int_equal(write(fd, line, sizeof line), sizeof line);
        if (i % 256 == 0)
            assert_true(logpipe_read(&p, 1 << 20));
    }
    fd_close(&fd);
    logpipe_close(&p);
    assert_int_equal(logout_dropped_count(s.out), 100000 - 4096 / 128);
    close_sink(&s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_blocked_reader_costs_lines_and_no_time),
        cmocka_unit_test(a_reader_that_left_is_survived),
        cmocka_unit_test(finish_is_bounded),
        cmocka_unit_test(a_full_disk_is_not_hammered),
        cmocka_unit_test(lines_are_split_and_prefixed),
        cmocka_unit_test(a_long_line_comes_in_pieces),
        cmocka_unit_test(a_flood_is_always_read),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
