/* The newest commits that this rpcd answered, for the plot of the status page. */
#ifndef OC_RPCD_HISTORY_H
#define OC_RPCD_HISTORY_H

#include "rpcd/text.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define HISTORY_COMMITS 512

struct history_commit {
    uint64_t sequence; /* from 1 on, without gaps */
    uint64_t number;   /* of the block */
    uint64_t wall_ms;  /* when it was answered */
    uint64_t took_us;  /* from its first byte to the answer */
    bool ok;
};

struct history;

/* NULL: out of memory. */
struct history *history_new(void);
void history_free(struct history *h); /* accepts NULL */

/* Never waits and never allocates: it is on the way of every commit. */
void history_add_commit(struct history *h, uint64_t number, uint64_t wall_ms, uint64_t took_us, bool ok);
/* The newest sequence; 0: none. */
uint64_t history_newest(const struct history *h);
/* NULL: not there any more, or not yet. */
const struct history_commit *history_get(const struct history *h, uint64_t sequence);
/* Those after `since` that are still there, as [[sequence, number, wall_ms, took_us, ok], …]. */
void history_put_json(const struct history *h, uint64_t since, struct text *out);

#endif
