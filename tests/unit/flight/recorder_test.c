/* Stamps, and how records that come again and again are thinned out. */
#include "shared/base/clock.h"
#include "shared/flight/ring.h"
#include "supervisor/recorder.h"
#include "testing.h"

#include <stdio.h>
#include <string.h>

#define SECOND_NS UINT64_C(1000000000)

static struct recorder *rec;
static struct flight_reader *reader;

static int setup(void **state)
{
    (void)state;
    rec = recorder_new("there-is-no-such-file.events");
    assert_non_null(rec);
    reader = flight_reader_open(recorder_fd(rec));
    assert_non_null(reader);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    flight_reader_close(reader);
    recorder_free(rec);
    return 0;
}

static void put(uint64_t now_ns, enum flight_kind kind, const char *subject, const char *text, int32_t code)
{
    struct flight_record r;

    memset(&r, 0, sizeof r);
    r.kind = kind;
    r.code = code;
    (void)snprintf(r.subject, sizeof r.subject, "%s", subject);
    (void)snprintf(r.text, sizeof r.text, "%s", text);
    recorder_put(rec, now_ns, &r);
}

static struct flight_record newest(void)
{
    struct flight_record r;

    assert_int_equal(flight_reader_get(reader, flight_reader_newest(reader), &r), 0);
    return r;
}

static void records_are_stamped(void **state)
{
    uint64_t before_ms = clock_wall_ms();
    struct flight_record r;

    (void)state;
    put(123, FLIGHT_HEALTH, "healthy", "", 0);
    r = newest();
    assert_int_equal(r.mono_ns, 123);
    assert_true(r.wall_ms >= before_ms && r.wall_ms <= clock_wall_ms());
    assert_int_equal(r.repeats, 1);
    recorder_put(NULL, 1, &r); /* no memory for a recorder: nothing happens */
}

static void a_loop_does_not_push_its_cause_out(void **state)
{
    (void)state;
    put(1, FLIGHT_PROCESS_DOWN, "op-node", "the cause", 1);
    /* A day of retries, one each second. */
    for (uint64_t i = 1; i <= 86400; i++)
        put(i * SECOND_NS, FLIGHT_SEQ_START, "", "op-node refused", 3);
    /* 1 to 8, then 16, 32, … 65536: 8 + 13. */
    assert_int_equal(flight_reader_newest(reader), 1 + 8 + 13);
    assert_int_equal(newest().repeats, 65536);
}

static void what_differs_is_kept_apart(void **state)
{
    static const struct {
        enum flight_kind kind;
        const char *subject, *text;
        int32_t code;
    } rows[] = {
        {FLIGHT_READY, "a", "t", 1},  {FLIGHT_HEALTH, "a", "t", 1}, {FLIGHT_READY, "b", "t", 1},
        {FLIGHT_READY, "a", "t2", 1}, {FLIGHT_READY, "a", "t", 2},
    };

    (void)state;
    for (unsigned i = 0; i < RECORDER_SAME_MAX; i++) {
        for (size_t k = 0; k < sizeof rows / sizeof rows[0]; k++) {
            put((i + 1) * SECOND_NS, rows[k].kind, rows[k].subject, rows[k].text, rows[k].code);
            assert_int_equal(newest().repeats, i + 1);
        }
    }
    assert_int_equal(flight_reader_newest(reader), RECORDER_SAME_MAX * (sizeof rows / sizeof rows[0]));
}

static void a_pause_ends_the_count(void **state)
{
    (void)state;
    for (unsigned i = 0; i < 10; i++)
        put(SECOND_NS + i, FLIGHT_READY, "", "ready", 0);
    assert_int_equal(flight_reader_newest(reader), 8);
    put(2 * SECOND_NS + RECORDER_SAME_PAUSE_NS, FLIGHT_READY, "", "ready", 0);
    assert_int_equal(flight_reader_newest(reader), 9);
    assert_int_equal(newest().repeats, 1);
}

static void many_different_ones_are_all_kept(void **state)
{
    char text[32];

    (void)state;
    for (unsigned i = 0; i < 500; i++) {
        (void)snprintf(text, sizeof text, "number %u", i);
        put(i, FLIGHT_READY, "", text, 0);
    }
    assert_int_equal(flight_reader_newest(reader), 500);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(records_are_stamped, setup, teardown),
        cmocka_unit_test_setup_teardown(a_loop_does_not_push_its_cause_out, setup, teardown),
        cmocka_unit_test_setup_teardown(what_differs_is_kept_apart, setup, teardown),
        cmocka_unit_test_setup_teardown(a_pause_ends_the_count, setup, teardown),
        cmocka_unit_test_setup_teardown(many_different_ones_are_all_kept, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
