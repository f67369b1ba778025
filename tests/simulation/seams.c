/* The clock and the status pages that the simulated processes see, in place of the product's. Between two
 * milliseconds of the simulation every look at the clock is a little later than the one before. */
#include "tests/simulation/seams.h"

#include "shared/base/clock.h"
#include "shared/base/err.h"
#include "shared/shm/page.h"

#include <string.h>

static struct world *the_world;

void seams_set_world(struct world *w)
{
    the_world = w;
}

uint64_t clock_mono_ns(void)
{
    return the_world->now_ms * 1000000 + ++the_world->ticks;
}

uint64_t clock_mono_ms(void)
{
    return the_world->now_ms;
}

uint64_t clock_wall_ns(void)
{
    return clock_wall_ms() * 1000000;
}

uint64_t clock_wall_ms(void)
{
    return the_world != NULL ? world_wall_ms(the_world) : 0;
}

/* One struct serves as writer and reader. */
void page_publish(struct page_writer *p, const void *body, uint64_t now_mono_ns)
{
    memcpy(&p->body, body, p->len);
    p->published = true;
    p->beat_ns = now_mono_ns;
}

int page_read(const struct page_reader *r, void *ret_body, size_t len)
{
    const struct page_writer *p = (const struct page_writer *)(const void *)r;
    if (!p->published || len > p->len)
        return OC_ESTALE;
    memcpy(ret_body, &p->body, len);
    return 0;
}
