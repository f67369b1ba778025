/* A supervisor of its own in a temporary directory, with fake workers beside it. */
#ifndef OC_TESTS_SUPERVISOR_RIG_H
#define OC_TESTS_SUPERVISOR_RIG_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

#define RIG_WAIT_MS 30000

struct rig {
    char dir[64];
    pid_t pid;  /* of the supervisor; 0 when it was collected */
    char *text; /* of the newest rig_read */
    size_t text_size;
};

void rig_open(struct rig *r);
/* Ends what is left (by pid) and removes the directory. */
void rig_close(struct rig *r);

/* How the worker behaves from its next start on; see fake_worker.c. */
void rig_set_behaviour(struct rig *r, const char *role, const char *behaviour);

/* Starts it; `node_script` is run by sh as op-node (NULL: none), with $J as the journal. `extra` is one
 * more flag or NULL. Output goes to the file "log", or to `out_fd` unless that is -1. */
void rig_start(struct rig *r, const char *node_script, const char *extra, int out_fd);

/* The same with another program as op-node. */
void rig_start_program(struct rig *r, const char *program);

/* The whole of a file of the directory ("journal", "log"), borrowed until the next call. */
const char *rig_read(struct rig *r, const char *name);
/* Waits until a file contains `text`; fails the test otherwise. */
void rig_wait_for(struct rig *r, const char *name, const char *text);
/* The pid in the first journal line that begins with `begin` ("rpcd ready 1"); fails if there is none. */
pid_t rig_pid(struct rig *r, const char *begin);
/* Where in the journal `begin` is; fails if it is not. */
size_t rig_position(struct rig *r, const char *begin);

/* Waits for the supervisor's end and returns its exit code (128 + signal if killed). */
int rig_wait_exit(struct rig *r, int timeout_ms);
/* No process that ever wrote into the journal is left, within a moment. */
void rig_check_nothing_left(struct rig *r);

#endif
