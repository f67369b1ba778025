/* Term and vote on disk. */
#include "consensus/meta.h"
#include "consensus/diskfile.h"
#include "shared/base/crc32c.h"
#include "shared/base/err.h"
#include "shared/base/fd.h"

#include <endian.h>
#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#define META_MAGIC UINT64_C(0x314154454d434f00)
enum { PLACE_BYTES = 2 * DISK_BLOCK, FILE_BYTES = 2 * PLACE_BYTES };

/* Little-endian in the file. */
struct block {
    uint64_t magic;
    uint64_t sequence;
    uint64_t term;
    uint64_t voted_for;
    uint64_t lost_tail_term;
    uint64_t lost_tail_index;
    uint64_t crc; /* of all before it */
};

static void encode(const struct meta *m, uint8_t *place)
{
    struct block b = {.magic = htole64(META_MAGIC),
                      .sequence = htole64(m->sequence),
                      .term = htole64(m->term),
                      .voted_for = htole64(m->voted_for),
                      .lost_tail_term = htole64(m->lost_tail_term),
                      .lost_tail_index = htole64(m->lost_tail_index)};
    b.crc = htole64(crc32c(0, &b, offsetof(struct block, crc)));
    memset(place, 0, PLACE_BYTES);
    memcpy(place, &b, sizeof b);
    memcpy(place + DISK_BLOCK, &b, sizeof b);
}

static bool decode(const uint8_t *data, struct meta *m)
{
    struct block b;
    memcpy(&b, data, sizeof b);
    if (le64toh(b.magic) != META_MAGIC || le64toh(b.crc) != crc32c(0, &b, offsetof(struct block, crc)) ||
        le64toh(b.sequence) <= m->sequence)
        return false;
    m->sequence = le64toh(b.sequence);
    m->term = le64toh(b.term);
    m->voted_for = le64toh(b.voted_for);
    m->lost_tail_term = le64toh(b.lost_tail_term);
    m->lost_tail_index = le64toh(b.lost_tail_index);
    return true;
}

int meta_create(int dir_fd)
{
    struct meta m = {.sequence = 1};
    uint8_t *file = calloc(1, FILE_BYTES);
    if (file == NULL)
        return -ENOMEM;
    encode(&m, file + PLACE_BYTES); /* where sequence 1 belongs */
    int rc = diskfile_replace(dir_fd, META_FILE, file, FILE_BYTES);
    free(file);
    return rc;
}

int meta_open(struct meta *m, int dir_fd)
{
    uint8_t *file = NULL;
    size_t len = 0;
    bool found = false;
    void *buffer = NULL;

    *m = (struct meta){.fd = -1};
    int rc = diskfile_read(dir_fd, META_FILE, FILE_BYTES, &file, &len);
    if (rc != 0)
        return rc == -EFBIG ? OC_ECORRUPT : rc;
    for (size_t i = 0; len == FILE_BYTES && i < FILE_BYTES; i += DISK_BLOCK)
        found = decode(file + i, m) || found;
    free(file);
    if (!found)
        return OC_ECORRUPT;
    if (posix_memalign(&buffer, DISK_BLOCK, PLACE_BYTES) != 0)
        return -ENOMEM;
    m->buffer = buffer;
    m->fd = diskfile_open_direct(dir_fd, META_FILE, 0);
    if (m->fd < 0) {
        rc = m->fd;
        m->fd = -1;
        meta_close(m);
        return rc;
    }
    return 0;
}

void meta_close(struct meta *m)
{
    fd_close(&m->fd);
    free(m->buffer);
    m->buffer = NULL;
}

int meta_save(struct meta *m)
{
    m->sequence++;
    encode(m, m->buffer);
    return diskfile_write_at(m->fd, m->buffer, PLACE_BYTES, (m->sequence & 1) * PLACE_BYTES);
}
