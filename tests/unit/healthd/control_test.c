/* Commands against a fake op-node that works, refuses, ignores, hangs or has another head. */
#include "fake_node.h"

#include "healthd/control.h"
#include "shared/base/clock.h"
#include "shared/base/fd.h"

#include <curl/curl.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cmocka.h>

#define MS_NS UINT64_C(1000000)
#define RESULTS_MAX 16

struct outcome {
    uint64_t request_id;
    struct msg_node_result result;
};

struct bench {
    struct fake_node *node;
    struct probe *probe;
    struct control *control;
    char url[64];
    struct outcome outcomes[RESULTS_MAX];
    size_t count;
    unsigned statuses;
};

static void on_result(void *ctx, uint64_t request_id, const struct msg_node_result *r)
{
    struct bench *b = ctx;
    assert_true(b->count < RESULTS_MAX);
    b->outcomes[b->count++] = (struct outcome){request_id, *r};
}

static void on_status(void *ctx, const struct node_status *status)
{
    struct bench *b = ctx;
    (void)status;
    b->statuses++;
}

static int bench_open(void **state)
{
    struct bench *b = calloc(1, sizeof *b);
    const struct control_events events = {.ctx = b, .result = on_result, .status = on_status};
    assert_non_null(b);
    b->node = fake_node_new(100);
    fake_node_url(b->node, b->url, sizeof b->url);
    b->probe = probe_new();
    b->control = control_new(b->probe, b->url, &events);
    assert_non_null(b->control);
    *state = b;
    return 0;
}

static int bench_close(void **state)
{
    struct bench *b = *state;
    control_free(b->control);
    probe_free(b->probe);
    fake_node_free(b->node);
    free(b);
    return 0;
}

static void turn(struct bench *b)
{
    uint64_t now_ns = clock_mono_ns(), next_ns = control_tick(b->control, now_ns);
    uint64_t wait_ms = next_ns > now_ns ? (next_ns - now_ns) / MS_NS + 1 : 0;
    (void)probe_step(b->probe, -1, 0, wait_ms < 20 ? (int)wait_ms : 20);
}

static void run_until(struct bench *b, size_t results)
{
    uint64_t limit_ns = clock_mono_ns() + 30000 * MS_NS;
    while (b->count < results && clock_mono_ns() < limit_ns)
        turn(b);
    assert_int_equal(b->count, results);
}

static void submit(struct bench *b, uint64_t id, enum node_verb verb, const struct block_id *head, int fd,
                   uint64_t records, uint64_t timeout_ms)
{
    struct msg_node_cmd cmd = {.verb = verb, .record_count = records};
    uint64_t now_ns = clock_mono_ns();
    cmd.deadline_mono_ns = now_ns + timeout_ms * MS_NS;
    if (head != NULL) {
        cmd.head_valid = 1;
        cmd.head = *head;
    }
    control_submit(b->control, id, &cmd, fd, now_ns);
}

static const struct msg_node_result *last(const struct bench *b)
{
    return &b->outcomes[b->count - 1].result;
}

/* One TAKEOVER or ADOPT with the records from..to (none if from is 0); returns the code. */
static enum node_rc adopt(struct bench *b, enum node_verb verb, uint64_t head, uint64_t from, uint64_t to,
                          uint64_t timeout_ms)
{
    struct block_id block = fake_block(head);
    int fd = from > 0 ? fake_export(from, to) : -1;
    submit(b, 7, verb, &block, fd, from > 0 ? to - from + 1 : 0, timeout_ms);
    fd_close(&fd);
    run_until(b, b->count + 1);
    assert_int_equal(last(b)->verb, verb);
    return (enum node_rc)last(b)->rc;
}

static void test_start_and_stop(void **state)
{
    struct bench *b = *state;
    struct block_id head = fake_block(100);
    submit(b, 1, NODE_CMD_START, &head, -1, 0, 5000);
    run_until(b, 1);
    assert_int_equal(last(b)->rc, NODE_OK);
    assert_int_equal(last(b)->sequencer_active, NODE_YES);
    assert_memory_equal(&last(b)->head, &head, sizeof head);
    assert_true(last(b)->duration_us > 0);
    assert_int_equal(b->outcomes[0].request_id, 1);
    assert_true(fake_node_is_active(b->node));
    assert_true(control_may_be_active(b->control));

    submit(b, 2, NODE_CMD_START, &head, -1, 0, 5000);
    run_until(b, 2);
    assert_int_equal(last(b)->rc, NODE_ALREADY);
    assert_int_equal(last(b)->sequencer_active, NODE_YES);

    submit(b, 3, NODE_CMD_STOP, NULL, -1, 0, 5000);
    run_until(b, 3);
    assert_int_equal(last(b)->rc, NODE_OK);
    assert_int_equal(last(b)->sequencer_active, NODE_NO);
    assert_memory_equal(&last(b)->head, &head, sizeof head);
    assert_false(fake_node_is_active(b->node));
    assert_false(control_may_be_active(b->control));

    submit(b, 4, NODE_CMD_STOP, NULL, -1, 0, 5000);
    run_until(b, 4);
    assert_int_equal(last(b)->rc, NODE_ALREADY);
    assert_int_equal(last(b)->sequencer_active, NODE_NO);
}

/* op-node's event loop has to be told, once for each start, and whatever comes of it. */
static void test_a_started_sequencer_is_woken(void **state)
{
    struct bench *b = *state;
    struct block_id head = fake_block(100);
    uint64_t limit_ns = clock_mono_ns() + 10000 * MS_NS;
    fake_node_set_mood(b->node, FAKE_OUTPUT, FAKE_HANGS, "");
    submit(b, 1, NODE_CMD_START, &head, -1, 0, 5000);
    run_until(b, 1);
    assert_int_equal(last(b)->rc, NODE_OK);
    while (fake_node_calls(b->node, FAKE_OUTPUT) == 0 && clock_mono_ns() < limit_ns)
        turn(b);
    assert_int_equal(fake_node_calls(b->node, FAKE_OUTPUT), 1);

    submit(b, 2, NODE_CMD_START, &head, -1, 0, 5000);
    submit(b, 3, NODE_CMD_STOP, NULL, -1, 0, 5000);
    run_until(b, 3);
    assert_int_equal(fake_node_calls(b->node, FAKE_OUTPUT), 1);
    assert_int_equal(adopt(b, NODE_CMD_TAKEOVER, 100, 0, 0, 5000), NODE_OK);
    while (fake_node_calls(b->node, FAKE_OUTPUT) < 2 && clock_mono_ns() < limit_ns)
        turn(b);
    assert_int_equal(fake_node_calls(b->node, FAKE_OUTPUT), 2);
}

static void test_takeover_at_the_same_head(void **state)
{
    struct bench *b = *state;
    assert_int_equal(adopt(b, NODE_CMD_TAKEOVER, 100, 0, 0, 5000), NODE_OK);
    assert_int_equal(last(b)->posted_count, 0);
    assert_true(fake_node_is_active(b->node));
    assert_true(b->statuses > 0);
}

static void test_takeover_posts_what_is_missing(void **state)
{
    struct bench *b = *state;
    struct block_id head = fake_block(140);
    assert_int_equal(adopt(b, NODE_CMD_TAKEOVER, 140, 90, 140, 20000), NODE_OK);
    assert_int_equal(last(b)->posted_count, 40);
    assert_memory_equal(&last(b)->head, &head, sizeof head);
    head = fake_node_head(b->node);
    assert_int_equal(head.number, 140);
    assert_true(fake_node_is_active(b->node));
}

static void test_takeover_stops_at_the_head_though_more_is_exported(void **state)
{
    struct bench *b = *state;
    assert_int_equal(adopt(b, NODE_CMD_TAKEOVER, 103, 101, 110, 5000), NODE_OK);
    assert_int_equal(last(b)->posted_count, 3);
    assert_int_equal(fake_node_head(b->node).number, 103);
}

static void test_adopt_does_not_start(void **state)
{
    struct bench *b = *state;
    assert_int_equal(adopt(b, NODE_CMD_ADOPT, 102, 101, 102, 5000), NODE_OK);
    assert_int_equal(last(b)->sequencer_active, NODE_DONT_KNOW);
    assert_int_equal(fake_node_head(b->node).number, 102);
    assert_false(fake_node_is_active(b->node));
    assert_int_equal(fake_node_calls(b->node, FAKE_START), 0);
}

static void test_takeover_without_a_consensus_head(void **state)
{
    struct bench *b = *state;
    submit(b, 1, NODE_CMD_TAKEOVER, NULL, -1, 0, 5000);
    run_until(b, 1);
    assert_int_equal(last(b)->rc, NODE_OK);
    assert_int_equal(last(b)->head.number, 100);
    assert_true(fake_node_is_active(b->node));
}

static void test_takeover_refuses_other_heads(void **state)
{
    struct bench *b = *state;
    struct block_id other = {.number = 100, .hash = {1, 2, 3}};
    assert_int_equal(adopt(b, NODE_CMD_TAKEOVER, 99, 98, 99, 5000), NODE_AHEAD);
    assert_int_equal(last(b)->head.number, 100);
    assert_int_equal(adopt(b, NODE_CMD_TAKEOVER, 105, 102, 105, 5000), NODE_GAP);
    assert_int_equal(adopt(b, NODE_CMD_TAKEOVER, 105, 0, 0, 5000), NODE_GAP);
    assert_int_equal(adopt(b, NODE_CMD_TAKEOVER, 105, 101, 104, 5000), NODE_GAP);
    fake_node_set_head(b->node, &other);
    assert_int_equal(adopt(b, NODE_CMD_TAKEOVER, 100, 0, 0, 5000), NODE_MISMATCH);
    assert_int_equal(adopt(b, NODE_CMD_TAKEOVER, 103, 101, 103, 5000), NODE_MISMATCH);
    assert_int_equal(fake_node_calls(b->node, FAKE_START), 0);
    assert_int_equal(fake_node_calls(b->node, FAKE_POST), 0);
    assert_true(last(b)->text[0] != '\0');
}

static void test_lost_posts_are_repeated(void **state)
{
    struct bench *b = *state;
    fake_node_set_mood(b->node, FAKE_POST, FAKE_DROPS_FIRST, NULL);
    assert_int_equal(adopt(b, NODE_CMD_TAKEOVER, 102, 101, 102, 20000), NODE_OK);
    assert_true(last(b)->posted_count >= 4);
    assert_true(fake_node_is_active(b->node));
}

static void test_ignored_posts_end_at_the_deadline(void **state)
{
    struct bench *b = *state;
    fake_node_set_mood(b->node, FAKE_POST, FAKE_IGNORES, NULL);
    assert_int_equal(adopt(b, NODE_CMD_TAKEOVER, 101, 101, 101, 2500), NODE_TIMEOUT);
    assert_true(last(b)->posted_count >= 2);
    assert_true(last(b)->duration_us >= 2500000);
    assert_non_null(strstr(last(b)->text, "its unsafe head is 100, not 101"));
    assert_int_equal(fake_node_calls(b->node, FAKE_START), 0);
}

static void test_refused_posts(void **state)
{
    struct bench *b = *state;
    fake_node_set_mood(b->node, FAKE_POST, FAKE_ERROR, "payload has bad block hash: X, actual block hash is: Y");
    assert_int_equal(adopt(b, NODE_CMD_TAKEOVER, 101, 101, 101, 5000), NODE_REFUSED);
    assert_int_equal(fake_node_calls(b->node, FAKE_POST), 1);
    assert_non_null(strstr(last(b)->text, "bad block hash"));
    /* An error that may pass is tried a few times. */
    fake_node_set_mood(b->node, FAKE_POST, FAKE_ERROR, "engine is busy");
    assert_int_equal(adopt(b, NODE_CMD_TAKEOVER, 101, 101, 101, 5000), NODE_REFUSED);
    assert_true(fake_node_calls(b->node, FAKE_POST) > 2);
    assert_string_equal(last(b)->text, "engine is busy");
}

static void test_refused_starts(void **state)
{
    struct bench *b = *state;
    fake_node_set_mood(b->node, FAKE_START, FAKE_ERROR, "sequencer is not the leader, aborting");
    assert_int_equal(adopt(b, NODE_CMD_TAKEOVER, 100, 0, 0, 5000), NODE_REFUSED);
    assert_true(fake_node_calls(b->node, FAKE_START) > 1);
    fake_node_set_mood(b->node, FAKE_START, FAKE_ERROR, "out of order");
    unsigned before = fake_node_calls(b->node, FAKE_START);
    assert_int_equal(adopt(b, NODE_CMD_TAKEOVER, 100, 0, 0, 5000), NODE_REFUSED);
    assert_int_equal(fake_node_calls(b->node, FAKE_START), before + 1);
    /* The sequencer's head may lag behind the status for a moment, but not for ever. */
    fake_node_set_mood(b->node, FAKE_START, FAKE_ERROR, "block hash does not match: head X, received Y");
    assert_int_equal(adopt(b, NODE_CMD_TAKEOVER, 100, 0, 0, 600), NODE_TIMEOUT);
    assert_non_null(strstr(last(b)->text, "block hash does not match"));
    assert_true(fake_node_calls(b->node, FAKE_START) > before + 3);
}

static void test_a_start_that_is_refused_for_a_moment(void **state)
{
    struct bench *b = *state;
    struct block_id head = fake_block(100);
    fake_node_set_mood(b->node, FAKE_START, FAKE_ERROR, "no prestate, cannot determine if sequencer start is safe");
    submit(b, 1, NODE_CMD_TAKEOVER, &head, -1, 0, 20000);
    while (fake_node_calls(b->node, FAKE_START) < 2)
        turn(b);
    fake_node_set_mood(b->node, FAKE_START, FAKE_NORMAL, NULL);
    run_until(b, 1);
    assert_int_equal(last(b)->rc, NODE_OK);
}

static void test_a_node_without_head_is_waited_for(void **state)
{
    struct bench *b = *state;
    struct block_id head = fake_block(100);
    fake_node_set_blank(b->node, true);
    assert_int_equal(adopt(b, NODE_CMD_TAKEOVER, 100, 0, 0, 400), NODE_TIMEOUT);
    assert_non_null(strstr(last(b)->text, "no unsafe head yet"));
    submit(b, 1, NODE_CMD_TAKEOVER, &head, -1, 0, 20000);
    turn(b);
    fake_node_set_blank(b->node, false);
    run_until(b, 2);
    assert_int_equal(last(b)->rc, NODE_OK);
}

struct broken_case {
    enum fake_method method;
    enum fake_mood mood;
    enum node_rc want;
};

static void test_hanging_and_broken_answers(void **state)
{
    static const struct broken_case cases[] = {
        {FAKE_SYNC, FAKE_HANGS, NODE_TIMEOUT},        {FAKE_SYNC, FAKE_HTTP_500, NODE_UNREACHABLE},
        {FAKE_SYNC, FAKE_GARBAGE, NODE_UNREACHABLE},  {FAKE_POST, FAKE_HANGS, NODE_TIMEOUT},
        {FAKE_POST, FAKE_HTTP_500, NODE_UNREACHABLE}, {FAKE_START, FAKE_HTTP_500, NODE_UNREACHABLE},
    };
    struct bench *b = *state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct block_id head = fake_block(100);
        fake_node_set_head(b->node, &head);
        fake_node_set_active(b->node, false);
        fake_node_set_mood(b->node, cases[i].method, cases[i].mood, NULL);
        uint64_t timeout_ms = cases[i].want == NODE_TIMEOUT ? 700 : 20000;
        enum node_rc rc = adopt(b, NODE_CMD_TAKEOVER, 101, 101, 101, timeout_ms);
        if (rc != cases[i].want)
            fail_msg("case %zu: got %d, want %d (%s)", i, rc, cases[i].want, last(b)->text);
        fake_node_set_mood(b->node, cases[i].method, FAKE_NORMAL, NULL);
    }
}

static void test_hanging_stop_ends_at_its_deadline(void **state)
{
    struct bench *b = *state;
    fake_node_set_active(b->node, true);
    fake_node_set_mood(b->node, FAKE_STOP, FAKE_HANGS, NULL);
    submit(b, 1, NODE_CMD_STOP, NULL, -1, 0, 300);
    run_until(b, 1);
    assert_int_equal(last(b)->rc, NODE_TIMEOUT);
    assert_int_equal(last(b)->sequencer_active, NODE_DONT_KNOW);
}

static void test_nobody_listens(void **state)
{
    struct bench *b = *state;
    struct block_id head = fake_block(100);
    snprintf(b->url, sizeof b->url, "http://127.0.0.1:1");
    submit(b, 1, NODE_CMD_TAKEOVER, &head, -1, 0, 20000);
    submit(b, 2, NODE_CMD_START, &head, -1, 0, 20000);
    run_until(b, 2);
    assert_int_equal(b->outcomes[0].result.rc, NODE_UNREACHABLE);
    assert_int_equal(b->outcomes[1].result.rc, NODE_UNREACHABLE);
    assert_true(last(b)->text[0] != '\0');
}

static void test_a_stop_ends_a_takeover(void **state)
{
    struct bench *b = *state;
    struct block_id head = fake_block(101);
    int fd = fake_export(101, 101);
    fake_node_set_mood(b->node, FAKE_POST, FAKE_IGNORES, NULL);
    submit(b, 1, NODE_CMD_TAKEOVER, &head, fd, 1, 30000);
    submit(b, 2, NODE_CMD_ADOPT, &head, fd, 1, 30000);
    fd_close(&fd);
    while (fake_node_calls(b->node, FAKE_POST) == 0)
        turn(b);
    submit(b, 3, NODE_CMD_STOP, NULL, -1, 0, 5000);
    run_until(b, 3);
    assert_int_equal(b->outcomes[0].request_id, 2);
    assert_int_equal(b->outcomes[0].result.rc, NODE_REFUSED);
    assert_non_null(strstr(b->outcomes[0].result.text, "superseded"));
    assert_int_equal(b->outcomes[1].request_id, 1);
    assert_int_equal(b->outcomes[1].result.rc, NODE_REFUSED);
    assert_int_equal(b->outcomes[2].request_id, 3);
    assert_int_equal(b->outcomes[2].result.rc, NODE_ALREADY);
    assert_true(control_is_idle(b->control));
}

/* A start that op-node is working on is answered first, so that the stop comes after it. */
static void test_a_stop_waits_for_a_start_under_way(void **state)
{
    struct bench *b = *state;
    struct block_id head = fake_block(100);
    fake_node_set_delay(b->node, FAKE_START, 50);
    submit(b, 1, NODE_CMD_START, &head, -1, 0, 5000);
    while (fake_node_calls(b->node, FAKE_START) == 0)
        turn(b);
    submit(b, 2, NODE_CMD_STOP, NULL, -1, 0, 5000);
    run_until(b, 2);
    assert_int_equal(b->outcomes[0].request_id, 1);
    assert_int_equal(b->outcomes[1].result.rc, NODE_OK);
    assert_false(fake_node_is_active(b->node));
}

static void test_a_stop_does_not_wait_for_ever_for_a_start(void **state)
{
    struct bench *b = *state;
    struct block_id head = fake_block(100);
    fake_node_set_mood(b->node, FAKE_START, FAKE_HANGS, NULL);
    submit(b, 1, NODE_CMD_START, &head, -1, 0, 30000);
    while (fake_node_calls(b->node, FAKE_START) == 0)
        turn(b);
    submit(b, 2, NODE_CMD_STOP, NULL, -1, 0, 5000);
    run_until(b, 2);
    assert_int_equal(b->outcomes[0].result.rc, NODE_REFUSED);
    assert_int_equal(b->outcomes[1].request_id, 2);
    assert_int_equal(b->outcomes[1].result.sequencer_active, NODE_NO);
}

static void test_node_down_ends_everything(void **state)
{
    struct bench *b = *state;
    struct block_id head = fake_block(100);
    fake_node_set_mood(b->node, FAKE_START, FAKE_HANGS, NULL);
    submit(b, 1, NODE_CMD_START, &head, -1, 0, 30000);
    submit(b, 2, NODE_CMD_ADOPT, &head, -1, 0, 30000);
    while (fake_node_calls(b->node, FAKE_START) == 0)
        turn(b);
    assert_true(control_may_be_active(b->control));
    control_node_down(b->control, clock_mono_ns());
    assert_int_equal(b->count, 2);
    assert_int_equal(b->outcomes[0].result.rc, NODE_UNREACHABLE);
    assert_int_equal(b->outcomes[0].result.sequencer_active, NODE_NO);
    assert_int_equal(b->outcomes[1].result.rc, NODE_UNREACHABLE);
    assert_false(control_may_be_active(b->control));
    assert_true(control_is_idle(b->control));
}

static void test_the_queue_is_bounded_but_not_for_stops(void **state)
{
    struct bench *b = *state;
    struct block_id head = fake_block(100);
    for (uint64_t i = 0; i < CONTROL_QUEUE_MAX; i++)
        submit(b, i, NODE_CMD_START, &head, -1, 0, 5000);
    assert_int_equal(b->count, 0);
    submit(b, 50, NODE_CMD_START, &head, -1, 0, 5000);
    assert_int_equal(b->count, 1);
    assert_int_equal(last(b)->rc, NODE_REFUSED);
    submit(b, 51, NODE_CMD_STOP, NULL, -1, 0, 5000);
    run_until(b, CONTROL_QUEUE_MAX + 2);
    assert_int_equal(b->outcomes[b->count - 1].request_id, 51);
    assert_int_equal(last(b)->rc, NODE_ALREADY);
}

/* What comes with the command is checked before anything is posted. */
static void test_bad_records_are_refused(void **state)
{
    struct bench *b = *state;
    struct block_id head = fake_block(102);
    int fd = fake_export(101, 102);
    submit(b, 1, NODE_CMD_TAKEOVER, &head, fd, 3, 5000); /* one more than there are */
    assert_int_equal(last(b)->rc, NODE_REFUSED);
    submit(b, 2, NODE_CMD_TAKEOVER, &head, fd, 1, 5000); /* one less */
    assert_int_equal(last(b)->rc, NODE_REFUSED);
    submit(b, 3, NODE_CMD_TAKEOVER, &head, fd, 1u << 30, 5000);
    assert_int_equal(last(b)->rc, NODE_REFUSED);
    off_t size = lseek(fd, 0, SEEK_END);
    uint8_t *bytes = malloc((size_t)size);
    assert_int_equal(fd_pread_all(fd, bytes, (size_t)size, 0), 0);
    fd_close(&fd);

    static const struct {
        size_t at;
        uint8_t mask;
    } flips[] = {{0, 0xff}, {7, 0xff}, {8, 1}, {8 + 136 + 436, 1}, {8 + 72, 1}, {704, 0xff}};
    for (size_t i = 0; i < sizeof flips / sizeof flips[0]; i++) {
        int bad = fd_make_memfd("bad", 0);
        bytes[flips[i].at] ^= flips[i].mask;
        assert_int_equal(fd_write_all(bad, bytes, (size_t)size), 0);
        bytes[flips[i].at] ^= flips[i].mask;
        assert_int_equal(fd_seal(bad, FD_SEALS_FINAL), 0);
        size_t before = b->count;
        submit(b, 10 + i, NODE_CMD_TAKEOVER, &head, bad, 2, 5000);
        assert_int_equal(b->count, before + 1);
        assert_int_equal(last(b)->rc, NODE_REFUSED);
        assert_true(last(b)->text[0] != '\0');
        fd_close(&bad);
    }
    /* Unsealed: it could change or shrink under the reader. */
    int open_fd = fd_make_memfd("open", 0);
    assert_int_equal(fd_write_all(open_fd, bytes, (size_t)size), 0);
    submit(b, 30, NODE_CMD_TAKEOVER, &head, open_fd, 2, 5000);
    assert_int_equal(last(b)->rc, NODE_REFUSED);
    fd_close(&open_fd);
    free(bytes);
    assert_int_equal(fake_node_calls(b->node, FAKE_SYNC), 0);
}

static void test_unknown_verbs_are_refused(void **state)
{
    struct bench *b = *state;
    submit(b, 1, (enum node_verb)99, NULL, -1, 0, 1000);
    assert_int_equal(last(b)->rc, NODE_REFUSED);
    submit(b, 2, (enum node_verb)0, NULL, -1, 0, 1000);
    assert_int_equal(last(b)->rc, NODE_REFUSED);
}

#define CONTROL_TEST(f) cmocka_unit_test_setup_teardown(f, bench_open, bench_close)

int main(void)
{
    const struct CMUnitTest tests[] = {
        CONTROL_TEST(test_start_and_stop),
        CONTROL_TEST(test_a_started_sequencer_is_woken),
        CONTROL_TEST(test_takeover_at_the_same_head),
        CONTROL_TEST(test_takeover_posts_what_is_missing),
        CONTROL_TEST(test_takeover_stops_at_the_head_though_more_is_exported),
        CONTROL_TEST(test_adopt_does_not_start),
        CONTROL_TEST(test_takeover_without_a_consensus_head),
        CONTROL_TEST(test_takeover_refuses_other_heads),
        CONTROL_TEST(test_lost_posts_are_repeated),
        CONTROL_TEST(test_ignored_posts_end_at_the_deadline),
        CONTROL_TEST(test_refused_posts),
        CONTROL_TEST(test_refused_starts),
        CONTROL_TEST(test_a_start_that_is_refused_for_a_moment),
        CONTROL_TEST(test_a_node_without_head_is_waited_for),
        CONTROL_TEST(test_hanging_and_broken_answers),
        CONTROL_TEST(test_hanging_stop_ends_at_its_deadline),
        CONTROL_TEST(test_nobody_listens),
        CONTROL_TEST(test_a_stop_ends_a_takeover),
        CONTROL_TEST(test_a_stop_waits_for_a_start_under_way),
        CONTROL_TEST(test_a_stop_does_not_wait_for_ever_for_a_start),
        CONTROL_TEST(test_node_down_ends_everything),
        CONTROL_TEST(test_the_queue_is_bounded_but_not_for_stops),
        CONTROL_TEST(test_bad_records_are_refused),
        CONTROL_TEST(test_unknown_verbs_are_refused),
    };
    curl_global_init(CURL_GLOBAL_DEFAULT);
    int failed = cmocka_run_group_tests_name("op-node commands", tests, NULL, NULL);
    curl_global_cleanup();
    return failed;
}
