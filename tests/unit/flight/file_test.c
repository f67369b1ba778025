/* The file: copied by consensus's thread, read by the next supervisor; torn, damaged, unwritable. */
#include "consensus/flightlog.h"
#include "consensus/flightnote.h"
#include "shared/base/clock.h"
#include "shared/base/fd.h"
#include "shared/base/log.h"
#include "shared/flight/ring.h"
#include "supervisor/recorder.h"
#include "testing.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define WAIT_MS 20000

static char dir[64], path[96];
static unsigned warnings;

static void count_warnings(void *ctx, const char *line, size_t len)
{
    (void)ctx;
    (void)line;
    (void)len;
    warnings++;
}

static int setup(void **state)
{
    const struct log_options log = {.level = LOG_WARN};

    (void)state;
    log_init(&log);
    log_set_sink(count_warnings, NULL);
    warnings = 0;
    (void)snprintf(dir, sizeof dir, "flight-file-XXXXXX");
    assert_non_null(mkdtemp(dir));
    (void)snprintf(path, sizeof path, "%s/test.events", dir);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    if (unlink(path) < 0 && errno == EISDIR)
        (void)rmdir(path);
    assert_int_equal(rmdir(dir), 0); /* nothing else is left in it */
    return 0;
}

static void put(struct recorder *rec, uint64_t count)
{
    struct flight_record r;

    memset(&r, 0, sizeof r);
    r.kind = FLIGHT_HEALTH;
    r.count = count;
    /* Different ones: the same again would be thinned out. */
    (void)snprintf(r.text, sizeof r.text, "number %llu", (unsigned long long)count);
    recorder_put(rec, count, &r);
}

static void put_ended(struct recorder *rec)
{
    struct flight_record r;

    memset(&r, 0, sizeof r);
    r.kind = FLIGHT_ENDED;
    recorder_put(rec, 1, &r);
}

static bool slot_is(uint64_t sequence, uint64_t count)
{
    struct flight_record r;
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    int rc = fd < 0 ? -1 : fd_pread_all(fd, &r, sizeof r, (flight_slot_of(sequence) + 1) * FLIGHT_RECORD_BYTES);

    fd_close(&fd);
    return rc == 0 && flight_record_is_valid(&r) && r.sequence == sequence && r.count == count;
}

static void wait_for_slot(uint64_t sequence, uint64_t count)
{
    uint64_t end_ms = clock_mono_ms() + WAIT_MS;

    while (!slot_is(sequence, count)) {
        assert_true(clock_mono_ms() < end_ms);
        (void)usleep(1000);
    }
}

static void overwrite(uint64_t offset, const void *data, size_t len)
{
    int fd = open(path, O_WRONLY | O_CLOEXEC);

    assert_true(fd >= 0);
    assert_int_equal(pwrite(fd, data, len, (off_t)offset), len);
    fd_close(&fd);
}

static struct flight_reader *reader_of(const struct recorder *rec)
{
    struct flight_reader *reader = flight_reader_open(recorder_fd(rec));

    assert_non_null(reader);
    return reader;
}

static void expect(const struct recorder *rec, uint64_t newest, uint32_t run, uint64_t first)
{
    struct flight_reader *reader = reader_of(rec);
    uint64_t got_first;

    assert_int_equal(flight_reader_newest(reader), newest);
    assert_int_equal(flight_reader_run(reader, &got_first), run);
    assert_int_equal(got_first, first);
    flight_reader_close(reader);
}

static void records_reach_the_file_at_once_and_the_next_run(void **state)
{
    struct recorder *rec = recorder_new(path);
    struct flightlog *copy;
    struct stat st;

    (void)state;
    assert_string_equal(recorder_before(rec), "first start");
    put(rec, 1); /* before there is anybody to copy it */
    put(rec, 2);
    copy = flightlog_start(recorder_fd(rec), path);
    assert_non_null(copy);
    wait_for_slot(2, 2);
    assert_int_equal(stat(path, &st), 0);
    assert_int_equal(st.st_size, FLIGHT_FILE_BYTES);
    assert_int_equal(st.st_blocks * 512 >= st.st_size, 1); /* its space is taken: it cannot run out later */
    put(rec, 3);
    wait_for_slot(3, 3);
    /* Consensus is killed (here: left alone), the supervisor too: a new one knows all of it. */
    recorder_free(rec);
    rec = recorder_new(path);
    expect(rec, 3, 2, 4);
    assert_string_equal(recorder_before(rec), "the run before did not end in order");
    flightlog_stop(copy);
    copy = flightlog_start(recorder_fd(rec), path);
    put(rec, 4);
    put_ended(rec);
    flightlog_stop(copy); /* takes the last ones with it */
    assert_true(slot_is(4, 4));
    assert_true(slot_is(5, 0));
    recorder_free(rec);
    rec = recorder_new(path);
    expect(rec, 5, 3, 6);
    assert_string_equal(recorder_before(rec), "the run before ended in order");
    recorder_free(rec);
    assert_int_equal(warnings, 0);
}

static void a_tool_leaves_its_event_while_the_server_is_stopped(void **state)
{
    struct recorder *rec = recorder_new(path);
    struct flightlog *copy = flightlog_start(recorder_fd(rec), path);
    char storage_dir[128];
    struct flight_record r;
    struct flight_reader *reader;

    (void)state;
    put(rec, 1);
    put_ended(rec);
    flightlog_stop(copy);
    recorder_free(rec);
    memset(&r, 0, sizeof r);
    r.kind = FLIGHT_OPERATOR;
    r.count = 33;
    (void)snprintf(storage_dir, sizeof storage_dir, "%s/test///", dir);
    flightnote_leave(storage_dir, &r);
    assert_true(slot_is(3, 33));
    rec = recorder_new(path);
    expect(rec, 3, 3, 4);
    assert_string_equal(recorder_before(rec), "the run before ended in order");
    reader = reader_of(rec);
    assert_int_equal(flight_reader_get(reader, 1, &r), 0); /* what was before is kept */
    flight_reader_close(reader);
    recorder_free(rec);
    assert_int_equal(warnings, 0);
}

static void a_restarted_consensus_catches_up_over_more_than_a_round(void **state)
{
    const uint64_t total = 2 * FLIGHT_SLOTS + 5;
    struct recorder *rec = recorder_new(path);
    struct flightlog *copy = flightlog_start(recorder_fd(rec), path);

    (void)state;
    put(rec, 1);
    flightlog_stop(copy);
    for (uint64_t i = 2; i <= total; i++)
        put(rec, i);
    copy = flightlog_start(recorder_fd(rec), path);
    flightlog_stop(copy);
    for (uint64_t i = total - FLIGHT_SLOTS + 1; i <= total; i++)
        assert_true(slot_is(i, i));
    recorder_free(rec);
    rec = recorder_new(path);
    expect(rec, total, 2, total + 1);
    recorder_free(rec);
}

static void torn_and_foreign_slots_are_mended(void **state)
{
    struct recorder *rec = recorder_new(path);
    struct flightlog *copy = flightlog_start(recorder_fd(rec), path);
    static const char zeros[FLIGHT_RECORD_BYTES / 2];
    struct flight_record foreign;

    (void)state;
    for (uint64_t i = 1; i <= 6; i++)
        put(rec, i);
    flightlog_stop(copy);
    recorder_free(rec);
    /* A power failure in the middle of record 6, and a record from a future that was lost. */
    overwrite((uint64_t)6 * FLIGHT_RECORD_BYTES + sizeof zeros, zeros, sizeof zeros);
    rec = recorder_new(path);
    expect(rec, 5, 2, 6);
    memset(&foreign, 0, sizeof foreign);
    foreign.sequence = 900;
    flight_record_seal(&foreign);
    overwrite((uint64_t)900 * FLIGHT_RECORD_BYTES, &foreign, sizeof foreign);
    put(rec, 60);
    copy = flightlog_start(recorder_fd(rec), path);
    flightlog_stop(copy);
    recorder_free(rec);
    assert_true(slot_is(6, 60));
    rec = recorder_new(path);
    expect(rec, 6, 3, 7);
    recorder_free(rec);
}

static void a_damaged_file_is_replaced(void **state)
{
    struct recorder *rec = recorder_new(path);
    struct flightlog *copy = flightlog_start(recorder_fd(rec), path);

    (void)state;
    put(rec, 1);
    flightlog_stop(copy);
    recorder_free(rec);
    overwrite(0, "garbage", 7);
    rec = recorder_new(path); /* begins anew, and says so */
    assert_int_equal(warnings, 1);
    expect(rec, 0, 1, 1);
    put(rec, 10);
    copy = flightlog_start(recorder_fd(rec), path);
    flightlog_stop(copy);
    assert_true(slot_is(1, 10));
    recorder_free(rec);
    rec = recorder_new(path);
    expect(rec, 1, 2, 2);
    recorder_free(rec);
    assert_int_equal(warnings, 1);
}

static void without_a_file_it_goes_on_in_memory_and_says_so_once(void **state)
{
    struct recorder *rec;
    struct flightlog *copy;
    struct flight_reader *reader;
    struct flight_record r;
    uint64_t end_ms = clock_mono_ms() + WAIT_MS;

    (void)state;
    assert_int_equal(mkdir(path, 0700), 0); /* something that root cannot open for writing either */
    rec = recorder_new(path);
    reader = reader_of(rec);
    warnings = 0;
    copy = flightlog_start(recorder_fd(rec), path);
    assert_non_null(copy);
    for (uint64_t i = 1; i <= 20; i++)
        put(rec, i);
    while (*(volatile unsigned *)&warnings == 0) {
        assert_true(clock_mono_ms() < end_ms);
        (void)usleep(1000);
    }
    for (uint64_t i = 21; i <= 40; i++) {
        put(rec, i);
        (void)usleep(1000);
    }
    assert_int_equal(flight_reader_newest(reader), 40);
    assert_int_equal(flight_reader_get(reader, 40, &r), 0);
    flightlog_stop(copy); /* tries a last time */
    assert_int_equal(warnings, 1);
    flight_reader_close(reader);
    recorder_free(rec);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(records_reach_the_file_at_once_and_the_next_run, setup, teardown),
        cmocka_unit_test_setup_teardown(a_tool_leaves_its_event_while_the_server_is_stopped, setup, teardown),
        cmocka_unit_test_setup_teardown(a_restarted_consensus_catches_up_over_more_than_a_round, setup, teardown),
        cmocka_unit_test_setup_teardown(torn_and_foreign_slots_are_mended, setup, teardown),
        cmocka_unit_test_setup_teardown(a_damaged_file_is_replaced, setup, teardown),
        cmocka_unit_test_setup_teardown(without_a_file_it_goes_on_in_memory_and_says_so_once, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
