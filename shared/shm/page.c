/* Status pages: a sealed memfd whose body is published under a seqlock. */
#include "shared/shm/page.h"

#include "shared/base/err.h"
#include "shared/base/fd.h"

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#define PAGE_MAGIC UINT64_C(0x6f70636f70616765)
/* A write takes microseconds. A reader spins first, then lets a preempted writer run, then gives up. */
#define PAGE_READ_SPINS 50
#define PAGE_READ_TRIES 250

struct page_shared {
    uint64_t magic;
    uint64_t body_bytes;
    uint32_t owner;
    uint32_t incarnation;
    _Atomic uint64_t heartbeat_ns; /* 0 = none yet */
    _Atomic uint64_t sequence;     /* odd while being written; 0 = never published */
    uint64_t reserved[3];
    _Atomic uint64_t body[];
};
_Static_assert(sizeof(struct page_shared) == 64, "page header layout");
_Static_assert(ATOMIC_LLONG_LOCK_FREE == 2, "pages need lock-free 64-bit atomics");

struct page_writer {
    struct page_shared *shared;
    size_t map_bytes;
    int fd;
};

struct page_reader {
    const struct page_shared *shared;
    size_t map_bytes;
};

static bool body_size_is_valid(size_t bytes)
{
    return bytes > 0 && bytes % 8 == 0 && bytes <= PAGE_BODY_MAX_BYTES;
}

struct page_writer *page_create(enum proc_role owner, uint32_t incarnation, size_t body_bytes)
{
    struct page_writer *w;
    void *map;
    int rc;

    if (!body_size_is_valid(body_bytes)) {
        errno = EINVAL;
        return NULL;
    }
    w = calloc(1, sizeof *w);
    if (!w)
        return NULL;
    w->map_bytes = sizeof(struct page_shared) + body_bytes;
    w->fd = fd_make_memfd("op-conductor-page", w->map_bytes);
    if (w->fd < 0) {
        rc = w->fd;
        goto fail;
    }
    map = mmap(NULL, w->map_bytes, PROT_READ | PROT_WRITE, MAP_SHARED, w->fd, 0);
    if (map == MAP_FAILED) {
        rc = -errno;
        goto fail;
    }
    w->shared = map;
    memset(map, 0, w->map_bytes);
    w->shared->magic = PAGE_MAGIC;
    w->shared->body_bytes = body_bytes;
    w->shared->owner = owner;
    w->shared->incarnation = incarnation;
    rc = fd_seal(w->fd, FD_SEALS_LIVE);
    if (rc < 0)
        goto fail;
    return w;

fail:
    page_free(w);
    errno = -rc;
    return NULL;
}

void page_free(struct page_writer *w)
{
    if (!w)
        return;
    if (w->shared)
        (void)munmap(w->shared, w->map_bytes);
    fd_close(&w->fd);
    free(w);
}

int page_fd(const struct page_writer *w)
{
    return w->fd;
}

void page_publish(struct page_writer *w, const void *body, uint64_t now_mono_ns)
{
    struct page_shared *s = w->shared;
    const unsigned char *src = body;
    size_t words = s->body_bytes / 8;
    uint64_t sequence = atomic_load_explicit(&s->sequence, memory_order_relaxed);

    atomic_store_explicit(&s->sequence, sequence + 1, memory_order_relaxed);
    atomic_thread_fence(memory_order_release);
    for (size_t i = 0; i < words; i++) {
        uint64_t word;
        memcpy(&word, src + i * 8, 8);
        atomic_store_explicit(&s->body[i], word, memory_order_relaxed);
    }
    atomic_store_explicit(&s->sequence, sequence + 2, memory_order_release);
    page_beat(w, now_mono_ns);
}

void page_beat(struct page_writer *w, uint64_t now_mono_ns)
{
    atomic_store_explicit(&w->shared->heartbeat_ns, now_mono_ns, memory_order_release);
}

struct page_reader *page_open(int fd, enum proc_role owner, size_t body_bytes)
{
    struct page_shared header;
    struct page_reader *r;
    uint64_t file_bytes;
    void *map;
    int rc;

    if (!body_size_is_valid(body_bytes)) {
        errno = EINVAL;
        return NULL;
    }
    rc = fd_check_sealed(fd, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_FUTURE_WRITE, &file_bytes);
    if (rc == 0 && file_bytes != sizeof header + body_bytes)
        rc = OC_EPROTO;
    if (rc == 0)
        rc = fd_pread_all(fd, &header, sizeof header, 0);
    if (rc == 0 && (header.magic != PAGE_MAGIC || header.body_bytes != body_bytes || header.owner != owner))
        rc = OC_EPROTO;
    if (rc < 0) {
        errno = rc > OC_ERR_BASE && rc < OC_ERR_LAST ? EPROTO : -rc;
        return NULL;
    }
    r = calloc(1, sizeof *r);
    if (!r)
        return NULL;
    r->map_bytes = sizeof header + body_bytes;
    map = mmap(NULL, r->map_bytes, PROT_READ, MAP_SHARED, fd, 0);
    if (map == MAP_FAILED) {
        int saved = errno;
        free(r);
        errno = saved;
        return NULL;
    }
    r->shared = map;
    return r;
}

void page_close(struct page_reader *r)
{
    if (!r)
        return;
    (void)munmap((void *)(uintptr_t)r->shared, r->map_bytes);
    free(r);
}

uint32_t page_incarnation(const struct page_reader *r)
{
    return r->shared->incarnation;
}

int page_read(const struct page_reader *r, void *ret_body, size_t len)
{
    const struct page_shared *s = r->shared;
    unsigned char *dst = ret_body;

    /* The mapped size, not the header's field: a broken writer may change that one at any time. */
    if (len % 8 != 0 || len > r->map_bytes - sizeof *s)
        return OC_ERANGE;
    for (int try = 0; try < PAGE_READ_TRIES; try++) {
        uint64_t before = atomic_load_explicit(&s->sequence, memory_order_acquire);

        if (before == 0)
            return OC_ESTALE;
        if (before % 2 == 0) {
            for (size_t i = 0; i < len / 8; i++) {
                uint64_t word = atomic_load_explicit(&s->body[i], memory_order_relaxed);
                memcpy(dst + i * 8, &word, 8);
            }
            atomic_thread_fence(memory_order_acquire);
            if (atomic_load_explicit(&s->sequence, memory_order_relaxed) == before)
                return 0;
        }
        if (try >= PAGE_READ_SPINS)
            (void)sched_yield();
    }
    return OC_ESTALE;
}

uint64_t page_age_ms(const struct page_reader *r, uint64_t now_mono_ns)
{
    uint64_t beat = atomic_load_explicit(&r->shared->heartbeat_ns, memory_order_acquire);

    if (beat == 0)
        return UINT64_MAX;
    return now_mono_ns > beat ? (now_mono_ns - beat) / 1000000 : 0;
}
