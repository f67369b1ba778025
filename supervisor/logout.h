/* The supervisor's standard output: a bounded buffer of whole lines. A reader that is slow or gone
 * costs log lines, which are counted, and never time. */
#ifndef OC_SUPERVISOR_LOGOUT_H
#define OC_SUPERVISOR_LOGOUT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define LOGOUT_BUFFER_BYTES ((size_t)1 << 20)

struct logout;

/* Writes to `fd` (borrowed), whose flags are left alone: it may be shared with other processes.
 * NULL when out of memory. */
struct logout *logout_new(int fd, size_t buffer_bytes);
void logout_free(struct logout *o); /* accepts NULL */

/* Appends a line (with its newline), or drops and counts it when it does not fit. */
void logout_write(struct logout *o, const char *line, size_t len);
/* The same as a sink of the log (ctx: struct logout *). */
void logout_sink(void *ctx, const char *line, size_t len);
/* Appends text before, line and text after as one line. */
void logout_write_pieces(struct logout *o, const char *before, const char *line, size_t len, const char *after);

/* Writes what the fd takes without blocking. Returns true while something is left. */
bool logout_flush(struct logout *o);
/* For the end: flushes until all is out or `timeout_ms` has passed. */
void logout_finish(struct logout *o, int timeout_ms);

uint64_t logout_dropped_count(const struct logout *o); /* lines */
size_t logout_queued_bytes(const struct logout *o);
bool logout_is_empty(const struct logout *o);
/* The last write failed because its file system is full: trying again at once is in vain. */
bool logout_is_out_of_space(const struct logout *o);

#endif
