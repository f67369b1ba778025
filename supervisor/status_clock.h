/* Whether this machine's clock can be believed: compared with the clocks that the peers' records carry. Pure. */
#ifndef OC_SUPERVISOR_STATUS_CLOCK_H
#define OC_SUPERVISOR_STATUS_CLOCK_H

#include "shared/shm/pages.h"

#include <stdbool.h>
#include <stdint.h>

/* Records come five times a second and say when they were written: what is off by more than this is no
 * delay. Believed again a bit below, so that it does not flicker. */
#define CLOCK_DISTRUST_MS 2000
#define CLOCK_TRUST_MS 1500

/* How far this machine's clock is ahead of the median of all members' that were heard lately, itself
 * included; of two in the middle the one farther off, since of two clocks nobody knows which is wrong. False
 * when nobody was heard: then there is nothing new to know. */
bool status_clock_compare(const struct page_consensus *page, const char *self_id, uint64_t wall_ms,
                          int64_t *ret_offset_ms);

/* Whether the clock is to be believed at that offset. */
bool status_clock_trusted(int64_t offset_ms, bool was_trusted);

#endif
