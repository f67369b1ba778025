/* Walking JSON in place (see json_scan.h). */
#include "rpcd/json_scan.h"

#include "shared/base/err.h"

#include <stdint.h>
#include <string.h>

void json_skip_space(const char **at, const char *end)
{
    const char *p = *at;
    while (p < end && (*p == ' ' || *p == '\n' || *p == '\r' || *p == '\t'))
        p++;
    *at = p;
}

static bool is_hex(char c)
{
    return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'f') || (c >= 'A' && c <= 'F');
}

/* No quote, backslash or control character among eight bytes. A body may be one string of many MiB, and
 * nobody else is served while it is walked through. */
static bool are_plain(const char *p)
{
    const uint64_t ones = UINT64_C(0x0101010101010101), tops = ones << 7;
    uint64_t v;
    memcpy(&v, p, sizeof v);
    const uint64_t quote = v ^ ones * '"', backslash = v ^ ones * '\\';
    return ((((quote - ones) & ~quote) | ((backslash - ones) & ~backslash) | ((v - ones * 0x20) & ~v)) & tops) == 0;
}

static int skip_string(const char **at, const char *end)
{
    const char *p = *at + 1;
    for (; p < end; p++) {
        while (end - p > 8 && are_plain(p))
            p += 8;
        const unsigned char c = (unsigned char)*p;
        if (c == '"') {
            *at = p + 1;
            return 0;
        }
        if (c < 0x20)
            return OC_ESYNTAX;
        if (c != '\\')
            continue;
        if (++p == end)
            return OC_ESYNTAX;
        if (*p == 'u') {
            if (end - p < 5 || !is_hex(p[1]) || !is_hex(p[2]) || !is_hex(p[3]) || !is_hex(p[4]))
                return OC_ESYNTAX;
            p += 4;
        } else if (*p == '\0' || strchr("\"\\/bfnrt", *p) == NULL) {
            return OC_ESYNTAX;
        }
    }
    return OC_ESYNTAX;
}

static size_t skip_digits(const char **at, const char *end)
{
    const char *start = *at;
    while (*at < end && **at >= '0' && **at <= '9')
        (*at)++;
    return (size_t)(*at - start);
}

static int skip_number(const char **at, const char *end)
{
    const char *p = *at;
    if (*p == '-')
        p++;
    const char *first = p;
    const size_t digits = skip_digits(&p, end);
    if (digits == 0 || (digits > 1 && *first == '0'))
        return OC_ESYNTAX;
    if (p < end && *p == '.') {
        p++;
        if (skip_digits(&p, end) == 0)
            return OC_ESYNTAX;
    }
    if (p < end && (*p == 'e' || *p == 'E')) {
        p++;
        if (p < end && (*p == '+' || *p == '-'))
            p++;
        if (skip_digits(&p, end) == 0)
            return OC_ESYNTAX;
    }
    *at = p;
    return 0;
}

static int skip_scalar(const char **at, const char *end)
{
    static const char *const words[] = {"true", "false", "null"};
    if (*at == end)
        return OC_ESYNTAX;
    if (**at == '"')
        return skip_string(at, end);
    if (**at == '-' || (**at >= '0' && **at <= '9'))
        return skip_number(at, end);
    for (size_t i = 0; i < sizeof words / sizeof words[0]; i++) {
        const size_t len = strlen(words[i]);
        if ((size_t)(end - *at) >= len && memcmp(*at, words[i], len) == 0) {
            *at += len;
            return 0;
        }
    }
    return OC_ESYNTAX;
}

/* After a value inside a bracket: a comma, or the bracket's end. */
enum after { AFTER_BAD, AFTER_COMMA, AFTER_END };

static enum after skip_after(const char **at, const char *end, bool is_object)
{
    json_skip_space(at, end);
    if (*at == end)
        return AFTER_BAD;
    const char c = *(*at)++;
    if (c == ',')
        return AFTER_COMMA;
    return c == (is_object ? '}' : ']') ? AFTER_END : AFTER_BAD;
}

static int skip_key(const char **at, const char *end)
{
    json_skip_space(at, end);
    if (*at == end || **at != '"' || skip_string(at, end) < 0)
        return OC_ESYNTAX;
    json_skip_space(at, end);
    if (*at == end || **at != ':')
        return OC_ESYNTAX;
    (*at)++;
    json_skip_space(at, end);
    return 0;
}

int json_skip_value(const char **at, const char *end, struct json_span *ret_span)
{
    uint8_t is_object[JSON_DEPTH_MAX];
    unsigned depth = 0;
    const char *const start = *at;
    for (;;) {
        if (*at == end)
            return OC_ESYNTAX;
        if (**at == '{' || **at == '[') {
            if (depth == JSON_DEPTH_MAX)
                return OC_ESYNTAX;
            is_object[depth++] = **at == '{';
            (*at)++;
            json_skip_space(at, end);
            if (*at < end && **at == (is_object[depth - 1] ? '}' : ']')) {
                (*at)++;
                depth--;
            } else {
                if (is_object[depth - 1] && skip_key(at, end) < 0)
                    return OC_ESYNTAX;
                continue;
            }
        } else if (skip_scalar(at, end) < 0) {
            return OC_ESYNTAX;
        }
        enum after after = AFTER_END;
        while (depth > 0 && (after = skip_after(at, end, is_object[depth - 1])) == AFTER_END)
            depth--;
        if (after == AFTER_BAD)
            return OC_ESYNTAX;
        if (depth == 0) {
            *ret_span = (struct json_span){start, (size_t)(*at - start)};
            return 0;
        }
        json_skip_space(at, end);
        if (is_object[depth - 1] && skip_key(at, end) < 0)
            return OC_ESYNTAX;
    }
}

int json_walk_start(struct json_walk *it, const char *at, const char *end)
{
    *it = (struct json_walk){.at = at, .end = end};
    if (at == end || (*at != '{' && *at != '['))
        return OC_ESYNTAX;
    it->is_object = *at == '{';
    it->at++;
    return 0;
}

int json_next(struct json_walk *it)
{
    json_skip_space(&it->at, it->end);
    if (!it->has_started) {
        it->has_started = true;
        if (it->at < it->end && *it->at == (it->is_object ? '}' : ']')) {
            it->at++;
            return 0;
        }
    } else {
        const enum after after = skip_after(&it->at, it->end, it->is_object);
        if (after != AFTER_COMMA)
            return after == AFTER_END ? 0 : OC_ESYNTAX;
        json_skip_space(&it->at, it->end);
    }
    if (it->is_object) {
        const char *key = it->at + 1;
        if (skip_key(&it->at, it->end) < 0)
            return OC_ESYNTAX;
        const char *quote = it->at;
        while (*--quote != '"')
            ;
        it->key = (struct json_span){key, (size_t)(quote - key)};
    }
    if (it->keys_only) {
        it->value = (struct json_span){it->at, 0};
        return 1;
    }
    return json_skip_value(&it->at, it->end, &it->value) < 0 ? OC_ESYNTAX : 1;
}

static unsigned hex4(const char *p)
{
    unsigned v = 0;
    for (int i = 0; i < 4; i++) {
        const char c = p[i];
        const int digit = c <= '9' ? c - '0' : (c | 0x20) - 'a' + 10;
        v = v << 4 | (unsigned)digit;
    }
    return v;
}

static size_t put_utf8(unsigned code, char *out)
{
    if (code < 0x80) {
        out[0] = (char)code;
        return 1;
    }
    if (code < 0x800) {
        out[0] = (char)(0xc0 | code >> 6);
        out[1] = (char)(0x80 | (code & 0x3f));
        return 2;
    }
    if (code < 0x10000) {
        out[0] = (char)(0xe0 | code >> 12);
        out[1] = (char)(0x80 | (code >> 6 & 0x3f));
        out[2] = (char)(0x80 | (code & 0x3f));
        return 3;
    }
    out[0] = (char)(0xf0 | code >> 18);
    out[1] = (char)(0x80 | (code >> 12 & 0x3f));
    out[2] = (char)(0x80 | (code >> 6 & 0x3f));
    out[3] = (char)(0x80 | (code & 0x3f));
    return 4;
}

/* The code of an escape \uXXXX, or of a pair of them; moves past it. */
static unsigned take_unicode(const char **at, const char *end)
{
    unsigned code = hex4(*at + 1);
    *at += 5;
    if (code >= 0xd800 && code < 0xdc00 && end - *at >= 6 && (*at)[0] == '\\' && (*at)[1] == 'u') {
        const unsigned low = hex4(*at + 2);
        if (low >= 0xdc00 && low < 0xe000) {
            *at += 6;
            return 0x10000 + ((code - 0xd800) << 10 | (low - 0xdc00));
        }
    }
    return code >= 0xd800 && code < 0xe000 ? 0xfffd : code;
}

#define UTF8_MAX_BYTES 4

int json_string_decode(struct json_span value, char *buf, size_t size)
{
    static const char escapes[] = "\"\"\\\\//b\bf\fn\nr\rt\t";
    if (value.len < 2 || value.at[0] != '"')
        return OC_ESYNTAX;
    size_t len = 0;
    const char *p = value.at + 1, *end = value.at + value.len - 1;
    while (p < end) {
        const bool is_unicode = *p == '\\' && p[1] == 'u';
        if (len + (is_unicode ? UTF8_MAX_BYTES : 1) >= size)
            return OC_ERANGE;
        if (*p != '\\') {
            buf[len++] = *p++;
            continue;
        }
        p++;
        if (*p == 'u') {
            const unsigned code = take_unicode(&p, end);
            if (code == 0)
                return OC_ESYNTAX;
            len += put_utf8(code, buf + len);
            continue;
        }
        for (size_t i = 0; escapes[i] != '\0'; i += 2)
            if (escapes[i] == *p)
                buf[len++] = escapes[i + 1];
        p++;
    }
    buf[len] = '\0';
    return (int)len;
}

int json_u64_decode(struct json_span value, uint64_t *ret)
{
    uint64_t v = 0;
    if (value.len == 0)
        return OC_ERANGE;
    for (size_t i = 0; i < value.len; i++) {
        if (value.at[i] < '0' || value.at[i] > '9')
            return OC_ERANGE;
        const uint64_t digit = (uint64_t)(value.at[i] - '0');
        if (v > (UINT64_MAX - digit) / 10)
            return OC_ERANGE;
        v = v * 10 + digit;
    }
    *ret = v;
    return 0;
}

/* The length of a valid UTF-8 sequence at p, or 0. */
static size_t utf8_len(const unsigned char *p)
{
    const size_t want = p[0] < 0x80 ? 1 : p[0] >= 0xf0 && p[0] <= 0xf4 ? 4 : p[0] >= 0xe0 ? 3 : p[0] >= 0xc2 ? 2 : 0;
    if (p[0] > 0xf4)
        return 0;
    for (size_t i = 1; i < want; i++)
        if ((p[i] & 0xc0) != 0x80)
            return 0;
    if ((p[0] == 0xe0 && p[1] < 0xa0) || (p[0] == 0xed && p[1] > 0x9f) || (p[0] == 0xf0 && p[1] < 0x90) ||
        (p[0] == 0xf4 && p[1] > 0x8f))
        return 0;
    return want;
}

size_t json_string_encode(const char *text, char *buf, size_t size)
{
    static const char digits[] = "0123456789abcdef";
    static const char control[] = {'\\', 'u', '0', '0'};
    static const unsigned char replacement[] = {0xef, 0xbf, 0xbd};
    size_t len = 0;
    buf[len++] = '"';
    for (const unsigned char *p = (const unsigned char *)text; *p != '\0' && len + 8 < size;) {
        const size_t n = utf8_len(p);
        if (*p == '"' || *p == '\\') {
            buf[len++] = '\\';
            buf[len++] = (char)*p++;
        } else if (*p == '\n') {
            buf[len++] = '\\';
            buf[len++] = 'n';
            p++;
        } else if (*p < 0x20) {
            memcpy(buf + len, control, sizeof control);
            buf[len + 4] = digits[*p >> 4];
            buf[len + 5] = digits[*p & 15];
            len += 6;
            p++;
        } else if (n == 0) {
            memcpy(buf + len, replacement, sizeof replacement);
            len += sizeof replacement;
            p++;
        } else {
            memcpy(buf + len, p, n);
            len += n;
            p += n;
        }
    }
    buf[len++] = '"';
    return len;
}
