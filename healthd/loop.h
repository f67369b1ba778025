/* The worker itself: control channel, commands, checks and the status page in one loop. */
#ifndef OC_HEALTHD_LOOP_H
#define OC_HEALTHD_LOOP_H

#include "shared/config/worker_config.h"
#include "shared/worker/worker.h"

/* Runs until the supervisor drains this worker or is gone. Returns a code of enum worker_exit. */
int healthd_run(struct worker *w, const struct config_healthd *config);

#endif
