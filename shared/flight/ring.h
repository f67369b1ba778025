/* The flight recorder in memory: a ring of records in a sealed memory file. One writer (the supervisor),
 * which never waits; any number of readers, which can only read. All of it is allocated and touched at
 * the start, so that writing a record cannot fail and never faults a page in from a disk.
 */
#ifndef OC_FLIGHT_RING_H
#define OC_FLIGHT_RING_H

#include "shared/flight/record.h"

/* ---- writer ---- */
struct flight_ring;
/* NULL on failure, errno set. Its run is 1. */
struct flight_ring *flight_ring_new(void);
void flight_ring_free(struct flight_ring *g);    /* accepts NULL */
int flight_ring_fd(const struct flight_ring *g); /* stays the ring's */

/* Before the first record: takes over what a file of earlier runs holds. Records that are torn or do not
 * belong where they are, are skipped. Returns how many were taken, OC_ECORRUPT or OC_EVERSION (then
 * nothing is taken, and the ring begins anew). */
int flight_ring_load(struct flight_ring *g, const void *file, size_t len);

/* Gives the record its sequence and run, seals and stores it, and wakes readers. Returns the sequence. */
uint64_t flight_ring_put(struct flight_ring *g, struct flight_record *r);

/* ---- reader ---- */
struct flight_reader;
/* Borrows fd; checks seals, size and version before mapping. NULL on failure, errno set. */
struct flight_reader *flight_reader_open(int fd);
void flight_reader_close(struct flight_reader *g); /* accepts NULL */
/* The newest sequence; 0: none. */
uint64_t flight_reader_newest(const struct flight_reader *g);
/* The oldest that the ring may still hold; 1 in a ring that has not gone round. */
uint64_t flight_reader_oldest(const struct flight_reader *g);
/* The current run, and the sequence its first record has or will have. */
uint32_t flight_reader_run(const struct flight_reader *g, uint64_t *ret_first);
/* 0, or OC_ESTALE: not there any more, not yet, or torn. */
int flight_reader_get(const struct flight_reader *g, uint64_t sequence, struct flight_record *ret);
/* Blocks until there is something newer than `seen`, somebody wakes it, or the time is up. For threads
 * that may block. */
void flight_reader_wait(const struct flight_reader *g, uint64_t seen, unsigned timeout_ms);
/* Wakes those who wait. */
void flight_reader_wake(const struct flight_reader *g);

#endif
