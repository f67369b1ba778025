/* Preloaded into a conductor's processes (not into op-node): the wall clock is off by as many seconds as the text of
 * the file OC_CLOCK_FILE says, from the moment it says so, as on a machine whose clock is set wrong. The monotonic
 * clock is untouched. */
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

#define FILE_BYTES 32 /* of text, filled up with spaces */

typedef int (*clock_gettime_fn)(clockid_t, struct timespec *);

static const volatile char *shift_text;

__attribute__((constructor)) static void start(void)
{
    const char *path = getenv("OC_CLOCK_FILE");
    if (!path || strncmp(program_invocation_short_name, "op-conductor", 12) != 0)
        return;
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    void *map = fd < 0 ? MAP_FAILED : mmap(NULL, FILE_BYTES, PROT_READ, MAP_SHARED, fd, 0);
    if (fd >= 0)
        (void)close(fd);
    if (map == MAP_FAILED)
        abort();
    shift_text = map;
}

static time_t shift_s(void)
{
    char text[FILE_BYTES] = "";
    for (unsigned i = 0; shift_text && i + 1 < sizeof text; i++)
        text[i] = shift_text[i];
    return strtol(text, NULL, 10);
}

int clock_gettime(clockid_t id, struct timespec *ts)
{
    static clock_gettime_fn real;
    if (!real) {
        void *found = dlsym(RTLD_NEXT, "clock_gettime");
        memcpy(&real, &found, sizeof real);
    }
    int rc = real(id, ts);
    if (rc == 0 && (id == CLOCK_REALTIME || id == CLOCK_REALTIME_COARSE))
        ts->tv_sec += shift_s();
    return rc;
}

time_t time(time_t *ret)
{
    struct timespec ts;
    clock_gettime(CLOCK_REALTIME, &ts);
    if (ret)
        *ret = ts.tv_sec;
    return ts.tv_sec;
}
