/* Reading and writing JSON-RPC messages (see jsonrpc.h). */
#include "rpcd/jsonrpc.h"

#include "shared/base/err.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

/* Of a name that no method has. */
#define METHOD_SHOWN_BYTES 100

void jsonrpc_set_error(struct jsonrpc_error *e, int code, const char *fmt, ...)
{
    va_list args;
    e->code = code;
    va_start(args, fmt);
    (void)vsnprintf(e->message, sizeof e->message, fmt, args);
    va_end(args);
}

size_t jsonrpc_format_error(const struct jsonrpc_error *e, char *buf)
{
    const int n = snprintf(buf, JSONRPC_ERROR_TEXT_BYTES, "{\"code\":%d,\"message\":", e->code);
    size_t len = (size_t)n;
    len += json_string_encode(e->message, buf + len, JSONRPC_ERROR_TEXT_BYTES - len - 2);
    buf[len++] = '}';
    return len;
}

/* Go's decoder matches keys in any case. */
static bool key_is(struct json_span key, const char *name)
{
    return key.len == strlen(name) && strncasecmp(key.at, name, key.len) == 0;
}

static bool span_is(struct json_span s, const char *text)
{
    return s.len == strlen(text) && memcmp(s.at, text, s.len) == 0;
}

struct members {
    bool version_ok, has_method, has_id;
    struct json_span id, method, params;
};

static void take_member(struct members *m, struct json_span key, struct json_span value)
{
    if (key_is(key, "jsonrpc")) {
        m->version_ok = span_is(value, "\"2.0\"");
    } else if (key_is(key, "id")) {
        m->has_id = true;
        m->id = value;
    } else if (key_is(key, "method")) {
        m->has_method = value.at[0] == '"' && value.len > 2;
        m->method = value;
    } else if (key_is(key, "params")) {
        m->params = value;
    }
}

static bool take_method(const struct members *m, struct jsonrpc_message *ret)
{
    if (!m->has_method)
        return false;
    if (json_string_decode(m->method, ret->method_name, sizeof ret->method_name) < 0)
        (void)snprintf(ret->method_name, sizeof ret->method_name, "%.*s",
                       m->method.len - 2 < METHOD_SHOWN_BYTES ? (int)m->method.len - 2 : METHOD_SHOWN_BYTES,
                       m->method.at + 1);
    ret->method = method_find(ret->method_name, strlen(ret->method_name));
    return true;
}

void jsonrpc_parse(struct json_span text, struct jsonrpc_message *ret, struct jsonrpc_error *ret_error)
{
    struct json_walk it;
    struct members m = {0};
    int rc;
    memset(ret, 0, sizeof *ret);
    ret_error->code = 0;
    ret->has_id = true; /* what is no request is answered, with the id null */
    if (text.len == 0 || text.at[0] != '{' || json_walk_start(&it, text.at, text.at + text.len) < 0) {
        jsonrpc_set_error(ret_error, JSONRPC_INVALID_REQUEST, "invalid request");
        return;
    }
    while ((rc = json_next(&it)) > 0)
        take_member(&m, it.key, it.value);
    const bool id_is_nested = m.has_id && (m.id.at[0] == '{' || m.id.at[0] == '[');
    if (m.has_id && !id_is_nested)
        ret->id = m.id;
    if (rc < 0 || id_is_nested || !m.version_ok || !take_method(&m, ret)) {
        jsonrpc_set_error(ret_error, JSONRPC_INVALID_REQUEST, "invalid request");
        return;
    }
    ret->has_id = m.has_id;
    ret->params = m.params;
    const char *const suffix = strrchr(ret->method_name, '_');
    if (ret->method == NULL && suffix != NULL && (strcmp(suffix, "_subscribe") == 0))
        jsonrpc_set_error(ret_error, JSONRPC_METHOD_NOT_FOUND, "notifications not supported");
    else if (ret->method == NULL)
        jsonrpc_set_error(ret_error, JSONRPC_METHOD_NOT_FOUND, "the method %s does not exist/is not available",
                          ret->method_name);
}

bool jsonrpc_peek_commit(const char *text, size_t len, struct jsonrpc_message *ret, struct json_span *ret_payload)
{
    struct json_walk it;
    struct members m = {0};
    const char *end = text + len;
    memset(ret, 0, sizeof *ret);
    json_skip_space(&text, end);
    if (json_walk_start(&it, text, end) < 0 || !it.is_object)
        return false;
    it.keys_only = true;
    for (;;) {
        struct json_span value;
        if (json_next(&it) <= 0)
            return false; /* malformed, or without params: what stands behind it is none of its own */
        if (key_is(it.key, "params"))
            break;
        if (json_skip_value(&it.at, it.end, &value) < 0)
            return false;
        take_member(&m, it.key, value);
    }
    if (!m.version_ok || !m.has_id || m.id.at[0] == '{' || m.id.at[0] == '[' || !take_method(&m, ret) ||
        ret->method == NULL || ret->method->kind != KIND_COMMIT)
        return false;
    /* From the end backwards: } then ], leaving what is between [ and ]. */
    const char *start = it.at;
    static const char closing[] = "}]";
    for (const char *c = closing; *c != '\0'; c++) {
        while (end > start && (end[-1] == ' ' || end[-1] == '\n' || end[-1] == '\r' || end[-1] == '\t'))
            end--;
        if (end == start || *--end != *c)
            return false;
    }
    if (start == end || *start++ != '[')
        return false;
    json_skip_space(&start, end);
    while (end > start && (end[-1] == ' ' || end[-1] == '\n' || end[-1] == '\r' || end[-1] == '\t'))
        end--;
    ret->has_id = true;
    ret->id = m.id;
    *ret_payload = (struct json_span){start, (size_t)(end - start)};
    return start < end && *start == '{';
}

static const char *json_type_name(struct json_span value)
{
    switch (value.at[0]) {
    case '"':
        return "string";
    case '{':
        return "object";
    case '[':
        return "array";
    case 't':
    case 'f':
        return "bool";
    default:
        return "number";
    }
}

static const char *go_type_name(char type)
{
    return type == 'b' ? "bool" : type == 'u' ? "uint64" : "string";
}

static void check_type(unsigned index, char type, struct json_span value, struct jsonrpc_error *e)
{
    uint64_t number;
    const char first = value.at[0];
    bool ok = first == 'n'; /* null is the zero value */
    if (type == 's')
        ok = ok || first == '"';
    else if (type == 'b')
        ok = ok || first == 't' || first == 'f';
    else if (type == 'u')
        ok = ok || json_u64_decode(value, &number) == 0;
    else
        ok = true;
    if (ok)
        return;
    if (type == 'u' && (first == '-' || (first >= '0' && first <= '9')))
        jsonrpc_set_error(e, JSONRPC_INVALID_PARAMS,
                          "invalid argument %u: json: cannot unmarshal number %.*s into Go value of type uint64", index,
                          value.len > 64 ? 64 : (int)value.len, value.at);
    else
        jsonrpc_set_error(e, JSONRPC_INVALID_PARAMS,
                          "invalid argument %u: json: cannot unmarshal %s into Go value of type %s", index,
                          json_type_name(value), go_type_name(type));
}

void jsonrpc_check_args(const struct jsonrpc_message *msg, struct jsonrpc_args *ret, struct jsonrpc_error *ret_error)
{
    const char *types = msg->method->params;
    const unsigned want = (unsigned)strcspn(types, "?"), optional = types[want] == '?';
    const unsigned most = (unsigned)strlen(types) - optional;
    struct json_walk it;
    memset(ret, 0, sizeof *ret);
    ret_error->code = 0;
    if (msg->params.len > 0 && !span_is(msg->params, "null")) {
        if (json_walk_start(&it, msg->params.at, msg->params.at + msg->params.len) < 0 || it.is_object) {
            jsonrpc_set_error(ret_error, JSONRPC_INVALID_PARAMS, "non-array args");
            return;
        }
        while (json_next(&it) > 0) {
            if (ret->count == most) {
                jsonrpc_set_error(ret_error, JSONRPC_INVALID_PARAMS, "too many arguments, want at most %u", most);
                return;
            }
            check_type(ret->count, types[ret->count + (ret->count >= want ? optional : 0)], it.value, ret_error);
            if (ret_error->code != 0)
                return;
            ret->value[ret->count++] = it.value;
        }
    }
    if (ret->count < want)
        jsonrpc_set_error(ret_error, JSONRPC_INVALID_PARAMS, "missing value for required argument %u", ret->count);
}

int jsonrpc_parse_answer(const char *text, size_t len, struct json_span *ret_result, struct json_span *ret_error)
{
    struct json_walk it;
    const char *end = text + len;
    int rc;
    *ret_result = *ret_error = (struct json_span){NULL, 0};
    json_skip_space(&text, end);
    if (json_walk_start(&it, text, end) < 0 || !it.is_object)
        return OC_ESYNTAX;
    while ((rc = json_next(&it)) > 0) {
        if (span_is(it.key, "result"))
            *ret_result = it.value;
        else if (span_is(it.key, "error") && !span_is(it.value, "null"))
            *ret_error = it.value;
    }
    if (rc < 0 || (ret_result->len == 0 && (ret_error->len == 0 || ret_error->at[0] != '{')))
        return OC_ESYNTAX;
    return 0;
}
