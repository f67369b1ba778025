/* Between the simulators: sealed blocks are pushed to all peers, and missing ones are fetched. Both
 * are HTTP POSTs to the op-node port: /gossip carries one payload record, /blocks asks for a range. */
#ifndef OC_SIM_GOSSIP_H
#define OC_SIM_GOSSIP_H

#include "tests/sim/sim.h"

struct gossip *gossip_new(struct sim *s);

/* Pushes an own block to the peers. */
void gossip_send(struct gossip *g, const struct block_ref *ref, const uint8_t *record, size_t len);

/* Answers POST /gossip and POST /blocks. */
void gossip_serve_block(struct gossip *g, struct http_request *req);
void gossip_serve_range(struct gossip *g, struct http_request *req);

/* Replaces the peers (copied). */
void gossip_set_peers(struct gossip *g, const char *const *urls, size_t n);

#endif
