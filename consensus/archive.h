/* Copies of a stopped server's storage, for the day when all of them are lost.
 *
 * A copy is a server that forgets: since it was taken, the server may have voted and acknowledged. So what is restored
 * gets a new storage UUID, which makes it another member (see identity.h): it has no vote in its old cluster until it
 * was removed and added again, and has caught up; or it becomes a cluster of its own (see force.h).
 */
#ifndef OC_CONSENSUS_ARCHIVE_H
#define OC_CONSENSUS_ARCHIVE_H

/* Copies the storage directory `dir`, locked meanwhile, to `to`, which must not exist yet. The copy is read back and
 * checked before it gets that name. Returns an exit code as force_new_cluster does. */
int archive_backup(const char *dir, const char *to);

/* Makes the storage directory `dir`, which must be missing or empty and be named as the server, out of a backup. As
 * root, its files get the owner of the directory around it. Returns an exit code. */
int archive_restore(const char *from, const char *dir);

#endif
