/* What the supervisor hands each worker after parsing and validating the configuration once: one
 * plain struct in a sealed memfd (fd 4). Strings are NUL-terminated; "" means "not set".
 */
#ifndef OC_CONFIG_WORKER_CONFIG_H
#define OC_CONFIG_WORKER_CONFIG_H

#include "shared/proto/bodies.h"

#include <stdint.h>

#define CONFIG_URL_SIZE 1024
#define CONFIG_PATH_SIZE 1024
#define WINDOW_PAYLOADS_MAX 1024 /* of --raft.window-payloads */
#define WORKER_CONFIG_MAGIC UINT64_C(0x6f70636f6e640001)

struct config_common {
    uint64_t magic;
    uint64_t bytes; /* of the whole struct */
    uint32_t role;
    uint32_t incarnation;
    char build_id[BUILD_ID_SIZE];
    char version[64]; /* bare, as /healthz reports it */
    char server_id[SERVER_ID_SIZE];
    uint32_t log_level;
    uint32_t log_format;
    uint32_t log_color;
    uint32_t log_pid;
};

struct config_consensus {
    struct config_common common;
    char storage_dir[CONFIG_PATH_SIZE]; /* <raft.storage.dir>/<raft.server.id> */
    char bind_host[256];
    char advertised[SERVER_ADDR_SIZE]; /* "" = the bound address */
    uint32_t bind_port;                /* 0 = the system picks */
    uint32_t bootstrap;
    uint32_t election_timeout_ms;
    uint64_t snapshot_interval_ms;
    uint64_t snapshot_threshold; /* entries since the last snapshot */
    uint64_t trailing_logs;
    uint64_t window_payloads;
    uint64_t window_bytes;
    uint64_t payload_max_bytes;
};

enum el_p2p_api { EL_P2P_NET, EL_P2P_ADMIN };

struct config_healthd {
    struct config_common common;
    char node_rpc[CONFIG_URL_SIZE];
    char execution_rpc[CONFIG_URL_SIZE];
    char supervisor_rpc[CONFIG_URL_SIZE];
    char el_p2p_rpc[CONFIG_URL_SIZE];
    char boost_next_url[CONFIG_URL_SIZE];
    uint64_t interval_ms;
    uint64_t unsafe_interval_ms;
    uint64_t safe_interval_ms;
    uint64_t min_peer_count;
    uint64_t el_p2p_min_peer_count;
    uint64_t boost_tolerance_limit;
    uint64_t boost_tolerance_interval_ms;
    uint64_t boost_timeout_ms;
    uint32_t safe_enabled;
    uint32_t el_p2p_enabled;
    uint32_t el_p2p_api; /* enum el_p2p_api */
    uint32_t boost_enabled;
    uint32_t boost_next_enabled;
    uint32_t node_managed;
};

struct config_rpcd {
    struct config_common common;
    char node_rpc[CONFIG_URL_SIZE];
    char execution_rpc[CONFIG_URL_SIZE];
    uint64_t max_body_bytes;
    uint64_t payload_max_bytes; /* of one SSZ envelope */
    uint64_t commit_timeout_ms; /* from the first byte of a commit */
    uint64_t commit_hold_ms;    /* how long a commit waits for a leader to be known */
    uint32_t enable_proxy;
    uint32_t metrics_enabled;
    uint32_t witness;
    uint32_t status_page;
};

#endif
