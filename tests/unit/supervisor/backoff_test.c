/* Delays grow to the cap and are forgotten after a stable run; final exits. */
#include "shared/worker/worker.h"
#include "supervisor/backoff.h"
#include "testing.h"

#include <errno.h>
#include <signal.h>

static void first_restart_is_immediate_then_grows(void **state)
{
    static const uint64_t want[] = {0, 100, 200, 400, 800, 1600, 3200, 5000, 5000};
    struct backoff b = {0};

    (void)state;
    for (size_t i = 0; i < sizeof want / sizeof want[0]; i++)
        assert_int_equal(backoff_on_death(&b, true, 50, 5000, 0), want[i]);
    /* A stable run makes the next one the first again. */
    assert_int_equal(backoff_on_death(&b, true, BACKOFF_STABLE_MS, 5000, 0), 0);
    assert_int_equal(backoff_on_death(&b, true, 50, 5000, 0), 100);
}

static void failed_starts_wait_from_the_first(void **state)
{
    struct backoff b = {0};

    (void)state;
    assert_int_equal(backoff_on_death(&b, false, 0, 5000, 0), 100);
    assert_int_equal(backoff_on_death(&b, false, 0, 5000, 0), 200);
    assert_int_equal(b.failed_starts, 2);
    assert_false(b.was_ever_ready);
}

static void jitter_adds_at_most_a_quarter(void **state)
{
    (void)state;
    for (uint32_t jitter = 0; jitter < 5000; jitter += 7) {
        struct backoff b = {.deaths = 3};
        uint64_t ms = backoff_on_death(&b, false, 0, 100000, jitter);
        assert_in_range(ms, 800, 1000);
        b = (struct backoff){.deaths = 40};
        assert_int_equal(backoff_on_death(&b, false, 0, 3000, jitter), 3000);
    }
}

static void cap_of_zero_is_no_delay(void **state)
{
    struct backoff b = {0};

    (void)state;
    for (int i = 0; i < 5; i++)
        assert_int_equal(backoff_on_death(&b, true, 0, 0, 9), 0);
}

static void final_exits(void **state)
{
    static const struct {
        uint32_t failed_starts;
        int exec_err, code, sig;
        bool is_worker, was_ever_ready, final;
    } rows[] = {
        {0, 0, WORKER_EXIT_PERMISSION, 0, true, true, true},
        {0, 0, WORKER_EXIT_CONFIG, 0, true, true, true},
        {1, 0, WORKER_EXIT_BUILD_MISMATCH, 0, true, false, true},
        {0, 0, WORKER_EXIT_INTERNAL, 0, true, true, false},
        {0, 0, WORKER_EXIT_TRY_LATER, 0, true, true, false},
        {99, 0, 0, SIGSEGV, true, true, false},
        {0, 0, 0, 0, true, true, false},
        /* never ready */
        {BACKOFF_START_TRIES - 1, 0, WORKER_EXIT_TRY_LATER, 0, true, false, false},
        {BACKOFF_START_TRIES, 0, WORKER_EXIT_TRY_LATER, 0, true, false, true},
        {BACKOFF_START_TRIES, 0, 0, SIGKILL, true, false, true},
        /* a signal's number is not a code */
        {0, 0, 0, 78, true, true, false},
        /* op-node's codes mean nothing */
        {99, 0, WORKER_EXIT_CONFIG, 0, false, false, false},
        {0, ENOENT, 127, 0, false, false, true},
        {0, ENOENT, 127, 0, false, true, false},
        {0, ENOENT, 127, 0, true, true, false},
    };

    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct backoff b = {.was_ever_ready = rows[i].was_ever_ready, .failed_starts = rows[i].failed_starts};
        if (backoff_is_final(&b, rows[i].is_worker, rows[i].exec_err, rows[i].code, rows[i].sig) != rows[i].final)
            fail_msg("row %zu", i);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(first_restart_is_immediate_then_grows),
        cmocka_unit_test(failed_starts_wait_from_the_first),
        cmocka_unit_test(jitter_adds_at_most_a_quarter),
        cmocka_unit_test(cap_of_zero_is_no_delay),
        cmocka_unit_test(final_exits),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
