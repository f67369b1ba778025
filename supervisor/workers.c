/* Executables and sealed configurations of the workers. */
#include "supervisor/workers.h"

#include "shared/base/err.h"
#include "shared/base/fd.h"
#include "shared/worker/worker.h"
#include "supervisor/childenv.h"
#include "supervisor/config_pack.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static bool has_all(const char *dir)
{
    static const enum proc_role roles[] = {ROLE_CONSENSUS, ROLE_HEALTHD, ROLE_RPCD};
    char path[PATH_MAX + 64];

    for (size_t i = 0; i < sizeof roles / sizeof roles[0]; i++) {
        (void)snprintf(path, sizeof path, "%s/op-conductor-%s", dir, proc_role_name(roles[i]));
        if (access(path, X_OK) < 0)
            return false;
    }
    return true;
}

static int find_dir(struct workers *w, char *error, size_t error_size)
{
    static const char *const places[] = {"", "/../libexec/op-conductor"};
    char self[PATH_MAX];
    ssize_t n = readlink("/proc/self/exe", self, sizeof self - 1);
    char *slash;

    if (n < 0) {
        (void)snprintf(error, error_size, "cannot find out where op-conductor is installed (/proc/self/exe): %s",
                       err_text(-errno));
        return -errno;
    }
    self[n] = '\0';
    slash = strrchr(self, '/');
    if (slash)
        *slash = '\0';
    for (size_t i = 0; i < sizeof places / sizeof places[0]; i++) {
        int len = snprintf(w->dir, sizeof w->dir, "%s%s", self, places[i]);
        if (len > 0 && (size_t)len < sizeof w->dir && has_all(w->dir))
            return 0;
    }
    (void)snprintf(error, error_size,
                   "op-conductor-consensus, op-conductor-healthd and op-conductor-rpcd are neither in %.200s nor in "
                   "%.200s/../libexec/op-conductor; install all executables together",
                   self, self);
    return -ENOENT;
}

int workers_init(struct workers *w, const struct options *opts, char *const envp[], char *error, size_t error_size)
{
    int rc;

    memset(w, 0, sizeof *w);
    w->opts = opts;
    rc = find_dir(w, error, error_size);
    if (rc < 0)
        return rc;
    w->envp = childenv_build_worker(envp);
    if (!w->envp) {
        (void)snprintf(error, error_size, "out of memory");
        return -ENOMEM;
    }
    return 0;
}

void workers_free(struct workers *w)
{
    childenv_free(w->envp);
    w->envp = NULL;
}

void workers_remember_address(struct workers *w, const char *address)
{
    const char *colon = strrchr(address, ':');
    unsigned long port = colon ? strtoul(colon + 1, NULL, 10) : 0;

    /* An advertised address may be a translated one and says nothing about our port. */
    if (w->opts->consensus_port == 0 && w->opts->consensus_advertised[0] == '\0' && port <= UINT16_MAX)
        w->consensus_port = (uint32_t)port;
}

/* The configuration in a memory file that nobody can change any more. */
static int make_config(const struct workers *w, enum proc_role role, uint32_t incarnation)
{
    union {
        struct config_consensus consensus;
        struct config_healthd healthd;
        struct config_rpcd rpcd;
    } config;
    size_t bytes;
    int fd, rc;

    switch (role) {
    case ROLE_CONSENSUS:
        config_pack_consensus(w->opts, incarnation, &config.consensus);
        if (config.consensus.bind_port == 0)
            config.consensus.bind_port = w->consensus_port;
        bytes = sizeof config.consensus;
        break;
    case ROLE_HEALTHD:
        config_pack_healthd(w->opts, incarnation, &config.healthd);
        bytes = sizeof config.healthd;
        break;
    default:
        config_pack_rpcd(w->opts, incarnation, &config.rpcd);
        bytes = sizeof config.rpcd;
        break;
    }
    /* Writing makes it grow: its size is that of the struct. */
    fd = fd_make_memfd("op-conductor-config", 0);
    if (fd < 0)
        return fd;
    rc = fd_write_all(fd, &config, bytes);
    if (rc == 0)
        rc = fd_seal(fd, FD_SEALS_FINAL);
    if (rc < 0) {
        fd_close(&fd);
        return rc;
    }
    return fd;
}

int workers_prepare(struct workers *w, enum proc_role role, uint32_t incarnation, int control_fd, int *ret_config_fd,
                    struct spawn_spec *spec, char *error, size_t error_size)
{
    int config_fd;

    (void)snprintf(w->path, sizeof w->path, "%s/op-conductor-%s", w->dir, proc_role_name(role));
    if (access(w->path, X_OK) < 0) {
        int rc = -errno;
        (void)snprintf(error, error_size, "cannot execute %s: %s", w->path, err_text(rc));
        return rc;
    }
    config_fd = make_config(w, role, incarnation);
    if (config_fd < 0) {
        (void)snprintf(error, error_size, "cannot make the configuration of %s: %s", proc_role_name(role),
                       err_text(config_fd));
        return config_fd;
    }
    w->argv[0] = w->path;
    w->argv[1] = NULL;
    spec->path = w->path;
    spec->argv = w->argv;
    spec->envp = w->envp;
    spec->fds[WORKER_FD_CONTROL] = control_fd;
    spec->fds[WORKER_FD_CONFIG] = config_fd;
    spec->fd_count = WORKER_FD_CONFIG + 1;
    spec->no_new_privs = true;
    *ret_config_fd = config_fd;
    return 0;
}
