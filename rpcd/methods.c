/* The method table (see methods.h). */
#include "rpcd/methods.h"

#include <string.h>

static const struct method methods[METHOD_COUNT] = {
#define X(id, name, kind, params, help) {METHOD_##id, name, kind, params, help},
    METHOD_LIST(X)
#undef X
};

const struct method *method_find(const char *name, size_t len)
{
    for (size_t i = 0; i < METHOD_COUNT; i++)
        if (strncmp(methods[i].name, name, len) == 0 && methods[i].name[len] == '\0')
            return &methods[i];
    return NULL;
}

const struct method *method_get(enum method_id id)
{
    return &methods[id];
}
