/* From a request's body to a payload record that consensus can read: in the ring, or in a sealed
 * memfd when the ring has no room.
 */
#ifndef OC_RPCD_INTAKE_H
#define OC_RPCD_INTAKE_H

#include "shared/ipc/ring.h"
#include "shared/proto/bodies.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Of all memfds at once. */
#define INTAKE_MEMFD_MAX_BYTES ((uint64_t)256 << 20)

struct intake_record {
    int fd; /* -1: in the ring */
    uint64_t offset;
    uint64_t len;
    struct block_id block;
};

/* Reads JSON or an SSZ envelope. *memfd_bytes is the account of all memfds. Returns 0, or with a
 * text for the caller: OC_ESYNTAX, OC_ERANGE (too large), OC_EFULL. */
int intake_read(struct intake_record *ret, const void *data, size_t len, bool is_ssz, uint64_t payload_max_bytes,
                struct ring *ring, uint64_t *memfd_bytes, char *text, size_t text_size);
void intake_release(struct intake_record *record, struct ring *ring, uint64_t *memfd_bytes);

#endif
