/* Membership operations as a small state machine (see members.h). */
#include "consensus/members.h"

#include "consensus/identity.h"
#include "consensus/link.h"
#include "consensus/node.h"
#include "shared/base/clock.h"
#include "shared/base/err.h"
#include "shared/base/log.h"

#include <errno.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define DIAL_TIMEOUT_MS 5000 /* as upstream */
#define DEADLINE_DEFAULT_MS 30000
#define POLL_NS UINT64_C(5000000) /* how often catching up and retries are looked at */
/* A server heard of within this time is alive under its old identity. */
#define ALIVE_MS 5000

enum step {
    STEP_WAITING, /* behind an earlier operation */
    STEP_PROBE,   /* asking the address who lives there */
    STEP_DECIDE,  /* compare with the configuration */
    STEP_DROP_OLD,
    STEP_ADD,
    STEP_REACH, /* until it answers our connections */
    STEP_CATCH_UP,
    STEP_PROMOTE,
    STEP_DEMOTE,
    STEP_REMOVE,
};

struct member_job {
    struct member_job *next;
    enum step step;
    bool caller_gone;
    uint64_t request_id;
    struct msg_member_op op;
    struct peer_probe *probe;
    uint64_t term;      /* of the leadership it runs under; 0 until decided */
    uint64_t target_id; /* raft ids */
    uint64_t old_id;
    char address[MEMBER_ADDRESS_SIZE];
    uint64_t change_index; /* of the submitted, not yet committed change; 0: none */
};

struct members {
    struct node *node;
    struct member_job *jobs; /* the first one runs */
    unsigned count;
    unsigned finished; /* operations that ended so far */
    uint64_t next_poll_ns;
};

struct members *members_new(struct node *n)
{
    struct members *m = calloc(1, sizeof *m);
    if (m)
        m->node = n;
    return m;
}

static void free_first(struct members *m)
{
    struct member_job *job = m->jobs;
    m->jobs = job->next;
    m->count--;
    m->finished++;
    peer_probe_cancel(job->probe);
    free(job);
}

void members_free(struct members *m)
{
    if (!m)
        return;
    while (m->jobs)
        free_first(m);
    free(m);
}

/* ---- answers ---- */

static const char *verb_text(uint32_t verb)
{
    static const char *const texts[] = {[MEMBER_ADD_VOTER] = "voter added",
                                        [MEMBER_ADD_NONVOTER] = "standby added",
                                        [MEMBER_REMOVE] = "removed",
                                        [MEMBER_DEMOTE] = "demoted to standby"};
    return texts[verb];
}

static void send_answer(struct members *m, uint64_t request_id, int rc, const char *text)
{
    struct msg_member_result result = {.rc = rc, .version = node_membership(m->node)->index};
    snprintf(result.text, sizeof result.text, "%s", rc == 0 ? "" : text && *text ? text : err_text(rc));
    link_send_rpcd(m->node->link, MSG_MEMBER_RESULT, request_id, &result, -1);
}

/* Answers the running operation and forgets it. */
static void finish(struct members *m, int rc, const char *text)
{
    struct member_job *job = m->jobs;
    if (rc)
        LOG_WARN("Membership change failed", LOG_S("server", job->op.id),
                 LOG_S("reason", text && *text ? text : err_text(rc)));
    else
        LOG_INFO("Membership change done", LOG_S("server", job->op.id), LOG_S("change", verb_text(job->op.verb)),
                 LOG_U("version", node_membership(m->node)->index));
    if (!job->caller_gone)
        send_answer(m, job->request_id, rc, text);
    free_first(m);
}

__attribute__((format(printf, 3, 4))) static void finish_text(struct members *m, int rc, const char *fmt, ...)
{
    char text[TEXT_SIZE];
    va_list args;
    va_start(args, fmt);
    vsnprintf(text, sizeof text, fmt, args);
    va_end(args);
    finish(m, rc, text);
}

/* ---- asking the address ---- */

static void on_probe(void *ctx, int rc, const struct frame_hello *hello, const char *text)
{
    static const uint8_t NONE[CLUSTER_ID_BYTES];
    struct members *m = ctx;
    struct member_job *job = m->jobs;
    job->probe = NULL;
    if (rc) {
        finish(m, rc, text);
        return;
    }
    if (strcmp(hello->name, job->op.id) != 0) {
        finish_text(m, OC_ERANGE, "the server at %.100s is %.60s, not %.60s", job->op.addr, hello->name, job->op.id);
        return;
    }
    if (memcmp(hello->cluster_id, NONE, sizeof NONE) != 0 &&
        memcmp(hello->cluster_id, storage_identity(m->node->storage)->cluster_id, sizeof NONE) != 0) {
        finish_text(m, OC_ECONFLICT,
                    "server %.100s belongs to another cluster: stop it and empty its raft storage directory first",
                    hello->name);
        return;
    }
    job->target_id = hello->raft_id;
    job->step = STEP_DECIDE;
    m->next_poll_ns = 0; /* goes on from the timer */
}

static void start_probe(struct members *m)
{
    struct member_job *job = m->jobs;
    uint64_t now = clock_mono_ns();
    uint64_t left_ms = job->op.deadline_mono_ns > now ? (job->op.deadline_mono_ns - now) / 1000000 : 0;
    job->step = STEP_PROBE;
    job->probe = peer_probe_start(m->node->peers, job->op.addr, left_ms < DIAL_TIMEOUT_MS ? left_ms : DIAL_TIMEOUT_MS,
                                  on_probe, m);
    if (!job->probe)
        finish(m, m->node->is_stopped ? OC_ESHUTDOWN : -ENOMEM, NULL);
}

/* ---- deciding ---- */

static bool is_alive(const struct members *m, uint64_t id)
{
    uint64_t heard = peers_contact_ms(m->node->peers, id);
    return peers_is_connected(m->node->peers, id) || (heard && clock_mono_ms() - heard < ALIVE_MS);
}

/* The server is in the configuration already, under this very identity. */
static void decide_known(struct members *m, const struct member *known)
{
    struct member_job *job = m->jobs;
    bool wants_voter = job->op.verb == MEMBER_ADD_VOTER;
    if (strcmp(known->address, job->address) != 0) {
        if (job->target_id == m->node->raft_id) {
            finish_text(m, OC_ECONFLICT, "the leader's own address cannot be changed: transfer leadership first");
            return;
        }
        job->old_id = job->target_id;
        job->step = STEP_DROP_OLD;
    } else if (known->role == MEMBER_VOTER || (known->role == MEMBER_STANDBY && !wants_voter)) {
        finish(m, 0, NULL);
    } else {
        job->step = STEP_REACH;
    }
}

static void decide_add(struct members *m, const struct membership *conf)
{
    struct member_job *job = m->jobs;
    const struct member *named = identity_find_name(conf, job->op.id);
    const struct member *same = identity_find_id(conf, job->target_id);
    const struct member *there = identity_find_host_port(conf, job->op.addr);
    if (identity_format_address(job->op.id, job->op.addr, job->address, sizeof job->address))
        finish(m, OC_ERANGE, NULL);
    else if (same && same != named)
        finish_text(m, OC_ECONFLICT, "found duplicate ID in configuration: %.100s", job->op.id);
    else if (there && there != named)
        finish_text(m, OC_ECONFLICT, "found duplicate address in configuration: %.200s", job->op.addr);
    else if (same)
        decide_known(m, same);
    else if (named && named->id == m->node->raft_id)
        finish_text(m, OC_ECONFLICT, "another server has the name of this one, %.100s: rename it", job->op.id);
    else if (named && is_alive(m, named->id))
        return; /* heard of under its old storage a moment ago: wait until that is over */
    else if (named) {
        job->old_id = named->id; /* its disk was emptied, or the machine replaced */
        job->step = STEP_DROP_OLD;
    } else if (conf->count >= CLUSTER_SERVERS_MAX)
        finish_text(m, OC_ERANGE, "the cluster has %u servers, which is the most", conf->count);
    else
        job->step = STEP_ADD;
}

static void decide(struct members *m)
{
    struct member_job *job = m->jobs;
    struct driver_view view = node_view(m->node);
    const struct member *known = identity_find_name(view.membership, job->op.id);
    int rc = node_check_leader(m->node);
    if (rc) {
        finish(m, rc, NULL);
        return;
    }
    if (job->op.version && job->op.version != view.membership->index) {
        finish_text(m, OC_ECONFVERSION, "configuration changed since %" PRIu64 " (latest is %" PRIu64 ")",
                    job->op.version, view.membership->index);
        return;
    }
    job->term = view.term;
    if (job->op.verb == MEMBER_ADD_VOTER || job->op.verb == MEMBER_ADD_NONVOTER) {
        decide_add(m, view.membership);
    } else if (!known) {
        if (job->op.verb == MEMBER_REMOVE)
            finish(m, 0, NULL);
        else
            finish_text(m, OC_EUNKNOWN, "no server %.100s in the configuration", job->op.id);
    } else if (job->op.verb == MEMBER_DEMOTE && known->role != MEMBER_VOTER) {
        finish(m, 0, NULL);
    } else {
        job->target_id = known->id;
        job->step = job->op.verb == MEMBER_REMOVE ? STEP_REMOVE : STEP_DEMOTE;
    }
}

/* ---- doing ---- */

/* Hands the step's change to the driver. */
static int submit(struct members *m)
{
    struct member_job *job = m->jobs;
    struct driver *d = m->node->driver;
    uint64_t now = clock_mono_ms();
    switch (job->step) {
    case STEP_DROP_OLD:
        return driver_member_remove(d, now, job->old_id);
    case STEP_ADD:
        return driver_member_add(d, now, job->target_id, job->address);
    case STEP_PROMOTE:
        return driver_member_set_role(d, now, job->target_id,
                                      job->op.verb == MEMBER_ADD_VOTER ? MEMBER_VOTER : MEMBER_STANDBY);
    case STEP_DEMOTE:
        return driver_member_set_role(d, now, job->target_id, MEMBER_STANDBY);
    default:
        return driver_member_remove(d, now, job->target_id);
    }
}

static unsigned count_voters(const struct membership *conf)
{
    unsigned count = 0;
    for (unsigned i = 0; i < conf->count; i++)
        count += conf->members[i].role == MEMBER_VOTER;
    return count;
}

static void submit_change(struct members *m)
{
    struct member_job *job = m->jobs;
    int rc = submit(m);
    if (rc == OC_ECHANGING)
        return; /* another one is not committed yet: again soon, until the deadline */
    if (rc == OC_ERANGE && job->target_id == m->node->raft_id && count_voters(node_membership(m->node)) > 1)
        finish_text(m, rc, "a leader leaves only when two other voters stay: transfer leadership first");
    else if (rc == OC_ERANGE)
        finish_text(m, rc, "need at least one voter in configuration: %.100s is the last one", job->op.id);
    else if (rc)
        finish(m, rc, NULL);
    else
        job->change_index = node_membership(m->node)->index;
}

/* A change is committed: what comes next. */
static void change_done(struct members *m)
{
    struct member_job *job = m->jobs;
    job->change_index = 0;
    if (job->step == STEP_DROP_OLD)
        job->step = STEP_ADD;
    else if (job->step == STEP_ADD)
        job->step = STEP_REACH;
    else
        finish(m, 0, NULL);
}

static void catch_up(struct members *m)
{
    struct member_job *job = m->jobs;
    struct driver *d = m->node->driver;
    switch (driver_catch_up_state(d, job->target_id)) {
    case CATCH_UP_RUNNING:
        break;
    case CATCH_UP_FINISHED:
        job->step = STEP_PROMOTE;
        break;
    case CATCH_UP_NONE:
    case CATCH_UP_ABORTED: { /* too slow for one round: again, until the deadline */
        int rc = driver_catch_up_start(d, clock_mono_ms(), job->target_id);
        if (rc && rc != OC_ECHANGING)
            finish(m, rc, NULL);
        break;
    }
    }
}

/* The leadership under which it began is over. Returns true when the operation ended. */
static bool check_lost(struct members *m)
{
    struct member_job *job = m->jobs;
    struct driver_view view = node_view(m->node);
    if (view.state == RAFT_ROLE_STOPPED)
        finish(m, OC_ESHUTDOWN, NULL);
    else if (view.state == RAFT_ROLE_LEADER && view.term == job->term)
        return false;
    else
        finish(m, OC_ELOST, NULL);
    return true;
}

/* Takes the running operation one step further. Returns true while something moves. */
static bool advance(struct members *m)
{
    struct member_job *job = m->jobs;
    enum step before = job->step;
    unsigned finished = m->finished;
    switch (job->step) {
    case STEP_WAITING:
        if (job->op.verb == MEMBER_ADD_VOTER || job->op.verb == MEMBER_ADD_NONVOTER)
            start_probe(m);
        else
            job->step = STEP_DECIDE;
        break;
    case STEP_PROBE:
        return false;
    case STEP_DECIDE:
        decide(m);
        break;
    default:
        if (job->change_index && node_view(m->node).committed_membership->index >= job->change_index) {
            change_done(m);
            break;
        }
        if (check_lost(m))
            break;
        if (job->step == STEP_REACH) {
            if (peers_is_connected(m->node->peers, job->target_id))
                job->step = STEP_CATCH_UP;
        } else if (job->step == STEP_CATCH_UP) {
            catch_up(m);
        } else if (!job->change_index) {
            submit_change(m);
        }
        break;
    }
    return m->finished != finished || m->jobs->step != before; /* ended: the next one's turn */
}

static void run(struct members *m)
{
    while (m->jobs && m->node->is_started && advance(m))
        ;
}

/* ---- events ---- */

static const char *deadline_text(const struct member_job *job)
{
    if (job->change_index)
        return "timed out waiting for a majority to store the change; it may still take effect";
    switch (job->step) {
    case STEP_DECIDE:
        return "two servers of this name are alive, with different storage: rename one";
    case STEP_REACH:
    case STEP_CATCH_UP:
        return "the server did not catch up in time; it stays in the configuration without a role: add it again";
    default:
        return "timed out enqueuing operation";
    }
}

void members_tick(struct members *m, uint64_t now_ns)
{
    if (m->jobs && now_ns >= m->jobs->op.deadline_mono_ns)
        finish(m, OC_EDEADLINE, deadline_text(m->jobs));
    struct member_job **link = m->jobs ? &m->jobs->next : NULL;
    while (link && *link) {
        struct member_job *job = *link;
        if (now_ns < job->op.deadline_mono_ns) {
            link = &job->next;
            continue;
        }
        *link = job->next;
        m->count--;
        send_answer(m, job->request_id, OC_EDEADLINE, deadline_text(job));
        free(job);
    }
    run(m);
    m->next_poll_ns = now_ns + POLL_NS;
}

void members_on_view(struct members *m)
{
    run(m);
}

uint64_t members_deadline_ns(const struct members *m)
{
    return m->jobs ? m->next_poll_ns : UINT64_MAX;
}

void members_request(struct members *m, const struct chan_msg *msg)
{
    struct member_job *job = NULL, **link = &m->jobs;
    int rc = 0;
    if (m->node->is_stopped)
        rc = OC_ESHUTDOWN;
    else if (!m->node->is_started)
        rc = OC_ENOTLEADER;
    else if (m->count >= MEMBER_OPS_MAX)
        rc = OC_EFULL;
    else if (!(job = calloc(1, sizeof *job)))
        rc = -ENOMEM;
    if (rc) {
        send_answer(m, msg->request_id, rc, NULL);
        return;
    }
    memcpy(&job->op, msg->body, sizeof job->op);
    job->op.id[SERVER_ID_SIZE - 1] = job->op.addr[SERVER_ADDR_SIZE - 1] = '\0';
    job->request_id = msg->request_id;
    if (!job->op.deadline_mono_ns)
        job->op.deadline_mono_ns = clock_mono_ns() + DEADLINE_DEFAULT_MS * UINT64_C(1000000);
    bool is_add = job->op.verb == MEMBER_ADD_VOTER || job->op.verb == MEMBER_ADD_NONVOTER;
    if (identity_check_name(job->op.id) || job->op.verb < MEMBER_ADD_VOTER || job->op.verb > MEMBER_DEMOTE) {
        send_answer(m, msg->request_id, OC_ESYNTAX,
                    job->op.id[0] ? "a server id must be printable and without '@'" : "empty ID in configuration");
        free(job);
        return;
    }
    if (is_add && !job->op.addr[0]) {
        send_answer(m, msg->request_id, OC_ESYNTAX, "dial tcp: missing address");
        free(job);
        return;
    }
    while (*link)
        link = &(*link)->next;
    *link = job;
    m->count++;
    m->next_poll_ns = 0;
}

void members_drop_callers(struct members *m)
{
    if (!m->jobs)
        return;
    m->jobs->caller_gone = true;
    while (m->jobs->next) {
        struct member_job *job = m->jobs->next;
        m->jobs->next = job->next;
        m->count--;
        free(job);
    }
}
