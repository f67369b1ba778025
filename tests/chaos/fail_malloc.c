/* Preloaded into a conductor's processes: lets one allocation fail, once, in the program named by OC_FAIL_PROGRAM. The
 * file OC_FAIL_CONTROL is shared by all its processes and the test: two 64-bit numbers, how many allocations are left
 * until the one that fails (0: none), and how many have failed. */
#include <errno.h>
#include <fcntl.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

/* The C library's own, under the names that it keeps for those who replace the usual ones. */
void *__libc_malloc(size_t size);
void *__libc_calloc(size_t count, size_t size);
void *__libc_realloc(void *p, size_t size);
void *__libc_memalign(size_t alignment, size_t size);

struct control {
    _Atomic int64_t left, failed;
};

static struct control *control;

__attribute__((constructor)) static void start(void)
{
    const char *path = getenv("OC_FAIL_CONTROL"), *program = getenv("OC_FAIL_PROGRAM");
    if (!path || !program || strcmp(program_invocation_short_name, program) != 0)
        return;
    int fd = open(path, O_RDWR | O_CLOEXEC);
    void *map = fd < 0 ? MAP_FAILED : mmap(NULL, sizeof *control, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    if (fd >= 0)
        (void)close(fd);
    if (map == MAP_FAILED)
        abort();
    control = map;
}

static int is_to_fail(void)
{
    if (!control || atomic_load(&control->left) <= 0 || atomic_fetch_sub(&control->left, 1) != 1)
        return 0;
    atomic_fetch_add(&control->failed, 1);
    errno = ENOMEM;
    return 1;
}

void *malloc(size_t size)
{
    return is_to_fail() ? NULL : __libc_malloc(size);
}

void *calloc(size_t count, size_t size)
{
    return is_to_fail() ? NULL : __libc_calloc(count, size);
}

void *realloc(void *p, size_t size)
{
    return is_to_fail() ? NULL : __libc_realloc(p, size);
}

void *aligned_alloc(size_t alignment, size_t size)
{
    return is_to_fail() ? NULL : __libc_memalign(alignment, size);
}

int posix_memalign(void **ret, size_t alignment, size_t size)
{
    void *p = is_to_fail() ? NULL : __libc_memalign(alignment, size);
    if (!p)
        return ENOMEM;
    *ret = p;
    return 0;
}
