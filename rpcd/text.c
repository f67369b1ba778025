/* A growing text (see text.h). */
#include "rpcd/text.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Makes room for `len` bytes. Returns whether there is any use in going on. */
static bool reserve(struct text *t, size_t len)
{
    if (t->failed || t->size - t->len >= len)
        return !t->failed;
    size_t size = t->size == 0 ? (size_t)4 * TEXT_PIECE_MAX_BYTES : t->size * 2;
    while (size - t->len < len)
        size *= 2;
    char *at = realloc(t->at, size);
    if (at == NULL) {
        t->failed = true;
        return false;
    }
    t->at = at;
    t->size = size;
    return true;
}

void text_add(struct text *t, const char *at, size_t len)
{
    if (len == 0 || !reserve(t, len))
        return;
    memcpy(t->at + t->len, at, len);
    t->len += len;
}

void text_add_html(struct text *t, const char *text)
{
    while (*text != '\0') {
        const size_t plain = strcspn(text, "<>&\"'");
        text_add(t, text, plain);
        text += plain;
        if (*text == '\0')
            break;
        text_put(t, "&#%d;", *text++);
    }
}

void text_put(struct text *t, const char *fmt, ...)
{
    va_list args;
    if (!reserve(t, TEXT_PIECE_MAX_BYTES))
        return;
    va_start(args, fmt);
    const int n = vsnprintf(t->at + t->len, t->size - t->len, fmt, args);
    va_end(args);
    if (n < 0 || (size_t)n >= t->size - t->len)
        t->failed = true;
    else
        t->len += (size_t)n;
}

char *text_finish(struct text *t, size_t *ret_len)
{
    if (t->failed) {
        free(t->at);
        return NULL;
    }
    *ret_len = t->len;
    return t->at;
}
