/* Files of the storage directory. */
#include "consensus/diskfile.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

int diskfile_open_direct(int dir_fd, const char *name, int extra_flags)
{
    int flags = O_RDWR | O_DSYNC | O_CLOEXEC | extra_flags;
    int fd = openat(dir_fd, name, flags | O_DIRECT, 0600);
    if (fd < 0 && errno == EINVAL)
        fd = openat(dir_fd, name, flags, 0600);
    return fd < 0 ? -errno : fd;
}

int diskfile_write_at(int fd, const void *data, size_t len, uint64_t offset)
{
    const uint8_t *p = data;
    while (len > 0) {
        ssize_t n = pwrite(fd, p, len, (off_t)offset);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return -errno;
        if (n == 0)
            return -EIO;
        p += n;
        len -= (size_t)n;
        offset += (uint64_t)n;
    }
    return 0;
}

int diskfile_replace(int dir_fd, const char *name, const void *data, size_t len)
{
    char temporary[64];
    int rc = 0;
    snprintf(temporary, sizeof temporary, "%s.tmp", name);
    int fd = openat(dir_fd, temporary, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    if (fd < 0)
        return -errno;
    rc = diskfile_write_at(fd, data, len, 0);
    if (rc == 0 && fsync(fd) != 0)
        rc = -errno;
    if (close(fd) != 0 && rc == 0)
        rc = -errno;
    if (rc == 0 && (renameat(dir_fd, temporary, dir_fd, name) != 0 || fsync(dir_fd) != 0))
        rc = -errno;
    return rc;
}

int diskfile_read(int dir_fd, const char *name, size_t max, uint8_t **ret_data, size_t *ret_len)
{
    struct stat st;
    int rc = 0;
    uint8_t *data = NULL;
    size_t have = 0;
    int fd = openat(dir_fd, name, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return -errno;
    if (fstat(fd, &st) != 0) {
        rc = -errno;
        goto out;
    }
    if ((uint64_t)st.st_size > max) {
        rc = -EFBIG;
        goto out;
    }
    data = malloc((size_t)st.st_size + 1);
    if (data == NULL) {
        rc = -ENOMEM;
        goto out;
    }
    while (have < (size_t)st.st_size) {
        ssize_t n = pread(fd, data + have, (size_t)st.st_size - have, (off_t)have);
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0) {
            rc = n < 0 ? -errno : -EIO;
            goto out;
        }
        have += (size_t)n;
    }
    *ret_data = data;
    *ret_len = have;
    data = NULL;
out:
    free(data);
    close(fd);
    return rc;
}

int diskfile_remove(int dir_fd, const char *name)
{
    if (unlinkat(dir_fd, name, 0) != 0)
        return errno == ENOENT ? 0 : -errno;
    return fsync(dir_fd) != 0 ? -errno : 0;
}

bool diskfile_is_zero(const uint8_t *data, size_t len)
{
    return len == 0 || (data[0] == 0 && memcmp(data, data + 1, len - 1) == 0);
}

int diskfile_give(int dir_fd, const char *name, const struct stat *owner)
{
    struct stat st;
    if (geteuid() != 0)
        return 0;
    if (fstatat(dir_fd, name, &st, AT_SYMLINK_NOFOLLOW) != 0)
        return -errno;
    if (!S_ISREG(st.st_mode) || st.st_nlink != 1)
        return 0;
    return fchownat(dir_fd, name, owner->st_uid, owner->st_gid, AT_SYMLINK_NOFOLLOW) != 0 ? -errno : 0;
}
