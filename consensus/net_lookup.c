/* Host names to addresses without blocking the loop (see net.h). */
#include "consensus/net.h"

#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct net_lookup {
    uv_getaddrinfo_t req;
    net_lookup_fn done;
    void *ctx;
    unsigned attempt;
    bool cancelled;
};

static void on_resolved(uv_getaddrinfo_t *req, int status, struct addrinfo *list)
{
    struct net_lookup *l = req->data;
    const struct addrinfo *ai = list;
    unsigned count = 0;
    if (!l->cancelled) {
        for (const struct addrinfo *p = list; p; p = p->ai_next)
            count++;
        for (unsigned i = 0; count && i < l->attempt % count; i++)
            ai = ai->ai_next;
        l->done(l->ctx, count ? 0 : (status ? status : UV_EAI_NONAME), count ? ai->ai_addr : NULL);
    }
    uv_freeaddrinfo(list);
    free(l);
}

struct net_lookup *net_lookup(uv_loop_t *loop, const char *host, uint16_t port, unsigned attempt, net_lookup_fn done,
                              void *ctx)
{
    struct sockaddr_in v4;
    struct sockaddr_in6 v6;
    if (uv_ip4_addr(host, port, &v4) == 0) {
        done(ctx, 0, (const struct sockaddr *)&v4);
        return NULL;
    }
    if (uv_ip6_addr(host, port, &v6) == 0) {
        done(ctx, 0, (const struct sockaddr *)&v6);
        return NULL;
    }
    struct net_lookup *l = calloc(1, sizeof *l);
    int rc = UV_ENOMEM;
    if (l) {
        struct addrinfo hints = {.ai_family = AF_UNSPEC, .ai_socktype = SOCK_STREAM};
        char service[8];
        snprintf(service, sizeof service, "%u", (unsigned)port);
        l->done = done;
        l->ctx = ctx;
        l->attempt = attempt;
        l->req.data = l;
        rc = uv_getaddrinfo(loop, &l->req, on_resolved, host, service, &hints);
    }
    if (rc) {
        free(l);
        done(ctx, rc, NULL);
        return NULL;
    }
    return l;
}

void net_lookup_cancel(struct net_lookup *l)
{
    if (!l)
        return;
    l->cancelled = true;
    uv_cancel((uv_req_t *)&l->req);
}
