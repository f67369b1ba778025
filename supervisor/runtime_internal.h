/* What the parts of the runtime share. */
#ifndef OC_SUPERVISOR_RUNTIME_INTERNAL_H
#define OC_SUPERVISOR_RUNTIME_INTERNAL_H

#include "supervisor/broker.h"
#include "supervisor/child.h"
#include "supervisor/conductor.h"
#include "supervisor/link.h"
#include "supervisor/listener_admin.h"
#include "supervisor/notify.h"
#include "supervisor/opnode.h"
#include "supervisor/recorder.h"
#include "supervisor/runtime.h"
#include "supervisor/workers.h"

/* The ordered stop: each step begins when the one before has finished or run out of time. rpcd outlives
 * op-node, which calls it back while stopping; consensus is last, so that nothing it acknowledged is late. */
enum stop_stage {
    STOP_NOT,
    STOP_HANDOVER,
    STOP_NODE,
    STOP_RPCD,
    STOP_HEALTHD,
    STOP_CONSENSUS,
    STOP_DONE,
};

/* Of the newest process of a child, for its record. */
struct life {
    uint64_t spawned_ns;
    pid_t pid;
};

struct runtime {
    const struct options *opts;
    struct logout *out;
    struct loop *loop;
    struct notify notify;
    struct loop_source signal_source;
    struct loop_source stdout_source;
    int signal_fd;

    struct workers workers;
    struct opnode opnode;
    struct child_hooks hooks;
    struct child children[CHILD_COUNT]; /* by CHILD_CONSENSUS, … */
    struct link links[CHILD_NODE];
    int spawn_control_fd; /* the child's ends, during a spawn */
    int spawn_config_fd;

    int rpc_fd;
    int metrics_fd;
    struct admin_socket admin;
    struct broker broker;

    struct recorder *recorder; /* NULL: no memory for one */
    struct nodelog *node_log;  /* NULL: op-node is not managed, or no memory for one */
    struct life lives[CHILD_COUNT];
    struct conductor *conductor;
    struct page_writer *page;
    struct page_supervisor status; /* as the conductor published it last */
    struct page_histogram loop_times;
    bool status_changed;
    uint64_t beaten_ns;

    bool node_was_started;
    bool node_is_announced;
    bool said_ready;
    bool sweep_orphans;

    enum stop_stage stage;
    bool handover_is_over;
    uint64_t handover_end_ns;
    int exit_code;

    uint64_t reported_drops;
    uint64_t next_drop_report_ns;
};

/* runtime_children.c: sets up children and links, and reacts to their lives. */
int runtime_init_children(struct runtime *rt);
/* Whether `pid` is a worker or op-node. `ctx` is the runtime. */
bool runtime_is_own_child(void *ctx, pid_t pid);
/* Starts op-node once its surroundings are up. */
void runtime_start_node_when_due(struct runtime *rt);
/* Ends and collects what op-node left behind. */
void runtime_sweep_orphans(struct runtime *rt);

/* runtime_io.c: the conductor's hands. */
void runtime_fill_io(struct runtime *rt, struct conductor_io *ret);
void runtime_publish(struct runtime *rt, uint64_t now_ns);

/* runtime_story.c: the flight recorder. Opens it and tells of the start. */
void runtime_story_open(struct runtime *rt, uint64_t now_ns);
void runtime_story_changed(struct runtime *rt, const struct child *c, enum lifecycle_state old, uint64_t now_ns);
/* How its newest process ended, and why if that was our doing. */
void runtime_describe_end(const struct child *c, char *ret, size_t size);
/* FLIGHT_STOPPING or FLIGHT_ENDED. */
void runtime_story_end(struct runtime *rt, uint64_t now_ns, enum flight_kind kind, int exit_code, const char *why);

/* runtime_stop.c: the ordered stop. `why` is a literal for the log. */
void runtime_begin_stop(struct runtime *rt, uint64_t now_ns, int exit_code, const char *why);
void runtime_hasten_stop(struct runtime *rt, uint64_t now_ns);
void runtime_advance_stop(struct runtime *rt, uint64_t now_ns);
uint64_t runtime_stop_deadline(const struct runtime *rt);
/* The supervisor's exit code after `c` failed for good. */
int runtime_exit_code_of(const struct child *c);

#endif
