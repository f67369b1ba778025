/* The part of the exposition that comes from the status pages and from /proc. */
#ifndef OC_RPCD_METRICS_PAGES_H
#define OC_RPCD_METRICS_PAGES_H

#include "rpcd/rpcd.h"
#include "rpcd/text.h"
#include "shared/shm/pages.h"

#include <stdint.h>

/* What ended processes have used, as far as it was seen, so that the sum does not shrink. Starts zeroed. */
struct metrics_cpu {
    uint32_t pid[CHILD_COUNT];
    double seconds[CHILD_COUNT];
    double ended_seconds;
};

void metrics_put_pages(const struct rpcd *app, struct metrics_cpu *cpu, struct text *out);

/* Writes the HELP and TYPE lines of a metric. */
void metrics_put_head(struct text *out, const char *name, const char *type, const char *help);

#endif
