/* One simulated node: everything its parts share. */
#ifndef OC_SIM_SIM_H
#define OC_SIM_SIM_H

#include "shared/http/client.h"
#include "shared/http/server.h"
#include "tests/sim/chain.h"
#include "tests/sim/config.h"
#include "tests/sim/journal.h"
#include "tests/sim/misbehave.h"
#include "tests/sim/rpc.h"

#include <uv.h>

struct sequencer;
struct gossip;

struct sim {
    struct config cfg;
    uv_loop_t *loop;
    struct journal journal;
    struct chain *chain;
    struct sequencer *sequencer;
    struct gossip *gossip;
    struct http_client *conductor_client;
    struct http_client *peer_client;
    struct http_server *node_server, *el_server;
    uint16_t rpc_port, el_port;
    struct misbehave mis;
    uint64_t seed;
    bool leader_overridden;
    struct block_ref reorged; /* the head before the switch l1_reorg */
};

/* The head may move and blocks may be built: neither hung nor frozen. */
bool sim_is_moving(const struct sim *s);

/* Offers a block from elsewhere after block_check; obeys the reorg switch and writes the journal.
 * Returns an enum chain_result or a negative code. */
int sim_add_block(struct sim *s, const struct block_ref *ref, const uint8_t *record, size_t len, const char *via);

/* Drops the blocks above `number`; event is "rewind" (given up: others may take their place) or
 * "lost" (this node forgot them). Returns 0 or a negative code. */
int sim_rewind(struct sim *s, uint64_t number, const char *event);

/* Runs fn(s, data) once, later. Aborts when out of memory. */
void sim_after(struct sim *s, uint64_t delay_ms, void (*fn)(struct sim *s, void *data), void *data);

/* Ends the process in good order. */
void sim_stop(struct sim *s);

/* rpc_node.c, rpc_el.c */
extern const struct rpc_method rpc_node_methods[];
extern const struct rpc_method rpc_el_methods[];

#endif
