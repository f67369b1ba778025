/* Orphaned descendants: adopted, ended, collected. */
#include "supervisor/reap.h"

#include "shared/base/fd.h"
#include "shared/base/log.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#define REAP_BATCH 64
#define CHILDREN_TEXT_BYTES 8192

int reap_init(void)
{
    return prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0) < 0 ? -errno : 0;
}

void reap_orphans(reap_is_own_fn is_own, void *ctx)
{
    for (int i = 0; i < REAP_BATCH; i++) {
        siginfo_t info;

        memset(&info, 0, sizeof info);
        /* A look first: the exit of a child of our own belongs to its own path. */
        if (waitid(P_ALL, 0, &info, WEXITED | WNOHANG | WNOWAIT) < 0 || info.si_pid == 0)
            return;
        if (is_own(ctx, info.si_pid))
            return;
        (void)waitid(P_PID, (id_t)info.si_pid, &info, WEXITED | WNOHANG);
        LOG_DEBUG("Collected an orphaned process of op-node", LOG_I("process_id", info.si_pid));
    }
}

unsigned reap_kill_orphans(reap_is_own_fn is_own, void *ctx)
{
    char path[64];
    char text[CHILDREN_TEXT_BYTES];
    unsigned count = 0;
    ssize_t n;
    int fd;

    (void)snprintf(path, sizeof path, "/proc/self/task/%d/children", (int)getpid());
    fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return 0;
    n = read(fd, text, sizeof text - 1);
    fd_close(&fd);
    /* Each number is followed by a blank: one that is not was cut off, and would be a stranger's. */
    while (n > 0 && text[n - 1] != ' ')
        n--;
    text[n > 0 ? n : 0] = '\0';
    for (char *at = text;;) {
        char *end;
        long pid = strtol(at, &end, 10);

        if (end == at || pid <= 0)
            return count;
        at = end;
        if (is_own(ctx, (pid_t)pid))
            continue;
        /* Not collected yet, so the number is still that process's. */
        (void)kill((pid_t)pid, SIGKILL);
        count++;
    }
}
