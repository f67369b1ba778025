/* JSON to payload record. First the members are found (positions only: the big strings are crossed
 * at memchr speed), which tells the version and so where everything stands in the SSZ payload;
 * then each string is decoded once, straight into its place in dst. */
#include "shared/payload/json.h"

#include "shared/base/err.h"
#include "shared/payload/json_fields.h"
#include "shared/payload/json_value.h"
#include "shared/payload/record_layout.h"

#include <stdio.h>
#include <strings.h>

#define EXTRA_MEMBERS_MAX 64

struct envelope {
    struct text_span beacon_root;
    struct text_span fields[FIELD_COUNT]; /* between the quotes; of arrays, the whole text */
    size_t transaction_count;
    size_t transaction_bytes; /* decoded */
    size_t withdrawal_count;
    struct text_span extra[EXTRA_MEMBERS_MAX]; /* "name":value */
    size_t extra_count;
    size_t extra_bytes; /* joined by commas */
};

size_t payload_json_record_bound(size_t json_len)
{
    /* No character of the text makes more than one byte of the record, except that absent parts
     * have a size too: the fixed part, and withdrawals with few members. */
    size_t most = PAYLOAD_SSZ_MAX_BYTES + PAYLOAD_EXTRA_MAX_BYTES;
    size_t body = (size_t)SSZ_FIXED_V4 + SSZ_EXTRA_DATA_MAX + (size_t)SSZ_WITHDRAWALS_MAX * SSZ_WITHDRAWAL_BYTES;
    body = json_len > most - body ? most : body + json_len;
    return PAYLOAD_RECORD_HEADER_BYTES + body;
}

static bool name_is(const struct text_span *name, const char *want)
{
    return strlen(want) == name->len && strncasecmp(name->p, want, name->len) == 0;
}

/* A member that is a string: its span goes to *ret; null counts as absent. */
static int take_string_member(struct value_error *e, struct text_cursor *c, const char *path, struct text_span *ret)
{
    struct text_span skipped;
    text_skip_space(c);
    if (c->p < c->end && *c->p == '"') {
        if (!text_take_hex_string(c, ret))
            return value_fail_syntax(e);
        return 0;
    }
    if (!text_take_value(c, &skipped))
        return value_fail_syntax(e);
    if (skipped.len == 4 && memcmp(skipped.p, "null", 4) == 0)
        return 0;
    return value_fail(e, path, "is not a string");
}

static int index_transactions(struct value_error *e, struct text_cursor *c, struct envelope *env)
{
    struct text_span tx;
    text_skip_space(c);
    const char *start = c->p;
    if (text_take(c, '[') && !text_take(c, ']')) {
        do {
            text_skip_space(c);
            if (c->p < c->end && *c->p != '"')
                return value_fail(e, "executionPayload.transactions", "has an element that is not a string");
            if (!text_take_hex_string(c, &tx))
                return value_fail_syntax(e);
            if (value_check_hex_prefix(&tx) != 0)
                return value_fail_transaction(e, env->transaction_count, &tx);
            env->transaction_count++;
            env->transaction_bytes += (tx.len - 2) / 2;
        } while (text_take(c, ','));
        if (!text_take(c, ']'))
            return value_fail_syntax(e);
    } else if (c->p == start) {
        if (!text_take_value(c, &tx))
            return value_fail_syntax(e);
        if (tx.len != 4 || memcmp(tx.p, "null", 4) != 0)
            return value_fail(e, "executionPayload.transactions", "is not an array");
    }
    if (env->transaction_count > SSZ_TRANSACTIONS_MAX)
        return value_fail_number(e, "executionPayload.transactions", "has too many elements, expected at most %llu",
                                 SSZ_TRANSACTIONS_MAX);
    env->fields[FIELD_TXS] = (struct text_span){start, (size_t)(c->p - start)};
    return 0;
}

static int index_withdrawals(struct value_error *e, struct text_cursor *c, struct envelope *env)
{
    static const char path[] = "executionPayload.withdrawals";
    struct text_span whole;
    text_skip_space(c);
    if (c->p == c->end || *c->p != '[') {
        if (!text_take_value(c, &whole))
            return value_fail_syntax(e);
        if (whole.len == 4 && memcmp(whole.p, "null", 4) == 0)
            return 0;
        return value_fail(e, path, "is not an array");
    }
    const char *start = c->p;
    c->p++;
    if (!text_take(c, ']')) {
        do {
            text_skip_space(c);
            if (c->p < c->end && *c->p != '{')
                return value_fail(e, path, "has an element that is not an object");
            if (!text_take_value(c, NULL))
                return value_fail_syntax(e);
            if (++env->withdrawal_count > SSZ_WITHDRAWALS_MAX)
                return value_fail_number(e, path, "has too many elements, expected at most %llu", SSZ_WITHDRAWALS_MAX);
        } while (text_take(c, ','));
        if (!text_take(c, ']'))
            return value_fail_syntax(e);
    }
    env->fields[FIELD_WDS] = (struct text_span){start, (size_t)(c->p - start)};
    return 0;
}

/* Readers of JSON match names in any case and undo escapes, so that "block\u0048ash", or a letter that folds to an
 * ASCII one, would be a second blockHash to op-node when the payload is given back to it. */
static bool is_plain_name(const struct text_span *name)
{
    for (size_t i = 0; i < name->len; i++)
        if (name->p[i] < 0x20 || name->p[i] > 0x7e || name->p[i] == '\\')
            return false;
    return true;
}

static int index_unknown(struct value_error *e, struct text_cursor *c, struct envelope *env, const char *name_start,
                         const struct text_span *name)
{
    if (!is_plain_name(name))
        return value_fail(e, "executionPayload", "has an unknown field whose name is not plain ASCII");
    if (!text_take_value(c, NULL))
        return value_fail_syntax(e);
    size_t len = (size_t)(c->p - name_start);
    if (env->extra_count == EXTRA_MEMBERS_MAX || len + 1 > PAYLOAD_EXTRA_MAX_BYTES - env->extra_bytes)
        return value_fail(e, "executionPayload", "has more unknown fields than can be kept");
    env->extra_bytes += len + (env->extra_count > 0 ? 1 : 0);
    env->extra[env->extra_count++] = (struct text_span){name_start, len};
    return 0;
}

static int index_member(struct value_error *e, struct text_cursor *c, struct envelope *env, const char *name_start,
                        const struct text_span *name, uint32_t *seen)
{
    for (int f = 0; f < FIELD_COUNT; f++) {
        const struct field_spec *spec = &json_fields[f];
        char path[64];
        if (!name_is(name, spec->name))
            continue;
        snprintf(path, sizeof path, "executionPayload.%s", spec->name);
        if ((*seen & 1u << f) != 0)
            return value_fail(e, path, "is given twice");
        *seen |= 1u << f;
        if (spec->kind == FIELD_TRANSACTIONS)
            return index_transactions(e, c, env);
        if (spec->kind == FIELD_WITHDRAWALS)
            return index_withdrawals(e, c, env);
        return take_string_member(e, c, path, &env->fields[f]);
    }
    return index_unknown(e, c, env, name_start, name);
}

static int index_payload(struct value_error *e, struct text_cursor *c, struct envelope *env)
{
    uint32_t seen = 0;
    if (!text_take(c, '{')) {
        if (!text_take_value(c, NULL))
            return value_fail_syntax(e);
        return value_fail(e, "executionPayload", "is not an object");
    }
    if (!text_take(c, '}')) {
        do {
            struct text_span name;
            text_skip_space(c);
            const char *name_start = c->p;
            if (!text_take_string(c, &name) || !text_take(c, ':'))
                return value_fail_syntax(e);
            int rc = index_member(e, c, env, name_start, &name, &seen);
            if (rc != 0)
                return rc;
        } while (text_take(c, ','));
        if (!text_take(c, '}'))
            return value_fail_syntax(e);
    }
    return 0;
}

static int index_envelope(struct value_error *e, struct text_cursor *c, struct envelope *env)
{
    bool seen_root = false, seen_payload = false;
    if (!text_take(c, '{')) {
        if (!text_take_value(c, NULL))
            return value_fail_syntax(e);
        return value_fail(e, "execution payload envelope", "is not an object");
    }
    if (!text_take(c, '}')) {
        do {
            struct text_span name;
            if (!text_take_string(c, &name) || !text_take(c, ':'))
                return value_fail_syntax(e);
            bool is_root = name_is(&name, "parentBeaconBlockRoot");
            bool is_payload = name_is(&name, "executionPayload");
            if ((is_root && seen_root) || (is_payload && seen_payload))
                return value_fail(e, is_root ? "parentBeaconBlockRoot" : "executionPayload", "is given twice");
            int rc = 0;
            if (is_root)
                rc = take_string_member(e, c, "parentBeaconBlockRoot", &env->beacon_root);
            else if (is_payload)
                rc = index_payload(e, c, env);
            else if (!text_take_value(c, NULL))
                rc = value_fail_syntax(e);
            if (rc != 0)
                return rc;
            seen_root |= is_root;
            seen_payload |= is_payload;
        } while (text_take(c, ','));
        if (!text_take(c, '}'))
            return value_fail_syntax(e);
    }
    text_skip_space(c);
    if (c->p != c->end)
        return value_fail(e, "execution payload envelope", "is followed by more text");
    if (!seen_payload)
        return value_fail(e, "executionPayload", "is missing");
    return 0;
}

/* The fork is told by the newest field that is there; everything older must be there too. */
static int choose_version(struct value_error *e, const struct envelope *env, unsigned *ret_version)
{
    unsigned version = PAYLOAD_V1;
    for (int f = 0; f < FIELD_COUNT; f++)
        if (env->fields[f].p != NULL && json_fields[f].since > version)
            version = json_fields[f].since;
    for (int f = 0; f < FIELD_COUNT; f++) {
        char path[64];
        if (env->fields[f].p != NULL || json_fields[f].since > version)
            continue;
        snprintf(path, sizeof path, "executionPayload.%s", json_fields[f].name);
        return value_fail(e, path, "is missing");
    }
    if (version >= PAYLOAD_V3 && env->beacon_root.p == NULL)
        return value_fail(e, "parentBeaconBlockRoot", "is missing: execution payload envelope is missing data");
    *ret_version = version;
    return 0;
}

static int place_transactions(struct value_error *e, const struct envelope *env, uint8_t *list)
{
    struct text_cursor c = {env->fields[FIELD_TXS].p, env->fields[FIELD_TXS].p + env->fields[FIELD_TXS].len};
    uint32_t offset = (uint32_t)env->transaction_count * 4;
    if (env->transaction_count == 0)
        return 0;
    (void)text_take(&c, '[');
    for (size_t i = 0; i < env->transaction_count; i++) {
        struct text_span tx;
        if (!text_take_hex_string(&c, &tx))
            return value_fail_syntax(e);
        (void)text_take(&c, ',');
        ssz_put_u32(list + i * 4, offset);
        if (hex_decode(tx.p + 2, tx.len - 2, list + offset) != 0)
            return value_fail_transaction(e, i, &tx);
        offset += (uint32_t)(tx.len - 2) / 2;
    }
    return 0;
}

static int place_withdrawal(struct value_error *e, struct text_cursor *c, uint8_t *dst)
{
    uint32_t seen = 0;
    memset(dst, 0, SSZ_WITHDRAWAL_BYTES);
    (void)text_take(c, '{');
    if (text_take(c, '}'))
        return value_fail(e, "executionPayload.withdrawals", "has an element without index");
    do {
        struct text_span name, value = {NULL, 0};
        const struct field_spec *spec = NULL;
        char path[64];
        if (!text_take_string(c, &name) || !text_take(c, ':'))
            return value_fail_syntax(e);
        for (uint32_t f = 0; f < WITHDRAWAL_FIELD_COUNT && spec == NULL; f++) {
            if (name_is(&name, json_withdrawal_fields[f].name)) {
                spec = &json_withdrawal_fields[f];
                if ((seen & 1u << f) != 0)
                    return value_fail(e, "executionPayload.withdrawals", "has a field that is given twice");
                seen |= 1u << f;
            }
        }
        if (spec == NULL)
            return value_fail(e, "executionPayload.withdrawals", "has an unknown field");
        snprintf(path, sizeof path, "executionPayload.withdrawals.%s", spec->name);
        int rc = take_string_member(e, c, path, &value);
        if (rc == 0 && value.p == NULL)
            rc = value_fail(e, path, "is missing");
        if (rc == 0)
            rc = value_decode(e, path, spec, &value, dst + spec->offset);
        if (rc != 0)
            return rc;
    } while (text_take(c, ','));
    (void)text_take(c, '}');
    if (seen != (1u << WITHDRAWAL_FIELD_COUNT) - 1)
        return value_fail(e, "executionPayload.withdrawals", "has an element with missing fields");
    return 0;
}

static int place_withdrawals(struct value_error *e, const struct envelope *env, uint8_t *list)
{
    struct text_cursor c = {env->fields[FIELD_WDS].p, env->fields[FIELD_WDS].p + env->fields[FIELD_WDS].len};
    (void)text_take(&c, '[');
    for (size_t i = 0; i < env->withdrawal_count; i++) {
        int rc = place_withdrawal(e, &c, list + i * SSZ_WITHDRAWAL_BYTES);
        if (rc != 0)
            return rc;
        (void)text_take(&c, ',');
    }
    return 0;
}

static void place_extra(const struct envelope *env, uint8_t *dst)
{
    for (size_t i = 0; i < env->extra_count; i++) {
        if (i > 0)
            *dst++ = ',';
        memcpy(dst, env->extra[i].p, env->extra[i].len);
        dst += env->extra[i].len;
    }
}

/* Writes the SSZ payload, whose parts start at the given positions. */
static int place_payload(struct value_error *e, const struct envelope *env, const struct ssz_parts *parts,
                         unsigned version, uint8_t *ssz)
{
    ssz_put_u32(ssz + SSZ_EXTRA_DATA_OFFSET, parts->extra_data);
    ssz_put_u32(ssz + SSZ_TRANSACTIONS_OFFSET, parts->transactions);
    if (version >= PAYLOAD_V2)
        ssz_put_u32(ssz + SSZ_WITHDRAWALS_OFFSET, parts->withdrawals);
    for (int f = 0; f < FIELD_COUNT; f++) {
        const struct field_spec *spec = &json_fields[f];
        char path[64];
        if (env->fields[f].p == NULL || spec->bytes == 0)
            continue;
        snprintf(path, sizeof path, "executionPayload.%s", spec->name);
        int rc = value_decode(e, path, spec, &env->fields[f], ssz + spec->offset);
        if (rc != 0)
            return rc;
    }
    const struct text_span *extra_data = &env->fields[FIELD_EXTRA];
    int rc = hex_decode(extra_data->p + 2, extra_data->len - 2, ssz + parts->extra_data);
    if (rc != 0)
        return value_fail(e, "executionPayload.extraData", "is an invalid hex string");
    rc = place_transactions(e, env, ssz + parts->transactions);
    if (rc == 0 && version >= PAYLOAD_V2)
        rc = place_withdrawals(e, env, ssz + parts->withdrawals);
    return rc;
}

/* Where the variable parts start, and the size of the whole. */
static int lay_out(struct value_error *e, const struct envelope *env, unsigned version, struct ssz_parts *ret,
                   size_t *ret_bytes)
{
    const struct text_span *extra_data = &env->fields[FIELD_EXTRA];
    const struct field_spec spec = {.name = "extraData", .kind = FIELD_EXTRA_DATA};
    int rc = value_decode(e, "executionPayload.extraData", &spec, extra_data, NULL);
    if (rc != 0)
        return rc;
    size_t extra_data_bytes = (extra_data->len - 2) / 2;
    size_t transactions = ssz_fixed_bytes(version) + extra_data_bytes;
    size_t withdrawals = transactions + env->transaction_count * 4 + env->transaction_bytes;
    size_t total = withdrawals + env->withdrawal_count * SSZ_WITHDRAWAL_BYTES;
    if (total > PAYLOAD_SSZ_MAX_BYTES)
        return value_fail_number(e, "executionPayload", "is too large, expected at most %llu bytes of SSZ",
                                 PAYLOAD_SSZ_MAX_BYTES);
    *ret = (struct ssz_parts){
        .extra_data = ssz_fixed_bytes(version),
        .transactions = (uint32_t)transactions,
        .withdrawals = (uint32_t)withdrawals,
    };
    *ret_bytes = total;
    return 0;
}

int64_t payload_record_from_json(const char *json, size_t len, uint8_t *dst, size_t dst_size, char *ret_text,
                                 size_t text_size)
{
    static const struct field_spec root_spec = {"parentBeaconBlockRoot", FIELD_BYTES, 0, 32, PAYLOAD_V3};
    struct text_cursor c = {json, json + len};
    struct value_error e = {&c, json, ret_text, text_size};
    struct envelope env = {.extra_count = 0};
    struct ssz_parts parts = {0};
    unsigned version = 0;
    size_t ssz_bytes = 0;
    if (text_size > 0)
        ret_text[0] = '\0';

    int rc = index_envelope(&e, &c, &env);
    if (rc == 0)
        rc = choose_version(&e, &env, &version);
    if (rc == 0)
        rc = lay_out(&e, &env, version, &parts, &ssz_bytes);
    if (rc != 0)
        return rc;
    size_t total = PAYLOAD_RECORD_HEADER_BYTES + ssz_bytes + env.extra_bytes;
    if (total > dst_size)
        return value_fail_range(&e, "executionPayload", "does not fit the room reserved for it");

    struct payload_record_header h = {
        .magic = PAYLOAD_RECORD_MAGIC,
        .record_version = 1,
        .payload_version = (uint16_t)version,
        .ssz_bytes = (uint32_t)ssz_bytes,
        .extra_bytes = (uint32_t)env.extra_bytes,
    };
    uint8_t *ssz = dst + PAYLOAD_RECORD_HEADER_BYTES;
    if (env.beacon_root.p != NULL) {
        rc = value_decode(&e, "parentBeaconBlockRoot", &root_spec, &env.beacon_root, h.parent_beacon_root);
        h.flags = PAYLOAD_HAS_BEACON_ROOT;
    }
    if (rc == 0)
        rc = place_payload(&e, &env, &parts, version, ssz);
    if (rc != 0)
        return rc;
    place_extra(&env, ssz + ssz_bytes);
    h.block_number = ssz_get_u64(ssz + SSZ_BLOCK_NUMBER);
    h.timestamp = ssz_get_u64(ssz + SSZ_TIMESTAMP);
    memcpy(h.block_hash, ssz + SSZ_BLOCK_HASH, sizeof h.block_hash);
    memcpy(h.parent_hash, ssz + SSZ_PARENT_HASH, sizeof h.parent_hash);
    memcpy(dst, &h, sizeof h);
    return (int64_t)total;
}
