/* Reading a file of the log in pieces (see segment_reader.h). */
#include "consensus/segment_reader.h"
#include "consensus/diskfile.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

/* So much is read at once, unless a record is larger. */
#define PIECE_BYTES ((size_t)2 << 20)
#define BLOCK_MASK ((uint64_t)DISK_BLOCK - 1)

/* The log was written around the page cache and is not there; to read it by way of it would cost a copy. */
static int open_file(int dir_fd, const char *name)
{
    int fd = openat(dir_fd, name, O_RDONLY | O_CLOEXEC | O_DIRECT);
    if (fd < 0 && errno == EINVAL)
        fd = openat(dir_fd, name, O_RDONLY | O_CLOEXEC);
    return fd < 0 ? -errno : fd;
}

int segment_reader_open(struct segment_reader *r, int dir_fd, const char *name, uint64_t max_bytes)
{
    struct stat st;

    *r = (struct segment_reader){.fd = open_file(dir_fd, name)};
    if (r->fd < 0)
        return r->fd;
    if (fstat(r->fd, &st) != 0)
        return -errno;
    if ((uint64_t)st.st_size > max_bytes)
        return -EFBIG;
    r->size = (uint64_t)st.st_size & ~BLOCK_MASK;
    r->allocated = (uint64_t)st.st_blocks * 512;
    return 0;
}

void segment_reader_close(struct segment_reader *r)
{
    free(r->buffer);
    r->buffer = NULL;
    if (r->fd >= 0)
        close(r->fd);
    r->fd = -1;
}

/* Finds the stretch of data at or behind `at`. A file system that cannot tell says that all is data. */
static void find_data(struct segment_reader *r, uint64_t at)
{
    off_t from = lseek(r->fd, (off_t)at, SEEK_DATA);

    if (from < 0) {
        r->data_from = errno == ENXIO ? r->size : at;
        r->data_to = r->size;
        return;
    }
    off_t to = lseek(r->fd, from, SEEK_HOLE);
    r->data_from = (uint64_t)from & ~BLOCK_MASK;
    r->data_to = to < 0 ? r->size : ((uint64_t)to + BLOCK_MASK) & ~BLOCK_MASK;
    if (r->data_from > r->size)
        r->data_from = r->size;
    if (r->data_to > r->size)
        r->data_to = r->size;
}

uint64_t segment_reader_next_data(struct segment_reader *r, uint64_t at)
{
    if (at >= r->size)
        return r->size;
    if (at < r->data_from || at >= r->data_to)
        find_data(r, at);
    return r->data_from > at ? r->data_from : at;
}

static int read_all(int fd, uint8_t *p, uint64_t at, uint64_t len)
{
    while (len > 0) {
        ssize_t n = pread(fd, p, len, (off_t)at);
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            return n < 0 ? -errno : -EIO;
        p += n;
        at += (uint64_t)n;
        len -= (uint64_t)n;
    }
    return 0;
}

/* Room for so much behind what the buffer has. */
static int reserve(struct segment_reader *r, size_t bytes)
{
    void *buffer = NULL;
    if (bytes <= r->room)
        return 0;
    if (posix_memalign(&buffer, DISK_BLOCK, bytes) != 0)
        return -ENOMEM;
    (void)madvise(buffer, bytes, MADV_POPULATE_WRITE); /* one call instead of a fault for each page */
    if (r->have > 0)
        memcpy(buffer, r->buffer, r->have);
    free(r->buffer);
    r->buffer = buffer;
    r->room = bytes;
    return 0;
}

/* Appends the file's bytes up to `to` to the buffer. */
static int fill(struct segment_reader *r, uint64_t to)
{
    for (uint64_t at = r->from + r->have; at < to; at = r->from + r->have) {
        uint64_t data = segment_reader_next_data(r, at);
        if (data > at) {
            size_t zeros = (size_t)((data < to ? data : to) - at);
            memset(r->buffer + r->have, 0, zeros);
            r->have += zeros;
            continue;
        }
        size_t n = (size_t)((r->data_to < to ? r->data_to : to) - at);
        int rc = read_all(r->fd, r->buffer + r->have, at, n);
        if (rc != 0)
            return rc;
        r->have += n;
    }
    return 0;
}

int segment_reader_view(struct segment_reader *r, uint64_t at, size_t bytes, const uint8_t **ret_bytes)
{
    if (at >= r->from && at + bytes <= r->from + r->have) {
        *ret_bytes = r->buffer + (at - r->from);
        return 0;
    }
    /* What is there of it goes to the front. */
    if (at >= r->from && at < r->from + r->have) {
        size_t gone = (size_t)(at - r->from);
        memmove(r->buffer, r->buffer + gone, r->have - gone);
        r->have -= gone;
    } else {
        r->have = 0;
    }
    r->from = at;
    int rc = reserve(r, bytes > PIECE_BYTES ? bytes : PIECE_BYTES);
    if (rc != 0)
        return rc;
    /* More of what will be wanted next, but no zeros. */
    uint64_t to = at + bytes;
    if (segment_reader_next_data(r, to) == to && to < r->size)
        to = r->data_to < at + r->room ? r->data_to : at + r->room;
    rc = fill(r, to);
    *ret_bytes = r->buffer;
    return rc;
}
