/* The control channel of one worker: HELLO and START, its status page, and whether it still answers.
 * Everything else a worker says goes to a handler. */
#ifndef OC_SUPERVISOR_LINK_H
#define OC_SUPERVISOR_LINK_H

#include "shared/base/log.h"
#include "shared/ipc/chan.h"
#include "shared/shm/page.h"
#include "supervisor/child.h"

#include <stdbool.h>
#include <stdint.h>

/* A worker that does not answer a PING this long hangs, and is killed. Consensus gets more: its
 * synchronous write of term and vote may wait for a slow disk, and a restart would wait again. */
#define LINK_PING_EVERY_MS 200
#define LINK_PONG_LIMIT_MS 1000
#define LINK_PONG_LIMIT_CONSENSUS_MS 2000

/* As chan_handler_fn, for the messages that are not the link's own. */
typedef int (*link_handler_fn)(void *ctx, enum proc_role from, struct chan_msg *msg);

struct link {
    enum proc_role role;
    size_t page_bytes; /* of the page's body; 0: nobody reads it */
    enum log_level log_level;
    struct child *child;
    struct loop *loop;
    link_handler_fn handler;
    void *handler_ctx;

    struct chan *chan; /* NULL: no process, or given up on */
    struct loop_source source;
    int page_fd; /* -1: none */
    struct page_reader *page;

    uint64_t ping_sequence;
    uint64_t ping_sent_ns; /* of the unanswered one; 0: none */
    uint64_t next_ping_ns;
};

/* Everything is borrowed. */
void link_init(struct link *l, enum proc_role role, size_t page_bytes, enum log_level log_level, struct child *child,
               struct loop *loop, link_handler_fn handler, void *handler_ctx);

/* Makes the socket pair of a new incarnation; *ret_child_fd is the caller's. Returns 0 or negative. */
int link_open(struct link *l, int *ret_child_fd);
/* Closes channel and page; safe when closed. Not from within a message handler. */
void link_close(struct link *l);

void link_send_start(struct link *l);
void link_send_drain(struct link *l, uint64_t deadline_ns);

/* As chan_send. A worker that does not read what it is sent is killed in the next turn. */
int link_send(struct link *l, enum msg_type type, uint64_t request_id, const void *body, int fd);

/* Once per turn: PING, the limit for PONG, what to poll for. `slept_ns` is how much longer than
 * planned the last turn waited: time in which we were not running and blame nobody. */
void link_tick(struct link *l, uint64_t now_ns, uint64_t slept_ns);
/* Was the worker sent a PING in the turn of this time? */
bool link_pinged(const struct link *l, uint64_t now_ns);
/* When link_tick has to be called next. */
uint64_t link_next_deadline(const struct link *l);

#endif
