/* Loading the vectors; records in exact-size buffers. */
#include "support.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cJSON.h>
#include <cmocka.h>

static char *read_file(const char *path)
{
    FILE *f = fopen(path, "rb");
    assert_non_null(f);
    assert_int_equal(fseek(f, 0, SEEK_END), 0);
    long size = ftell(f);
    assert_true(size > 0);
    rewind(f);
    char *text = malloc((size_t)size + 1);
    assert_non_null(text);
    assert_int_equal(fread(text, 1, (size_t)size, f), (size_t)size);
    text[size] = '\0';
    fclose(f);
    return text;
}

size_t vectors_load(struct vector vectors[VECTORS_MAX])
{
    size_t count = 0;
    char *text = read_file(VECTORS_FILE);
    cJSON *list = cJSON_Parse(text);
    cJSON *item;
    assert_non_null(list);
    cJSON_ArrayForEach(item, list)
    {
        assert_true(count < VECTORS_MAX);
        struct vector *v = &vectors[count++];
        const char *ssz = cJSON_GetObjectItemCaseSensitive(item, "ssz")->valuestring;
        size_t root = 0, ssz_len = strlen(ssz) / 2;
        snprintf(v->name, sizeof v->name, "%s", cJSON_GetObjectItemCaseSensitive(item, "name")->valuestring);
        v->ssz_version = (unsigned)cJSON_GetObjectItemCaseSensitive(item, "version")->valuedouble;
        v->json = cJSON_PrintUnformatted(cJSON_GetObjectItemCaseSensitive(item, "envelope"));
        if (v->ssz_version < PAYLOAD_V3)
            root = 32; /* these vectors hold the payload alone */
        v->envelope_len = root + ssz_len;
        v->envelope = calloc(1, v->envelope_len);
        assert_non_null(v->envelope);
        for (size_t i = 0; i < ssz_len; i++) {
            const char digits[3] = {ssz[2 * i], ssz[2 * i + 1], '\0'};
            char *end;
            v->envelope[root + i] = (uint8_t)strtoul(digits, &end, 16);
            assert_true(*end == '\0');
        }
    }
    cJSON_Delete(list);
    free(text);
    return count;
}

void vectors_free(struct vector *vectors, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        cJSON_free(vectors[i].json);
        free(vectors[i].envelope);
    }
}

const struct vector *vectors_find(const struct vector *vectors, size_t count, const char *name)
{
    for (size_t i = 0; i < count; i++)
        if (strcmp(vectors[i].name, name) == 0)
            return &vectors[i];
    fail_msg("no vector named %s", name);
    return NULL;
}

void *copy_exact(const void *data, size_t len)
{
    void *copy = malloc(len > 0 ? len : 1);
    assert_non_null(copy);
    if (len > 0)
        memcpy(copy, data, len);
    return copy;
}

static uint8_t *shrink(uint8_t *room, int64_t rc, size_t *ret_len, int64_t *ret_rc)
{
    uint8_t *exact = NULL;
    *ret_rc = rc;
    *ret_len = 0;
    if (rc >= 0) {
        *ret_len = (size_t)rc;
        exact = copy_exact(room, *ret_len);
    }
    free(room);
    return exact;
}

uint8_t *record_from_json(const char *json, size_t len, size_t *ret_len, int64_t *ret_rc, char text[256])
{
    char *borrowed = copy_exact(json, len);
    size_t size = payload_json_record_bound(len);
    uint8_t *room = malloc(size);
    assert_non_null(room);
    int64_t rc = payload_record_from_json(borrowed, len, room, size, text, 256);
    free(borrowed);
    return shrink(room, rc, ret_len, ret_rc);
}

uint8_t *record_from_ssz(const uint8_t *envelope, size_t len, size_t *ret_len, int64_t *ret_rc)
{
    uint8_t *borrowed = copy_exact(envelope, len);
    size_t size = PAYLOAD_RECORD_HEADER_BYTES + len;
    uint8_t *room = malloc(size);
    assert_non_null(room);
    int64_t rc = payload_record_from_ssz(borrowed, len, room, size);
    free(borrowed);
    return shrink(room, rc, ret_len, ret_rc);
}
