/* One round of calls that ask op-node and the execution client how they are, all at once. */
#ifndef OC_HEALTHD_MONITOR_ROUND_H
#define OC_HEALTHD_MONITOR_ROUND_H

#include "healthd/check.h"
#include "healthd/jsonrpc.h"
#include "healthd/node_status.h"

#include "shared/config/worker_config.h"

enum round_kind {
    ROUND_PROBE, /* only whether op-node answers */
    ROUND_LIGHT, /* head and sequencer state */
    ROUND_FULL   /* everything the health rules need */
};

/* Calls of a full round to op-node, and to the execution client, that every one answers. */
#define ROUND_NODE_CALLS 4
#define ROUND_EL_CALLS 2

enum round_call {
    CALL_SYNC,
    CALL_ACTIVE,
    CALL_ENABLED,
    CALL_PEERS,
    CALL_SUPERVISOR,
    CALL_EL_PEERS,
    CALL_EL_SYNCING,
    CALL_EL_HEAD,
    CALL_COUNT
};

/* What a finished round found out. */
struct round_facts {
    struct check_facts check;  /* wall_s, head_still_s and el_gone are the caller's to fill in */
    struct node_status status; /* with check.sync.ok */
    enum node_tristate active, enabled, el_syncing;
    unsigned node_gone; /* calls to op-node that found nobody there */
    bool el_answered;   /* the execution client, be it with an error */
    unsigned el_silent; /* calls to it that could not be delivered; check.el_text: why */
    struct block_id el_head;
};

struct round;

typedef void (*round_done_fn)(void *ctx, enum round_kind kind, const struct round_facts *facts);

/* Starts the calls; `done` is called once, from probe_step, when the last is answered or timed out.
 * The config is borrowed. NULL: out of memory. */
struct round *round_start(struct probe *p, const struct config_healthd *config, enum round_kind kind,
                          uint64_t timeout_ms, round_done_fn done, void *ctx);

/* Drops a round; its callback is not called. Accepts NULL. */
void round_cancel(struct round *r);

#endif
