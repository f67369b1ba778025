/* A real op-conductor-rpcd from outside: every method, commits in all their fates. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "fixture.h"
#include "http_helper.h"

#include "shared/base/clock.h"
#include "shared/base/err.h"
#include "shared/payload/record.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static struct fixture f;

static int setup(void **state)
{
    (void)state;
    fixture_start(&f);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    return fixture_stop(&f);
}

static void expect_call(const char *request, const char *answer)
{
    char *got = fixture_call(&f, request);
    got[strcspn(got, "\n")] = '\0';
    if (strcmp(got, answer) != 0)
        fail_msg("%s\n  answered %s\n  expected %s", request, got, answer);
    free(got);
}

static void test_golden_table(void **state)
{
    char line[4096], request[4096] = "";
    unsigned rows = 0;
    (void)state;
    FILE *file = fopen(GOLDEN_PATH, "r");
    assert_non_null(file);
    while (fgets(line, sizeof line, file) != NULL) {
        line[strcspn(line, "\n")] = '\0';
        if (line[0] == '>') {
            memcpy(request, line + 2, sizeof line - 2);
        } else if (line[0] == '<') {
            expect_call(request, line[1] == ' ' ? line + 2 : "");
            rows++;
        }
    }
    fclose(file);
    assert_true(rows > 50);
}

struct http_case {
    const char *request;
    int status;
    const char *body;
};

static void test_http_surface(void **state)
{
    static const struct http_case cases[] = {
        {"GET / HTTP/1.1\r\nHost: a\r\n\r\n", 200, ""},
        {"GET /?x=1 HTTP/1.1\r\nHost: a\r\n\r\n", 415, "invalid content type, only application/json is supported\n"},
        {"GET /healthz HTTP/1.1\r\nHost: a\r\n\r\n", 200, "{\"version\":\"v0.0.1\"}\n"},
        {"POST /healthz/ HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n", 200, "{\"version\":\"v0.0.1\"}\n"},
        {"GET /nothing HTTP/1.1\r\nHost: a\r\n\r\n", 404, "404 page not found\n"},
        {"PUT / HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n", 405, "method not allowed\n"},
        {"DELETE / HTTP/1.1\r\nHost: a\r\n\r\n", 405, "method not allowed\n"},
        {"POST / HTTP/1.1\r\nHost: a\r\nContent-Type: text/plain\r\nContent-Length: 2\r\n\r\n{}", 415, NULL},
        {"POST / HTTP/1.1\r\nHost: a\r\nContent-Type: application/json\r\nContent-Length: 0\r\n\r\n", 200, ""},
        {"POST / HTTP/1.1\r\nHost: a\r\nContent-Type: Application/JSON-RPC ; charset=utf-8\r\nContent-Length: "
         "2\r\n\r\n[]",
         200, NULL},
        {"OPTIONS / HTTP/1.1\r\nHost: a\r\nOrigin: http://x\r\nAccess-Control-Request-Method: POST\r\n\r\n", 204, ""},
        {"GET /commit-unsafe-payload HTTP/1.1\r\nHost: a\r\n\r\n", 405, NULL},
        {"POST /commit-unsafe-payload HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n", 400, "empty payload\n"},
        {"POST /commit-unsafe-payload HTTP/1.1\r\nHost: a\r\nContent-Type: a/b\r\nContent-Length: 1\r\n\r\nx", 415,
         NULL},
        {"POST /commit-unsafe-payload HTTP/1.1\r\nHost: a\r\nContent-Type: application/octet-streams\r\n"
         "Content-Length: 1\r\n\r\nx",
         415, NULL},
        {"POST /commit-unsafe-payload HTTP/1.1\r\nHost: a\r\nContent-Type: Application/Octet-Stream; a=b\r\n"
         "Content-Length: 4\r\n\r\nabcd",
         500, NULL},
        {"POST /commit-unsafe-payload HTTP/1.1\r\nHost: a\r\nContent-Length: 4\r\n\r\nabcd", 500, NULL},
        {"POST / HTTP/1.1\r\nHost: a\r\nContent-Type: application/json\r\nContent-Length: 67108865\r\n\r\n", 413,
         "content length too large (67108865>67108864)\n"},
    };
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        const int fd = helper_connect(f.rpc_port);
        helper_send_text(fd, cases[i].request);
        struct http_answer a = helper_read(fd, 0);
        if (a.status != cases[i].status || (cases[i].body != NULL && strcmp(a.body, cases[i].body) != 0))
            fail_msg("%s\n answered %d %s", cases[i].request, a.status, a.body);
        helper_free(&a);
        close(fd);
    }
}

static void test_admin_and_members_arrive(void **state)
{
    (void)state;
    expect_call("{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"conductor_overrideLeader\",\"params\":[true]}",
                "{\"jsonrpc\":\"2.0\",\"id\":1,\"result\":null}");
    fixture_set_raft(&f, RAFT_ROLE_FOLLOWER, false, "seq-1");
    expect_call("{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"conductor_leader\"}",
                "{\"jsonrpc\":\"2.0\",\"id\":1,\"result\":true}");
    expect_call("{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"conductor_leaderWithID\"}",
                "{\"jsonrpc\":\"2.0\",\"id\":1,\"result\":{\"id\":\"N/A (Leader "
                "overridden)\",\"addr\":\"N/A\",\"suffrage\":0}}");
    expect_call("{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"conductor_overrideLeader\",\"params\":[false]}",
                "{\"jsonrpc\":\"2.0\",\"id\":1,\"result\":null}");
    expect_call("{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"conductor_leader\"}",
                "{\"jsonrpc\":\"2.0\",\"id\":1,\"result\":false}");
    expect_call("{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"conductor_transferLeaderToServer\",\"params\":["
                "\"s\\u0032\",\"h:9\"]}",
                "{\"jsonrpc\":\"2.0\",\"id\":1,\"result\":null}");
    assert_int_equal(f.last_admin.verb, ADMIN_TRANSFER_TO);
    assert_string_equal(f.last_admin.id, "s2");
    assert_string_equal(f.last_admin.addr, "h:9");
    expect_call(
        "{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"conductor_addServerAsVoter\",\"params\":[\"n\",\"h:1\",42]}",
        "{\"jsonrpc\":\"2.0\",\"id\":1,\"result\":null}");
    assert_int_equal(f.last_member.verb, MEMBER_ADD_VOTER);
    assert_string_equal(f.last_member.id, "n");
    assert_string_equal(f.last_member.addr, "h:1");
    assert_int_equal(f.last_member.version, 42);
    f.member_rc = OC_ECONFVERSION;
    expect_call("{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"conductor_removeServer\",\"params\":[\"n\",3]}",
                "{\"jsonrpc\":\"2.0\",\"id\":1,\"error\":{\"code\":-32000,\"message\":\"configuration changed since 3 "
                "(latest is 7)\"}}");
    f.admin_rc = OC_EUNKNOWN;
    expect_call(
        "{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"conductor_resume\"}",
        "{\"jsonrpc\":\"2.0\",\"id\":1,\"error\":{\"code\":-32000,\"message\":\"cannot resume because of this\"}}");
    /* Told to the supervisor before the request that it answered just now. */
    assert_string_equal(f.last_note.request, "conductor_removeServer");
    assert_string_equal(f.last_note.params, "[\"n\",3]");
    assert_string_equal(f.last_note.text, "configuration changed since 3 (latest is 7)");
    assert_int_equal(f.last_note.rc, OC_ECONFVERSION);
    f.admin_rc = OC_ENOTLEADER;
    expect_call(
        "{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"conductor_transferLeaderToServer\",\"params\":[\"a\",\"b\"]}",
        "{\"jsonrpc\":\"2.0\",\"id\":1,\"error\":{\"code\":-32000,\"message\":\"node is not the leader\"}}");
}

static void test_proxy_is_for_the_leader(void **state)
{
    static const char request[] = "{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"admin_sequencerActive\"}";
    (void)state;
    f.upstream_fails = true;
    expect_call(request,
                "{\"jsonrpc\":\"2.0\",\"id\":1,\"error\":{\"code\":-38001,\"message\":\"no\",\"data\":{\"a\":1}}}");
    fixture_set_raft(&f, RAFT_ROLE_FOLLOWER, false, "seq-1");
    expect_call(request,
                "{\"jsonrpc\":\"2.0\",\"id\":1,\"error\":{\"code\":-32000,\"message\":\"refusing to proxy request to "
                "non-leader sequencer\"}}");
    expect_call("{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"miner_setMaxDASize\",\"params\":[\"0x1\",\"0x2\"]}",
                "{\"jsonrpc\":\"2.0\",\"id\":1,\"result\":true}");
}

static void test_stale_page_is_no_leader(void **state)
{
    static const char request[] = "{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"conductor_leader\"}";
    (void)state;
    expect_call(request, "{\"jsonrpc\":\"2.0\",\"id\":1,\"result\":true}");
    pthread_mutex_lock(&f.lock);
    f.beat_cons = false;
    pthread_mutex_unlock(&f.lock);
    usleep((PAGE_STALE_MS + 100) * 1000);
    expect_call(request, "{\"jsonrpc\":\"2.0\",\"id\":1,\"result\":false}");
}

/* ---- commits ---- */

static void send_commit(int fd, uint64_t number, size_t tx_bytes)
{
    char head[256];
    size_t len;
    char *body = fixture_commit_body(number, tx_bytes, &len);
    const int n =
        snprintf(head, sizeof head,
                 "POST / HTTP/1.1\r\nHost: a\r\nContent-Type: application/json\r\nContent-Length: %zu\r\n\r\n", len);
    helper_send(fd, head, (size_t)n);
    helper_send(fd, body, len);
    free(body);
}

static void expect_commit(int fd, uint64_t number, const char *error)
{
    char want[512];
    struct http_answer a = helper_read(fd, 0);
    if (error == NULL)
        snprintf(want, sizeof want, "{\"jsonrpc\":\"2.0\",\"id\":%llu,\"result\":null}\n", (unsigned long long)number);
    else
        snprintf(want, sizeof want,
                 "{\"jsonrpc\":\"2.0\",\"id\":%llu,\"error\":{\"code\":-32000,\"message\":\"failed to apply payload "
                 "envelope: %s\"}}\n",
                 (unsigned long long)number, error);
    assert_int_equal(a.status, 200);
    assert_string_equal(a.body, want);
    helper_free(&a);
}

static void commit(uint64_t number, size_t tx_bytes, const char *error)
{
    const int fd = helper_connect(f.rpc_port);
    send_commit(fd, number, tx_bytes);
    expect_commit(fd, number, error);
    close(fd);
}

static void test_thousand_commits_reuse_the_ring(void **state)
{
    (void)state;
    const int fd = helper_connect(f.rpc_port);
    for (uint64_t i = 1; i <= 1000; i++) {
        send_commit(fd, i, i % 50 == 0 ? 300000 : 10 + i % 5000);
        expect_commit(fd, i, NULL);
    }
    close(fd);
    assert_int_equal(f.commits_seen, 1000);
    assert_int_equal(f.commits_bad, 0);
    assert_int_equal(f.commits_by_fd, 0);
    assert_int_equal(f.last_commit.block.number, 1000);
    assert_int_equal(f.last_commit.block.hash[31], 1000 & 255);
}

static void test_larger_than_the_ring(void **state)
{
    (void)state;
    commit(1, (size_t)9 << 20, NULL);
    commit(2, 100, NULL);
    assert_int_equal(f.commits_by_fd, 1);
    assert_int_equal(f.commits_bad, 0);
}

static void test_commit_refusals(void **state)
{
    (void)state;
    f.commit_rc = OC_ECONFLICT;
    commit(1, 3000, "the block conflicts");
    f.commit_rc = 0;
    fixture_set_raft(&f, RAFT_ROLE_FOLLOWER, false, "seq-1");
    const uint64_t before_ms = clock_mono_ms();
    commit(2, 3000, "node is not the leader");
    assert_true(clock_mono_ms() - before_ms < 2000); /* at once, not after the hold of 3.2 s */
    fixture_set_raft(&f, RAFT_ROLE_STOPPED, false, "");
    commit(3, 3000, "raft is already shutdown");
    assert_int_equal(f.commits_seen, 1);
    char *answer = fixture_call(&f, "{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"conductor_commitUnsafePayload\","
                                    "\"params\":[{\"executionPayload\":{\"blockNumber\":7}}]}");
    assert_non_null(strstr(answer, "\"code\":-32602,\"message\":\"invalid argument 0: "));
    free(answer);
    answer = fixture_call(
        &f, "{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"conductor_commitUnsafePayload\",\"params\":[null]}");
    assert_non_null(strstr(answer, "\"code\":-32602"));
    free(answer);
}

static void test_hold_then_release(void **state)
{
    (void)state;
    fixture_set_raft(&f, RAFT_ROLE_FOLLOWER, false, "");
    const int fd = helper_connect(f.rpc_port);
    send_commit(fd, 1, 5000);
    usleep(200 * 1000);
    assert_int_equal(f.commits_seen, 0);
    fixture_set_raft(&f, RAFT_ROLE_LEADER, true, "seq-0");
    expect_commit(fd, 1, NULL);
    /* and held until another one leads */
    fixture_set_raft(&f, RAFT_ROLE_CANDIDATE, false, "");
    send_commit(fd, 2, 5000);
    usleep(100 * 1000);
    fixture_set_raft(&f, RAFT_ROLE_FOLLOWER, false, "seq-1");
    expect_commit(fd, 2, "node is not the leader");
    close(fd);
    assert_int_equal(f.commits_seen, 1);
}

static void test_hold_ends(void **state)
{
    (void)state;
    fixture_set_raft(&f, RAFT_ROLE_FOLLOWER, false, "");
    const uint64_t before_ms = clock_mono_ms();
    commit(1, 5000, "node is not the leader");
    assert_true(clock_mono_ms() - before_ms >= 3000);
    assert_int_equal(f.commits_seen, 0);
}

static void test_deadline_keeps_the_slot(void **state)
{
    (void)state;
    f.commit_mute = true;
    commit(1, 5000, "the payload was not committed before its deadline");
    const uint64_t offset = f.last_commit.offset;
    pthread_mutex_lock(&f.lock);
    f.commit_mute = false;
    pthread_mutex_unlock(&f.lock);
    commit(2, 5000, NULL);
    assert_true(f.last_commit.offset != offset); /* consensus might still read the first */
    assert_int_equal(f.commits_bad, 0);
}

static void consensus_restart(bool tell_rpcd)
{
    pthread_mutex_lock(&f.lock);
    f.commit_mute = true;
    f.commits_seen = 0;
    pthread_mutex_unlock(&f.lock);
    const int fd = helper_connect(f.rpc_port);
    send_commit(fd, 7, 5000);
    for (int i = 0; i < 300 && f.commits_seen == 0; i++)
        usleep(5000);
    fixture_consensus_down(&f, tell_rpcd);
    expect_call("{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"conductor_clusterMembership\"}",
                "{\"jsonrpc\":\"2.0\",\"id\":1,\"result\":{\"servers\":[{\"id\":\"seq-0\",\"addr\":\"10.0.0.1:50050\","
                "\"suffrage\":0},{\"id\":\"seq-1\",\"addr\":\"10.0.0.2:50050\",\"suffrage\":1}],\"version\":7}}");
    usleep(100 * 1000);
    expect_call("{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"conductor_leader\"}",
                "{\"jsonrpc\":\"2.0\",\"id\":1,\"result\":false}");
    f.commit_mute = false;
    fixture_consensus_up(&f);
    expect_commit(fd, 7, NULL);
    close(fd);
    assert_int_equal(f.commits_seen, 2); /* sent again to the new one */
    assert_int_equal(f.commits_bad, 0);
}

static void test_consensus_restart(void **state)
{
    (void)state;
    consensus_restart(false);
    consensus_restart(true);
}

static void test_caller_gone_is_not_proposed(void **state)
{
    (void)state;
    fixture_set_raft(&f, RAFT_ROLE_FOLLOWER, false, "");
    const int fd = helper_connect(f.rpc_port);
    send_commit(fd, 1, 5000);
    usleep(100 * 1000);
    close(fd);
    usleep(100 * 1000);
    fixture_set_raft(&f, RAFT_ROLE_LEADER, true, "seq-0");
    commit(2, 5000, NULL);
    assert_int_equal(f.commits_seen, 1);
    assert_int_equal(f.last_commit.block.number, 2);
}

static void test_lost_leadership_is_tried_again(void **state)
{
    (void)state;
    f.commit_rc = OC_ELOST;
    const int fd = helper_connect(f.rpc_port);
    send_commit(fd, 1, 5000);
    usleep(100 * 1000);
    fixture_set_raft(&f, RAFT_ROLE_FOLLOWER, false, "seq-1");
    expect_commit(fd, 1, "leadership lost while committing log");
    close(fd);
    assert_true(f.commits_seen > 1);
}

static void test_drain_answers_first(void **state)
{
    (void)state;
    fixture_set_raft(&f, RAFT_ROLE_FOLLOWER, false, "");
    const int fd = helper_connect(f.rpc_port);
    send_commit(fd, 1, 5000);
    usleep(100 * 1000);
    const struct msg_drain drain = {clock_mono_ns() + UINT64_C(20000000000)};
    pthread_mutex_lock(&f.lock);
    assert_int_equal(chan_send(f.sup, MSG_DRAIN, 0, &drain, -1), 0);
    pthread_mutex_unlock(&f.lock);
    usleep(100 * 1000);
    fixture_set_raft(&f, RAFT_ROLE_LEADER, true, "seq-0");
    expect_commit(fd, 1, NULL);
    assert_true(helper_drain(fd) == 0); /* closed, and the process ends with 0: see teardown */
    close(fd);
}

static void test_binary_and_latest(void **state)
{
    (void)state;
    commit(77, 3000, NULL);
    const size_t envelope_len = f.last_commit.len - (PAYLOAD_RECORD_HEADER_BYTES - 32);
    uint8_t *envelope = malloc(envelope_len);
    memcpy(envelope, f.last_record + PAYLOAD_RECORD_HEADER_BYTES - 32, envelope_len);
    struct http_answer a =
        helper_post(f.rpc_port, "/commit-unsafe-payload", "application/octet-stream", envelope, envelope_len);
    assert_int_equal(a.status, 200);
    assert_int_equal(a.body_len, 0);
    helper_free(&a);
    assert_int_equal(f.commits_seen, 2);
    assert_int_equal(f.commits_bad, 0);
    assert_int_equal(f.last_commit.block.number, 77);
    free(envelope);
    char *answer = fixture_call(&f, "{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"conductor_latestUnsafePayload\"}");
    assert_non_null(strstr(answer, "\"blockNumber\":\"0x4d\""));
    assert_non_null(strstr(answer, "\"parentBeaconBlockRoot\":\"0x"));
    free(answer);
}

static void test_status_and_metrics(void **state)
{
    static const char *const wanted[] = {
        "op_conductor_info{version=\"v0.0.1\"} 1\n",
        "op_conductor_up 1\n",
        "op_conductor_leader 1\n",
        "op_conductor_leader_transfers_count{success=\"true\"} 0\n",
        "op_conductor_rpc_server_requests_total{method=\"conductor_commitUnsafePayload\",rpc=\"main\"} 1\n",
        "op_conductor_rpc_server_responses_total{error=\"<nil>\",method=\"conductor_commitUnsafePayload\",rpc=\"main\"",
        "op_conductor_commit_payload_size_bytes_count 1\n",
        "op_conductor_worker_restarts_total{worker=\"consensus\"} 0\n",
        "# TYPE process_resident_memory_bytes gauge\n",
    };
    (void)state;
    commit(1, 3000, NULL);
    char *answer = fixture_call(&f, "{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"conductor_status\"}");
    assert_non_null(strstr(answer, "\"node\":\"seq-0\""));
    assert_non_null(strstr(answer, "\"role\":\"leader\""));
    assert_non_null(strstr(answer, "\"unsafe_head\":null"));
    assert_non_null(strstr(answer, "\"children\":[{\"name\":\"consensus\",\"state\":\"down\""));
    free(answer);
    const int fd = helper_connect(f.metrics_port);
    helper_send_text(fd, "GET /metrics HTTP/1.1\r\nHost: a\r\n\r\n");
    struct http_answer a = helper_read(fd, 0);
    close(fd);
    assert_int_equal(a.status, 200);
    for (size_t i = 0; i < sizeof wanted / sizeof wanted[0]; i++)
        if (strstr(a.body, wanted[i]) == NULL)
            fail_msg("no '%s' in\n%s", wanted[i], a.body);
    helper_free(&a);
}

/* Who is not known is refused on the admin socket, before the body is read. */
static void test_strangers_at_the_admin_socket(void **state)
{
    (void)state;
    const int fd = helper_connect(f.admin_port);
    helper_send_text(fd, "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 100000\r\n\r\n");
    struct http_answer a = helper_read(fd, 0);
    close(fd);
    assert_int_equal(a.status, 403);
    assert_non_null(strstr(a.body, "members of its group"));
    helper_free(&a);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_golden_table, setup, teardown),
        cmocka_unit_test_setup_teardown(test_http_surface, setup, teardown),
        cmocka_unit_test_setup_teardown(test_admin_and_members_arrive, setup, teardown),
        cmocka_unit_test_setup_teardown(test_proxy_is_for_the_leader, setup, teardown),
        cmocka_unit_test_setup_teardown(test_stale_page_is_no_leader, setup, teardown),
        cmocka_unit_test_setup_teardown(test_thousand_commits_reuse_the_ring, setup, teardown),
        cmocka_unit_test_setup_teardown(test_larger_than_the_ring, setup, teardown),
        cmocka_unit_test_setup_teardown(test_commit_refusals, setup, teardown),
        cmocka_unit_test_setup_teardown(test_hold_then_release, setup, teardown),
        cmocka_unit_test_setup_teardown(test_hold_ends, setup, teardown),
        cmocka_unit_test_setup_teardown(test_deadline_keeps_the_slot, setup, teardown),
        cmocka_unit_test_setup_teardown(test_consensus_restart, setup, teardown),
        cmocka_unit_test_setup_teardown(test_caller_gone_is_not_proposed, setup, teardown),
        cmocka_unit_test_setup_teardown(test_lost_leadership_is_tried_again, setup, teardown),
        cmocka_unit_test_setup_teardown(test_drain_answers_first, setup, teardown),
        cmocka_unit_test_setup_teardown(test_binary_and_latest, setup, teardown),
        cmocka_unit_test_setup_teardown(test_status_and_metrics, setup, teardown),
        cmocka_unit_test_setup_teardown(test_strangers_at_the_admin_socket, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
