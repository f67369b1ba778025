/* The one source of chance of a simulation: the same seed gives the same run. */
#ifndef OC_TESTS_SIMULATION_DICE_H
#define OC_TESTS_SIMULATION_DICE_H

#include <stdbool.h>
#include <stdint.h>

struct dice {
    uint64_t state;
};

void dice_init(struct dice *d, uint64_t seed);
uint64_t dice_below(struct dice *d, uint64_t below); /* 0 for below 0 */
bool dice_chance(struct dice *d, unsigned percent);

#endif
