/* Where a payload record is put: in the ring, or in a memfd of its own. */
#include "rpcd/intake.h"
#include "shared/base/fd.h"
#include "shared/payload/json.h"
#include "shared/payload/record.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define HASH_OF(digit)                                                                                                 \
    "0x" digit digit digit digit digit digit digit digit digit digit digit digit digit digit digit digit
#define HASH HASH_OF("1234")

enum { RING_BYTES = 8 << 20, MAX_BYTES = 32 << 20 };

/* An envelope with `count` transactions of tx_bytes each; malloc'd. */
static char *make_json(size_t count, size_t tx_bytes, size_t *ret_len)
{
    static const char before[] =
        "{\"parentBeaconBlockRoot\":\"" HASH "\",\"executionPayload\":{"
        "\"parentHash\":\"" HASH "\",\"feeRecipient\":\"0x%040d\",\"stateRoot\":\"" HASH "\",\"receiptsRoot\":\"" HASH
        "\",\"logsBloom\":\"0x%0512d\",\"prevRandao\":\"" HASH
        "\",\"blockNumber\":\"0x7\",\"gasLimit\":\"0x1\",\"gasUsed\":\"0x1\","
        "\"timestamp\":\"0x1\",\"extraData\":\"0x\",\"baseFeePerGas\":\"0x1\",\"blockHash\":\"" HASH
        "\",\"withdrawals\":[],\"blobGasUsed\":\"0x0\",\"excessBlobGas\":\"0x0\","
        "\"withdrawalsRoot\":\"" HASH "\",\"transactions\":[";
    size_t size = sizeof before + 1000 + count * (2 * tx_bytes + 5);
    char *json = malloc(size), *p = json;
    assert_non_null(json);
    p += snprintf(p, size, before, 0, 0);
    for (size_t i = 0; i < count; i++) {
        if (i > 0)
            *p++ = ',';
        memcpy(p, "\"0x", 3);
        p += 3;
        memset(p, 'a', 2 * tx_bytes);
        p += 2 * tx_bytes;
        *p++ = '"';
    }
    memcpy(p, "]}}", 3);
    *ret_len = (size_t)(p + 3 - json);
    return json;
}

static int read_one(struct ring *ring, size_t count, size_t tx_bytes, struct intake_record *ret, uint64_t *memfd_bytes)
{
    size_t len;
    char text[256] = "", *json = make_json(count, tx_bytes, &len);
    int rc = intake_read(ret, json, len, false, MAX_BYTES, ring, memfd_bytes, text, sizeof text);
    if (rc != 0)
        print_message("%s\n", text);
    free(json);
    return rc;
}

static void a_large_payload_uses_the_ring(void **state)
{
    (void)state;
    struct ring *ring = ring_create(RING_BYTES);
    struct intake_record record;
    uint64_t memfd_bytes = 0;
    assert_non_null(ring);
    /* 5 MB, of which the JSON text makes 10 */
    assert_int_equal(read_one(ring, 50, 100000, &record, &memfd_bytes), 0);
    assert_int_equal(record.fd, -1);
    assert_int_equal(record.block.number, 7);
    assert_true(record.len > 5000000);
    intake_release(&record, ring, &memfd_bytes);
    /* more than the ring has */
    assert_int_equal(read_one(ring, 90, 100000, &record, &memfd_bytes), 0);
    assert_true(record.fd >= 0);
    assert_int_equal(memfd_bytes, record.len);
    intake_release(&record, ring, &memfd_bytes);
    assert_int_equal(memfd_bytes, 0);
    ring_free(ring);
}

/* Empty transactions take four bytes of SSZ for five characters of JSON: more than was reserved for them. */
static void dense_json_is_read_anew(void **state)
{
    (void)state;
    struct ring *ring = ring_create(RING_BYTES);
    struct intake_record record;
    uint64_t memfd_bytes = 0;
    uint64_t offset;
    struct payload_view view;
    assert_non_null(ring);
    assert_int_equal(read_one(ring, 300000, 0, &record, &memfd_bytes), 0);
    assert_true(record.fd >= 0);
    uint8_t *bytes = malloc(record.len);
    assert_int_equal(fd_pread_all(record.fd, bytes, record.len, 0), 0);
    assert_int_equal(payload_view_parse(bytes, record.len, &view), 0);
    assert_true(view.header.ssz_bytes > 4 * 300000);
    free(bytes);
    intake_release(&record, ring, &memfd_bytes);
    /* what was reserved in vain is free again */
    assert_non_null(ring_reserve(ring, RING_BYTES / 2, &offset));
    ring_free(ring);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_large_payload_uses_the_ring),
        cmocka_unit_test(dense_json_is_read_anew),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
