/* The deterministic simulator: several drivers, each with a simulated disk and one simulated network,
 * in simulated time, all from one seed. What it checks is in sim_check.c.
 */
#ifndef OC_TESTS_SIM_H
#define OC_TESTS_SIM_H

#include "consensus/driver.h"
#include "consensus/window.h"
#include "tests/simulation/dice.h"
#include "tests/simulation/disk.h"
#include "tests/simulation/fates.h"
#include "tests/simulation/network.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define SIM_NODES 5
#define SIM_ET_MS 100

struct sim_node {
    struct sim *sim;
    uint64_t id;
    struct driver *driver; /* NULL: down */
    struct window *window;
    struct sim_disk disk;
    uint64_t last_applied; /* index, for order */
    uint64_t up_at_ms;     /* when down: when to come back */
    /* proposals of the present life, waiting for their fate */
    struct {
        uint64_t index, term;
    } asked[64];
    unsigned asked_count;
};

struct sim {
    uint64_t seed;
    struct dice dice;
    uint64_t now_ms;
    unsigned node_count;
    struct sim_node nodes[SIM_NODES];
    struct network network;
    /* what was seen */
    struct fates fates;
    uint64_t max_acknowledged, acknowledged_count;
    uint64_t fork;
    bool verbose;
};

static inline uint64_t sim_random(struct sim *s, uint64_t below)
{
    return dice_below(&s->dice, below);
}

static inline bool sim_chance(struct sim *s, unsigned percent)
{
    return dice_chance(&s->dice, percent);
}

/* sim_world.c */
void sim_node_start(struct sim *s, struct sim_node *n);
void sim_node_crash(struct sim *s, struct sim_node *n);
void sim_node_free(struct sim_node *n);
void sim_run_ms(struct sim *s, uint64_t ms, void (*mischief)(struct sim *s));
struct sim_node *sim_leader(struct sim *s); /* ready, of the highest term; NULL: none */
/* Proposes something on a node that thinks it leads. Returns its index or 0. */
uint64_t sim_propose(struct sim *s, struct sim_node *n);

/* sim_check.c: abort with the seed when something that must never happen has happened. */
void sim_fail(struct sim *s, const char *format, ...) __attribute__((format(printf, 2, 3), noreturn));
void sim_check_applied(struct sim *s, struct sim_node *n, uint64_t index, uint64_t term, struct entry *e);
void sim_check_restored(struct sim *s, struct sim_node *n, const struct snapshot *snapshot);
void sim_check_view(struct sim *s, struct sim_node *n);
void sim_check_end(struct sim *s);

#endif
