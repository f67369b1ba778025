/* A real op-conductor-rpcd whose supervisor, consensus and upstreams are played by a thread. */
#ifndef OC_TESTS_UNIT_RPCD_FIXTURE_H
#define OC_TESTS_UNIT_RPCD_FIXTURE_H

#include "shared/ipc/chan.h"
#include "shared/ipc/ring.h"
#include "shared/shm/pages.h"
#include "shared/worker/worker.h"

#include <pthread.h>
#include <stdbool.h>
#include <sys/types.h>

struct fixture {
    pid_t pid;
    uint16_t rpc_port, metrics_port, admin_port, upstream_port;
    int metrics_fd, rpc_fd, admin_fd, upstream_fd; /* the admin socket on TCP: nobody says who asks */
    struct chan *sup, *cons;                       /* our ends */
    struct ring_view ring;
    bool ring_open, is_running, stop;
    pthread_t thread, upstream;
    pthread_mutex_t lock; /* guards everything below, and the channels */
    struct page_writer *page_sup, *page_cons, *page_health;
    struct page_supervisor body_sup;
    struct page_consensus body_cons;
    struct page_health body_health;
    bool beat_cons;
    uint32_t cons_incarnation;
    /* What the played processes do and have seen. */
    int commit_rc;    /* rc of COMMIT_RESULT */
    bool commit_mute; /* no answer at all */
    unsigned commits_seen, commits_by_fd, commits_bad;
    struct msg_commit last_commit;
    uint8_t *last_record; /* malloc'd */
    struct msg_admin last_admin;
    struct msg_note last_note;
    int admin_rc;
    struct msg_member_op last_member;
    int member_rc;
    bool upstream_fails;
    size_t upstream_bytes; /* of the result's text when not 0; with upstream_fails its end is missing */
};

/* Starts rpcd, hands over listeners and pages, connects consensus; this node leads. */
void fixture_start(struct fixture *f);
/* Ends all; returns rpcd's exit code. */
int fixture_stop(struct fixture *f);

/* state as enum raft_role; leader "" = unknown. */
void fixture_set_raft(struct fixture *f, uint32_t state, bool ready, const char *leader);
void fixture_publish_supervisor(struct fixture *f);
void fixture_consensus_down(struct fixture *f, bool tell_rpcd);
void fixture_consensus_up(struct fixture *f);

/* Posts a body; returns the answer's body (malloc'd). */
char *fixture_call(struct fixture *f, const char *body);
/* A commit request for block `number` with `tx_bytes` of transactions; malloc'd. */
char *fixture_commit_body(uint64_t number, size_t tx_bytes, size_t *ret_len);

#endif
