/* Options -> the config struct of each worker. */
#include "supervisor/config_pack.h"

#include "shared/payload/record.h"
#include "shared/proto/proto.h"
#include "shared/worker/worker.h"

#include <stdio.h>
#include <string.h>

/* How long a commit waits for a leader to be known: most of op-node's 1 s, and never all of its own
 * deadline. */
#define COMMIT_HOLD_MAX_MS 800

/* A witness has no op-node: its healthd has nothing to ask. */
#define WITNESS_INTERVAL_MS UINT64_C(86400000)

static void pack_string(char *dst, size_t dst_size, const char *src)
{
    snprintf(dst, dst_size, "%s", src);
}

static void pack_common(const struct options *opts, enum proc_role role, uint32_t incarnation, size_t bytes,
                        struct config_common *ret)
{
    ret->magic = WORKER_CONFIG_MAGIC;
    ret->bytes = bytes;
    ret->role = role;
    ret->incarnation = incarnation;
    pack_string(ret->build_id, sizeof ret->build_id, build_id());
    pack_string(ret->version, sizeof ret->version, options_version());
    pack_string(ret->server_id, sizeof ret->server_id, opts->server_id);
    ret->log_level = opts->log_level;
    ret->log_format = opts->log_format;
    ret->log_color = opts->log_color;
    ret->log_pid = opts->log_pid;
}

void config_pack_consensus(const struct options *opts, uint32_t incarnation, struct config_consensus *ret)
{
    size_t dir_len = strlen(opts->storage_dir);

    memset(ret, 0, sizeof *ret);
    pack_common(opts, ROLE_CONSENSUS, incarnation, sizeof *ret, &ret->common);
    /* options_check made sure that both fit. */
    memcpy(ret->storage_dir, opts->storage_dir, dir_len);
    ret->storage_dir[dir_len] = '/';
    pack_string(ret->storage_dir + dir_len + 1, sizeof ret->storage_dir - dir_len - 1, opts->server_id);
    pack_string(ret->bind_host, sizeof ret->bind_host, opts->consensus_host);
    pack_string(ret->advertised, sizeof ret->advertised, opts->consensus_advertised);
    ret->bind_port = opts->consensus_port;
    ret->bootstrap = opts->raft_bootstrap;
    ret->election_timeout_ms = (uint32_t)opts->election_timeout_ms;
    ret->snapshot_interval_ms = opts->snapshot_interval_ms;
    ret->snapshot_threshold = opts->snapshot_threshold;
    ret->trailing_logs = opts->trailing_logs;
    ret->window_payloads = opts->window_payloads;
    ret->window_bytes = opts->window_bytes;
    ret->payload_max_bytes = PAYLOAD_SSZ_MAX_BYTES;
}

void config_pack_healthd(const struct options *opts, uint32_t incarnation, struct config_healthd *ret)
{
    memset(ret, 0, sizeof *ret);
    pack_common(opts, ROLE_HEALTHD, incarnation, sizeof *ret, &ret->common);
    pack_string(ret->node_rpc, sizeof ret->node_rpc, opts->node_rpc);
    pack_string(ret->execution_rpc, sizeof ret->execution_rpc, opts->execution_rpc);
    pack_string(ret->supervisor_rpc, sizeof ret->supervisor_rpc, opts->supervisor_rpc);
    pack_string(ret->el_p2p_rpc, sizeof ret->el_p2p_rpc, opts->el_p2p_rpc);
    pack_string(ret->boost_next_url, sizeof ret->boost_next_url, opts->boost_next_url);
    ret->interval_ms = opts->raft_witness ? WITNESS_INTERVAL_MS : opts->health_interval_ms;
    ret->unsafe_interval_ms = opts->unsafe_interval_ms;
    ret->safe_interval_ms = opts->safe_interval_ms;
    ret->min_peer_count = opts->min_peer_count;
    ret->el_p2p_min_peer_count = opts->el_p2p_min_peer_count;
    ret->boost_tolerance_limit = opts->boost_tolerance_limit;
    ret->boost_tolerance_interval_ms = opts->boost_tolerance_interval_ms;
    ret->boost_timeout_ms = opts->boost_timeout_ms;
    ret->safe_enabled = opts->safe_enabled;
    ret->el_p2p_enabled = opts->el_p2p_enabled;
    ret->el_p2p_api = opts->el_p2p_api;
    ret->boost_enabled = opts->boost_enabled;
    ret->boost_next_enabled = opts->boost_next_enabled;
    ret->node_managed = opts->node_argv != NULL;
}

void config_pack_rpcd(const struct options *opts, uint32_t incarnation, struct config_rpcd *ret)
{
    memset(ret, 0, sizeof *ret);
    pack_common(opts, ROLE_RPCD, incarnation, sizeof *ret, &ret->common);
    pack_string(ret->node_rpc, sizeof ret->node_rpc, opts->node_rpc);
    pack_string(ret->execution_rpc, sizeof ret->execution_rpc, opts->execution_rpc);
    ret->max_body_bytes = opts->rpc_max_body_bytes;
    ret->payload_max_bytes = PAYLOAD_SSZ_MAX_BYTES;
    ret->commit_timeout_ms = opts->commit_timeout_ms;
    ret->commit_hold_ms =
        opts->commit_timeout_ms * 4 / 5 < COMMIT_HOLD_MAX_MS ? opts->commit_timeout_ms * 4 / 5 : COMMIT_HOLD_MAX_MS;
    ret->enable_proxy = opts->rpc_enable_proxy;
    ret->metrics_enabled = opts->metrics_enabled;
    ret->status_page = opts->rpc_status_page;
    ret->witness = opts->raft_witness;
}
