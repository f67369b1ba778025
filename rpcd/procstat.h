/* CPU and memory of a process, from /proc. */
#ifndef OC_RPCD_PROCSTAT_H
#define OC_RPCD_PROCSTAT_H

#include <stdint.h>

struct procstat {
    double cpu_seconds;
    uint64_t resident_bytes;
    uint64_t virtual_bytes;
    double start_seconds; /* Unix time */
    uint64_t open_fds;    /* 0 when they may not be counted */
    uint64_t max_fds;     /* 0 when it may not be asked */
};

/* Returns 0 or -errno. */
int procstat_read(uint32_t pid, struct procstat *ret);

#endif
