/* The journal: one JSON line per event, with wall-clock milliseconds, each written by one write() to
 * a file opened for appending, so that a killed process leaves whole lines only. journal-check reads it.
 */
#ifndef OC_SIM_JOURNAL_H
#define OC_SIM_JOURNAL_H

#include "tests/sim/block.h"

struct journal {
    int fd;
    const char *node; /* borrowed */
};

/* Returns 0 or -errno. */
int journal_open(struct journal *j, const char *path, const char *node);

/* An event with a block (NULL: none) and, if extra is not NULL, more members in JSON without braces. */
void journal_write(struct journal *j, const char *event, const struct block_ref *block, const char *extra);
/* The same with one text member; the text is escaped and cut at 300 characters. */
void journal_write_text(struct journal *j, const char *event, const struct block_ref *block, const char *key,
                        const char *text);

#endif
