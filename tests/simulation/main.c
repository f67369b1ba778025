/* Runs seeds: `conductor_sim [--seeds N] [--from M] [--verbose]`. plays.c has what happens in each. */
#include "shared/base/log.h"
#include "tests/simulation/seams.h"
#include "tests/simulation/world.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct totals {
    uint64_t acked, starts, leaders, worst_resume_ms, worst_seed, rewinds, adoptions, moves;
};

/* The product's log lines, without their own time. */
static void print_line(void *ctx, const char *line, size_t len)
{
    const char *at = memmem(line, len, "msg=", 4);
    (void)ctx;
    if (at == NULL)
        at = line;
    printf("          %.*s", (int)(len - (size_t)(at - line)), at);
}

static void run_seed(uint64_t seed, bool verbose, struct totals *t)
{
    static struct world w;
    world_init(&w, seed, verbose);
    plays_run(&w);
    t->acked += w.acked_count;
    t->starts += w.starts;
    t->leaders += w.fates.leaders_seen;
    t->rewinds += w.rewinds;
    t->adoptions += w.adoptions;
    for (unsigned i = 0; i < MOVE_COUNT; i++)
        t->moves += w.operator.moves[i];
    if (w.longest_resume_ms > t->worst_resume_ms) {
        t->worst_resume_ms = w.longest_resume_ms;
        t->worst_seed = seed;
    }
    world_free(&w);
}

int main(int argc, char **argv)
{
    struct totals totals = {0};
    uint64_t seeds = 100, from = 1;
    bool verbose = false;

    for (int i = 1; i < argc; i++) {
        if (strcmp(argv[i], "--seeds") == 0 && i + 1 < argc)
            seeds = strtoull(argv[++i], NULL, 10);
        else if (strcmp(argv[i], "--from") == 0 && i + 1 < argc)
            from = strtoull(argv[++i], NULL, 10);
        else if (strcmp(argv[i], "--verbose") == 0)
            verbose = true;
        else {
            fprintf(stderr, "usage: conductor_sim [--seeds N] [--from M] [--verbose]\n");
            return 2;
        }
    }
    log_set_sink(print_line, NULL);
    log_set_level(verbose ? LOG_DEBUG : LOG_LEVEL_COUNT);
    for (uint64_t seed = from; seed < from + seeds; seed++)
        run_seed(seed, verbose, &totals);
    printf("%" PRIu64 " seeds from %" PRIu64 ": %" PRIu64 " blocks acknowledged, %" PRIu64 " starts, %" PRIu64
           " leaders, %" PRIu64 " rewound by L1, %" PRIu64 " heads adopted, %" PRIu64
           " changes of the membership; sequencing went on after at most %" PRIu64 " ms (seed %" PRIu64 ")\n",
           seeds, from, totals.acked, totals.starts, totals.leaders, totals.rewinds, totals.adoptions, totals.moves,
           totals.worst_resume_ms, totals.worst_seed);
    return 0;
}
