/* An example of every kind of frame: its bytes, its way through a receiver, and what must come out. */
#ifndef OC_TESTS_FRAME_EXAMPLES_H
#define OC_TESTS_FRAME_EXAMPLES_H

#include "consensus/frame.h"

#include <stddef.h>
#include <stdint.h>

#define BYTES_MAX (2u << 20)

struct bytes {
    size_t len;
    uint8_t data[BYTES_MAX];
};

enum example {
    EX_REQUEST_VOTE,
    EX_VOTE_RESULT,
    EX_HEARTBEAT,
    EX_APPEND,
    EX_APPEND_EMPTY,
    EX_APPEND_RESULT,
    EX_TIMEOUT_NOW,
    EX_SNAPSHOT,
    EX_SNAPSHOT_EMPTY,
    EX_HELLO,
    EX_REFUSE,
    EX_RECORD,
    EX_PROGRESS,
    EX_COUNT
};

/* Puts the frame behind what is there. */
void frame_add(struct bytes *b, const struct frame_out *out);
/* Feeds all bytes in pieces of at most `step`; stops at the first frame or error. *ret_used (may be NULL) is how many
 * bytes that took. */
int frame_feed(struct frame_receiver *r, const uint8_t *data, size_t len, size_t step, struct frame *ret,
               size_t *ret_used);
/* The same with a receiver of its own; a frame must take all bytes. */
int frame_decode_one(const struct bytes *b, size_t step, struct frame *ret);
/* Replaces what is in b. */
void frame_encode(enum example which, struct bytes *b);
/* Fails the test unless f is that example. */
void frame_check_same(enum example which, struct frame *f);
/* A small part, then the rest of len bytes. The caller's. */
struct snapshot *frame_make_snapshot(size_t len);

#endif
