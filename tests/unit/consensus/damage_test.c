/* Damaged files: a torn end is dropped and remembered, anything else is refused by name. */
#include "shared/base/err.h"
#include "storage_support.h"

#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#define FIRST_LOG "00000000000000000001.log"
enum { BLOCK = 4096 };

/* Entries 1 (the bootstrap, one block), 2 and 3 (one block each), 4 (len bytes). */
static void write_four(struct fixture *f, size_t len)
{
    fixture_run(f);
    assert_int_equal(storage_save_term_vote(f->storage, 6, 9), 0);
    fixture_append(f, 2, 5, 100);
    fixture_append(f, 3, 5, 200);
    fixture_append(f, 4, 6, len);
    fixture_close(f);
}

/* The write of the last record may end anywhere: everything behind is still zero. */
static void a_torn_end_at_every_byte(void **state)
{
    struct fixture *f = *state;
    enum { LEN = 5000, RECORD = 2 * BLOCK, START = 3 * BLOCK };
    uint8_t record[RECORD], zeros[RECORD] = {0};
    write_four(f, LEN);
    file_read(f, FIRST_LOG, START, record, RECORD);
    size_t written = 64 + LEN; /* behind it is padding */
    files_save(f);
    for (size_t cut = 0; cut < written; cut += cut < 80 || cut > written - 3 || cut % BLOCK < 3 ? 1 : 211) {
        if (record[cut] == 0 && memcmp(record + cut, zeros, written - cut) == 0)
            continue; /* nothing is missing */
        file_change(f, FIRST_LOG, START, record, cut);
        file_change(f, FIRST_LOG, START + cut, zeros, RECORD - cut);
        assert_int_equal(fixture_recover(f), 0);
        assert_int_equal(f->recovered.entry_count, 3);
        assert_true(fixture_has(f, 3, 200));
        bool anything = cut > 0;
        assert_int_equal(f->recovered.lost_tail_index, anything ? 4 : 0);
        assert_int_equal(f->recovered.lost_tail_term, anything ? 6 : 0);
        assert_int_equal(f->text[0] != 0, anything);
        fixture_close(f);
        if (anything) {
            assert_int_equal(fixture_recover(f), 0); /* it is remembered */
            assert_int_equal(f->recovered.lost_tail_index, 4);
            assert_string_equal(f->text, "");
            fixture_close(f);
        }
        files_restore(f);
    }
    /* And the node goes on behind it; with the entry there again, it is forgotten. */
    file_change(f, FIRST_LOG, START + BLOCK, zeros, BLOCK);
    fixture_run(f);
    fixture_append(f, 4, 6, LEN);
    fixture_close(f);
    assert_int_equal(fixture_recover(f), 0);
    assert_true(fixture_has(f, 4, LEN));
    assert_int_equal(f->recovered.lost_tail_index, 0);
}

static void a_flipped_bit_in_the_middle_is_refused(void **state)
{
    struct fixture *f = *state;
    uint8_t byte;
    write_four(f, 300);
    files_save(f);
    /* header and data of entries 1 to 3 */
    for (unsigned entry = 0; entry < 3; entry++)
        for (size_t at = 0; at < 64 + 30; at += 1) {
            if (at >= 45 && at < 64)
                continue; /* zeros, covered by the header's checksum like the rest */
            size_t offset = entry * BLOCK + at;
            file_read(f, FIRST_LOG, offset, &byte, 1);
            byte ^= 0x20;
            file_change(f, FIRST_LOG, offset, &byte, 1);
            assert_int_equal(fixture_recover(f), OC_ECORRUPT);
            char named[32];
            snprintf(named, sizeof named, "entry %u", entry + 1);
            assert_non_null(strstr(f->text, FIRST_LOG));
            assert_non_null(strstr(f->text, named));
            fixture_close(f);
            byte ^= 0x20;
            file_change(f, FIRST_LOG, offset, &byte, 1);
        }
    assert_int_equal(fixture_recover(f), 0);
    assert_int_equal(f->recovered.entry_count, 4);
}

static void a_payload_cannot_pose_as_a_record(void **state)
{
    struct fixture *f = *state;
    uint8_t header[64], zeros[BLOCK] = {0};
    write_four(f, 3 * BLOCK);
    /* A record of another directory inside the payload of a torn one. */
    file_read(f, FIRST_LOG, 0, header, sizeof header);
    header[24] ^= 1;
    file_change(f, FIRST_LOG, 5 * BLOCK, header, sizeof header);
    file_change(f, FIRST_LOG, 3 * BLOCK, zeros, BLOCK);
    assert_int_equal(fixture_recover(f), 0);
    assert_int_equal(f->recovered.entry_count, 3);
    assert_int_equal(f->recovered.lost_tail_index, 4);
    assert_int_equal(f->recovered.lost_tail_term, 6);
}

static void punch(const struct fixture *f, size_t offset, size_t len)
{
    int fd = open(file_path(f, FIRST_LOG), O_RDWR);
    assert_true(fd >= 0);
    if (fallocate(fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, (off_t)offset, (off_t)len) != 0) {
        static const uint8_t zeros[16 * BLOCK]; /* no holes here: the same bytes */
        assert_true(len <= sizeof zeros);
        file_change(f, FIRST_LOG, offset, zeros, len);
    }
    close(fd);
}

/* Entries 1 to 4 as above, with a hole of the file instead of some blocks. */
static void a_hole_is_judged_like_zeros(void **state)
{
    struct fixture *f = *state;
    static const struct {
        size_t from, blocks;
        int rc;
        unsigned count;
        uint64_t lost_index, lost_term;
    } CASES[] = {
        {0, 1, OC_ECORRUPT, 0, 0, 0},        {1, 1, OC_ECORRUPT, 0, 0, 0}, {1, 2, OC_ECORRUPT, 0, 0, 0},
        {3, 1, 0, 3, 4, 6} /* its header */, {4, 2, 0, 3, 4, 6},           {6, 1, 0, 3, 4, 6},
        {3, 4, 0, 3, 0, 0} /* all of it */,  {7, 3, 0, 4, 0, 0},           {2, 5, 0, 2, 0, 0},
    };
    uint8_t filled[3 * BLOCK + 500];
    fixture_run(f);
    assert_int_equal(storage_save_term_vote(f->storage, 6, 9), 0);
    fixture_append(f, 2, 5, 100);
    fixture_append(f, 3, 5, 200);
    fixture_append(f, 4, 6, sizeof filled);
    fixture_close(f);
    files_save(f);
    for (size_t i = 0; i < sizeof CASES / sizeof CASES[0]; i++) {
        punch(f, CASES[i].from * BLOCK, CASES[i].blocks * BLOCK);
        assert_int_equal(fixture_recover(f), CASES[i].rc);
        if (CASES[i].rc == 0) {
            assert_int_equal(f->recovered.entry_count, CASES[i].count);
            assert_int_equal(f->recovered.lost_tail_index, CASES[i].lost_index);
            /* Without its header the term is not known: the newest one stands in. */
            assert_int_equal(f->recovered.lost_tail_term, CASES[i].lost_term);
        } else {
            assert_non_null(strstr(f->text, "damaged, but there are later ones"));
        }
        fixture_close(f);
        files_restore(f);
    }
}

/* Far behind the records, with space between that was never written. */
static void damage_behind_a_hole_is_found(void **state)
{
    struct fixture *f = *state;
    uint8_t record[BLOCK];
    write_four(f, 10);
    size_t end = file_bytes(f, FIRST_LOG);
    punch(f, 5 * BLOCK, 8 * BLOCK);
    files_save(f);
    /* Anything but zeros is a torn end, even in the last byte; then it is gone. */
    file_change(f, FIRST_LOG, end - 1, "x", 1);
    assert_int_equal(fixture_recover(f), 0);
    assert_int_equal(f->recovered.entry_count, 4);
    assert_int_equal(f->recovered.lost_tail_index, 5);
    assert_non_null(strstr(f->text, FIRST_LOG));
    fixture_close(f);
    assert_int_equal(file_bytes(f, FIRST_LOG), end);
    file_read(f, FIRST_LOG, end - BLOCK, record, BLOCK);
    for (size_t i = 0; i < BLOCK; i++)
        assert_int_equal(record[i], 0);
    files_restore(f);
    /* A record of this log with a higher index is none. */
    file_read(f, FIRST_LOG, 3 * BLOCK, record, BLOCK);
    file_change(f, FIRST_LOG, end - BLOCK, record, BLOCK);
    punch(f, 2 * BLOCK, 11 * BLOCK);
    assert_int_equal(fixture_recover(f), OC_ECORRUPT);
    assert_non_null(strstr(f->text, "entry 3 is damaged, but there are later ones"));
}

static void missing_segments_are_refused(void **state)
{
    struct fixture *f = *state;
    char name[32];
    fixture_run(f);
    assert_int_equal(storage_save_term_vote(f->storage, 3, 0), 0);
    for (uint64_t i = 2; i <= 60; i++)
        fixture_append(f, i, 3, 5000);
    fixture_close(f);
    files_save(f);
    unsigned removed = 0;
    for (unsigned first = 1; first <= 60; first++) {
        snprintf(name, sizeof name, "%020u.log", first);
        if (access(file_path(f, name), F_OK) != 0)
            continue;
        assert_int_equal(unlink(file_path(f, name)), 0);
        assert_int_equal(fixture_recover(f), OC_ECORRUPT);
        assert_non_null(strstr(f->text, "missing"));
        fixture_close(f);
        files_restore(f);
        removed++;
    }
    assert_true(removed >= 5); /* the last one among them */
    for (unsigned first = 1; first <= 60; first++) {
        snprintf(name, sizeof name, "%020u.log", first);
        unlink(file_path(f, name));
    }
    assert_int_equal(fixture_recover(f), OC_ECORRUPT);
    assert_non_null(strstr(f->text, "the log is gone"));
}

static void term_and_vote_survive_damage(void **state)
{
    struct fixture *f = *state;
    uint8_t garbage[2 * BLOCK];
    memset(garbage, 0x77, sizeof garbage);
    write_four(f, 10);
    files_save(f);
    /* Any single block of the four. */
    for (unsigned block = 0; block < 4; block++) {
        file_change(f, "meta", block * BLOCK, garbage, BLOCK);
        assert_int_equal(fixture_recover(f), 0);
        assert_int_equal(f->recovered.term, 6);
        assert_int_equal(f->recovered.voted_for, 9);
        fixture_close(f);
        files_restore(f);
    }
    /* The newest place torn in the middle of a write: the one before it counts. Here that is older
     * than the log, which a torn write cannot bring about, and is refused. */
    unsigned refused = 0, older = 0;
    for (unsigned place = 0; place < 2; place++) {
        file_change(f, "meta", place * 2 * BLOCK, garbage, 2 * BLOCK);
        int rc = fixture_recover(f);
        refused += rc == OC_ECORRUPT;
        older += rc == 0;
        fixture_close(f);
        files_restore(f);
    }
    assert_int_equal(refused, 1);
    assert_int_equal(older, 1);
    file_change(f, "meta", 0, garbage, 2 * BLOCK);
    file_change(f, "meta", 2 * BLOCK, garbage, 2 * BLOCK);
    assert_int_equal(fixture_recover(f), OC_ECORRUPT);
    assert_non_null(strstr(f->text, "meta"));
    fixture_close(f);
    assert_int_equal(unlink(file_path(f, "meta")), 0);
    assert_int_equal(fixture_recover(f), OC_ECORRUPT);
    assert_non_null(strstr(f->text, "meta (term and vote) is missing"));
}

static void damaged_snapshots_are_refused(void **state)
{
    struct fixture *f = *state;
    static const char name[] = "00000000000000000004.snap";
    uint8_t byte;
    write_four(f, 10);
    fixture_run(f);
    struct snapshot *s = fixture_snapshot(4, 6, 300);
    storage_save_snapshot(f->storage, s, 1, false);
    snapshot_unref(fixture_wait(f).snapshot);
    snapshot_unref(s);
    fixture_close(f);
    size_t len = file_bytes(f, name);
    for (size_t at = 0; at < len; at++) {
        file_read(f, name, at, &byte, 1);
        byte ^= 0x08;
        file_change(f, name, at, &byte, 1);
        assert_int_not_equal(fixture_recover(f), 0);
        assert_non_null(strstr(f->text, name));
        fixture_close(f);
        byte ^= 0x08;
        file_change(f, name, at, &byte, 1);
    }
    for (size_t cut = 0; cut < len; cut += 37) {
        files_save(f);
        assert_int_equal(truncate(file_path(f, name), (long)cut), 0);
        assert_int_not_equal(fixture_recover(f), 0);
        fixture_close(f);
        files_restore(f);
    }
    assert_int_equal(fixture_recover(f), 0);
    assert_int_equal(f->recovered.snapshot->index, 4);
}

/* What is left of the log ends before the snapshot: it goes on behind the snapshot. */
static void a_log_torn_before_the_snapshot_is_begun_anew(void **state)
{
    struct fixture *f = *state;
    static const uint8_t zeros[5 * BLOCK];
    write_four(f, 10);
    fixture_run(f);
    struct snapshot *s = fixture_snapshot(4, 6, 300);
    storage_save_snapshot(f->storage, s, 1, false);
    snapshot_unref(fixture_wait(f).snapshot);
    snapshot_unref(s);
    fixture_close(f);
    files_save(f);
    for (unsigned kept = 0; kept < 4; kept++) {
        size_t torn_at = kept * BLOCK + 64;
        file_change(f, FIRST_LOG, torn_at, zeros, sizeof zeros - torn_at);
        assert_int_equal(fixture_recover(f), 0);
        assert_int_equal(f->recovered.entry_count, 0);
        assert_int_equal(f->recovered.first_index, 5);
        fixture_close(f);
        fixture_run(f);
        fixture_append(f, 5, 6, 10);
        fixture_close(f);
        assert_int_equal(fixture_recover(f), 0);
        assert_true(fixture_has(f, 5, 10));
        fixture_close(f);
        files_restore(f);
    }
}

static void a_damaged_identity_is_refused(void **state)
{
    struct fixture *f = *state;
    uint8_t byte;
    write_four(f, 10);
    size_t len = file_bytes(f, "identity");
    for (size_t at = 0; at < len; at += 3) {
        file_read(f, "identity", at, &byte, 1);
        byte ^= 0x40;
        file_change(f, "identity", at, &byte, 1);
        assert_int_not_equal(fixture_open(f), 0);
        assert_non_null(strstr(f->text, "identity"));
        byte ^= 0x40;
        file_change(f, "identity", at, &byte, 1);
    }
    assert_int_equal(fixture_recover(f), 0);
    fixture_close(f);
    assert_int_equal(unlink(file_path(f, "identity")), 0);
    assert_int_equal(fixture_open(f), OC_ECONFLICT);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
#define T(name) cmocka_unit_test_setup_teardown(name, fixture_setup, fixture_teardown)
        T(a_torn_end_at_every_byte),          T(a_flipped_bit_in_the_middle_is_refused),
        T(a_payload_cannot_pose_as_a_record), T(missing_segments_are_refused),
        T(a_hole_is_judged_like_zeros),       T(damage_behind_a_hole_is_found),
        T(term_and_vote_survive_damage),      T(damaged_snapshots_are_refused),
        T(a_damaged_identity_is_refused),     T(a_log_torn_before_the_snapshot_is_begun_anew),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
