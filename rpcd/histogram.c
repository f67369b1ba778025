/* A Prometheus histogram (see histogram.h). */
#include "rpcd/histogram.h"

#include <inttypes.h>

void histogram_add(struct histogram *h, const struct histogram_buckets *buckets, double value)
{
    h->count++;
    h->sum += value;
    for (unsigned i = 0; i < buckets->count; i++) {
        if (value <= buckets->upper[i]) {
            h->buckets[i]++;
            return;
        }
    }
}

void histogram_put(const struct histogram *h, const struct histogram_buckets *buckets, struct text *out,
                   const char *name, const char *labels)
{
    uint64_t total = 0;
    const char *comma = labels[0] != '\0' ? "," : "", *open = labels[0] != '\0' ? "{" : "",
               *close = labels[0] != '\0' ? "}" : "";
    for (unsigned i = 0; i < buckets->count; i++) {
        total += h->buckets[i];
        text_put(out, "%s_bucket{%s%sle=\"%g\"} %" PRIu64 "\n", name, labels, comma, buckets->upper[i], total);
    }
    text_put(out, "%s_bucket{%s%sle=\"+Inf\"} %" PRIu64 "\n", name, labels, comma, h->count);
    text_put(out, "%s_sum%s%s%s %.9g\n", name, open, labels, close, h->sum);
    text_put(out, "%s_count%s%s%s %" PRIu64 "\n", name, open, labels, close, h->count);
}
