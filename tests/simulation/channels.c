/* The channels between the processes of one host: in order, with a delay, gone with either end. */
#include "tests/simulation/world.h"

#include "shared/base/fd.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

void channel_send(struct host *h, enum edge e, enum msg_type type, uint64_t request_id, const void *body, size_t len,
                  int fd)
{
    struct world *w = h->world;
    struct channel *c = &h->channels[e];
    struct letter *l = malloc(sizeof *l + len);
    uint64_t at_ms = w->now_ms + dice_below(&w->dice, 2) + (dice_chance(&w->dice, 1) ? dice_below(&w->dice, 20) : 0);
    if (l == NULL)
        abort();
    if (at_ms < c->last_ms)
        at_ms = c->last_ms;
    c->last_ms = at_ms;
    *l = (struct letter){.at_ms = at_ms, .type = type, .request_id = request_id, .len = len};
    l->fd = fd >= 0 ? dup(fd) : -1;
    memcpy(l->body, body, len);
    if (c->first == NULL)
        c->end = &c->first;
    *c->end = l;
    c->end = &l->next;
}

struct letter *channel_take(struct world *w, struct channel *c)
{
    struct letter *l = c->first;
    if (l == NULL || l->at_ms > w->now_ms)
        return NULL;
    c->first = l->next;
    return l;
}

void letter_free(struct letter *l)
{
    fd_close(&l->fd);
    free(l);
}

void channel_clear(struct channel *c)
{
    while (c->first != NULL) {
        struct letter *l = c->first;
        c->first = l->next;
        letter_free(l);
    }
    c->last_ms = 0;
}
