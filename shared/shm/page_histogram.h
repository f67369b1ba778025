/* Durations counted in a status page, for a Prometheus histogram. */
#ifndef OC_SHM_PAGE_HISTOGRAM_H
#define OC_SHM_PAGE_HISTOGRAM_H

#include <stdint.h>

/* 5 ms to 10 s: the default buckets of Prometheus clients. */
#define PAGE_BUCKET_COUNT 11
extern const uint64_t page_bucket_us[PAGE_BUCKET_COUNT];

struct page_histogram {
    uint64_t counts[PAGE_BUCKET_COUNT + 1]; /* not cumulative; the last: above all bounds */
    uint64_t sum_us;
};

void page_histogram_add(struct page_histogram *h, uint64_t us);

#endif
