/* What the disk can do: writes of one size, each durable (O_DIRECT|O_DSYNC), as the log does them.
 * Prints one time in microseconds per write. How the place was before the write matters, so it is
 * an argument: `fresh` (preallocated, never written) or `rewrite` (written before).
 *
 *   disk_floor FILE BYTES COUNT fresh|rewrite [START_NS]
 *
 * START_NS on the monotonic clock lets several begin together.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

enum { BLOCK = 4096, PIECE_BYTES = 1 << 20 };

static uint64_t now_ns(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

static int fail(const char *what)
{
    fprintf(stderr, "disk_floor: %s: %s\n", what, strerror(errno));
    return 1;
}

int main(int argc, char **argv)
{
    if (argc < 5) {
        fprintf(stderr, "disk_floor FILE BYTES COUNT fresh|rewrite [START_NS]\n");
        return 2;
    }
    size_t bytes = (strtoull(argv[2], NULL, 10) + BLOCK - 1) & ~(size_t)(BLOCK - 1);
    unsigned long count = strtoul(argv[3], NULL, 10);
    int rewrite = strcmp(argv[4], "rewrite") == 0;
    uint64_t start = argc > 5 ? strtoull(argv[5], NULL, 10) : 0;
    size_t area = (bytes * count + PIECE_BYTES - 1) & ~(size_t)(PIECE_BYTES - 1);
    void *buffer = NULL;

    if (bytes == 0 || posix_memalign(&buffer, BLOCK, bytes > PIECE_BYTES ? bytes : PIECE_BYTES) != 0)
        return 2;
    memset(buffer, 0x5a, bytes > PIECE_BYTES ? bytes : PIECE_BYTES);
    int fd = open(argv[1], O_RDWR | O_CREAT | O_TRUNC | O_DIRECT | O_DSYNC, 0600);
    if (fd < 0)
        return fail(argv[1]);
    if (posix_fallocate(fd, 0, (off_t)area) != 0)
        return fail("no space");
    if (rewrite)
        for (size_t at = 0; at < area; at += PIECE_BYTES)
            if (pwrite(fd, buffer, PIECE_BYTES, (off_t)at) != PIECE_BYTES)
                return fail("write");
    if (fsync(fd) != 0)
        return fail("fsync");
    while (start != 0 && now_ns() < start) {
        struct timespec pause = {.tv_nsec = 100000};
        nanosleep(&pause, NULL);
    }
    for (unsigned long i = 0; i < count; i++) {
        uint64_t before = now_ns();
        if (pwrite(fd, buffer, bytes, (off_t)(i * bytes)) != (ssize_t)bytes)
            return fail("write");
        printf("%.1f\n", (double)(now_ns() - before) / 1000);
    }
    close(fd);
    unlink(argv[1]);
    free(buffer);
    return 0;
}
