/* The environment variables that belong to the flags. Pure. */
#ifndef OC_SUPERVISOR_ENV_H
#define OC_SUPERVISOR_ENV_H

#include <stdbool.h>
#include <stddef.h>

#define ENV_PREFIX "OP_CONDUCTOR"
#define ENV_NAME_SIZE 128

/* "raft.server.id" -> "OP_CONDUCTOR_RAFT_SERVER_ID". */
void env_name_from_flag(const char *flag_name, char ret_name[ENV_NAME_SIZE]);

/* The value of `name` in envp (borrowed from it), or NULL. The first occurrence counts, as getenv. */
const char *env_find(char *const envp[], const char *name);

/* Whether an "NAME=VALUE" of the environment looks like ours (starts with OP_CONDUCTOR) and is the
 * variable of no flag. */
bool env_is_unknown(const char *entry);

#endif
