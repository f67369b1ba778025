/* The switches that make the simulator misbehave, set by --sim NAME=VALUE[@MS] or RPC sim_set. */
#ifndef OC_SIM_MISBEHAVE_H
#define OC_SIM_MISBEHAVE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* name, what it does. All values are integers; true and false are 1 and 0. */
#define SIM_SWITCHES(X)                                                                                                \
    X(hang, "everything stands still and nothing is answered, except sim_set and sim_status")                          \
    X(mute, "op-node and execution client answer nothing, but blocks go on")                                           \
    X(crash, "abort()")                                                                                                \
    X(exit, "exit with this code")                                                                                     \
    X(freeze_head, "no block is built or adopted any more")                                                            \
    X(gossip_drop_out, "percentage of blocks that are not gossiped to a peer")                                         \
    X(gossip_drop_in, "percentage of gossiped blocks that are thrown away here")                                       \
    X(gossip_delay_ms, "gossip leaves that much later")                                                                \
    X(no_sync, "blocks are not fetched from peers")                                                                    \
    X(refuse_posted, "admin_postUnsafePayload fails")                                                                  \
    X(ignore_posted, "admin_postUnsafePayload succeeds and does nothing")                                              \
    X(adopt_delay_ms, "posted payloads are adopted that much later")                                                   \
    X(reorg, "posted and gossiped blocks may replace others (recorded as rewind)")                                     \
    X(rewind, "drop this many of the newest blocks, now (recorded as rewind)")                                         \
    X(rebuild, "after a failed commit build another block instead of committing the same again")                       \
    X(ignore_sigterm, "SIGTERM and SIGINT do nothing; 2: nor does SIGQUIT")                                            \
    X(stop_delay_ms, "the process ends that much after SIGTERM")                                                       \
    X(flood, "that many log lines per second on stdout")                                                               \
    X(grandchildren, "leave this many children that ignore SIGTERM and keep stdout open for 60 s")                     \
    X(slow_commit_ms, "each commit leaves that much later")                                                            \
    X(refuse_start, "admin_startSequencer fails")                                                                      \
    X(hang_stop, "admin_stopSequencer stops the sequencer but never answers")                                          \
    X(peers_connected, "what opp2p_peerStats and net_peerCount say (5)")                                               \
    X(boost_status, "the HTTP status of the execution client's /healthz, as rollup-boost has it (200)")                \
    X(el_syncing, "eth_syncing says true")                                                                             \
    X(rpc_delay_ms, "every answer of op-node leaves that much later")                                                  \
    X(payload_bytes, "instead of --payload-bytes, for the blocks built from now on")                                   \
    X(fork, "replace this many of the newest blocks by others, now, as if this client had always had them")            \
    X(l1_reorg, "as rewind, and again as soon as the dropped blocks were posted back: their L1 origin is gone")

enum sim_switch {
#define SIM_SWITCH_ENUM(name, help) SW_##name,
    SIM_SWITCHES(SIM_SWITCH_ENUM)
#undef SIM_SWITCH_ENUM
        SW_COUNT
};

struct sim;

struct misbehave {
    int64_t value[SW_COUNT];
};

void misbehave_init(struct misbehave *m);
/* Applies the flags; delayed ones later, on the loop. Returns 0 or -1 after saying what is wrong. */
int misbehave_apply_flags(struct sim *s);
/* Sets a switch and does what is due at once (crash, exit, rewind, …). Returns 0, OC_EUNKNOWN or OC_ERANGE. */
int misbehave_set(struct sim *s, const char *name, int64_t value);
const char *misbehave_name(enum sim_switch sw);

#endif
