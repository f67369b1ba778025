/* How the managed op-node is started: command, environment, user, process group. */
#include "supervisor/opnode.h"

#include "shared/base/err.h"
#include "supervisor/childenv.h"
#include "supervisor/childline.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>

static int find_program(struct opnode *n, const char *name, char *error, size_t error_size)
{
    int rc = spawn_find_program(name, n->search_path, n->path, sizeof n->path);

    if (rc < 0)
        (void)snprintf(error, error_size, "op-node's command \"%s\" cannot be run (%s); check what follows \"--\"",
                       name, err_text(rc));
    return rc;
}

int opnode_init(struct opnode *n, const struct options *opts, char *const envp[], const char *rpc_url, char *error,
                size_t error_size)
{
    int rc;

    memset(n, 0, sizeof *n);
    if (!opts->node_argv)
        return 0;
    rc = childenv_check_node(envp, error, error_size);
    if (rc < 0)
        return rc;
    n->search_path = childenv_get(envp, "PATH");
    rc = find_program(n, opts->node_argv[0], error, error_size);
    if (rc < 0)
        return rc;
    if (opts->node_user[0] != '\0') {
        rc = spawn_find_user(opts->node_user, &n->user);
        if (rc < 0) {
            (void)snprintf(error, error_size, "--node.user: there is no user \"%s\" in /etc/passwd", opts->node_user);
            return rc;
        }
        n->has_user = true;
    }
    n->envp = childenv_build_node(envp, rpc_url, childline_is_json(opts->log_format));
    if (!n->envp) {
        (void)snprintf(error, error_size, "out of memory");
        return -ENOMEM;
    }
    n->argv = opts->node_argv;
    return 0;
}

void opnode_free(struct opnode *n)
{
    childenv_free(n->envp);
    n->envp = NULL;
    n->argv = NULL;
}

int opnode_prepare(struct opnode *n, struct spawn_spec *spec, char *error, size_t error_size)
{
    /* Again: it may have been replaced or moved since. */
    int rc = find_program(n, n->argv[0], error, error_size);

    if (rc < 0)
        return rc;
    spec->path = n->path;
    spec->argv = n->argv;
    spec->envp = n->envp;
    spec->own_group = true;
    /* Workers see the end of their channel; op-node has none. Its limits: it reaches op-node alone, not what
     * that started, and not a program that changes its user itself; the service manager's control group does. */
    spec->death_signal = SIGTERM;
    spec->user = n->has_user ? &n->user : NULL;
    return 0;
}
