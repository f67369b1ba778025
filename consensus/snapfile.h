/* Snapshots on disk, <index>.snap: a checksummed header, the membership, a table of the parts with
 * their checksums, the parts. Written beside in small durable pieces, renamed when complete; the
 * place of the last but one is written over, because that costs half of what new space does.
 */
#ifndef OC_CONSENSUS_SNAPFILE_H
#define OC_CONSENSUS_SNAPFILE_H

#include "consensus/snapshot.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define SNAPFILE_NAME_SIZE 32

void snapfile_name(uint64_t index, char ret_name[SNAPFILE_NAME_SIZE]);
/* Is this a snapshot's name? */
bool snapfile_parse_name(const char *name, uint64_t *ret_index);

/* Writes one, durable when it returns 0. `pause` (may be NULL) is called after every piece of 256 KiB,
 * so that the writer can do something more urgent; false from it ends the writing with -ECANCELED.
 * Returns 0 or -errno. */
int snapfile_write(int dir_fd, const struct snapshot *s, bool (*pause)(void *ctx), void *ctx);
/* Reads and checks one. Returns 0, OC_ECORRUPT, OC_EVERSION or -errno. */
int snapfile_read(int dir_fd, uint64_t index, struct snapshot **ret_snapshot);
/* Removes all but the two newest. Returns 0 or -errno. */
int snapfile_purge(int dir_fd);
/* The newest one's index and the bytes of all, 0 when there is none. Returns 0 or -errno. */
int snapfile_newest(int dir_fd, uint64_t *ret_index, uint64_t *ret_bytes);

#endif
