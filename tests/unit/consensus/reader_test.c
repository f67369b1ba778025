/* Reading a log file in pieces: the same bytes whatever the file system says of holes. */
#include "consensus/diskfile.h"
#include "consensus/segment_reader.h"

#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

enum { BLOCK = DISK_BLOCK, BLOCKS = 1536 }; /* 6 MiB: more than the reader takes at once */

/* Which blocks are written; the others are holes, or preallocated and never written. */
struct layout {
    const char *what;
    unsigned from[3], to[3];
    bool is_preallocated, is_zero;
};

static const struct layout LAYOUTS[] = {
    {"all data", {0}, {BLOCKS}, false, false},
    {"nothing", {0}, {0}, false, false},
    {"nothing, preallocated", {0}, {0}, true, false},
    {"data, then never written", {0}, {700}, true, false},
    {"data, then a hole", {0}, {3}, false, false},
    {"a hole, then data", {900}, {BLOCKS}, false, false},
    {"data between holes", {1, 500, 1100}, {2, 900, 1101}, false, false},
    {"data between preallocated space", {1, 500, 1535}, {2, 900, BLOCKS}, true, false},
    {"zeros that were written", {0}, {600}, true, true},
};

struct fixture {
    char dir[64];
    uint8_t *expected;
    int dir_fd;
};

static int setup(void **state)
{
    struct fixture *f = calloc(1, sizeof *f);
    const char *tmp = getenv("TMPDIR");
    snprintf(f->dir, sizeof f->dir, "%.40s/oc-reader-XXXXXX", tmp != NULL ? tmp : "/tmp");
    assert_non_null(mkdtemp(f->dir));
    f->dir_fd = open(f->dir, O_RDONLY | O_DIRECTORY);
    f->expected = malloc((size_t)BLOCKS * BLOCK);
    *state = f;
    return 0;
}

static int teardown(void **state)
{
    struct fixture *f = *state;
    unlinkat(f->dir_fd, "file", 0);
    close(f->dir_fd);
    rmdir(f->dir);
    free(f->expected);
    free(f);
    return 0;
}

static void write_layout(struct fixture *f, const struct layout *l)
{
    int fd = openat(f->dir_fd, "file", O_RDWR | O_CREAT | O_TRUNC, 0600);
    assert_true(fd >= 0);
    if (l->is_preallocated)
        assert_int_equal(posix_fallocate(fd, 0, (off_t)BLOCKS * BLOCK), 0);
    assert_int_equal(ftruncate(fd, (off_t)BLOCKS * BLOCK), 0);
    memset(f->expected, 0, (size_t)BLOCKS * BLOCK);
    for (unsigned i = 0; i < 3; i++)
        for (unsigned block = l->from[i]; block < l->to[i]; block++) {
            uint8_t *p = f->expected + (size_t)block * BLOCK;
            memset(p, l->is_zero ? 0 : (int)(block % 250 + 1), BLOCK);
            assert_int_equal(pwrite(fd, p, BLOCK, (off_t)block * BLOCK), BLOCK);
        }
    assert_int_equal(fsync(fd), 0);
    close(fd);
}

static void check_view(const struct fixture *f, struct segment_reader *r, unsigned block, unsigned count)
{
    const uint8_t *bytes;
    assert_int_equal(segment_reader_view(r, (uint64_t)block * BLOCK, (size_t)count * BLOCK, &bytes), 0);
    assert_memory_equal(bytes, f->expected + (size_t)block * BLOCK, (size_t)count * BLOCK);
}

static void reads_what_is_there(void **state)
{
    static const unsigned COUNTS[] = {1, 2, 7, 245, 511, 512, 513, 1000};
    struct fixture *f = *state;
    struct segment_reader r;
    for (size_t i = 0; i < sizeof LAYOUTS / sizeof LAYOUTS[0]; i++) {
        print_message("  %s\n", LAYOUTS[i].what);
        write_layout(f, &LAYOUTS[i]);
        assert_int_equal(segment_reader_open(&r, f->dir_fd, "file", (uint64_t)BLOCKS * BLOCK), 0);
        assert_int_equal(r.size, (uint64_t)BLOCKS * BLOCK);
        /* Forwards, as a log is read: a header, then its record. */
        for (unsigned c = 0; c < sizeof COUNTS / sizeof COUNTS[0]; c++)
            for (unsigned block = 0; block + COUNTS[c] <= BLOCKS; block += COUNTS[c]) {
                check_view(f, &r, block, 1);
                check_view(f, &r, block, COUNTS[c]);
            }
        /* Anywhere. */
        srand(7);
        for (unsigned n = 0; n < 200; n++) {
            unsigned block = (unsigned)rand() % BLOCKS;
            check_view(f, &r, block, 1 + (unsigned)rand() % (BLOCKS - block));
        }
        segment_reader_close(&r);
    }
}

/* Whatever is skipped is zero, and nothing that the file system says to be empty is looked at. */
static void skips_only_zeros(void **state)
{
    struct fixture *f = *state;
    struct segment_reader r;
    for (size_t i = 0; i < sizeof LAYOUTS / sizeof LAYOUTS[0]; i++) {
        unsigned looked_at = 0, written = 0;
        write_layout(f, &LAYOUTS[i]);
        for (unsigned k = 0; k < 3; k++)
            written += LAYOUTS[i].to[k] - LAYOUTS[i].from[k];
        assert_int_equal(segment_reader_open(&r, f->dir_fd, "file", (uint64_t)BLOCKS * BLOCK), 0);
        for (uint64_t at = 0, next; at < r.size; at = next + BLOCK) {
            next = segment_reader_next_data(&r, at);
            assert_true(next >= at && next % BLOCK == 0 && next <= r.size);
            assert_true(diskfile_is_zero(f->expected + at, (size_t)(next - at)));
            looked_at += next < r.size;
        }
        assert_int_equal(segment_reader_next_data(&r, r.size), r.size);
        assert_true(looked_at == written || looked_at == BLOCKS); /* all: it knows of no holes */
        segment_reader_close(&r);
    }
}

/* What cannot be asked for holes is data. */
static void without_holes_all_is_data(void **state)
{
    int fds[2];
    (void)state;
    assert_int_equal(pipe(fds), 0);
    struct segment_reader r = {.fd = fds[0], .size = (uint64_t)8 * BLOCK};
    for (uint64_t at = 0; at < r.size; at += BLOCK)
        assert_int_equal(segment_reader_next_data(&r, at), at);
    assert_int_equal(segment_reader_next_data(&r, r.size), r.size);
    segment_reader_close(&r);
    close(fds[1]);
}

static void sizes(void **state)
{
    struct fixture *f = *state;
    struct segment_reader r;
    const uint8_t *bytes;
    write_layout(f, &LAYOUTS[0]);
    assert_int_equal(segment_reader_open(&r, f->dir_fd, "file", (uint64_t)BLOCKS * BLOCK - 1), -EFBIG);
    segment_reader_close(&r);
    assert_int_equal(segment_reader_open(&r, f->dir_fd, "none", BLOCK), -ENOENT);
    segment_reader_close(&r);
    /* The rest of a block does not count. */
    int fd = openat(f->dir_fd, "file", O_RDWR);
    assert_int_equal(ftruncate(fd, 2 * BLOCK + 100), 0);
    assert_int_equal(segment_reader_open(&r, f->dir_fd, "file", (uint64_t)BLOCKS * BLOCK), 0);
    assert_int_equal(r.size, 2 * BLOCK);
    check_view(f, &r, 0, 2);
    /* Cut short meanwhile: an error, not zeros. */
    assert_int_equal(ftruncate(fd, BLOCK), 0);
    r.have = 0;
    assert_int_equal(segment_reader_view(&r, 0, 2 * BLOCK, &bytes), -EIO);
    segment_reader_close(&r);
    close(fd);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
        T(reads_what_is_there),
        T(skips_only_zeros),
        T(without_holes_all_is_data),
        T(sizes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
