/* Roles, phases and the message catalogue. */
#ifndef OC_PROTO_PROTO_H
#define OC_PROTO_PROTO_H

#include "shared/proto/bodies.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Bits, so that a catalogue row can name several. */
enum proc_role {
    ROLE_SUPERVISOR = 1,
    ROLE_CONSENSUS = 2,
    ROLE_HEALTHD = 4,
    ROLE_RPCD = 8,
};
/* "supervisor", "consensus", "healthd", "rpcd". */
const char *proc_role_name(enum proc_role role);

enum msg_phase { PHASE_HANDSHAKE = 1, PHASE_STARTING = 2, PHASE_RUNNING = 4 };

enum msg_type {
    MSG_INVALID = 0,
#define X(name, from, to, phases, body, fd) MSG_##name,
#include "shared/proto/messages.def"
#undef X
    MSG_COUNT
};

enum msg_fd_rule { MSG_FD_NONE, MSG_FD_MUST, MSG_FD_MAY };

struct msg_spec {
    const char *name;
    unsigned from_roles;
    unsigned to_roles;
    unsigned phases;
    enum msg_fd_rule fd_rule;
    size_t body_bytes;
};

/* NULL for a number that is not in the catalogue. */
const struct msg_spec *msg_spec_get(unsigned type);

/* Hash of all rows (names, sides, phases, sizes, fd rules); both ends must agree (HELLO). */
uint64_t msg_catalogue_hash(void);

/* What travels in front of each body; same host, same build, hence native byte order. */
struct msg_header {
    uint32_t body_bytes;
    uint32_t type;
    uint64_t request_id;
    uint32_t incarnation;
    uint32_t reserved;
};
_Static_assert(sizeof(struct msg_header) == 24, "header layout");

/* Inline bodies stay far below the kernel's limit of a SEQPACKET message (about 208 KiB). */
#define MSG_BODY_MAX_BYTES 16384

#endif
