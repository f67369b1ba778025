/* Copies the flight recorder's ring into a file, in a thread of its own: the supervisor, which writes the
 * ring, must never wait for a disk, and the disk thread's queue is the way of the blocks. Records are
 * written within a moment and synced about a second later, so the end of any process loses nothing and a
 * power failure loses at most the last seconds. A directory or disk that cannot be written is said once;
 * the ring in memory goes on without it, and the file is tried again from time to time.
 */
#ifndef OC_CONSENSUS_FLIGHTLOG_H
#define OC_CONSENSUS_FLIGHTLOG_H

struct flightlog;

/* Borrows ring_fd (a flight recorder's ring). NULL on failure, errno set. */
struct flightlog *flightlog_start(int ring_fd, const char *path);
/* Copies what is left and ends the thread; waits for a slow disk one second at most. Accepts NULL. */
void flightlog_stop(struct flightlog *f);

#endif
