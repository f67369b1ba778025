/* What rpcd reads in a thread: large answers of upstreams, large requests, the newest payload. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "fixture.h"
#include "http_helper.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define LARGE_BYTES ((size_t)1000001) /* odd: the text is [0,0,…,0] */

static struct fixture f;

static int setup(void **state)
{
    (void)state;
    fixture_start(&f);
    f.upstream_bytes = LARGE_BYTES;
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    return fixture_stop(&f);
}

static void fill_list(char *at, size_t bytes)
{
    for (size_t i = 0; i < bytes; i++)
        at[i] = i % 2 == 1 ? '0' : i == 0 ? '[' : ',';
    at[bytes - 1] = ']';
}

/* The answer is `before`, the whole list, and `after`. */
static void expect_list(const char *request, const char *before, const char *after)
{
    char *got = fixture_call(&f, request), *list = malloc(LARGE_BYTES);
    const size_t before_len = strlen(before), len = strlen(got);
    fill_list(list, LARGE_BYTES);
    assert_int_equal(len, before_len + LARGE_BYTES + strlen(after));
    assert_memory_equal(got, before, before_len);
    assert_memory_equal(got + before_len, list, LARGE_BYTES);
    assert_string_equal(got + before_len + LARGE_BYTES, after);
    free(list);
    free(got);
}

static void expect_text(const char *request, const char *answer)
{
    char *got = fixture_call(&f, request);
    assert_string_equal(got, answer);
    free(got);
}

static void large_answers_pass_untouched(void **state)
{
    (void)state;
    expect_list("{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"optimism_syncStatus\"}",
                "{\"jsonrpc\":\"2.0\",\"id\":1,\"result\":", "}\n");
    expect_list("{\"jsonrpc\":\"2.0\",\"id\":\"a longer one\",\"method\":\"optimism_syncStatus\"}",
                "{\"jsonrpc\":\"2.0\",\"id\":\"a longer one\",\"result\":", "}\n");
    expect_list("[{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"conductor_leader\"},"
                "{\"jsonrpc\":\"2.0\",\"id\":2,\"method\":\"optimism_syncStatus\"}]",
                "[{\"jsonrpc\":\"2.0\",\"id\":1,\"result\":true},{\"jsonrpc\":\"2.0\",\"id\":2,\"result\":", "}]\n");
    expect_text("{\"jsonrpc\":\"2.0\",\"method\":\"optimism_syncStatus\"}", "");
}

/* 26 answers of a megabyte each are asked for: the last one is not fetched any more. */
static void a_batch_has_answers_of_so_many_bytes(void **state)
{
    static const char call[] = "{\"jsonrpc\":\"2.0\",\"id\":7,\"method\":\"optimism_syncStatus\"},";
    static const char last[] =
        ",{\"jsonrpc\":\"2.0\",\"id\":8,\"error\":{\"code\":-32003,\"message\":\"response too large\"}}]\n";
    char request[30 * sizeof call] = "[";
    (void)state;
    for (unsigned i = 0; i < 25; i++)
        strcat(request, call);
    strcat(request, "{\"jsonrpc\":\"2.0\",\"id\":8,\"method\":\"optimism_syncStatus\"}]");
    char *got = fixture_call(&f, request);
    const size_t len = strlen(got);
    assert_in_range(len, 25 * LARGE_BYTES, 26 * LARGE_BYTES);
    assert_string_equal(got + len - strlen(last), last);
    free(got);
}

static void a_large_answer_that_ends_early(void **state)
{
    (void)state;
    f.upstream_fails = true;
    expect_text(
        "{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"optimism_syncStatus\"}",
        "{\"jsonrpc\":\"2.0\",\"id\":1,\"error\":{\"code\":-32000,\"message\":\"200 answer is no JSON-RPC\"}}\n");
}

/* `before`, a list of that many bytes, and `after`, as a request. */
static void expect_of_large(const char *before, size_t bytes, const char *after, const char *answer)
{
    const size_t before_len = strlen(before);
    char *request = malloc(before_len + bytes + strlen(after) + 1);
    memcpy(request, before, before_len);
    fill_list(request + before_len, bytes);
    strcpy(request + before_len + bytes, after);
    expect_text(request, answer);
    free(request);
}

static void large_requests(void **state)
{
    static const struct {
        const char *before;
        size_t bytes;
        const char *after, *answer;
    } rows[] = {
        {"{\"jsonrpc\":\"2.0\",\"id\":1,\"x\":", LARGE_BYTES, ",\"method\":\"conductor_leader\"}",
         "{\"jsonrpc\":\"2.0\",\"id\":1,\"result\":true}\n"},
        {"{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"conductor_leader\",\"params\":", LARGE_BYTES, "}",
         "{\"jsonrpc\":\"2.0\",\"id\":1,\"error\":{\"code\":-32602,\"message\":\"too many arguments, want at most "
         "0\"}}\n"},
        {"{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"conductor_leader\",\"params\":", LARGE_BYTES, "",
         "{\"jsonrpc\":\"2.0\",\"id\":null,\"error\":{\"code\":-32700,\"message\":\"parse error\"}}"},
        {"[{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"conductor_leader\",\"x\":", LARGE_BYTES,
         "},{\"jsonrpc\":\"2.0\",\"id\":2,\"method\":\"conductor_leader\"}]",
         "[{\"jsonrpc\":\"2.0\",\"id\":1,\"result\":true},{\"jsonrpc\":\"2.0\",\"id\":2,\"result\":true}]\n"},
        {"[{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"conductor_leader\",\"x\":", ((size_t)5 << 20) + 1, "}]",
         "{\"jsonrpc\":\"2.0\",\"id\":null,\"error\":{\"code\":-32600,\"message\":\"batch too large\"}}"},
    };
    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++)
        expect_of_large(rows[i].before, rows[i].bytes, rows[i].after, rows[i].answer);
}

static void the_newest_payload_is_large(void **state)
{
    size_t len;
    char *commit = fixture_commit_body(8, LARGE_BYTES, &len);
    (void)state;
    char *got = fixture_call(&f, commit);
    assert_non_null(strstr(got, "\"result\":null"));
    free(got);
    got = fixture_call(&f, "{\"jsonrpc\":\"2.0\",\"id\":7,\"method\":\"conductor_latestUnsafePayload\"}");
    assert_true(strlen(got) > 2 * LARGE_BYTES);
    assert_non_null(strstr(got, "\"blockNumber\":\"0x8\""));
    assert_memory_equal(got, "{\"jsonrpc\":\"2.0\",\"id\":7,\"result\":{", 33);
    assert_string_equal(got + strlen(got) - 3, "}}\n");
    free(got);
    free(commit);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(large_answers_pass_untouched, setup, teardown),
        cmocka_unit_test_setup_teardown(a_batch_has_answers_of_so_many_bytes, setup, teardown),
        cmocka_unit_test_setup_teardown(a_large_answer_that_ends_early, setup, teardown),
        cmocka_unit_test_setup_teardown(large_requests, setup, teardown),
        cmocka_unit_test_setup_teardown(the_newest_payload_is_large, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
