/* The ring: a header page and the slots. */
#include "shared/flight/ring.h"

#include "shared/base/err.h"
#include "shared/base/fd.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/futex.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#define RING_MAGIC UINT64_C(0x6f70636f6e646672)
#define WORDS (FLIGHT_RECORD_BYTES / 8)

struct slot {
    _Atomic uint64_t words[WORDS];
};

struct shared_ring {
    uint64_t magic;
    uint32_t version;
    uint32_t slot_count;
    _Atomic uint64_t newest;
    _Atomic uint64_t run_first;
    _Atomic uint32_t run;
    _Atomic uint32_t bell; /* changes with every record: what readers sleep on */
    uint64_t reserved[507];
    struct slot slots[FLIGHT_SLOTS];
};
_Static_assert(offsetof(struct shared_ring, slots) == 4096, "the slots begin on a page");
_Static_assert(ATOMIC_LLONG_LOCK_FREE == 2, "the ring needs lock-free 64-bit atomics");

struct flight_ring {
    struct shared_ring *shared;
    int fd;
};

struct flight_reader {
    const struct shared_ring *shared;
};

/* Words, as readers may be looking: what they see of a record that is being written fails its checksum. */
static void store(struct slot *slot, const struct flight_record *r)
{
    uint64_t words[WORDS];

    memcpy(words, r, sizeof words);
    for (size_t i = 0; i < WORDS; i++)
        atomic_store_explicit(&slot->words[i], words[i], memory_order_relaxed);
}

/* ---- writer ---- */

struct flight_ring *flight_ring_new(void)
{
    struct flight_ring *g = calloc(1, sizeof *g);
    void *map;
    int rc;

    if (!g)
        return NULL;
    g->fd = fd_make_memfd("op-conductor-events", sizeof *g->shared);
    if (g->fd < 0) {
        rc = g->fd;
        goto fail;
    }
    /* Allocated now: a record must not find the memory used up. */
    rc = -posix_fallocate(g->fd, 0, sizeof *g->shared);
    if (rc < 0)
        goto fail;
    map = mmap(NULL, sizeof *g->shared, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_POPULATE, g->fd, 0);
    if (map == MAP_FAILED) {
        rc = -errno;
        goto fail;
    }
    g->shared = map;
    g->shared->magic = RING_MAGIC;
    g->shared->version = FLIGHT_VERSION;
    g->shared->slot_count = FLIGHT_SLOTS;
    g->shared->run = 1;
    g->shared->run_first = 1;
    rc = fd_seal(g->fd, FD_SEALS_LIVE);
    if (rc < 0)
        goto fail;
    return g;

fail:
    flight_ring_free(g);
    errno = -rc;
    return NULL;
}

void flight_ring_free(struct flight_ring *g)
{
    if (!g)
        return;
    if (g->shared)
        (void)munmap(g->shared, sizeof *g->shared);
    fd_close(&g->fd);
    free(g);
}

int flight_ring_fd(const struct flight_ring *g)
{
    return g->fd;
}

static const struct flight_record *record_at(const void *file, size_t slot, struct flight_record *buf)
{
    memcpy(buf, (const unsigned char *)file + (slot + 1) * FLIGHT_RECORD_BYTES, sizeof *buf);
    return flight_record_is_valid(buf) && flight_slot_of(buf->sequence) == slot ? buf : NULL;
}

int flight_ring_load(struct flight_ring *g, const void *file, size_t len)
{
    const struct flight_record *r;
    struct flight_record buf;
    uint64_t newest = 0;
    uint32_t run = 0;
    int rc, count = 0;

    if (len != FLIGHT_FILE_BYTES)
        return OC_ECORRUPT;
    rc = flight_header_check(file);
    if (rc < 0)
        return rc;
    for (size_t i = 0; i < FLIGHT_SLOTS; i++) {
        r = record_at(file, i, &buf);
        if (r && r->sequence > newest)
            newest = r->sequence;
        if (r && r->run > run)
            run = r->run;
    }
    for (size_t i = 0; i < FLIGHT_SLOTS; i++) {
        r = record_at(file, i, &buf);
        /* Older than a whole round: a slot whose newer record was torn. */
        if (!r || newest - r->sequence >= FLIGHT_SLOTS)
            continue;
        store(&g->shared->slots[i], r);
        count++;
    }
    atomic_store_explicit(&g->shared->newest, newest, memory_order_release);
    g->shared->run = run + 1;
    g->shared->run_first = newest + 1;
    return count;
}

static void wake(const _Atomic uint32_t *bell)
{
    (void)syscall(SYS_futex, bell, FUTEX_WAKE, INT_MAX, NULL, NULL, 0);
}

uint64_t flight_ring_put(struct flight_ring *g, struct flight_record *r)
{
    struct shared_ring *s = g->shared;
    uint64_t sequence = atomic_load_explicit(&s->newest, memory_order_relaxed) + 1;

    r->sequence = sequence;
    r->run = s->run;
    flight_record_seal(r);
    store(&s->slots[flight_slot_of(sequence)], r);
    atomic_store_explicit(&s->newest, sequence, memory_order_release);
    atomic_fetch_add_explicit(&s->bell, 1, memory_order_release);
    wake(&s->bell);
    return sequence;
}

/* ---- reader ---- */

struct flight_reader *flight_reader_open(int fd)
{
    struct flight_reader *g;
    uint64_t bytes;
    void *map;
    int rc = fd_check_sealed(fd, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_FUTURE_WRITE, &bytes);

    if (rc < 0 || bytes != sizeof *g->shared) {
        errno = EPROTO;
        return NULL;
    }
    g = calloc(1, sizeof *g);
    if (!g)
        return NULL;
    map = mmap(NULL, sizeof *g->shared, PROT_READ, MAP_SHARED, fd, 0);
    if (map == MAP_FAILED) {
        free(g);
        return NULL;
    }
    g->shared = map;
    if (g->shared->magic != RING_MAGIC || g->shared->version != FLIGHT_VERSION ||
        g->shared->slot_count != FLIGHT_SLOTS) {
        flight_reader_close(g);
        errno = EPROTO;
        return NULL;
    }
    return g;
}

void flight_reader_close(struct flight_reader *g)
{
    if (!g)
        return;
    (void)munmap((void *)(uintptr_t)g->shared, sizeof *g->shared);
    free(g);
}

uint64_t flight_reader_newest(const struct flight_reader *g)
{
    return atomic_load_explicit(&g->shared->newest, memory_order_acquire);
}

uint64_t flight_reader_oldest(const struct flight_reader *g)
{
    uint64_t newest = flight_reader_newest(g);

    return newest < FLIGHT_SLOTS ? 1 : newest - FLIGHT_SLOTS + 1;
}

uint32_t flight_reader_run(const struct flight_reader *g, uint64_t *ret_first)
{
    *ret_first = g->shared->run_first;
    return g->shared->run;
}

int flight_reader_get(const struct flight_reader *g, uint64_t sequence, struct flight_record *ret)
{
    const struct slot *slot;
    uint64_t words[WORDS];

    if (sequence == 0 || sequence > flight_reader_newest(g))
        return OC_ESTALE;
    slot = &g->shared->slots[flight_slot_of(sequence)];
    for (size_t i = 0; i < WORDS; i++)
        words[i] = atomic_load_explicit(&slot->words[i], memory_order_relaxed);
    memcpy(ret, words, sizeof *ret);
    return ret->sequence == sequence && flight_record_is_valid(ret) ? 0 : OC_ESTALE;
}

void flight_reader_wait(const struct flight_reader *g, uint64_t seen, unsigned timeout_ms)
{
    const struct timespec limit = {.tv_sec = timeout_ms / 1000, .tv_nsec = (long)(timeout_ms % 1000) * 1000000};
    uint32_t bell = atomic_load_explicit(&g->shared->bell, memory_order_acquire);

    if (flight_reader_newest(g) > seen)
        return;
    (void)syscall(SYS_futex, &g->shared->bell, FUTEX_WAIT, bell, &limit, NULL, 0);
}

void flight_reader_wake(const struct flight_reader *g)
{
    wake(&g->shared->bell);
}
