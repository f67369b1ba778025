/* Plays supervisor and rpcd for several op-conductor-consensus processes: starts them with real
 * channels, configuration and ring, asks them things, kills and restarts them.
 */
#ifndef OC_TESTS_WIRE_CLUSTER_H
#define OC_TESTS_WIRE_CLUSTER_H

#include "shared/ipc/chan.h"
#include "shared/ipc/ring.h"
#include "shared/proto/bodies.h"
#include "shared/shm/page.h"
#include "shared/shm/pages.h"

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#define CLUSTER_NODES 5

struct cnode {
    unsigned number;
    char name[16];
    char addr[64];
    char dir[256];
    uint32_t port;
    bool bootstrap;
    uint32_t incarnation;
    pid_t pid; /* 0: not running */
    int exit_status;
    struct chan *sup, *rpcd;
    struct ring *ring;
    struct page_reader *page;
    bool is_ready;
    struct msg_leadership leadership;
    struct msg_self_record record;
    /* The newest answer of each kind, and how many came. */
    unsigned commit_answers, member_answers, export_answers, transfer_answers, payload_answers;
    struct msg_commit_result commit;
    struct msg_member_result member;
    struct msg_export_result export_result;
    struct msg_transfer_result transfer;
    struct msg_payload_result payload;
    unsigned conflicts;
    struct msg_head_event conflict;
    int result_fd; /* of the newest export or payload answer; -1 */
};

struct cluster {
    char dir[200];
    struct cnode nodes[CLUSTER_NODES];
    uint64_t next_record_ns;
};

/* One made-up block: its record and identity. */
struct block {
    uint8_t *record; /* malloc'd */
    size_t len;
    struct block_id id;
    uint8_t parent[HASH_SIZE];
};

void cluster_open(struct cluster *c);
void cluster_close(struct cluster *c); /* kills what runs, removes the files */

void node_spawn(struct cluster *c, unsigned i, bool bootstrap);
void node_kill(struct cluster *c, unsigned i); /* SIGKILL, and waits for its end */
/* Runs the executable by hand on that node's storage; returns its exit code. */
int node_force(struct cluster *c, unsigned i, bool is_yes);
/* Waits for an exit of its own; returns the wait status. */
int node_wait_exit(struct cluster *c, unsigned i, unsigned timeout_ms);
/* Forgets its disk. */
void node_wipe(struct cluster *c, unsigned i);
void node_wait_ready(struct cluster *c, unsigned i);
/* rpcd dies, and another one is connected. */
void node_drop_rpcd(struct cluster *c, unsigned i);
void node_open_rpcd(struct cluster *c, unsigned i);
/* The newest page. */
struct page_consensus node_page(struct cluster *c, unsigned i);

/* Handles messages for up to timeout_ms, or until done(ctx) is true; returns whether it is. */
typedef bool (*cluster_done_fn)(struct cluster *c, void *ctx);
bool cluster_run(struct cluster *c, unsigned timeout_ms, cluster_done_fn done, void *ctx);
/* The ready leader's number; waits. Fails the test after timeout_ms. `not_this`: a node that does not
 * count, or -1. */
unsigned cluster_wait_leader(struct cluster *c, unsigned timeout_ms, int not_this);
/* Until that node's page shows the block as head. */
void cluster_wait_head(struct cluster *c, unsigned i, const struct block_id *head, unsigned timeout_ms);

/* A block of about `bytes` bytes on top of parent (NULL: a first one), `salt` makes siblings differ. */
struct block block_make(const struct block *parent, size_t bytes, unsigned salt);
void block_free(struct block *b);

/* Commits through the ring (or by memfd if it is larger) and waits for the answer. */
int node_commit(struct cluster *c, unsigned i, const struct block *b, unsigned deadline_ms);
int node_member_op(struct cluster *c, unsigned i, enum member_verb verb, const struct cnode *target, uint64_t version,
                   unsigned deadline_ms);
int node_transfer(struct cluster *c, unsigned i, const char *target);
int node_export(struct cluster *c, unsigned i, uint64_t above_number);
/* An operator's word; answered like a membership operation. */
int node_adopt_head(struct cluster *c, unsigned i, const struct block_id *head);
/* As its supervisor: permit for that head, or its end. */
void node_send_permit(struct cluster *c, unsigned i, enum permit_verb verb, const struct block_id *head);
int node_get_payload(struct cluster *c, unsigned i, uint64_t number);

#endif
