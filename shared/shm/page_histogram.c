/* Counting durations in a status page. */
#include "shared/shm/page_histogram.h"

const uint64_t page_bucket_us[PAGE_BUCKET_COUNT] = {5000,   10000,   25000,   50000,   100000,  250000,
                                                    500000, 1000000, 2500000, 5000000, 10000000};

void page_histogram_add(struct page_histogram *h, uint64_t us)
{
    unsigned i = 0;

    while (i < PAGE_BUCKET_COUNT && us > page_bucket_us[i])
        i++;
    h->counts[i]++;
    h->sum_us += us;
}
