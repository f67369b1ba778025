/* The supervisor's event loop: epoll and a deadline, nothing else. Level-triggered. */
#ifndef OC_SUPERVISOR_LOOP_H
#define OC_SUPERVISOR_LOOP_H

#include <stdint.h>
#include <sys/epoll.h>

struct loop;

/* One watched fd; embedded in its owner. Zero it and set fd to -1 before the first use. */
struct loop_source {
    int fd;
    uint32_t events;
    void (*fn)(void *ctx, uint32_t events);
    void *ctx;
};

/* NULL on failure, errno set. */
struct loop *loop_new(void);
void loop_free(struct loop *l); /* accepts NULL */

/* Watches `fd` (borrowed). Returns 0 or -errno. */
int loop_add(struct loop *l, struct loop_source *s, int fd, uint32_t events, void (*fn)(void *ctx, uint32_t events),
             void *ctx);
/* Changes what is watched for; cheap when nothing changes. */
void loop_set_events(struct loop *l, struct loop_source *s, uint32_t events);
/* Stops watching, also within a callback: events of this turn that were not delivered yet are
 * dropped. Before the fd is closed. No effect on a source that is not watched. */
void loop_remove(struct loop *l, struct loop_source *s);

/* Waits until something happens or `deadline_ns` (CLOCK_MONOTONIC, `now_ns` is the present) and calls
 * the callbacks. Returns 0 or -errno. */
int loop_turn(struct loop *l, uint64_t now_ns, uint64_t deadline_ns);

#endif
