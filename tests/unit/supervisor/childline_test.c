/* Lines of children among ours: with a JSON format each is one JSON object, whatever the child wrote. */
#include "shared/base/fd.h"
#include "supervisor/childline.h"
#include "supervisor/jsonline.h"
#include "testing.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static const struct childline_style json_style = {
    .format = LOG_FMT_JSON, .role = "op-node", .prefix = "[op-node] ", .level = LOG_WARN};

/* What childline_write makes of a line; static. */
static const char *written(const struct childline_style *style, const char *line, size_t len)
{
    static char got[CHILDLINE_MAX_BYTES * 6 + 512];
    struct logout *out;
    int fds[2];
    ssize_t n;

    assert_int_equal(pipe2(fds, O_CLOEXEC), 0);
    (void)fd_set_nonblocking(fds[0]);
    out = logout_new(fds[1], sizeof got);
    assert_non_null(out);
    childline_write(out, style, line, len);
    (void)logout_flush(out);
    n = read(fds[0], got, sizeof got - 1);
    got[n > 0 ? n : 0] = '\0';
    logout_free(out);
    fd_close(&fds[0]);
    fd_close(&fds[1]);
    return got;
}

static void one_json_object_or_not(void **state)
{
    static const struct {
        const char *text;
        enum jsonline kind;
    } rows[] = {
        {"{}", JSONLINE_EMPTY},
        {" { } ", JSONLINE_EMPTY},
        {"{\"t\":1}", JSONLINE_ANONYMOUS},
        {"{\"a\":{\"role\":1}}", JSONLINE_ANONYMOUS},
        {"{\"role\":\"x\"}", JSONLINE_NAMED},
        {"{\"a\":[],\"role\":null}", JSONLINE_NAMED},
        {"{\"a\":[1,-2.5e+3,0,true,false,null,\"\\u00e9\\n\",{\"b\":[[]]}]}", JSONLINE_ANONYMOUS},
        {"{\"a\":\"\xc3\xa9\xe2\x82\xac\xf0\x9f\x98\x80\"}", JSONLINE_ANONYMOUS},
        {"", JSONLINE_NO},
        {"x", JSONLINE_NO},
        {"[]", JSONLINE_NO},
        {"1", JSONLINE_NO},
        {"{", JSONLINE_NO},
        {"{\"a\"}", JSONLINE_NO},
        {"{\"a\":}", JSONLINE_NO},
        {"{\"a\":1,}", JSONLINE_NO},
        {"{\"a\":[1,]}", JSONLINE_NO},
        {"{\"a\":[,1]}", JSONLINE_NO},
        {"{\"a\":[}", JSONLINE_NO},
        {"{\"a\":[1}]", JSONLINE_NO},
        {"{\"a\":1 \"b\":2}", JSONLINE_NO},
        {"{a:1}", JSONLINE_NO},
        {"{\"a\":01}", JSONLINE_NO},
        {"{\"a\":1.}", JSONLINE_NO},
        {"{\"a\":+1}", JSONLINE_NO},
        {"{\"a\":truE}", JSONLINE_NO},
        {"{\"a\":\"\\x\"}", JSONLINE_NO},
        {"{\"a\":\"\\u12\"}", JSONLINE_NO},
        {"{\"a\":\"\t\"}", JSONLINE_NO},
        {"{\"a\":\"b}", JSONLINE_NO},
        {"{\"a\":\"\xff\"}", JSONLINE_NO},
        {"{\"a\":\"\xc0\x80\"}", JSONLINE_NO},
        {"{\"a\":\"\xed\xa0\x80\"}", JSONLINE_NO},
        {"{\"a\":1}{\"b\":2}", JSONLINE_NO},
        {"{\"a\":1} x", JSONLINE_NO},
    };

    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        /* In memory of its exact size, so that reading beyond it is found. */
        size_t len = strlen(rows[i].text);
        char *copy = malloc(len + 1);

        assert_non_null(copy);
        memcpy(copy, rows[i].text, len);
        copy = realloc(copy, len > 0 ? len : 1);
        assert_non_null(copy);
        if (jsonline_classify(copy, len) != rows[i].kind)
            fail_msg("row %zu: %s", i, rows[i].text);
        free(copy);
    }
}

static void nesting_has_a_limit(void **state)
{
    char text[4 * JSONLINE_DEPTH_MAX];

    (void)state;
    for (int extra = 0; extra <= 1; extra++) {
        int depth = JSONLINE_DEPTH_MAX - 1 + extra, at = snprintf(text, sizeof text, "{\"a\":");
        memset(text + at, '[', (size_t)depth);
        memset(text + at + depth, ']', (size_t)depth);
        text[at + 2 * depth] = '}';
        assert_int_equal(jsonline_classify(text, (size_t)(at + 2 * depth + 1)),
                         extra == 0 ? JSONLINE_ANONYMOUS : JSONLINE_NO);
    }
}

static void json_lines_get_a_role(void **state)
{
    (void)state;
#define WRITTEN(text) written(&json_style, (text), sizeof(text) - 1)
    assert_string_equal(WRITTEN("{\"t\":\"x\",\"lvl\":\"info\"}\n"),
                        "{\"role\":\"op-node\",\"t\":\"x\",\"lvl\":\"info\"}\n");
    assert_string_equal(WRITTEN("  {\"a\":1}\r\n"), "{\"role\":\"op-node\",\"a\":1}\n");
    assert_string_equal(WRITTEN("{}\n"), "{\"role\":\"op-node\"}\n");
    assert_string_equal(WRITTEN("{\"role\":\"mine\"}\n"), "{\"role\":\"mine\"}\n");
    assert_string_equal(WRITTEN("\n"), "");
    assert_string_equal(WRITTEN(" \t\r\n"), "");
}

static void other_lines_are_wrapped_for_json(void **state)
{
    const char *got;

    (void)state;
    got = WRITTEN("panic: \"x\"\t\x1b[31m\n");
    assert_memory_equal(got, "{\"t\":\"", 6);
    assert_non_null(strstr(got, "\"lvl\":\"warn\",\"msg\":\"panic: \\\"x\\\"\\t\\u001b[31m\",\"role\":\"op-node\"}\n"));
    assert_int_equal(jsonline_classify(got, strlen(got)), JSONLINE_NAMED);
    got = WRITTEN("a\0b\xff\n");
    assert_non_null(strstr(got, "\"msg\":\"a b\\ufffd\""));
    /* A broken object, and one whose end is missing. */
    got = WRITTEN("{\"a\":\n");
    assert_non_null(strstr(got, "\"msg\":\"{\\\"a\\\":\""));
}

static void a_logfmt_line_keeps_its_level(void **state)
{
    (void)state;
    assert_non_null(
        strstr(WRITTEN("t=2026-01-02T03:04:05+0000 lvl=error msg=x\n"), "\"lvl\":\"error\",\"msg\":\"t=2026"));
    assert_non_null(strstr(WRITTEN("t=2026-01-02T03:04:05+0000 lvl=dbug\n"), "\"lvl\":\"debug\""));
    /* Not at its place, not a level, too long to be one. */
    assert_non_null(strstr(WRITTEN("x lvl=error msg=x\n"), "\"lvl\":\"warn\""));
    assert_non_null(strstr(WRITTEN("t=2026 lvl=loud msg=x\n"), "\"lvl\":\"warn\""));
    assert_non_null(strstr(WRITTEN("t=2026 lvl=errorerrorerror\n"), "\"lvl\":\"warn\""));
}

static void the_longest_and_worst_line_fits(void **state)
{
    static char line[CHILDLINE_MAX_BYTES];
    const char *got;

    (void)state;
    memset(line, '\x01', sizeof line);
    line[sizeof line - 1] = '\n';
    got = written(&json_style, line, sizeof line);
    assert_true(strlen(got) > 6 * (sizeof line - 1));
    assert_int_equal(jsonline_classify(got, strlen(got)), JSONLINE_NAMED);
}

static void other_formats_take_a_prefix(void **state)
{
    static const enum log_format formats[] = {LOG_FMT_TEXT, LOG_FMT_TERMINAL, LOG_FMT_LOGFMT, LOG_FMT_LOGFMTMS};

    (void)state;
    for (size_t i = 0; i < sizeof formats / sizeof formats[0]; i++) {
        struct childline_style style = json_style;

        style.format = formats[i];
        assert_string_equal(written(&style, "{\"a\":1}\n", 8), "[op-node] {\"a\":1}\n");
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(one_json_object_or_not),          cmocka_unit_test(nesting_has_a_limit),
        cmocka_unit_test(json_lines_get_a_role),           cmocka_unit_test(other_lines_are_wrapped_for_json),
        cmocka_unit_test(the_longest_and_worst_line_fits), cmocka_unit_test(other_formats_take_a_prefix),
        cmocka_unit_test(a_logfmt_line_keeps_its_level),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
