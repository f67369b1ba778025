/* A growing text, written piece by piece with printf formats. */
#ifndef OC_RPCD_TEXT_H
#define OC_RPCD_TEXT_H

#include <stdbool.h>
#include <stddef.h>

/* Starts zeroed. After a failure (out of memory, or one piece above TEXT_PIECE_MAX_BYTES) everything
 * is ignored and text_finish returns NULL. */
struct text {
    char *at;
    size_t len, size;
    bool failed;
};
#define TEXT_PIECE_MAX_BYTES 2048

__attribute__((format(printf, 2, 3))) void text_put(struct text *t, const char *fmt, ...);
/* Bytes as they are, of any length. */
void text_add(struct text *t, const char *at, size_t len);
/* A text for HTML, in element content and in quoted attributes. */
void text_add_html(struct text *t, const char *text);
/* The malloc'd text, for the caller to free; NULL after a failure. */
char *text_finish(struct text *t, size_t *ret_len);

#endif
