/* How long a disk takes to keep a block: synchronous direct writes into preallocated space, as the Raft log does. */
#ifndef OC_RPCD_CTL_BENCH_H
#define OC_RPCD_CTL_BENCH_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct bench_result {
    unsigned count;
    bool is_direct; /* false: the file system knows no O_DIRECT */
    uint64_t p50_us, p90_us, p99_us, max_us;
};

/* Writes `bytes` at a time (a multiple of 4096) into a file in `dir` that is gone afterwards, for at most a second and
 * a half. Returns 0 or -errno. */
int bench_run(const char *dir, size_t bytes, struct bench_result *ret);

/* Pure: sorts the times and picks from them; count at least 1. */
void bench_summarize(uint64_t *times_us, unsigned count, struct bench_result *ret);

enum bench_verdict { BENCH_GOOD, BENCH_SLOW, BENCH_TOO_SLOW };
/* Pure. A block is kept once per node, and its successor is due a block time later: a quarter of that leaves room for
 * the network and for the disk's worse moments. */
enum bench_verdict bench_judge(const struct bench_result *r, uint64_t block_time_ms);

#endif
