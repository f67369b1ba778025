/* The frame of MSG_NODE_LOG_RESULT: lines one behind the other, each with its length, time and kind. */
#ifndef OC_PROTO_NODE_LOG_H
#define OC_PROTO_NODE_LOG_H

#include "shared/proto/bodies.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* What a line takes besides its text. */
#define NODE_LOG_LINE_HEAD_BYTES 16
/* The longest text that fits into a frame. */
#define NODE_LOG_LINE_MAX_BYTES (NODE_LOG_FRAME_BYTES - NODE_LOG_LINE_HEAD_BYTES)

struct node_log_line {
    uint64_t sequence;
    uint64_t wall_ms; /* when it was read */
    enum node_log_kind kind;
    const char *text; /* not terminated, any bytes, without a line end */
    size_t len;
};

/* Makes room for one more line of `len` bytes (kind and time as in `line`; its sequence is the next one) and
 * returns where its text goes, or NULL when it does not fit any more. */
char *node_log_add(struct msg_node_log_result *m, const struct node_log_line *line);

/* Walks a frame from `*offset` 0 on. Returns 1 with the next line (its text borrowed from m), 0 at the end, or
 * OC_EPROTO when the frame is not one that node_log_add made. `index` counts the lines from 0. */
int node_log_next(const struct msg_node_log_result *m, size_t *offset, uint32_t index, struct node_log_line *ret);

#endif
