/* One sentence about the cluster (see verdict.h). */
#include "rpcd/verdict.h"

#include "rpcd/status.h"

#include <stdio.h>
#include <string.h>

const char *verdict_level_name(enum verdict_level level)
{
    static const char *const names[] = {[VERDICT_GOOD] = "good", [VERDICT_WARN] = "warn", [VERDICT_BAD] = "bad"};
    return names[level];
}

const char *verdict_member_state(const struct page_server *s)
{
    static const char *const words[READY_REASON_COUNT] = {
        [READY_OK] = "ready",
        [READY_UNKNOWN] = "unknown",
        [READY_NODE_DOWN] = "op-node down",
        [READY_CONDUCTOR_DISABLED] = "op-node without conductor",
        [READY_UNHEALTHY] = "unhealthy",
        [READY_EL_SYNCING] = "syncing",
        [READY_LAGGING] = "lagging",
        [READY_PAUSED] = "paused",
        [READY_STOPPED] = "stopped",
        [READY_HELD_DOWN] = "held back",
        [READY_WITNESS] = "witness",
        [READY_NO_CONSENSUS] = "without consensus",
        [READY_NOT_MEMBER] = "not a member",
        [READY_NO_LEADER] = "without leader",
    };
    if (s->contact_age_ms > VERDICT_CONTACT_MS)
        return "not heard";
    if (s->record_age_ms == UINT64_MAX || s->record.reason >= READY_REASON_COUNT)
        return "unknown";
    return words[s->record.reason];
}

/* What is said of the voters but the leader. */
struct others {
    unsigned voters, heard; /* the leader included */
    unsigned ready;
    char not_ready[512]; /* "a is paused, b is lost" */
};

static void look_at_others(const struct page_consensus *c, struct others *ret)
{
    size_t len = 0;
    memset(ret, 0, sizeof *ret);
    for (uint64_t i = 0; i < c->server_count; i++) {
        const struct page_server *s = &c->servers[i];
        if (s->suffrage != SUFFRAGE_VOTER)
            continue;
        const bool is_heard = s->contact_age_ms <= VERDICT_CONTACT_MS;
        const bool is_known = is_heard && s->record_age_ms != UINT64_MAX;
        ret->voters++;
        ret->heard += is_heard;
        if (strcmp(s->id, c->leader_id) == 0)
            continue;
        if (is_known && s->record.reason == READY_OK) {
            ret->ready++;
        } else if (!is_known || s->record.reason != READY_WITNESS) {
            const int n = snprintf(ret->not_ready + len, sizeof ret->not_ready - len, "%s%s is %s", len > 0 ? ", " : "",
                                   s->id, verdict_member_state(s));
            len = n > 0 && len + (size_t)n < sizeof ret->not_ready ? len + (size_t)n : sizeof ret->not_ready - 1;
        }
    }
}

static const struct page_server *leader_of(const struct page_consensus *c)
{
    for (uint64_t i = 0; i < c->server_count; i++)
        if (strcmp(c->servers[i].id, c->leader_id) == 0)
            return &c->servers[i];
    return NULL;
}

static void say_leader(const struct page_consensus *c, struct verdict *ret)
{
    struct others o;
    look_at_others(c, &o);
    const struct page_server *leader = leader_of(c);
    const bool is_sequencing = leader != NULL && leader->record_age_ms != UINT64_MAX && leader->record.sequencing != 0;
    if (o.heard * 2 <= o.voters) {
        ret->level = VERDICT_BAD;
        (void)snprintf(ret->text, sizeof ret->text, "Only %u of %u voters are heard here: no majority, no commits. %s.",
                       o.heard, o.voters, o.not_ready);
    } else if (!is_sequencing) {
        ret->level = VERDICT_WARN;
        (void)snprintf(ret->text, sizeof ret->text, "%s leads, but its sequencer does not run (it is %s).",
                       c->leader_id, leader != NULL ? verdict_member_state(leader) : "no member");
    } else if (o.voters == 1) {
        ret->level = VERDICT_WARN;
        (void)snprintf(ret->text, sizeof ret->text, "%s leads and sequences; it is the only voter.", c->leader_id);
    } else if (o.ready == 0) {
        ret->level = VERDICT_WARN;
        (void)snprintf(ret->text, sizeof ret->text, "%s leads and sequences; nobody could take over: %s.", c->leader_id,
                       o.not_ready[0] != '\0' ? o.not_ready : "the others are witnesses");
    } else {
        ret->level = o.not_ready[0] != '\0' ? VERDICT_WARN : VERDICT_GOOD;
        (void)snprintf(ret->text, sizeof ret->text, "%s leads and sequences; %u other%s could take over%s%s.",
                       c->leader_id, o.ready, o.ready == 1 ? "" : "s", o.not_ready[0] != '\0' ? ", but " : "",
                       o.not_ready);
    }
}

static void set(struct verdict *v, enum verdict_level level, const char *text)
{
    v->level = level;
    (void)snprintf(v->text, sizeof v->text, "%s", text);
}

void verdict_make(const struct page_consensus *c, const struct page_supervisor *s, struct verdict *ret)
{
    if (s != NULL && s->stopped != 0)
        set(ret, VERDICT_WARN, "This node was stopped by an operator and takes no part any more.");
    else if (c == NULL)
        set(ret, VERDICT_BAD, "This node's consensus process does not answer: it cannot tell who leads.");
    else if (s != NULL && s->overridden != 0)
        set(ret, VERDICT_WARN, "Leadership is overridden here: this node calls itself leader whatever the others say.");
    else if (c->server_count == 0)
        set(ret, VERDICT_BAD, "This node is in no cluster yet: bootstrap it, or add it on the leader.");
    else if (c->leader_id[0] == '\0')
        set(ret, VERDICT_BAD, "No leader is known here: no block can be committed through this node.");
    else if (c->transferring != 0)
        set(ret, VERDICT_WARN, "Leadership is being handed over.");
    else
        say_leader(c, ret);
}
