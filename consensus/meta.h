/* Term and vote on disk. Two places are written in turn, so that a write that is torn leaves the one
 * before it; and each place holds two copies, so that a block that rots later does not take the
 * newest vote with it. Every block is checksummed.
 */
#ifndef OC_CONSENSUS_META_H
#define OC_CONSENSUS_META_H

#include <stddef.h>
#include <stdint.h>

#define META_FILE "meta"

struct meta {
    int fd;
    uint8_t *buffer; /* one place: two blocks, aligned */
    uint64_t sequence;
    uint64_t term;
    uint64_t voted_for;
    uint64_t lost_tail_term, lost_tail_index; /* a torn end of the log that was dropped; 0,0: none */
};

/* Makes the file with term 0, durable. Returns 0 or -errno. */
int meta_create(int dir_fd);
/* Reads the newest valid place. Returns 0, OC_ECORRUPT (none is valid) or -errno. */
int meta_open(struct meta *m, int dir_fd);
void meta_close(struct meta *m);
/* Writes all fields, durable when it returns 0. Returns 0 or -errno. */
int meta_save(struct meta *m);

#endif
