/* The running supervisor: listeners, workers, op-node and the conductor on one loop, from the start to
 * the end of the ordered stop. */
#ifndef OC_SUPERVISOR_RUNTIME_H
#define OC_SUPERVISOR_RUNTIME_H

#include "supervisor/logout.h"
#include "supervisor/options.h"

/* Runs until an operator or a final failure stops the node; nothing is left running. Returns the exit
 * code: 0 after an operator's stop; 77 or 78 when a worker ended so (starting again cannot help), 75 when
 * the executables are of different builds (starting again may), 1 otherwise. The log goes to `out`. */
int runtime_run(const struct options *opts, char *const envp[], struct logout *out);

#endif
