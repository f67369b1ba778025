/* Runs seeds: `conductor_sim [--seeds N] [--from M] [--verbose]`. In each, storms of faults alternate with
 * times of calm, in which sequencing has to go on wherever it can.
 */
#include "shared/base/log.h"
#include "tests/simulation/seams.h"
#include "tests/simulation/world.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Sequencing goes on within so long after the last fault: a verdict that is kept, a hold-down, the retries of a
 * handover that fails. */
#define RESUME_MS 30000
/* … and within so long all is as before: everybody has the chain, also after an L1 reorg. */
#define SETTLE_MS 40000
#define WELL_MS 4000
#define GENTLE_GAP_MS 3000

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

static void run_ms(struct world *w, uint64_t ms, bool storm)
{
    for (uint64_t end = w->now_ms + ms; w->now_ms < end;) {
        if (storm)
            faults_step(w);
        world_step(w);
    }
}

/* Returns how long it took until the chain went on. */
static uint64_t expect_progress(struct world *w, uint64_t blocks)
{
    uint64_t begin = w->now_ms, target = w->acked_count + blocks;
    while (w->acked_count < target) {
        world_step(w);
        if (w->now_ms - begin > RESUME_MS)
            world_fail(w, "nothing is sequenced %" PRIu64 " ms after the last fault", w->now_ms - begin);
    }
    return w->now_ms - begin;
}

/* In the end all is well, and stays so. */
static void expect_settled(struct world *w)
{
    const char *wrong = "";
    for (uint64_t end = w->now_ms + SETTLE_MS, well_ms = 0; well_ms < WELL_MS; world_step(w)) {
        wrong = check_settled(w);
        well_ms = wrong == NULL ? well_ms + 1 : 0;
        if (w->now_ms > end)
            world_fail(w, "long after the last fault %s", wrong != NULL ? wrong : "something still changes");
    }
}

static void note_resume(struct totals *t, const struct world *w, uint64_t ms)
{
    if (ms <= t->worst_resume_ms)
        return;
    t->worst_resume_ms = ms;
    t->worst_seed = w->seed;
}

static void end_seed(struct world *w, struct totals *t)
{
    expect_settled(w);
    t->acked += w->acked_count;
    t->starts += w->starts;
    t->leaders += w->fates.leaders_seen;
    t->rewinds += w->rewinds;
    t->adoptions += w->adoptions;
    for (unsigned i = 0; i < MOVE_COUNT; i++)
        t->moves += w->operator.moves[i];
    world_free(w);
}

/* The crash of rpcd or healthd costs no leadership, and no more of the chain than a commit that is tried
 * again. */
static void run_gently(struct world *w)
{
    run_ms(w, 5000, false);
    uint64_t leaders = w->fates.leaders_seen;
    w->longest_gap_ms = 0;
    run_ms(w, 20000, true);
    faults_calm(w, false);
    if (w->fates.leaders_seen != leaders)
        world_fail(w, "leadership changed although only rpcd and healthd failed");
    if (w->longest_gap_ms > 2 * w->block_time_ms + GENTLE_GAP_MS)
        world_fail(w, "the chain stood still for %" PRIu64 " ms although only rpcd and healthd failed",
                   w->longest_gap_ms);
}

static void run_seed(uint64_t seed, bool verbose, struct totals *t)
{
    static struct world w;
    world_init(&w, seed, verbose);
    run_ms(&w, 500, false);
    (void)expect_progress(&w, 2);
    if (faults_plan(&w)) {
        run_gently(&w);
        end_seed(&w, t);
        return;
    }
    for (unsigned round = 1 + (unsigned)dice_below(&w.dice, 3); round > 0; round--) {
        run_ms(&w, 1000 + dice_below(&w.dice, 5000), true);
        faults_calm(&w, round > 1);
        note_resume(t, &w, expect_progress(&w, 3));
    }
    end_seed(&w, t);
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
