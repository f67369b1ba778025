/* The table of all flags, their lookup and the conversion of one value. */
#include "supervisor/flags.h"

#include "shared/base/err.h"
#include "supervisor/duration.h"

#include <stdio.h>
#include <string.h>

#define FIELD(f) offsetof(struct options, f), sizeof(((struct options *)NULL)->f)
#define NOWHERE FLAG_NO_FIELD, 0

/* clang-format off */
const struct flag flag_table[] = {
    /* ---- consensus ---- */
    {"consensus.addr", FLAG_STRING, GROUP_CONSENSUS, NEED_YES, "HOST", "127.0.0.1",
     "Address to bind for connections between conductors.", FIELD(consensus_host)},
    {"consensus.port", FLAG_INT, GROUP_CONSENSUS, NEED_YES, "PORT", "50050",
     "Port to bind for connections between conductors; 0 lets the system pick.", FIELD(consensus_port)},
    {"consensus.advertised", FLAG_STRING, GROUP_CONSENSUS, NEED_NO, "HOST:PORT", "",
     "Address the other conductors reach this one at; the bound address when not set.", FIELD(consensus_advertised)},
    /* ---- raft ---- */
    {"raft.server.id", FLAG_STRING, GROUP_RAFT, NEED_YES, "NAME", "",
     "Unique name of this node in the cluster.", FIELD(server_id)},
    {"raft.storage.dir", FLAG_STRING, GROUP_RAFT, NEED_YES, "DIR", "",
     "Directory for the Raft log and snapshots; this node's are in DIR/NAME.", FIELD(storage_dir)},
    {"raft.bootstrap", FLAG_BOOL, GROUP_RAFT, NEED_NO, NULL, "false",
     "Form a new cluster of this node alone if it has none yet; it then stays paused until resumed.",
     FIELD(raft_bootstrap)},
    {"raft.witness", FLAG_BOOL, GROUP_RAFT, NEED_NO, NULL, "false",
     "Vote and store blocks only; never sequence. Needs no node.rpc, execution.rpc or healthcheck flags.",
     FIELD(raft_witness)},
    {"raft.heartbeat-timeout", FLAG_DURATION, GROUP_RAFT, NEED_NO, "DURATION", "300ms",
     "Election timeout: how long without a sign of the leader before another is elected. The same on every node.",
     FIELD(election_timeout_ms)},
    {"raft.lease-timeout", FLAG_DURATION, GROUP_RAFT, NEED_NO, "DURATION", "",
     "Accepted and checked; a leader without a majority steps down after the election timeout.", NOWHERE},
    {"raft.snapshot-interval", FLAG_DURATION, GROUP_RAFT, NEED_NO, "DURATION", "2m0s",
     "How often to check whether a snapshot is due.", FIELD(snapshot_interval_ms)},
    {"raft.snapshot-threshold", FLAG_UINT, GROUP_RAFT, NEED_NO, "N", "256",
     "Log entries since the last snapshot that make one due; limits in bytes come first.", FIELD(snapshot_threshold)},
    {"raft.trailing-logs", FLAG_UINT, GROUP_RAFT, NEED_NO, "N", "128",
     "Log entries kept after a snapshot; limits in bytes come first.", FIELD(trailing_logs)},
    {"raft.window-payloads", FLAG_UINT, GROUP_RAFT, NEED_NO, "N", "64",
     "Newest payloads kept for a new leader whose op-node misses some; at most 1024.", FIELD(window_payloads)},
    {"raft.window-bytes", FLAG_UINT, GROUP_RAFT, NEED_NO, "BYTES", "67108864",
     "Limit of their size together; the newest one is always kept.", FIELD(window_bytes)},
    /* ---- the node ---- */
    {"node.rpc", FLAG_STRING, GROUP_NODE, NEED_UNLESS_WITNESS, "URL", "",
     "HTTP endpoint of op-node, with its admin API.", FIELD(node_rpc)},
    {"execution.rpc", FLAG_STRING, GROUP_NODE, NEED_UNLESS_WITNESS, "URL", "",
     "HTTP endpoint of the execution client.", FIELD(execution_rpc)},
    {"supervisor.rpc", FLAG_STRING, GROUP_NODE, NEED_NO, "URL", "",
     "HTTP endpoint of op-supervisor; checked when set.", FIELD(supervisor_rpc)},
    /* ---- the managed op-node ---- */
    {"node.command", FLAG_STRING, GROUP_MANAGED, NEED_NO, "COMMAND", "",
     "Run this op-node as a child; words are split as a shell does, without a shell. The same as `-- COMMAND`.",
     NOWHERE},
    {"node.stop-timeout", FLAG_DURATION, GROUP_MANAGED, NEED_NO, "DURATION", "10s",
     "Time op-node has to stop after SIGTERM before it is killed.", FIELD(node_stop_timeout_ms)},
    {"node.restart-delay-max", FLAG_DURATION, GROUP_MANAGED, NEED_NO, "DURATION", "10s",
     "Longest wait before a crashing op-node is started again.", FIELD(node_restart_delay_max_ms)},
    {"node.user", FLAG_STRING, GROUP_MANAGED, NEED_NO, "USER", "",
     "User to run op-node as; needs root.", FIELD(node_user)},
    /* ---- health ---- */
    {"healthcheck.interval", FLAG_SECONDS, GROUP_HEALTH, NEED_UNLESS_WITNESS, "SECONDS", "",
     "Time between health checks: seconds, or a duration such as 500ms.", FIELD(health_interval_ms)},
    {"healthcheck.unsafe-interval", FLAG_SECONDS, GROUP_HEALTH, NEED_UNLESS_WITNESS, "SECONDS", "",
     "Largest healthy age of the unsafe head.", FIELD(unsafe_interval_ms)},
    {"healthcheck.safe-enabled", FLAG_BOOL, GROUP_HEALTH, NEED_NO, NULL, "false",
     "Check the age of the safe head as well.", FIELD(safe_enabled)},
    {"healthcheck.safe-interval", FLAG_SECONDS, GROUP_HEALTH, NEED_NO, "SECONDS", "1200",
     "Largest healthy age of the safe head.", FIELD(safe_interval_ms)},
    {"healthcheck.min-peer-count", FLAG_UINT, GROUP_HEALTH, NEED_UNLESS_WITNESS, "N", "",
     "Smallest healthy number of op-node's peers.", FIELD(min_peer_count)},
    {"healthcheck.execution-p2p-enabled", FLAG_BOOL, GROUP_HEALTH, NEED_NO, NULL, "false",
     "Check the number of the execution client's peers.", FIELD(el_p2p_enabled)},
    {"healthcheck.execution-p2p-min-peer-count", FLAG_UINT, GROUP_HEALTH, NEED_NO, "N", "0",
     "Smallest healthy number of the execution client's peers.", FIELD(el_p2p_min_peer_count)},
    {"healthcheck.execution-p2p-rpc-url", FLAG_STRING, GROUP_HEALTH, NEED_NO, "URL", "",
     "Endpoint to ask for them; execution.rpc when not set.", FIELD(el_p2p_rpc)},
    {"healthcheck.execution-p2p-check-api", FLAG_EL_API, GROUP_HEALTH, NEED_NO, "API", "net",
     "API to ask with: net or admin.", FIELD(el_p2p_api)},
    {"healthcheck.rollup-boost-partial-healthiness-tolerance-limit", FLAG_UINT, GROUP_HEALTH, NEED_NO, "N", "0",
     "Partially healthy answers of rollup-boost tolerated per interval.", FIELD(boost_tolerance_limit)},
    {"healthcheck.rollup-boost-partial-healthiness-tolerance-interval-seconds", FLAG_SECONDS, GROUP_HEALTH, NEED_NO,
     "SECONDS", "0", "Length of that interval.", FIELD(boost_tolerance_interval_ms)},
    {"rollup-boost.enabled", FLAG_BOOL, GROUP_HEALTH, NEED_NO, NULL, "false",
     "Check rollup-boost at execution.rpc/healthz.", FIELD(boost_enabled)},
    {"rollup-boost.next-enabled", FLAG_BOOL, GROUP_HEALTH, NEED_NO, NULL, "false",
     "Check rollup-boost at rollup-boost.next-healthcheck-url.", FIELD(boost_next_enabled)},
    {"rollup-boost.next-healthcheck-url", FLAG_STRING, GROUP_HEALTH, NEED_NO, "URL", "",
     "Full URL of that check.", FIELD(boost_next_url)},
    {"rollup-boost.healthcheck-timeout", FLAG_DURATION, GROUP_HEALTH, NEED_NO, "DURATION", "5s",
     "Time limit of a rollup-boost check.", FIELD(boost_timeout_ms)},
    /* ---- RPC ---- */
    {"rpc.addr", FLAG_STRING, GROUP_RPC, NEED_NO, "HOST", "0.0.0.0",
     "Address of the JSON-RPC server.", FIELD(rpc_host)},
    {"rpc.port", FLAG_INT, GROUP_RPC, NEED_NO, "PORT", "8545",
     "Port of the JSON-RPC server; 0 lets the system pick.", FIELD(rpc_port)},
    {"rpc.enable-proxy", FLAG_BOOL, GROUP_RPC, NEED_NO, NULL, "true",
     "Pass calls for op-node and the execution client through while leading.", FIELD(rpc_enable_proxy)},
    {"rpc.status-page", FLAG_BOOL, GROUP_RPC, NEED_NO, NULL, "true",
     "Answer browsers with a status page: GET / with \"Accept: text/html\".", FIELD(rpc_status_page)},
    {"rpc.max-body-size", FLAG_UINT, GROUP_RPC, NEED_NO, "BYTES", "67108864",
     "Largest HTTP request body; at most 1073741824.", FIELD(rpc_max_body_bytes)},
    {"rpc.commit-timeout", FLAG_DURATION, GROUP_RPC, NEED_NO, "DURATION", "1s",
     "Deadline of a block's commit from its first byte on.", FIELD(commit_timeout_ms)},
    {"rpc.admin-socket", FLAG_STRING, GROUP_RPC, NEED_NO, "PATH", "",
     "Unix socket with the same methods and conductor_nodeLogs for local operators: root, this user and its group. "
     "When not set: admin.sock in systemd's runtime directory, or in /run/op-conductor if that directory is this "
     "user's. Set to nothing: none.",
     FIELD(admin_socket)},
    /* ---- metrics ---- */
    {"metrics.enabled", FLAG_BOOL, GROUP_METRICS, NEED_NO, NULL, "false",
     "Serve Prometheus metrics.", FIELD(metrics_enabled)},
    {"metrics.addr", FLAG_STRING, GROUP_METRICS, NEED_NO, "HOST", "0.0.0.0",
     "Address of the metrics server.", FIELD(metrics_host)},
    {"metrics.port", FLAG_INT, GROUP_METRICS, NEED_NO, "PORT", "7300",
     "Port of the metrics server; 0 lets the system pick.", FIELD(metrics_port)},
    /* ---- log ---- */
    {"log.level", FLAG_LEVEL, GROUP_LOG, NEED_NO, "LEVEL", "info",
     "trace, debug, info, warn, error or crit.", FIELD(log_level)},
    {"log.format", FLAG_FORMAT, GROUP_LOG, NEED_NO, "FORMAT", "text",
     "text, terminal, logfmt, logfmtms, json or jsonms.", FIELD(log_format)},
    {"log.color", FLAG_BOOL, GROUP_LOG, NEED_NO, NULL, "",
     "Colour the log; when not set, only on a terminal.", FIELD(log_color)},
    {"log.pid", FLAG_BOOL, GROUP_LOG, NEED_NO, NULL, "false",
     "Add the process id to every line.", FIELD(log_pid)},
    /* ---- operation ---- */
    {"paused", FLAG_BOOL, GROUP_OPERATION, NEED_NO, NULL, "false",
     "Start paused: take part in consensus, but leave the sequencer alone until resumed.", FIELD(paused)},
    {"network", FLAG_STRING, GROUP_OPERATION, NEED_NO, "NAME", "",
     "Accepted for compatibility; not needed.", NOWHERE},
    {"rollup.config", FLAG_STRING, GROUP_OPERATION, NEED_NO, "FILE", "",
     "Accepted for compatibility; not needed, must be readable when given.", NOWHERE},
#define OVERRIDE(fork) {"override." fork, FLAG_UINT, GROUP_OPERATION, NEED_NO, "TIME", "", \
     "Accepted for compatibility; not needed.", NOWHERE}
    OVERRIDE("canyon"), OVERRIDE("delta"), OVERRIDE("ecotone"), OVERRIDE("fjord"), OVERRIDE("granite"),
    OVERRIDE("holocene"), OVERRIDE("isthmus"), OVERRIDE("jovian"), OVERRIDE("karst"), OVERRIDE("interop"),
    OVERRIDE("pectrablobschedule"),
#undef OVERRIDE
    /* ---- accepted, without effect (help says why) ---- */
    {"raft.round-robin-leader-transfer", FLAG_BOOL, GROUP_INERT, NEED_NO, NULL, "false",
     "The target of a transfer is always the best ready voter.", NOWHERE},
    {"rpc.enable-admin", FLAG_BOOL, GROUP_INERT, NEED_NO, NULL, "false",
     "The Go op-conductor never read it either.", NOWHERE},
    {"pprof.enabled", FLAG_BOOL, GROUP_INERT, NEED_NO, NULL, "false",
     "There is no Go profile to serve.", NOWHERE},
    {"pprof.addr", FLAG_STRING, GROUP_INERT, NEED_NO, "HOST", "0.0.0.0",
     "There is no Go profile to serve.", NOWHERE},
    {"pprof.port", FLAG_INT, GROUP_INERT, NEED_NO, "PORT", "6060",
     "There is no Go profile to serve.", NOWHERE},
    {"pprof.path", FLAG_STRING, GROUP_INERT, NEED_NO, "PATH", "",
     "There is no Go profile to serve.", NOWHERE},
    {"pprof.type", FLAG_PPROF_TYPE, GROUP_INERT, NEED_NO, "TYPE", "",
     "There is no Go profile to serve.", NOWHERE},
    {"websocket.server-port", FLAG_INT, GROUP_INERT, NEED_NO, "PORT", "8546",
     "The flashblocks relay is not part of this version.", NOWHERE},
    {"execution.ws-url", FLAG_STRING, GROUP_INERT, NEED_NO, "URL", "",
     "Only reorg recovery would use it.", NOWHERE},
    /* ---- refused (help says what to do) ---- */
    {"rollupboost.ws-url", FLAG_STRING, GROUP_REFUSED, NEED_NO, "URL", "",
     "The flashblocks relay is not part of this version; point the clients at rollup-boost itself.", NOWHERE},
    {"reorg-recovery.enabled", FLAG_BOOL, GROUP_REFUSED, NEED_NO, NULL, "false",
     "Reorg recovery is not part of this version; leave the flag out.", NOWHERE},
    {"consensus.tls.cert", FLAG_STRING, GROUP_REFUSED, NEED_NO, "FILE", "",
     "TLS between conductors is not part of this version; keep consensus.port on a private network.", NOWHERE},
    {"consensus.tls.key", FLAG_STRING, GROUP_REFUSED, NEED_NO, "FILE", "",
     "TLS between conductors is not part of this version; keep consensus.port on a private network.", NOWHERE},
    {"consensus.tls.ca", FLAG_STRING, GROUP_REFUSED, NEED_NO, "FILE", "",
     "TLS between conductors is not part of this version; keep consensus.port on a private network.", NOWHERE},
    {"rpc.jwt-secret", FLAG_STRING, GROUP_REFUSED, NEED_NO, "FILE", "",
     "Tokens for the RPC are not part of this version; keep rpc.port on a private network.", NOWHERE},
};
/* clang-format on */

const unsigned flag_count = sizeof flag_table / sizeof flag_table[0];
_Static_assert(sizeof flag_table / sizeof flag_table[0] <= FLAG_COUNT_MAX, "raise FLAG_COUNT_MAX");

int flag_find(const char *name, size_t len)
{
    for (unsigned i = 0; i < flag_count; i++) {
        if (strlen(flag_table[i].name) == len && memcmp(flag_table[i].name, name, len) == 0)
            return (int)i;
    }
    return -1;
}

const char *flag_group_title(enum flag_group group)
{
    static const char *const titles[GROUP_COUNT] = {
        [GROUP_CONSENSUS] = "CONSENSUS NETWORK",
        [GROUP_RAFT] = "RAFT",
        [GROUP_NODE] = "OP-NODE AND EXECUTION CLIENT",
        [GROUP_MANAGED] = "RUNNING OP-NODE AS A CHILD",
        [GROUP_HEALTH] = "HEALTH CHECKS",
        [GROUP_RPC] = "RPC",
        [GROUP_METRICS] = "METRICS",
        [GROUP_LOG] = "LOG",
        [GROUP_OPERATION] = "OPERATION",
        [GROUP_INERT] = "ACCEPTED WITHOUT EFFECT",
        [GROUP_REFUSED] = "NOT SUPPORTED BY THIS VERSION",
    };
    return titles[group];
}

const char *flag_type_name(enum flag_type type)
{
    switch (type) {
    case FLAG_STRING:
        return "string";
    case FLAG_BOOL:
        return "bool";
    case FLAG_UINT:
    case FLAG_SECONDS:
        return "uint64";
    case FLAG_INT:
        return "int";
    case FLAG_DURATION:
        return "duration";
    default:
        return "";
    }
}

/* ms of a duration, rounded up so that a tiny one does not become "none". */
static int store_duration_ms(const char *text, uint64_t *ret_ms)
{
    uint64_t ns;
    int rc = duration_parse(text, &ns);

    if (rc == 0)
        *ret_ms = ns / 1000000 + (ns % 1000000 != 0);
    return rc;
}

static int store_seconds_ms(const char *text, uint64_t *ret_ms)
{
    uint64_t seconds;
    int rc = number_parse_u64(text, &seconds);

    if (rc == 0)
        return __builtin_mul_overflow(seconds, 1000, ret_ms) || *ret_ms > (uint64_t)INT64_MAX / 1000000 ? OC_ERANGE : 0;
    return rc == OC_ERANGE ? rc : store_duration_ms(text, ret_ms);
}

static int store_enum(const char *text, const char *const *names, unsigned count, unsigned *ret_index)
{
    for (unsigned i = 0; i < count; i++) {
        if (strcmp(text, names[i]) == 0) {
            *ret_index = i;
            return 0;
        }
    }
    return OC_ESYNTAX;
}

static int store_string(const struct flag *flag, const char *text, void *field)
{
    size_t len = strlen(text);

    if (field == NULL)
        return 0;
    if (len >= flag->size)
        return OC_ERANGE;
    memcpy(field, text, len + 1);
    return 0;
}

static int store_port(const char *text, uint32_t *ret_port)
{
    int64_t value;
    int rc = number_parse_i64(text, &value);

    if (rc == 0 && (value < 0 || value > 65535))
        return OC_ERANGE;
    if (rc == 0)
        *ret_port = (uint32_t)value;
    return rc;
}

int flag_store(const struct flag *flag, const char *text, struct options *opts, const char **ret_want)
{
    static const char *const apis[] = {"net", "admin"};
    static const char *const profiles[] = {"", "cpu", "heap", "goroutine", "threadcreate", "block", "mutex", "allocs"};
    void *field = flag->offset == FLAG_NO_FIELD ? NULL : (char *)opts + flag->offset;
    union {
        uint64_t u64;
        uint32_t port;
        bool b;
        unsigned index;
    } unused;
    unsigned index = 0;
    int rc;

    if (field == NULL && flag->type != FLAG_STRING)
        field = &unused;
    switch (flag->type) {
    case FLAG_STRING:
        *ret_want = "too long";
        return store_string(flag, text, field);
    case FLAG_BOOL:
        *ret_want = "want true or false";
        return bool_parse(text, field);
    case FLAG_UINT:
        *ret_want = "want a whole number that is not negative";
        return number_parse_u64(text, field);
    case FLAG_INT:
        *ret_want = "invalid port, want a number from 0 to 65535";
        return store_port(text, field);
    case FLAG_DURATION:
        *ret_want = "want a duration with its unit, for example 300ms, 2s or 1m30s";
        return store_duration_ms(text, field);
    case FLAG_SECONDS:
        *ret_want = "want whole seconds, for example 2, or a duration, for example 500ms";
        return store_seconds_ms(text, field);
    case FLAG_LEVEL:
        *ret_want = "unknown level, want trace, debug, info, warn, error or crit";
        return log_parse_level(text, field);
    case FLAG_FORMAT:
        *ret_want = "unrecognized log-format, want text, terminal, logfmt, logfmtms, json or jsonms";
        return log_parse_format(text, field);
    case FLAG_EL_API:
        *ret_want = "invalid el p2p check api, want net or admin";
        rc = *text == '\0' ? 0 : store_enum(text, apis, 2, &index);
        if (rc == 0)
            *(enum el_p2p_api *)field = index == 0 ? EL_P2P_NET : EL_P2P_ADMIN;
        return rc;
    case FLAG_PPROF_TYPE:
        *ret_want = "unknown profile type, want cpu, heap, goroutine, threadcreate, block, mutex or allocs";
        return store_enum(text, profiles, sizeof profiles / sizeof profiles[0], &index);
    }
    return OC_ESYNTAX;
}
