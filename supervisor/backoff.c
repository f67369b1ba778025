/* Restart delays and which exits are final. Pure. */
#include "supervisor/backoff.h"

#include "shared/worker/worker.h"

uint64_t backoff_on_death(struct backoff *b, bool was_ready, uint64_t ran_ms, uint64_t cap_ms, uint32_t jitter)
{
    uint64_t delay_ms = BACKOFF_FIRST_MS;
    uint32_t doublings;

    if (was_ready) {
        b->was_ever_ready = true;
        if (ran_ms >= BACKOFF_STABLE_MS)
            b->deaths = 0;
    } else if (b->failed_starts < UINT32_MAX) {
        b->failed_starts++;
    }
    if (b->deaths < UINT32_MAX)
        b->deaths++;
    if (was_ready && b->deaths == 1)
        return 0;
    doublings = was_ready ? b->deaths - 2 : b->deaths - 1;
    for (uint32_t i = 0; i < doublings && delay_ms < cap_ms; i++)
        delay_ms *= 2;
    delay_ms += delay_ms / 4 * (jitter % 1024) / 1024;
    return delay_ms < cap_ms ? delay_ms : cap_ms;
}

bool backoff_is_final(const struct backoff *b, bool is_worker, int exec_err, int code, int sig)
{
    /* Later on the executable may be missing for a moment, during an upgrade. */
    if (exec_err != 0)
        return !b->was_ever_ready;
    if (!is_worker)
        return false;
    if (sig == 0 &&
        (code == WORKER_EXIT_PERMISSION || code == WORKER_EXIT_CONFIG || code == WORKER_EXIT_BUILD_MISMATCH))
        return true;
    return !b->was_ever_ready && b->failed_starts >= BACKOFF_START_TRIES;
}
