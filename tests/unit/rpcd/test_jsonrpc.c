/* The pure parts of rpcd and conductorctl: JSON walking, the commit short cut, the verdict over a
 * commit, the command line. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "rpcd/ctl/conductorctl.h"
#include "rpcd/jsonrpc.h"
#include "rpcd/status.h"
#include "shared/base/err.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void test_skip_value(void **state)
{
    static const struct {
        const char *text;
        int used; /* -1: malformed */
    } cases[] = {
        {"1 x", 1},         {"-0.5e+10,", 8},
        {"01", -1},         {"1.", -1},
        {"-", -1},          {"1e", -1},
        {"true]", 4},       {"tru", -1},
        {"nul", -1},        {"\"a\\\"b\"", 6},
        {"\"\\u00e9\"", 8}, {"\"\\u00g9\"", -1},
        {"\"\\x\"", -1},    {"\"a", -1},
        {"\"a\nb\"", -1},   {"\"\\", -1},
        {"{}", 2},          {"[]", 2},
        {"[1,]", -1},       {"[,1]", -1},
        {"{\"a\":1,}", -1}, {"{\"a\" : [ {\"b\":{}} , 2 ] }z", 25},
        {"{\"a\"}", -1},    {"{a:1}", -1},
        {"[1}", -1},        {"{\"a\":1]", -1},
        {"[[[[", -1},       {"", -1},
        {"[1 2]", -1},      {"}", -1},
    };
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        /* On the heap without a terminator, so that a read beyond the end is seen. */
        const size_t len = strlen(cases[i].text);
        char *copy = malloc(len + 1);
        memcpy(copy, cases[i].text, len);
        char *exact = len > 0 ? realloc(copy, len) : copy;
        const char *at = exact;
        struct json_span span;
        const int rc = json_skip_value(&at, exact + len, &span);
        const int used = rc < 0 ? -1 : (int)(at - exact);
        if (used != cases[i].used)
            fail_msg("%s: used %d, expected %d", cases[i].text, used, cases[i].used);
        free(exact);
    }
}

/* Eight bytes are looked at together: every byte value at every place of every short string. */
static void test_every_byte_of_a_string_counts(void **state)
{
    (void)state;
    for (size_t len = 1; len <= 24; len++)
        for (size_t place = 0; place < len; place++)
            for (unsigned byte = 0; byte < 256; byte++) {
                char *text = malloc(len + 2); /* of exact size, for the address sanitizer */
                memset(text, 'a', len + 2);
                text[0] = text[len + 1] = '"';
                text[1 + place] = (char)byte;
                const char *at = text;
                struct json_span span;
                const int rc = json_skip_value(&at, text + len + 2, &span);
                if (byte < 0x20 || byte == '\\') /* an escape needs one of its letters behind it, not an a */
                    assert_int_equal(rc, OC_ESYNTAX);
                else
                    assert_int_equal(rc, 0);
                if (rc == 0)
                    assert_int_equal(at - text, byte == '"' ? place + 2 : len + 2);
                free(text);
            }
}

static void test_depth_is_limited(void **state)
{
    char text[2 * JSON_DEPTH_MAX + 8] = "";
    struct json_span span;
    (void)state;
    for (size_t depth = JSON_DEPTH_MAX; depth <= JSON_DEPTH_MAX + 1; depth++) {
        memset(text, '[', depth);
        memset(text + depth, ']', depth);
        const char *at = text;
        assert_int_equal(json_skip_value(&at, text + 2 * depth, &span), depth <= JSON_DEPTH_MAX ? 0 : OC_ESYNTAX);
    }
}

static void test_strings(void **state)
{
    static const struct {
        const char *json, *text; /* NULL: refused */
    } cases[] = {
        {"\"abc\"", "abc"},
        {"\"\\\"\\\\\\/\\b\\f\\n\\r\\t\"", "\"\\/\b\f\n\r\t"},
        {"\"\\u00e9\\u20ac\"", "\xc3\xa9\xe2\x82\xac"},
        {"\"\\ud83d\\ude00\"", "\xf0\x9f\x98\x80"},
        {"\"\\ud83d\"", "\xef\xbf\xbd"},
        {"\"a\\u0000b\"", NULL},
        {"\"a text that is longer than the buffer it goes to\"", NULL},
        {"\"it fits to the last of its bytes\"", NULL},
        {"\"it fits to the last of the byte\"", "it fits to the last of the byte"},
        {"7", NULL},
    };
    char buf[32], json[64];
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        const int n = json_string_decode((struct json_span){cases[i].json, strlen(cases[i].json)}, buf, sizeof buf);
        if (cases[i].text == NULL)
            assert_true(n < 0);
        else if (n < 0 || strcmp(buf, cases[i].text) != 0)
            fail_msg("%s: %d", cases[i].json, n);
    }
    size_t len = json_string_encode("a\"\\\n\x01\xff\xc3\xa9", json, sizeof json);
    json[len] = '\0';
    assert_string_equal(json, "\"a\\\"\\\\\\n\\u0001\xef\xbf\xbd\xc3\xa9\"");
    len = json_string_encode("a text that is longer than the buffer it goes to", json, 16);
    assert_true(len <= 16 && json[len - 1] == '"');
}

/* What is told of a name goes no further than the name. */
static void test_method_is_told_within_its_bounds(void **state)
{
    static const struct {
        const char *text, *message;
    } rows[] = {
        {"{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"a_b\\u0000\"}",
         "the method a_b\\u0000 does not exist/is not available"},
        {"{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"a_subscribe\"}", "notifications not supported"},
    };
    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        const size_t len = strlen(rows[i].text);
        char *exact = malloc(len);
        struct jsonrpc_message msg;
        struct jsonrpc_error error;
        memcpy(exact, rows[i].text, len);
        jsonrpc_parse((struct json_span){exact, len}, &msg, &error);
        assert_int_equal(error.code, JSONRPC_METHOD_NOT_FOUND);
        assert_string_equal(error.message, rows[i].message);
        free(exact);
    }
}

static void test_peek_commit(void **state)
{
#define COMMIT_HEAD "{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"conductor_commitUnsafePayload\",\"params\":"
    static const struct {
        const char *text, *payload; /* NULL: not taken */
    } cases[] = {
        {COMMIT_HEAD "[{\"a\":1}]}", "{\"a\":1}"},
        {" " COMMIT_HEAD " [ {\"a\":1} ] } \n", "{\"a\":1}"},
        {COMMIT_HEAD "[{\"a\":1}],\"x\":[2]}", "{\"a\":1}],\"x\":[2"}, /* the payload's parser refuses it */
        {COMMIT_HEAD "[null]}", NULL},
        {COMMIT_HEAD "[]}", NULL},
        {COMMIT_HEAD "[", NULL},
        {COMMIT_HEAD, NULL},
        {"{\"jsonrpc\":\"2.0\",\"method\":\"conductor_commitUnsafePayload\",\"params\":[{}]}", NULL},
        {"{\"id\":1,\"method\":\"conductor_commitUnsafePayload\",\"params\":[{}]}", NULL},
        {"{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"conductor_leader\",\"params\":[{}]}", NULL},
        {"{\"params\":[{}],\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"conductor_commitUnsafePayload\"}", NULL},
        {"[" COMMIT_HEAD "[{}]}]", NULL},
        /* no params, but something behind that looks like them */
        {"{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"conductor_commitUnsafePayload\"}[{}]}", NULL},
        {"{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"conductor_commitUnsafePayload\":[{}]}", NULL},
        {"", NULL},
    };
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct jsonrpc_message msg;
        struct json_span payload = {NULL, 0};
        const bool taken = jsonrpc_peek_commit(cases[i].text, strlen(cases[i].text), &msg, &payload);
        if (taken != (cases[i].payload != NULL) || (taken && (payload.len != strlen(cases[i].payload) ||
                                                              memcmp(payload.at, cases[i].payload, payload.len) != 0)))
            fail_msg("%s: taken %d '%.*s'", cases[i].text, taken, (int)payload.len, payload.at);
    }
}

static void test_answers_of_upstreams(void **state)
{
    static const struct {
        const char *text, *result, *error;
    } cases[] = {
        {"{\"jsonrpc\":\"2.0\",\"id\":1,\"result\":null}", "null", ""},
        {"{\"result\":{\"a\":[1]},\"error\":null}\n", "{\"a\":[1]}", ""},
        {"{\"error\":{\"code\":1}}", "", "{\"code\":1}"},
        {"{\"error\":7}", NULL, NULL},
        {"{\"id\":1}", NULL, NULL},
        {"{\"result\":", NULL, NULL},
        {"<html>", NULL, NULL},
        {"", NULL, NULL},
    };
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct json_span result, error;
        const int rc = jsonrpc_parse_answer(cases[i].text, strlen(cases[i].text), &result, &error);
        assert_int_equal(rc, cases[i].result != NULL ? 0 : OC_ESYNTAX);
        if (rc < 0 || cases[i].result == NULL || cases[i].error == NULL)
            continue;
        assert_true(result.len == strlen(cases[i].result) && error.len == strlen(cases[i].error));
        assert_memory_equal(result.len > 0 ? result.at : "", cases[i].result, result.len);
        assert_memory_equal(error.len > 0 ? error.at : "", cases[i].error, error.len);
    }
}

static void test_commit_verdict(void **state)
{
    static const struct {
        bool is_fresh, ready, transferring, has_channel;
        uint32_t role;
        const char *leader;
        enum commit_verdict verdict;
    } cases[] = {
        {true, true, false, true, RAFT_ROLE_LEADER, "me", COMMIT_SEND},
        {true, true, false, false, RAFT_ROLE_LEADER, "me", COMMIT_HOLD},
        {true, false, false, true, RAFT_ROLE_LEADER, "me", COMMIT_HOLD},
        {true, true, true, true, RAFT_ROLE_LEADER, "me", COMMIT_HOLD},
        {false, true, false, true, RAFT_ROLE_LEADER, "me", COMMIT_HOLD},
        {true, false, false, true, RAFT_ROLE_FOLLOWER, "", COMMIT_HOLD},
        {true, false, false, true, RAFT_ROLE_CANDIDATE, "", COMMIT_HOLD},
        {true, false, false, true, RAFT_ROLE_FOLLOWER, "me", COMMIT_HOLD},
        {true, false, false, true, RAFT_ROLE_FOLLOWER, "other", COMMIT_REFUSE_OTHER},
        {false, false, false, true, RAFT_ROLE_FOLLOWER, "other", COMMIT_HOLD},
        {true, false, false, false, RAFT_ROLE_FOLLOWER, "other", COMMIT_REFUSE_OTHER},
        {true, false, false, true, RAFT_ROLE_STOPPED, "", COMMIT_REFUSE_STOPPED},
    };
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct status_raft raft = {.is_fresh = cases[i].is_fresh,
                                   .state = cases[i].role,
                                   .leader_ready = cases[i].ready,
                                   .transferring = cases[i].transferring};
        snprintf(raft.leader_id, sizeof raft.leader_id, "%s", cases[i].leader);
        if (status_commit_verdict(&raft, cases[i].has_channel, "me") != cases[i].verdict)
            fail_msg("row %zu", i);
    }
}

static void test_command_line(void **state)
{
    static const struct {
        const char *words[8];
        const char *method, *params; /* NULL: wrong usage */
    } cases[] = {
        {{"status"}, "conductor_status", "[]"},
        {{"--rpc", "http://x", "leader"}, "conductor_leaderWithID", "[]"},
        {{"transfer"}, "conductor_transferLeader", "[]"},
        {{"transfer", "b", "h:1"}, "conductor_transferLeaderToServer", "[\"b\",\"h:1\"]"},
        {{"transfer", "b"}, NULL, NULL},
        {{"add-voter", "b", "h:1"}, "conductor_addServerAsVoter", "[\"b\",\"h:1\",0]"},
        {{"add-voter", "b", "h:1", "18446744073709551615"},
         "conductor_addServerAsVoter",
         "[\"b\",\"h:1\",18446744073709551615]"},
        {{"add-voter", "b", "h:1", "x"}, NULL, NULL},
        {{"adopt-head", "7", "0xab"}, "conductor_adoptHead", "[7,\"0xab\"]"},
        {{"adopt-head", "--yes", "7", "0xab"}, "conductor_adoptHead", "[7,\"0xab\"]"},
        {{"remove", "a\"b"}, "conductor_removeServer", "[\"a\\\"b\",0]"},
        {{"demote", "b", "7"}, "conductor_demoteVoter", "[\"b\",7]"},
        {{"override", "true"}, "conductor_overrideLeader", "[true]"},
        {{"override", "maybe"}, NULL, NULL},
        {{"node", "stop"}, "conductor_stopNode", "[]"},
        {{"node"}, NULL, NULL},
        {{"node", "sleep"}, NULL, NULL},
        {{"restart", "healthd"}, "conductor_restartWorker", "[\"healthd\"]"},
        {{"call", "eth_x", "[1,12345678901234567890]"}, "eth_x", "[1,12345678901234567890]"},
        {{"call", "x", "{}"}, NULL, NULL},
        {{"call"}, NULL, NULL},
        {{"pause", "now"}, NULL, NULL},
        {{"--bogus", "status"}, NULL, NULL},
        {{NULL}, NULL, NULL},
    };
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        char *argv[9] = {(char *)(uintptr_t) "conductorctl"};
        struct ctl_request req;
        int argc = 1;
        for (; argc < 9 && cases[i].words[argc - 1] != NULL; argc++)
            argv[argc] = (char *)(uintptr_t)cases[i].words[argc - 1];
        const int rc = ctl_parse(argc, argv, "http://default", &req);
        if (cases[i].method == NULL) {
            assert_int_equal(rc, CTL_USAGE);
            assert_true(req.error[0] != '\0');
        } else {
            if (rc != CTL_OK)
                fail_msg("%s: %s", cases[i].words[0], req.error);
            assert_string_equal(req.method, cases[i].method);
            assert_string_equal(req.params, cases[i].params);
        }
        free(req.params);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_skip_value),
        cmocka_unit_test(test_every_byte_of_a_string_counts),
        cmocka_unit_test(test_depth_is_limited),
        cmocka_unit_test(test_strings),
        cmocka_unit_test(test_method_is_told_within_its_bounds),
        cmocka_unit_test(test_peek_commit),
        cmocka_unit_test(test_answers_of_upstreams),
        cmocka_unit_test(test_commit_verdict),
        cmocka_unit_test(test_command_line),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
