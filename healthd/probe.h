/* HTTP requests to op-node and the execution client: any number at once over one curl multi handle,
 * with kept-alive connections and a deadline each. Not thread-safe. */
#ifndef OC_HEALTHD_PROBE_H
#define OC_HEALTHD_PROBE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* A longer answer is refused. */
#define PROBE_REPLY_MAX_BYTES ((size_t)4 << 20)

struct probe;
struct probe_request;

struct probe_reply {
    /* 0: an HTTP answer came; -ETIMEDOUT; -ECONNRESET: nobody is there, refused or hung up without an answer;
     * OC_ERANGE: too long; -EIO: anything else */
    int rc;
    long http_status; /* with rc 0 */
    const char *body; /* NUL-terminated */
    size_t body_len;
    const char *text; /* what failed, "" with rc 0 */
};

/* Called once, from probe_step; the reply is borrowed for the call. May start and cancel others. */
typedef void (*probe_done_fn)(void *ctx, const struct probe_reply *reply);

struct probe *probe_new(void);    /* NULL: out of memory */
void probe_free(struct probe *p); /* drops what is under way; accepts NULL */

/* POST of a JSON body (malloc'd; taken, also on failure), or GET with NULL. NULL: out of memory. */
struct probe_request *probe_start(struct probe *p, const char *url, char *body, size_t body_len, uint64_t timeout_ms,
                                  probe_done_fn done, void *ctx);

/* From now on, `lost` is called (from probe_step; it may start requests) when a connection that was kept
 * and is not in use ends: a process that dies says so by that, long before it is asked the next time. */
typedef void (*probe_lost_fn)(void *ctx);
void probe_watch(struct probe *p, probe_lost_fn lost, void *ctx);

/* Drops a request; its callback is not called. */
void probe_cancel(struct probe_request *r);

/* Waits for network activity, for `events` (poll bits) on `fd` (-1: none) or timeout_ms, then does
 * what can be done without waiting and calls what is finished. Tells whether fd is ready. */
bool probe_step(struct probe *p, int fd, short events, int timeout_ms);

#endif
