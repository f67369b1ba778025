/* A driver alone, for its tests: its disk answers at once, and what it sends is only remembered. */
#ifndef OC_TESTS_DRIVER_RIG_H
#define OC_TESTS_DRIVER_RIG_H

#include "consensus/driver.h"

#include <stdbool.h>
#include <stdint.h>

enum { ET = 300, SELF = 1, SENT_MAX = 512 };

struct world {
    struct driver *driver;
    uint64_t now;
    uint64_t durable; /* told when asked: see settle() */
    struct snapshot *written;
    uint64_t applied;
    unsigned failures;
    /* the latest messages sent, newest last */
    struct {
        uint64_t to;
        struct wire_msg msg;
        bool has_entry;
        uint64_t entry_term;
    } sent[SENT_MAX];
    unsigned sent_count;
};

struct membership members(unsigned count);
struct entry *change_entry(uint64_t term, unsigned count);
struct world *start(unsigned count, uint64_t lost_tail_index);
void end(struct world *w);
void settle(struct world *w);
void advance(struct world *w, uint64_t ms);
unsigned count_sent(const struct world *w, enum wire_kind kind, uint64_t to);
unsigned count_entries(const struct world *w, uint64_t to);
int receive(struct world *w, uint64_t from, struct wire_msg m);
void answer_votes(struct world *w, uint64_t from);
struct world *start_leader(void);
struct wire_msg vote(uint64_t term, uint64_t candidate, uint64_t index, uint64_t index_term, bool pre_vote);
struct wire_msg append(uint64_t term, uint64_t prev, uint64_t prev_term, struct entry *e);
void acknowledge(struct world *w, uint64_t from, uint64_t index);

#endif
