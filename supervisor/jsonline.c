/* A validator of JSON objects in one pass, with a nesting limit and no memory of its own. */
#include "supervisor/jsonline.h"

#include <stdbool.h>
#include <stdint.h>
#include <string.h>

struct scan {
    const char *at, *end;
};

static bool is_at(const struct scan *s, char c)
{
    return s->at < s->end && *s->at == c;
}

static bool take(struct scan *s, char c)
{
    if (!is_at(s, c))
        return false;
    s->at++;
    return true;
}

static void skip_space(struct scan *s)
{
    while (s->at < s->end && (*s->at == ' ' || *s->at == '\t' || *s->at == '\r' || *s->at == '\n'))
        s->at++;
}

static bool take_digits(struct scan *s)
{
    const char *from = s->at;

    while (s->at < s->end && *s->at >= '0' && *s->at <= '9')
        s->at++;
    return s->at > from;
}

static bool take_number(struct scan *s)
{
    (void)take(s, '-');
    if (!take(s, '0') && !take_digits(s))
        return false;
    if (take(s, '.') && !take_digits(s))
        return false;
    if (is_at(s, 'e') || is_at(s, 'E')) {
        s->at++;
        if (!take(s, '+'))
            (void)take(s, '-');
        return take_digits(s);
    }
    return true;
}

static bool take_word(struct scan *s, const char *word)
{
    size_t len = strlen(word);

    if ((size_t)(s->end - s->at) < len || memcmp(s->at, word, len) != 0)
        return false;
    s->at += len;
    return true;
}

/* One character of more than one byte; no surrogates, no overlong forms. */
static bool take_wide(struct scan *s)
{
    unsigned char lead = (unsigned char)*s->at, second;
    size_t len = lead >= 0xc2 && lead <= 0xdf ? 2 : lead >> 4 == 0xe ? 3 : lead >= 0xf0 && lead <= 0xf4 ? 4 : 0;

    if (len == 0 || (size_t)(s->end - s->at) < len)
        return false;
    for (size_t i = 1; i < len; i++)
        if ((unsigned char)s->at[i] >> 6 != 2)
            return false;
    second = (unsigned char)s->at[1];
    if ((lead == 0xe0 && second < 0xa0) || (lead == 0xed && second > 0x9f) || (lead == 0xf0 && second < 0x90) ||
        (lead == 0xf4 && second > 0x8f))
        return false;
    s->at += len;
    return true;
}

static bool take_escape(struct scan *s)
{
    if (s->at == s->end)
        return false;
    if (*s->at != 'u') {
        bool known = *s->at != '\0' && strchr("\"\\/bfnrt", *s->at) != NULL;
        s->at++;
        return known;
    }
    s->at++;
    for (int i = 0; i < 4; i++, s->at++) {
        if (s->at == s->end || *s->at == '\0' || strchr("0123456789abcdefABCDEF", *s->at) == NULL)
            return false;
    }
    return true;
}

static bool take_string(struct scan *s)
{
    if (!take(s, '"'))
        return false;
    while (s->at < s->end) {
        unsigned char c = (unsigned char)*s->at;

        if (c == '"') {
            s->at++;
            return true;
        }
        if (c < 0x20)
            return false;
        if (c >= 0x80) {
            if (!take_wide(s))
                return false;
            continue;
        }
        s->at++;
        if (c == '\\' && !take_escape(s))
            return false;
    }
    return false;
}

static bool take_scalar(struct scan *s)
{
    if (s->at == s->end)
        return false;
    switch (*s->at) {
    case '"':
        return take_string(s);
    case 't':
        return take_word(s, "true");
    case 'f':
        return take_word(s, "false");
    case 'n':
        return take_word(s, "null");
    default:
        return take_number(s);
    }
}

/* A member's name and its colon. */
static bool take_name(struct scan *s, bool *ret_is_role)
{
    const char *from;

    skip_space(s);
    from = s->at;
    if (!take_string(s))
        return false;
    *ret_is_role = s->at - from == 6 && memcmp(from, "\"role\"", 6) == 0;
    skip_space(s);
    return take(s, ':');
}

enum jsonline jsonline_classify(const char *text, size_t len)
{
    struct scan s = {text, text + len};
    char closers[JSONLINE_DEPTH_MAX];
    unsigned depth = 0;
    bool named = false, empty = true, is_role;

    skip_space(&s);
    if (!is_at(&s, '{'))
        return JSONLINE_NO;
    do {
        bool opened = false;

        /* A value begins here. */
        skip_space(&s);
        if (is_at(&s, '{') || is_at(&s, '[')) {
            if (depth == JSONLINE_DEPTH_MAX)
                return JSONLINE_NO;
            closers[depth++] = *s.at++ == '{' ? '}' : ']';
            opened = true;
        } else if (!take_scalar(&s)) {
            return JSONLINE_NO;
        }
        /* What may follow it: the ends of what it closes, then a comma with the next one. */
        for (;;) {
            skip_space(&s);
            if (depth == 0 || !is_at(&s, closers[depth - 1]))
                break;
            s.at++;
            depth--;
            opened = false;
        }
        if (depth == 0)
            break;
        if (!opened && !take(&s, ','))
            return JSONLINE_NO;
        if (closers[depth - 1] == '}') {
            if (!take_name(&s, &is_role))
                return JSONLINE_NO;
            named = named || (is_role && depth == 1);
            empty = false;
        }
    } while (s.at < s.end);
    if (depth > 0 || s.at != s.end)
        return JSONLINE_NO;
    return empty ? JSONLINE_EMPTY : named ? JSONLINE_NAMED : JSONLINE_ANONYMOUS;
}
