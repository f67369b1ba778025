/* Keeping one dialed connection to one member: wait, resolve, connect, hello, and again. */
#include "consensus/peer_impl.h"

#include "shared/base/clock.h"
#include "shared/base/err.h"
#include "shared/base/log.h"

#include <stdio.h>
#include <string.h>

void dialer_init(struct dialer *d, struct peer *peer, enum frame_purpose purpose)
{
    memset(d, 0, sizeof *d);
    d->peer = peer;
    d->purpose = purpose;
    d->state = DIAL_WAIT;
}

void dialer_close(struct dialer *d)
{
    net_lookup_cancel(d->lookup);
    d->lookup = NULL;
    if (d->conn)
        conn_close(d->conn, false);
    d->conn = NULL;
    d->state = DIAL_WAIT;
    d->deadline_ms = UINT64_MAX;
    d->gone_ms = 0;
}

/* An urgent re-dial failed: its process is gone. */
static void report_gone(struct dialer *d)
{
    struct peers *p = d->peer->peers;
    if (!d->gone_ms)
        return;
    d->gone_ms = 0;
    p->events.gone(p->events.ctx, d->peer->id);
}

static void wait_and_retry(struct dialer *d, uint64_t delay_ms)
{
    d->state = DIAL_WAIT;
    d->deadline_ms = clock_mono_ms() + delay_ms;
    peers_arm(d->peer->peers);
}

static void dial_failed(struct dialer *d, int rc)
{
    if (rc != d->last_rc && d->purpose == PURPOSE_CONTROL)
        LOG_INFO("Another conductor cannot be reached", LOG_S("peer", d->peer->name),
                 LOG_S("address", d->peer->host_port),
                 LOG_S("err", rc > OC_ERR_BASE && rc < OC_ERR_LAST ? err_text(rc) : uv_strerror(rc)));
    d->last_rc = rc;
    d->addr_known = false; /* the next try looks its name up again */
    d->attempt++;
    d->backoff_ms = d->backoff_ms ? d->backoff_ms * 2 : RETRY_MIN_MS;
    if (d->backoff_ms > RETRY_MAX_MS)
        d->backoff_ms = RETRY_MAX_MS;
    wait_and_retry(d, d->backoff_ms);
    report_gone(d);
}

static void refused(struct dialer *d, const char *text)
{
    struct peer *peer = d->peer;
    if (strcmp(peer->refusal, text) != 0) {
        snprintf(peer->refusal, sizeof peer->refusal, "%s", text);
        LOG_WARN("Another conductor refuses this one, or is not who it should be", LOG_S("peer", peer->name),
                 LOG_S("address", peer->host_port), LOG_S("reason", text));
    }
    d->addr_known = false; /* it may have moved, and somebody else have its address */
    d->attempt++;
    wait_and_retry(d, RETRY_REFUSED_MS);
    report_gone(d); /* whoever is there now, it is not the one that was lost */
}

static void on_down(struct conn *c, int rc, const char *refusal)
{
    struct dialer *d = c->owner;
    bool was_up = d->state == DIAL_UP;
    d->conn = NULL;
    if (refusal) {
        refused(d, refusal);
    } else if (was_up) {
        LOG_DEBUG("Connection to another conductor ended", LOG_S("peer", d->peer->name), LOG_U("purpose", d->purpose));
        d->state = DIAL_WAIT;
        d->backoff_ms = 0;
        dialer_hurry(d, clock_mono_ms(), d->purpose == PURPOSE_CONTROL);
    } else {
        dial_failed(d, rc);
    }
}

static void on_up(struct conn *c)
{
    struct dialer *d = c->owner;
    struct peers *p = d->peer->peers;
    char text[TEXT_SIZE];
    if (c->hello.raft_id != d->peer->id) {
        if (conn_check_hello(p, &c->hello, text, sizeof text))
            snprintf(text, sizeof text, "server %s lives at this address", c->hello.name);
        conn_close(c, false);
        d->conn = NULL;
        refused(d, text);
        return;
    }
    d->state = DIAL_UP;
    d->addr_known = true;
    d->gone_ms = 0;
    d->backoff_ms = 0;
    d->last_rc = 0;
    d->peer->refusal[0] = '\0';
    d->peer->heard_ms = c->heard_ms;
    bool is_restarted = d->nonce && d->nonce != c->hello.process_nonce;
    d->nonce = c->hello.process_nonce;
    if (d->purpose == PURPOSE_CONTROL)
        LOG_DEBUG("Connected to another conductor", LOG_S("peer", d->peer->name), LOG_S("to", d->peer->host_port));
    else
        p->events.connected(p->events.ctx, d->peer->id);
    /* Back already, but whatever it led it leads no more: nobody needs to wait for a timeout. */
    if (is_restarted)
        p->events.gone(p->events.ctx, d->peer->id);
}

static void dial_addr(struct dialer *d)
{
    struct peers *p = d->peer->peers;
    d->conn = conn_dial(p, (struct sockaddr *)&d->addr, d->purpose, on_up, on_down, d);
    if (!d->conn) {
        dial_failed(d, UV_ENOMEM);
        return;
    }
    d->state = DIAL_HELLO;
    d->deadline_ms = clock_mono_ms() + HELLO_TIMEOUT_MS;
    peers_arm(p);
}

static void on_lookup(void *ctx, int rc, const struct sockaddr *addr)
{
    struct dialer *d = ctx;
    d->lookup = NULL;
    if (rc && d->addr.ss_family == AF_UNSPEC) {
        dial_failed(d, rc);
        return;
    }
    if (rc == 0) {
        memset(&d->addr, 0, sizeof d->addr);
        memcpy(&d->addr, addr, addr->sa_family == AF_INET6 ? sizeof(struct sockaddr_in6) : sizeof(struct sockaddr_in));
    } /* else where it was the last time: a majority does not depend on a name server */
    d->addr_known = rc == 0;
    dial_addr(d);
}

static void dial(struct dialer *d)
{
    char host[SERVER_ADDR_SIZE];
    uint16_t port;
    const char *reason;
    if (d->addr_known) {
        dial_addr(d);
        return;
    }
    if (identity_split_host_port(d->peer->host_port, host, sizeof host, &port, &reason)) {
        dial_failed(d, UV_EINVAL);
        return;
    }
    d->state = DIAL_LOOKUP;
    /* on_lookup may run inside, and set a later state */
    struct net_lookup *l = net_lookup(d->peer->peers->loop, host, port, d->attempt, on_lookup, d);
    if (l)
        d->lookup = l;
}

void dialer_hurry(struct dialer *d, uint64_t now_ms, bool urgent)
{
    if (d->peer->peers->is_stopped || d->state != DIAL_WAIT)
        return;
    if (urgent)
        d->gone_ms = now_ms + GONE_AFTER_MS;
    d->deadline_ms = now_ms; /* from the timer, not from inside whoever noticed */
    peers_arm(d->peer->peers);
}

void dialer_tick(struct dialer *d, uint64_t now_ms)
{
    if (d->state == DIAL_WAIT && now_ms >= d->deadline_ms) {
        dial(d);
        return;
    }
    if (d->gone_ms && now_ms >= d->gone_ms && d->state != DIAL_UP)
        report_gone(d);
    if (d->state == DIAL_HELLO && now_ms >= d->deadline_ms) {
        conn_close(d->conn, false);
        d->conn = NULL;
        dial_failed(d, UV_ETIMEDOUT);
    }
}

uint64_t dialer_deadline_ms(const struct dialer *d)
{
    uint64_t deadline = d->state == DIAL_WAIT || d->state == DIAL_HELLO ? d->deadline_ms : UINT64_MAX;
    return d->gone_ms && d->gone_ms < deadline ? d->gone_ms : deadline;
}
