/* The storage directory: what comes back after a restart, what is refused, what stays bounded. */
#include "shared/base/err.h"
#include "storage_support.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#define FIRST_LOG "00000000000000000001.log"

static void a_new_directory(void **state)
{
    struct fixture *f = *state;
    static const uint8_t none[STORAGE_ID_BYTES];
    uint8_t uuid[STORAGE_ID_BYTES];
    assert_int_equal(fixture_recover(f), 0);
    assert_true(storage_is_pristine(f->storage));
    assert_int_equal(f->recovered.term, 0);
    assert_int_equal(f->recovered.first_index, 1);
    assert_int_equal(f->recovered.entry_count, 0);
    assert_memory_equal(storage_identity(f->storage)->cluster_id, none, sizeof none);
    assert_memory_not_equal(storage_identity(f->storage)->uuid, none, sizeof none);
    memcpy(uuid, storage_identity(f->storage)->uuid, sizeof uuid);
    assert_int_equal(storage_set_cluster_id(f->storage, uuid), 0);
    fixture_close(f);
    assert_int_equal(fixture_recover(f), 0);
    assert_memory_equal(storage_identity(f->storage)->uuid, uuid, sizeof uuid);
    assert_memory_equal(storage_identity(f->storage)->cluster_id, uuid, sizeof uuid);
}

static void bootstrap_once(void **state)
{
    struct fixture *f = *state;
    assert_int_equal(fixture_open(f), 0);
    assert_int_equal(storage_bootstrap(f->storage, SELF_ID, SELF_ADDRESS), 0);
    assert_int_equal(storage_bootstrap(f->storage, SELF_ID, SELF_ADDRESS), -EEXIST);
    fixture_close(f);
    assert_int_equal(fixture_recover(f), 0);
    assert_int_equal(f->recovered.term, 1);
    assert_int_equal(f->recovered.entry_count, 1);
    assert_int_equal(entry_type(f->recovered.entries[0]), ENTRY_CHANGE);
    assert_false(storage_is_pristine(f->storage));
    assert_true(storage_identity(f->storage)->fresh_bootstrap);
    assert_int_equal(storage_set_fresh_bootstrap(f->storage, false), 0);
    fixture_close(f);
    assert_int_equal(fixture_recover(f), 0);
    assert_false(storage_identity(f->storage)->fresh_bootstrap);
    assert_int_equal(storage_bootstrap(f->storage, SELF_ID, SELF_ADDRESS), -EEXIST);
}

static void refuses_what_is_not_ours(void **state)
{
    struct fixture *f = *state;
    struct storage *second;
    struct storage_options other = {.dir = f->dir, .name = "b"};
    char text[STORAGE_TEXT_SIZE];
    assert_int_equal(fixture_open(f), 0);
    other.name = "a";
    assert_int_equal(storage_open(&other, &second, text, sizeof text), -EWOULDBLOCK);
    assert_non_null(strstr(text, "in use by another process"));
    fixture_close(f);
    other.name = "b";
    assert_int_equal(storage_open(&other, &second, text, sizeof text), OC_ECONFLICT);
    assert_non_null(strstr(text, "belongs to server \"a\""));
    assert_int_equal(unlink(file_path(f, "identity")), 0);
    assert_int_equal(unlink(file_path(f, "meta")), 0);
    close(open(file_path(f, "raft-log.db"), O_CREAT | O_WRONLY, 0600));
    assert_int_equal(fixture_open(f), OC_ECONFLICT);
    assert_non_null(strstr(f->text, "raft-log.db"));
    if (geteuid() != 0) {
        assert_int_equal(unlink(file_path(f, "raft-log.db")), 0);
        assert_int_equal(unlink(file_path(f, "lock")), 0);
        assert_int_equal(chmod(f->dir, 0500), 0);
        assert_int_equal(fixture_open(f), -EACCES);
        assert_non_null(strstr(f->text, "not writable"));
    }
}

static void entries_term_and_vote_come_back(void **state)
{
    struct fixture *f = *state;
    const size_t lens[] = {0, 1, 100, 4031, 4032, 4033, 9000, 70000, 5};
    fixture_run(f);
    for (unsigned i = 0; i < 9; i++)
        fixture_append(f, 2 + i, 3, lens[i]);
    for (uint64_t t = 3; t < 8; t++)
        assert_int_equal(storage_save_term_vote(f->storage, t, t * 10), 0);
    fixture_close(f);
    assert_int_equal(fixture_recover(f), 0);
    assert_string_equal(f->text, "");
    assert_int_equal(f->recovered.term, 7);
    assert_int_equal(f->recovered.voted_for, 70);
    assert_int_equal(f->recovered.entry_count, 10);
    assert_int_equal(f->recovered.lost_tail_index, 0);
    for (unsigned i = 0; i < 9; i++)
        assert_true(fixture_has(f, 2 + i, lens[i]));
    assert_int_equal(entry_term(f->recovered.entries[5]), 3);
    assert_true(files_count(f, ".log") > 1);
}

static void truncation(void **state)
{
    struct fixture *f = *state;
    fixture_run(f);
    assert_int_equal(storage_save_term_vote(f->storage, 4, 0), 0);
    for (uint64_t i = 2; i <= 41; i++)
        fixture_append(f, i, 3, 5000);
    unsigned before = files_count(f, ".log");
    assert_true(before >= 4);
    /* Completions of what was cut off must not come any more. */
    struct entry *e = entry_new(ENTRY_COMMAND, 3, 5000);
    storage_append(f->storage, 42, e);
    entry_unref(e);
    storage_truncate(f->storage, 10);
    fixture_append(f, 10, 4, 77);
    fixture_append(f, 11, 4, 78);
    assert_true(files_count(f, ".log") < before);
    fixture_close(f);
    assert_int_equal(fixture_recover(f), 0);
    assert_string_equal(f->text, "");
    assert_int_equal(f->recovered.entry_count, 11);
    assert_true(fixture_has(f, 9, 5000) && fixture_has(f, 10, 77) && fixture_has(f, 11, 78));
    assert_int_equal(entry_term(f->recovered.entries[9]), 4);
}

static void an_interrupted_truncation_is_finished(void **state)
{
    struct fixture *f = *state;
    fixture_run(f);
    assert_int_equal(storage_save_term_vote(f->storage, 4, 0), 0);
    for (uint64_t i = 2; i <= 41; i++)
        fixture_append(f, i, 3, 5000);
    fixture_close(f);
    uint64_t note[2] = {10, ~UINT64_C(10)};
    close(open(file_path(f, "truncate"), O_CREAT | O_WRONLY, 0600));
    file_change(f, "truncate", 0, note, sizeof note);
    fixture_run(f);
    assert_int_equal(f->recovered.entry_count, 9);
    fixture_append(f, 10, 4, 10);
    fixture_close(f);
    assert_int_equal(fixture_recover(f), 0);
    assert_int_equal(f->recovered.entry_count, 10);
    assert_int_equal(files_count(f, "truncate"), 0);
}

static void snapshots_bound_the_disk(void **state)
{
    struct fixture *f = *state;
    uint64_t most = 0;
    fixture_run(f);
    assert_int_equal(storage_save_term_vote(f->storage, 3, 0), 0);
    for (uint64_t i = 2; i <= 400; i++) {
        fixture_append(f, i, 3, 5000);
        if (i % 20 == 0) {
            struct snapshot *s = fixture_snapshot(i, 3, 10000);
            storage_save_snapshot(f->storage, s, i - 4, false);
            struct storage_event event = fixture_wait(f);
            assert_int_equal(event.kind, STORAGE_SNAPSHOT_DURABLE);
            assert_ptr_equal(event.snapshot, s);
            snapshot_unref(event.snapshot);
            snapshot_unref(s);
            assert_true(files_count(f, ".snap") <= 2);
            assert_true(files_count(f, ".log") <= 4);
        }
        if (storage_disk_bytes(f->storage) > most)
            most = storage_disk_bytes(f->storage);
    }
    assert_true(most < 10 * (64 << 10));
    fixture_close(f);
    assert_int_equal(fixture_recover(f), 0);
    assert_int_equal(f->recovered.snapshot->index, 400);
    struct snapshot *expected = fixture_snapshot(400, 3, 10000);
    assert_int_equal(f->recovered.snapshot->data_len, 10000);
    assert_int_equal(f->recovered.snapshot->part_count, 2);
    for (unsigned i = 0; i < 2; i++)
        assert_memory_equal(entry_payload(f->recovered.snapshot->parts[i]), entry_payload(expected->parts[i]), 5000);
    snapshot_unref(expected);
    assert_int_equal(f->recovered.snapshot->membership.members[0].id, SELF_ID);
    assert_true(f->recovered.first_index <= 396);
    assert_true(fixture_has(f, 397, 5000) && fixture_has(f, 400, 5000));
}

static void an_installed_snapshot_drops_the_log(void **state)
{
    struct fixture *f = *state;
    fixture_run(f);
    assert_int_equal(storage_save_term_vote(f->storage, 5, 0), 0);
    for (uint64_t i = 2; i <= 30; i++)
        fixture_append(f, i, 3, 5000);
    struct snapshot *s = fixture_snapshot(1000, 5, 100);
    storage_save_snapshot(f->storage, s, 1001, true);
    snapshot_unref(fixture_wait(f).snapshot);
    snapshot_unref(s);
    fixture_append(f, 1001, 5, 10);
    fixture_close(f);
    assert_int_equal(fixture_recover(f), 0);
    assert_int_equal(f->recovered.snapshot->index, 1000);
    assert_int_equal(f->recovered.first_index, 1001);
    assert_int_equal(f->recovered.entry_count, 1);
    fixture_close(f);
    /* Interrupted before the log was dropped: what is behind the snapshot goes at the next start. */
    fixture_run(f);
    s = fixture_snapshot(2000, 5, 100);
    storage_save_snapshot(f->storage, s, 1, false);
    snapshot_unref(fixture_wait(f).snapshot);
    snapshot_unref(s);
    fixture_close(f);
    fixture_run(f);
    assert_int_equal(f->recovered.first_index, 2001);
    assert_int_equal(f->recovered.entry_count, 0);
    fixture_append(f, 2001, 5, 10);
}

static void the_log_goes_before_a_snapshot(void **state)
{
    struct fixture *f = *state;
    fixture_run(f);
    for (uint64_t i = 2; i <= 4; i++)
        fixture_append(f, i, 1, 100);
    struct snapshot *s = fixture_snapshot(4, 1, 16 << 20);
    storage_save_snapshot(f->storage, s, 3, false);
    for (uint64_t i = 5; i <= 20; i++)
        fixture_append(f, i, 1, 5000); /* answered while the snapshot is being written */
    storage_truncate(f->storage, 18);
    fixture_append(f, 18, 1, 7);
    struct storage_event event = fixture_wait(f);
    assert_int_equal(event.kind, STORAGE_SNAPSHOT_DURABLE);
    snapshot_unref(event.snapshot);
    fixture_close(f);
    assert_int_equal(fixture_recover(f), 0);
    assert_int_equal(f->recovered.snapshot->index, 4);
    assert_int_equal(f->recovered.snapshot->data_len, 16 << 20);
    assert_true(fixture_has(f, 17, 5000) && fixture_has(f, 18, 7) && !fixture_has(f, 19, 5000));
    fixture_close(f);
    /* One of the leader's overtakes it. */
    fixture_run(f);
    storage_save_snapshot(f->storage, s, 3, false);
    struct snapshot *leaders = fixture_snapshot(900, 1, 100);
    storage_save_snapshot(f->storage, leaders, 901, true);
    for (int i = 0; i < 2; i++) {
        event = fixture_wait(f);
        assert_int_equal(event.kind, STORAGE_SNAPSHOT_DURABLE);
        snapshot_unref(event.snapshot);
    }
    fixture_append(f, 901, 1, 9);
    fixture_close(f);
    assert_int_equal(fixture_recover(f), 0);
    assert_int_equal(f->recovered.snapshot->index, 900);
    assert_int_equal(f->recovered.first_index, 901);
    snapshot_unref(leaders);
    snapshot_unref(s);
}

/* The window's entries are in the snapshot and in the log, and in memory once. */
static void log_and_snapshot_share_their_entries(void **state)
{
    struct fixture *f = *state;
    fixture_run(f);
    assert_int_equal(storage_save_term_vote(f->storage, 5, 0), 0);
    fixture_append(f, 2, 3, 500);
    fixture_append(f, 3, 3, 600);
    /* The same bytes again in a later term, and then in the log once more: terms stay what they were. */
    for (uint64_t i = 4; i <= 6; i++) {
        struct entry *same = entry_new(ENTRY_COMMAND, i == 4 ? 4 : 5, 700);
        memset(entry_payload(same), 7, 700);
        storage_append(f->storage, i, same);
        assert_int_equal(fixture_wait(f).index, i);
        entry_unref(same);
    }
    struct snapshot *s = fixture_snapshot(6, 5, 0);
    for (unsigned i = 0; i < 3; i++) {
        static const size_t LENS[] = {500, 600, 700};
        struct entry *part = entry_new(ENTRY_COMMAND, 0, LENS[i]);
        if (i < 2)
            entry_fill(part, 2 + i + (i == 1)); /* the second differs from the log's */
        else
            memset(entry_payload(part), 7, 700);
        assert_int_equal(snapshot_add_part(s, part), 0);
        entry_unref(part);
    }
    storage_save_snapshot(f->storage, s, 1, false);
    snapshot_unref(fixture_wait(f).snapshot);
    snapshot_unref(s);
    fixture_append(f, 7, 5, 500);
    fixture_close(f);
    assert_int_equal(fixture_recover(f), 0);
    struct entry **e = f->recovered.entries, **part = f->recovered.snapshot->parts;
    assert_int_equal(f->recovered.entry_count, 7);
    assert_ptr_equal(e[1], part[0]);
    assert_ptr_not_equal(e[2], part[1]);
    assert_ptr_equal(e[3], part[2]);
    assert_ptr_not_equal(e[4], part[2]);
    static const uint64_t TERMS[] = {1, 3, 3, 4, 5, 5, 5};
    for (unsigned i = 0; i < 7; i++)
        assert_int_equal(entry_term(e[i]), TERMS[i]);
    assert_true(fixture_has(f, 2, 500) && fixture_has(f, 3, 600) && fixture_has(f, 7, 500));
}

/* With time to spare, zeros are written ahead of the log and an old segment is given back. */
static void idle_work_leaves_the_log_alone(void **state)
{
    struct fixture *f = *state;
    fixture_run(f);
    for (uint64_t i = 2; i <= 61; i++) {
        fixture_append(f, i, 1, 5000);
        if (i % 10 == 0)
            usleep(30000);
    }
    struct snapshot *s = fixture_snapshot(60, 1, 10);
    storage_save_snapshot(f->storage, s, 58, false);
    snapshot_unref(fixture_wait(f).snapshot);
    snapshot_unref(s);
    for (int i = 0; i < 500 && files_count(f, "old.tmp") > 0; i++)
        usleep(10000);
    assert_int_equal(files_count(f, "old.tmp"), 0);
    storage_truncate(f->storage, 61);
    fixture_append(f, 61, 1, 70);
    usleep(30000);
    fixture_append(f, 62, 1, 9000);
    fixture_close(f);
    assert_int_equal(fixture_recover(f), 0);
    assert_string_equal(f->text, "");
    assert_int_equal(f->recovered.lost_tail_index, 0);
    assert_true(fixture_has(f, 60, 5000) && fixture_has(f, 61, 70) && fixture_has(f, 62, 9000));
}

/* In a child process, because the limit cannot be taken back. */
static void a_full_disk_stops_everything(void **state)
{
    struct fixture *f = *state;
    fixture_run(f);
    fixture_append(f, 2, 1, 100);
    struct rlimit limit, tight;
    assert_int_equal(getrlimit(RLIMIT_FSIZE, &limit), 0);
    tight = limit;
    tight.rlim_cur = 4096;
    signal(SIGXFSZ, SIG_IGN);
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &tight), 0);
    struct entry *e = entry_new(ENTRY_COMMAND, 1, 30000);
    memset(entry_payload(e), 1, 30000);
    for (uint64_t i = 3; i <= 6; i++)
        storage_append(f->storage, i, e);
    entry_unref(e);
    struct storage_event event = fixture_wait(f);
    assert_int_equal(event.kind, STORAGE_DISK_FAILED);
    assert_int_equal(event.rc, -EFBIG);
    assert_non_null(strstr(event.text, "entry 3"));
    assert_int_equal(storage_poll(f->storage, &event), 0);
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &limit), 0);
    fixture_close(f);
    assert_int_equal(fixture_recover(f), 0);
    assert_true(fixture_has(f, 2, 100));
    assert_false(fixture_has(f, 3, 30000));
}

static void an_unfinished_bootstrap_leaves_nothing(void **state)
{
    struct fixture *f = *state;
    struct rlimit limit, tight;
    assert_int_equal(fixture_open(f), 0);
    assert_int_equal(getrlimit(RLIMIT_FSIZE, &limit), 0);
    tight = limit;
    tight.rlim_cur = 8192;
    signal(SIGXFSZ, SIG_IGN);
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &tight), 0);
    assert_int_not_equal(storage_bootstrap(f->storage, SELF_ID, SELF_ADDRESS), 0);
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &limit), 0);
    fixture_close(f);
    assert_int_equal(fixture_recover(f), 0);
    assert_true(storage_is_pristine(f->storage));
    assert_false(storage_identity(f->storage)->fresh_bootstrap);
    fixture_close(f);
    fixture_run(f);
    assert_int_equal(f->recovered.entry_count, 1);
}

/* A server that joins: its first entry comes from a leader. */
static void begin_first_entry(struct fixture *f)
{
    assert_int_equal(storage_start(f->storage), 0);
    assert_int_equal(storage_save_term_vote(f->storage, 3, 0), 0);
    struct entry *e = entry_new(ENTRY_CHANGE, 3, 5000);
    entry_fill(e, 1);
    storage_append(f->storage, 1, e);
    entry_unref(e);
}

static void a_crash_before_the_first_entry_is_no_loss(void **state)
{
    struct fixture *f = *state;
    static const uint8_t zeros[4096];
    assert_int_equal(fixture_recover(f), 0);
    begin_first_entry(f);
    fixture_close(f);
    files_save(f);
    /* Not a byte of it was written, or not all of it: nobody was told of it. */
    assert_int_equal(unlink(file_path(f, "00000000000000000001.log")), 0);
    assert_int_equal(fixture_recover(f), 0);
    assert_int_equal(f->recovered.entry_count, 0);
    assert_int_equal(f->recovered.term, 3);
    assert_false(storage_is_pristine(f->storage));
    fixture_close(f);
    files_restore(f);
    file_change(f, "00000000000000000001.log", 4096, zeros, sizeof zeros);
    assert_int_equal(fixture_recover(f), 0);
    assert_int_equal(f->recovered.entry_count, 0);
    assert_int_equal(f->recovered.lost_tail_index, 1);
    fixture_close(f);
    files_restore(f);
    /* With the entry there the start tells of it, and then it must not go. */
    fixture_run(f);
    assert_int_equal(f->recovered.entry_count, 1);
    fixture_close(f);
    assert_int_equal(unlink(file_path(f, "00000000000000000001.log")), 0);
    assert_int_equal(fixture_recover(f), OC_ECORRUPT);
    assert_non_null(strstr(f->text, "the log is gone"));
}

static void nobody_is_told_of_an_entry_whose_loss_would_not_be_seen(void **state)
{
    struct fixture *f = *state;
    assert_int_equal(fixture_recover(f), 0);
    assert_int_equal(mkdir(file_path(f, "identity.tmp"), 0700), 0); /* the identity cannot be written */
    begin_first_entry(f);
    struct pollfd p = {.fd = storage_fd(f->storage), .events = POLLIN};
    assert_int_equal(poll(&p, 1, 5000), 1); /* the loop looks only then */
    struct storage_event event = fixture_wait(f);
    assert_int_equal(event.kind, STORAGE_DISK_FAILED);
    assert_non_null(strstr(event.text, "identity"));
    assert_int_equal(storage_poll(f->storage, &event), 0);
    assert_int_equal(rmdir(file_path(f, "identity.tmp")), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
#define T(name) cmocka_unit_test_setup_teardown(name, fixture_setup, fixture_teardown)
        T(a_new_directory),
        T(bootstrap_once),
        T(refuses_what_is_not_ours),
        T(entries_term_and_vote_come_back),
        T(truncation),
        T(an_interrupted_truncation_is_finished),
        T(snapshots_bound_the_disk),
        T(an_installed_snapshot_drops_the_log),
        T(the_log_goes_before_a_snapshot),
        T(log_and_snapshot_share_their_entries),
        T(idle_work_leaves_the_log_alone),
        T(a_full_disk_stops_everything),
        T(an_unfinished_bootstrap_leaves_nothing),
        T(a_crash_before_the_first_entry_is_no_loss),
        T(nobody_is_told_of_an_entry_whose_loss_would_not_be_seen),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
