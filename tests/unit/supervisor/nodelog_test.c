/* What is kept of op-node's output: order, bounds, cursors. */
#include "shared/base/fd.h"
#include "shared/proto/node_log.h"
#include "supervisor/logpipe.h"
#include "supervisor/nodelog.h"
#include "testing.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define INSTANCE 77

static struct msg_node_log_result result;

static void add_numbered(struct nodelog *l, unsigned from, unsigned to)
{
    char text[32];

    for (unsigned i = from; i <= to; i++)
        nodelog_add_line(l, i, text, (size_t)snprintf(text, sizeof text, "line %u\n", i));
}

static void ask(const struct nodelog *l, uint64_t after, bool newest, uint32_t limit)
{
    const struct msg_node_log m = {.after = after, .is_newest = newest, .line_limit = limit};

    nodelog_answer(l, &m, &result);
    assert_int_equal(result.rc, 0);
    assert_int_equal(result.instance, INSTANCE);
}

/* The answer's line at `index` as a text of its own. */
static const char *text_at(uint32_t index, struct node_log_line *ret)
{
    static char text[NODELOG_LINE_MAX_BYTES + 1];
    size_t offset = 0;

    for (uint32_t i = 0; i <= index; i++)
        assert_int_equal(node_log_next(&result, &offset, i, ret), 1);
    memcpy(text, ret->text, ret->len);
    text[ret->len] = '\0';
    return text;
}

static void assert_numbered(unsigned first, unsigned count)
{
    struct node_log_line line;
    char want[32];

    assert_int_equal(result.line_count, count);
    for (unsigned i = 0; i < count; i++) {
        (void)snprintf(want, sizeof want, "line %u", first + i);
        assert_string_equal(text_at(i, &line), want);
        assert_int_equal(line.sequence, first + i);
        assert_int_equal(line.wall_ms, first + i);
    }
}

static void cursors(void **state)
{
    static const struct {
        uint64_t after;
        bool newest;
        uint32_t limit;
        unsigned first, count; /* wanted */
    } rows[] = {
        {0, false, 100, 1, 20},  {0, false, 5, 1, 5},           {7, false, 3, 8, 3},           {19, false, 100, 20, 1},
        {20, false, 100, 21, 0}, {21, false, 100, 21, 0},       {UINT64_MAX, false, 9, 21, 0}, {0, true, 3, 18, 3},
        {15, true, 3, 18, 3},    {0, true, 20, 1, 20},          {0, true, UINT32_MAX, 1, 20},  {0, true, 0, 21, 0},
        {3, false, 0, 4, 0},     {5, false, UINT32_MAX, 6, 15},
    };
    struct nodelog *l = nodelog_new(INSTANCE);

    (void)state;
    assert_non_null(l);
    ask(l, 0, false, 10);
    assert_int_equal(result.line_count, 0);
    assert_int_equal(result.next_sequence, 1);
    add_numbered(l, 1, 20);
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        ask(l, rows[i].after, rows[i].newest, rows[i].limit);
        assert_numbered(rows[i].first, rows[i].count);
        assert_int_equal(result.first_sequence, rows[i].first);
        assert_int_equal(result.next_sequence, 21);
    }
    nodelog_free(l);
}

static void the_oldest_lines_fall_out(void **state)
{
    const unsigned count = 3 * NODELOG_LINES + 7;
    struct nodelog *l = nodelog_new(INSTANCE);

    (void)state;
    assert_non_null(l);
    add_numbered(l, 1, count);
    ask(l, 5, false, 4); /* a cursor that is older than everything */
    assert_numbered(count - NODELOG_LINES + 1, 4);
    ask(l, 0, true, UINT32_MAX); /* more than one answer holds */
    assert_int_equal(result.first_sequence, count - NODELOG_LINES + 1);
    assert_in_range(result.line_count, 100, NODELOG_LINES - 1);
    ask(l, count - 1, false, 4);
    assert_numbered(count, 1);
    nodelog_free(l);
}

/* Lines of all lengths, many times round: each that is kept comes out whole, and they never take more than there is. */
static void texts_go_round(void **state)
{
    struct nodelog *l = nodelog_new(INSTANCE);
    char *text = malloc(NODELOG_LINE_MAX_BYTES);
    const unsigned count = 1000;
    size_t lens[1001], kept = 0;
    uint64_t at;

    (void)state;
    assert_non_null(l);
    assert_non_null(text);
    for (unsigned i = 1; i <= count; i++) {
        lens[i] = i * 7919 % NODELOG_LINE_MAX_BYTES;
        memset(text, 'a' + (int)(i % 26), lens[i]);
        nodelog_add_line(l, i, text, lens[i]);
    }
    for (at = 0, ask(l, 0, false, UINT32_MAX); result.line_count > 0; ask(l, at, false, UINT32_MAX)) {
        struct node_log_line line;

        for (uint32_t i = 0; i < result.line_count; i++) {
            const char *got = text_at(i, &line);

            assert_true(at == 0 || line.sequence == at + 1);
            at = line.sequence;
            assert_int_equal(line.len, lens[at]);
            assert_int_equal(strspn(got, (const char[]){(char)('a' + at % 26), '\0'}), line.len);
            kept += line.len;
        }
    }
    assert_int_equal(at, count);
    assert_in_range(kept, NODELOG_TEXT_BYTES - NODELOG_LINE_MAX_BYTES, NODELOG_TEXT_BYTES);
    free(text);
    nodelog_free(l);
}

static void line_ends_are_left_out_and_long_lines_cut(void **state)
{
    static const struct {
        const char *text;
        size_t len;
        const char *want;
    } rows[] = {{"one\n", 4, "one"}, {"two\r\n", 5, "two"}, {"\n", 1, ""}, {"", 0, ""}, {"a\rb", 3, "a\rb"}};
    struct nodelog *l = nodelog_new(INSTANCE);
    char *text = malloc(3 * NODELOG_LINE_MAX_BYTES);
    struct node_log_line line;

    (void)state;
    assert_non_null(l);
    assert_non_null(text);
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        nodelog_add_line(l, 1, rows[i].text, rows[i].len);
        ask(l, 0, true, 1);
        assert_string_equal(text_at(0, &line), rows[i].want);
    }
    memset(text, 'x', 3 * NODELOG_LINE_MAX_BYTES);
    nodelog_add_line(l, 1, text, 3 * NODELOG_LINE_MAX_BYTES);
    ask(l, 0, true, 1);
    (void)text_at(0, &line);
    assert_int_equal(line.len, NODELOG_LINE_MAX_BYTES);
    free(text);
    nodelog_free(l);
}

static void processes_leave_their_marks(void **state)
{
    static const struct {
        const char *text;
        enum node_log_kind kind;
    } want[] = {
        {"process 12 started", NODE_LOG_STARTED},
        {"ready", NODE_LOG_LINE},
        {"process 12: ended by signal 9 (Killed)", NODE_LOG_ENDED},
        {"could not be started: op-conductor's own log tells why", NODE_LOG_STARTED},
    };
    struct nodelog *l = nodelog_new(INSTANCE);
    struct node_log_line line;

    (void)state;
    assert_non_null(l);
    nodelog_add_start(l, 5, 12);
    nodelog_add_line(l, 6, "ready\n", 6);
    nodelog_add_end(l, 7, "ended by signal 9 (Killed)");
    nodelog_add_start(l, 8, 0);
    ask(l, 0, false, 100);
    assert_int_equal(result.line_count, 4);
    for (uint32_t i = 0; i < 4; i++) {
        assert_string_equal(text_at(i, &line), want[i].text);
        assert_int_equal(line.kind, want[i].kind);
        assert_int_equal(line.wall_ms, 5 + i);
    }
    nodelog_free(l);
    /* Where there is none, nothing is kept. */
    nodelog_add_start(NULL, 1, 2);
    nodelog_add_line(NULL, 1, "x", 1);
    nodelog_add_end(NULL, 1, "x");
    nodelog_free(NULL);
}

/* From a child's pipe, beside what goes into our log: as op-node said it, whatever the log's format. */
static void a_pipe_keeps_what_it_passes_on(void **state)
{
    static const struct childline_style json = {.format = LOG_FMT_JSON, .role = "op-node", .prefix = ""};
    struct nodelog *l = nodelog_new(INSTANCE);
    struct logpipe *p = malloc(sizeof *p);
    struct node_log_line line;
    int null_fd = open("/dev/null", O_WRONLY | O_CLOEXEC), fd;
    struct logout *out = logout_new(null_fd, 4096);

    (void)state;
    assert_non_null(l);
    assert_non_null(p);
    assert_non_null(out);
    assert_int_equal(logpipe_open(p, out, &json, l, &fd), 0);
    assert_int_equal(write(fd, "{\"a\":1}\n\npan", 12), 12);
    assert_true(logpipe_read(p, 1 << 20));
    ask(l, 0, false, 100);
    assert_int_equal(result.line_count, 2);
    assert_string_equal(text_at(0, &line), "{\"a\":1}");
    assert_string_equal(text_at(1, &line), "");
    fd_close(&fd);
    logpipe_close(p);
    ask(l, 2, false, 100);
    assert_int_equal(result.line_count, 1);
    assert_string_equal(text_at(0, &line), "pan");
    logout_free(out);
    fd_close(&null_fd);
    free(p);
    nodelog_free(l);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(cursors),
        cmocka_unit_test(the_oldest_lines_fall_out),
        cmocka_unit_test(texts_go_round),
        cmocka_unit_test(line_ends_are_left_out_and_long_lines_cut),
        cmocka_unit_test(processes_leave_their_marks),
        cmocka_unit_test(a_pipe_keeps_what_it_passes_on),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
