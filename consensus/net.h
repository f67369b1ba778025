/* Byte streams between conductors, on libuv. Callers see connections, bytes and ends, never
 * sockets: a secured stream takes this place without touching them.
 */
#ifndef OC_CONSENSUS_NET_H
#define OC_CONSENSUS_NET_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/socket.h>
#include <uv.h>

struct net_stream;

struct net_events {
    /* A dialed stream is connected. NULL for accepted ones. */
    void (*connected)(void *ctx);
    /* Where the next bytes go; never 0 bytes. */
    uint8_t *(*buffer)(void *ctx, size_t *ret_room);
    /* n bytes were put there. A negative code ends the stream (`ended` follows). */
    int (*received)(void *ctx, size_t n);
    /* End of file (UV_EOF), an error, or a failed dial. The stream closes itself. */
    void (*ended)(void *ctx, int rc);
    /* The last call: nothing of the stream exists any more. */
    void (*released)(void *ctx);
};

/* Starts to connect. NULL when that is not even possible (out of memory or descriptors). */
struct net_stream *net_dial(uv_loop_t *loop, const struct sockaddr *addr, const struct net_events *events, void *ctx);

/* Sends head (copied) and then payload, which stays the caller's until release(arg) is called, which
 * happens exactly once, also on failure. release may be NULL. */
void net_send(struct net_stream *s, const void *head, size_t head_len, const void *payload, size_t payload_len,
              void (*release)(void *arg), void *arg);
/* Bytes that the system has not taken yet. */
size_t net_queued_bytes(const struct net_stream *s);
/* No more `ended`; `released` comes later. With `flush`, what was sent before is delivered first, within
 * NET_FLUSH_MS. */
#define NET_FLUSH_MS 1000
void net_close(struct net_stream *s, bool flush);
/* "host:port" of the other side, for the log. */
const char *net_peer_text(const struct net_stream *s);

/* ---- listening ---- */

struct net_listener;
/* A new connection: return the context for its events and where they go, or NULL to refuse it. */
typedef void *(*net_accept_fn)(void *ctx, struct net_stream *s, const struct net_events **ret_events);

/* Binds host (a name or a numeric address, "" = all) and port (0: the system picks). Resolves
 * synchronously, hence at start-up only. Returns 0 or a negative errno; *ret_text names what was tried. */
int net_listen(uv_loop_t *loop, const char *host, uint16_t port, net_accept_fn on_accept, void *ctx,
               struct net_listener **ret_listener, char *ret_text, size_t text_size);
uint16_t net_listener_port(const struct net_listener *l);
void net_listener_close(struct net_listener *l); /* accepts NULL */

/* ---- names ---- */

struct net_lookup;
/* `addr` is NULL when rc is not 0. */
typedef void (*net_lookup_fn)(void *ctx, int rc, const struct sockaddr *addr);
/* Resolves host and answers by callback, at once for numeric addresses. `attempt` rotates through
 * the addresses of a name. Returns a handle to cancel, or NULL when it was answered at once. */
struct net_lookup *net_lookup(uv_loop_t *loop, const char *host, uint16_t port, unsigned attempt, net_lookup_fn done,
                              void *ctx);
void net_lookup_cancel(struct net_lookup *l); /* accepts NULL; no callback follows */

#endif
