/* The payload ring: one pre-faulted memfd that rpcd writes and consensus reads. Only bytes live in
 * it; where they are travels by message (MSG_COMMIT), and space is freed when the answer
 * (MSG_COMMIT_RESULT) or the consumer's death is seen. Allocation is first-in first-out, in 64-byte
 * steps, and a slot is contiguous. The consumer must copy first and validate the copy.
 */
#ifndef OC_IPC_RING_H
#define OC_IPC_RING_H

#include <stddef.h>
#include <stdint.h>

#define RING_DEFAULT_BYTES ((size_t)8 << 20)

/* ---- producer ---- */
struct ring;
/* Creates, pre-faults and seals (SHRINK|GROW). NULL on failure, errno set. */
struct ring *ring_create(size_t bytes);
void ring_free(struct ring *r); /* accepts NULL */
int ring_fd(const struct ring *r);
/* Reserves up to `len` contiguous bytes. Returns the address and its offset, or NULL when there is
 * no room now (or never, when len exceeds the ring: use a one-off memfd). */
uint8_t *ring_reserve(struct ring *r, size_t len, uint64_t *ret_offset);
/* Gives back the unused end of the newest reservation. */
void ring_trim(struct ring *r, uint64_t offset, size_t len);
/* Frees a slot; slots may be released in any order. Unknown offsets are ignored. */
void ring_release(struct ring *r, uint64_t offset);
/* Frees all slots (the consumer is gone). */
void ring_reset(struct ring *r);

/* ---- consumer ---- */
struct ring_view {
    const uint8_t *base;
    size_t bytes;
};
/* Checks seals and size, then maps read-only. Borrows fd. Returns 0, OC_EPROTO or -errno. */
int ring_view_open(struct ring_view *ret_view, int fd, size_t max_bytes);
void ring_view_close(struct ring_view *v);
/* Copies a slot out. Returns 0 or OC_ERANGE when it is not inside the ring. */
int ring_view_copy(const struct ring_view *v, uint64_t offset, size_t len, uint8_t *dst);

#endif
