/* The payload ring: first-in first-out allocation for the producer, checked copies for the consumer. */
#include "shared/ipc/ring.h"

#include "shared/base/err.h"
#include "shared/base/fd.h"

#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#define RING_STEP ((size_t)64)

struct ring_slot {
    size_t offset;
    size_t bytes; /* a multiple of RING_STEP */
    bool released;
};

struct ring {
    uint8_t *base;
    size_t bytes;
    int fd;
    /* Slots in the order of their reservation, in a circular array. */
    struct ring_slot *slots;
    size_t slots_cap;
    size_t first;
    size_t count;
};

struct ring *ring_create(size_t bytes)
{
    struct ring *r;
    void *map;
    int rc;

    if (bytes == 0 || bytes % RING_STEP != 0) {
        errno = EINVAL;
        return NULL;
    }
    r = calloc(1, sizeof *r);
    if (!r)
        return NULL;
    r->bytes = bytes;
    r->fd = fd_make_memfd("op-conductor-ring", bytes);
    if (r->fd < 0) {
        rc = r->fd;
        goto fail;
    }
    map = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_SHARED, r->fd, 0);
    if (map == MAP_FAILED) {
        rc = -errno;
        goto fail;
    }
    r->base = map;
    /* A page fault costs more than copying the page, so all are taken now. */
    memset(map, 0, bytes);
    rc = fd_seal(r->fd, FD_SEALS_LIVE);
    if (rc < 0)
        goto fail;
    return r;

fail:
    ring_free(r);
    errno = -rc;
    return NULL;
}

void ring_free(struct ring *r)
{
    if (!r)
        return;
    if (r->base)
        (void)munmap(r->base, r->bytes);
    fd_close(&r->fd);
    free(r->slots);
    free(r);
}

int ring_fd(const struct ring *r)
{
    return r->fd;
}

static struct ring_slot *slot_at(const struct ring *r, size_t index)
{
    return &r->slots[(r->first + index) % r->slots_cap];
}

static size_t round_up(size_t len)
{
    return len == 0 ? RING_STEP : (len + RING_STEP - 1) / RING_STEP * RING_STEP;
}

static bool grow_slots(struct ring *r)
{
    size_t cap = r->slots_cap == 0 ? 16 : r->slots_cap * 2;
    struct ring_slot *slots = malloc(cap * sizeof *slots);

    if (!slots)
        return false;
    for (size_t i = 0; i < r->count; i++)
        slots[i] = *slot_at(r, i);
    free(r->slots);
    r->slots = slots;
    r->slots_cap = cap;
    r->first = 0;
    return true;
}

/* Where `bytes` contiguous bytes follow the newest slot. */
static bool find_room(const struct ring *r, size_t bytes, size_t *ret_offset)
{
    size_t oldest, end;

    if (r->count == 0) {
        *ret_offset = 0;
        return bytes <= r->bytes;
    }
    oldest = slot_at(r, 0)->offset;
    end = slot_at(r, r->count - 1)->offset + slot_at(r, r->count - 1)->bytes;
    *ret_offset = end;
    if (end <= oldest) /* wrapped: the only room is between the two */
        return bytes <= oldest - end;
    if (bytes <= r->bytes - end)
        return true;
    *ret_offset = 0;
    return bytes <= oldest;
}

uint8_t *ring_reserve(struct ring *r, size_t len, uint64_t *ret_offset)
{
    size_t bytes, offset;

    if (len > r->bytes)
        return NULL;
    bytes = round_up(len);
    if (!find_room(r, bytes, &offset))
        return NULL;
    if (r->count == r->slots_cap && !grow_slots(r))
        return NULL;
    r->count++;
    *slot_at(r, r->count - 1) = (struct ring_slot){.offset = offset, .bytes = bytes};
    *ret_offset = offset;
    return r->base + offset;
}

void ring_trim(struct ring *r, uint64_t offset, size_t len)
{
    struct ring_slot *newest;
    size_t bytes;

    if (r->count == 0 || len > r->bytes)
        return;
    newest = slot_at(r, r->count - 1);
    bytes = round_up(len);
    if (newest->offset == offset && bytes < newest->bytes)
        newest->bytes = bytes;
}

void ring_release(struct ring *r, uint64_t offset)
{
    for (size_t i = 0; i < r->count; i++) {
        if (slot_at(r, i)->offset == offset) {
            slot_at(r, i)->released = true;
            break;
        }
    }
    while (r->count > 0 && slot_at(r, 0)->released) {
        r->first = (r->first + 1) % r->slots_cap;
        r->count--;
    }
    /* A reservation that came to nothing gives its room back at once. */
    while (r->count > 0 && slot_at(r, r->count - 1)->released)
        r->count--;
}

void ring_reset(struct ring *r)
{
    r->first = 0;
    r->count = 0;
}

int ring_view_open(struct ring_view *ret_view, int fd, size_t max_bytes)
{
    uint64_t bytes;
    void *map;
    int rc = fd_check_sealed(fd, F_SEAL_SHRINK | F_SEAL_GROW, &bytes);

    *ret_view = (struct ring_view){0};
    if (rc < 0)
        return rc;
    if (bytes == 0 || bytes > max_bytes)
        return OC_EPROTO;
    map = mmap(NULL, bytes, PROT_READ, MAP_SHARED, fd, 0);
    if (map == MAP_FAILED)
        return -errno;
    ret_view->base = map;
    ret_view->bytes = bytes;
    return 0;
}

void ring_view_close(struct ring_view *v)
{
    if (v->base)
        (void)munmap((void *)(uintptr_t)v->base, v->bytes);
    *v = (struct ring_view){0};
}

int ring_view_copy(const struct ring_view *v, uint64_t offset, size_t len, uint8_t *dst)
{
    if (offset > v->bytes || len > v->bytes - offset)
        return OC_ERANGE;
    if (len > 0)
        memcpy(dst, v->base + offset, len);
    return 0;
}
