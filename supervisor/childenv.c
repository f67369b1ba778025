/* Environments of workers and op-node. */
#include "supervisor/childenv.h"

#include "shared/base/err.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static bool key_is(const char *entry, const char *key)
{
    size_t len = strlen(key);

    return strncmp(entry, key, len) == 0 && entry[len] == '=';
}

/* A key that ends with '*' stands for all that begin so. */
static bool key_is_in(const char *entry, const char *const *keys)
{
    for (; *keys; keys++) {
        size_t len = strlen(*keys);
        bool is_prefix = len > 0 && (*keys)[len - 1] == '*';

        if (is_prefix ? strncmp(entry, *keys, len - 1) == 0 : key_is(entry, *keys))
            return true;
    }
    return false;
}

static size_t count_entries(char *const envp[])
{
    size_t n = 0;

    while (envp[n])
        n++;
    return n;
}

/* An array with copies of those entries whose key is (or is not) in `keys`, with room for more. */
static char **copy_entries(char *const envp[], const char *const *keys, bool listed, size_t extra)
{
    char **env = calloc(count_entries(envp) + extra + 1, sizeof *env);
    size_t n = 0;

    if (!env)
        return NULL;
    for (; *envp; envp++) {
        if (key_is_in(*envp, keys) != listed)
            continue;
        env[n] = strdup(*envp);
        if (!env[n++]) {
            childenv_free(env);
            return NULL;
        }
    }
    return env;
}

static bool append(char **env, const char *key, const char *value)
{
    size_t n = count_entries(env);

    return asprintf(&env[n], "%s=%s", key, value) >= 0 || (env[n] = NULL, false);
}

char **childenv_build_worker(char *const envp[])
{
    static const char *const wanted[] = {
        "PATH",         "LANG",          "LC_*",           "TZ",           "TMPDIR",        "SSL_CERT_FILE",
        "SSL_CERT_DIR", "MALLOC_*",      "GLIBC_TUNABLES", "ASAN_OPTIONS", "UBSAN_OPTIONS", "LSAN_OPTIONS",
        "TSAN_OPTIONS", "LLVM_PROFILE*", "GCOV_*",         NULL,
    };

    return copy_entries(envp, wanted, true, 0);
}

char **childenv_build_node(char *const envp[], const char *rpc_url, bool json_log)
{
    static const char *const unwanted[] = {
        "NOTIFY_SOCKET",
        "WATCHDOG_USEC",
        "WATCHDOG_PID",
        "LISTEN_FDS",
        "LISTEN_PID",
        "LISTEN_FDNAMES",
        "OP_CONDUCTOR_*",
        "OP_NODE_SEQUENCER_STOPPED",
        NULL,
    };
    char **env = copy_entries(envp, unwanted, false, 4);
    bool ok;

    if (!env)
        return NULL;
    ok = append(env, "OP_NODE_SEQUENCER_STOPPED", "true");
    if (ok && !childenv_get(envp, "OP_NODE_CONDUCTOR_ENABLED"))
        ok = append(env, "OP_NODE_CONDUCTOR_ENABLED", "true");
    if (ok && !childenv_get(envp, "OP_NODE_CONDUCTOR_RPC"))
        ok = append(env, "OP_NODE_CONDUCTOR_RPC", rpc_url);
    if (ok && json_log && !childenv_get(envp, "OP_NODE_LOG_FORMAT"))
        ok = append(env, "OP_NODE_LOG_FORMAT", "json");
    if (!ok) {
        childenv_free(env);
        return NULL;
    }
    return env;
}

void childenv_free(char **env)
{
    if (!env)
        return;
    for (char **e = env; *e; e++)
        free(*e);
    free(env);
}

const char *childenv_get(char *const envp[], const char *key)
{
    for (; *envp; envp++) {
        if (key_is(*envp, key))
            return *envp + strlen(key) + 1;
    }
    return NULL;
}

int childenv_check_node(char *const envp[], char *error, size_t error_size)
{
    const char *saved = childenv_get(envp, "OP_NODE_RPC_ADMIN_STATE");

    if (!saved || saved[0] == '\0')
        return 0;
    (void)snprintf(error, error_size,
                   "OP_NODE_RPC_ADMIN_STATE would let op-node come up as it was last, maybe sequencing; unset it: a "
                   "managed op-node always comes up stopped");
    return OC_ESYNTAX;
}
