/* Environment variables: their names, look-up, and those that belong to no flag. */
#include "supervisor/env.h"

#include "supervisor/flags.h"

#include <ctype.h>
#include <string.h>

void env_name_from_flag(const char *flag_name, char ret_name[ENV_NAME_SIZE])
{
    static const char prefix[] = ENV_PREFIX "_";
    size_t n = sizeof prefix - 1;

    memcpy(ret_name, prefix, n);
    for (; *flag_name != '\0' && n < ENV_NAME_SIZE - 1; flag_name++)
        ret_name[n++] = *flag_name == '.' || *flag_name == '-' ? '_' : (char)toupper((unsigned char)*flag_name);
    ret_name[n] = '\0';
}

const char *env_find(char *const envp[], const char *name)
{
    size_t len = strlen(name);

    for (; envp != NULL && *envp != NULL; envp++) {
        if (strncmp(*envp, name, len) == 0 && (*envp)[len] == '=')
            return *envp + len + 1;
    }
    return NULL;
}

bool env_is_unknown(const char *entry)
{
    const char *equals = strchr(entry, '=');
    size_t len = equals != NULL ? (size_t)(equals - entry) : strlen(entry);
    char name[ENV_NAME_SIZE];

    if (strncmp(entry, ENV_PREFIX, sizeof ENV_PREFIX - 1) != 0)
        return false;
    for (unsigned i = 0; i < flag_count; i++) {
        env_name_from_flag(flag_table[i].name, name);
        if (strlen(name) == len && memcmp(name, entry, len) == 0)
            return false;
    }
    return true;
}
