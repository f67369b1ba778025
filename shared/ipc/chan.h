/* A channel between two of our processes: messages of the catalogue (proto/messages.def) over a
 * non-blocking SOCK_SEQPACKET socket. It owns no event loop: the owner polls chan_fd() for
 * chan_want() and calls chan_step(). Not thread-safe.
 *
 * A message that is not in the catalogue, has not exactly the catalogue's size, comes from a side
 * or in a phase that may not send it, or carries an fd it should not (or lacks one it should)
 * ends the channel: chan_step returns OC_EPROTO, after which only chan_close is legal.
 */
#ifndef OC_IPC_CHAN_H
#define OC_IPC_CHAN_H

#include "shared/proto/proto.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct chan;

/* One received message. `body` is aligned for any body struct and borrowed for the call.
 * `fd` is -1 or an fd that the handler owns: it must take it (set to -1) or chan closes it. */
struct chan_msg {
    enum msg_type type;
    uint32_t incarnation; /* of the sender */
    uint64_t request_id;  /* 0 for events; a reply repeats the request's */
    const void *body;
    size_t body_len;
    int fd;
};

/* Returns 0 (or more), or a negative code that ends the channel with that code. It may send on the
 * channel and set its phase, but must not close it: the caller of chan_step does that. */
typedef int (*chan_handler_fn)(void *ctx, struct chan_msg *msg);

/* Takes the fd (also on failure). Messages sent carry `self_incarnation`. At most `queue_cap_bytes`
 * are queued when the socket is full; a queued fd counts as CHAN_QUEUED_FD_BYTES.
 * Returns a new channel or NULL (out of memory). */
#define CHAN_QUEUED_FD_BYTES 4096
struct chan *chan_open(int fd, enum proc_role self, uint32_t self_incarnation, enum proc_role peer,
                       size_t queue_cap_bytes);
/* Closes the fd and all queued fds; accepts NULL. */
void chan_close(struct chan *c);

int chan_fd(const struct chan *c);
enum proc_role chan_peer(const struct chan *c);
/* POLLIN, and POLLOUT while something is queued. */
short chan_want(const struct chan *c);
/* The phase decides which messages are legal; a new channel starts in PHASE_HANDSHAKE, except a
 * worker-to-worker one, which starts in PHASE_RUNNING. */
void chan_set_phase(struct chan *c, enum msg_phase phase);

/* Sends or queues one message. The body is copied; `fd` (-1: none) is duplicated, the caller keeps
 * its own. Returns 0, OC_EFULL (queue cap: the peer does not read), OC_EPROTO (not legal to send
 * from here: a bug) or OC_ECLOSED. */
int chan_send(struct chan *c, enum msg_type type, uint64_t request_id, const void *body, int fd);

/* A request id that this side never used on this channel before; not 0. */
uint64_t chan_next_request_id(struct chan *c);

/* Writes what is queued and reads at most CHAN_BATCH messages, calling the handler for each. What is
 * left shows up in the next poll, so fds must be polled level-triggered.
 * Returns 0; OC_ECLOSED at end of file; OC_EPROTO; or the handler's error. */
#define CHAN_BATCH 64
int chan_step(struct chan *c, chan_handler_fn handler, void *ctx);

#endif
