/* A growing text (see text.h). */
#include "rpcd/text.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

void text_put(struct text *t, const char *fmt, ...)
{
    va_list args;
    if (t->failed)
        return;
    if (t->size - t->len < TEXT_PIECE_MAX_BYTES) {
        const size_t size = t->size == 0 ? (size_t)4 * TEXT_PIECE_MAX_BYTES : t->size * 2;
        char *at = realloc(t->at, size);
        if (at == NULL) {
            t->failed = true;
            return;
        }
        t->at = at;
        t->size = size;
    }
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
