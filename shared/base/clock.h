/* The clocks. Every decision takes `now` as an argument; only loops call these. */
#ifndef OC_BASE_CLOCK_H
#define OC_BASE_CLOCK_H

#include <stdint.h>

/* CLOCK_MONOTONIC; the same for all processes of one machine, so it may travel in messages. */
uint64_t clock_mono_ns(void);
uint64_t clock_mono_ms(void);

/* CLOCK_REALTIME, for timestamps of blocks and log lines only. */
uint64_t clock_wall_ns(void);
uint64_t clock_wall_ms(void);

#endif
