/* Between log_format.c and log_text.c: a bounded line buffer and the ways to write text into it. */
#ifndef OC_BASE_LOG_INTERNAL_H
#define OC_BASE_LOG_INTERNAL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Once something does not fit, `full` is set and everything after is ignored. */
struct log_buf {
    char *data;
    size_t cap;
    size_t len;
    bool full;
};

void log_put(struct log_buf *b, const char *text, size_t len);
void log_puts(struct log_buf *b, const char *text);
void log_pad(struct log_buf *b, size_t count);
void log_put_u64(struct log_buf *b, uint64_t value);
/* With a comma between thousands from 100,000 on. */
void log_put_u64_grouped(struct log_buf *b, uint64_t value);

/* Each writes `len` bytes of text as Go's handlers do: */
/* quoted when logfmt needs it */
void log_put_logfmt(struct log_buf *b, const char *text, size_t len);
/* quoted when the terminal format needs it */
void log_put_terminal(struct log_buf *b, const char *text, size_t len);
/* a message of the terminal format: spaces need no quotes */
void log_put_terminal_msg(struct log_buf *b, const char *text, size_t len);
/* a JSON string with its quotes */
void log_put_json(struct log_buf *b, const char *text, size_t len);

/* Characters (not bytes) in a piece of UTF-8. */
size_t log_count_chars(const char *text, size_t len);

#endif
