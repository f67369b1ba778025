/* A record of the flight recorder as one English sentence. Pure. */
#ifndef OC_RPCD_STORY_H
#define OC_RPCD_STORY_H

#include "shared/flight/record.h"

#include <stddef.h>

#define STORY_SENTENCE_SIZE 1200

/* Without time and duration, which are shown beside it; cut when `size` is too small. */
void story_sentence(const struct flight_record *r, char *ret, size_t size);

#endif
