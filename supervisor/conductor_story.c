/* The conductor's part of the flight recorder. */
#include "supervisor/conductor_story.h"

#include "shared/base/err.h"
#include "supervisor/conductor_internal.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

/* As long as conductorctl doctor waits before it says so. */
#define SILENCE_NS UINT64_C(2000000000)

static void put(struct conductor *c, struct flight_record *r)
{
    r->term = c->lead.term;
    if (c->io.record != NULL)
        c->io.record(c->io.ctx, c->now_ns, r);
}

/* ---- what changed ---- */

static void look_at_leadership(struct conductor *c)
{
    struct story *s = &c->story;
    bool known = c->leader || *c->lead.leader_id != '\0';
    const char *id = c->leader ? c->opts->server_id : c->lead.leader_id;
    bool elected = !c->leader && strcmp(id, c->opts->server_id) == 0;
    struct flight_record r;

    /* Without a leader, the terms of candidates are of no interest. */
    if (s->leads == c->leader && strcmp(s->leader_id, id) == 0 && (s->term == c->lead.term || !known))
        return;
    s->leads = c->leader;
    s->term = c->lead.term;
    flight_copy_text(s->leader_id, sizeof s->leader_id, id);
    r = flight_record_make(FLIGHT_LEADERSHIP, id,
                           !c->consensus_up ? "consensus is down"
                           : elected        ? "elected, not ready yet"
                                            : "");
    r.code = c->leader;
    if (c->lead.head_valid)
        r.head = c->lead.head;
    put(c, &r);
}

static void look_at_health(struct conductor *c)
{
    struct story *s = &c->story;
    struct flight_record r;

    if (!c->health_seen) {
        s->health_told = false;
        return;
    }
    if (s->health_told && s->healthy == c->verdict && (c->verdict || s->health_reason == c->health.reason))
        return;
    s->health_told = true;
    s->healthy = c->verdict;
    s->health_reason = c->health.reason;
    r = flight_record_make(FLIGHT_HEALTH, c->verdict ? "healthy" : "unhealthy", c->verdict ? "" : c->health.text);
    r.code = (int32_t)c->health.reason;
    r.head = c->health.unsafe_head;
    (void)snprintf(r.detail, sizeof r.detail, "safe=%" PRIu64 " el=%" PRIu64 " peers=%" PRIu64, c->health.safe_number,
                   c->health.el_head.number, c->health.peer_count);
    put(c, &r);
}

static void look_at_node(struct conductor *c, enum ready_reason ready)
{
    struct story *s = &c->story;
    struct flight_record r;

    if (s->ready != (uint32_t)ready + 1) {
        s->ready = (uint32_t)ready + 1;
        r = flight_record_make(FLIGHT_READY, "", status_ready_text(ready));
        r.code = (int32_t)ready;
        put(c, &r);
    }
    /* Not knowing for a moment is no news. */
    if (c->active != NODE_DONT_KNOW && s->sequencing != (uint32_t)c->active + 1) {
        bool first_idle = s->sequencing == 0 && c->active == NODE_NO;

        s->sequencing = (uint32_t)c->active + 1;
        r = flight_record_make(FLIGHT_SEQ_SEEN, "", "");
        r.code = c->active == NODE_YES;
        r.head = c->health.unsafe_head;
        if (!first_idle)
            put(c, &r);
    }
    if (s->permitted != c->permitted) {
        s->permitted = c->permitted;
        r = flight_record_make(FLIGHT_PERMIT, "", "");
        r.code = c->permitted;
        if (c->permitted && c->lead.head_valid)
            r.head = c->lead.head;
        put(c, &r);
    }
}

static void look_at_membership(struct conductor *c)
{
    struct flight_record r;
    char list[CLUSTER_SERVERS_MAX * (SERVER_ID_SIZE + 16)] = "";
    size_t used = 0;

    if (!c->view_valid || c->view.membership_version == c->story.membership_version)
        return;
    c->story.membership_version = c->view.membership_version;
    for (unsigned i = 0; i < c->view.server_count && i < CLUSTER_SERVERS_MAX; i++) {
        const struct page_server *s = &c->view.servers[i];
        int n = snprintf(list + used, sizeof list - used, "%s%.*s %s", i > 0 ? ", " : "", SERVER_ID_SIZE - 1, s->id,
                         s->suffrage == SUFFRAGE_VOTER ? "voter" : "standby");

        used += n > 0 ? (size_t)n : 0;
    }
    r = flight_record_make(FLIGHT_MEMBERSHIP, "", "");
    r.count = c->view.membership_version;
    flight_copy_text(r.detail, sizeof r.detail, list);
    put(c, &r);
}

/* ---- who is heard ---- */

void story_stood_still(struct conductor *c, uint64_t passed_ns)
{
    for (unsigned i = 0; i < CLUSTER_SERVERS_MAX; i++)
        c->story.members[i].heard_ns += passed_ns;
}

static void tell_contact(struct conductor *c, const struct story_member *m, const char *addr)
{
    const uint64_t silence_ns = c->now_ns - m->heard_ns;
    struct flight_record r = flight_record_make(FLIGHT_CONTACT, m->id, "");

    r.code = !m->is_silent;
    r.duration_us = silence_ns / 1000;
    put(c, &r);
    if (m->is_silent)
        LOG_WARN("Another conductor is not heard any more", LOG_S("peer", m->id), LOG_S("address", addr),
                 LOG_U("silent_ms", silence_ns / 1000000));
    else
        LOG_INFO("Another conductor is heard again", LOG_S("peer", m->id), LOG_S("address", addr),
                 LOG_U("silent_ms", silence_ns / 1000000));
}

static void look_at_member(struct conductor *c, struct story_member *m, const struct page_server *s)
{
    const uint64_t age_ns = s->contact_age_ms > c->now_ns / 1000000 ? c->now_ns : s->contact_age_ms * 1000000;
    const bool is_silent = age_ns > SILENCE_NS;

    if (strcmp(m->id, s->id) != 0) { /* a new one has the same time to be heard at first */
        memset(m, 0, sizeof *m);
        flight_copy_text(m->id, sizeof m->id, s->id);
        m->heard_ns = c->now_ns;
    }
    if (m->is_silent != is_silent && (!is_silent || c->now_ns - m->heard_ns > SILENCE_NS)) {
        m->is_silent = is_silent;
        tell_contact(c, m, s->addr);
    }
    if (!is_silent)
        m->heard_ns = c->now_ns - age_ns;
}

/* A member that hangs, or is cut off, breaks no connection: only its silence tells. */
static void look_at_contacts(struct conductor *c)
{
    if (!c->view_valid || !c->consensus_up) { /* nobody is listening */
        for (unsigned i = 0; i < CLUSTER_SERVERS_MAX; i++)
            if (!c->story.members[i].is_silent)
                c->story.members[i].heard_ns = c->now_ns;
        return;
    }
    for (unsigned i = 0; i < c->view.server_count && i < CLUSTER_SERVERS_MAX; i++)
        if (strcmp(c->view.servers[i].id, c->opts->server_id) != 0)
            look_at_member(c, &c->story.members[i], &c->view.servers[i]);
}

void story_look(struct conductor *c, enum ready_reason ready)
{
    look_at_leadership(c);
    look_at_membership(c);
    look_at_contacts(c);
    look_at_health(c);
    look_at_node(c, ready);
}

/* ---- decisions ---- */

static const char *action_name(enum control_action action)
{
    static const char *const names[CONTROL_ACTION_COUNT] = {
        [CONTROL_NONE] = "none",       [CONTROL_START] = "start",        [CONTROL_ADOPT] = "adopt",
        [CONTROL_STOP] = "stop",       [CONTROL_TRANSFER] = "hand over", [CONTROL_PERMIT] = "permit",
        [CONTROL_RELEASE] = "release",
    };
    return names[action];
}

/* "name" or "not-name", separated by blanks. */
static size_t add_flag(char *buf, size_t size, size_t used, const char *name, bool value)
{
    int n = snprintf(buf + used, size - used, "%s%s%s", used > 0 ? " " : "", value ? "" : "not-", name);

    return n > 0 && (size_t)n < size - used ? used + (size_t)n : used;
}

static void describe_inputs(const struct control_input *in, char *buf, size_t size)
{
    static const char *const tristates[] = {"no", "yes", "unknown"};
    static const char *const targets[CONTROL_TARGET_COUNT] = {"none", "fallback", "ready"};
    static const char *const ops[CONTROL_OP_COUNT] = {"none", "start", "stop", "handover"};
    size_t used = 0;

    used = add_flag(buf, size, used, "leader", in->leader_ready);
    used = add_flag(buf, size, used, "other-leads", in->other_leads);
    used = add_flag(buf, size, used, "consensus-up", in->consensus_up);
    used = add_flag(buf, size, used, "healthd-up", in->healthd_up);
    used = add_flag(buf, size, used, "node-up", in->node_up);
    used = add_flag(buf, size, used, "permitted", in->permitted);
    used = add_flag(buf, size, used, "heads-equal", in->heads_equal);
    used = add_flag(buf, size, used, "paused", in->paused);
    (void)snprintf(buf + used, size - used, " active=%s%s ready=\"%s\" op=%s target=%s start-failures=%u%s%s",
                   tristates[in->active], in->maybe_active ? "(may-run)" : "", status_ready_text(in->reason),
                   ops[in->op], targets[in->target], in->start_failures, in->transfer_spent ? " transfer-spent" : "",
                   in->curable ? " curable" : "");
}

void story_decision(struct conductor *c, const struct control_input *in, const struct control_output *out,
                    const char *target)
{
    struct flight_record r = flight_record_make(FLIGHT_DECISION, action_name(out->action), out->why);

    describe_inputs(in, r.detail, sizeof r.detail);
    if (out->action == CONTROL_TRANSFER) {
        size_t len = strlen(r.subject);
        (void)snprintf(r.subject + len, sizeof r.subject - len, " to %.*s", (int)(sizeof r.subject - 16), target);
    }
    if (c->lead.head_valid)
        r.head = c->lead.head;
    put(c, &r);
}

/* ---- operations ---- */

static const char *origin_text(enum op_origin origin)
{
    static const char *const texts[] = {
        [ORIGIN_CONTROL] = "decided here",
        [ORIGIN_TRANSFER] = "an operator's transfer",
        [ORIGIN_NODE] = "an operator stops or restarts op-node",
        [ORIGIN_STOP] = "an operator stops the conductor",
        [ORIGIN_SHUTDOWN] = "op-conductor ends",
    };
    return texts[origin];
}

void story_sequencer(struct conductor *c, enum flight_kind kind, const char *err)
{
    const struct msg_node_result *res = c->story.answer;
    struct flight_record r = flight_record_make(kind, "", err != NULL ? err : "");

    r.duration_us = (c->now_ns - c->op.begun_ns) / 1000;
    r.code = err != NULL ? (res != NULL && res->rc != NODE_OK ? (int32_t)res->rc : -1) : 0;
    if (res != NULL) {
        r.head = res->head;
        r.count = res->posted_count;
        (void)snprintf(r.detail, sizeof r.detail, "op-node answered after %" PRIu64 " us%s", res->duration_us,
                       res->rc == NODE_ALREADY ? ", it was so already" : "");
    }
    put(c, &r);
}

void story_transfer(struct conductor *c, int rc, const char *text)
{
    const char *id = c->op.target.target_id;
    struct flight_record r = flight_record_make(FLIGHT_TRANSFER, *id != '\0' ? id : "the most up-to-date voter", text);

    r.code = rc;
    r.duration_us = (c->now_ns - c->op.begun_ns) / 1000;
    flight_copy_text(r.detail, sizeof r.detail, origin_text(c->op.origin));
    put(c, &r);
}

void story_taken_over(struct conductor *c, bool seen)
{
    struct flight_record r = flight_record_make(FLIGHT_TAKEN_OVER, c->op.target.target_id,
                                                seen ? "" : "no other node was seen sequencing in time");

    r.code = seen ? 0 : OC_EDEADLINE;
    r.duration_us = (c->now_ns - c->op.begun_ns) / 1000;
    put(c, &r);
}

/* ---- the head ---- */

void story_head(struct conductor *c, const struct msg_head_event *m)
{
    static const char *const names[] = {
        [HEAD_LEFT] = "left", [HEAD_AHEAD] = "ahead", [HEAD_REPLACED] = "replaced", [HEAD_ADOPTED] = "adopted"};
    char text[TEXT_SIZE];
    struct flight_record r;

    if (m->kind >= sizeof names / sizeof names[0])
        return;
    (void)snprintf(text, sizeof text, "consensus head %" PRIu64 ", from %" PRIu64, m->head.number, m->from_number);
    r = flight_record_make(FLIGHT_HEAD, names[m->kind], text);
    r.head = m->block;
    put(c, &r);
}

/* ---- operators ---- */

void story_request(struct conductor *c, const struct msg_admin *a)
{
    static const char *const names[] = {
        [ADMIN_PAUSE] = "pause",
        [ADMIN_RESUME] = "resume",
        [ADMIN_STOP] = "stop",
        [ADMIN_OVERRIDE] = "override leader",
        [ADMIN_TRANSFER] = "transfer leadership",
        [ADMIN_TRANSFER_TO] = "transfer leadership",
        [ADMIN_NODE_START] = "start op-node",
        [ADMIN_NODE_STOP] = "stop op-node",
        [ADMIN_NODE_RESTART] = "restart op-node",
        [ADMIN_RESTART_WORKER] = "restart worker",
    };
    bool known = a->verb < sizeof names / sizeof names[0] && names[a->verb] != NULL;
    struct flight_record r = flight_record_make(FLIGHT_OPERATOR, known ? names[a->verb] : "unknown request", a->id);

    if (a->verb == ADMIN_OVERRIDE)
        flight_copy_text(r.text, sizeof r.text, a->flag != 0 ? "on" : "off");
    put(c, &r);
    LOG_INFO("An operator asks", LOG_S("request", r.subject), LOG_S("params", r.text));
}

void story_refusal(struct conductor *c, int rc, const char *text)
{
    struct flight_record r = flight_record_make(FLIGHT_OPERATOR, "", text);

    r.code = rc;
    put(c, &r);
    LOG_WARN("An operator's request was refused", LOG_S("reason", text));
}

void story_note(struct conductor *c, const struct msg_note *m)
{
    struct msg_note note = *m;
    struct flight_record r;

    note.request[sizeof note.request - 1] = '\0';
    note.params[sizeof note.params - 1] = '\0';
    note.text[sizeof note.text - 1] = '\0';
    r = flight_record_make(FLIGHT_OPERATOR, note.request, note.rc == 0 ? note.params : note.text);
    flight_copy_text(r.detail, sizeof r.detail, note.params);
    r.code = note.rc;
    put(c, &r);
    if (note.rc == 0)
        LOG_INFO("An operator asks", LOG_S("request", note.request), LOG_S("params", note.params));
    else
        LOG_WARN("An operator's request was refused", LOG_S("request", note.request), LOG_S("params", note.params),
                 LOG_S("reason", note.text));
}
