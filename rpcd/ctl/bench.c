/* conductorctl bench-disk, and the measuring (see bench.h). */
#include "rpcd/ctl/bench.h"

#include "rpcd/ctl/conductorctl.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define FILE_BYTES ((size_t)8 << 20)
#define WRITES_MAX 200
#define LIMIT_US UINT64_C(1500000)
#define ALIGNMENT 4096
#define BLOCK_TIME_DEFAULT_MS 2000

static uint64_t now_us(void)
{
    struct timespec t;
    (void)clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000000 + (uint64_t)t.tv_nsec / 1000;
}

/* Its name goes at once: nothing is left behind, however we end. */
static int open_file(const char *dir, bool is_direct)
{
    char path[PATH_MAX];
    (void)snprintf(path, sizeof path, "%s/.bench-disk.%ld", dir, (long)getpid());
    const int fd =
        open(path, O_CREAT | O_EXCL | O_RDWR | O_CLOEXEC | O_DSYNC | (is_direct ? O_DIRECT : 0), S_IRUSR | S_IWUSR);
    const int rc = fd < 0 ? -errno : fd;
    if (fd >= 0 || rc == -EINVAL) /* where O_DIRECT is not known, the file was made nevertheless */
        (void)unlink(path);
    return rc;
}

static int compare(const void *a, const void *b)
{
    uint64_t x, y;
    memcpy(&x, a, sizeof x);
    memcpy(&y, b, sizeof y);
    return (x > y) - (x < y);
}

void bench_summarize(uint64_t *times_us, unsigned count, struct bench_result *ret)
{
    qsort(times_us, count, sizeof *times_us, compare);
    ret->count = count;
    ret->p50_us = times_us[(count - 1) / 2];
    ret->p90_us = times_us[(count - 1) * 9 / 10];
    ret->p99_us = times_us[(count - 1) * 99 / 100];
    ret->max_us = times_us[count - 1];
}

enum bench_verdict bench_judge(const struct bench_result *r, uint64_t block_time_ms)
{
    const uint64_t block_time_us = block_time_ms * 1000;
    return r->p99_us >= block_time_us ? BENCH_TOO_SLOW : r->p99_us >= block_time_us / 4 ? BENCH_SLOW : BENCH_GOOD;
}

/* The first pass is not measured: the first write to preallocated space costs more, and the log writes zeros ahead. */
static int write_all(int fd, const char *data, size_t bytes, uint64_t *times_us, unsigned *ret_count)
{
    const uint64_t begin_us = now_us();
    const size_t slots = FILE_BYTES / bytes;
    *ret_count = 0;
    for (size_t i = 0; i < slots + WRITES_MAX; i++) {
        const uint64_t at_us = now_us();
        if (pwrite(fd, data, bytes, (off_t)(i % slots * bytes)) != (ssize_t)bytes)
            return errno != 0 ? -errno : -EIO;
        const uint64_t end_us = now_us();
        if (i >= slots)
            times_us[(*ret_count)++] = end_us - at_us;
        if (end_us - begin_us > LIMIT_US && *ret_count > 0)
            break;
        if (end_us - begin_us > LIMIT_US / 2 && i < slots)
            i = slots - 1; /* a slow disk: measure what there is time for */
    }
    return 0;
}

int bench_run(const char *dir, size_t bytes, struct bench_result *ret)
{
    uint64_t times_us[WRITES_MAX];
    unsigned count = 0;
    char *data = aligned_alloc(ALIGNMENT, bytes);
    int rc = -ENOMEM, fd = open_file(dir, true);
    memset(ret, 0, sizeof *ret);
    ret->is_direct = fd != -EINVAL;
    if (fd == -EINVAL)
        fd = open_file(dir, false);
    if (fd < 0)
        rc = fd;
    if (fd < 0 || data == NULL)
        goto out;
    memset(data, 'b', bytes);
    rc = fallocate(fd, 0, 0, (off_t)FILE_BYTES) < 0 && errno != EOPNOTSUPP ? -errno : 0;
    if (rc == 0)
        rc = write_all(fd, data, bytes, times_us, &count);
    if (rc == 0)
        bench_summarize(times_us, count, ret);
out:
    free(data);
    if (fd >= 0)
        (void)close(fd);
    return rc;
}

/* ---- the command ---- */

static void print_row(const struct ctl_request *req, size_t bytes, const struct bench_result *r, bool is_last)
{
    if (req->is_json)
        printf("{\"bytes\":%zu,\"count\":%u,\"p50_us\":%" PRIu64 ",\"p90_us\":%" PRIu64 ",\"p99_us\":%" PRIu64
               ",\"max_us\":%" PRIu64 "}%s\n",
               bytes, r->count, r->p50_us, r->p90_us, r->p99_us, r->max_us, is_last ? "]" : ",");
    else
        printf("%7zu KiB %7u %9.2f %9.2f %9.2f %9.2f\n", bytes >> 10, r->count, (double)r->p50_us / 1e3,
               (double)r->p90_us / 1e3, (double)r->p99_us / 1e3, (double)r->max_us / 1e3);
    (void)fflush(stdout);
}

int ctl_bench_disk(const struct ctl_request *req)
{
    static const size_t sizes[] = {4 << 10, 128 << 10, 1 << 20};
    static const int codes[] = {[BENCH_GOOD] = CTL_OK, [BENCH_SLOW] = CTL_WARNED, [BENCH_TOO_SLOW] = CTL_UNMET};
    const uint64_t block_time_ms =
        req->block_time != NULL ? strtoull(req->block_time, NULL, 10) : BLOCK_TIME_DEFAULT_MS;
    const char *dir = req->words[0];
    enum bench_verdict worst = BENCH_GOOD;
    struct bench_result r;
    if (!req->is_json)
        printf("synchronous writes in %s, in ms (some seconds; a node that runs on this disk feels it)\n"
               "%11s %7s %9s %9s %9s %9s\n",
               dir, "size", "writes", "p50", "p90", "p99", "max");
    else
        printf("[");
    for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++) {
        (void)fflush(stdout);
        const int rc = bench_run(dir, sizes[i], &r);
        if (rc < 0) {
            (void)fprintf(stderr, "conductorctl: cannot write in %s: %s\n", dir, strerror(-rc));
            return CTL_REFUSED;
        }
        print_row(req, sizes[i], &r, i + 1 == sizeof sizes / sizeof sizes[0]);
        if (bench_judge(&r, block_time_ms) > worst)
            worst = bench_judge(&r, block_time_ms);
    }
    if (req->is_json)
        return codes[worst];
    if (!r.is_direct)
        printf("this file system knows no O_DIRECT: is it a disk at all? The times may mean nothing\n");
    printf("at %" PRIu64 " ms blocks: %s\n", block_time_ms,
           worst == BENCH_GOOD   ? "good"
           : worst == BENCH_SLOW ? "slow: one write in a hundred takes more than a quarter of a block time"
                                 : "TOO SLOW: one write in a hundred takes longer than a block time");
    return codes[worst];
}
