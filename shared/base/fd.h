/* File descriptors: -1 means "none", and everything is close-on-exec. */
#ifndef OC_BASE_FD_H
#define OC_BASE_FD_H

#include <stddef.h>
#include <stdint.h>

/* Closes *fd unless it is -1 and sets it to -1; keeps errno. */
void fd_close(int *fd);

/* Adds O_NONBLOCK. Returns 0 or -errno. */
int fd_set_nonblocking(int fd);

/* Adds FD_CLOEXEC, for fds that were inherited on purpose. Returns 0 or -errno. */
int fd_set_cloexec(int fd);

/* A pair of non-blocking, close-on-exec SOCK_SEQPACKET sockets. Returns 0 or -errno. */
int fd_make_socketpair(int ret_fds[2]);

/* An anonymous memory file of `bytes` bytes, sealable, close-on-exec. Returns the fd or -errno. */
int fd_make_memfd(const char *name, size_t bytes);

/* Seals of a memory file that never changes again: for finished payloads and configurations. */
#define FD_SEALS_FINAL (F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE | F_SEAL_SEAL)
/* Seals of one whose creator goes on writing through its mapping (made before), and nobody else can. */
#define FD_SEALS_LIVE (F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_FUTURE_WRITE | F_SEAL_SEAL)

/* Adds seals (F_SEAL_*, or a set above; include <fcntl.h>). Returns 0 or -errno. */
int fd_seal(int fd, int seals);

/* Before mapping a memory file that another process sent: it must carry at least these seals, and
 * its size is returned. Without F_SEAL_SHRINK a mapping could be pulled away (SIGBUS).
 * Returns 0, OC_EPROTO when it is no memory file or lacks a seal, or -errno. */
int fd_check_sealed(int fd, int seals, uint64_t *ret_bytes);

/* Writes all of a buffer to a blocking fd (files, memfds). Returns 0 or -errno. */
int fd_write_all(int fd, const void *data, size_t len);

/* Reads exactly `len` bytes at `offset`. Returns 0, OC_ERANGE when the file ends before, or -errno. */
int fd_pread_all(int fd, void *buf, size_t len, uint64_t offset);

#endif
