/* The Unix socket for local operators. Like the other listeners it lives as long as the supervisor and is handed to
 * rpcd, which also checks who is at the other end of each connection. */
#ifndef OC_SUPERVISOR_LISTENER_ADMIN_H
#define OC_SUPERVISOR_LISTENER_ADMIN_H

#include "supervisor/options.h"

#include <stddef.h>
#include <sys/types.h>

struct admin_socket {
    int fd; /* -1: none */
    char path[OPTIONS_SOCKET_SIZE];
    dev_t device; /* of the file that we made: another one in its place is not ours to remove */
    ino_t inode;
};

/* Where it shall be: --rpc.admin-socket; if that is not given, admin.sock in the runtime directory that systemd made
 * for us ($RUNTIME_DIRECTORY), or in /run/op-conductor if that directory belongs to us. "": nowhere. */
void listener_admin_choose(const struct options *opts, char *const envp[], char *ret, size_t ret_size);

/* Binds and listens at `path`, readable and writable for user and group. The file of a process that is gone is
 * replaced, that of a live one is not. Returns 0, or a negative code with a sentence for the operator in `error`. */
int listener_admin_open(struct admin_socket *s, const char *path, char *error, size_t error_size);

/* Closes it and removes its file, if it is still ours. Accepts one that was never opened (fd -1). */
void listener_admin_close(struct admin_socket *s);

#endif
