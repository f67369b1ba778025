/* When a process that died is started again. Pure.
 *
 * The first restart of one that was running is immediate; each further death without a stable run
 * in between doubles the delay up to a cap; a stable run forgets the past. Nothing is given up on:
 * only a permanent exit code is final, and one that was never ready since the supervisor started.
 */
#ifndef OC_SUPERVISOR_BACKOFF_H
#define OC_SUPERVISOR_BACKOFF_H

#include <stdbool.h>
#include <stdint.h>

#define BACKOFF_FIRST_MS 100
#define BACKOFF_STABLE_MS 10000
/* Starts that may fail before the first READY ever. */
#define BACKOFF_START_TRIES 5

struct backoff {
    uint32_t deaths;     /* since the last stable run */
    bool was_ever_ready; /* in this supervisor's life */
    uint32_t failed_starts;
};

/* Records one death and returns the delay in ms before the next start. `ran_ms` is how long it was
 * ready, 0 if it did not get ready. `jitter` is any random number: up to a quarter is added, so that
 * the nodes of a cluster do not restart in step. */
uint64_t backoff_on_death(struct backoff *b, bool was_ready, uint64_t ran_ms, uint64_t cap_ms, uint32_t jitter);

/* What to make of an exit. `exec_err` is the errno of a failed exec, else 0; `code` and `sig` are
 * those of the exit (sig 0: it exited with `code`). Workers use the codes of shared/worker/worker.h;
 * op-node's own codes mean nothing to us. Call it after backoff_on_death. */
bool backoff_is_final(const struct backoff *b, bool is_worker, int exec_err, int code, int sig);

#endif
