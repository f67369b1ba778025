/* One conductor with fake workers, for tests of the glue: what it sends is recorded, what the workers
 * would answer is said by the test. */
#ifndef OC_TESTS_FAKE_NODE_H
#define OC_TESTS_FAKE_NODE_H

#include "supervisor/conductor.h"

#include <stddef.h>

#define FAKE_SENT_MAX 64
#define FAKE_STORY_MAX 64

struct fake_sent {
    enum proc_role to;
    enum msg_type type;
    uint64_t request_id;
    int fd_given;
    union {
        struct msg_node_cmd node_cmd;
        struct msg_export export;
        struct msg_permit permit;
        struct msg_transfer transfer;
        struct msg_admin_result admin_result;
        struct msg_self_record record;
        struct msg_node_event node_event;
        struct msg_clock clock;
    } body;
};

struct fake_node {
    struct options opts;
    struct conductor *c;
    char *argv[2];
    uint64_t now_ns;
    bool down[16]; /* by role: sends fail */
    struct fake_sent sent[FAKE_SENT_MAX];
    size_t sent_count;
    struct flight_record story[FAKE_STORY_MAX]; /* told to the flight recorder: a ring */
    size_t story_count;
    struct msg_self_record record; /* the newest */
    unsigned records, publishes, stop_finished, node_starts, node_stops, node_restarts, worker_restarts;
    struct page_supervisor page;
    /* consensus's page */
    struct page_writer *writer;
    struct page_reader *reader;
    struct page_consensus consensus;
};

/* A node called `id`, unmanaged unless `managed`. Time starts at 1 s; no worker is up. */
void fake_open(struct fake_node *f, const char *id, bool managed);
void fake_close(struct fake_node *f);
/* All workers (and op-node) come up. */
void fake_workers_up(struct fake_node *f);
void fake_worker(struct fake_node *f, enum proc_role role, bool up);

/* Time goes on by `ms`, with ticks whenever the conductor asked for one. */
void fake_run_ms(struct fake_node *f, uint64_t ms);

/* The newest recorded message of that type not looked at yet, which it forgets; fails the test
 * without one. SELF_RECORDs are not recorded here. */
struct fake_sent fake_take(struct fake_node *f, enum msg_type type);
/* Fails the test if such a message was recorded. */
void fake_expect_none(struct fake_node *f, enum msg_type type);

/* The newest record of that kind; NULL: none among the last. */
const struct flight_record *fake_told(const struct fake_node *f, enum flight_kind kind);

/* ---- what workers say ---- */
void fake_leadership(struct fake_node *f, uint64_t term, bool ready, const char *leader_id);
void fake_health(struct fake_node *f, bool healthy, enum node_tristate active);
/* A check that finds the head too old. */
void fake_lag(struct fake_node *f);
/* Consensus's head, on its page. */
void fake_set_head(struct fake_node *f, uint64_t number);
struct page_server *fake_add_server(struct fake_node *f, const char *id, enum ready_reason reason);
void fake_publish(struct fake_node *f);
/* The same with other heads than the consensus head. */
void fake_heads(struct fake_node *f, uint64_t unsafe_number, uint64_t el_number, enum node_tristate active);
/* Consensus refused a payload. */
void fake_conflict(struct fake_node *f, uint64_t from_number, bool is_ahead);
void fake_export_result(struct fake_node *f, uint64_t request_id, int rc);
void fake_node_result(struct fake_node *f, const struct fake_sent *cmd, enum node_rc rc, enum node_tristate active);
void fake_transfer_result(struct fake_node *f, uint64_t request_id, int rc);
void fake_admin(struct fake_node *f, uint64_t request_id, enum admin_verb verb, const char *id);

/* Leader in term 1 with the sequencer started and permitted; checks every step on the way. */
void fake_become_sequencing_leader(struct fake_node *f);

#endif
