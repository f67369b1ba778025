/* Snapshots on disk. */
#include "consensus/snapfile.h"
#include "consensus/confcodec.h"
#include "consensus/diskfile.h"
#include "shared/base/crc32c.h"
#include "shared/base/err.h"

#include <dirent.h>
#include <endian.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define SNAPFILE_MAGIC UINT64_C(0x31504e534f430000)
#define SNAPFILE_TEMPORARY "snapshot.tmp"
enum { SNAPFILE_VERSION = 2, PIECE_BYTES = 256 << 10, KEEP = 2, MEMBERSHIP_MAX_BYTES = 16 << 10 };

/* Little-endian in the file. Behind it: the encoded membership, the table, the parts. */
struct header {
    uint64_t magic;
    uint32_t version;
    uint32_t header_crc; /* of the header with this field zero */
    uint64_t index;
    uint64_t term;
    uint64_t membership_index;
    uint32_t membership_bytes;
    uint32_t membership_crc;
    uint64_t data_bytes; /* of all parts */
    uint32_t part_count;
    uint32_t table_crc;
};
_Static_assert(sizeof(struct header) == 64, "snapshot header layout");

struct table_row {
    uint32_t bytes, crc;
};

void snapfile_name(uint64_t index, char ret_name[SNAPFILE_NAME_SIZE])
{
    snprintf(ret_name, SNAPFILE_NAME_SIZE, "%020" PRIu64 ".snap", index);
}

bool snapfile_parse_name(const char *name, uint64_t *ret_index)
{
    char again[SNAPFILE_NAME_SIZE];
    char *end;
    errno = 0;
    uint64_t index = strtoull(name, &end, 10);
    if (errno != 0)
        return false;
    snapfile_name(index, again);
    if (index == 0 || strcmp(name, again) != 0)
        return false;
    *ret_index = index;
    return true;
}

/* ---- writing ---- */

struct writer {
    int fd;
    uint8_t *piece; /* aligned, PIECE_BYTES */
    size_t have;
    uint64_t offset;
    bool (*pause)(void *ctx);
    void *ctx;
};

static int put(struct writer *w, const void *data, size_t len)
{
    const uint8_t *p = data;
    while (len > 0) {
        size_t n = PIECE_BYTES - w->have < len ? PIECE_BYTES - w->have : len;
        memcpy(w->piece + w->have, p, n);
        w->have += n;
        p += n;
        len -= n;
        if (w->have < PIECE_BYTES)
            break;
        int rc = diskfile_write_at(w->fd, w->piece, PIECE_BYTES, w->offset);
        if (rc != 0)
            return rc;
        w->offset += PIECE_BYTES;
        w->have = 0;
        if (w->pause != NULL && !w->pause(w->ctx))
            return -ECANCELED;
    }
    return 0;
}

/* The last piece, and the file's true size. */
static int put_end(struct writer *w)
{
    size_t padded = (w->have + DISK_BLOCK - 1) & ~(size_t)(DISK_BLOCK - 1);
    memset(w->piece + w->have, 0, padded - w->have);
    int rc = diskfile_write_at(w->fd, w->piece, padded, w->offset);
    if (rc == 0 && ftruncate(w->fd, (off_t)(w->offset + w->have)) != 0)
        rc = -errno;
    if (rc == 0 && fsync(w->fd) != 0)
        rc = -errno;
    return rc;
}

static int put_all(struct writer *w, const struct snapshot *s, const uint8_t *conf, size_t conf_len,
                   struct table_row *table)
{
    struct header h = {.magic = htole64(SNAPFILE_MAGIC),
                       .version = htole32(SNAPFILE_VERSION),
                       .index = htole64(s->index),
                       .term = htole64(s->term),
                       .membership_index = htole64(s->membership.index),
                       .membership_bytes = htole32((uint32_t)conf_len),
                       .membership_crc = htole32(crc32c(0, conf, conf_len)),
                       .data_bytes = htole64(s->data_len),
                       .part_count = htole32(s->part_count)};
    for (unsigned i = 0; i < s->part_count; i++)
        table[i] = (struct table_row){.bytes = htole32((uint32_t)entry_len(s->parts[i])),
                                      .crc = htole32(entry_crc(s->parts[i]))};
    h.table_crc = htole32(crc32c(0, table, s->part_count * sizeof *table));
    h.header_crc = htole32(crc32c(0, &h, sizeof h));
    int rc = put(w, &h, sizeof h);
    if (rc == 0)
        rc = put(w, conf, conf_len);
    if (rc == 0)
        rc = put(w, table, s->part_count * sizeof *table);
    for (unsigned i = 0; i < s->part_count && rc == 0; i++)
        rc = put(w, entry_payload(s->parts[i]), entry_len(s->parts[i]));
    return rc == 0 ? put_end(w) : rc;
}

static int find_newest(int dir_fd, uint64_t ret_newest[KEEP]);

/* Where to write: over the last but one, which nobody needs any more, or a new file. */
static int open_temporary(int dir_fd, const struct snapshot *s)
{
    char name[SNAPFILE_NAME_SIZE];
    uint64_t newest[KEEP];
    int rc = find_newest(dir_fd, newest);
    if (rc != 0)
        return rc;
    snapfile_name(newest[KEEP - 1], name);
    if (newest[KEEP - 1] != 0 && newest[KEEP - 1] < s->index && renameat(dir_fd, name, dir_fd, SNAPFILE_TEMPORARY) != 0)
        return -errno;
    return diskfile_open_direct(dir_fd, SNAPFILE_TEMPORARY, O_CREAT);
}

int snapfile_write(int dir_fd, const struct snapshot *s, bool (*pause)(void *), void *ctx)
{
    char name[SNAPFILE_NAME_SIZE];
    size_t conf_len = confcodec_len(&s->membership);
    uint8_t *conf = malloc(conf_len);
    struct table_row *table = calloc(s->part_count + 1, sizeof *table);
    void *piece = NULL;
    struct writer w = {.fd = -1, .pause = pause, .ctx = ctx};
    int rc = -ENOMEM;

    if (conf == NULL || table == NULL || posix_memalign(&piece, DISK_BLOCK, PIECE_BYTES) != 0)
        goto out;
    confcodec_encode(&s->membership, conf);
    w.piece = piece;
    w.fd = rc = open_temporary(dir_fd, s);
    if (rc >= 0)
        rc = put_all(&w, s, conf, conf_len, table);
    snapfile_name(s->index, name);
    if (rc == 0 && (renameat(dir_fd, SNAPFILE_TEMPORARY, dir_fd, name) != 0 || fsync(dir_fd) != 0))
        rc = -errno;
out:
    if (w.fd >= 0 && close(w.fd) != 0 && rc == 0)
        rc = -errno;
    free(piece);
    free(table);
    free(conf);
    return rc;
}

/* ---- reading ---- */

static int read_at(int fd, void *data, size_t len, uint64_t offset)
{
    uint8_t *p = data;
    while (len > 0) {
        ssize_t n = pread(fd, p, len, (off_t)offset);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return -errno;
        if (n == 0)
            return OC_ECORRUPT; /* cut short */
        p += n;
        len -= (size_t)n;
        offset += (uint64_t)n;
    }
    return 0;
}

static int read_header(int fd, uint64_t file_len, uint64_t index, struct header *ret)
{
    struct header h;
    int rc = file_len < sizeof h ? OC_ECORRUPT : read_at(fd, &h, sizeof h, 0);
    if (rc != 0)
        return rc;
    uint32_t crc = le32toh(h.header_crc);
    h.header_crc = 0;
    if (le64toh(h.magic) == SNAPFILE_MAGIC && le32toh(h.version) != SNAPFILE_VERSION)
        return OC_EVERSION;
    uint64_t conf_len = le32toh(h.membership_bytes), table_len = le32toh(h.part_count) * sizeof(struct table_row);
    if (le64toh(h.magic) != SNAPFILE_MAGIC || crc != crc32c(0, &h, sizeof h) || le64toh(h.index) != index ||
        h.term == 0 || conf_len > MEMBERSHIP_MAX_BYTES || le32toh(h.part_count) > SNAPSHOT_PARTS_MAX ||
        le64toh(h.data_bytes) > SNAPSHOT_MAX_BYTES ||
        sizeof h + conf_len + table_len + le64toh(h.data_bytes) != file_len)
        return OC_ECORRUPT;
    *ret = h;
    return 0;
}

static int read_membership(int fd, const struct header *h, struct membership *ret)
{
    uint8_t conf[MEMBERSHIP_MAX_BYTES];
    size_t len = le32toh(h->membership_bytes);
    int rc = read_at(fd, conf, len, sizeof *h);
    if (rc == 0 && (le32toh(h->membership_crc) != crc32c(0, conf, len) || confcodec_decode(conf, len, ret) != 0))
        rc = OC_ECORRUPT;
    ret->index = le64toh(h->membership_index);
    return rc;
}

/* Each part straight into its place. */
static int read_parts(int fd, const struct header *h, struct snapshot *s)
{
    uint32_t count = le32toh(h->part_count);
    uint64_t offset = sizeof *h + le32toh(h->membership_bytes);
    struct table_row *table = calloc(count + 1, sizeof *table);
    int rc = table == NULL ? -ENOMEM : read_at(fd, table, count * sizeof *table, offset);
    if (rc == 0 && le32toh(h->table_crc) != crc32c(0, table, count * sizeof *table))
        rc = OC_ECORRUPT;
    offset += count * sizeof *table;
    for (uint32_t i = 0; i < count && rc == 0; i++) {
        uint32_t bytes = le32toh(table[i].bytes);
        struct entry *e = bytes > ENTRY_PAYLOAD_MAX_BYTES ? NULL : entry_new(ENTRY_COMMAND, 0, bytes);
        if (e == NULL) {
            rc = bytes > ENTRY_PAYLOAD_MAX_BYTES ? OC_ECORRUPT : -ENOMEM;
            break;
        }
        rc = read_at(fd, entry_payload(e), bytes, offset);
        if (rc == 0 && entry_crc(e) != le32toh(table[i].crc))
            rc = OC_ECORRUPT;
        if (rc == 0)
            rc = snapshot_add_part(s, e);
        entry_unref(e);
        offset += bytes;
    }
    if (rc == 0 && s->data_len != le64toh(h->data_bytes))
        rc = OC_ECORRUPT;
    free(table);
    return rc;
}

int snapfile_read(int dir_fd, uint64_t index, struct snapshot **ret_snapshot)
{
    char name[SNAPFILE_NAME_SIZE];
    struct header h;
    struct stat st;

    snapfile_name(index, name);
    int fd = openat(dir_fd, name, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return -errno;
    struct snapshot *s = snapshot_new();
    int rc = s == NULL ? -ENOMEM : fstat(fd, &st) != 0 ? -errno : 0;
    if (rc == 0)
        rc = read_header(fd, (uint64_t)st.st_size, index, &h);
    if (rc == 0)
        rc = read_membership(fd, &h, &s->membership);
    if (rc == 0)
        rc = read_parts(fd, &h, s);
    close(fd);
    if (rc != 0) {
        snapshot_unref(s);
        return rc;
    }
    s->index = index;
    s->term = le64toh(h.term);
    *ret_snapshot = s;
    return 0;
}

/* ---- the directory ---- */

static DIR *open_listing(int dir_fd)
{
    int fd = openat(dir_fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    DIR *dir = fd < 0 ? NULL : fdopendir(fd);
    if (fd >= 0 && dir == NULL)
        close(fd);
    return dir;
}

int snapfile_newest(int dir_fd, uint64_t *ret_index, uint64_t *ret_bytes)
{
    struct stat st;
    struct dirent *entry;
    uint64_t index;
    DIR *dir = open_listing(dir_fd);

    *ret_index = *ret_bytes = 0;
    if (dir == NULL)
        return -errno;
    while ((entry = readdir(dir)) != NULL) {
        if (!snapfile_parse_name(entry->d_name, &index))
            continue;
        if (index > *ret_index)
            *ret_index = index;
        if (fstatat(dir_fd, entry->d_name, &st, 0) == 0)
            *ret_bytes += (uint64_t)st.st_blocks * 512;
    }
    closedir(dir);
    return 0;
}

static int find_newest(int dir_fd, uint64_t ret_newest[KEEP])
{
    struct dirent *entry;
    uint64_t index;
    DIR *dir = open_listing(dir_fd);

    memset(ret_newest, 0, KEEP * sizeof *ret_newest);
    if (dir == NULL)
        return -errno;
    while ((entry = readdir(dir)) != NULL) {
        if (!snapfile_parse_name(entry->d_name, &index))
            continue;
        if (index > ret_newest[0]) {
            ret_newest[1] = ret_newest[0];
            ret_newest[0] = index;
        } else if (index > ret_newest[1]) {
            ret_newest[1] = index;
        }
    }
    closedir(dir);
    return 0;
}

int snapfile_purge(int dir_fd)
{
    uint64_t newest[KEEP], index;
    struct dirent *entry;
    int rc = find_newest(dir_fd, newest);
    DIR *dir = rc != 0 ? NULL : open_listing(dir_fd);

    if (dir == NULL)
        return rc != 0 ? rc : -errno;
    while (rc == 0 && (entry = readdir(dir)) != NULL)
        if (snapfile_parse_name(entry->d_name, &index) && index < newest[KEEP - 1] &&
            unlinkat(dir_fd, entry->d_name, 0) != 0)
            rc = -errno;
    closedir(dir);
    return rc;
}
