/* What the tests of the storage share. */
#include "storage_support.h"

#include <dirent.h>
#include <fcntl.h>
#include <poll.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

__attribute__((format(printf, 1, 2))) static void shell(const char *format, ...)
{
    char command[512];
    va_list args;
    va_start(args, format);
    vsnprintf(command, sizeof command, format, args);
    va_end(args);
    assert_int_equal(system(command), 0);
}

int fixture_setup(void **state)
{
    struct fixture *f = calloc(1, sizeof *f);
    const char *tmp = getenv("TMPDIR");
    snprintf(f->dir, sizeof f->dir, "%.40s/oc-storage-XXXXXX", tmp != NULL ? tmp : "/tmp");
    assert_non_null(mkdtemp(f->dir));
    *state = f;
    return 0;
}

int fixture_teardown(void **state)
{
    struct fixture *f = *state;
    fixture_close(f);
    shell("chmod -R u+w %s; rm -rf %s %s.saved", f->dir, f->dir, f->dir);
    free(f);
    return 0;
}

int fixture_open(struct fixture *f)
{
    struct storage_options options = {.dir = f->dir, .name = "a", .segment_bytes = 64 << 10};
    return storage_open(&options, &f->storage, f->text, sizeof f->text);
}

static void forget_recovered(struct fixture *f)
{
    for (unsigned i = 0; i < f->recovered.entry_count; i++)
        entry_unref(f->recovered.entries[i]);
    snapshot_unref(f->recovered.snapshot);
    memset(&f->recovered, 0, sizeof f->recovered);
}

void fixture_close(struct fixture *f)
{
    forget_recovered(f);
    storage_close(f->storage);
    f->storage = NULL;
}

int fixture_recover(struct fixture *f)
{
    int rc = fixture_open(f);
    if (rc == 0)
        rc = storage_recover(f->storage, &f->recovered, f->text, sizeof f->text);
    return rc;
}

void fixture_run(struct fixture *f)
{
    assert_int_equal(fixture_open(f), 0);
    if (storage_is_pristine(f->storage))
        assert_int_equal(storage_bootstrap(f->storage, SELF_ID, SELF_ADDRESS), 0);
    assert_int_equal(storage_recover(f->storage, &f->recovered, f->text, sizeof f->text), 0);
    assert_int_equal(storage_start(f->storage), 0);
}

static void fill(uint8_t *p, uint64_t index, size_t len)
{
    for (size_t i = 0; i < len; i++)
        p[i] = (uint8_t)(index * 31 + i * 7 + 1);
}

void entry_fill(struct entry *e, uint64_t index)
{
    fill(entry_payload(e), index, entry_len(e));
}

struct storage_event fixture_wait(struct fixture *f)
{
    struct storage_event event;
    struct pollfd p = {.fd = storage_fd(f->storage), .events = POLLIN};
    for (int i = 0; i < 100; i++) {
        if (storage_poll(f->storage, &event) == 1)
            return event;
        poll(&p, 1, 100);
    }
    fail_msg("the disk does not answer");
    return event;
}

void fixture_append(struct fixture *f, uint64_t index, uint64_t term, size_t len)
{
    struct entry *e = entry_new(ENTRY_COMMAND, term, len);
    entry_fill(e, index);
    storage_append(f->storage, index, e);
    entry_unref(e);
    struct storage_event event = fixture_wait(f);
    assert_int_equal(event.kind, STORAGE_ENTRIES_DURABLE);
    assert_int_equal(event.index, index);
}

bool fixture_has(const struct fixture *f, uint64_t index, size_t len)
{
    if (index < f->recovered.first_index || index - f->recovered.first_index >= f->recovered.entry_count)
        return false;
    struct entry *e = f->recovered.entries[index - f->recovered.first_index];
    uint8_t *expected = malloc(len + 1);
    fill(expected, index, len);
    bool same = entry_len(e) == len && memcmp(entry_payload(e), expected, len) == 0;
    free(expected);
    return same;
}

struct snapshot *fixture_snapshot(uint64_t index, uint64_t term, size_t len)
{
    struct snapshot *s = snapshot_new();
    /* in two parts, if it is more than one byte */
    for (size_t done = 0, n; done < len; done += n) {
        n = done == 0 && len > 1 ? len / 2 : len - done;
        struct entry *part = entry_new(ENTRY_COMMAND, 0, n);
        entry_fill(part, index + done);
        assert_int_equal(snapshot_add_part(s, part), 0);
        entry_unref(part);
    }
    s->index = index;
    s->term = term;
    s->membership.index = 1;
    s->membership.count = 1;
    s->membership.members[0] = (struct member){.id = SELF_ID, .role = MEMBER_VOTER, .address = SELF_ADDRESS};
    return s;
}

const char *file_path(const struct fixture *f, const char *name)
{
    static char path[256];
    snprintf(path, sizeof path, "%s/%s", f->dir, name);
    return path;
}

size_t file_bytes(const struct fixture *f, const char *name)
{
    struct stat st;
    assert_int_equal(stat(file_path(f, name), &st), 0);
    return (size_t)st.st_size;
}

void file_change(const struct fixture *f, const char *name, size_t offset, const void *data, size_t len)
{
    int fd = open(file_path(f, name), O_WRONLY);
    assert_true(fd >= 0);
    assert_int_equal(pwrite(fd, data, len, (off_t)offset), (ssize_t)len);
    close(fd);
}

void file_read(const struct fixture *f, const char *name, size_t offset, void *data, size_t len)
{
    int fd = open(file_path(f, name), O_RDONLY);
    assert_true(fd >= 0);
    assert_int_equal(pread(fd, data, len, (off_t)offset), (ssize_t)len);
    close(fd);
}

void files_save(const struct fixture *f)
{
    shell("rm -rf %s.saved && cp -a %s %s.saved", f->dir, f->dir, f->dir);
}

void files_restore(const struct fixture *f)
{
    shell("rm -rf %s && cp -a %s.saved %s", f->dir, f->dir, f->dir);
}

unsigned files_count(const struct fixture *f, const char *end)
{
    unsigned n = 0;
    struct dirent *entry;
    DIR *dir = opendir(f->dir);
    assert_non_null(dir);
    while ((entry = readdir(dir)) != NULL) {
        size_t have = strlen(entry->d_name), want = strlen(end);
        n += have >= want && strcmp(entry->d_name + have - want, end) == 0;
    }
    closedir(dir);
    return n;
}
