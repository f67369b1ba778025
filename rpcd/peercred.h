/* Who is at the other end of the admin socket, as the kernel says. The rights of the socket's file say the same, but
 * a file's rights are easily changed. */
#ifndef OC_RPCD_PEERCRED_H
#define OC_RPCD_PEERCRED_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

/* Pure: root, our own user, or a member (by its main group or one of `groups`) of our group. */
bool peercred_is_welcome(uid_t uid, gid_t gid, const gid_t *groups, size_t group_count, uid_t own_uid, gid_t own_gid);

/* The same of a connected Unix socket. NULL: welcome; else what to tell the peer. */
const char *peercred_refuse(int fd);

#endif
