/* Body to payload record, in place (see intake.h). */
#include "rpcd/intake.h"

#include "shared/base/err.h"
#include "shared/base/fd.h"
#include "shared/payload/json.h"

#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#define LARGE_JSON_BYTES ((size_t)1 << 20)

static int64_t parse(const void *data, size_t len, bool is_ssz, uint8_t *dst, size_t dst_size, char *text,
                     size_t text_size)
{
    if (!is_ssz)
        return payload_record_from_json(data, len, dst, dst_size, text, text_size);
    const int64_t n = payload_record_from_ssz(data, len, dst, dst_size);
    if (n < 0)
        (void)snprintf(text, text_size, "cannot decode the payload envelope: %s", err_text((int)n));
    return n;
}

static int check(int64_t n, uint64_t payload_max_bytes, char *text, size_t text_size)
{
    if (n < 0)
        return n == OC_ERANGE ? OC_ERANGE : OC_ESYNTAX;
    if ((uint64_t)n > payload_max_bytes + PAYLOAD_RECORD_HEADER_BYTES) {
        (void)snprintf(text, text_size, "the payload has more than %llu bytes", (unsigned long long)payload_max_bytes);
        return OC_ERANGE;
    }
    return 0;
}

static void take_block(struct intake_record *ret, const uint8_t *record)
{
    struct payload_record_header header;
    memcpy(&header, record, sizeof header);
    ret->block.number = header.block_number;
    memcpy(ret->block.hash, header.block_hash, HASH_SIZE);
}

static int read_to_memfd(struct intake_record *ret, const void *data, size_t len, size_t bound, bool is_ssz,
                         uint64_t payload_max_bytes, uint64_t *memfd_bytes, char *text, size_t text_size)
{
    if (*memfd_bytes + bound > INTAKE_MEMFD_MAX_BYTES) {
        (void)snprintf(text, text_size, "too many large payloads at once");
        return OC_EFULL;
    }
    (void)snprintf(text, text_size, "no memory for the payload");
    int rc = OC_EFULL;
    int fd = fd_make_memfd("op-conductor-payload", bound);
    if (fd < 0)
        return rc;
    uint8_t *map = mmap(NULL, bound, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    if (map == MAP_FAILED)
        goto out;
    const int64_t n = parse(data, len, is_ssz, map, bound, text, text_size);
    rc = check(n, payload_max_bytes, text, text_size);
    if (rc == 0)
        take_block(ret, map);
    (void)munmap(map, bound);
    if (rc < 0)
        goto out;
    /* Sealed for good: consensus may read it at leisure. */
    if (ftruncate(fd, (off_t)n) < 0 || fd_seal(fd, FD_SEALS_FINAL) < 0) {
        rc = OC_EFULL;
        goto out;
    }
    ret->fd = fd;
    ret->len = (uint64_t)n;
    *memfd_bytes += ret->len;
    return 0;
out:
    fd_close(&fd);
    return rc;
}

int intake_read(struct intake_record *ret, const void *data, size_t len, bool is_ssz, uint64_t payload_max_bytes,
                struct ring *ring, uint64_t *memfd_bytes, char *text, size_t text_size)
{
    memset(ret, 0, sizeof *ret);
    ret->fd = -1;
    const size_t bound = is_ssz ? PAYLOAD_RECORD_HEADER_BYTES + len : payload_json_record_bound(len);
    /* Hex is twice what it stands for, so a large JSON text nearly always fits into little more than half of its
     * length, and the ring takes it; memory of its own costs a page fault for every 4 KiB. */
    size_t room = is_ssz || len < LARGE_JSON_BYTES ? bound : len / 2 + len / 16;
    uint8_t *dst = ring_reserve(ring, room, &ret->offset);
    int64_t n = dst != NULL ? parse(data, len, is_ssz, dst, room, text, text_size) : 0;
    if (n == OC_ERANGE && room < bound) {
        ring_release(ring, ret->offset);
        dst = NULL;
    }
    if (dst == NULL)
        return read_to_memfd(ret, data, len, bound, is_ssz, payload_max_bytes, memfd_bytes, text, text_size);
    const int rc = check(n, payload_max_bytes, text, text_size);
    if (rc < 0) {
        ring_release(ring, ret->offset);
        return rc;
    }
    ring_trim(ring, ret->offset, (size_t)n);
    ret->len = (uint64_t)n;
    take_block(ret, dst);
    return 0;
}

void intake_release(struct intake_record *record, struct ring *ring, uint64_t *memfd_bytes)
{
    if (record->fd < 0) {
        ring_release(ring, record->offset);
        return;
    }
    *memfd_bytes -= record->len;
    fd_close(&record->fd);
}
