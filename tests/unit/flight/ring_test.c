/* The ring: order, going round, readers beside a writer, what is taken over from a file. */
#include "shared/base/clock.h"
#include "shared/base/err.h"
#include "shared/base/fd.h"
#include "shared/flight/ring.h"
#include "testing.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

struct pair {
    struct flight_ring *ring;
    struct flight_reader *reader;
};

static struct pair open_pair(void)
{
    struct pair p = {flight_ring_new(), NULL};

    assert_non_null(p.ring);
    p.reader = flight_reader_open(flight_ring_fd(p.ring));
    assert_non_null(p.reader);
    return p;
}

static void close_pair(struct pair *p)
{
    flight_reader_close(p->reader);
    flight_ring_free(p->ring);
}

static uint64_t put(struct flight_ring *ring, uint64_t count)
{
    struct flight_record r;

    memset(&r, 0, sizeof r);
    r.kind = FLIGHT_READY;
    r.count = count;
    (void)snprintf(r.text, sizeof r.text, "number %llu", (unsigned long long)count);
    return flight_ring_put(ring, &r);
}

static void records_come_out_as_they_went_in(void **state)
{
    struct pair p = open_pair();
    struct flight_record r;
    uint64_t first;

    (void)state;
    assert_int_equal(flight_reader_newest(p.reader), 0);
    assert_int_equal(flight_reader_oldest(p.reader), 1);
    assert_int_equal(flight_reader_get(p.reader, 0, &r), OC_ESTALE);
    assert_int_equal(flight_reader_get(p.reader, 1, &r), OC_ESTALE);
    for (uint64_t i = 1; i <= 10; i++)
        assert_int_equal(put(p.ring, i), i);
    for (uint64_t i = 1; i <= 10; i++) {
        assert_int_equal(flight_reader_get(p.reader, i, &r), 0);
        assert_int_equal(r.sequence, i);
        assert_int_equal(r.count, i);
        assert_int_equal(r.run, 1);
    }
    assert_int_equal(flight_reader_get(p.reader, 11, &r), OC_ESTALE);
    assert_int_equal(flight_reader_run(p.reader, &first), 1);
    assert_int_equal(first, 1);
    close_pair(&p);
}

static void the_oldest_go_when_it_is_full(void **state)
{
    struct pair p = open_pair();
    const uint64_t total = 3 * FLIGHT_SLOTS + 17;
    struct flight_record r;

    (void)state;
    for (uint64_t i = 1; i <= total; i++)
        (void)put(p.ring, i);
    assert_int_equal(flight_reader_newest(p.reader), total);
    assert_int_equal(flight_reader_oldest(p.reader), total - FLIGHT_SLOTS + 1);
    assert_int_equal(flight_reader_get(p.reader, total - FLIGHT_SLOTS, &r), OC_ESTALE);
    for (uint64_t i = total - FLIGHT_SLOTS + 1; i <= total; i++) {
        assert_int_equal(flight_reader_get(p.reader, i, &r), 0);
        assert_int_equal(r.count, i);
    }
    close_pair(&p);
}

static void readers_cannot_write(void **state)
{
    struct pair p = open_pair();
    int other = fd_make_memfd("no ring", 4096);

    (void)state;
    assert_ptr_equal(mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, flight_ring_fd(p.ring), 0), MAP_FAILED);
    assert_int_equal(write(flight_ring_fd(p.ring), "x", 1), -1);
    assert_int_equal(ftruncate(flight_ring_fd(p.ring), 0), -1);
    assert_null(flight_reader_open(other));
    fd_close(&other);
    close_pair(&p);
}

/* ---- a reader beside a fast writer ---- */

struct race {
    struct flight_ring *ring;
    _Atomic bool stop;
};

static void *write_fast(void *ctx)
{
    struct race *race = ctx;

    for (uint64_t i = 1; !race->stop; i++)
        (void)put(race->ring, i);
    return NULL;
}

static void a_reader_never_sees_half_a_record(void **state)
{
    struct pair p = open_pair();
    struct race race = {.ring = p.ring};
    uint64_t end_ms = clock_mono_ms() + 300, good = 0, at = 1;
    pthread_t thread;

    (void)state;
    assert_int_equal(pthread_create(&thread, NULL, write_fast, &race), 0);
    while (clock_mono_ms() < end_ms || good == 0) {
        struct flight_record r;

        /* The oldest ones are those that are being overwritten. */
        if (flight_reader_get(p.reader, at, &r) == 0) {
            assert_int_equal(r.sequence, at);
            assert_int_equal(r.count, at);
            good++;
            at++;
        } else {
            at = flight_reader_oldest(p.reader);
        }
        assert_true(clock_mono_ms() < end_ms + 20000);
    }
    race.stop = true;
    assert_int_equal(pthread_join(thread, NULL), 0);
    close_pair(&p);
}

static void *put_one_later(void *ctx)
{
    (void)usleep(50000);
    (void)put(ctx, 1);
    return NULL;
}

static void a_waiting_reader_is_woken(void **state)
{
    struct pair p = open_pair();
    uint64_t begin_ms = clock_mono_ms();
    pthread_t thread;

    (void)state;
    assert_int_equal(pthread_create(&thread, NULL, put_one_later, p.ring), 0);
    while (flight_reader_newest(p.reader) == 0)
        flight_reader_wait(p.reader, 0, 30000);
    assert_true(clock_mono_ms() - begin_ms < 20000);
    assert_int_equal(pthread_join(thread, NULL), 0);
    /* There is something newer already: no wait. */
    begin_ms = clock_mono_ms();
    flight_reader_wait(p.reader, 0, 30000);
    assert_true(clock_mono_ms() - begin_ms < 20000);
    close_pair(&p);
}

/* ---- from a file ---- */

static unsigned char *make_file(uint64_t from, uint64_t to)
{
    unsigned char *file = calloc(1, FLIGHT_FILE_BYTES);

    assert_non_null(file);
    flight_header_make(file);
    for (uint64_t i = from; i <= to; i++) {
        struct flight_record r;

        memset(&r, 0, sizeof r);
        r.sequence = i;
        r.run = 4;
        r.kind = FLIGHT_READY;
        r.count = i;
        flight_record_seal(&r);
        memcpy(file + (flight_slot_of(i) + 1) * FLIGHT_RECORD_BYTES, &r, sizeof r);
    }
    return file;
}

static void a_run_goes_on_where_the_last_one_ended(void **state)
{
    static const struct {
        uint64_t from, to;
    } rows[] = {{1, 1}, {1, 5}, {1, FLIGHT_SLOTS}, {FLIGHT_SLOTS - 3, 2 * FLIGHT_SLOTS - 4}, {99990, 100000}};

    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct pair p = open_pair();
        unsigned char *file = make_file(rows[i].from, rows[i].to);
        struct flight_record r;
        uint64_t first;

        assert_int_equal(flight_ring_load(p.ring, file, FLIGHT_FILE_BYTES), rows[i].to - rows[i].from + 1);
        assert_int_equal(flight_reader_newest(p.reader), rows[i].to);
        assert_int_equal(flight_reader_run(p.reader, &first), 5);
        assert_int_equal(first, rows[i].to + 1);
        for (uint64_t at = rows[i].from; at <= rows[i].to; at++)
            assert_int_equal(flight_reader_get(p.reader, at, &r), 0);
        assert_int_equal(put(p.ring, 1), rows[i].to + 1);
        assert_int_equal(flight_reader_get(p.reader, rows[i].to + 1, &r), 0);
        assert_int_equal(r.run, 5);
        free(file);
        close_pair(&p);
    }
}

static void torn_records_are_skipped_and_the_rest_is_kept(void **state)
{
    const uint64_t to = FLIGHT_SLOTS + 10;
    struct pair p = open_pair();
    unsigned char *file = make_file(11, to), *old = make_file(1, FLIGHT_SLOTS);
    struct flight_record r;

    (void)state;
    /* The newest is torn, one in the middle is damaged, one slot still has the record of a round before, and
     * one has a whole record that belongs elsewhere. */
    memcpy(file + (flight_slot_of(to) + 1) * FLIGHT_RECORD_BYTES + 512,
           old + (flight_slot_of(to) + 1) * FLIGHT_RECORD_BYTES + 512, 512);
    file[(flight_slot_of(500) + 1) * FLIGHT_RECORD_BYTES + 700] ^= 1;
    memcpy(file + (flight_slot_of(to - 1) + 1) * FLIGHT_RECORD_BYTES,
           old + (flight_slot_of(to - 1) + 1) * FLIGHT_RECORD_BYTES, FLIGHT_RECORD_BYTES);
    memcpy(file + (flight_slot_of(700) + 1) * FLIGHT_RECORD_BYTES,
           file + (flight_slot_of(701) + 1) * FLIGHT_RECORD_BYTES, FLIGHT_RECORD_BYTES);
    assert_int_equal(flight_ring_load(p.ring, file, FLIGHT_FILE_BYTES), FLIGHT_SLOTS - 3);
    assert_int_equal(flight_reader_newest(p.reader), to - 2);
    assert_int_equal(flight_reader_get(p.reader, 500, &r), OC_ESTALE);
    assert_int_equal(flight_reader_get(p.reader, 700, &r), OC_ESTALE);
    assert_int_equal(flight_reader_get(p.reader, 701, &r), 0);
    assert_int_equal(flight_reader_get(p.reader, to - 2, &r), 0);
    assert_int_equal(put(p.ring, 1), to - 1);
    free(file);
    free(old);
    close_pair(&p);
}

static void other_files_are_refused(void **state)
{
    struct pair p = open_pair();
    unsigned char *file = make_file(1, 5);
    struct flight_record r;

    (void)state;
    assert_int_equal(flight_ring_load(p.ring, file, FLIGHT_FILE_BYTES - 1), OC_ECORRUPT);
    memset(file, 0, FLIGHT_RECORD_BYTES);
    assert_int_equal(flight_ring_load(p.ring, file, FLIGHT_FILE_BYTES), OC_ECORRUPT);
    assert_int_equal(flight_reader_newest(p.reader), 0);
    assert_int_equal(flight_reader_get(p.reader, 1, &r), OC_ESTALE);
    /* An empty one of ours is a beginning. */
    memset(file, 0, FLIGHT_FILE_BYTES);
    flight_header_make(file);
    assert_int_equal(flight_ring_load(p.ring, file, FLIGHT_FILE_BYTES), 0);
    assert_int_equal(put(p.ring, 1), 1);
    free(file);
    close_pair(&p);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(records_come_out_as_they_went_in),
        cmocka_unit_test(the_oldest_go_when_it_is_full),
        cmocka_unit_test(readers_cannot_write),
        cmocka_unit_test(a_reader_never_sees_half_a_record),
        cmocka_unit_test(a_waiting_reader_is_woken),
        cmocka_unit_test(a_run_goes_on_where_the_last_one_ended),
        cmocka_unit_test(torn_records_are_skipped_and_the_rest_is_kept),
        cmocka_unit_test(other_files_are_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
