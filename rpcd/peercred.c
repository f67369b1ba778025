/* The credentials of a connection's peer (see peercred.h). */
#include "rpcd/peercred.h"

#include <sys/socket.h>
#include <unistd.h>

/* More than anybody has by hand; a peer with more is judged by its user and main group alone. */
#define GROUPS_MAX 1024

bool peercred_is_welcome(uid_t uid, gid_t gid, const gid_t *groups, size_t group_count, uid_t own_uid, gid_t own_gid)
{
    if (uid == 0 || uid == own_uid || gid == own_gid)
        return true;
    for (size_t i = 0; i < group_count; i++)
        if (groups[i] == own_gid)
            return true;
    return false;
}

const char *peercred_refuse(int fd)
{
    gid_t groups[GROUPS_MAX];
    struct ucred peer;
    socklen_t len = sizeof peer, groups_len = sizeof groups;
    if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &len) < 0)
        return "the system does not say who you are";
    if (getsockopt(fd, SOL_SOCKET, SO_PEERGROUPS, groups, &groups_len) < 0)
        groups_len = 0;
    if (peercred_is_welcome(peer.uid, peer.gid, groups, groups_len / sizeof *groups, geteuid(), getegid()))
        return NULL;
    return "only root, the conductor's user and members of its group may use this socket";
}
