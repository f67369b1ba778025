/* From statuses to findings (see doctor.h). */
#include "rpcd/ctl/conductorctl.h"
#include "rpcd/ctl/doctor.h"
#include "rpcd/ctl/field.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* A member that was silent for this long is not in contact. */
#define CONTACT_MAX_MS 2000
#define RECORD_MAX_MS 3000
/* From here on a conductor does not judge by its clock any more; half of it deserves a word. */
#define CLOCK_ERROR_MS 2000
#define CLOCK_WARNING_MS 500
#define RESTARTS_MANY 3
#define LAG_BLOCKS 5

void doctor_add(struct doctor_report *r, enum doctor_severity severity, const char *check, const char *fix,
                const char *format, ...)
{
    va_list args;
    if (r->count == DOCTOR_FINDINGS_MAX)
        return;
    struct doctor_finding *f = &r->findings[r->count++];
    f->severity = severity;
    f->check = check;
    va_start(args, format);
    (void)vsnprintf(f->text, sizeof f->text, format, args);
    va_end(args);
    (void)snprintf(f->fix, sizeof f->fix, "%s", severity == DOCTOR_OK ? "" : fix);
}

enum doctor_severity doctor_worst(const struct doctor_report *r)
{
    enum doctor_severity worst = DOCTOR_OK;
    for (unsigned i = 0; i < r->count; i++)
        if (r->findings[i].severity > worst)
            worst = r->findings[i].severity;
    return worst;
}

/* ---- the node ---- */

static void judge_processes(struct doctor_report *r, const cJSON *s)
{
    const cJSON *child;
    bool is_well = true;
    cJSON_ArrayForEach(child, field_get(s, "children"))
    {
        const char *name = field_text(child, "name"), *state = field_text(child, "state");
        const uint64_t restarts = field_number(child, "restarts");
        if (strcmp(state, "running") != 0) {
            doctor_add(r, DOCTOR_ERROR, "process", "its last words: conductorctl events, process_down", "%s is %s",
                       name, state);
            is_well = false;
        } else if (restarts >= RESTARTS_MANY) {
            doctor_add(r, DOCTOR_WARNING, "process", "why: conductorctl events, process_down",
                       "%s was restarted %" PRIu64 " times", name, restarts);
            is_well = false;
        }
    }
    if (is_well)
        doctor_add(r, DOCTOR_OK, "process", "", "all processes run");
}

static void judge_op_node(struct doctor_report *r, const cJSON *s)
{
    const char *reason = field_text(s, "health_reason"), *text = field_text(s, "health_text");
    const char *role = field_text(s, "role");
    if (strcmp(field_text(s, "ready_reason"), "witness") == 0) {
        doctor_add(r, DOCTOR_OK, "op-node", "", "a witness: it has no op-node");
        return;
    }
    if (strcmp(reason, "node_unreachable") == 0 || strcmp(reason, "supervisor_unreachable") == 0)
        doctor_add(r, DOCTOR_ERROR, "op-node",
                   "is it running, and are --node.rpc, --execution.rpc and --supervisor.rpc its addresses?",
                   "an endpoint does not answer (%s): %s", reason, text);
    else if (strcmp(reason, "ok") != 0)
        doctor_add(
            r, strcmp(reason, "unknown") == 0 ? DOCTOR_WARNING : DOCTOR_ERROR, "health",
            "peers: op-node's --p2p flags and firewalls; lag: is the leader sequencing, is this node syncing? The "
            "limits are the --healthcheck flags",
            "not healthy (%s): %s", reason, text);
    else
        doctor_add(r, DOCTOR_OK, "health", "", "op-node and its execution client answer and are healthy");
    if (cJSON_IsFalse(field_get(s, "conductor_enabled")))
        doctor_add(r, DOCTOR_ERROR, "conductor-enabled",
                   "start op-node with --conductor.enabled=true --conductor.rpc=URL of this conductor "
                   "--sequencer.enabled --sequencer.stopped",
                   "op-node runs without its conductor: its blocks would not be agreed on before they are gossiped");
    if (cJSON_IsTrue(field_get(s, "el_syncing")))
        doctor_add(r, DOCTOR_WARNING, "syncing", "wait; this node cannot take over until then",
                   "the execution client is syncing");
    if (field_is(s, "sequencer_active") && strcmp(role, "leader") != 0 && !field_is(s, "overridden"))
        doctor_add(r, DOCTOR_ERROR, "two-sequencers",
                   "stop it: admin_stopSequencer on op-node, then conductorctl resume if this conductor is paused",
                   "op-node sequences although this node does not lead");
}

static void judge_switches(struct doctor_report *r, const cJSON *s)
{
    if (field_is(s, "stopped"))
        doctor_add(r, DOCTOR_ERROR, "stopped", "restart op-conductor", "this conductor was stopped (conductor_stop)");
    else if (field_is(s, "paused"))
        doctor_add(r, DOCTOR_WARNING, "paused", "conductorctl resume, when whatever it was paused for is over",
                   "this conductor is paused: it starts and stops nothing");
    if (field_is(s, "overridden"))
        doctor_add(r, DOCTOR_ERROR, "overridden", "conductorctl override false, as soon as a majority is back",
                   "leadership is overridden here");
}

void doctor_judge_node(struct doctor_report *r, const cJSON *status)
{
    judge_processes(r, status);
    judge_op_node(r, status);
    judge_switches(r, status);
}

/* ---- the cluster ---- */

struct census {
    unsigned voters, reached, ready;
    uint64_t highest;
    bool is_clock_known;
    int64_t own_clock_ms; /* this node's, when its status was made */
};

static bool is_self(const cJSON *status, const cJSON *server)
{
    return strcmp(field_text(status, "node"), field_text(server, "id")) == 0;
}

static bool is_in_contact(const cJSON *status, const cJSON *server)
{
    const cJSON *record = field_get(server, "record"), *age = field_get(server, "contact_age_ms");
    if (is_self(status, server))
        return true;
    return cJSON_IsNumber(age) && field_number(server, "contact_age_ms") <= CONTACT_MAX_MS && cJSON_IsObject(record) &&
           field_number(record, "age_ms") <= RECORD_MAX_MS;
}

static int64_t clock_of(const cJSON *server)
{
    const cJSON *record = field_get(server, "record");
    return (int64_t)(field_number(record, "wall_ms") + field_number(record, "age_ms"));
}

static uint64_t head_of(const cJSON *server)
{
    return field_number(field_get(field_get(server, "record"), "unsafe_head"), "number");
}

static void take_census(struct census *c, const cJSON *status)
{
    const cJSON *server;
    memset(c, 0, sizeof *c);
    cJSON_ArrayForEach(server, field_get(status, "servers"))
    {
        const bool is_voter = field_number(server, "suffrage") == 0;
        const bool is_here = is_in_contact(status, server);
        c->voters += is_voter;
        c->reached += is_voter && is_here;
        c->ready +=
            is_voter && is_here && strcmp(field_text(field_get(server, "record"), "ready_reason"), "ready") == 0;
        if (is_here && head_of(server) > c->highest)
            c->highest = head_of(server);
        if (is_self(status, server) && field_number(field_get(server, "record"), "wall_ms") > 0) {
            c->is_clock_known = true;
            c->own_clock_ms = clock_of(server);
        }
    }
}

static void judge_quorum(struct doctor_report *r, const struct census *c)
{
    const unsigned needed = c->voters / 2 + 1;
    if (c->reached < needed)
        doctor_add(r, DOCTOR_ERROR, "quorum",
                   "bring voters or the network between them back; if they are lost for good: conductorctl "
                   "force-new-cluster on the server with the newest log",
                   "%u of %u voters are in contact, %u are needed: no block can be agreed on", c->reached, c->voters,
                   needed);
    else if (c->reached == needed && c->voters > 1)
        doctor_add(r, DOCTOR_WARNING, "quorum", "bring the missing voter back, or remove it and add another",
                   "%u of %u voters are in contact, just enough: one more loss stops the chain", c->reached, c->voters);
    else if (c->voters < 3)
        doctor_add(r, DOCTOR_WARNING, "quorum", "add voters: three survive the loss of one (conductorctl add-voter)",
                   "%u voter%s: the loss of any stops the chain", c->voters, c->voters == 1 ? "" : "s");
    else
        doctor_add(r, DOCTOR_OK, "quorum", "", "%u of %u voters are in contact, %u may be lost", c->reached, c->voters,
                   c->reached - needed);
    if (c->voters >= 2 && c->voters % 2 == 0)
        doctor_add(r, DOCTOR_WARNING, "quorum",
                   "add or demote one: an even number survives no more losses than one less", "%u voters", c->voters);
    if (c->voters > 1 && c->ready < 2)
        doctor_add(r, c->ready == 0 ? DOCTOR_ERROR : DOCTOR_WARNING, "successor",
                   "see why the others are not ready: conductorctl status, and doctor on them",
                   c->ready == 0 ? "no voter is ready to sequence" : "nobody could take over: one voter is ready");
}

static void judge_clock(struct doctor_report *r, const struct census *c, const cJSON *server)
{
    static const char fix[] = "set its clock by NTP or chrony: health checks judge blocks by their age";
    const int64_t offset_ms = clock_of(server) - c->own_clock_ms, size_ms = offset_ms < 0 ? -offset_ms : offset_ms;
    if (size_ms >= CLOCK_WARNING_MS)
        doctor_add(r, size_ms >= CLOCK_ERROR_MS ? DOCTOR_ERROR : DOCTOR_WARNING, "clock", fix,
                   "the clock of %s is %.1f s %s this node's", field_text(server, "id"), (double)size_ms / 1e3,
                   offset_ms > 0 ? "ahead of" : "behind");
}

static void judge_member(struct doctor_report *r, const struct census *c, const cJSON *status, const cJSON *server)
{
    const char *id = field_text(server, "id");
    char state[64];
    ctl_describe_member(status, server, state, sizeof state);
    if (!is_in_contact(status, server)) {
        doctor_add(r, DOCTOR_ERROR, "contact",
                   "is its op-conductor running, and are the consensus ports open in both directions? If its storage "
                   "was emptied "
                   "or restored: conductorctl remove, then add-voter",
                   "%s at %s is not in contact: %s", id, field_text(server, "addr"), state);
        return;
    }
    if (c->is_clock_known && !is_self(status, server) && field_number(field_get(server, "record"), "wall_ms") > 0)
        judge_clock(r, c, server);
    const char *reason = field_text(field_get(server, "record"), "ready_reason");
    const char *version = field_text(server, "version"), *own = field_text(status, "version");
    if (version[0] != '\0' && own[0] != '\0' && strcmp(version, own) != 0)
        doctor_add(r, DOCTOR_WARNING, "version", "bring all to one version, followers first",
                   "%s runs %s, this node %s", id, version, own);
    if (!is_self(status, server) && strcmp(reason, "ready") != 0 && strcmp(reason, "witness") != 0)
        doctor_add(r, DOCTOR_WARNING, "ready", "conductorctl doctor on that node", "%s could not take over: %s", id,
                   reason);
    if (strcmp(reason, "witness") != 0 && head_of(server) + LAG_BLOCKS < c->highest)
        doctor_add(r, DOCTOR_WARNING, "lag", "is its op-node syncing, has it peers?", "%s is %" PRIu64 " blocks behind",
                   id, c->highest - head_of(server));
}

void doctor_judge_cluster(struct doctor_report *r, const cJSON *status)
{
    struct census c;
    const cJSON *server;
    const char *leader = field_text(field_get(status, "leader"), "id");
    take_census(&c, status);
    if (c.voters == 0) {
        doctor_add(r, DOCTOR_ERROR, "cluster",
                   "add it on the leader: conductorctl add-voter; or form a cluster: "
                   "conductorctl bootstrap",
                   "this node is in no cluster");
        return;
    }
    if (leader[0] == '\0')
        doctor_add(r, DOCTOR_ERROR, "leader", "a majority of the voters must be running and reach each other",
                   "there is no leader");
    else
        doctor_add(r, DOCTOR_OK, "leader", "", "%s leads", leader);
    judge_quorum(r, &c);
    cJSON_ArrayForEach(server, field_get(status, "servers")) judge_member(r, &c, status, server);
}

/* ---- others ---- */

void doctor_judge_peer(struct doctor_report *r, const cJSON *status, const char *url, const cJSON *peer)
{
    const char *id = field_text(peer, "node"), *version = field_text(status, "version");
    const unsigned before = r->count;
    if (peer == NULL) {
        doctor_add(r, DOCTOR_ERROR, "rpc", "is that conductor running, and is this its RPC address?",
                   "%s does not answer", url);
        return;
    }
    if (strcmp(field_text(status, "cluster_id"), field_text(peer, "cluster_id")) != 0)
        doctor_add(r, DOCTOR_ERROR, "cluster", "stop it, empty its storage directory, start it, conductorctl add-voter",
                   "%s at %s belongs to another cluster", id, url);
    else if (field_number(status, "membership_version") != field_number(peer, "membership_version"))
        doctor_add(r, DOCTOR_WARNING, "membership", "ask again in a moment; if it stays so, one of them is cut off",
                   "%s knows version %" PRIu64 " of the membership, %s version %" PRIu64, id,
                   field_number(peer, "membership_version"), field_text(status, "node"),
                   field_number(status, "membership_version"));
    if (strcmp(version, field_text(peer, "version")) != 0)
        doctor_add(r, DOCTOR_WARNING, "version", "bring all to one version, followers first", "%s runs %s, %s runs %s",
                   id, field_text(peer, "version"), field_text(status, "node"), version);
    doctor_judge_node(r, peer);
    for (unsigned i = before; i < r->count; i++) {
        char text[sizeof r->findings[i].text];
        if (strstr(r->findings[i].text, id) != NULL)
            continue;
        (void)snprintf(text, sizeof text, "%.120s: %.190s", id, r->findings[i].text);
        memcpy(r->findings[i].text, text, sizeof text);
    }
}

void doctor_judge_disk(struct doctor_report *r, const char *where, const struct bench_result *bench,
                       uint64_t block_time_ms)
{
    static const enum doctor_severity severity[] = {
        [BENCH_GOOD] = DOCTOR_OK, [BENCH_SLOW] = DOCTOR_WARNING, [BENCH_TOO_SLOW] = DOCTOR_ERROR};
    doctor_add(r, severity[bench_judge(bench, block_time_ms)], "disk",
               "a disk of its own, local and with power-loss protection, for --raft.storage.dir",
               "keeping 128 KiB in %.100s takes %.1f ms, one time in a hundred %.1f ms or more, at %" PRIu64
               " ms blocks",
               where, (double)bench->p50_us / 1e3, (double)bench->p99_us / 1e3, block_time_ms);
}
