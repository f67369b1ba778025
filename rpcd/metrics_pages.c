/* Metrics from the status pages and /proc (see metrics_pages.h). */
#include "rpcd/metrics_pages.h"

#include "rpcd/histogram.h"
#include "rpcd/json_scan.h"
#include "rpcd/procstat.h"
#include "rpcd/status.h"
#include "shared/base/clock.h"
#include "shared/proto/health_text.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

void metrics_put_head(struct text *out, const char *name, const char *type, const char *help)
{
    text_put(out, "# HELP %s %s\n# TYPE %s %s\n", name, help, name, type);
}

static void put_value(struct text *out, const char *name, const char *type, const char *help, double value)
{
    metrics_put_head(out, name, type, help);
    text_put(out, "%s %.15g\n", name, value);
}

static void put_u64(struct text *out, const char *name, const char *type, const char *help, uint64_t value)
{
    metrics_put_head(out, name, type, help);
    text_put(out, "%s %" PRIu64 "\n", name, value);
}

static void put_health(struct text *out, const struct page_health *h)
{
    uint64_t unhealthy = 0;
    const char *name = "op_conductor_healthchecks_count";
    metrics_put_head(out, name, "counter", "Number of healthchecks.");
    if (h->checks_ok_total > 0)
        text_put(out, "%s{error=\"\",success=\"true\"} %" PRIu64 "\n", name, h->checks_ok_total);
    /* Several reasons share the text "sequencer is not healthy". */
    for (unsigned i = 0; i < sizeof h->checks_failed_total / sizeof h->checks_failed_total[0]; i++) {
        const char *text = health_reason_text((enum health_reason)i);
        if (strcmp(text, health_reason_text(HEALTH_UNSAFE_LAG)) == 0)
            unhealthy += h->checks_failed_total[i];
        else if (h->checks_failed_total[i] > 0)
            text_put(out, "%s{error=\"%s\",success=\"false\"} %" PRIu64 "\n", name, text, h->checks_failed_total[i]);
    }
    if (unhealthy > 0)
        text_put(out, "%s{error=\"%s\",success=\"false\"} %" PRIu64 "\n", name, health_reason_text(HEALTH_UNSAFE_LAG),
                 unhealthy);
}

/* What the last check saw. */
static void put_node(struct text *out, const struct msg_health *h)
{
    const uint64_t wall_s = clock_wall_ns() / 1000000000;
    const uint64_t lag_s = h->unsafe_timestamp != 0 && wall_s > h->unsafe_timestamp ? wall_s - h->unsafe_timestamp : 0;
    put_u64(out, "op_conductor_node_reachable", "gauge", "1 while op-node answers.", h->node_reachable);
    put_u64(out, "op_conductor_node_unsafe_head_number", "gauge", "Number of op-node's unsafe head.",
            h->unsafe_head.number);
    put_u64(out, "op_conductor_node_unsafe_lag_seconds", "gauge", "Age of op-node's unsafe head by its timestamp.",
            lag_s);
    put_u64(out, "op_conductor_node_safe_head_number", "gauge", "Number of op-node's safe head.", h->safe_number);
    put_u64(out, "op_conductor_node_peers", "gauge", "Peers of op-node at the last check.", h->peer_count);
}

static void put_pair(struct text *out, const char *name, const char *help, uint64_t when_true, uint64_t when_false)
{
    metrics_put_head(out, name, "counter", help);
    text_put(out, "%s{success=\"true\"} %" PRIu64 "\n%s{success=\"false\"} %" PRIu64 "\n", name, when_true, name,
             when_false);
}

static void put_page_histogram(struct text *out, const struct page_histogram *h, const char *name, const char *help)
{
    struct histogram_buckets buckets = {.count = PAGE_BUCKET_COUNT};
    struct histogram filled = {.sum = (double)h->sum_us / 1e6};
    for (unsigned i = 0; i < PAGE_BUCKET_COUNT; i++) {
        buckets.upper[i] = (double)page_bucket_us[i] / 1e6;
        filled.buckets[i] = h->counts[i];
        filled.count += h->counts[i];
    }
    filled.count += h->counts[PAGE_BUCKET_COUNT];
    metrics_put_head(out, name, "histogram", help);
    histogram_put(&filled, &buckets, out, name, "");
}

static void put_supervisor(struct text *out, const struct page_supervisor *p)
{
    static const char *const words[] = {"false", "true"};
    put_pair(out, "op_conductor_leader_transfers_count", "Leadership transfers that the control loop decided.",
             p->transfers_ok_total, p->transfers_failed_total);
    put_pair(out, "op_conductor_requested_transfers_total", "Leadership transfers for an operator or a stop.",
             p->asked_transfers_ok_total, p->asked_transfers_failed_total);
    put_pair(out, "op_conductor_sequencer_starts_count", "Sequencer starts; false: it was running already.",
             p->starts_ok_total, p->starts_already_total);
    put_pair(out, "op_conductor_sequencer_stops_count", "Sequencer stops; false: it was stopped already.",
             p->stops_ok_total, p->stops_already_total);
    metrics_put_head(out, "op_conductor_state_changes_count", "counter", "Number of state changes.");
    for (unsigned i = 0; i < 8; i++)
        if (p->state_changes_total[i] > 0)
            text_put(out, "op_conductor_state_changes_count{active=\"%s\",healthy=\"%s\",leader=\"%s\"} %" PRIu64 "\n",
                     words[i & 1], words[i >> 1 & 1], words[i >> 2], p->state_changes_total[i]);
    put_u64(out, "op_conductor_paused", "gauge", "1 while the control loop is paused.", p->paused);
    put_u64(out, "op_conductor_stopped", "gauge", "1 after conductor_stop.", p->stopped);
    put_u64(out, "op_conductor_leader_overridden", "gauge", "1 while leadership is overridden here.", p->overridden);
    put_u64(out, "op_conductor_healthy", "gauge", "1 while the last health verdict is good.", p->healthy);
    put_u64(out, "op_conductor_sequencing", "gauge", "1 while op-node's sequencer is known to run.",
            p->active == NODE_YES);
    put_u64(out, "op_conductor_ready", "gauge", "1 while this node could sequence.", p->ready_reason == READY_OK);
    put_value(out, "op_conductor_last_handover_seconds", "gauge",
              "From leadership gained to sequencer started, the last time; 0 before the first.",
              (double)p->last_handover_us / 1e6);
    put_page_histogram(out, &p->handovers, "op_conductor_handover_duration_seconds",
                       "From leadership gained to sequencer started.");
    put_page_histogram(out, &p->loop_times, "op_conductor_loop_execution_time",
                       "Turns of the control loop in seconds, waiting for events included.");
    put_u64(out, "op_conductor_log_queued_bytes", "gauge", "Log that the standard output has not taken yet.",
            p->log_queued_bytes);
    put_u64(out, "op_conductor_log_lines_dropped_total", "counter", "Log lines that nobody read in time.",
            p->log_dropped_total);
}

static void put_children(struct text *out, const struct page_supervisor *p)
{
    struct procstat stat;
    metrics_put_head(out, "op_conductor_worker_restarts_total", "counter", "Restarts of a process of this node.");
    for (unsigned i = 0; i < CHILD_COUNT; i++)
        if (i != CHILD_NODE || p->node_managed != 0)
            text_put(out, "op_conductor_worker_restarts_total{worker=\"%s\"} %u\n", status_child_name(i),
                     p->children[i].restarts);
    metrics_put_head(out, "op_conductor_worker_up", "gauge", "1 while the process runs.");
    for (unsigned i = 0; i < CHILD_COUNT; i++)
        if (i != CHILD_NODE || p->node_managed != 0)
            text_put(out, "op_conductor_worker_up{worker=\"%s\"} %d\n", status_child_name(i),
                     p->children[i].state == LIFE_RUNNING);
    metrics_put_head(out, "op_conductor_worker_resident_memory_bytes", "gauge", "Resident memory of the process.");
    for (unsigned i = 0; i < CHILD_COUNT; i++)
        if (p->children[i].pid != 0 && procstat_read(p->children[i].pid, &stat) == 0)
            text_put(out, "op_conductor_worker_resident_memory_bytes{worker=\"%s\"} %" PRIu64 "\n",
                     status_child_name(i), stat.resident_bytes);
}

static void put_server(struct text *out, const char *name, const struct page_server *s, double value)
{
    char id[2 * SERVER_ID_SIZE];
    const size_t len = json_string_encode(s->id, id, sizeof id); /* the same escapes as a label's */
    text_put(out, "%s{server=%.*s} %.15g\n", name, (int)len, id, value);
}

static void put_raft(struct text *out, const struct page_consensus *p)
{
    put_u64(out, "op_conductor_leader", "gauge", "1 while this node is the leader and ready.", p->leader_ready);
    put_u64(out, "op_conductor_raft_term", "gauge", "Raft term.", p->term);
    put_u64(out, "op_conductor_raft_commit_index", "gauge", "Raft commit index.", p->commit_index);
    put_u64(out, "op_conductor_raft_applied_index", "gauge", "Last applied Raft index.", p->applied_index);
    put_u64(out, "op_conductor_raft_last_index", "gauge", "Last Raft index.", p->last_index);
    put_u64(out, "op_conductor_raft_first_index", "gauge", "First Raft index in the log.", p->first_index);
    put_u64(out, "op_conductor_raft_snapshot_index", "gauge", "Raft index of the newest snapshot.", p->snapshot_index);
    put_u64(out, "op_conductor_raft_durable_index", "gauge", "Last Raft index on this disk.", p->durable_index);
    put_u64(out, "op_conductor_raft_elections_total", "counter", "Elections this node started.", p->elections_total);
    put_u64(out, "op_conductor_raft_disk_bytes", "gauge", "Size of log and snapshots.", p->disk_bytes);
    put_u64(out, "op_conductor_window_payloads", "gauge", "Payloads in the replicated window.", p->window_count);
    put_u64(out, "op_conductor_window_bytes", "gauge", "Bytes of the replicated window.", p->window_bytes);
    put_u64(out, "op_conductor_unsafe_head_number", "gauge", "Number of the consensus head; 0 when there is none.",
            p->head_valid != 0 ? p->head.number : 0);
    put_u64(out, "op_conductor_commits_total", "counter", "Commits that succeeded, since consensus started.",
            p->commits_total);
    put_u64(out, "op_conductor_commits_failed_total", "counter", "Commits that failed, since consensus started.",
            p->commits_failed_total);
    metrics_put_head(out, "op_conductor_peer_contact_age_seconds", "gauge", "Since a server was last heard.");
    for (uint64_t i = 0; i < p->server_count; i++)
        if (p->servers[i].contact_age_ms != UINT64_MAX)
            put_server(out, "op_conductor_peer_contact_age_seconds", &p->servers[i],
                       (double)p->servers[i].contact_age_ms / 1e3);
    metrics_put_head(out, "op_conductor_peer_queued_bytes", "gauge",
                     "Bytes for a server that the system has not taken.");
    for (uint64_t i = 0; i < p->server_count; i++)
        put_server(out, "op_conductor_peer_queued_bytes", &p->servers[i], (double)p->servers[i].queued_bytes);
}

/* The standard collector's names, summed over our own processes (op-node is not one of them). */
static void put_process(struct text *out, const struct page_supervisor *p, struct metrics_cpu *cpu)
{
    struct procstat sum = {0}, one;
    const uint32_t supervisor = (uint32_t)getppid();
    for (int i = -1; i < CHILD_COUNT; i++) {
        const uint32_t pid = i < 0 ? supervisor : p->children[i].pid;
        if (i == CHILD_NODE)
            continue;
        if (i >= 0 && pid != cpu->pid[i]) {
            cpu->ended_seconds += cpu->seconds[i];
            cpu->pid[i] = pid;
            cpu->seconds[i] = 0;
        }
        if (pid == 0 || procstat_read(pid, &one) < 0)
            continue;
        if (i >= 0)
            cpu->seconds[i] = one.cpu_seconds;
        sum.cpu_seconds += one.cpu_seconds;
        sum.resident_bytes += one.resident_bytes;
        sum.virtual_bytes += one.virtual_bytes;
        sum.open_fds += one.open_fds;
        sum.max_fds += one.max_fds;
        if (i < 0)
            sum.start_seconds = one.start_seconds;
    }
    put_value(out, "process_cpu_seconds_total", "counter", "Total user and system CPU time spent in seconds.",
              sum.cpu_seconds + cpu->ended_seconds);
    put_u64(out, "process_resident_memory_bytes", "gauge", "Resident memory size in bytes.", sum.resident_bytes);
    put_u64(out, "process_virtual_memory_bytes", "gauge", "Virtual memory size in bytes.", sum.virtual_bytes);
    metrics_put_head(out, "process_virtual_memory_max_bytes", "gauge",
                     "Maximum amount of virtual memory available in bytes; -1: no limit.");
    text_put(out, "process_virtual_memory_max_bytes -1\n");
    put_u64(out, "process_open_fds", "gauge", "Number of open file descriptors.", sum.open_fds);
    put_u64(out, "process_max_fds", "gauge", "Maximum number of open file descriptors.", sum.max_fds);
    put_value(out, "process_start_time_seconds", "gauge", "Start time of the process since unix epoch in seconds.",
              sum.start_seconds);
}

void metrics_put_pages(const struct rpcd *app, struct metrics_cpu *cpu, struct text *out)
{
    struct pages {
        struct page_consensus consensus;
        struct page_health health;
        struct page_supervisor supervisor;
    } *p = malloc(sizeof *p);
    if (p == NULL)
        return;
    /* A page that is missing reads as zeros; a stale leader must not show as one. */
    const bool is_fresh = status_read_consensus(app->status, &p->consensus);
    if (!is_fresh && status_read_consensus_any_age(app->status, &p->consensus))
        p->consensus.leader_ready = 0;
    (void)status_read_health(app->status, &p->health);
    (void)status_read_supervisor(app->status, &p->supervisor);
    put_health(out, &p->health);
    put_node(out, &p->health.last);
    put_supervisor(out, &p->supervisor);
    put_children(out, &p->supervisor);
    put_raft(out, &p->consensus);
    put_process(out, &p->supervisor, cpu);
    free(p);
}
