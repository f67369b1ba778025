/* The disk thread: one queue of jobs, run in order, answered in order; only a snapshot of our own
 * state is written beside the log, in small pieces, with everything else going first. The loop's side
 * is here too: it may disown what a truncation or installation has made void. Nothing is written any
 * more after the first error.
 */
#ifndef OC_CONSENSUS_DISK_H
#define OC_CONSENSUS_DISK_H

#include "consensus/driver.h"
#include "consensus/segment.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define DISK_TEXT_SIZE 256

struct disk;

enum disk_done_kind { DISK_ENTRIES = 1, DISK_SNAPSHOT, DISK_FAILED };
struct disk_done {
    enum disk_done_kind kind;
    uint64_t index;            /* ENTRIES: durable up to here */
    struct snapshot *snapshot; /* SNAPSHOT: the taker owns the reference */
    int rc;
    char text[DISK_TEXT_SIZE];
};

/* segments and dir_fd are the disk thread's from now on. Returns 0 or -errno. */
int disk_start(struct disk **ret_disk, int dir_fd, struct segments *segments);
/* Runs what is queued, then ends the thread. Accepts NULL. */
void disk_stop(struct disk *d);

/* They take their own references; out of memory is a failed disk. */
void disk_append(struct disk *d, uint64_t index, struct entry *e);
void disk_truncate(struct disk *d, uint64_t from_index);
void disk_save_snapshot(struct disk *d, struct snapshot *s, uint64_t keep_from, bool install);

int disk_fd(const struct disk *d); /* an eventfd */
/* 1 with the next completion, 0 when there is none now. */
int disk_poll(struct disk *d, struct disk_done *ret_done);
/* Bytes of log and snapshots after the last job. */
uint64_t disk_bytes(struct disk *d);

#endif
