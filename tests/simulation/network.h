/* The simulated network between consensus drivers: cut links, loss, delay, duplicates, reordering. */
#ifndef OC_TESTS_SIMULATION_NETWORK_H
#define OC_TESTS_SIMULATION_NETWORK_H

#include "consensus/driver.h"
#include "tests/simulation/dice.h"

#define NETWORK_NODES_MAX 7

struct packet {
    struct packet *next;
    uint64_t at_ms;
    unsigned from, to; /* node numbers */
    struct wire_msg msg;
};

struct network {
    struct dice *dice;
    bool cut[NETWORK_NODES_MAX][NETWORK_NODES_MAX]; /* each direction by itself */
    unsigned loss_percent, slow_percent, duplicate_percent;
    struct packet *packets;
};

/* Takes what it needs of msg, which stays the caller's. */
void network_send(struct network *n, uint64_t now_ms, unsigned from, unsigned to, const struct wire_msg *msg);
/* A packet that has arrived, in no particular order; NULL: none. The caller frees it, and its
 * entry or snapshot goes to driver_receive or is released by packet_free. */
struct packet *network_take(struct network *n, uint64_t now_ms);
/* It was not read yet. */
void network_put_back(struct network *n, struct packet *p, uint64_t at_ms);
void packet_free(struct packet *p);
void network_drop_all(struct network *n);
/* All that is under way from or to that node. */
void network_drop_of(struct network *n, unsigned node);

#endif
