/* How the workers are started: which executable, which configuration. */
#ifndef OC_SUPERVISOR_WORKERS_H
#define OC_SUPERVISOR_WORKERS_H

#include "shared/proto/proto.h"
#include "supervisor/options.h"
#include "supervisor/spawn.h"

#include <limits.h>

struct workers {
    const struct options *opts; /* borrowed */
    char **envp;
    char dir[PATH_MAX]; /* where the executables are */
    char path[PATH_MAX + 64];
    char *argv[2];
    uint32_t consensus_port; /* with --consensus.port=0: the one the system picked first; 0: none yet */
};

/* Finds the directory of the executables: this one's, or ../libexec/op-conductor from there. Returns 0,
 * or a negative code with a sentence for the operator. */
int workers_init(struct workers *w, const struct options *opts, char *const envp[], char *error, size_t error_size);
void workers_free(struct workers *w);

/* Consensus listened at `address` ("host:port"). If the system picked the port, a restart takes the same:
 * its peers know the node by it. */
void workers_remember_address(struct workers *w, const char *address);

/* Fills `spec` (fds 3 and 4 included) for a start of `role`; it borrows from `w` until the next call.
 * Takes nothing: control_fd stays the caller's, *ret_config_fd becomes it. Returns 0, or a negative code
 * and a sentence. */
int workers_prepare(struct workers *w, enum proc_role role, uint32_t incarnation, int control_fd, int *ret_config_fd,
                    struct spawn_spec *spec, char *error, size_t error_size);

#endif
