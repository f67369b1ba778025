/* The environments of the children, and the rule that a managed op-node comes up stopped. Pure. */
#ifndef OC_SUPERVISOR_CHILDENV_H
#define OC_SUPERVISOR_CHILDENV_H

#include <stdbool.h>
#include <stddef.h>

/* For workers: only what is harmless and wanted there (search path, language, time zone, where
 * temporary files and certificates are, the sanitizers' options). No proxies, no secrets.
 * Returns a new NULL-terminated array, or NULL when out of memory. */
char **childenv_build_worker(char *const envp[]);

/* For op-node: ours, without the service manager's variables; OP_NODE_CONDUCTOR_ENABLED=true and
 * OP_NODE_CONDUCTOR_RPC=`rpc_url` unless set, OP_NODE_LOG_FORMAT=json unless set when its lines go into
 * a JSON log, and OP_NODE_SEQUENCER_STOPPED=true in any case.
 * Returns a new NULL-terminated array, or NULL when out of memory. */
char **childenv_build_node(char *const envp[], const char *rpc_url, bool json_log);

void childenv_free(char **env); /* accepts NULL */

/* "KEY=value" -> value, or NULL. */
const char *childenv_get(char *const envp[], const char *key);

/* Refuses an environment that would let op-node come up sequencing (its arguments are checked with the
 * options). Returns 0, or OC_ESYNTAX with a sentence for the operator. */
int childenv_check_node(char *const envp[], char *error, size_t error_size);

#endif
