/* Reads /proc/<pid> (see procstat.h). */
#include "rpcd/procstat.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

static uint64_t count_fds(uint32_t pid)
{
    char path[64];
    uint64_t count = 0;
    (void)snprintf(path, sizeof path, "/proc/%" PRIu32 "/fd", pid);
    DIR *dir = opendir(path);
    if (dir == NULL)
        return 0;
    for (const struct dirent *e; (e = readdir(dir)) != NULL;)
        if (e->d_name[0] != '.')
            count++;
    (void)closedir(dir);
    return count;
}

/* The n-th field after the name; 0 when there are fewer. */
static uint64_t field_u64(const char *fields, unsigned n)
{
    for (; n > 0 && fields != NULL; n--)
        fields = strchr(fields + 1, ' ');
    return fields != NULL ? strtoull(fields + 1, NULL, 10) : 0;
}

/* When the machine was started, in Unix time: a constant, so that a start time is the same in every
 * answer. 0 when it cannot be read. */
static double boot_seconds(void)
{
    static double cached;
    char text[8192];
    const char *at;
    if (cached > 0)
        return cached;
    const int fd = open("/proc/stat", O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return 0;
    /* The line comes after those of the processors. */
    size_t used = 0;
    for (ssize_t n; (n = read(fd, text + used, sizeof text - 1 - used)) > 0;) {
        used += (size_t)n;
        text[used] = '\0';
        at = strstr(text, "\nbtime ");
        if (at != NULL && strchr(at + 1, '\n') != NULL) {
            cached = strtod(at + 7, NULL);
            break;
        }
        if (used > sizeof text / 2) { /* keeps what may be the start of the line */
            memmove(text, text + used - 64, 64);
            used = 64;
        }
    }
    (void)close(fd);
    return cached;
}

int procstat_read(uint32_t pid, struct procstat *ret)
{
    char path[64], line[1024];
    struct rlimit limit;
    memset(ret, 0, sizeof *ret);
    (void)snprintf(path, sizeof path, "/proc/%" PRIu32 "/stat", pid);
    const int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return -errno;
    const ssize_t n = read(fd, line, sizeof line - 1);
    (void)close(fd);
    if (n <= 0)
        return -EIO;
    line[n] = '\0';
    /* The name may hold anything, so the fields are counted from its last parenthesis. */
    const char *fields = strrchr(line, ')');
    if (fields == NULL)
        return -EIO;
    const uint64_t user_ticks = field_u64(fields, 12), system_ticks = field_u64(fields, 13);
    const uint64_t start_ticks = field_u64(fields, 20), resident_pages = field_u64(fields, 22);
    ret->virtual_bytes = field_u64(fields, 21);
    const double ticks = (double)sysconf(_SC_CLK_TCK);
    ret->cpu_seconds = (double)(user_ticks + system_ticks) / ticks;
    ret->resident_bytes = resident_pages * (uint64_t)sysconf(_SC_PAGESIZE);
    ret->start_seconds = boot_seconds() + (double)start_ticks / ticks;
    if (prlimit((pid_t)pid, RLIMIT_NOFILE, NULL, &limit) == 0)
        ret->max_fds = (uint64_t)limit.rlim_cur;
    ret->open_fds = count_fds(pid);
    return 0;
}
