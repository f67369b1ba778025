/* The JSON reader: forks by fields, what is refused and how it says so, unknown fields, big blocks. */
#include "support.h"

#include "shared/base/err.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static struct vector vectors[VECTORS_MAX];
static size_t vector_count;

/* The text with the first `from` replaced by `to`; free it. */
static char *replaced(const char *json, const char *from, const char *to)
{
    const char *at = strstr(json, from);
    if (at == NULL)
        fail_msg("'%s' is not in the text", from);
    size_t head = (size_t)(at - json), size = strlen(json) + strlen(to) + 1;
    char *out = malloc(size);
    assert_non_null(out);
    snprintf(out, size, "%.*s%s%s", (int)head, json, to, at + strlen(from));
    return out;
}

static const char *vector_json(const char *name)
{
    return vectors_find(vectors, vector_count, name)->json;
}

struct refusal {
    const char *vector;
    const char *from, *to;
    int want;
    const char *text; /* part of the answer */
};

static const struct refusal refusals[] = {
    /* what is missing, doubled or of another kind */
    {"isthmus", "\"blockHash\"", "\"other\"", OC_ESYNTAX, "executionPayload.blockHash is missing"},
    {"isthmus", "\"blockNumber\":\"0x81e3f40\"", "\"blockNumber\":null", OC_ESYNTAX, "blockNumber is missing"},
    {"isthmus", "\"blockNumber\":\"0x81e3f40\"", "\"blockNumber\":7", OC_ESYNTAX, "blockNumber is not a string"},
    {"isthmus", "\"gasUsed\"", "\"gasLimit\"", OC_ESYNTAX, "executionPayload.gasLimit is given twice"},
    {"isthmus", "\"executionPayload\"", "\"payload\"", OC_ESYNTAX, "executionPayload is missing"},
    {"isthmus", "\"transactions\":[", "\"transactions\":3,\"x\":[", OC_ESYNTAX, "transactions is not an array"},
    {"isthmus", "\"0x02f86b0a\"", "{}", OC_ESYNTAX, "element that is not a string"},
    {"isthmus", "\"withdrawals\":[]", "\"withdrawals\":{}", OC_ESYNTAX, "withdrawals is not an array"},
    {"isthmus", "\"withdrawals\":[]", "\"withdrawals\":[1]", OC_ESYNTAX, "element that is not an object"},
    {"isthmus", "\"withdrawals\":[]", "\"withdrawals\":[{}]", OC_ESYNTAX, "element without index"},
    {"isthmus", "\"withdrawals\":[]", "\"withdrawals\":[{\"index\":\"0x1\"}]", OC_ESYNTAX, "missing fields"},
    {"isthmus", "\"withdrawals\":[]", "\"withdrawals\":[{\"index\":\"0x1\",\"index\":\"0x1\"}]", OC_ESYNTAX, "twice"},
    {"isthmus", "\"withdrawals\":[]", "\"withdrawals\":[{\"amount\":\"1\"}]", OC_ESYNTAX, "without 0x prefix"},
    {"isthmus", "\"withdrawals\":[]", "\"withdrawals\":[{\"colour\":\"0x1\"}]", OC_ESYNTAX, "unknown field"},
    {"isthmus", "\"withdrawals\":[]", "\"withdrawals\":[{\"index\":\"0x\\\"\"}]", OC_ESYNTAX, "invalid hex number"},
    /* what would be another field, or a second one, to who undoes escapes and folds letters */
    {"isthmus", "\"gasUsed\"", "\"block\\u0048ash\":\"0x1\",\"gasUsed\"", OC_ESYNTAX, "not plain ASCII"},
    {"isthmus", "\"gasUsed\"", "\"bloc\xe2\x84\xaaHash\":\"0x1\",\"gasUsed\"", OC_ESYNTAX, "not plain ASCII"},
    /* fields of a fork without those of the fork before */
    {"isthmus", "\"parentBeaconBlockRoot\"", "\"other\"", OC_ESYNTAX, "envelope is missing data"},
    {"ecotone", "\"parentBeaconBlockRoot\"", "\"other\"", OC_ESYNTAX, "parentBeaconBlockRoot is missing"},
    {"isthmus", "\"blobGasUsed\"", "\"other\"", OC_ESYNTAX, "executionPayload.blobGasUsed is missing"},
    {"ecotone", "\"excessBlobGas\"", "\"other\"", OC_ESYNTAX, "executionPayload.excessBlobGas is missing"},
    {"ecotone", "\"withdrawals\":[]", "\"withdrawals\":null", OC_ESYNTAX, "executionPayload.withdrawals is missing"},
    /* hex */
    {"isthmus", "\"0x02f86b0a\"", "\"02f86b0a\"", OC_ESYNTAX, "transactions[1] is a hex string without 0x prefix"},
    {"isthmus", "\"0x02f86b0a\"", "\"0x02f86b0\"", OC_ESYNTAX, "transactions[1] is a hex string of odd length"},
    {"isthmus", "\"0x02f86b0a\"", "\"0x02f86b0g\"", OC_ESYNTAX, "transactions[1] is an invalid hex string"},
    {"isthmus", "\"0x02f86b0a\"", "\"0x02f8\\u0030a\"", OC_ESYNTAX, "transactions[1]"},
    {"isthmus", "\"0x02f86b0a\"", "\"\"", OC_ESYNTAX, "transactions[1] is a hex string without 0x prefix"},
    {"isthmus", "\"0x02f86b0a\"", "\"0\"", OC_ESYNTAX, "transactions[1] is a hex string without 0x prefix"},
    {"isthmus", "\"0x4200000000000000000000000000000000000011\"", "\"0x42\"", OC_ESYNTAX,
     "feeRecipient is a hex string of length 2, want 40"},
    {"isthmus", "\"blockNumber\":\"0x81e3f40\"", "\"blockNumber\":\"0x081e3f40\"", OC_ESYNTAX, "leading zero digits"},
    {"isthmus", "\"blockNumber\":\"0x81e3f40\"", "\"blockNumber\":\"0x\"", OC_ESYNTAX, "empty hex number"},
    {"isthmus", "\"blockNumber\":\"0x81e3f40\"", "\"blockNumber\":\"0x10000000000000000\"", OC_ERANGE,
     "blockNumber is a hex number of more than 64 bits"},
    {"isthmus", "\"0x3b9aca00\"", "\"0x1ffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff\"", OC_ERANGE,
     "baseFeePerGas is a hex number of more than 256 bits"},
    {"isthmus", "\"0x00000000fa00000006\"", "\"0x000000000000000000000000000000000000000000000000000000000000000000\"",
     OC_ERANGE, "extraData is too long, expected at most 32 bytes"},
    {"isthmus", "\"0x00000000fa00000006\"", "\"0x0000000fa00000006\"", OC_ESYNTAX, "extraData is a hex string of odd"},
    {"isthmus", "\"0x00000000fa00000006\"", "\"0xzz\"", OC_ESYNTAX, "extraData is an invalid hex string"},
    /* JSON itself */
    {"isthmus", "]", "", OC_ESYNTAX, "transactions[2] is a hex string without 0x prefix"},
    {"isthmus", "}", "", OC_ESYNTAX, "malformed JSON at byte"},
    {"isthmus", "\"gasUsed\":", "\"x\":01,\"gasUsed\":", OC_ESYNTAX, "malformed JSON"},
    {"isthmus", "\"gasUsed\":", "\"x\":tru,\"gasUsed\":", OC_ESYNTAX, "malformed JSON"},
    {"isthmus", "\"gasUsed\":", "\"x\":\"\x01\",\"gasUsed\":", OC_ESYNTAX, "malformed JSON"},
    {"isthmus", "\"gasUsed\":", "\"x\":\"\\q\",\"gasUsed\":", OC_ESYNTAX, "malformed JSON"},
    {"isthmus", "\"gasUsed\":", "\"x\":\"\xed\xa0\x80\",\"gasUsed\":", OC_ESYNTAX, "malformed JSON"},
    {"isthmus", "\"gasUsed\":", "\"x\":{\"a\":1,},\"gasUsed\":", OC_ESYNTAX, "malformed JSON"},
    {"isthmus", "\"gasUsed\":", "gasUsed:", OC_ESYNTAX, "malformed JSON"},
};

static void test_refusals_say_why(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof refusals / sizeof refusals[0]; i++) {
        const struct refusal *r = &refusals[i];
        char *json = replaced(vector_json(r->vector), r->from, r->to);
        char text[256];
        size_t len;
        int64_t rc;
        assert_null(record_from_json(json, strlen(json), &len, &rc, text));
        if (rc != r->want || strstr(text, r->text) == NULL || strncmp(text, "invalid argument 0: ", 20) != 0)
            fail_msg("case %zu (%s): got %lld '%s', want '%s'", i, r->to, (long long)rc, text, r->text);
        free(json);
    }
}

static void test_other_values_are_refused(void **state)
{
    static const char *const texts[] = {"",
                                        "null",
                                        "[]",
                                        "7",
                                        "\"x\"",
                                        "{}",
                                        "{} {}",
                                        "{,}",
                                        "{\"",
                                        "{\"executionPayload\":null}",
                                        "{\"executionPayload\":{}}"};
    (void)state;
    for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++) {
        char text[256];
        size_t len;
        int64_t rc;
        assert_null(record_from_json(texts[i], strlen(texts[i]), &len, &rc, text));
        assert_int_equal(rc, OC_ESYNTAX);
        assert_int_equal(strncmp(text, "invalid argument 0: ", 20), 0);
    }
}

static void test_trailing_text_is_refused(void **state)
{
    size_t len, size = strlen(vector_json("isthmus")) + 8;
    char text[256], *json = malloc(size);
    int64_t rc;
    (void)state;
    snprintf(json, size, " %s \n", vector_json("isthmus"));
    uint8_t *record = record_from_json(json, strlen(json), &len, &rc, text);
    assert_non_null(record);
    free(record);
    snprintf(json, size, "%s x", vector_json("isthmus"));
    assert_null(record_from_json(json, strlen(json), &len, &rc, text));
    assert_non_null(strstr(text, "followed by more text"));
    free(json);
}

static void test_every_prefix_and_flipped_character(void **state)
{
    (void)state;
    for (size_t i = 0; i < vector_count; i++) {
        const char *json = vectors[i].json;
        size_t full = strlen(json), len;
        char text[256];
        int64_t rc;
        for (size_t cut = 0; cut < full; cut++)
            assert_null(record_from_json(json, cut, &len, &rc, text));
        for (size_t at = 0; at < full; at++) {
            static const char bytes[] = {'"', '\\', '{', '}', '[', ']', ',', ':', '0', '\0', (char)0xff, ' '};
            char *bad = copy_exact(json, full);
            for (size_t b = 0; b < sizeof bytes; b++) {
                struct payload_view view;
                bad[at] = bytes[b];
                uint8_t *record = record_from_json(bad, full, &len, &rc, text);
                if (record != NULL)
                    assert_int_equal(payload_view_parse(record, len, &view), 0);
                else
                    assert_true(text[0] != '\0');
                free(record);
            }
            free(bad);
        }
    }
}

static void test_too_little_room(void **state)
{
    const char *json = vector_json("jovian");
    size_t need, len = strlen(json);
    char text[256];
    int64_t rc;
    (void)state;
    free(record_from_json(json, len, &need, &rc, text));
    for (size_t size = 0; size < need; size++) {
        uint8_t *dst = copy_exact(json, size);
        assert_int_equal(payload_record_from_json(json, len, dst, size, text, sizeof text), OC_ERANGE);
        free(dst);
    }
    uint8_t *dst = copy_exact(json, need);
    assert_int_equal(payload_record_from_json(json, len, dst, need, NULL, 0), need);
    free(dst);
}

static void test_unknown_fields_come_back(void **state)
{
    static const char added[] =
        "\"newRoot\":\"0x12\",\"list\" : [1, {\"a\":[]}, \"\\u00e9\xc3\xa9\", -1.5e3, null, true ],\"gasUsed\":";
    struct payload_view view;
    char text[256];
    size_t len, json_len;
    int64_t rc;
    (void)state;
    char *json = replaced(vector_json("isthmus"), "\"gasUsed\":", added);
    uint8_t *record = record_from_json(json, strlen(json), &len, &rc, text);
    assert_non_null(record);
    assert_int_equal(payload_view_parse(record, len, &view), 0);
    assert_true(view.header.extra_bytes > 0);
    char *back = payload_record_to_json(&view, &json_len);
    assert_non_null(strstr(back, "\"newRoot\":\"0x12\""));
    assert_non_null(strstr(back, "\"list\" : [1, {\"a\":[]}, \"\\u00e9\xc3\xa9\", -1.5e3, null, true ]"));
    size_t again_len;
    uint8_t *again = record_from_json(back, json_len, &again_len, &rc, text);
    assert_int_equal(again_len, len);
    assert_memory_equal(again, record, len);
    free(again);
    /* The text is checked in a record too: it is put into JSON as it is. */
    uint8_t *bad = copy_exact(record, len);
    bad[len - 1] = '[';
    assert_int_equal(payload_view_parse(bad, len, &view), OC_ECORRUPT);
    free(bad);
    free(back);
    free(record);
    free(json);
}

static void test_unknown_fields_have_limits(void **state)
{
    char text[256];
    size_t len, size = PAYLOAD_EXTRA_MAX_BYTES + 4096;
    int64_t rc;
    char *added = malloc(size);
    (void)state;
    for (int over = 0; over <= 1; over++) {
        /* "x":"aaa…" of exactly the limit, then of one byte more. */
        size_t want = PAYLOAD_EXTRA_MAX_BYTES - 1 + (size_t)over;
        int head = snprintf(added, size, "\"x\":\"");
        memset(added + head, 'a', want - (size_t)head);
        snprintf(added + want - 1, size - want, "\",\"gasUsed\":");
        char *json = replaced(vector_json("isthmus"), "\"gasUsed\":", added);
        uint8_t *record = record_from_json(json, strlen(json), &len, &rc, text);
        if (over == 0)
            assert_non_null(record);
        else
            assert_non_null(strstr(text, "more unknown fields than can be kept"));
        free(record);
        free(json);
    }
    size_t used = 0;
    for (int i = 0; i < 65; i++)
        used += (size_t)snprintf(added + used, size - used, "\"f%d\":%d,", i, i);
    snprintf(added + used, size - used, "\"gasUsed\":");
    char *json = replaced(vector_json("isthmus"), "\"gasUsed\":", added);
    assert_null(record_from_json(json, strlen(json), &len, &rc, text));
    assert_non_null(strstr(text, "more unknown fields than can be kept"));
    free(json);
    free(added);
}

static void test_deep_nesting_is_refused(void **state)
{
    enum { DEPTH = 100000 };
    char *added = malloc((size_t)DEPTH * 2 + 64), text[256];
    size_t len;
    int64_t rc;
    (void)state;
    char *p = added + snprintf(added, 8, "\"x\":");
    memset(p, '[', DEPTH);
    memset(p + DEPTH, ']', DEPTH);
    snprintf(p + (size_t)2 * DEPTH, 32, ",\"gasUsed\":");
    char *json = replaced(vector_json("isthmus"), "\"gasUsed\":", added);
    assert_null(record_from_json(json, strlen(json), &len, &rc, text));
    assert_int_equal(rc, OC_ESYNTAX);
    free(json);
    free(added);
}

static void test_key_case_does_not_matter(void **state)
{
    char text[256];
    size_t len, want_len;
    int64_t rc;
    (void)state;
    char *json = replaced(vector_json("isthmus"), "\"blockHash\"", "\"BLOCKhash\"");
    uint8_t *record = record_from_json(json, strlen(json), &len, &rc, text);
    uint8_t *want = record_from_json(vector_json("isthmus"), strlen(vector_json("isthmus")), &want_len, &rc, text);
    assert_non_null(record);
    assert_int_equal(len, want_len);
    assert_memory_equal(record, want, len);
    free(want);
    free(record);
    free(json);
}

static void test_withdrawals_both_ways(void **state)
{
    static const char list[] =
        "\"withdrawals\":[{\"index\":\"0x1\",\"validatorIndex\":\"0xffffffffffffffff\","
        "\"address\":\"0x00112233445566778899aabbccddeeff00112233\",\"amount\":\"0x0\"},"
        "{\"amount\":\"0xabc\",\"address\":\"0xFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFF\",\"validatorIndex\":\"0x2\","
        "\"index\":\"0x3\"}]";
    struct payload_view view;
    char text[256];
    size_t len, json_len;
    int64_t rc;
    (void)state;
    char *json = replaced(vector_json("isthmus"), "\"withdrawals\":[]", list);
    uint8_t *record = record_from_json(json, strlen(json), &len, &rc, text);
    if (record == NULL)
        fail_msg("%s", text);
    assert_int_equal(payload_view_parse(record, len, &view), 0);
    assert_int_equal(view.header.ssz_bytes, 619 - 32 + 2 * 44);
    char *back = payload_record_to_json(&view, &json_len);
    assert_non_null(strstr(back, "{\"index\":\"0x1\",\"validatorIndex\":\"0xffffffffffffffff\",\"address\":"
                                 "\"0x00112233445566778899aabbccddeeff00112233\",\"amount\":\"0x0\"}"));
    assert_non_null(strstr(back, "\"amount\":\"0xabc\""));
    free(back);
    free(record);
    free(json);
}

/* Many transactions of many lengths, so that SIMD tails and offsets meet every alignment. */
static void test_a_big_block_comes_back(void **state)
{
    enum { COUNT = 20000 };
    size_t room = 16u << 20, used = 0, len, json_len;
    char *list = malloc(room), text[256];
    struct payload_view view;
    int64_t rc;
    (void)state;
    used += (size_t)snprintf(list, room, "\"0x");
    for (unsigned i = 0; i < COUNT; i++) {
        for (unsigned b = 0; b < i % 300; b++)
            used += (size_t)snprintf(list + used, room - used, "%02x", (i + b) & 255u);
        used += (size_t)snprintf(list + used, room - used, i + 1 < COUNT ? "\", \"0x" : "\"");
    }
    char *json = replaced(vector_json("jovian"), "\"0x02f86b0a\"", list);
    uint8_t *record = record_from_json(json, strlen(json), &len, &rc, text);
    if (record == NULL)
        fail_msg("%s", text);
    assert_int_equal(payload_view_parse(record, len, &view), 0);
    char *back = payload_record_to_json(&view, &json_len);
    assert_non_null(back);
    size_t again_len;
    uint8_t *again = record_from_json(back, json_len, &again_len, &rc, text);
    assert_int_equal(again_len, len);
    assert_memory_equal(again, record, len);
    free(again);
    free(back);
    free(record);
    free(json);
    free(list);
}

static void test_limits_of_size_and_count(void **state)
{
    char text[256];
    size_t len, hex_len = 2 * PAYLOAD_SSZ_MAX_BYTES;
    int64_t rc;
    char *list = malloc(hex_len + 8);
    (void)state;
    memset(list, 'a', hex_len + 8);
    memcpy(list, "\"0x", 3);
    memcpy(list + hex_len + 3, "\"", 2);
    char *json = replaced(vector_json("isthmus"), "\"0x02f86b0a\"", list);
    assert_null(record_from_json(json, strlen(json), &len, &rc, text));
    assert_int_equal(rc, OC_ERANGE);
    assert_non_null(strstr(text, "is too large, expected at most 33554432 bytes of SSZ"));
    free(json);

    size_t used = 0;
    for (size_t i = 0; i < 1048576; i++) { /* with the vector's first one: one too many */
        memcpy(list + used, "\"0x\",", 5);
        used += 5;
    }
    list[used - 1] = '\0';
    json = replaced(vector_json("isthmus"), "\"0x02f86b0a\"", list);
    assert_null(record_from_json(json, strlen(json), &len, &rc, text));
    assert_int_equal(rc, OC_ERANGE);
    assert_non_null(strstr(text, "expected at most 1048576"));
    free(json);
    free(list);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_refusals_say_why),
        cmocka_unit_test(test_other_values_are_refused),
        cmocka_unit_test(test_trailing_text_is_refused),
        cmocka_unit_test(test_every_prefix_and_flipped_character),
        cmocka_unit_test(test_too_little_room),
        cmocka_unit_test(test_unknown_fields_come_back),
        cmocka_unit_test(test_unknown_fields_have_limits),
        cmocka_unit_test(test_deep_nesting_is_refused),
        cmocka_unit_test(test_key_case_does_not_matter),
        cmocka_unit_test(test_withdrawals_both_ways),
        cmocka_unit_test(test_a_big_block_comes_back),
        cmocka_unit_test(test_limits_of_size_and_count),
    };
    vector_count = vectors_load(vectors);
    int failed = cmocka_run_group_tests_name("payload JSON", tests, NULL, NULL);
    vectors_free(vectors, vector_count);
    return failed;
}
