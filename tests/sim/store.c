/* Segment files of blocks. */
#include "tests/sim/store.h"

#include "shared/base/crc32c.h"
#include "shared/base/err.h"
#include "shared/base/fd.h"
#include "shared/base/log.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>

#define STORE_MAGIC 0x314b4c42u /* "BLK1" */
#define STORE_SEGMENT_BYTES ((uint64_t)8 << 20)
#define STORE_BODY_MAX_BYTES ((uint32_t)64 << 20)

struct record_head {
    uint32_t magic;
    uint32_t kind;
    uint32_t len;
    uint32_t crc; /* of kind, len and the body */
};

struct store {
    int dir_fd;
    int fd; /* the newest segment, for appending */
    uint64_t first_segment, segment;
    uint64_t size;
};

static void segment_name(uint64_t segment, char ret[32])
{
    snprintf(ret, 32, "blocks-%010" PRIu64 ".dat", segment);
}

static uint32_t record_crc(const struct record_head *head, const void *body)
{
    uint32_t words[2] = {head->kind, head->len};
    return crc32c(crc32c(0, words, sizeof words), body, head->len);
}

static int open_segment(struct store *s, uint64_t segment, int flags)
{
    char name[32];
    segment_name(segment, name);
    int fd = openat(s->dir_fd, name, flags | O_CLOEXEC, 0644);
    return fd < 0 ? -errno : fd;
}

static int read_all(int fd, uint8_t **ret_data, size_t *ret_len)
{
    struct stat st;
    if (fstat(fd, &st) != 0)
        return -errno;
    size_t len = (size_t)st.st_size, done = 0;
    uint8_t *data = malloc(len + 1);
    if (!data)
        return -ENOMEM;
    while (done < len) {
        ssize_t n = pread(fd, data + done, len - done, (off_t)done);
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0) {
            int rc = n < 0 ? -errno : -EIO;
            free(data);
            return rc;
        }
        done += (size_t)n;
    }
    *ret_data = data;
    *ret_len = len;
    return 0;
}

/* Visits a segment's records; *ret_good is where the last whole one ends. */
static int load_segment(struct store *s, uint64_t segment, store_visit_fn visit, void *ctx, uint64_t *ret_good,
                        bool *ret_damaged)
{
    int fd = open_segment(s, segment, O_RDONLY);
    if (fd < 0)
        return fd;
    uint8_t *data = NULL;
    size_t len = 0, at = 0;
    int rc = read_all(fd, &data, &len);
    while (rc == 0 && len - at >= sizeof(struct record_head)) {
        struct record_head head;
        memcpy(&head, data + at, sizeof head);
        const uint8_t *body = data + at + sizeof head;
        if (head.magic != STORE_MAGIC || head.len > len - at - sizeof head || record_crc(&head, body) != head.crc)
            break;
        struct store_place place = {segment, at + sizeof head, head.len};
        rc = visit(ctx, (enum store_kind)head.kind, body, place);
        at += sizeof head + head.len;
    }
    *ret_good = at;
    *ret_damaged = at != len;
    free(data);
    fd_close(&fd);
    return rc;
}

static int find_segments(struct store *s, uint64_t *ret_first, uint64_t *ret_last)
{
    int fd = dup(s->dir_fd);
    DIR *dir = fd < 0 ? NULL : fdopendir(fd);
    if (!dir)
        return -errno;
    *ret_first = *ret_last = 0;
    for (struct dirent *e; (e = readdir(dir));) {
        char name[32];
        uint64_t n = strncmp(e->d_name, "blocks-", 7) == 0 ? strtoull(e->d_name + 7, NULL, 10) : 0;
        segment_name(n, name);
        if (n == 0 || strcmp(name, e->d_name) != 0)
            continue;
        *ret_first = *ret_first == 0 || n < *ret_first ? n : *ret_first;
        *ret_last = n > *ret_last ? n : *ret_last;
    }
    closedir(dir);
    return 0;
}

static int load(struct store *s, store_visit_fn visit, void *ctx)
{
    uint64_t last = 0;
    int rc = find_segments(s, &s->first_segment, &last);
    if (rc != 0)
        return rc;
    s->segment = s->first_segment = s->first_segment == 0 ? 1 : s->first_segment;
    bool damaged = false;
    for (uint64_t n = s->first_segment; n <= last; n++) {
        char name[32];
        if (damaged) {
            segment_name(n, name);
            unlinkat(s->dir_fd, name, 0);
            continue;
        }
        rc = load_segment(s, n, visit, ctx, &s->size, &damaged);
        if (rc != 0)
            return rc;
        s->segment = n;
        if (damaged)
            LOG_WARN("Block file ends in a damaged record; dropping it and what follows", LOG_U("segment", n),
                     LOG_U("kept_bytes", s->size));
    }
    s->fd = open_segment(s, s->segment, O_RDWR | O_CREAT);
    if (s->fd < 0)
        return s->fd;
    return ftruncate(s->fd, (off_t)s->size) == 0 ? 0 : -errno;
}

int store_open(const char *dir, store_visit_fn visit, void *ctx, struct store **ret)
{
    struct store *s = calloc(1, sizeof *s);
    if (!s)
        return -ENOMEM;
    s->fd = -1;
    s->dir_fd = -1;
    int rc = mkdir(dir, 0755) == 0 || errno == EEXIST ? 0 : -errno;
    if (rc == 0)
        s->dir_fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (rc == 0 && s->dir_fd < 0)
        rc = -errno;
    if (rc == 0)
        rc = load(s, visit, ctx);
    if (rc != 0) {
        store_close(s);
        return rc;
    }
    *ret = s;
    return 0;
}

void store_close(struct store *s)
{
    if (!s)
        return;
    fd_close(&s->fd);
    fd_close(&s->dir_fd);
    free(s);
}

int store_append(struct store *s, enum store_kind kind, const void *body, uint32_t len, struct store_place *ret_place)
{
    if (len > STORE_BODY_MAX_BYTES)
        return OC_ERANGE;
    if (s->size >= STORE_SEGMENT_BYTES) {
        int fd = open_segment(s, s->segment + 1, O_RDWR | O_CREAT | O_TRUNC);
        if (fd < 0)
            return fd;
        fd_close(&s->fd);
        s->fd = fd;
        s->segment++;
        s->size = 0;
    }
    struct record_head head = {.magic = STORE_MAGIC, .kind = kind, .len = len};
    head.crc = record_crc(&head, body);
    struct iovec iov[2] = {{&head, sizeof head}, {(void *)(uintptr_t)body, len}};
    ssize_t n = pwritev(s->fd, iov, 2, (off_t)s->size);
    if (n != (ssize_t)(sizeof head + len)) {
        int rc = n < 0 ? -errno : -ENOSPC;
        if (ftruncate(s->fd, (off_t)s->size) != 0)
            LOG_WARN("Cannot cut off a half-written block", LOG_E(-errno));
        return rc;
    }
    *ret_place = (struct store_place){s->segment, s->size + sizeof head, len};
    s->size += sizeof head + len;
    return 0;
}

uint8_t *store_read(struct store *s, struct store_place place)
{
    int fd = place.segment == s->segment ? s->fd : open_segment(s, place.segment, O_RDONLY);
    if (fd < 0)
        return NULL;
    struct record_head head;
    uint8_t *body = malloc(place.len);
    struct iovec iov[2] = {{&head, sizeof head}, {body, place.len}};
    if (body && (preadv(fd, iov, 2, (off_t)(place.offset - sizeof head)) != (ssize_t)(sizeof head + place.len) ||
                 head.magic != STORE_MAGIC || head.len != place.len || record_crc(&head, body) != head.crc)) {
        free(body);
        body = NULL;
    }
    if (fd != s->fd)
        fd_close(&fd);
    return body;
}

void store_drop_before(struct store *s, uint64_t segment)
{
    for (; s->first_segment < segment && s->first_segment < s->segment; s->first_segment++) {
        char name[32];
        segment_name(s->first_segment, name);
        unlinkat(s->dir_fd, name, 0);
    }
}
