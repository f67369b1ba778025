/* Binds the admin socket and removes it (see listener_admin.h). */
#include "supervisor/listener_admin.h"

#include "shared/base/err.h"
#include "shared/base/fd.h"
#include "supervisor/env.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#define FLAG_NAME "--rpc.admin-socket"
#define FILE_NAME "admin.sock"
#define BACKLOG 64
/* 0660: user and group. */
#define SOCKET_UMASK 0117

_Static_assert(OPTIONS_SOCKET_SIZE == sizeof((struct sockaddr_un *)NULL)->sun_path, "a path that fits is bound");

static bool is_our_directory(const char *path)
{
    struct stat st;

    return stat(path, &st) == 0 && S_ISDIR(st.st_mode) && st.st_uid == geteuid();
}

void listener_admin_choose(const struct options *opts, char *const envp[], char *ret, size_t ret_size)
{
    const char *dirs = env_find(envp, "RUNTIME_DIRECTORY"); /* with a colon between several */
    size_t len = dirs != NULL ? strcspn(dirs, ":") : 0;

    ret[0] = '\0';
    if (opts->admin_socket_given)
        (void)snprintf(ret, ret_size, "%s", opts->admin_socket);
    else if (len > 0 && len + sizeof "/" FILE_NAME <= ret_size)
        (void)snprintf(ret, ret_size, "%.*s/" FILE_NAME, (int)len, dirs);
    else if (len == 0 && is_our_directory("/run/op-conductor"))
        (void)snprintf(ret, ret_size, "/run/op-conductor/" FILE_NAME);
}

/* Whether a process has a socket bound to this file. A datagram to a stream socket never arrives; the error tells
 * whether somebody is there, without connecting. */
static int find_owner(const struct sockaddr_un *addr)
{
    int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    int rc = 0;

    if (fd < 0)
        return -errno;
    if (sendto(fd, "", 0, MSG_DONTWAIT | MSG_NOSIGNAL, (const struct sockaddr *)addr, sizeof *addr) == 0 ||
        errno == EPROTOTYPE) /* taken: by a datagram socket, or by another kind */
        rc = -EADDRINUSE;
    else if (errno != ECONNREFUSED)
        rc = -errno;
    fd_close(&fd);
    return rc;
}

static const char *advice(int err)
{
    switch (err) {
    case EADDRINUSE:
        return "; another process serves it: stop that one, or choose another path";
    case ENOTSOCK:
        return "; there is a file that is no socket: remove it, or choose another path";
    case ENOENT:
    case ENOTDIR:
        return "; make its directory first";
    case EACCES:
    case EPERM:
    case EROFS:
        return "; this user must be able to write to its directory";
    default:
        return "";
    }
}

/* Makes way: removes the file of a process that is gone. */
static int clear_path(const struct sockaddr_un *addr)
{
    struct stat st;
    int rc;

    if (lstat(addr->sun_path, &st) < 0)
        return errno == ENOENT ? 0 : -errno;
    if (!S_ISSOCK(st.st_mode))
        return -ENOTSOCK;
    rc = find_owner(addr);
    if (rc == 0 && unlink(addr->sun_path) < 0)
        rc = -errno;
    return rc;
}

int listener_admin_open(struct admin_socket *s, const char *path, char *error, size_t error_size)
{
    struct sockaddr_un addr = {.sun_family = AF_UNIX};
    struct stat st;
    mode_t old_umask;
    int rc;

    s->fd = -1;
    (void)snprintf(addr.sun_path, sizeof addr.sun_path, "%s", path);
    rc = clear_path(&addr);
    if (rc < 0)
        goto out;
    s->fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    old_umask = umask(SOCKET_UMASK);
    if (s->fd < 0 || bind(s->fd, (const struct sockaddr *)&addr, sizeof addr) < 0)
        rc = -errno;
    (void)umask(old_umask);
    if (rc < 0)
        goto out;
    (void)snprintf(s->path, sizeof s->path, "%s", path);
    if (listen(s->fd, BACKLOG) < 0 || lstat(path, &st) < 0) {
        rc = -errno;
        goto out;
    }
    s->device = st.st_dev;
    s->inode = st.st_ino;
out:
    if (rc < 0) {
        fd_close(&s->fd);
        (void)snprintf(error, error_size, "cannot listen on %s (" FLAG_NAME "): %s%s", path, err_text(rc), advice(-rc));
    }
    return rc;
}

void listener_admin_close(struct admin_socket *s)
{
    struct stat st;

    if (s->fd < 0)
        return;
    fd_close(&s->fd);
    if (lstat(s->path, &st) == 0 && st.st_dev == s->device && st.st_ino == s->inode)
        (void)unlink(s->path);
}
