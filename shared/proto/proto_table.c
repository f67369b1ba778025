/* The message catalogue as a table, its hash, and the names of the roles. */
#include "shared/proto/proto.h"

#include <stdio.h>

/* The catalogue's short words. */
#define SUP ROLE_SUPERVISOR
#define CONS ROLE_CONSENSUS
#define HEALTH ROLE_HEALTHD
#define RPC ROLE_RPCD
#define WORKERS (ROLE_CONSENSUS | ROLE_HEALTHD | ROLE_RPCD)
#define H PHASE_HANDSHAKE
#define S PHASE_STARTING
#define R PHASE_RUNNING
#define FD_NONE MSG_FD_NONE
#define FD_MUST MSG_FD_MUST
#define FD_MAY MSG_FD_MAY

static const struct msg_spec specs[MSG_COUNT] = {
#define X(name_, from, to, phases_, body, fd)                                                                          \
    [MSG_##name_] = {.name = #name_,                                                                                   \
                     .from_roles = (from),                                                                             \
                     .to_roles = (to),                                                                                 \
                     .phases = (phases_),                                                                              \
                     .body_bytes = sizeof(struct body),                                                                \
                     .fd_rule = (fd)},
#include "shared/proto/messages.def"
#undef X
};

#define X(name_, from, to, phases_, body, fd)                                                                          \
    _Static_assert(sizeof(struct body) > 0 && sizeof(struct body) % 8 == 0, #body ": whole 64-bit words");             \
    _Static_assert(sizeof(struct body) <= MSG_BODY_MAX_BYTES, #body ": too large for a message");
#include "shared/proto/messages.def"
#undef X

const struct msg_spec *msg_spec_get(unsigned type)
{
    if (type == MSG_INVALID || type >= MSG_COUNT)
        return NULL;
    return &specs[type];
}

uint64_t msg_catalogue_hash(void)
{
    uint64_t hash = UINT64_C(0xcbf29ce484222325); /* FNV-1a */

    for (unsigned type = MSG_INVALID + 1; type < MSG_COUNT; type++) {
        const struct msg_spec *s = &specs[type];
        char row[160];
        int len = snprintf(row, sizeof row, "%u %s %u %u %u %zu %d\n", type, s->name, s->from_roles, s->to_roles,
                           s->phases, s->body_bytes, (int)s->fd_rule);
        for (int i = 0; i < len && i < (int)sizeof row; i++)
            hash = (hash ^ (unsigned char)row[i]) * UINT64_C(0x100000001b3);
    }
    return hash;
}

const char *proc_role_name(enum proc_role role)
{
    switch (role) {
    case ROLE_SUPERVISOR:
        return "supervisor";
    case ROLE_CONSENSUS:
        return "consensus";
    case ROLE_HEALTHD:
        return "healthd";
    case ROLE_RPCD:
        return "rpcd";
    }
    return "unknown";
}
