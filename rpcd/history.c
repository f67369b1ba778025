/* A ring of commits (see history.h). */
#include "rpcd/history.h"

#include <inttypes.h>
#include <stdlib.h>

struct history {
    uint64_t newest;
    struct history_commit commits[HISTORY_COMMITS];
};

struct history *history_new(void)
{
    return calloc(1, sizeof(struct history));
}

void history_free(struct history *h)
{
    free(h);
}

void history_add_commit(struct history *h, uint64_t number, uint64_t wall_ms, uint64_t took_us, bool ok)
{
    const uint64_t sequence = ++h->newest;
    h->commits[sequence % HISTORY_COMMITS] = (struct history_commit){sequence, number, wall_ms, took_us, ok};
}

uint64_t history_newest(const struct history *h)
{
    return h->newest;
}

const struct history_commit *history_get(const struct history *h, uint64_t sequence)
{
    const struct history_commit *c = &h->commits[sequence % HISTORY_COMMITS];
    return sequence != 0 && c->sequence == sequence ? c : NULL;
}

void history_put_json(const struct history *h, uint64_t since, struct text *out)
{
    const uint64_t oldest = h->newest > HISTORY_COMMITS ? h->newest - HISTORY_COMMITS + 1 : 1;
    const uint64_t first = since >= oldest ? since + 1 : oldest;
    text_put(out, "[");
    for (uint64_t at = first; at <= h->newest; at++) {
        const struct history_commit *c = history_get(h, at);
        text_put(out, "%s[%" PRIu64 ",%" PRIu64 ",%" PRIu64 ",%" PRIu64 ",%s]", at > first ? "," : "", c->sequence,
                 c->number, c->wall_ms, c->took_us, c->ok ? "true" : "false");
    }
    text_put(out, "]");
}
