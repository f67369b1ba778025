/* The managed op-node: how it is started. Its life is a child's (child.h). */
#ifndef OC_SUPERVISOR_OPNODE_H
#define OC_SUPERVISOR_OPNODE_H

#include "supervisor/options.h"
#include "supervisor/spawn.h"

#include <limits.h>

struct opnode {
    char *const *argv; /* borrowed from the options; NULL: op-node is not managed */
    char **envp;
    const char *search_path; /* borrowed from the environment */
    bool has_user;
    struct spawn_user user;
    char path[PATH_MAX]; /* of the newest start */
};

/* Checks the command and finds the user. `rpc_url` is where op-node calls us back. Returns 0, or a
 * negative code with a sentence for the operator. */
int opnode_init(struct opnode *n, const struct options *opts, char *const envp[], const char *rpc_url, char *error,
                size_t error_size);
void opnode_free(struct opnode *n);

/* Fills `spec` for one start; it borrows from `n`. Returns 0, or a negative code and a sentence. */
int opnode_prepare(struct opnode *n, struct spawn_spec *spec, char *error, size_t error_size);

#endif
