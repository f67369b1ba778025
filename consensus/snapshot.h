/* Who the members are, and snapshots: reference-counted, immutable once built. A snapshot's data is
 * a list of parts, which are entries' payloads: the window's own entries, not copies of them, so that
 * taking a snapshot costs no time, whatever its size.
 */
#ifndef OC_CONSENSUS_SNAPSHOT_H
#define OC_CONSENSUS_SNAPSHOT_H

#include "consensus/entry.h"
#include "shared/proto/bodies.h"

#include <stddef.h>
#include <stdint.h>

/* ---- membership as we see it (the library's configuration, decoded with bounds checks) ---- */

enum member_role { MEMBER_STANDBY = 0, MEMBER_VOTER = 1, MEMBER_SPARE = 2 }; /* the library's numbers */

#define MEMBER_ADDRESS_SIZE (SERVER_ID_SIZE + SERVER_ADDR_SIZE + 4)

struct member {
    uint64_t id; /* digest of name and storage UUID */
    enum member_role role;
    char address[MEMBER_ADDRESS_SIZE]; /* "name@host:port" */
};

struct membership {
    uint64_t index; /* of the entry that made it; the "version" operators see */
    unsigned count;
    struct member members[CLUSTER_SERVERS_MAX];
};

/* ---- snapshots ---- */

#define SNAPSHOT_PARTS_MAX 2048
#define SNAPSHOT_MAX_BYTES ((size_t)1 << 30)

struct snapshot {
    int refs;
    uint64_t index;
    uint64_t term;
    struct membership membership; /* as committed at index */
    struct entry **parts;         /* never empty ones */
    unsigned part_count, part_room;
    size_t data_len; /* bytes of all parts */
};

/* An empty snapshot with one reference; NULL when out of memory. The counter is atomic: the disk
 * thread holds snapshots too. */
struct snapshot *snapshot_new(void);
struct snapshot *snapshot_ref(struct snapshot *s);
void snapshot_unref(struct snapshot *s); /* accepts NULL */
/* Adds a part; takes its own reference. Returns 0, OC_ERANGE (an empty one, too many, too large in
 * all) or -ENOMEM. */
int snapshot_add_part(struct snapshot *s, struct entry *part);

#endif
