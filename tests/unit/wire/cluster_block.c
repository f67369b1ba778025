/* Made-up blocks for the cluster test: an Ecotone payload with one transaction of the wanted size. */
#include "cluster.h"

#include "shared/base/crc32c.h"
#include "shared/payload/record.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

enum { ROOT = 32, FIXED = 528 };

static void put(uint8_t *p, uint64_t v, unsigned bytes)
{
    for (unsigned i = 0; i < bytes; i++)
        p[i] = (uint8_t)(v >> (8 * i));
}

struct block block_make(const struct block *parent, size_t bytes, unsigned salt)
{
    struct block b = {.id = {.number = parent ? parent->id.number + 1 : 1000}};
    size_t ssz_len = ROOT + FIXED + 4 + bytes;
    uint8_t *ssz = calloc(1, ssz_len), *p = ssz + ROOT;
    assert_non_null(ssz);
    if (parent)
        memcpy(b.parent, parent->id.hash, HASH_SIZE);
    else
        memset(b.parent, 0x11, HASH_SIZE);
    memset(ssz, 0xbe, ROOT);
    memcpy(p, b.parent, HASH_SIZE);
    put(p + 404, b.id.number, 8);
    put(p + 428, 1700000000 + 2 * b.id.number, 8);
    put(p + 436, FIXED, 4);
    put(p + 504, FIXED, 4);
    put(p + 508, FIXED + 4 + bytes, 4);
    put(p + FIXED, 4, 4);
    for (size_t i = 0; i < bytes; i++)
        p[FIXED + 4 + i] = (uint8_t)(i * 7 + salt + b.id.number);
    /* Any 32 bytes that differ between blocks will do. */
    put(b.id.hash, b.id.number, 8);
    put(b.id.hash + 8, salt + 1, 4);
    put(b.id.hash + 12, crc32c(0, ssz, ssz_len), 4);
    memcpy(p + 472, b.id.hash, HASH_SIZE);
    b.len = PAYLOAD_RECORD_HEADER_BYTES + ssz_len - ROOT;
    b.record = malloc(b.len);
    assert_non_null(b.record);
    assert_int_equal(payload_record_from_ssz(ssz, ssz_len, b.record, b.len), (int64_t)b.len);
    free(ssz);
    return b;
}

void block_free(struct block *b)
{
    free(b->record);
    b->record = NULL;
}
