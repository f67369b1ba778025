/* What is kept of a process's output for the report of its exit. */
#include "shared/base/fd.h"
#include "supervisor/logout.h"
#include "supervisor/logpipe.h"
#include "testing.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static const struct childline_style style = {.format = LOG_FMT_LOGFMT, .role = "op-node", .prefix = ""};

/* The last words of a process that wrote `text` and ended. */
static void say(const char *text, char *ret, size_t size)
{
    int null_fd = open("/dev/null", O_WRONLY | O_CLOEXEC), fd = -1;
    struct logout *out = logout_new(null_fd, 1 << 20);
    struct logpipe pipe;

    assert_non_null(out);
    assert_int_equal(logpipe_open(&pipe, out, &style, NULL, &fd), 0);
    assert_int_equal(fd_write_all(fd, text, strlen(text)), 0);
    fd_close(&fd);
    logpipe_close(&pipe);
    logpipe_last_words(&pipe, ret, size);
    logout_free(out);
    fd_close(&null_fd);
}

static void short_outputs_are_kept_whole(void **state)
{
    static const struct {
        const char *said, *want;
    } rows[] = {
        {"", ""},
        {"\n\n\r\n", ""},
        {"one\n", "one"},
        {"one\ntwo\n\nthree", "one\ntwo\nthree"}, /* the last line was not ended */
        {"windows\r\nline\r\n", "windows\nline"},
        {"panic: it is in the last lines anyway\nmain.go:1\n", "panic: it is in the last lines anyway\nmain.go:1"},
    };
    char got[512];

    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        say(rows[i].said, got, sizeof got);
        assert_string_equal(got, rows[i].want);
    }
}

static char *numbered_lines(const char *first, unsigned count)
{
    char *text = calloc(1, 200 + (size_t)count * 20);
    size_t used;

    assert_non_null(text);
    used = (size_t)sprintf(text, "%s", first);
    for (unsigned i = 0; i < count; i++)
        used += (size_t)sprintf(text + used, "line %04u\n", i);
    return text;
}

static void of_much_the_newest_lines_are_kept(void **state)
{
    char *text = numbered_lines("", 1000);
    char got[512];

    (void)state;
    say(text, got, sizeof got);
    /* Whole lines, as many as there is room for. */
    assert_int_equal(strlen(got), LOGPIPE_TAIL_BYTES / 10 * 10 - 1);
    assert_int_equal(strncmp(got, "line 0969\nline 0970\n", 20), 0);
    assert_string_equal(got + strlen(got) - 9, "line 0999");
    free(text);
}

static void the_headline_of_a_crash_survives_what_follows(void **state)
{
    static const char *const headlines[] = {
        "panic: runtime error: index out of range\n",
        "fatal error: all goroutines are asleep - deadlock!\n",
        "unexpected fault address 0x7f\n",
        "crashed: signal 11 at address 0x0, build v1, frames 0x1\n",
    };
    char got[512];

    (void)state;
    for (size_t i = 0; i < sizeof headlines / sizeof headlines[0]; i++) {
        char *text = numbered_lines(headlines[i], 500);

        say(text, got, sizeof got);
        assert_int_equal(strncmp(got, headlines[i], strlen(headlines[i])), 0);
        assert_string_equal(got + strlen(got) - 9, "line 0499");
        free(text);
    }
    say("a line about panic: is none\n", got, sizeof got);
    assert_string_equal(got, "a line about panic: is none");
}

static void long_lines_are_cut_and_leave_room(void **state)
{
    char *text = malloc(30000);
    char got[512], small[8];

    (void)state;
    assert_non_null(text);
    memset(text, 'x', 20000);
    (void)snprintf(text + 20000, 10000, "\nthe end\n");
    say(text, got, sizeof got);
    assert_string_equal(got + strlen(got) - 8, "\nthe end");
    assert_int_equal(got[0], 'x');
    say(text, small, sizeof small);
    assert_string_equal(small, "xxxxxxx");
    free(text);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(short_outputs_are_kept_whole),
        cmocka_unit_test(of_much_the_newest_lines_are_kept),
        cmocka_unit_test(the_headline_of_a_crash_survives_what_follows),
        cmocka_unit_test(long_lines_are_cut_and_leave_room),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
