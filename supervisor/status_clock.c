/* Comparing clocks, see status_clock.h. */
#include "supervisor/status_clock.h"

#include <string.h>

#define RECORD_MAX_AGE_MS 1500

static int64_t distance(int64_t v)
{
    return v < 0 ? -v : v;
}

static void insert_sorted(int64_t *values, unsigned count, int64_t v)
{
    unsigned at = count;

    for (; at > 0 && values[at - 1] > v; at--)
        values[at] = values[at - 1];
    values[at] = v;
}

bool status_clock_compare(const struct page_consensus *page, const char *self_id, uint64_t wall_ms,
                          int64_t *ret_offset_ms)
{
    int64_t offsets[CLUSTER_SERVERS_MAX + 1] = {0}; /* this machine's own: 0 */
    unsigned count = 1;

    for (unsigned i = 0; i < page->server_count && i < CLUSTER_SERVERS_MAX; i++) {
        const struct page_server *s = &page->servers[i];

        if (strcmp(s->id, self_id) == 0 || s->record_age_ms > RECORD_MAX_AGE_MS || s->record.wall_ms == 0 ||
            s->record.wall_ms > INT64_MAX / 2)
            continue;
        insert_sorted(offsets, count++, (int64_t)wall_ms - (int64_t)(s->record.wall_ms + s->record_age_ms));
    }
    int64_t low = offsets[(count - 1) / 2], high = offsets[count / 2];

    *ret_offset_ms = distance(low) > distance(high) ? low : high;
    return count > 1;
}

bool status_clock_trusted(int64_t offset_ms, bool was_trusted)
{
    return distance(offset_ms) <= (was_trusted ? CLOCK_DISTRUST_MS : CLOCK_TRUST_MS);
}
