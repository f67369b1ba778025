/* Log lines: golden lines of all formats, quoting and cutting. */
#include "testing.h"

#include "shared/base/err.h"
#include "shared/base/log.h"

#include <cjson/cJSON.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

/* 2024-10-25T01:02:03.123456789Z */
#define WHEN_NS UINT64_C(1729818123123456789)

static void set_zone(const char *zone)
{
    assert_int_equal(setenv("TZ", zone, 1), 0);
    tzset();
}

static const char *format(const struct log_options *options, uint64_t wall_ns, enum log_level level, const char *msg,
                          const struct log_attr *attrs, size_t n_attrs)
{
    static char line[LOG_LINE_MAX_BYTES + 1];
    size_t len = log_format_line(line, LOG_LINE_MAX_BYTES, options, wall_ns, level, msg, attrs, n_attrs);

    assert_true(len > 0 && len <= LOG_LINE_MAX_BYTES);
    assert_int_equal(line[len - 1], '\n');
    assert_null(memchr(line, '\n', len - 1));
    line[len - 1] = '\0';
    return line;
}

static void golden_lines(void **state)
{
    const struct log_attr attrs[] = {LOG_S("server", "seq-0"), LOG_B("leader", true)};
    static const struct {
        enum log_format format;
        bool color;
        const char *zone;
        const char *line;
    } cases[] = {
        {LOG_FMT_TEXT, false, "UTC",
         "t=2024-10-25T01:02:03+0000 lvl=info msg=\"Leadership status changed\" server=seq-0 leader=true"},
        {LOG_FMT_LOGFMT, false, "UTC",
         "t=2024-10-25T01:02:03+0000 lvl=info msg=\"Leadership status changed\" server=seq-0 leader=true"},
        {LOG_FMT_LOGFMT, true, "UTC",
         "t=2024-10-25T01:02:03+0000 lvl=info msg=\"Leadership status changed\" server=seq-0 leader=true"},
        {LOG_FMT_LOGFMT, false, "XXX-5:30",
         "t=2024-10-25T06:32:03+0530 lvl=info msg=\"Leadership status changed\" server=seq-0 leader=true"},
        {LOG_FMT_LOGFMT, false, "XXX8",
         "t=2024-10-24T17:02:03-0800 lvl=info msg=\"Leadership status changed\" server=seq-0 leader=true"},
        {LOG_FMT_LOGFMTMS, false, "UTC",
         "t=2024-10-25T01:02:03.123+0000 lvl=info msg=\"Leadership status changed\" server=seq-0 leader=true"},
        {LOG_FMT_JSON, false, "UTC",
         "{\"t\":\"2024-10-25T01:02:03.123456789Z\",\"lvl\":\"info\",\"msg\":\"Leadership status changed\","
         "\"server\":\"seq-0\",\"leader\":true}"},
        {LOG_FMT_JSONMS, true, "UTC",
         "{\"t\":\"2024-10-25T01:02:03.123456789Z\",\"lvl\":\"info\",\"msg\":\"Leadership status changed\","
         "\"server\":\"seq-0\",\"leader\":true}"},
        {LOG_FMT_JSON, false, "XXX-5:30",
         "{\"t\":\"2024-10-25T06:32:03.123456789+05:30\",\"lvl\":\"info\",\"msg\":\"Leadership status changed\","
         "\"server\":\"seq-0\",\"leader\":true}"},
        {LOG_FMT_TERMINAL, false, "UTC",
         "INFO [10-25|01:02:03.123] Leadership status changed                server=seq-0 leader=true"},
        {LOG_FMT_TERMINAL, true, "UTC",
         "\x1b[32mINFO \x1b[0m[10-25|01:02:03.123] Leadership status changed                "
         "\x1b[32mserver\x1b[0m=seq-0 \x1b[32mleader\x1b[0m=true"},
        {LOG_FMT_TEXT, true, "UTC",
         "\x1b[32mINFO \x1b[0m[10-25|01:02:03.123] Leadership status changed                "
         "\x1b[32mserver\x1b[0m=seq-0 \x1b[32mleader\x1b[0m=true"},
    };

    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        const struct log_options options = {.format = cases[i].format, .color = cases[i].color};
        set_zone(cases[i].zone);
        assert_string_equal(format(&options, WHEN_NS, LOG_INFO, "Leadership status changed", attrs, 2), cases[i].line);
    }
    set_zone("UTC");
}

static void levels(void **state)
{
    static const struct {
        const char *logfmt, *terminal, *color;
    } want[LOG_LEVEL_COUNT] = {
        {"trace", "TRACE", "\x1b[34m"}, {"debug", "DEBUG", "\x1b[36m"}, {"info", "INFO ", "\x1b[32m"},
        {"warn", "WARN ", "\x1b[33m"},  {"error", "ERROR", "\x1b[31m"}, {"crit", "CRIT ", "\x1b[35m"},
    };
    char expected[128];

    (void)state;
    for (int level = 0; level < LOG_LEVEL_COUNT; level++) {
        struct log_options options = {.format = LOG_FMT_LOGFMT};
        (void)snprintf(expected, sizeof expected, "t=2024-10-25T01:02:03+0000 lvl=%s msg=started", want[level].logfmt);
        assert_string_equal(format(&options, WHEN_NS, (enum log_level)level, "started", NULL, 0), expected);
        options.format = LOG_FMT_TERMINAL;
        (void)snprintf(expected, sizeof expected, "%s[10-25|01:02:03.123] started", want[level].terminal);
        assert_string_equal(format(&options, WHEN_NS, (enum log_level)level, "started", NULL, 0), expected);
        options.color = true;
        (void)snprintf(expected, sizeof expected, "%s%s\x1b[0m[10-25|01:02:03.123] started", want[level].color,
                       want[level].terminal);
        assert_string_equal(format(&options, WHEN_NS, (enum log_level)level, "started", NULL, 0), expected);
    }
}

static void values_of_every_kind(void **state)
{
    uint8_t hash[32];
    for (size_t i = 0; i < sizeof hash; i++)
        hash[i] = (uint8_t)(i * 9);
#define HASH_TEXT "0x0009121b242d363f48515a636c757e879099a2abb4bdc6cfd8e1eaf3fc050e17"
    const struct {
        struct log_attr attr;
        const char *logfmt, *json, *terminal;
    } cases[] = {
        {LOG_U("v", 0), "v=0", "\"v\":0", "v=0"},
        {LOG_U("v", 99999), "v=99999", "\"v\":99999", "v=99999"},
        {LOG_U("v", 100000), "v=100000", "\"v\":100000", "v=100,000"},
        {LOG_U("v", UINT64_MAX), "v=18446744073709551615", "\"v\":18446744073709551615",
         "v=18,446,744,073,709,551,615"},
        {LOG_I("v", -1), "v=-1", "\"v\":-1", "v=-1"},
        {LOG_I("v", -1234567), "v=-1234567", "\"v\":-1234567", "v=-1,234,567"},
        {LOG_I("v", INT64_MIN), "v=-9223372036854775808", "\"v\":-9223372036854775808", "v=-9,223,372,036,854,775,808"},
        {LOG_B("v", false), "v=false", "\"v\":false", "v=false"},
        {LOG_HASH("v", hash), "v=" HASH_TEXT, "\"v\":\"" HASH_TEXT "\"", "v=" HASH_TEXT},
        {LOG_E(OC_EFULL), "err=\"the queue is full\"", "\"err\":\"the queue is full\"", "err=\"the queue is full\""},
        {LOG_E(-ENOENT), "err=\"No such file or directory\"", "\"err\":\"No such file or directory\"",
         "err=\"No such file or directory\""},
        {LOG_S("v", NULL), "v=\"\"", "\"v\":\"\"", "v="},
        {LOG_S("v", ""), "v=\"\"", "\"v\":\"\"", "v="},
        {LOG_S("v", "plain-1.2:3/x"), "v=plain-1.2:3/x", "\"v\":\"plain-1.2:3/x\"", "v=plain-1.2:3/x"},
        {LOG_S("v", "two words"), "v=\"two words\"", "\"v\":\"two words\"", "v=\"two words\""},
        {LOG_S("v", "a=b"), "v=\"a=b\"", "\"v\":\"a=b\"", "v=\"a=b\""},
        {LOG_S("v", "say \"no\""), "v=\"say \\\"no\\\"\"", "\"v\":\"say \\\"no\\\"\"", "v=\"say \\\"no\\\"\""},
        {LOG_S("v", "c:\\x"), "v=c:\\x", "\"v\":\"c:\\\\x\"", "v=c:\\x"},
        {LOG_S("v", "c:\\x y"), "v=\"c:\\\\x y\"", "\"v\":\"c:\\\\x y\"", "v=\"c:\\x y\""},
        {LOG_S("v", "hey!"), "v=hey!", "\"v\":\"hey!\"", "v=\"hey!\""},
        {LOG_S("v", "a\nb\t\x01"), "v=\"a\\nb\\t\\x01\"", "\"v\":\"a\\nb\\t\\u0001\"", "v=\"a\\nb\\t\\x01\""},
        {LOG_S("v", "\x7f"), "v=\x7f", "\"v\":\"\x7f\"", "v=\"\\x7f\""},
        {LOG_S("v", "\x1b[31m"), "v=\"\\x1b[31m\"", "\"v\":\"\\u001b[31m\"", "v=\"\\x1b[31m\""},
        {LOG_S("v", "Z\xc3\xbcrich"), "v=Z\xc3\xbcrich", "\"v\":\"Z\xc3\xbcrich\"", "v=\"Z\xc3\xbcrich\""},
        {LOG_S("v", "\xf0\x9f\x9a\x80"), "v=\xf0\x9f\x9a\x80", "\"v\":\"\xf0\x9f\x9a\x80\"", "v=\"\xf0\x9f\x9a\x80\""},
        {LOG_S("v", "\xc2\xa0"), "v=\"\\u00a0\"", "\"v\":\"\xc2\xa0\"", "v=\"\\u00a0\""},
        {LOG_S("v", "\xe2\x80\xa8"), "v=\"\\u2028\"", "\"v\":\"\\u2028\"", "v=\"\\u2028\""},
        /* Not UTF-8: a stray byte, an overlong slash, a surrogate, a cut character. */
        {LOG_S("v", "a\xff"), "v=\"a\\xff\"", "\"v\":\"a\\ufffd\"", "v=\"a\\xff\""},
        {LOG_S("v", "\xc0\xaf"), "v=\"\\xc0\\xaf\"", "\"v\":\"\\ufffd\\ufffd\"", "v=\"\\xc0\\xaf\""},
        {LOG_S("v", "\xed\xa0\x80"), "v=\"\\xed\\xa0\\x80\"", "\"v\":\"\\ufffd\\ufffd\\ufffd\"",
         "v=\"\\xed\\xa0\\x80\""},
        {LOG_S("v", "x\xe2\x82"), "v=\"x\\xe2\\x82\"", "\"v\":\"x\\ufffd\\ufffd\"", "v=\"x\\xe2\\x82\""},
    };

    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct log_options options = {.format = LOG_FMT_LOGFMT};
        const char *line = format(&options, WHEN_NS, LOG_INFO, "m", &cases[i].attr, 1);
        assert_string_equal(strstr(line, "msg=m ") + 6, cases[i].logfmt);

        options.format = LOG_FMT_TERMINAL;
        line = format(&options, WHEN_NS, LOG_INFO, "m", &cases[i].attr, 1);
        assert_string_equal(strstr(line, "] m") + 2 + 40 + 1, cases[i].terminal);

        char json[200];
        options.format = LOG_FMT_JSON;
        line = format(&options, WHEN_NS, LOG_INFO, "m", &cases[i].attr, 1);
        (void)snprintf(json, sizeof json, "%s}", cases[i].json);
        assert_string_equal(strstr(line, "\"msg\":\"m\",") + 10, json);
    }
}

static void messages_are_quoted_as_needed(void **state)
{
    static const struct {
        enum log_format format;
        const char *msg, *want;
    } cases[] = {
        {LOG_FMT_LOGFMT, "one\ntwo", "t=2024-10-25T01:02:03+0000 lvl=warn msg=\"one\\ntwo\""},
        {LOG_FMT_LOGFMT, "", "t=2024-10-25T01:02:03+0000 lvl=warn msg=\"\""},
        {LOG_FMT_TERMINAL, "one\ntwo", "WARN [10-25|01:02:03.123] \"one\\ntwo\""},
        {LOG_FMT_TERMINAL, "a=b", "WARN [10-25|01:02:03.123] \"a=b\""},
        {LOG_FMT_TERMINAL, "Hello, world!", "WARN [10-25|01:02:03.123] Hello, world!"},
    };

    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        const struct log_options options = {.format = cases[i].format};
        assert_string_equal(format(&options, WHEN_NS, LOG_WARN, cases[i].msg, NULL, 0), cases[i].want);
    }
}

static void json_fractions_have_no_trailing_zeros(void **state)
{
    static const struct {
        uint64_t nanos;
        const char *time;
    } cases[] = {{0, "01:02:03Z\""}, {120000000, "01:02:03.12Z\""}, {1000, "01:02:03.000001Z\""}, {7, ".000000007Z\""}};
    const struct log_options options = {.format = LOG_FMT_JSON};

    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        const char *line = format(&options, WHEN_NS / 1000000000 * 1000000000 + cases[i].nanos, LOG_INFO, "m", NULL, 0);
        assert_non_null(strstr(line, cases[i].time));
    }
}

static void pid_and_role_come_first(void **state)
{
    const struct log_attr attr = LOG_U("n", 1);
    struct log_options options = {.format = LOG_FMT_LOGFMT, .with_pid = true, .role = "consensus"};
    char expected[200];

    (void)state;
    (void)snprintf(expected, sizeof expected, "t=2024-10-25T01:02:03+0000 lvl=info msg=m pid=%d role=consensus n=1",
                   (int)getpid());
    assert_string_equal(format(&options, WHEN_NS, LOG_INFO, "m", &attr, 1), expected);
    options.format = LOG_FMT_JSON;
    (void)snprintf(expected, sizeof expected, "\"msg\":\"m\",\"pid\":%d,\"role\":\"consensus\",\"n\":1}",
                   (int)getpid());
    assert_non_null(strstr(format(&options, WHEN_NS, LOG_INFO, "m", &attr, 1), expected));
}

static void terminal_columns_line_up(void **state)
{
    const struct log_options options = {.format = LOG_FMT_TERMINAL};
    char wide[42];
    struct log_attr attrs[] = {LOG_S("column", "abcdef"), LOG_S("after", "x")};

    (void)state;
    assert_non_null(strstr(format(&options, WHEN_NS, LOG_INFO, "m", attrs, 2), " column=abcdef after=x"));
    attrs[0].value.str = "ab";
    assert_non_null(strstr(format(&options, WHEN_NS, LOG_INFO, "m", attrs, 2), " column=ab     after=x"));
    /* Characters count, not bytes; the last value is never padded; 40 is the widest remembered. */
    attrs[0].value.str = "\xc3\xa4";
    assert_non_null(strstr(format(&options, WHEN_NS, LOG_INFO, "m", attrs, 2), " column=\"\xc3\xa4\"    after=x"));
    attrs[0].value.str = "ab";
    assert_string_equal(strstr(format(&options, WHEN_NS, LOG_INFO, "m", attrs, 1), "column="), "column=ab");
    memset(wide, 'w', 41);
    wide[41] = '\0';
    attrs[0].value.str = wide;
    (void)format(&options, WHEN_NS, LOG_INFO, "m", attrs, 2);
    attrs[0].value.str = "ab";
    assert_non_null(strstr(format(&options, WHEN_NS, LOG_INFO, "m", attrs, 2), " column=ab     after=x"));
}

/* Whatever is too long, the line is one line, of at most 4096 bytes, and JSON stays JSON. */
static void long_lines_are_cut_well(void **state)
{
    static char huge[10000], quotes[5000];
    struct log_attr many[400];
    const struct {
        const char *msg;
        size_t n_attrs;
        struct log_attr attrs[3];
    } cases[] = {
        {"m", 1, {LOG_S("v", huge)}},
        {"m", 1, {LOG_S("v", quotes)}},
        {"m", 3, {LOG_S("a", huge), LOG_S("b", quotes), LOG_U("c", 5)}},
        {huge, 1, {LOG_U("c", 5)}},
        {quotes, 1, {LOG_S("v", huge)}},
    };

    (void)state;
    memset(huge, 'h', sizeof huge - 1);
    memset(quotes, '\n', sizeof quotes - 1);
    for (size_t i = 0; i < sizeof many / sizeof many[0]; i++)
        many[i] = LOG_U("counter", i);
    for (int f = 0; f < LOG_FMT_COUNT; f++) {
        const struct log_options options = {.format = (enum log_format)f, .role = "rpcd"};
        for (size_t i = 0; i <= sizeof cases / sizeof cases[0]; i++) {
            bool last = i == sizeof cases / sizeof cases[0];
            const char *line =
                last ? format(&options, WHEN_NS, LOG_INFO, "m", many, 400)
                     : format(&options, WHEN_NS, LOG_INFO, cases[i].msg, cases[i].attrs, cases[i].n_attrs);
            assert_true(strlen(line) > 1000);
            if (f == LOG_FMT_JSON || f == LOG_FMT_JSONMS) {
                cJSON *json = cJSON_Parse(line);
                assert_non_null(json);
                cJSON_Delete(json);
            }
        }
    }
    const struct log_options json = {.format = LOG_FMT_JSON};
    const char *line = format(&json, WHEN_NS, LOG_INFO, "m", cases[0].attrs, 1);
    assert_string_equal(line + strlen(line) - 6, "hh...\"}" + 1);
    assert_true(strlen(line) > 2048);
}

static void small_buffers_are_never_overrun(void **state)
{
    const struct log_attr attr = LOG_S("key", "value");

    (void)state;
    for (int f = 0; f < LOG_FMT_COUNT; f++) {
        const struct log_options options = {.format = (enum log_format)f, .color = true, .role = "rpcd"};
        for (size_t size = 0; size < 300; size++) {
            char *buf = malloc(size + 1);
            assert_non_null(buf);
            buf[size] = '#';
            size_t len = log_format_line(buf, size, &options, WHEN_NS, LOG_INFO, "message", &attr, 1);
            assert_true(len <= size);
            assert_true(len == 0 || buf[len - 1] == '\n');
            assert_int_equal(buf[size], '#');
            free(buf);
        }
    }
}

static void names_are_parsed(void **state)
{
    static const struct {
        const char *text;
        int level; /* -1: refused */
    } levels_[] = {
        {"trace", LOG_TRACE},
        {"trce", LOG_TRACE},
        {"debug", LOG_DEBUG},
        {"DBUG", LOG_DEBUG},
        {"Info", LOG_INFO},
        {"warn", LOG_WARN},
        {"error", LOG_ERROR},
        {"eror", LOG_ERROR},
        {"CRIT", LOG_CRIT},
        {"warning", -1},
        {"", -1},
        {"info ", -1},
    };
    static const struct {
        const char *text;
        int format;
    } formats[] = {
        {"text", LOG_FMT_TEXT},
        {"terminal", LOG_FMT_TERMINAL},
        {"logfmt", LOG_FMT_LOGFMT},
        {"logfmtms", LOG_FMT_LOGFMTMS},
        {"json", LOG_FMT_JSON},
        {"jsonms", LOG_FMT_JSONMS},
        {"JSON", -1},
        {"json-pretty", -1},
        {"", -1},
    };

    (void)state;
    for (size_t i = 0; i < sizeof levels_ / sizeof levels_[0]; i++) {
        enum log_level level = LOG_LEVEL_COUNT;
        assert_int_equal(log_parse_level(levels_[i].text, &level), levels_[i].level < 0 ? OC_ESYNTAX : 0);
        assert_int_equal(level, levels_[i].level < 0 ? (int)LOG_LEVEL_COUNT : levels_[i].level);
    }
    for (size_t i = 0; i < sizeof formats / sizeof formats[0]; i++) {
        enum log_format parsed = LOG_FMT_COUNT;
        assert_int_equal(log_parse_format(formats[i].text, &parsed), formats[i].format < 0 ? OC_ESYNTAX : 0);
        assert_int_equal(parsed, formats[i].format < 0 ? (int)LOG_FMT_COUNT : formats[i].format);
    }
}

int main(void)
{
    set_zone("UTC");
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(golden_lines),
        cmocka_unit_test(levels),
        cmocka_unit_test(values_of_every_kind),
        cmocka_unit_test(messages_are_quoted_as_needed),
        cmocka_unit_test(json_fractions_have_no_trailing_zeros),
        cmocka_unit_test(pid_and_role_come_first),
        cmocka_unit_test(terminal_columns_line_up),
        cmocka_unit_test(long_lines_are_cut_well),
        cmocka_unit_test(small_buffers_are_never_overrun),
        cmocka_unit_test(names_are_parsed),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
