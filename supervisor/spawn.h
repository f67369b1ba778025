/* Creating a process: fork, an exact set of fds, clean signals, optionally another user, exec. */
#ifndef OC_SUPERVISOR_SPAWN_H
#define OC_SUPERVISOR_SPAWN_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

#define SPAWN_FDS_MAX 8
#define SPAWN_GROUPS_MAX 64

struct spawn_user {
    uid_t uid;
    gid_t gid;
    gid_t groups[SPAWN_GROUPS_MAX];
    size_t group_count;
};

/* Everything is prepared by the caller and borrowed: the child only makes system calls. */
struct spawn_spec {
    const char *path; /* of the executable, no search */
    char *const *argv;
    char *const *envp;
    int fds[SPAWN_FDS_MAX]; /* fds[i] becomes fd i; all others are closed */
    unsigned fd_count;
    bool own_group;                /* its own process group, so that its descendants can be killed with it */
    int death_signal;              /* sent to it when we die; 0: none */
    bool no_new_privs;             /* set-id programs gain nothing below it */
    const struct spawn_user *user; /* NULL: as ourselves */
};

enum spawn_step { SPAWN_STEP_FDS = 1, SPAWN_STEP_GROUP, SPAWN_STEP_USER, SPAWN_STEP_PRCTL, SPAWN_STEP_EXEC };

/* What the child writes into its status pipe when it cannot exec; end of file means exec succeeded. */
struct spawn_failure {
    int step; /* enum spawn_step */
    int err;  /* errno */
};

struct spawned {
    pid_t pid;
    int pidfd;
    int status_fd; /* non-blocking; read struct spawn_failure or end of file */
};

/* Returns 0, or -errno when no process exists. The fds in *ret are the caller's. Does not wait. */
int spawn_process(const struct spawn_spec *spec, struct spawned *ret);

/* "cannot execute", "cannot change user", … */
const char *spawn_step_text(int step);

/* Finds a user by name or number in the system's passwd and group files (not through name services,
 * which may block). Returns 0, -ENOENT, or -errno. */
int spawn_find_user(const char *name, struct spawn_user *ret);

/* As execvp: a name with a slash is taken as it is, others are searched in `path_list` (PATH's value,
 * NULL: a default). Writes the executable's path to ret. Returns 0, -ENOENT, -EACCES or -ENAMETOOLONG. */
int spawn_find_program(const char *name, const char *path_list, char *ret, size_t ret_size);

#endif
