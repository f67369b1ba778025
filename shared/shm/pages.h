/* Bodies of the status pages. Hot fields first: a reader may copy only a prefix. */
#ifndef OC_SHM_PAGES_H
#define OC_SHM_PAGES_H

#include "shared/proto/bodies.h"
#include "shared/shm/page_histogram.h"

#include <stdint.h>

/* A page older than this reads as "not leader" (DESIGN: nobody acts on a stale page). Owners beat
 * at least every PAGE_BEAT_MS; once PAGE_MAY_BEAT_MS have passed, any wake-up serves, to save one. A worker
 * is pinged every 200 ms; more than half of that lets it sleep once between two pings. */
#define PAGE_STALE_MS 300
#define PAGE_BEAT_MS 120
#define PAGE_MAY_BEAT_MS 50

enum suffrage { SUFFRAGE_VOTER = 0, SUFFRAGE_NONVOTER = 1, SUFFRAGE_STAGING = 2 };

struct page_server {
    char id[SERVER_ID_SIZE];
    char addr[SERVER_ADDR_SIZE];
    uint64_t suffrage;
    /* Seen from this node; age UINT64_MAX = never heard. */
    uint64_t contact_age_ms;
    uint64_t queued_bytes; /* for it, not yet taken by the system */
    /* Its latest self record, if record_age_ms != UINT64_MAX. */
    uint64_t record_age_ms;
    struct msg_self_record record;
    char version[VERSION_SIZE]; /* of its op-conductor; "" when it was never connected */
};

struct page_consensus {
    uint32_t state;        /* enum raft_role */
    uint32_t leader_ready; /* what conductor_leader answers */
    uint64_t term;
    char leader_id[SERVER_ID_SIZE];
    char leader_addr[SERVER_ADDR_SIZE];
    uint64_t head_valid;
    struct block_id head;
    /* ---- less hot ---- */
    uint64_t transferring;
    uint64_t commit_index;
    uint64_t applied_index;
    uint64_t last_index;
    uint64_t durable_index;
    uint64_t first_index;
    uint64_t snapshot_index;
    uint64_t window_count;
    uint64_t window_bytes;
    uint64_t commits_total;
    uint64_t commits_failed_total;
    uint64_t last_commit_us; /* taken to applied, newest commit */
    uint64_t elections_total;
    uint64_t disk_bytes;
    uint64_t membership_version;
    uint64_t server_count;
    struct page_server servers[CLUSTER_SERVERS_MAX];
    uint8_t cluster_id[16];
    char self_addr[SERVER_ADDR_SIZE]; /* as advertised */
};

struct page_health {
    struct msg_health last;
    uint64_t checks_ok_total;
    uint64_t checks_failed_total[16]; /* by enum health_reason */
};

enum lifecycle_state {
    LIFE_DOWN,
    LIFE_SPAWNING,
    LIFE_HANDSHAKE,
    LIFE_STARTING,
    LIFE_RUNNING,
    LIFE_DRAINING,
    LIFE_TERMINATING,
    LIFE_KILLING,
    LIFE_REAPED,
    LIFE_BACKOFF,
    LIFE_FAILED,
    LIFE_STATE_COUNT
};
/* "down", "spawning", …; "unknown" for what is none. */
const char *lifecycle_state_name(enum lifecycle_state state);

struct page_child {
    uint32_t state; /* enum lifecycle_state */
    uint32_t pid;   /* 0 when there is none */
    uint32_t incarnation;
    uint32_t restarts;
    uint64_t since_mono_ns;
};

enum { CHILD_CONSENSUS, CHILD_HEALTHD, CHILD_RPCD, CHILD_NODE, CHILD_COUNT };

struct page_supervisor {
    uint32_t paused;
    uint32_t stopped;
    uint32_t overridden;
    uint32_t node_managed;
    uint32_t leader; /* as the control loop sees it */
    uint32_t healthy;
    uint32_t active;       /* enum node_tristate */
    uint32_t ready_reason; /* enum ready_reason of this node */
    struct page_child children[CHILD_COUNT];
    uint64_t starts_ok_total, starts_already_total;
    uint64_t stops_ok_total, stops_already_total;
    uint64_t transfers_ok_total, transfers_failed_total;             /* decided by the control loop */
    uint64_t asked_transfers_ok_total, asked_transfers_failed_total; /* by an operator, or by a stop */
    uint64_t state_changes_total[8];                                 /* index: leader*4 + healthy*2 + active */
    uint64_t last_handover_us; /* leadership gained to sequencer started; 0 = never */
    uint64_t last_handover_wall_ms;
    uint64_t log_dropped_total;
    uint64_t log_queued_bytes;        /* waiting for the standard output */
    struct page_histogram handovers;  /* as last_handover_us */
    struct page_histogram loop_times; /* turns of the supervisor's loop, waiting included */
};

_Static_assert(sizeof(struct page_consensus) % 8 == 0, "pages are copied in words");
_Static_assert(sizeof(struct page_health) % 8 == 0, "pages are copied in words");
_Static_assert(sizeof(struct page_supervisor) % 8 == 0, "pages are copied in words");

#endif
