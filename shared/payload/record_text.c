/* The JSON scanner. */
#include "shared/payload/record_text.h"

#include <stdint.h>
#include <string.h>

static bool is_digit(char ch)
{
    return ch >= '0' && ch <= '9';
}

static bool is_hex(char ch)
{
    return is_digit(ch) || (ch >= 'a' && ch <= 'f') || (ch >= 'A' && ch <= 'F');
}

void text_skip_space(struct text_cursor *c)
{
    while (c->p < c->end && (*c->p == ' ' || *c->p == '\t' || *c->p == '\n' || *c->p == '\r'))
        c->p++;
}

bool text_take(struct text_cursor *c, char ch)
{
    text_skip_space(c);
    if (c->p == c->end || *c->p != ch)
        return false;
    c->p++;
    return true;
}

/* One UTF-8 sequence of two to four bytes, without overlong forms and surrogates. */
static bool take_utf8(struct text_cursor *c)
{
    const uint8_t *s = (const uint8_t *)c->p;
    size_t left = (size_t)(c->end - c->p);
    uint8_t low = 0x80, high = 0xbf;
    size_t n;
    if (s[0] >= 0xc2 && s[0] <= 0xdf) {
        n = 2;
    } else if (s[0] >= 0xe0 && s[0] <= 0xef) {
        n = 3;
        low = s[0] == 0xe0 ? 0xa0 : 0x80;
        high = s[0] == 0xed ? 0x9f : 0xbf;
    } else if (s[0] >= 0xf0 && s[0] <= 0xf4) {
        n = 4;
        low = s[0] == 0xf0 ? 0x90 : 0x80;
        high = s[0] == 0xf4 ? 0x8f : 0xbf;
    } else {
        return false;
    }
    if (left < n || s[1] < low || s[1] > high)
        return false;
    for (size_t i = 2; i < n; i++)
        if ((s[i] & 0xc0) != 0x80)
            return false;
    c->p += n;
    return true;
}

static bool take_escape(struct text_cursor *c)
{
    if (c->end - c->p < 2)
        return false;
    char kind = c->p[1];
    c->p += 2;
    if (kind != 'u')
        return kind != '\0' && strchr("\"\\/bfnrt", kind) != NULL;
    if (c->end - c->p < 4)
        return false;
    for (int i = 0; i < 4; i++)
        if (!is_hex(c->p[i]))
            return false;
    c->p += 4;
    return true;
}

bool text_take_string(struct text_cursor *c, struct text_span *ret_span)
{
    if (!text_take(c, '"'))
        return false;
    const char *start = c->p;
    while (c->p < c->end) {
        unsigned char ch = (unsigned char)*c->p;
        if (ch == '"') {
            if (ret_span != NULL)
                *ret_span = (struct text_span){start, (size_t)(c->p - start)};
            c->p++;
            return true;
        }
        if (ch == '\\') {
            if (!take_escape(c))
                return false;
        } else if (ch >= 0x80) {
            if (!take_utf8(c))
                return false;
        } else if (ch < 0x20) {
            return false;
        } else {
            c->p++;
        }
    }
    return false;
}

bool text_take_hex_string(struct text_cursor *c, struct text_span *ret_span)
{
    if (!text_take(c, '"'))
        return false;
    const char *start = c->p;
    const char *quote = memchr(start, '"', (size_t)(c->end - start));
    if (quote == NULL)
        return false;
    *ret_span = (struct text_span){start, (size_t)(quote - start)};
    c->p = quote + 1;
    return true;
}

static bool take_digits(struct text_cursor *c)
{
    const char *start = c->p;
    while (c->p < c->end && is_digit(*c->p))
        c->p++;
    return c->p > start;
}

static bool take_number(struct text_cursor *c)
{
    if (*c->p == '-')
        c->p++;
    if (c->p < c->end && *c->p == '0')
        c->p++;
    else if (!take_digits(c))
        return false;
    if (c->p < c->end && *c->p == '.') {
        c->p++;
        if (!take_digits(c))
            return false;
    }
    if (c->p < c->end && (*c->p == 'e' || *c->p == 'E')) {
        c->p++;
        if (c->p < c->end && (*c->p == '+' || *c->p == '-'))
            c->p++;
        if (!take_digits(c))
            return false;
    }
    return true;
}

static bool take_word(struct text_cursor *c, const char *word)
{
    size_t len = strlen(word);
    if ((size_t)(c->end - c->p) < len || memcmp(c->p, word, len) != 0)
        return false;
    c->p += len;
    return true;
}

static bool take_scalar(struct text_cursor *c)
{
    switch (*c->p) {
    case '"':
        return text_take_string(c, NULL);
    case 't':
        return take_word(c, "true");
    case 'f':
        return take_word(c, "false");
    case 'n':
        return take_word(c, "null");
    default:
        return take_number(c);
    }
}

bool text_take_value(struct text_cursor *c, struct text_span *ret_span)
{
    char closers[TEXT_DEPTH_MAX]; /* of the open objects and arrays */
    size_t depth = 0;
    text_skip_space(c);
    const char *start = c->p;
    for (;;) {
        /* A value starts here. */
        text_skip_space(c);
        if (c->p == c->end)
            return false;
        bool complete = true;
        if (*c->p == '{' || *c->p == '[') {
            char closer = *c->p == '{' ? '}' : ']';
            c->p++;
            if (!text_take(c, closer)) {
                if (depth == TEXT_DEPTH_MAX)
                    return false;
                closers[depth++] = closer;
                if (closer == '}' && (!text_take_string(c, NULL) || !text_take(c, ':')))
                    return false;
                complete = false;
            }
        } else if (!take_scalar(c)) {
            return false;
        }
        /* After a complete value: close what ends here, or go on to the next element. */
        while (complete) {
            if (depth == 0) {
                if (ret_span != NULL)
                    *ret_span = (struct text_span){start, (size_t)(c->p - start)};
                return true;
            }
            if (text_take(c, closers[depth - 1])) {
                depth--;
                continue;
            }
            if (!text_take(c, ','))
                return false;
            if (closers[depth - 1] == '}' && (!text_take_string(c, NULL) || !text_take(c, ':')))
                return false;
            break;
        }
    }
}

bool text_is_member_list(const char *text, size_t len)
{
    if (len == 0)
        return true;
    struct text_cursor c = {text, text + len};
    do {
        if (!text_take_string(&c, NULL) || !text_take(&c, ':') || !text_take_value(&c, NULL))
            return false;
    } while (text_take(&c, ','));
    return c.p == c.end;
}
