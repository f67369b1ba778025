/* See seams.c. */
#ifndef OC_TESTS_SIMULATION_SEAMS_H
#define OC_TESTS_SIMULATION_SEAMS_H

#include "tests/simulation/world.h"

/* Whose time the clock tells. */
void seams_set_world(struct world *w);

#endif
