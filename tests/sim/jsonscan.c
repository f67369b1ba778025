/* A scanner that skips values by brackets and quotes. */
#include "tests/sim/jsonscan.h"

#include "shared/base/err.h"

#include <string.h>

static const char *skip_space(const char *p, const char *end)
{
    while (p < end && (*p == ' ' || *p == '\t' || *p == '\n' || *p == '\r'))
        p++;
    return p;
}

/* p is behind the opening quote; returns behind the closing one, or NULL. */
static const char *skip_string(const char *p, const char *end)
{
    for (;;) {
        const char *quote = memchr(p, '"', (size_t)(end - p));
        if (!quote)
            return NULL;
        size_t backslashes = 0;
        while (quote - backslashes > p && quote[-1 - (ptrdiff_t)backslashes] == '\\')
            backslashes++;
        if (backslashes % 2 == 0)
            return quote + 1;
        p = quote + 1;
    }
}

static const char *skip_value(const char *p, const char *end)
{
    size_t depth = 0;
    while (p < end) {
        char c = *p++;
        if (c == '"') {
            p = skip_string(p, end);
            if (!p)
                return NULL;
        } else if (c == '{' || c == '[') {
            depth++;
            continue;
        } else if (c == '}' || c == ']') {
            if (depth == 0)
                return NULL;
            depth--;
        } else if (depth == 0) {
            while (p < end && !strchr(",]} \t\r\n", *p))
                p++;
            return p;
        } else {
            continue;
        }
        if (depth == 0)
            return p;
    }
    return NULL;
}

int json_member(struct json_span object, const char *name, struct json_span *ret)
{
    *ret = (struct json_span){NULL, 0};
    const char *end = object.at + object.len;
    const char *p = skip_space(object.at, end);
    if (p == end || *p++ != '{')
        return OC_ESYNTAX;
    p = skip_space(p, end);
    if (p < end && *p == '}')
        return 0;
    for (;;) {
        if (p == end || *p++ != '"')
            return OC_ESYNTAX;
        const char *key = p;
        p = skip_string(p, end);
        if (!p)
            return OC_ESYNTAX;
        struct json_span key_span = {key, (size_t)(p - key) - 1};
        p = skip_space(p, end);
        if (p == end || *p++ != ':')
            return OC_ESYNTAX;
        const char *value = skip_space(p, end);
        p = skip_value(value, end);
        if (!p)
            return OC_ESYNTAX;
        if (json_span_is(key_span, name)) {
            *ret = (struct json_span){value, (size_t)(p - value)};
            return 0;
        }
        p = skip_space(p, end);
        if (p < end && *p == '}')
            return 0;
        if (p == end || *p++ != ',')
            return OC_ESYNTAX;
        p = skip_space(p, end);
    }
}

int json_item(struct json_span array, size_t i, struct json_span *ret)
{
    *ret = (struct json_span){NULL, 0};
    const char *end = array.at + array.len;
    const char *p = skip_space(array.at, end);
    if (p == end || *p++ != '[')
        return OC_ESYNTAX;
    p = skip_space(p, end);
    if (p < end && *p == ']')
        return 0;
    for (;; i--) {
        const char *value = skip_space(p, end);
        p = skip_value(value, end);
        if (!p)
            return OC_ESYNTAX;
        if (i == 0) {
            *ret = (struct json_span){value, (size_t)(p - value)};
            return 0;
        }
        p = skip_space(p, end);
        if (p < end && *p == ']')
            return 0;
        if (p == end || *p++ != ',')
            return OC_ESYNTAX;
    }
}

bool json_span_is(struct json_span span, const char *text)
{
    return span.at && span.len == strlen(text) && memcmp(span.at, text, span.len) == 0;
}

bool json_span_is_string(struct json_span span, const char *text)
{
    return span.at && span.len == strlen(text) + 2 && span.at[0] == '"' && memcmp(span.at + 1, text, span.len - 2) == 0;
}
