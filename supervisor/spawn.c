/* fork and exec with an exact set of fds, default signals and, for op-node, its own group and user. */
#include "supervisor/spawn.h"

#include "shared/base/fd.h"

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <linux/close_range.h>
#include <pwd.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/pidfd.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <unistd.h>

/* ---- in the child: system calls only ---- */

/* Sources move above all targets first: a dup2 onto a number that is a source of a later one would
 * lose it, and one onto itself would keep close-on-exec. */
static int place_fds(const struct spawn_spec *spec, int *status_fd)
{
    int moved[SPAWN_FDS_MAX];
    int status;

    for (unsigned i = 0; i < spec->fd_count; i++) {
        moved[i] = fcntl(spec->fds[i], F_DUPFD_CLOEXEC, SPAWN_FDS_MAX);
        if (moved[i] < 0)
            return -1;
    }
    status = fcntl(*status_fd, F_DUPFD_CLOEXEC, SPAWN_FDS_MAX);
    if (status < 0)
        return -1;
    *status_fd = status;
    for (unsigned i = 0; i < spec->fd_count; i++) {
        if (dup2(moved[i], (int)i) < 0)
            return -1;
    }
    /* Not closed yet, because the status pipe has to outlive this; exec closes them. */
    return close_range(spec->fd_count, ~0U, CLOSE_RANGE_CLOEXEC);
}

static int become_user(const struct spawn_user *user)
{
    if (setgroups(user->group_count, user->groups) < 0 || setresgid(user->gid, user->gid, user->gid) < 0 ||
        setresuid(user->uid, user->uid, user->uid) < 0)
        return -1;
    return 0;
}

static void reset_signals(void)
{
    struct sigaction act;
    sigset_t none;

    memset(&act, 0, sizeof act);
    act.sa_handler = SIG_DFL;
    for (int sig = 1; sig < NSIG; sig++)
        (void)sigaction(sig, &act, NULL);
    (void)sigemptyset(&none);
    (void)sigprocmask(SIG_SETMASK, &none, NULL);
}

static _Noreturn void fail_child(int status_fd, int step)
{
    const struct spawn_failure failure = {.step = step, .err = errno};
    ssize_t n = write(status_fd, &failure, sizeof failure);

    _exit(n == (ssize_t)sizeof failure ? 127 : 126);
}

static _Noreturn void run_child(const struct spawn_spec *spec, int status_fd, pid_t parent)
{
    if (spec->own_group && setpgid(0, 0) < 0)
        fail_child(status_fd, SPAWN_STEP_GROUP);
    if (place_fds(spec, &status_fd) < 0)
        fail_child(status_fd, SPAWN_STEP_FDS);
    if (spec->user && become_user(spec->user) < 0)
        fail_child(status_fd, SPAWN_STEP_USER);
    if (spec->no_new_privs && prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0)
        fail_child(status_fd, SPAWN_STEP_PRCTL);
    if (spec->death_signal != 0) {
        /* After the change of user, which clears it. We may have died before it was set. */
        if (prctl(PR_SET_PDEATHSIG, spec->death_signal, 0, 0, 0) < 0)
            fail_child(status_fd, SPAWN_STEP_PRCTL);
        if (getppid() != parent)
            _exit(0);
    }
    reset_signals();
    (void)execve(spec->path, spec->argv, spec->envp);
    fail_child(status_fd, SPAWN_STEP_EXEC);
}

/* ---- in the supervisor ---- */

int spawn_process(const struct spawn_spec *spec, struct spawned *ret)
{
    int status[2] = {-1, -1};
    pid_t self = getpid();
    sigset_t all, old;
    pid_t pid;
    int rc;

    *ret = (struct spawned){.pid = 0, .pidfd = -1, .status_fd = -1};
    if (pipe2(status, O_CLOEXEC) < 0)
        return -errno;
    (void)sigfillset(&all);
    (void)sigprocmask(SIG_SETMASK, &all, &old);
    pid = fork();
    if (pid == 0)
        run_child(spec, status[1], self);
    rc = pid < 0 ? -errno : 0;
    (void)sigprocmask(SIG_SETMASK, &old, NULL);
    fd_close(&status[1]);
    if (rc < 0)
        goto out;
    /* Our own child and not reaped: the number cannot be another process's. */
    ret->pidfd = pidfd_open(pid, 0);
    if (ret->pidfd < 0) {
        rc = -errno;
        (void)kill(pid, SIGKILL);
        goto out;
    }
    (void)fd_set_nonblocking(status[0]);
    ret->pid = pid;
    ret->status_fd = status[0];
    return 0;
out:
    fd_close(&status[0]);
    return rc;
}

const char *spawn_step_text(int step)
{
    switch (step) {
    case SPAWN_STEP_FDS:
        return "cannot prepare its file descriptors";
    case SPAWN_STEP_GROUP:
        return "cannot make its process group";
    case SPAWN_STEP_USER:
        return "cannot change to its user (that needs root, or CAP_SETUID and CAP_SETGID)";
    case SPAWN_STEP_PRCTL:
        return "cannot set its process attributes";
    default:
        return "cannot execute it";
    }
}

static void add_group(struct spawn_user *user, gid_t gid)
{
    if (user->group_count < SPAWN_GROUPS_MAX)
        user->groups[user->group_count++] = gid;
}

static void collect_groups(struct spawn_user *user, const char *name)
{
    FILE *file = fopen("/etc/group", "re");
    const struct group *g;

    add_group(user, user->gid);
    if (!file)
        return;
    while ((g = fgetgrent(file)) != NULL) {
        for (char **m = g->gr_mem; *m; m++) {
            if (strcmp(*m, name) == 0 && g->gr_gid != user->gid)
                add_group(user, g->gr_gid);
        }
    }
    (void)fclose(file);
}

int spawn_find_user(const char *name, struct spawn_user *ret)
{
    char *end;
    unsigned long number = strtoul(name, &end, 10);
    bool is_number = *name != '\0' && *end == '\0';
    FILE *file = fopen("/etc/passwd", "re");
    const struct passwd *pw;
    int rc = -ENOENT;

    if (!file)
        return -errno;
    *ret = (struct spawn_user){0};
    while ((pw = fgetpwent(file)) != NULL) {
        if (strcmp(pw->pw_name, name) == 0 || (is_number && pw->pw_uid == number)) {
            ret->uid = pw->pw_uid;
            ret->gid = pw->pw_gid;
            collect_groups(ret, pw->pw_name);
            rc = 0;
            break;
        }
    }
    (void)fclose(file);
    return rc;
}

static int check_program(const char *path)
{
    struct stat st;

    if (stat(path, &st) < 0)
        return -errno;
    if (!S_ISREG(st.st_mode) || access(path, X_OK) < 0)
        return -EACCES;
    return 0;
}

int spawn_find_program(const char *name, const char *path_list, char *ret, size_t ret_size)
{
    const char *dir = path_list ? path_list : "/usr/local/bin:/usr/bin:/bin";
    int best = -ENOENT;

    if (strchr(name, '/')) {
        int n = snprintf(ret, ret_size, "%s", name);
        return n < 0 || (size_t)n >= ret_size ? -ENAMETOOLONG : check_program(ret);
    }
    for (;;) {
        size_t len = strcspn(dir, ":");
        int n = snprintf(ret, ret_size, "%.*s/%s", len ? (int)len : 1, len ? dir : ".", name);

        if (n >= 0 && (size_t)n < ret_size) {
            int rc = check_program(ret);
            if (rc == 0)
                return 0;
            if (rc == -EACCES)
                best = rc;
        }
        if (dir[len] == '\0')
            return best;
        dir += len + 1;
    }
}
