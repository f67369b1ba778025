/* Small helpers for files in the storage directory: everything is relative to a directory fd, and
 * whatever returns 0 is durable. */
#ifndef OC_CONSENSUS_DISKFILE_H
#define OC_CONSENSUS_DISKFILE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/stat.h>

#define DISK_BLOCK 4096

/* Opens for synchronous, direct writes; where the file system refuses O_DIRECT (tmpfs), for
 * synchronous ones. Returns the fd or -errno. */
int diskfile_open_direct(int dir_fd, const char *name, int extra_flags);
/* pwrite of everything. Returns 0 or -errno (a short write is -ENOSPC or -EIO). */
int diskfile_write_at(int fd, const void *data, size_t len, uint64_t offset);
/* Replaces a small file: temporary, fsync, rename, fsync of the directory. Returns 0 or -errno. */
int diskfile_replace(int dir_fd, const char *name, const void *data, size_t len);
/* Reads a whole file into malloc'd memory. Returns 0, -errno, or -EFBIG above max. */
int diskfile_read(int dir_fd, const char *name, size_t max, uint8_t **ret_data, size_t *ret_len);
/* Removes a file and makes that durable; a missing one is fine. */
int diskfile_remove(int dir_fd, const char *name);

bool diskfile_is_zero(const uint8_t *data, size_t len);

/* Gives a file that root wrote to the owner of the directory it is for, who has to read it; for others it does nothing.
 * A file that has a second name somewhere, or is none, is left alone: whoever owns the directory could have put it
 * there to be given it. Returns 0 or -errno. */
int diskfile_give(int dir_fd, const char *name, const struct stat *owner);

#endif
