/* What op-node said last, kept in memory: its lines, and between them when its processes began and how they
 * ended. So the last words of a process that died are still there while the next one talks. Bounded in bytes
 * and in lines; the oldest go. Nothing is read out of a line. */
#ifndef OC_SUPERVISOR_NODELOG_H
#define OC_SUPERVISOR_NODELOG_H

#include "shared/proto/bodies.h"

#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#define NODELOG_TEXT_BYTES ((size_t)256 << 10)
#define NODELOG_LINES 4096
/* A longer line is cut; it comes in pieces of CHILDLINE_MAX_BYTES anyway. */
#define NODELOG_LINE_MAX_BYTES 8192

struct nodelog;

/* `instance` tells this run of the supervisor from others: sequences begin with 1 in each. NULL when out of memory. */
struct nodelog *nodelog_new(uint64_t instance);
void nodelog_free(struct nodelog *l); /* accepts NULL */

/* One line of output; line ends behind it are left out. Accepts NULL as l, like the next two. */
void nodelog_add_line(struct nodelog *l, uint64_t wall_ms, const char *text, size_t len);
/* A process was started; pid 0: it could not be. */
void nodelog_add_start(struct nodelog *l, uint64_t wall_ms, pid_t pid);
/* The process of the newest start ended; `how` as runtime_describe_end says it. */
void nodelog_add_end(struct nodelog *l, uint64_t wall_ms, const char *how);

/* Fills one answer: the oldest lines that are wanted, as many as fit. A cursor (`after`) older than the oldest line
 * gets the oldest; one of the future gets none. */
void nodelog_answer(const struct nodelog *l, const struct msg_node_log *ask, struct msg_node_log_result *ret);

#endif
