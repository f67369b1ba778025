/* The output of a child: a pipe, read without blocking and forwarded as whole lines. It is always
 * read, whatever becomes of the lines: a child must never wait for its log. */
#ifndef OC_SUPERVISOR_LOGPIPE_H
#define OC_SUPERVISOR_LOGPIPE_H

#include "supervisor/childline.h"
#include "supervisor/nodelog.h"

#include <stdbool.h>
#include <stddef.h>

/* A longer line is forwarded in pieces. */
#define LOGPIPE_LINE_MAX_BYTES CHILDLINE_MAX_BYTES
#define LOGPIPE_LAST_BYTES 1024
/* The newest lines, for the record of an exit. */
#define LOGPIPE_TAIL_BYTES 310
#define LOGPIPE_TAIL_LINE_BYTES 200
#define LOGPIPE_HEADLINE_BYTES 200

struct logpipe {
    int fd; /* read end; -1 when closed */
    struct logout *out;
    const struct childline_style *style;
    struct nodelog *kept; /* keeps every line, too; NULL: nobody does */
    size_t used;
    char buf[LOGPIPE_LINE_MAX_BYTES];
    char last[LOGPIPE_LAST_BYTES]; /* the newest non-empty line, for the report of an exit; "" at first */
    size_t tail_len;
    char tail[LOGPIPE_TAIL_BYTES];         /* the newest lines, each cut, with their newlines */
    char headline[LOGPIPE_HEADLINE_BYTES]; /* the newest that tells of a crash; "": none */
};

/* Makes the pipe. Lines go to `out` in this style and, as they are, to `kept` (may be NULL), all borrowed.
 * *ret_write_fd is the child's end (blocking), which the caller closes after the spawn. Returns 0 or -errno. */
int logpipe_open(struct logpipe *p, struct logout *out, const struct childline_style *style, struct nodelog *kept,
                 int *ret_write_fd);

/* Reads at most `budget_bytes`. Returns false at end of file or on an error: then remove and close it. */
bool logpipe_read(struct logpipe *p, size_t budget_bytes);

/* The last words of a process, one line each: the headline of a crash (a Go panic is followed by pages of
 * goroutines), then its last lines. "" when it said nothing. */
void logpipe_last_words(const struct logpipe *p, char *ret, size_t size);

/* Reads what is there (bounded), forwards an unfinished last line, closes. Safe on a closed one. */
void logpipe_close(struct logpipe *p);

#endif
