/* Asking who lives at an address, in place of the product's (consensus/peer.h). */
#include "tests/simulation/world.h"

#include "shared/base/err.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct peer_probe {
    struct peer_probe *next;
    struct peers *peers;
    unsigned index; /* of the host who is asked */
    uint64_t answer_ms, deadline_ms;
    peer_probe_fn done;
    void *ctx;
};

struct peer_probe *peer_probe_start(struct peers *p, const char *host_port, uint64_t timeout_ms, peer_probe_fn done,
                                    void *ctx)
{
    struct world *w = p->host->world;
    struct peer_probe *probe = calloc(1, sizeof *probe);
    unsigned number = 0;
    if (probe == NULL || sscanf(host_port, "host:%u", &number) != 1 || number == 0 || number > w->host_count)
        abort();
    *probe = (struct peer_probe){.next = p->probes,
                                 .peers = p,
                                 .index = number - 1,
                                 .answer_ms = w->now_ms + 1 + dice_below(&w->dice, 6),
                                 .deadline_ms = w->now_ms + timeout_ms,
                                 .done = done,
                                 .ctx = ctx};
    p->probes = probe;
    return probe;
}

void peer_probe_cancel(struct peer_probe *probe)
{
    if (probe == NULL)
        return;
    struct peer_probe **at = &probe->peers->probes;
    while (*at != probe)
        at = &(*at)->next;
    *at = probe->next;
    free(probe);
}

/* Callbacks start and cancel probes, so the list is looked at anew after each. */
static bool step(struct peers *p)
{
    struct world *w = p->host->world;
    for (struct peer_probe *probe = p->probes; probe != NULL; probe = probe->next) {
        const struct host *to = &w->hosts[probe->index];
        bool answers = to->cons.up && to->cons.frozen_until_ms <= w->now_ms && to->node->driver != NULL &&
                       world_is_connected(w, p->host->index, to->index) && probe->answer_ms <= w->now_ms;
        if (!answers && probe->deadline_ms > w->now_ms)
            continue;
        struct frame_hello hello = {.raft_id = to->raft_id};
        memcpy(hello.cluster_id, to->storage.identity.cluster_id, sizeof hello.cluster_id);
        memcpy(hello.name, to->options.server_id, sizeof hello.name);
        peer_probe_fn done = probe->done;
        void *ctx = probe->ctx;
        peer_probe_cancel(probe);
        done(ctx, answers ? 0 : OC_EDEADLINE, &hello, "i/o timeout");
        return true;
    }
    return false;
}

void probes_step(struct host *h)
{
    while (step(&h->peers))
        ;
}
