/* Names of what pages tell. */
#include "shared/shm/pages.h"

#include <stddef.h>

const char *lifecycle_state_name(enum lifecycle_state state)
{
    static const char *const names[LIFE_STATE_COUNT] = {
        [LIFE_DOWN] = "down",
        [LIFE_SPAWNING] = "spawning",
        [LIFE_HANDSHAKE] = "handshake",
        [LIFE_STARTING] = "starting",
        [LIFE_RUNNING] = "running",
        [LIFE_DRAINING] = "draining",
        [LIFE_TERMINATING] = "terminating",
        [LIFE_KILLING] = "killing",
        [LIFE_REAPED] = "reaped",
        [LIFE_BACKOFF] = "backoff",
        [LIFE_FAILED] = "failed",
    };
    const char *name = (unsigned)state < LIFE_STATE_COUNT ? names[state] : NULL;

    return name ? name : "unknown";
}
