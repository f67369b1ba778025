/* The one table of all RPC methods: rpcd serves it, conductorctl calls it. */
#ifndef OC_RPCD_METHODS_H
#define OC_RPCD_METHODS_H

#include <stddef.h>

/* Who answers. */
enum method_kind {
    KIND_QUESTION, /* rpcd, from the status pages, at once */
    KIND_ADMIN,    /* the supervisor */
    KIND_NODE_LOG, /* the supervisor; on the admin socket only */
    KIND_MEMBER,   /* consensus: membership */
    KIND_PAYLOAD,  /* consensus: the newest payload */
    KIND_ADOPT,    /* consensus: a head by an operator's word */
    KIND_COMMIT,   /* consensus: through the ring */
    KIND_PROXY_NODE,
    KIND_PROXY_EXECUTION,
};

/* Parameters: s string, b bool, u unsigned integer, e payload envelope, j any JSON. All are required but
 * those after a "?". */
#define METHOD_LIST(X)                                                                                                 \
    X(LEADER, "conductor_leader", KIND_QUESTION, "", "is this node the leader")                                        \
    X(LEADER_WITH_ID, "conductor_leaderWithID", KIND_QUESTION, "", "who leads")                                        \
    X(LEADER_OVERRIDDEN, "conductor_leaderOverridden", KIND_QUESTION, "", "is leadership overridden here")             \
    X(ACTIVE, "conductor_active", KIND_QUESTION, "", "neither paused nor stopped")                                     \
    X(PAUSED, "conductor_paused", KIND_QUESTION, "", "is the control loop paused")                                     \
    X(STOPPED, "conductor_stopped", KIND_QUESTION, "", "was this conductor stopped")                                   \
    X(SEQUENCER_HEALTHY, "conductor_sequencerHealthy", KIND_QUESTION, "", "the last health verdict")                   \
    X(CLUSTER_MEMBERSHIP, "conductor_clusterMembership", KIND_QUESTION, "", "servers and version")                     \
    X(STATUS, "conductor_status", KIND_QUESTION, "", "everything about this node as one object")                       \
    X(EVENTS, "conductor_events", KIND_QUESTION, "?uu", "what happened here: [SINCE], [LIMIT]")                        \
    X(HEALTH_STATUS, "health_status", KIND_QUESTION, "", "the version")                                                \
    X(RPC_MODULES, "rpc_modules", KIND_QUESTION, "", "the namespaces served")                                          \
    X(OVERRIDE_LEADER, "conductor_overrideLeader", KIND_ADMIN, "b", "answer as the leader whatever Raft says")         \
    X(PAUSE, "conductor_pause", KIND_ADMIN, "", "pause the control loop")                                              \
    X(RESUME, "conductor_resume", KIND_ADMIN, "", "resume the control loop")                                           \
    X(STOP, "conductor_stop", KIND_ADMIN, "", "stop conducting for good")                                              \
    X(TRANSFER_LEADER, "conductor_transferLeader", KIND_ADMIN, "", "hand leadership to the best voter")                \
    X(TRANSFER_LEADER_TO, "conductor_transferLeaderToServer", KIND_ADMIN, "ss", "hand leadership to ID, ADDR")         \
    X(START_NODE, "conductor_startNode", KIND_ADMIN, "", "start the managed op-node")                                  \
    X(STOP_NODE, "conductor_stopNode", KIND_ADMIN, "", "stop the managed op-node and keep it down")                    \
    X(RESTART_NODE, "conductor_restartNode", KIND_ADMIN, "", "restart the managed op-node")                            \
    X(NODE_LOGS, "conductor_nodeLogs", KIND_NODE_LOG, "?uu", "what op-node said: [AFTER], [LIMIT]")                    \
    X(RESTART_WORKER, "conductor_restartWorker", KIND_ADMIN, "s", "restart consensus, healthd or rpcd")                \
    X(ADD_VOTER, "conductor_addServerAsVoter", KIND_MEMBER, "ssu", "add or promote a voter: ID, ADDR, VERSION")        \
    X(ADD_NONVOTER, "conductor_addServerAsNonvoter", KIND_MEMBER, "ssu", "add a standby: ID, ADDR, VERSION")           \
    X(REMOVE_SERVER, "conductor_removeServer", KIND_MEMBER, "su", "remove a server: ID, VERSION")                      \
    X(DEMOTE_VOTER, "conductor_demoteVoter", KIND_MEMBER, "su", "make a voter a standby: ID, VERSION")                 \
    X(LATEST_PAYLOAD, "conductor_latestUnsafePayload", KIND_PAYLOAD, "", "the newest committed payload")               \
    X(ADOPT_HEAD, "conductor_adoptHead", KIND_ADOPT, "us", "make this block the unsafe head: NUMBER, HASH")            \
    X(COMMIT, "conductor_commitUnsafePayload", KIND_COMMIT, "e", "commit an unsafe payload")                           \
    X(BLOCK_BY_NUMBER, "eth_getBlockByNumber", KIND_PROXY_EXECUTION, "jb", "leader only")                              \
    X(SET_MAX_DA_SIZE, "miner_setMaxDASize", KIND_PROXY_EXECUTION, "jj", "not only the leader")                        \
    X(SYNC_STATUS, "optimism_syncStatus", KIND_PROXY_NODE, "", "leader only")                                          \
    X(OUTPUT_AT_BLOCK, "optimism_outputAtBlock", KIND_PROXY_NODE, "s", "leader only")                                  \
    X(ROLLUP_CONFIG, "optimism_rollupConfig", KIND_PROXY_NODE, "", "leader only")                                      \
    X(SEQUENCER_ACTIVE, "admin_sequencerActive", KIND_PROXY_NODE, "", "leader only")

enum method_id {
#define X(id, name, kind, params, help) METHOD_##id,
    METHOD_LIST(X)
#undef X
        METHOD_COUNT
};

#define METHOD_PARAMS_MAX 3

struct method {
    enum method_id id;
    const char *name;
    enum method_kind kind;
    const char *params;
    const char *help;
};

/* By its exact name; NULL when there is none. */
const struct method *method_find(const char *name, size_t len);
const struct method *method_get(enum method_id id);

#endif
