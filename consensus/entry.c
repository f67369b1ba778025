/* Entries in memory: one aligned block that the disk, the network and the state machine share. */
#include "consensus/entry.h"
#include "shared/base/crc32c.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

struct entry {
    int refs;
    enum entry_type type;
    uint64_t term;
    uint64_t crc; /* CRC_KNOWN and the checksum; 0: not computed yet */
    size_t len;
    size_t bytes; /* of the record: header, payload, padding */
    size_t room;  /* of the buffer */
    uint8_t *buffer;
};

#define CRC_KNOWN (UINT64_C(1) << 32)

/* ---- large buffers are kept for the next entry ----
 * Fresh memory costs a page fault for every 4 KiB, several times what copying the payload costs. A log
 * that is cut behind a snapshot frees about as much as the next entries need. */

enum { KEPT_MIN_BYTES = 64 << 10, KEPT_COUNT = 512 };
#define KEPT_MAX_BYTES ((size_t)48 << 20)

static struct {
    pthread_mutex_t mutex;
    unsigned count;
    size_t bytes;
    struct {
        uint8_t *buffer;
        size_t room;
    } list[KEPT_COUNT];
} kept = {.mutex = PTHREAD_MUTEX_INITIALIZER};

/* The smallest that fits and is not far too large, or NULL. */
static uint8_t *take_kept(size_t need, size_t *ret_room)
{
    uint8_t *buffer = NULL;
    unsigned best = KEPT_COUNT;

    pthread_mutex_lock(&kept.mutex);
    for (unsigned i = 0; i < kept.count && (best == KEPT_COUNT || kept.list[best].room != need); i++)
        if (kept.list[i].room >= need && kept.list[i].room <= need + need / 4 &&
            (best == KEPT_COUNT || kept.list[i].room < kept.list[best].room))
            best = i;
    if (best < kept.count) {
        buffer = kept.list[best].buffer;
        *ret_room = kept.list[best].room;
        kept.bytes -= *ret_room;
        kept.list[best] = kept.list[--kept.count];
    }
    pthread_mutex_unlock(&kept.mutex);
    return buffer;
}

static uint8_t *buffer_new(size_t bytes, size_t *ret_room)
{
    void *buffer = NULL;
    size_t room = bytes;

    if (bytes >= KEPT_MIN_BYTES) {
        room = (bytes + KEPT_MIN_BYTES - 1) & ~(size_t)(KEPT_MIN_BYTES - 1);
        uint8_t *again = take_kept(room, ret_room);
        if (again != NULL)
            return again;
    }
    *ret_room = room;
    if (posix_memalign(&buffer, ENTRY_ALIGN, room) != 0)
        return NULL;
    if (bytes >= KEPT_MIN_BYTES)
        (void)madvise(buffer, room, MADV_POPULATE_WRITE); /* one call instead of a fault for each page */
    return buffer;
}

static void buffer_free(uint8_t *buffer, size_t room)
{
    if (room >= KEPT_MIN_BYTES) {
        pthread_mutex_lock(&kept.mutex);
        if (kept.count < KEPT_COUNT && kept.bytes + room <= KEPT_MAX_BYTES) {
            kept.list[kept.count].buffer = buffer;
            kept.list[kept.count++].room = room;
            kept.bytes += room;
            buffer = NULL;
        }
        pthread_mutex_unlock(&kept.mutex);
    }
    free(buffer);
}

struct entry *entry_new(enum entry_type type, uint64_t term, size_t len)
{
    if (len > ENTRY_PAYLOAD_MAX_BYTES)
        return NULL;
    size_t bytes = (ENTRY_HEADER_BYTES + len + ENTRY_ALIGN - 1) & ~(size_t)(ENTRY_ALIGN - 1);
    struct entry *e = malloc(sizeof *e);
    if (e == NULL)
        return NULL;
    *e = (struct entry){.refs = 1, .type = type, .term = term, .len = len, .bytes = bytes};
    e->buffer = buffer_new(bytes, &e->room);
    if (e->buffer == NULL) {
        free(e);
        return NULL;
    }
    memset(e->buffer, 0, ENTRY_HEADER_BYTES);
    memset(e->buffer + ENTRY_HEADER_BYTES + len, 0, bytes - ENTRY_HEADER_BYTES - len);
    return e;
}

struct entry *entry_ref(struct entry *e)
{
    __atomic_add_fetch(&e->refs, 1, __ATOMIC_RELAXED);
    return e;
}

void entry_unref(struct entry *e)
{
    if (e != NULL && __atomic_sub_fetch(&e->refs, 1, __ATOMIC_ACQ_REL) == 0) {
        buffer_free(e->buffer, e->room);
        free(e);
    }
}

uint8_t *entry_payload(struct entry *e)
{
    return e->buffer + ENTRY_HEADER_BYTES;
}

void entry_set_crc(struct entry *e, uint32_t crc)
{
    __atomic_store_n(&e->crc, CRC_KNOWN | crc, __ATOMIC_RELAXED);
}

uint32_t entry_crc(struct entry *e)
{
    uint64_t known = __atomic_load_n(&e->crc, __ATOMIC_RELAXED);
    if (known == 0) {
        /* Two threads at once compute the same. */
        known = CRC_KNOWN | crc32c(0, entry_payload(e), e->len);
        __atomic_store_n(&e->crc, known, __ATOMIC_RELAXED);
    }
    return (uint32_t)known;
}

size_t entry_len(const struct entry *e)
{
    return e->len;
}

enum entry_type entry_type(const struct entry *e)
{
    return e->type;
}

uint64_t entry_term(const struct entry *e)
{
    return e->term;
}

void entry_set_term(struct entry *e, uint64_t term)
{
    e->term = term;
}

uint8_t *entry_buffer(struct entry *e, size_t *ret_bytes)
{
    *ret_bytes = e->bytes;
    return e->buffer;
}
