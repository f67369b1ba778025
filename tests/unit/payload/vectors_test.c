/* Every vector both ways: JSON to record to JSON, SSZ to record to SSZ, and one against the other. */
#include "support.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cJSON.h>
#include <cmocka.h>

static struct vector vectors[VECTORS_MAX];
static size_t vector_count;

static void assert_same_json(const char *a, const char *b)
{
    cJSON *left = cJSON_Parse(a), *right = cJSON_Parse(b);
    assert_non_null(left);
    assert_non_null(right);
    assert_true(cJSON_Compare(left, right, 1));
    cJSON_Delete(left);
    cJSON_Delete(right);
}

static void assert_writes(const struct payload_view *view, const char *want)
{
    size_t len = 0;
    char *text = payload_record_to_json(view, &len);
    assert_non_null(text);
    assert_int_equal(len, strlen(text));
    assert_same_json(text, want);
    free(text);
}

static void test_json_to_record_to_json(void **state)
{
    (void)state;
    for (size_t i = 0; i < vector_count; i++) {
        const struct vector *v = &vectors[i];
        struct payload_view view;
        char text[256];
        size_t len;
        int64_t rc;
        uint8_t *record = record_from_json(v->json, strlen(v->json), &len, &rc, text);
        if (record == NULL)
            fail_msg("%s: %s", v->name, text);
        assert_int_equal(payload_view_parse(record, len, &view), 0);
        assert_writes(&view, v->json);
        free(record);
    }
}

static void test_ssz_to_record_to_ssz(void **state)
{
    (void)state;
    for (size_t i = 0; i < vector_count; i++) {
        const struct vector *v = &vectors[i];
        struct payload_view view;
        size_t len;
        int64_t rc;
        uint8_t *record = record_from_ssz(v->envelope, v->envelope_len, &len, &rc);
        assert_non_null(record);
        assert_int_equal(payload_view_parse(record, len, &view), 0);
        assert_int_equal(view.header.payload_version, v->ssz_version);
        assert_int_equal(view.header.ssz_bytes + 32, v->envelope_len);
        assert_memory_equal(view.envelope, v->envelope, v->envelope_len);
        free(record);
    }
}

/* Both ways in give the same record, byte for byte; only the empty-trie root has no SSZ of its own
 * in the old encoding. */
static void test_json_and_ssz_agree(void **state)
{
    (void)state;
    for (size_t i = 0; i < vector_count; i++) {
        const struct vector *v = &vectors[i];
        char text[256];
        size_t json_len, ssz_len;
        int64_t rc;
        if (strcmp(v->name, "isthmus_empty_withdrawals_root") == 0)
            continue;
        uint8_t *a = record_from_json(v->json, strlen(v->json), &json_len, &rc, text);
        uint8_t *b = record_from_ssz(v->envelope, v->envelope_len, &ssz_len, &rc);
        assert_non_null(a);
        assert_non_null(b);
        assert_int_equal(json_len, ssz_len);
        assert_memory_equal(a, b, json_len);
        free(a);
        free(b);
    }
}

static void test_header_tells_the_block(void **state)
{
    (void)state;
    const struct vector *v = vectors_find(vectors, vector_count, "jovian");
    struct payload_view view;
    char text[256];
    size_t len;
    int64_t rc;
    uint8_t hash[32], parent[32], root[32];
    assert_int_equal(hex_decode("4ddb7a426be0e8367aa3ffd5dd37e978b3ed79703cbb85082a69acfa7d013482", 64, hash), 0);
    assert_int_equal(hex_decode("9b10a33d38f2b5a365b7b0d5db48b331380909427b184d2f2400853fed24714b", 64, parent), 0);
    assert_int_equal(hex_decode("ff009f228d26ce2afcaca65d94a08d506400415ecfa8dacebf425a25d453485b", 64, root), 0);
    uint8_t *record = record_from_json(v->json, strlen(v->json), &len, &rc, text);
    assert_non_null(record);
    assert_int_equal(payload_view_open(record, len, &view), 0);
    assert_int_equal(view.header.block_number, 0x8954400);
    assert_int_equal(view.header.timestamp, 0x6930b5ff);
    assert_int_equal(view.header.flags, PAYLOAD_HAS_BEACON_ROOT);
    assert_int_equal(view.header.extra_bytes, 0);
    assert_memory_equal(view.header.block_hash, hash, 32);
    assert_memory_equal(view.header.parent_hash, parent, 32);
    assert_memory_equal(view.header.parent_beacon_root, root, 32);
    free(record);
}

/* The version is explicit: an Isthmus payload whose withdrawalsRoot is the empty-trie root comes
 * back with it, through the record and through its own SSZ. */
static void test_version_survives_the_empty_trie_root(void **state)
{
    (void)state;
    const struct vector *v = vectors_find(vectors, vector_count, "isthmus_empty_withdrawals_root");
    struct payload_view view, again;
    char text[256];
    size_t len, again_len;
    int64_t rc;
    uint8_t *record = record_from_json(v->json, strlen(v->json), &len, &rc, text);
    assert_non_null(record);
    assert_int_equal(payload_view_parse(record, len, &view), 0);
    assert_int_equal(view.header.payload_version, PAYLOAD_V4);
    uint8_t *second = record_from_ssz(view.envelope, 32 + view.header.ssz_bytes, &again_len, &rc);
    assert_non_null(second);
    assert_int_equal(again_len, len);
    assert_memory_equal(second, record, len);
    assert_int_equal(payload_view_parse(second, again_len, &again), 0);
    assert_writes(&again, v->json);
    free(second);
    free(record);
}

static void test_beacon_root_is_absent_before_ecotone(void **state)
{
    static const char *const names[] = {"bedrock", "canyon"};
    (void)state;
    for (size_t i = 0; i < 2; i++) {
        const struct vector *v = vectors_find(vectors, vector_count, names[i]);
        struct payload_view view;
        size_t len, text_len;
        int64_t rc;
        uint8_t *record = record_from_ssz(v->envelope, v->envelope_len, &len, &rc);
        assert_non_null(record);
        assert_int_equal(payload_view_parse(record, len, &view), 0);
        assert_int_equal(view.header.flags, 0);
        char *text = payload_record_to_json(&view, &text_len);
        assert_null(strstr(text, "parentBeaconBlockRoot"));
        free(text);
        free(record);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_json_to_record_to_json),
        cmocka_unit_test(test_ssz_to_record_to_ssz),
        cmocka_unit_test(test_json_and_ssz_agree),
        cmocka_unit_test(test_header_tells_the_block),
        cmocka_unit_test(test_version_survives_the_empty_trie_root),
        cmocka_unit_test(test_beacon_root_is_absent_before_ecotone),
    };
    vector_count = vectors_load(vectors);
    int failed = cmocka_run_group_tests_name("payload vectors", tests, NULL, NULL);
    vectors_free(vectors, vector_count);
    return failed;
}
