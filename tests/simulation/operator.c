/* An operator who changes the membership by the book: one change at a time, asked for again until it is done, and only
 * when a majority stays that has everything. A machine that is replaced comes back under its old name with an empty
 * disk. */
#include "consensus/identity.h"
#include "shared/base/clock.h"
#include "shared/base/err.h"
#include "tests/simulation/world.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#define ASK_MS 12000 /* longer than a server counts as alive after it was last heard of */
#define ASK_AGAIN_MS 300
#define VOTERS_MIN 2
#define ABLE_MIN 2

bool operator_is_busy(const struct world *w)
{
    return w->operator.move != MOVE_NONE || w->operator.leaver != NULL;
}

/* ---- may it be done ---- */

static bool is_voter(const struct host *h)
{
    const struct member *m = world_member(h);
    return m != NULL && m->role == MEMBER_VOTER;
}

/* A configuration that is not committed may still win, so nothing is risked meanwhile. */
static bool knows_of_a_change(const struct host *h)
{
    uint64_t committed = h->world->committed.index;
    const struct logcache *log = &h->storage.disk.log;
    if (h->node != NULL && node_membership(h->node)->index > committed)
        return true;
    for (uint64_t i = committed + 1; i <= log->last; i++) {
        const struct entry *e = logcache_get(log, i);
        if (e != NULL && entry_type(e) == ENTRY_CHANGE)
            return true;
    }
    return false;
}

static bool is_change_pending(const struct world *w)
{
    for (const struct packet *p = w->network.packets; p != NULL; p = p->next)
        if (p->msg.kind == WIRE_APPEND && p->msg.append.entry != NULL &&
            entry_type(p->msg.append.entry) == ENTRY_CHANGE)
            return true;
    for (unsigned i = 0; i < w->host_count; i++)
        if (knows_of_a_change(&w->hosts[i]))
            return true;
    return false;
}

/* Without that host the voters that are left are a majority of `voters`, and two of them can sequence. */
static bool majority_stays(const struct world *w, const struct host *without, unsigned voters)
{
    unsigned stay = 0, able = 0;
    for (unsigned i = 0; i < w->host_count; i++) {
        const struct host *h = &w->hosts[i];
        if (h == without || !is_voter(h))
            continue;
        stay++;
        able += !h->witness;
    }
    return voters >= VOTERS_MIN && stay > voters / 2 && able >= ABLE_MIN;
}

static unsigned count_voters(const struct world *w)
{
    unsigned voters = 0;
    for (unsigned i = 0; i < w->committed.count; i++)
        voters += w->committed.members[i].role == MEMBER_VOTER;
    return voters;
}

/* ---- beginning ---- */

static void begin(struct world *w, struct host *h, int move)
{
    static const char *const names[MOVE_COUNT] = {
        [MOVE_ADD] = "makes it a voter", [MOVE_ADD_STANDBY] = "makes it a standby", [MOVE_DEMOTE] = "demotes it",
        [MOVE_REMOVE] = "removes it",    [MOVE_REPLACE] = "replaces the machine",
    };
    w->operator.move = move;
    w->operator.host = h;
    w->operator.asked = NULL;
    w->operator.next_ms = w->now_ms + dice_below(&w->dice, 500);
    world_log(w, h, "operator %s", names[move]);
}

/* A machine with an empty disk. */
static void set_up(struct host *h, uint64_t in_ms)
{
    h->absent = false;
    h->sup.up_at_ms = h->world->now_ms + in_ms;
}

static void replace(struct world *w, struct host *h)
{
    supervisor_kill(h);
    if (h->opnode.up)
        opnode_kill(&h->opnode, 0, (unsigned)dice_below(&w->dice, 40));
    h->opnode.up_at_ms = NEVER;
    h->powered = false;
    world_empty_disk(h);
    set_up(h, dice_below(&w->dice, 2000));
    begin(w, h, MOVE_REPLACE);
}

void operator_join(struct world *w, struct host *h)
{
    h->powered = false;
    set_up(h, dice_below(&w->dice, 500));
    begin(w, h, MOVE_ADD);
}

void operator_move(struct world *w)
{
    struct host *h = &w->hosts[dice_below(&w->dice, w->host_count)];
    unsigned voters = count_voters(w);
    if (operator_is_busy(w) || is_change_pending(w))
        return;
    if (h->absent) {
        operator_join(w, h);
        if (dice_chance(&w->dice, 20))
            w->operator.move = MOVE_ADD_STANDBY;
    } else if (!is_voter(h)) {
        begin(w, h, dice_chance(&w->dice, 80) ? MOVE_ADD : MOVE_REMOVE);
    } else if (dice_chance(&w->dice, 40)) {
        if (majority_stays(w, h, voters))
            replace(w, h);
    } else if (majority_stays(w, h, voters - 1)) {
        begin(w, h, dice_chance(&w->dice, 50) ? MOVE_REMOVE : MOVE_DEMOTE);
    }
}

/* ---- asking ---- */

static struct host *find_leader(struct world *w)
{
    struct host *leader = NULL;
    uint64_t term = 0;
    for (unsigned i = 0; i < w->host_count; i++) {
        struct host *h = &w->hosts[i];
        if (!h->cons.up || !h->rpc.up || !node_view(h->node).leader_ready || node_view(h->node).term < term)
            continue;
        leader = h;
        term = node_view(h->node).term;
    }
    return leader;
}

static void ask(struct world *w)
{
    static const enum member_verb verbs[MOVE_COUNT] = {
        [MOVE_ADD] = MEMBER_ADD_VOTER, [MOVE_ADD_STANDBY] = MEMBER_ADD_NONVOTER, [MOVE_DEMOTE] = MEMBER_DEMOTE,
        [MOVE_REMOVE] = MEMBER_REMOVE, [MOVE_REPLACE] = MEMBER_ADD_VOTER,
    };
    struct operator* o = & w->operator;
    struct host *leader = find_leader(w);
    o->next_ms = w->now_ms + ASK_AGAIN_MS;
    if (leader == NULL)
        return;
    struct msg_member_op op = {.verb = verbs[o->move], .deadline_mono_ns = (w->now_ms + ASK_MS) * UINT64_C(1000000)};
    snprintf(op.id, sizeof op.id, "%s", o->host->options.server_id);
    snprintf(op.addr, sizeof op.addr, "host:%u", o->host->index + 1);
    o->asked = leader;
    o->request_id = ++leader->next_request_id;
    o->give_up_ms = w->now_ms + ASK_MS + 500;
    channel_send(leader, RPC_TO_CONS, MSG_MEMBER_OP, o->request_id, &op, sizeof op, -1);
}

/* ---- the end ---- */

static const char *what_is_wrong(const struct operator* o)
{
    const struct member *m = world_member(o->host);
    switch (o->move) {
    case MOVE_ADD:
    case MOVE_REPLACE:
        return m != NULL && m->role == MEMBER_VOTER ? NULL : "it is no voter";
    case MOVE_ADD_STANDBY:
    case MOVE_DEMOTE:
        return m != NULL && m->role == MEMBER_STANDBY ? NULL : "it is no standby";
    default:
        return m == NULL ? NULL : "it is a member still";
    }
}

void operator_answer(struct host *h, uint64_t request_id, const struct msg_member_result *result)
{
    struct world *w = h->world;
    struct operator* o = & w->operator;
    if (o->move == MOVE_NONE || o->asked != h || o->request_id != request_id)
        return;
    o->asked = NULL;
    world_log(w, o->host, "operator is told: %d %s", (int)result->rc, result->text);
    const char *wrong = what_is_wrong(o);
    /* A leader does not leave when too few would stay. */
    bool is_refused = result->rc == OC_ERANGE && wrong != NULL && (o->move == MOVE_REMOVE || o->move == MOVE_DEMOTE);
    if (result->rc == 0 && wrong != NULL)
        world_fail(w, "the operator is told that it is done, but of %s: %s", o->host->options.server_id, wrong);
    if (result->rc != 0 && !is_refused)
        return;
    if (result->rc == 0) {
        o->moves[o->move]++;
        if (o->move == MOVE_REMOVE) {
            o->leaver = o->host;
            o->leave_ms = w->now_ms + dice_below(&w->dice, 3000);
        }
    }
    o->move = MOVE_NONE;
}

static void switch_off(struct world *w)
{
    struct host *h = w->operator.leaver;
    world_log(w, h, "is switched off");
    supervisor_kill(h);
    if (h->opnode.up)
        opnode_kill(&h->opnode, 0, 0);
    h->opnode.up_at_ms = h->sup.up_at_ms = NEVER;
    h->absent = true;
    world_empty_disk(h);
    w->operator.leaver = NULL;
}

void operator_step(struct world *w)
{
    struct operator* o = & w->operator;
    if (o->leaver != NULL && o->leave_ms <= w->now_ms)
        switch_off(w);
    if (o->move == MOVE_NONE)
        return;
    if (o->asked != NULL && o->give_up_ms <= w->now_ms)
        o->asked = NULL;
    if (o->asked == NULL && o->next_ms <= w->now_ms)
        ask(w);
}
