/* The frame that carries op-node's lines: what goes in comes out, and what nobody made is refused. */
#include "shared/base/err.h"
#include "shared/proto/node_log.h"
#include "testing.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static bool put(struct msg_node_log_result *m, enum node_log_kind kind, const char *text, size_t len)
{
    const struct node_log_line line = {.wall_ms = 1000 + m->line_count, .kind = kind, .len = len};
    char *to = node_log_add(m, &line);

    if (to && len > 0)
        memcpy(to, text, len);
    return to != NULL;
}

/* Returns the number of lines, or the error. */
static int read_all(const struct msg_node_log_result *m)
{
    struct node_log_line line;
    size_t offset = 0;
    int rc, count = 0;

    while ((rc = node_log_next(m, &offset, (uint32_t)count, &line)) > 0)
        count++;
    return rc < 0 ? rc : count;
}

static void lines_come_out_as_they_went_in(void **state)
{
    static const struct {
        const char *text;
        size_t len;
        enum node_log_kind kind;
    } rows[] = {
        {"one", 3, NODE_LOG_LINE},
        {"", 0, NODE_LOG_LINE},
        {"\0\xff\033[", 4, NODE_LOG_LINE},
        {"process 7 started", 17, NODE_LOG_STARTED},
        {"process 7: x", 12, NODE_LOG_ENDED},
    };
    struct msg_node_log_result *m = calloc(1, sizeof *m);
    struct node_log_line line;
    size_t offset = 0;

    (void)state;
    assert_non_null(m);
    assert_int_equal(read_all(m), 0);
    m->first_sequence = 41;
    for (uint32_t i = 0; i < sizeof rows / sizeof rows[0]; i++)
        assert_true(put(m, rows[i].kind, rows[i].text, rows[i].len));
    for (uint32_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        assert_int_equal(node_log_next(m, &offset, i, &line), 1);
        assert_int_equal(line.sequence, 41 + i);
        assert_int_equal(line.wall_ms, 1000 + i);
        assert_int_equal(line.kind, rows[i].kind);
        assert_int_equal(line.len, rows[i].len);
        assert_memory_equal(line.text, rows[i].text, rows[i].len);
    }
    assert_int_equal(node_log_next(m, &offset, sizeof rows / sizeof rows[0], &line), 0);
    free(m);
}

static void a_full_frame_takes_no_more(void **state)
{
    struct msg_node_log_result *m = calloc(1, sizeof *m);
    char *text = calloc(1, NODE_LOG_FRAME_BYTES);

    (void)state;
    assert_non_null(m);
    assert_non_null(text);
    assert_false(put(m, NODE_LOG_LINE, text, NODE_LOG_LINE_MAX_BYTES + 1));
    assert_false(put(m, NODE_LOG_LINE, NULL, SIZE_MAX));
    assert_true(put(m, NODE_LOG_LINE, text, NODE_LOG_LINE_MAX_BYTES));
    assert_false(put(m, NODE_LOG_LINE, text, 0));
    assert_int_equal(m->frame_bytes, NODE_LOG_FRAME_BYTES);
    assert_int_equal(read_all(m), 1);
    free(text);
    free(m);
}

/* Each row spoils four bytes of a frame of the lines "abc" and "" somewhere. */
static void what_is_no_frame_is_refused(void **state)
{
    enum { KIND = 8, LEN = 12, SECOND = NODE_LOG_LINE_HEAD_BYTES + 3 };
    static const struct {
        const char *what;
        size_t at; /* in the frame */
        uint32_t value;
        uint32_t more_bytes, more_lines; /* added to what the message says */
    } rows[] = {
        {"a text that reaches into the next line's head", LEN, 4, 0, 0},
        {"a text that ends behind the frame", LEN, 100, 0, 0},
        {"the longest length there is", LEN, UINT32_MAX, 0, 0},
        {"a text that is too short for what follows", LEN, 2, 0, 0},
        {"an unknown kind", KIND, NODE_LOG_KIND_COUNT, 0, 0},
        {"the last text ends behind the frame", SECOND + LEN, 1, 0, 0},
        {"more bytes than lines", LEN, 3, 1, 0},
        {"more lines than bytes", LEN, 3, 0, 1},
        {"fewer lines than bytes", LEN, 3, 0, UINT32_MAX},
        {"no lines at all", LEN, 3, 0, (uint32_t)-2},
        {"fewer bytes than a line's head", LEN, 3, (uint32_t)-1, 0},
        {"more bytes than there can be", LEN, 3, NODE_LOG_FRAME_BYTES, 0},
    };

    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct msg_node_log_result *m = calloc(1, sizeof *m); /* of its own: overruns are seen */

        assert_non_null(m);
        assert_true(put(m, NODE_LOG_LINE, "abc", 3));
        assert_true(put(m, NODE_LOG_LINE, "", 0));
        assert_int_equal(read_all(m), 2);
        memcpy(m->frame + rows[i].at, &rows[i].value, sizeof rows[i].value);
        m->frame_bytes += rows[i].more_bytes;
        m->line_count += rows[i].more_lines;
        if (read_all(m) != OC_EPROTO)
            fail_msg("taken for a frame: %s", rows[i].what);
        free(m);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(lines_come_out_as_they_went_in),
        cmocka_unit_test(a_full_frame_takes_no_more),
        cmocka_unit_test(what_is_no_frame_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
