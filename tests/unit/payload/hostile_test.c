/* Hostile input: every prefix, flipped bytes, wild offsets and counts. Nothing may be read outside
 * an exact-size buffer (the sanitizer build sees that), and what is accepted must be consistent. */
#include "support.h"

#include "shared/base/err.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static struct vector vectors[VECTORS_MAX];
static size_t vector_count;

/* Offsets in a record of the fields under test. */
enum {
    REC_VERSION = 4,
    REC_PAYLOAD_VERSION = 6,
    REC_FLAGS = 8,
    REC_SSZ_BYTES = 12,
    REC_EXTRA_BYTES = 16,
    REC_RESERVED = 20,
    REC_NUMBER = 24,
    REC_TIMESTAMP = 32,
    REC_HASH = 40,
    REC_PARENT = 72,
    REC_ROOT = 104,
    REC_SSZ = 136,
};

static void put_u32(uint8_t *p, uint32_t v)
{
    memcpy(p, &v, sizeof v);
}

/* A record that was accepted must write JSON that gives an equal record again. */
static void assert_consistent(const uint8_t *record, size_t len)
{
    struct payload_view view;
    char text[256];
    size_t json_len, again_len;
    int64_t rc;
    if (payload_view_parse(record, len, &view) != 0)
        return;
    char *json = payload_record_to_json(&view, &json_len);
    assert_non_null(json);
    uint8_t *again = record_from_json(json, json_len, &again_len, &rc, text);
    if (again == NULL)
        fail_msg("an accepted record does not come back: %s", text);
    assert_int_equal(again_len, len);
    /* Before Ecotone a flipped root byte may stay a root; everything else is the same. */
    assert_memory_equal(again + REC_SSZ, record + REC_SSZ, len - REC_SSZ);
    free(again);
    free(json);
}

static uint8_t *vector_record(const char *name, size_t *ret_len)
{
    const struct vector *v = vectors_find(vectors, vector_count, name);
    char text[256];
    int64_t rc;
    uint8_t *record = record_from_json(v->json, strlen(v->json), ret_len, &rc, text);
    assert_non_null(record);
    return record;
}

static void test_every_prefix_of_ssz_and_record(void **state)
{
    (void)state;
    for (size_t i = 0; i < vector_count; i++) {
        const struct vector *v = &vectors[i];
        size_t len, record_len;
        int64_t rc;
        uint8_t *record = record_from_ssz(v->envelope, v->envelope_len, &record_len, &rc);
        assert_non_null(record);
        for (size_t cut = 0; cut < record_len; cut++) {
            struct payload_view view;
            uint8_t *part = copy_exact(record, cut);
            assert_true(payload_view_parse(part, cut, &view) < 0);
            assert_true(payload_view_open(part, cut, &view) < 0);
            free(part);
        }
        for (size_t cut = 0; cut < v->envelope_len; cut++) {
            uint8_t *part = record_from_ssz(v->envelope, cut, &len, &rc);
            /* A cut that leaves whole transactions and withdrawals is legal SSZ. */
            if (part != NULL)
                assert_consistent(part, len);
            free(part);
        }
        free(record);
    }
}

static void test_every_byte_flipped(void **state)
{
    static const uint8_t masks[] = {0x01, 0x80, 0xff};
    (void)state;
    for (size_t i = 0; i < vector_count; i++) {
        size_t len;
        uint8_t *record = vector_record(vectors[i].name, &len);
        for (size_t at = 0; at < len; at++) {
            for (size_t m = 0; m < sizeof masks; m++) {
                uint8_t *bad = copy_exact(record, len);
                bad[at] ^= masks[m];
                assert_consistent(bad, len);
                free(bad);
            }
        }
        free(record);
    }
}

static void test_every_byte_of_the_envelope_flipped(void **state)
{
    (void)state;
    for (size_t i = 0; i < vector_count; i++) {
        const struct vector *v = &vectors[i];
        for (size_t at = 0; at < v->envelope_len; at++) {
            uint8_t *bad = copy_exact(v->envelope, v->envelope_len);
            size_t len;
            int64_t rc;
            bad[at] ^= 0xff;
            uint8_t *record = record_from_ssz(bad, v->envelope_len, &len, &rc);
            if (record != NULL)
                assert_consistent(record, len);
            free(record);
            free(bad);
        }
    }
}

struct header_case {
    const char *what;
    size_t at;
    uint8_t mask;
    int want;
};

static void test_header_disagreements(void **state)
{
    static const struct header_case cases[] = {
        {"magic", 0, 1, OC_ECORRUPT},
        {"record version", REC_VERSION, 3, OC_EVERSION},
        {"payload version 0", REC_PAYLOAD_VERSION, 4, OC_EVERSION},
        {"payload version 12", REC_PAYLOAD_VERSION, 8, OC_EVERSION},
        {"another payload version", REC_PAYLOAD_VERSION, 7, OC_ECORRUPT},
        {"unknown flag", REC_FLAGS, 2, OC_ECORRUPT},
        {"no beacon root in V4", REC_FLAGS, 1, OC_ECORRUPT},
        {"ssz too short", REC_SSZ_BYTES, 1, OC_ECORRUPT},
        {"ssz too large", REC_SSZ_BYTES + 3, 0xff, OC_ERANGE},
        {"extra without text", REC_EXTRA_BYTES, 1, OC_ECORRUPT},
        {"extra too large", REC_EXTRA_BYTES + 3, 0x7f, OC_ERANGE},
        {"reserved", REC_RESERVED, 1, OC_ECORRUPT},
        {"number", REC_NUMBER, 1, OC_ECORRUPT},
        {"timestamp", REC_TIMESTAMP, 1, OC_ECORRUPT},
        {"hash", REC_HASH + 31, 1, OC_ECORRUPT},
        {"parent", REC_PARENT, 1, OC_ECORRUPT},
    };
    size_t len;
    uint8_t *record = vector_record("isthmus", &len);
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct payload_view view;
        uint8_t *bad = copy_exact(record, len);
        bad[cases[i].at] ^= cases[i].mask;
        int rc = payload_view_parse(bad, len, &view);
        if (rc != cases[i].want)
            fail_msg("%s: got %d, want %d", cases[i].what, rc, cases[i].want);
        free(bad);
    }
    free(record);
}

struct offset_case {
    const char *what;
    size_t at; /* in the payload */
    uint32_t value;
    int want;
};

/* isthmus: fixed 560, extraData 9 bytes, transactions at 569 (two: 6 and 4 bytes), no withdrawals. */
static void test_offsets_and_counts(void **state)
{
    static const struct offset_case cases[] = {
        {"extraData before the fixed part's end", 436, 559, OC_EVERSION},
        {"extraData offset zero", 436, 0, OC_EVERSION},
        {"extraData of another fork", 436, 528, OC_ERANGE},
        {"transactions before extraData", 504, 559, OC_ECORRUPT},
        {"transactions behind the end", 504, 1000, OC_ECORRUPT},
        {"transactions at 2^32-1", 504, UINT32_MAX, OC_ECORRUPT},
        {"withdrawals before transactions", 508, 568, OC_ECORRUPT},
        {"withdrawals behind the end", 508, 588, OC_ECORRUPT},
        {"withdrawals of a part", 508, 586, OC_ECORRUPT},
        {"withdrawals at 2^32-1", 508, UINT32_MAX, OC_ECORRUPT},
        {"first transaction at 0", 569, 0, OC_ECORRUPT},
        {"first transaction not a multiple of 4", 569, 6, OC_ECORRUPT},
        {"first transaction outside", 569, 20, OC_ECORRUPT},
        {"a huge count", 569, 0xfffffffc, OC_ECORRUPT},
        {"second transaction before the first", 573, 7, OC_ECORRUPT},
        {"second transaction outside", 573, 19, OC_ECORRUPT},
        {"second transaction empty", 573, 18, 0},
    };
    const struct vector *v = vectors_find(vectors, vector_count, "isthmus");
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        uint8_t *bad = copy_exact(v->envelope, v->envelope_len);
        size_t len;
        int64_t rc;
        put_u32(bad + 32 + cases[i].at, cases[i].value);
        uint8_t *record = record_from_ssz(bad, v->envelope_len, &len, &rc);
        if ((rc >= 0 ? 0 : rc) != cases[i].want)
            fail_msg("%s: got %lld, want %d", cases[i].what, (long long)rc, cases[i].want);
        free(record);
        free(bad);
    }
}

/* Appends `bytes` zero bytes and moves the withdrawals offset so that they are withdrawals. */
static int64_t with_withdrawals(size_t bytes)
{
    const struct vector *v = vectors_find(vectors, vector_count, "isthmus");
    size_t len, size = v->envelope_len + bytes;
    uint8_t *big = calloc(1, size);
    int64_t rc;
    assert_non_null(big);
    memcpy(big, v->envelope, v->envelope_len);
    put_u32(big + 32 + 508, (uint32_t)(v->envelope_len - 32));
    uint8_t *record = record_from_ssz(big, size, &len, &rc);
    if (record != NULL)
        assert_consistent(record, len);
    free(record);
    free(big);
    return rc >= 0 ? 0 : rc;
}

static void test_withdrawal_counts(void **state)
{
    (void)state;
    assert_int_equal(with_withdrawals(0), 0);
    assert_int_equal(with_withdrawals(44), 0);
    assert_int_equal(with_withdrawals((size_t)16 * 44), 0);
    assert_int_equal(with_withdrawals((size_t)17 * 44), OC_ERANGE);
    assert_int_equal(with_withdrawals(45), OC_ECORRUPT);
}

/* V3 without extraData whose transaction list has `count` empty elements. */
static int64_t with_empty_transactions(size_t count)
{
    const struct vector *v = vectors_find(vectors, vector_count, "ecotone");
    size_t len, size = 32 + 528 + 4 * count;
    uint8_t *big = calloc(1, size);
    int64_t rc;
    assert_non_null(big);
    memcpy(big, v->envelope, 32 + 528);
    put_u32(big + 32 + 504, 528);
    put_u32(big + 32 + 508, (uint32_t)(528 + 4 * count));
    for (size_t i = 0; i < count; i++)
        put_u32(big + 32 + 528 + 4 * i, (uint32_t)(4 * count));
    uint8_t *record = record_from_ssz(big, size, &len, &rc);
    if (record != NULL)
        assert_consistent(record, len);
    free(record);
    free(big);
    return rc >= 0 ? 0 : rc;
}

static void test_transaction_counts(void **state)
{
    (void)state;
    assert_int_equal(with_empty_transactions(0), 0);
    assert_int_equal(with_empty_transactions(1), 0);
    assert_int_equal(with_empty_transactions(1048576), 0);
    assert_int_equal(with_empty_transactions(1048577), OC_ERANGE);
}

static void test_size_limits(void **state)
{
    const struct vector *v = vectors_find(vectors, vector_count, "isthmus");
    uint8_t small[64];
    size_t size = 32 + PAYLOAD_SSZ_MAX_BYTES;
    uint8_t *big = calloc(1, size + 1);
    size_t len;
    int64_t rc;
    (void)state;
    assert_int_equal(payload_record_from_ssz(v->envelope, v->envelope_len, small, sizeof small), OC_ERANGE);
    assert_non_null(big);
    memcpy(big, v->envelope, v->envelope_len);
    put_u32(big + 32 + 508, (uint32_t)PAYLOAD_SSZ_MAX_BYTES); /* the last transaction grows to the end */
    uint8_t *record = record_from_ssz(big, size, &len, &rc);
    assert_non_null(record);
    free(record);
    put_u32(big + 32 + 508, (uint32_t)PAYLOAD_SSZ_MAX_BYTES + 1);
    assert_null(record_from_ssz(big, size + 1, &len, &rc));
    assert_int_equal(rc, OC_ERANGE);
    free(big);
}

/* A view that was only opened must not lead the writer astray. */
static void test_writer_rejects_a_corrupt_opened_record(void **state)
{
    size_t len, json_len;
    uint8_t *record = vector_record("isthmus", &len);
    struct payload_view view;
    (void)state;
    put_u32(record + REC_SSZ + 573, 0xffffff00);
    assert_int_equal(payload_view_open(record, len, &view), 0);
    assert_int_equal(payload_view_parse(record, len, &view), OC_ECORRUPT);
    assert_null(payload_record_to_json(&view, &json_len));
    free(record);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_every_prefix_of_ssz_and_record),
        cmocka_unit_test(test_every_byte_flipped),
        cmocka_unit_test(test_every_byte_of_the_envelope_flipped),
        cmocka_unit_test(test_header_disagreements),
        cmocka_unit_test(test_offsets_and_counts),
        cmocka_unit_test(test_withdrawal_counts),
        cmocka_unit_test(test_transaction_counts),
        cmocka_unit_test(test_size_limits),
        cmocka_unit_test(test_writer_rejects_a_corrupt_opened_record),
    };
    vector_count = vectors_load(vectors);
    int failed = cmocka_run_group_tests_name("hostile payloads", tests, NULL, NULL);
    vectors_free(vectors, vector_count);
    return failed;
}
