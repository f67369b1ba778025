/* The identity file. */
#include "consensus/storage_identity.h"
#include "consensus/diskfile.h"
#include "shared/base/crc32c.h"
#include "shared/base/err.h"

#include <endian.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

#define IDENTITY_MAGIC UINT64_C(0x3149444e4f434f00)
enum { IDENTITY_VERSION = 1, FLAG_FRESH = 1, FLAG_BOOTSTRAPPING = 2, FLAG_HAS_LOG = 4 };

/* Little-endian in the file. */
struct image {
    uint64_t magic;
    uint32_t version;
    uint32_t flags;
    uint8_t uuid[STORAGE_ID_BYTES];
    uint8_t cluster_id[STORAGE_ID_BYTES];
    uint64_t salt;
    char name[SERVER_ID_SIZE];
    uint64_t crc; /* of all before it */
};

int identity_random(void *data, size_t n)
{
    uint8_t *p = data;
    while (n > 0) {
        ssize_t got = getrandom(p, n, 0);
        if (got < 0 && errno == EINTR)
            continue;
        if (got < 0)
            return -errno;
        p += got;
        n -= (size_t)got;
    }
    return 0;
}

int identity_file_make(struct identity_file *f, const char *name)
{
    memset(f, 0, sizeof *f);
    snprintf(f->id.name, sizeof f->id.name, "%s", name);
    int rc = identity_random(f->id.uuid, sizeof f->id.uuid);
    return rc != 0 ? rc : identity_random(&f->salt, sizeof f->salt);
}

int identity_file_write(const struct identity_file *f, int dir_fd)
{
    struct image image = {.magic = htole64(IDENTITY_MAGIC), .version = htole32(IDENTITY_VERSION)};
    uint32_t flags = (f->id.fresh_bootstrap ? FLAG_FRESH : 0u) | (f->bootstrapping ? FLAG_BOOTSTRAPPING : 0u) |
                     (f->has_log ? FLAG_HAS_LOG : 0u);
    image.flags = htole32(flags);
    memcpy(image.uuid, f->id.uuid, sizeof image.uuid);
    memcpy(image.cluster_id, f->id.cluster_id, sizeof image.cluster_id);
    image.salt = htole64(f->salt);
    snprintf(image.name, sizeof image.name, "%s", f->id.name);
    image.crc = htole64(crc32c(0, &image, offsetof(struct image, crc)));
    return diskfile_replace(dir_fd, IDENTITY_FILE, &image, sizeof image);
}

int identity_file_read(struct identity_file *f, int dir_fd)
{
    struct image image;
    uint8_t *data;
    size_t len;
    int rc = diskfile_read(dir_fd, IDENTITY_FILE, DISK_BLOCK, &data, &len);
    if (rc != 0)
        return rc == -EFBIG ? OC_ECORRUPT : rc;
    bool fits = len == sizeof image;
    if (fits)
        memcpy(&image, data, sizeof image);
    free(data);
    if (!fits || le64toh(image.magic) != IDENTITY_MAGIC)
        return OC_ECORRUPT;
    if (le32toh(image.version) != IDENTITY_VERSION)
        return OC_EVERSION;
    if (le64toh(image.crc) != crc32c(0, &image, offsetof(struct image, crc)) ||
        memchr(image.name, 0, sizeof image.name) == NULL)
        return OC_ECORRUPT;
    memset(f, 0, sizeof *f);
    uint32_t flags = le32toh(image.flags);
    f->id.fresh_bootstrap = (flags & FLAG_FRESH) != 0;
    f->bootstrapping = (flags & FLAG_BOOTSTRAPPING) != 0;
    f->has_log = (flags & FLAG_HAS_LOG) != 0;
    memcpy(f->id.uuid, image.uuid, sizeof f->id.uuid);
    memcpy(f->id.cluster_id, image.cluster_id, sizeof f->id.cluster_id);
    memcpy(f->id.name, image.name, sizeof f->id.name);
    f->salt = le64toh(image.salt);
    return 0;
}
