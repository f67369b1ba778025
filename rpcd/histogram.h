/* A Prometheus histogram with fixed buckets. */
#ifndef OC_RPCD_HISTOGRAM_H
#define OC_RPCD_HISTOGRAM_H

#include "rpcd/text.h"

#include <stdint.h>

#define HISTOGRAM_BUCKETS_MAX 12

struct histogram_buckets {
    unsigned count;
    double upper[HISTOGRAM_BUCKETS_MAX];
};

struct histogram {
    uint64_t count;
    double sum;
    uint64_t buckets[HISTOGRAM_BUCKETS_MAX]; /* not cumulative */
};

void histogram_add(struct histogram *h, const struct histogram_buckets *buckets, double value);
/* Writes the series; labels: "" or `a="b",c="d"`. */
void histogram_put(const struct histogram *h, const struct histogram_buckets *buckets, struct text *out,
                   const char *name, const char *labels);

#endif
