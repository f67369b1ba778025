/* The configuration of the whole node: parsed and validated once, here, from the command line and
 * the environment. Names, defaults and precedence are those of the Go op-conductor; see flags.h for
 * the table. Nothing is resolved: addresses stay host and port.
 */
#ifndef OC_SUPERVISOR_OPTIONS_H
#define OC_SUPERVISOR_OPTIONS_H

#include "shared/base/log.h"
#include "shared/config/worker_config.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define OPTIONS_HOST_SIZE 256
#define OPTIONS_USER_SIZE 64
#define OPTIONS_SOCKET_SIZE 108 /* of a Unix socket's path */
#define OPTIONS_WARNINGS_MAX 32

/* A finding that does not prevent the start; logged once the log works. */
struct options_warning {
    char message[512];
    char env_var[256]; /* "NAME=VALUE" for "Unknown env var", else "" */
};

struct options {
    /* ---- consensus ---- */
    char consensus_host[OPTIONS_HOST_SIZE]; /* to bind; IPv6 without brackets */
    uint32_t consensus_port;                /* 0: the system picks */
    char consensus_advertised[SERVER_ADDR_SIZE];
    bool raft_bootstrap;
    bool raft_witness;
    char server_id[SERVER_ID_SIZE];
    char storage_dir[CONFIG_PATH_SIZE]; /* as given; the node's own is storage_dir/server_id */
    uint64_t snapshot_interval_ms;
    uint64_t snapshot_threshold;
    uint64_t trailing_logs;
    uint64_t election_timeout_ms;
    uint64_t window_payloads;
    uint64_t window_bytes;

    /* ---- the node and its health ---- */
    char node_rpc[CONFIG_URL_SIZE];
    char execution_rpc[CONFIG_URL_SIZE];
    char supervisor_rpc[CONFIG_URL_SIZE];
    uint64_t health_interval_ms;
    uint64_t unsafe_interval_ms;
    bool safe_enabled;
    uint64_t safe_interval_ms;
    uint64_t min_peer_count;
    bool el_p2p_enabled;
    uint64_t el_p2p_min_peer_count;
    char el_p2p_rpc[CONFIG_URL_SIZE]; /* execution_rpc when not given */
    enum el_p2p_api el_p2p_api;
    bool boost_enabled;
    bool boost_next_enabled;
    char boost_next_url[CONFIG_URL_SIZE];
    uint64_t boost_timeout_ms;
    uint64_t boost_tolerance_limit;
    uint64_t boost_tolerance_interval_ms;

    /* ---- the managed op-node ---- */
    char **node_argv; /* NULL-terminated, owned; NULL when op-node is not ours to run */
    uint64_t node_stop_timeout_ms;
    uint64_t node_restart_delay_max_ms;
    char node_user[OPTIONS_USER_SIZE]; /* "": as ourselves */

    /* ---- RPC and metrics ---- */
    char rpc_host[OPTIONS_HOST_SIZE];
    uint32_t rpc_port; /* 0: the system picks */
    bool rpc_enable_proxy;
    bool rpc_status_page;
    uint64_t rpc_max_body_bytes;
    uint64_t commit_timeout_ms;
    bool admin_socket_given;                /* else there is a default */
    char admin_socket[OPTIONS_SOCKET_SIZE]; /* "": none */
    bool metrics_enabled;
    char metrics_host[OPTIONS_HOST_SIZE];
    uint32_t metrics_port;

    /* ---- operation ---- */
    bool paused;
    enum log_level log_level;
    enum log_format log_format;
    bool log_color;
    bool log_pid;

    unsigned warning_count;
    struct options_warning warnings[OPTIONS_WARNINGS_MAX];
};

enum options_outcome {
    OPTIONS_RUN,          /* go on */
    OPTIONS_PRINT,        /* --help or --version: print `out`, exit 0 */
    OPTIONS_USAGE_ERROR,  /* print `out` (error and full help), log crit, exit 1 */
    OPTIONS_CONFIG_ERROR, /* log crit, exit 1 */
};

struct options_report {
    enum options_outcome outcome;
    char *out;        /* for stdout; owned; NULL when there is nothing to print */
    char error[1024]; /* for the crit line `Application failed` message=… */
};

/* Parses argv and envp (both NULL-terminated) into a zeroed `opts`. Log level, format and colour
 * are usable whatever the outcome, so that the error is logged the way the operator asked for.
 * `stdout_is_tty` is the default of --log.color. */
enum options_outcome options_parse(int argc, char *const argv[], char *const envp[], bool stdout_is_tty,
                                   struct options *opts, struct options_report *ret_report);

/* Logs the collected warnings through the log, each once. */
void options_log_warnings(const struct options *opts);

/* Free what the structs own; accept zeroed ones. */
void options_free(struct options *opts);
void options_report_free(struct options_report *report);

/* "v0.1.0": what /healthz and the info metric report. */
const char *options_version(void);

#endif
