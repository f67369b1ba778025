/* Asking an address who lives there, before it is added to the configuration (see peer.h). */
#include "consensus/peer_impl.h"

#include "shared/base/clock.h"
#include "shared/base/err.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* A conductor that is being started answers RPC a little before its consensus worker listens. */
#define REFUSED_PATIENCE_MS 1500
#define REFUSED_RETRY_MS 50

struct peer_probe {
    uv_timer_t timer; /* first: starts the work from the loop; then: its deadline, or the next try */
    struct peers *peers;
    peer_probe_fn done; /* NULL: cancelled or answered */
    void *ctx;
    char host_port[SERVER_ADDR_SIZE];
    char host[SERVER_ADDR_SIZE];
    char dialed[64];
    uint16_t port;
    uint64_t timeout_ms;
    uint64_t begun_ms;
    struct sockaddr_storage addr;
    struct net_lookup *lookup;
    struct conn *conn;
};

static void on_timer_closed(uv_handle_t *handle)
{
    free(handle->data);
}

static void let_go(struct peer_probe *b)
{
    net_lookup_cancel(b->lookup);
    b->lookup = NULL;
    if (b->conn)
        conn_close(b->conn, false);
    b->conn = NULL;
    b->done = NULL;
    uv_close((uv_handle_t *)&b->timer, on_timer_closed);
}

static void answer(struct peer_probe *b, int rc, const struct frame_hello *hello, const char *text)
{
    peer_probe_fn done = b->done;
    void *ctx = b->ctx;
    let_go(b);
    done(ctx, rc, hello, text);
}

static void dial(struct peer_probe *b);

static uint64_t age_ms(const struct peer_probe *b)
{
    return clock_mono_ms() - b->begun_ms;
}

static void on_retry(uv_timer_t *timer)
{
    dial(timer->data);
}

static void on_up(struct conn *c)
{
    struct frame_hello hello = c->hello;
    answer(c->owner, 0, &hello, "");
}

/* The texts are those of a Go dialer, which operators and their tools know. */
static void on_down(struct conn *c, int rc, const char *refusal)
{
    struct peer_probe *b = c->owner;
    char text[TEXT_SIZE];
    b->conn = NULL;
    if (rc == UV_ECONNREFUSED && age_ms(b) < REFUSED_PATIENCE_MS && age_ms(b) + REFUSED_RETRY_MS < b->timeout_ms) {
        uv_timer_start(&b->timer, on_retry, REFUSED_RETRY_MS, 0);
        return;
    }
    if (refusal)
        snprintf(text, sizeof text, "%s", refusal);
    else if (rc == UV_EOF || rc == OC_EPROTO || rc == OC_ECORRUPT || rc == OC_EVERSION || rc == UV_ECONNRESET)
        snprintf(text, sizeof text, "no conductor of this version answers at %.200s", b->host_port);
    else
        snprintf(text, sizeof text, "dial tcp %.64s: connect: %s", b->dialed, uv_strerror(rc));
    answer(b, rc, NULL, text);
}

static void on_deadline(uv_timer_t *timer)
{
    struct peer_probe *b = timer->data;
    char text[TEXT_SIZE];
    snprintf(text, sizeof text, "dial tcp %.200s: i/o timeout", b->host_port);
    answer(b, OC_EDEADLINE, NULL, text);
}

static void dial(struct peer_probe *b)
{
    uint64_t age = age_ms(b);
    uv_timer_start(&b->timer, on_deadline, age < b->timeout_ms ? b->timeout_ms - age : 0, 0);
    b->conn = conn_dial(b->peers, (const struct sockaddr *)&b->addr, PURPOSE_PROBE, on_up, on_down, b);
    if (!b->conn) {
        answer(b, -ENOMEM, NULL, err_text(-ENOMEM));
        return;
    }
    snprintf(b->dialed, sizeof b->dialed, "%s", net_peer_text(b->conn->stream));
}

static void on_lookup(void *ctx, int rc, const struct sockaddr *addr)
{
    struct peer_probe *b = ctx;
    char text[TEXT_SIZE];
    b->lookup = NULL;
    if (rc) {
        snprintf(text, sizeof text, "dial tcp: lookup %.128s: no such host", b->host);
        answer(b, rc, NULL, text);
        return;
    }
    memcpy(&b->addr, addr, addr->sa_family == AF_INET6 ? sizeof(struct sockaddr_in6) : sizeof(struct sockaddr_in));
    dial(b);
}

static void on_start(uv_timer_t *timer)
{
    struct peer_probe *b = timer->data;
    const char *reason;
    char text[TEXT_SIZE];
    uv_timer_start(&b->timer, on_deadline, b->timeout_ms, 0);
    if (identity_split_host_port(b->host_port, b->host, sizeof b->host, &b->port, &reason)) {
        snprintf(text, sizeof text, "dial tcp: address %.150s: %s", b->host_port, reason);
        answer(b, OC_ESYNTAX, NULL, text);
        return;
    }
    /* on_lookup may run inside and even end the probe, whose memory lives until its timer is closed */
    struct net_lookup *l = net_lookup(b->peers->loop, b->host, b->port, 0, on_lookup, b);
    if (l)
        b->lookup = l;
}

struct peer_probe *peer_probe_start(struct peers *p, const char *host_port, uint64_t timeout_ms, peer_probe_fn done,
                                    void *ctx)
{
    struct peer_probe *b = p->is_stopped ? NULL : calloc(1, sizeof *b);
    if (!b)
        return NULL;
    b->peers = p;
    b->done = done;
    b->ctx = ctx;
    b->timeout_ms = timeout_ms;
    b->begun_ms = clock_mono_ms();
    snprintf(b->host_port, sizeof b->host_port, "%s", host_port);
    uv_timer_init(p->loop, &b->timer);
    b->timer.data = b;
    uv_timer_start(&b->timer, on_start, 0, 0);
    return b;
}

void peer_probe_cancel(struct peer_probe *probe)
{
    if (probe)
        let_go(probe);
}
