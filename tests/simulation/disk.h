/* A simulated disk: jobs become durable one after the other, a while after they were asked for; a crash
 * loses those that were not, perhaps leaving some of them, perhaps a torn end. */
#ifndef OC_TESTS_SIMULATION_DISK_H
#define OC_TESTS_SIMULATION_DISK_H

#include "consensus/driver.h"
#include "consensus/logcache.h"
#include "tests/simulation/dice.h"

struct disk_job {
    struct disk_job *next;
    enum { DISK_APPEND, DISK_TRUNCATE, DISK_SNAPSHOT, DISK_INSTALL } kind;
    bool disowned; /* cut off since: its completion is not told */
    uint64_t index;
    struct entry *entry;       /* DISK_APPEND; the disk takes a reference of its own */
    struct snapshot *snapshot; /* DISK_SNAPSHOT, DISK_INSTALL; likewise */
    uint64_t done_ms;
};

struct sim_disk {
    struct dice *dice;
    unsigned delay_ms_max; /* of one job */
    uint64_t term, voted_for;
    struct logcache log; /* durable */
    struct snapshot *snapshot;
    struct disk_job *jobs, **jobs_end; /* not yet */
    uint64_t busy_until_ms;
    uint64_t lost_term, lost_index;
};

void sim_disk_init(struct sim_disk *d, struct dice *dice);
void sim_disk_free(struct sim_disk *d);
/* False: it would take back a term or a vote. */
bool sim_disk_save_vote(struct sim_disk *d, uint64_t term, uint64_t voted_for);
void sim_disk_push(struct sim_disk *d, uint64_t now_ms, struct disk_job job);

/* The next completion that the driver is to hear of: its kind is DISK_APPEND (index) or DISK_SNAPSHOT
 * (a snapshot with a reference for the caller). False: there is none now. */
bool sim_disk_take(struct sim_disk *d, uint64_t now_ms, struct disk_job *ret);

void sim_disk_crash(struct sim_disk *d);
/* What a driver starts from; *ret_entries is to be freed after driver_start. */
void sim_disk_recover(struct sim_disk *d, struct driver_recovered *ret, struct entry ***ret_entries);

/* Whether the entry of that index and term would survive a crash now. */
bool sim_disk_has(const struct sim_disk *d, uint64_t index, uint64_t term);

#endif
