/* splitmix64 */
#include "tests/simulation/dice.h"

void dice_init(struct dice *d, uint64_t seed)
{
    d->state = seed * UINT64_C(0xd1342543de82ef95) + 1;
}

uint64_t dice_below(struct dice *d, uint64_t below)
{
    uint64_t z = (d->state += UINT64_C(0x9e3779b97f4a7c15));
    z = (z ^ (z >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
    z = (z ^ (z >> 27)) * UINT64_C(0x94d049bb133111eb);
    z ^= z >> 31;
    return below > 0 ? z % below : 0;
}

bool dice_chance(struct dice *d, unsigned percent)
{
    return dice_below(d, 100) < percent;
}
