/* Text into log lines: bounded appending, and quoting the way Go's log handlers quote. */
#include "shared/base/log_internal.h"

#include <stdio.h>
#include <string.h>

void log_put(struct log_buf *b, const char *text, size_t len)
{
    if (b->full || len > b->cap - b->len) {
        b->full = true;
        return;
    }
    memcpy(b->data + b->len, text, len);
    b->len += len;
}

void log_puts(struct log_buf *b, const char *text)
{
    log_put(b, text, strlen(text));
}

void log_pad(struct log_buf *b, size_t count)
{
    while (count-- > 0)
        log_put(b, " ", 1);
}

void log_put_u64(struct log_buf *b, uint64_t value)
{
    char digits[20];
    size_t at = sizeof digits;

    do {
        digits[--at] = (char)('0' + value % 10);
        value /= 10;
    } while (value > 0);
    log_put(b, digits + at, sizeof digits - at);
}

void log_put_u64_grouped(struct log_buf *b, uint64_t value)
{
    char digits[32];
    size_t at = sizeof digits, count = 0;

    if (value < 100000) {
        log_put_u64(b, value);
        return;
    }
    do {
        if (count > 0 && count % 3 == 0)
            digits[--at] = ',';
        digits[--at] = (char)('0' + value % 10);
        value /= 10;
        count++;
    } while (value > 0);
    log_put(b, digits + at, sizeof digits - at);
}

/* Decodes one character. Returns its length in bytes; an invalid byte has length 1 and code -1. */
static size_t decode_char(const char *text, size_t len, int32_t *ret_code)
{
    const unsigned char *p = (const unsigned char *)text;
    static const int32_t smallest[] = {0, 0, 0x80, 0x800, 0x10000};
    size_t need = p[0] < 0x80 ? 1 : p[0] >> 5 == 0x6 ? 2 : p[0] >> 4 == 0xe ? 3 : p[0] >> 3 == 0x1e ? 4 : 0;
    int32_t code;

    *ret_code = -1;
    if (need == 0 || need > len)
        return 1;
    if (need == 1) {
        *ret_code = p[0];
        return 1;
    }
    code = p[0] & (0x7f >> need);
    for (size_t i = 1; i < need; i++) {
        if (p[i] >> 6 != 2)
            return 1;
        code = code << 6 | (p[i] & 0x3f);
    }
    if (code < smallest[need] || code > 0x10ffff || (code >= 0xd800 && code <= 0xdfff))
        return 1;
    *ret_code = code;
    return need;
}

size_t log_count_chars(const char *text, size_t len)
{
    size_t count = 0;

    for (size_t i = 0; i < len; count++) {
        int32_t code;
        i += decode_char(text + i, len - i, &code);
    }
    return count;
}

/* Beyond ASCII: controls, spaces of all kinds, invisible marks and private-use characters. */
static bool is_printable(int32_t code)
{
    if (code < 0x80)
        return code >= 0x20 && code < 0x7f;
    return !((code <= 0xa0) || code == 0xad || code == 0x1680 || (code >= 0x2000 && code <= 0x200f) ||
             (code >= 0x2028 && code <= 0x202f) || (code >= 0x205f && code <= 0x206f) || code == 0x3000 ||
             (code >= 0xe000 && code <= 0xf8ff) || code == 0xfeff || (code >= 0xfff0 && code <= 0xfffb) ||
             (code & 0xfffe) == 0xfffe || code >= 0xe0000);
}

/* Go's strconv.Quote. */
static void put_quoted(struct log_buf *b, const char *text, size_t len)
{
    static const char shorts[] = "abtnvfr"; /* for 7 to 13 */
    char escape[16];

    log_put(b, "\"", 1);
    for (size_t i = 0; i < len;) {
        int32_t code;
        size_t n = decode_char(text + i, len - i, &code);

        if (code == '"' || code == '\\') {
            log_put(b, "\\", 1);
            log_put(b, text + i, 1);
        } else if (code >= 7 && code <= 13) {
            log_put(b, "\\", 1);
            log_put(b, &shorts[code - 7], 1);
        } else if (code < 0x20 || code == 0x7f) {
            (void)snprintf(escape, sizeof escape, "\\x%02x", (unsigned char)text[i]);
            log_puts(b, escape);
        } else if (!is_printable(code)) {
            (void)snprintf(escape, sizeof escape, code < 0x10000 ? "\\u%04x" : "\\U%08x", (unsigned)code);
            log_puts(b, escape);
        } else {
            log_put(b, text + i, n);
        }
        i += n;
    }
    log_put(b, "\"", 1);
}

void log_put_logfmt(struct log_buf *b, const char *text, size_t len)
{
    bool quote = len == 0;

    for (size_t i = 0; i < len && !quote;) {
        int32_t code;
        size_t n = decode_char(text + i, len - i, &code);
        quote = code < 0x20 || code == ' ' || code == '=' || code == '"' ||
                (code >= 0x80 && (code == 0xfffd || !is_printable(code)));
        i += n;
    }
    if (quote)
        put_quoted(b, text, len);
    else
        log_put(b, text, len);
}

void log_put_terminal(struct log_buf *b, const char *text, size_t len)
{
    bool escape = false, quote = false;

    for (size_t i = 0; i < len && !escape; i++) {
        unsigned char c = (unsigned char)text[i];
        if (c == ' ' || c == '=')
            quote = true;
        else
            escape = c <= '"' || c > '~';
    }
    if (escape) {
        put_quoted(b, text, len);
        return;
    }
    if (quote)
        log_put(b, "\"", 1);
    log_put(b, text, len);
    if (quote)
        log_put(b, "\"", 1);
}

void log_put_terminal_msg(struct log_buf *b, const char *text, size_t len)
{
    for (size_t i = 0; i < len; i++) {
        unsigned char c = (unsigned char)text[i];
        /* Stricter than upstream, which lets line breaks through: one event stays one line. */
        if (c < ' ' || c > '~' || c == '=') {
            put_quoted(b, text, len);
            return;
        }
    }
    log_put(b, text, len);
}

void log_put_json(struct log_buf *b, const char *text, size_t len)
{
    char escape[8];

    log_put(b, "\"", 1);
    for (size_t i = 0; i < len;) {
        int32_t code;
        size_t n = decode_char(text + i, len - i, &code);

        if (code < 0) {
            log_puts(b, "\\ufffd");
        } else if (code == '"' || code == '\\') {
            log_put(b, "\\", 1);
            log_put(b, text + i, 1);
        } else if (code == '\n' || code == '\r' || code == '\t') {
            log_puts(b, code == '\n' ? "\\n" : code == '\r' ? "\\r" : "\\t");
        } else if (code < 0x20 || code == 0x2028 || code == 0x2029) {
            (void)snprintf(escape, sizeof escape, "\\u%04x", (unsigned)code & 0xffff);
            log_puts(b, escape);
        } else {
            log_put(b, text + i, n);
        }
        i += n;
    }
    log_put(b, "\"", 1);
}
