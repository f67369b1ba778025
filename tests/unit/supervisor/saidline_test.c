/* What is left of a log line when it becomes part of another one. */
#include "supervisor/saidline.h"
#include "testing.h"

static void check(const char *line, const char *expected)
{
    char text[256];

    saidline_extract(line, text, sizeof text);
    assert_string_equal(text, expected);
}

static void every_format_gives_the_same_sentence(void **state)
{
    static const char sentence[] = "The raft storage is damaged: /data: \"x\" is gone, add it anew";

    (void)state;
    check("t=2026-11-23T02:09:35+0000 lvl=crit msg=\"The raft storage is damaged\" role=consensus dir=/data "
          "reason=\"/data: \\\"x\\\" is gone, add it anew\"",
          sentence);
    check("{\"t\":\"2026-11-23T02:09:35Z\",\"lvl\":\"crit\",\"msg\":\"The raft storage is damaged\",\"n\":3,"
          "\"reason\":\"/data: \\\"x\\\" is gone, add it anew\"}",
          sentence);
    check("CRIT [11-23|02:09:35.123] The raft storage is damaged              role=consensus dir=/data "
          "reason=\"/data: \\\"x\\\" is gone, add it anew\"",
          sentence);
    check("\033[35mCRIT\033[0m [11-23|02:09:35.123] The raft storage is damaged              \033[35mdir\033[0m=/data "
          "reason=\"/data: \\\"x\\\" is gone, add it anew\"",
          sentence);
}

static void the_reason_comes_before_the_error_code(void **state)
{
    (void)state;
    check("t=1 lvl=crit msg=Stops err=\"I/O error\" reason=\"segment 7\"", "Stops: segment 7");
    check("t=1 lvl=crit msg=Stops reason=\"segment 7\" err=\"I/O error\"", "Stops: segment 7");
    check("t=1 lvl=crit msg=Stops err=broken", "Stops: broken");
    check("t=1 lvl=info msg=Stops", "Stops");
    /* What looks like a pair inside a value is none. */
    check("t=1 lvl=info msg=\"it said reason=none\" role=x", "it said reason=none");
}

static void other_lines_stay_as_they_are(void **state)
{
    (void)state;
    check("", "");
    check("op-conductor-rpcd: error: cannot greet op-conductor: reason=x", "op-conductor-rpcd: error: cannot greet "
                                                                           "op-conductor: reason=x");
    check("panic: runtime error: index out of range", "panic: runtime error: index out of range");
    check("two\nlines", "two lines");
    check("[a] b", "[a] b");
    check("{\"a\":1", "{\"a\":1");
}

static void cut_lines_and_small_places(void **state)
{
    char text[8];

    (void)state;
    check("t=1 lvl=crit msg=Stops reason=\"cut in the mid", "Stops: cut in the mid");
    check("t=1 lvl=crit msg=\"cut \\", "cut \\");
    saidline_extract("t=1 lvl=crit msg=Stops reason=here", text, sizeof text);
    assert_string_equal(text, "Stops: ");
    saidline_extract("anything", text, 1);
    assert_string_equal(text, "");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_format_gives_the_same_sentence),
        cmocka_unit_test(the_reason_comes_before_the_error_code),
        cmocka_unit_test(other_lines_stay_as_they_are),
        cmocka_unit_test(cut_lines_and_small_places),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
