/* What became of each index of the log and of each term, as first seen on any node: all nodes have to agree. */
#ifndef OC_TESTS_SIMULATION_FATES_H
#define OC_TESTS_SIMULATION_FATES_H

#include "consensus/driver.h"
#include "consensus/window.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define FATES_INDEX_MAX 20000
#define FATES_TERM_MAX 20000

struct fate { /* of one index, once applied anywhere */
    bool known;
    uint64_t term;
    uint32_t crc;
    bool has_head;
    struct block_id head;
};

struct fates {
    struct fate *by_index;
    uint64_t *leader_of_term;
    uint64_t max_applied, leaders_seen;
};

void fates_init(struct fates *f);
void fates_free(struct fates *f);

/* Each returns NULL, or what is wrong (a static text). */
const char *fates_note_applied(struct fates *f, uint64_t index, uint64_t term, struct entry *e, const struct window *w);
const char *fates_check_restored(const struct fates *f, const struct snapshot *s, const struct window *w);
const char *fates_note_leader(struct fates *f, uint64_t term, uint64_t leader_id);

#endif
