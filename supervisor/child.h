/* One supervised process, worker or op-node: its life (lifecycle.h) carried out. The process, its
 * exit, its output and its restarts are handled here; what is special to a kind comes by hooks.
 */
#ifndef OC_SUPERVISOR_CHILD_H
#define OC_SUPERVISOR_CHILD_H

#include "shared/proto/proto.h"
#include "supervisor/backoff.h"
#include "supervisor/lifecycle.h"
#include "supervisor/logpipe.h"
#include "supervisor/loop.h"
#include "supervisor/spawn.h"

#include <stdbool.h>
#include <stdint.h>

#define CHILD_REASON_SIZE (LOGPIPE_LAST_BYTES + 512)

struct child;

struct child_hooks {
    void *ctx;
    /* Fills path, argv, envp, fds from 3 on and the rest of `spec` (fds 0-2 are set). Returns 0 or a
     * negative code with a sentence in `error`; -ENOENT and -EACCES count as a failed exec. */
    int (*prepare)(void *ctx, struct child *c, struct spawn_spec *spec, char *error, size_t error_size);
    /* After the spawn, or when it failed: release what only the child needs. */
    void (*spawned)(void *ctx, struct child *c, bool ok);
    void (*send_start)(void *ctx, struct child *c);
    void (*send_drain)(void *ctx, struct child *c, uint64_t deadline_ns);
    /* The state is another one now. Must not change it again from inside. */
    void (*changed)(void *ctx, struct child *c, enum lifecycle_state old, uint64_t now_ns);
};

struct child {
    /* ---- what it is: set once ---- */
    enum life_kind kind;
    const char *name;
    struct childline_style log_style;
    struct nodelog *kept_log; /* of its output, too; NULL, as child_init leaves it: none */
    struct life_limits limits;
    uint64_t backoff_cap_ms;
    const struct child_hooks *hooks;
    struct loop *loop;
    struct logout *out;

    /* ---- its life ---- */
    enum lifecycle_state state;
    uint64_t since_ns;
    uint64_t deadline_ns; /* of the state; UINT64_MAX: none */
    uint64_t ready_ns;    /* since when this incarnation is ready; 0: not yet */
    uint32_t incarnation;
    uint32_t restarts;
    bool wanted;
    struct backoff backoff;
    uint64_t delay_ms; /* before the next start */

    /* ---- asked for from within callbacks, done in child_tick ---- */
    bool start_asked;
    bool stop_asked;
    bool restart_asked; /* until its exit, which then is no death */
    const char *fault;  /* why it is to be killed; a literal */

    /* ---- the process ---- */
    pid_t pid; /* 0: none */
    int pidfd;
    int status_fd;
    struct spawn_failure failure;
    int final_code; /* a code of enum worker_exit that we found out ourselves; 0: none */
    struct logpipe log;
    struct loop_source pid_source, status_source, log_source;

    int exit_code; /* of the newest exit */
    int exit_signal;
    char reason[CHILD_REASON_SIZE]; /* why it FAILED */
};

/* Sets everything up, in state DOWN. The strings, hooks, loop and out are borrowed. */
void child_init(struct child *c, enum life_kind kind, const char *name, const struct childline_style *log_style,
                const struct child_hooks *hooks, struct loop *loop, struct logout *out);

/* These ask; child_tick does it, so that they may be called from anywhere. */
void child_ask_start(struct child *c);
void child_ask_stop(struct child *c);
void child_ask_restart(struct child *c);
/* It misbehaves: kill it. `why` is a literal; the first one counts. */
void child_ask_kill(struct child *c, const char *why);

/* The next rung of the stop ladder, at once. */
void child_hasten(struct child *c, uint64_t now_ns);

/* An event that a kind's own code saw (HELLO, READY, CHAN_END). */
void child_event(struct child *c, uint64_t now_ns, enum life_event event);

/* Once per turn: what was asked, what is due. */
void child_tick(struct child *c, uint64_t now_ns);
/* When child_tick has to be called next; UINT64_MAX: no need. */
uint64_t child_next_deadline(const struct child *c);

/* How its newest process ended: "ended by signal 9 (Killed)", "exit code 1", … */
void child_describe_exit(const struct child *c, char *ret, size_t size);

/* Collects its exit if it has ended. */
void child_check_exit(struct child *c, uint64_t now_ns);

/* Nothing runs and nothing will: DOWN or FAILED. */
bool child_is_at_rest(const struct child *c);

void child_fill_page(const struct child *c, struct page_child *ret);

#endif
