/* The log on disk: writing. */
#include "consensus/segment.h"
#include "consensus/diskfile.h"
#include "shared/base/crc32c.h"
#include "shared/base/fd.h"

#include <endian.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* How far zeros are written ahead of the log, and in which pieces. */
#define READY_AHEAD_BYTES ((uint64_t)16 << 20)
#define PIECE_BYTES ((uint64_t)256 << 10)
/* An old segment is given back in pieces of this. */
#define OLD_PIECE_BYTES ((uint64_t)2 << 20)

void segment_name(uint64_t first, char ret_name[SEGMENT_NAME_SIZE])
{
    snprintf(ret_name, SEGMENT_NAME_SIZE, "%020" PRIu64 ".log", first);
}

bool segment_parse_name(const char *name, uint64_t *ret_first)
{
    char again[SEGMENT_NAME_SIZE];
    char *end;
    errno = 0;
    uint64_t first = strtoull(name, &end, 10);
    if (errno != 0)
        return false;
    segment_name(first, again);
    if (first == 0 || strcmp(name, again) != 0)
        return false;
    *ret_first = first;
    return true;
}

uint32_t segment_header_crc(const struct segment_header *h)
{
    const uint8_t *p = (const uint8_t *)h;
    return crc32c(0, p + offsetof(struct segment_header, index), sizeof *h - offsetof(struct segment_header, index));
}

void segments_init(struct segments *s, int dir_fd, uint64_t salt, uint64_t segment_bytes)
{
    *s = (struct segments){
        .dir_fd = dir_fd, .salt = salt, .segment_bytes = segment_bytes, .fd = -1, .spare_fd = -1, .old_fd = -1};
    s->segment_bytes &= ~(uint64_t)(DISK_BLOCK - 1);
}

void segments_close(struct segments *s)
{
    for (unsigned i = 0; i < s->count; i++)
        free(s->list[i].records);
    free(s->list);
    fd_close(&s->fd);
    fd_close(&s->spare_fd);
    fd_close(&s->old_fd);
    s->list = NULL;
    s->count = s->room = 0;
}

struct segment *segments_add(struct segments *s, uint64_t first, uint64_t size)
{
    if (s->count == s->room) {
        unsigned room = s->room > 0 ? s->room * 2 : 8;
        struct segment *list = realloc(s->list, room * sizeof *list);
        if (list == NULL)
            return NULL;
        s->list = list;
        s->room = room;
    }
    struct segment *g = &s->list[s->count++];
    *g = (struct segment){.first = first, .size = size};
    return g;
}

int segment_note(struct segment *g, uint32_t header_crc, uint64_t bytes)
{
    if (g->count == g->room) {
        size_t room = g->room > 0 ? g->room * 2 : 64;
        struct segment_record *records = realloc(g->records, room * sizeof *records);
        if (records == NULL)
            return -ENOMEM;
        g->records = records;
        g->room = room;
    }
    g->records[g->count++] = (struct segment_record){.offset = g->end, .header_crc = header_crc};
    g->end += bytes;
    if (g->ready < g->end)
        g->ready = g->end;
    return 0;
}

/* Forgets segment i and removes its file. */
int segments_remove(struct segments *s, unsigned i)
{
    char name[SEGMENT_NAME_SIZE];
    segment_name(s->list[i].first, name);
    if (i + 1 == s->count)
        fd_close(&s->fd);
    free(s->list[i].records);
    memmove(&s->list[i], &s->list[i + 1], (s->count - i - 1) * sizeof s->list[0]);
    s->count--;
    return diskfile_remove(s->dir_fd, name);
}

static int open_last(struct segments *s)
{
    char name[SEGMENT_NAME_SIZE];
    if (s->fd >= 0 || s->count == 0)
        return 0;
    segment_name(s->list[s->count - 1].first, name);
    int fd = diskfile_open_direct(s->dir_fd, name, 0);
    if (fd < 0)
        return fd;
    s->fd = fd;
    return 0;
}

/* File systems without preallocation get a sparse file: slower, not wrong. */
static int allocate(int fd, uint64_t size)
{
    int rc = posix_fallocate(fd, 0, (off_t)size);
    if (rc == EOPNOTSUPP || rc == EINVAL)
        rc = ftruncate(fd, (off_t)size) != 0 ? errno : 0;
    return -rc;
}

static int make_spare(struct segments *s, uint64_t size)
{
    fd_close(&s->spare_fd);
    int fd = diskfile_open_direct(s->dir_fd, SEGMENT_SPARE_FILE, O_CREAT | O_TRUNC);
    if (fd < 0)
        return fd;
    int rc = allocate(fd, size);
    if (rc == 0 && fsync(fd) != 0)
        rc = -errno;
    if (rc != 0) {
        close(fd);
        return rc;
    }
    s->spare_fd = fd;
    s->spare_ready = 0;
    return 0;
}

/* Writes the next piece of zeros. */
static int write_zeros(int fd, uint64_t size, uint64_t *ready)
{
    static uint8_t zeros[PIECE_BYTES] __attribute__((aligned(DISK_BLOCK)));
    uint64_t n = size - *ready < PIECE_BYTES ? size - *ready : PIECE_BYTES;
    int rc = diskfile_write_at(fd, zeros, n, *ready);
    if (rc == 0)
        *ready += n;
    return rc != 0 ? rc : 1;
}

static int give_back(struct segments *s)
{
    s->old_size = s->old_size > OLD_PIECE_BYTES ? s->old_size - OLD_PIECE_BYTES : 0;
    int rc = ftruncate(s->old_fd, (off_t)s->old_size) != 0 ? -errno : 0;
    if (rc == 0 && s->old_size > 0)
        return 1;
    fd_close(&s->old_fd);
    return rc != 0 ? rc : diskfile_remove(s->dir_fd, SEGMENT_OLD_FILE);
}

int segments_prepare(struct segments *s)
{
    int rc = open_last(s);
    if (rc != 0)
        return rc;
    struct segment *g = s->count > 0 ? &s->list[s->count - 1] : NULL;
    uint64_t ahead = g != NULL ? g->ready - g->end : 0;
    if (g != NULL && ahead < READY_AHEAD_BYTES && g->ready < g->size)
        return write_zeros(s->fd, g->size, &g->ready);
    if (s->spare_fd < 0) {
        rc = make_spare(s, s->segment_bytes);
        return rc != 0 ? rc : 1;
    }
    if (ahead + s->spare_ready < READY_AHEAD_BYTES && s->spare_ready < s->segment_bytes)
        return write_zeros(s->spare_fd, s->segment_bytes, &s->spare_ready);
    return s->old_fd >= 0 ? give_back(s) : 0;
}

static int mark_end(struct segments *s, const struct segment *g, int fd)
{
    if (g->size - g->end < DISK_BLOCK)
        return 0;
    struct entry *mark = entry_new(ENTRY_BARRIER, 0, 0);
    size_t bytes;
    if (mark == NULL)
        return -ENOMEM;
    struct segment_header h = {.magic = htole32(SEGMENT_MAGIC),
                               .index = htole64(g->first + g->count),
                               .salt = htole64(s->salt),
                               .chain = htole32(s->chain),
                               .type = SEGMENT_RECORD_END};
    h.header_crc = htole32(segment_header_crc(&h));
    memcpy(entry_buffer(mark, &bytes), &h, sizeof h);
    int rc = diskfile_write_at(fd, entry_buffer(mark, &bytes), DISK_BLOCK, g->end);
    entry_unref(mark);
    return rc;
}

/* Begins a new segment. The old one's mark says that there is a next one, so it comes last. */
static int rotate(struct segments *s, uint64_t index, uint64_t need)
{
    char name[SEGMENT_NAME_SIZE];
    int rc = 0, old_fd = -1;

    if (s->count > 0 && s->list[s->count - 1].count == 0) {
        /* Too small for this entry, and empty: the new file takes its name and place. */
        fd_close(&s->fd);
        free(s->list[--s->count].records);
    } else {
        old_fd = s->fd;
        s->fd = -1;
    }
    uint64_t size = s->segment_bytes;
    if (need > size) {
        size = need;
        fd_close(&s->spare_fd);
    }
    if (rc == 0 && s->spare_fd < 0)
        rc = make_spare(s, size);
    segment_name(index, name);
    if (rc == 0 && (renameat(s->dir_fd, SEGMENT_SPARE_FILE, s->dir_fd, name) != 0 || fsync(s->dir_fd) != 0))
        rc = -errno;
    if (rc == 0 && old_fd >= 0)
        rc = mark_end(s, &s->list[s->count - 1], old_fd);
    if (rc == 0 && segments_add(s, index, size) == NULL)
        rc = -ENOMEM;
    if (rc == 0) {
        s->list[s->count - 1].ready = s->spare_ready;
        s->fd = s->spare_fd;
        s->spare_fd = -1;
    }
    fd_close(&old_fd);
    return rc;
}

int segments_append(struct segments *s, uint64_t index, struct entry *e)
{
    size_t bytes;
    uint8_t *buffer = entry_buffer(e, &bytes);
    int rc = open_last(s);

    if (rc != 0)
        return rc;
    if (s->count > 0 && index != s->next)
        return -EINVAL;
    if (s->count == 0 || s->list[s->count - 1].size - s->list[s->count - 1].end < bytes + DISK_BLOCK) {
        rc = rotate(s, index, bytes + DISK_BLOCK); /* the end mark has its place */
        if (rc != 0)
            return rc;
    }
    struct segment *g = &s->list[s->count - 1];
    struct segment_header h = {.magic = htole32(SEGMENT_MAGIC),
                               .index = htole64(index),
                               .term = htole64(entry_term(e)),
                               .salt = htole64(s->salt),
                               .len = htole32((uint32_t)entry_len(e)),
                               .data_crc = htole32(entry_crc(e)),
                               .chain = htole32(s->chain),
                               .type = (uint8_t)entry_type(e)};
    uint32_t crc = segment_header_crc(&h);
    h.header_crc = htole32(crc);
    memcpy(buffer, &h, sizeof h);
    rc = diskfile_write_at(s->fd, buffer, bytes, g->end);
    if (rc == 0)
        rc = segment_note(g, crc, bytes);
    if (rc == 0) {
        s->chain = crc;
        s->next = index + 1;
    }
    return rc;
}

int segments_clear_end(struct segments *s)
{
    if (s->count == 0)
        return 0;
    int rc = open_last(s);
    struct segment *g = &s->list[s->count - 1];
    if (rc == 0 && ftruncate(s->fd, (off_t)g->end) != 0)
        rc = -errno;
    if (rc == 0)
        rc = allocate(s->fd, g->size);
    if (rc == 0 && fsync(s->fd) != 0)
        rc = -errno;
    g->ready = g->end;
    return rc;
}

int segments_truncate_now(struct segments *s, uint64_t from_index)
{
    int rc = 0;
    while (rc == 0 && s->count > 0 && s->list[s->count - 1].first >= from_index)
        rc = segments_remove(s, s->count - 1);
    s->next = from_index;
    s->chain = 0;
    if (rc != 0 || s->count == 0)
        return rc;
    struct segment *g = &s->list[s->count - 1];
    uint64_t keep = from_index - g->first;
    if (keep < g->count) {
        g->end = g->records[keep].offset;
        g->count = keep;
    }
    s->chain = g->count > 0 ? g->records[g->count - 1].header_crc : 0;
    return segments_clear_end(s);
}

int segments_truncate(struct segments *s, uint64_t from_index)
{
    uint64_t words[2] = {htole64(from_index), htole64(~from_index)};
    if (s->count == 0 || from_index >= s->next)
        return 0;
    if (s->list[s->count - 1].first < from_index)
        return segments_truncate_now(s, from_index);
    /* More than one file is concerned: a note lets the next start finish what was begun. */
    int rc = diskfile_replace(s->dir_fd, SEGMENT_TRUNCATE_FILE, words, sizeof words);
    if (rc == 0)
        rc = segments_truncate_now(s, from_index);
    if (rc == 0)
        rc = diskfile_remove(s->dir_fd, SEGMENT_TRUNCATE_FILE);
    return rc;
}

int segments_drop_all(struct segments *s)
{
    if (s->count == 0)
        return 0;
    /* One without records goes too: what comes next begins at another index. */
    if (s->next == s->list[0].first)
        return segments_truncate_now(s, s->next);
    return segments_truncate(s, s->list[0].first);
}

/* Takes the oldest segment out of the log at once, and gives its space back later. */
static int retire_oldest(struct segments *s)
{
    char name[SEGMENT_NAME_SIZE];
    uint64_t size = s->list[0].size;

    if (s->old_fd >= 0)
        return segments_remove(s, 0);
    segment_name(s->list[0].first, name);
    /* Durable before anything is cut off: a log file that is too short would be damage. */
    if (renameat(s->dir_fd, name, s->dir_fd, SEGMENT_OLD_FILE) != 0 || fsync(s->dir_fd) != 0)
        return -errno;
    int rc = segments_remove(s, 0); /* the list only: the file has gone */
    if (rc != 0)
        return rc;
    int fd = openat(s->dir_fd, SEGMENT_OLD_FILE, O_RDWR | O_CLOEXEC);
    if (fd < 0)
        return -errno;
    s->old_fd = fd;
    s->old_size = size;
    return 0;
}

int segments_purge(struct segments *s, uint64_t keep_from)
{
    int rc = 0;
    while (rc == 0 && s->count > 1 && s->list[1].first <= keep_from)
        rc = retire_oldest(s);
    return rc;
}

uint64_t segments_bytes(const struct segments *s)
{
    uint64_t n = (s->spare_fd >= 0 ? s->segment_bytes : 0) + (s->old_fd >= 0 ? s->old_size : 0);
    for (unsigned i = 0; i < s->count; i++)
        n += s->list[i].size;
    return n;
}
