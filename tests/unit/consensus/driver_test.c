/* The driver alone: hostile messages, duplicate suppression, cadence, holding back. Its disk answers
 * at once; what it sends is only remembered.
 */
#include "consensus/confcodec.h"
#include "consensus/driver.h"
#include "shared/base/err.h"
#include "tests/unit/consensus/driver_rig.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static void a_sole_voter_leads_in_a_new_term(void **state)
{
    (void)state;
    struct world *w = start(1, 0);
    struct driver_view v = driver_view(w->driver);
    assert_int_equal(v.state, RAFT_ROLE_LEADER);
    assert_int_equal(v.term, 2);
    assert_false(v.leader_ready);
    settle(w);
    assert_true(driver_view(w->driver).leader_ready);
    assert_int_equal(driver_member_remove(w->driver, w->now, SELF), OC_ERANGE);
    assert_int_equal(driver_member_set_role(w->driver, w->now, SELF, MEMBER_STANDBY), OC_ERANGE);
    assert_int_equal(driver_member_add(w->driver, w->now, 2, "n2@host:2"), 0);
    assert_int_equal(driver_member_add(w->driver, w->now, 3, "n3@host:3"), OC_ECHANGING);
    settle(w);
    assert_int_equal(driver_member_add(w->driver, w->now, 2, "n3@host:3"), -EEXIST);
    assert_int_equal(driver_member_add(w->driver, w->now, 3, "n2@host:2"), -EEXIST);
    assert_int_equal(driver_catch_up_start(w->driver, w->now, 9), OC_EUNKNOWN);
    assert_int_equal(driver_catch_up_state(w->driver, 9), CATCH_UP_NONE);
    assert_int_equal(driver_transfer(w->driver, w->now, 2, false), OC_EUNKNOWN);
    end(w);
}

static void leads_commits_and_keeps_its_cadence(void **state)
{
    (void)state;
    struct world *w = start_leader();
    uint64_t index, term;
    acknowledge(w, 2, 2);
    assert_true(driver_view(w->driver).leader_ready || driver_view(w->driver).last_index == 1);
    if (!driver_view(w->driver).leader_ready)
        acknowledge(w, 2, driver_view(w->driver).last_index);
    assert_true(driver_view(w->driver).leader_ready);
    w->sent_count = 0;
    for (unsigned i = 0; i < 5; i++) {
        advance(w, ET / 6);
        acknowledge(w, 2, driver_view(w->driver).last_index);
    }
    assert_in_range(count_sent(w, WIRE_APPEND, 2), 4, 6);
    struct entry *e = entry_new(ENTRY_COMMAND, 0, 100);
    memset(entry_payload(e), 1, 100);
    assert_int_equal(driver_propose(w->driver, w->now, e, &index, &term), 0);
    settle(w);
    assert_true(driver_view(w->driver).commit_index < index);
    acknowledge(w, 2, index);
    assert_int_equal(driver_view(w->driver).applied_index, index);
    assert_int_equal(w->applied, index);
    /* Without answers it steps down. */
    advance(w, 2 * ET);
    assert_int_equal(driver_view(w->driver).state == RAFT_ROLE_LEADER, 0);
    e = entry_new(ENTRY_COMMAND, 0, 10);
    assert_int_equal(driver_propose(w->driver, w->now, e, &index, &term), OC_ENOTLEADER);
    entry_unref(e);
    end(w);
}

/* An entry on its way is not sent again at every tick, but is after a second, and at once to a new
 * connection. */
static void nothing_large_is_sent_twice(void **state)
{
    (void)state;
    struct world *w = start_leader();
    uint64_t index, term;
    acknowledge(w, 2, driver_view(w->driver).last_index);
    acknowledge(w, 3, driver_view(w->driver).last_index);
    w->sent_count = 0;
    struct entry *e = entry_new(ENTRY_COMMAND, 0, 1000);
    memset(entry_payload(e), 1, 1000);
    assert_int_equal(driver_propose(w->driver, w->now, e, &index, &term), 0);
    settle(w);
    assert_int_equal(count_entries(w, 3), 1);
    for (unsigned i = 0; i < 20; i++) {
        advance(w, ET / 10);
        acknowledge(w, 2, index); /* keeps it leading; 3 is silent */
    }
    assert_int_equal(count_entries(w, 3), 1);
    for (unsigned i = 0; i < 20; i++) {
        advance(w, ET / 10);
        acknowledge(w, 2, index);
    }
    assert_int_equal(count_entries(w, 3), 2);
    driver_peer_connected(w->driver, w->now, 3);
    advance(w, ET / 10 + 1);
    assert_int_equal(count_entries(w, 3), 3);
    end(w);
}

static void its_own_disk_may_not_fall_behind_for_ever(void **state)
{
    (void)state;
    struct world *w = start_leader();
    uint64_t index, term;
    int rc = 0;
    unsigned taken = 0;
    while (rc == 0 && taken < 1000) {
        struct entry *e = entry_new(ENTRY_COMMAND, 0, 10);
        memset(entry_payload(e), 0, 10);
        rc = driver_propose(w->driver, w->now, e, &index, &term);
        if (rc != 0)
            entry_unref(e);
        taken++;
    }
    assert_int_equal(rc, OC_EFULL);
    end(w);
}

static void reject(struct world *w, uint64_t from, uint64_t rejected, uint64_t last)
{
    struct wire_msg m = {.kind = WIRE_APPEND_RESULT, .term = driver_view(w->driver).term, .version = 2};
    m.append_result.rejected = rejected;
    m.append_result.last_log_index = last;
    m.append_result.features = 1;
    assert_int_equal(receive(w, from, m), 0);
}

/* A member whose damaged end was dropped gets it again, once, from the leader to which it had
 * acknowledged it. */
static void a_member_that_lost_its_end_gets_it_again(void **state)
{
    (void)state;
    struct world *w = start_leader();
    uint64_t index = 0, term;
    for (unsigned i = 0; i < 40; i++) {
        struct entry *e = entry_new(ENTRY_COMMAND, 0, 100);
        memset(entry_payload(e), 1, 100);
        assert_int_equal(driver_propose(w->driver, w->now, e, &index, &term), 0);
        settle(w);
        acknowledge(w, 2, index);
        acknowledge(w, 3, index);
    }
    uint64_t lost = index - 30, had = lost, match = index;
    struct entry *newer = entry_new(ENTRY_COMMAND, 0, 100);
    memset(entry_payload(newer), 1, 100);
    assert_int_equal(driver_propose(w->driver, w->now, newer, &index, &term), 0);
    settle(w);
    index = match;
    w->sent_count = 0;
    reject(w, 3, match, lost);
    unsigned first_count = count_entries(w, 3);
    assert_true(first_count > 0);
    /* The answers to a heartbeat and to the newer entry: what it lacks is under way. */
    reject(w, 3, match, lost);
    reject(w, 3, match + 1, lost);
    assert_int_equal(count_entries(w, 3), first_count);
    /* A new connection: what was under way is lost. */
    driver_peer_connected(w->driver, w->now, 3);
    w->sent_count = 0;
    reject(w, 3, match, lost);
    assert_int_equal(count_entries(w, 3), first_count);
    for (unsigned i = 0; i < w->sent_count && had < match; i++) {
        assert_int_equal(w->sent[i].to, 3);
        assert_true(w->sent[i].has_entry);
        assert_int_equal(w->sent[i].msg.append.prev_log_index, had);
        acknowledge(w, 3, ++had);
    }
    assert_int_equal(had, match);
    assert_int_equal(count_entries(w, 3), 30);
    /* Once whole it is a follower like any other. */
    assert_int_equal(driver_view(w->driver).commit_index, match);
    acknowledge(w, 3, match + 1);
    assert_int_equal(driver_view(w->driver).commit_index, match + 1);
    end(w);
}

static struct entry *command(uint64_t term)
{
    struct entry *e = entry_new(ENTRY_COMMAND, term, 16);
    memset(entry_payload(e), 3, 16);
    return e;
}

/* Two leaders of one term are nowhere to be read. */
static void a_leader_is_told_for_its_own_term_only(void **state)
{
    (void)state;
    struct world *w = start(3, 0);
    assert_int_equal(receive(w, 2, append(2, 1, 1, NULL)), 0);
    assert_int_equal(driver_view(w->driver).leader_id, 2);
    struct wire_msg m = vote(3, 3, 5, 2, false);
    m.request_vote.disrupt_leader = 1; /* a transfer */
    assert_int_equal(receive(w, 3, m), 0);
    settle(w);
    assert_int_equal(driver_view(w->driver).term, 3);
    assert_int_equal(driver_view(w->driver).leader_id, 0);
    assert_int_equal(receive(w, 2, append(2, 1, 1, NULL)), 0);
    assert_int_equal(driver_view(w->driver).leader_id, 0);
    assert_int_equal(receive(w, 3, append(3, 1, 1, NULL)), 0);
    assert_int_equal(driver_view(w->driver).leader_id, 3);
    end(w);
}

static void follows_and_waits_while_bytes_arrive(void **state)
{
    (void)state;
    struct world *w = start(3, 0);
    assert_int_equal(receive(w, 2, append(2, 1, 1, command(2))), 0);
    settle(w);
    assert_int_equal(driver_view(w->driver).leader_id, 2);
    assert_int_equal(driver_view(w->driver).last_index, 2);
    for (unsigned i = 0; i < 40; i++) { /* a large payload takes its time */
        driver_peer_progress(w->driver, w->now, 2);
        advance(w, ET / 2);
    }
    assert_int_equal(driver_view(w->driver).elections, 0);
    advance(w, 3 * ET);
    assert_true(driver_view(w->driver).elections > 0);
    end(w);
}

/* What is sent is always ours to tell, not what lay on the stack. */
static void an_append_of_an_old_term_gets_a_whole_answer(void **state)
{
    (void)state;
    struct world *w = start(3, 0);
    assert_int_equal(receive(w, 2, append(5, 1, 1, command(5))), 0);
    settle(w);
    w->sent_count = 0;
    assert_int_equal(receive(w, 3, append(4, 1, 1, NULL)), 0);
    assert_int_equal(count_sent(w, WIRE_APPEND_RESULT, 3), 1);
    const struct wire_msg *m = &w->sent[w->sent_count - 1].msg;
    assert_int_equal(m->kind, WIRE_APPEND_RESULT);
    assert_int_equal(m->term, 5);
    assert_int_equal(m->append_result.rejected, 1);
    assert_int_equal(m->append_result.last_log_index, 2);
    /* … nor when it was about the beginning of the log: "rejected 0" would be a success. */
    assert_int_equal(receive(w, 3, append(2, 0, 0, NULL)), 0);
    m = &w->sent[w->sent_count - 1].msg;
    assert_int_equal(m->term, 5);
    assert_int_equal(m->append_result.rejected, 1);
    assert_int_equal(m->append_result.last_log_index, 2);
    end(w);
}

static void a_gone_leader_is_replaced_early(void **state)
{
    (void)state;
    struct world *w = start(3, 0);
    assert_int_equal(receive(w, 2, append(2, 1, 1, NULL)), 0);
    advance(w, 5);
    driver_peer_gone(w->driver, w->now, 3); /* not the leader: nothing */
    advance(w, 20);
    assert_int_equal(driver_view(w->driver).elections, 0);
    driver_peer_gone(w->driver, w->now, 2);
    advance(w, 20);
    assert_int_equal(driver_view(w->driver).elections, 1);
    assert_true(count_sent(w, WIRE_REQUEST_VOTE, 3) > 0);
    answer_votes(w, 3);
    assert_int_equal(driver_view(w->driver).state, RAFT_ROLE_LEADER);
    end(w);
}

static void a_silent_leader_is_replaced_at_a_fixed_time(void **state)
{
    (void)state;
    struct world *w = start(3, 0);
    for (unsigned i = 0; i < 20; i++, advance(w, ET + ET / 2 - 5)) /* only late */
        assert_int_equal(receive(w, 2, append(2, 1, 1, NULL)), 0);
    assert_int_equal(driver_view(w->driver).elections, 0);
    advance(w, 10);
    assert_int_equal(driver_view(w->driver).elections, 1);
    end(w);
}

/* Having dropped a torn end: no votes for shorter logs, no campaign, until it is caught up. */
static void a_lost_end_makes_it_careful(void **state)
{
    (void)state;
    struct world *w = start(3, 3);
    advance(w, 3 * ET);
    assert_int_equal(count_sent(w, WIRE_REQUEST_VOTE, 2), 0);
    assert_int_equal(receive(w, 2, vote(20, 2, 2, 1, false)), 0);
    assert_int_equal(count_sent(w, WIRE_VOTE_RESULT, 2), 0);
    assert_int_equal(receive(w, 2, vote(20, 2, 3, 1, false)), 0);
    assert_int_equal(count_sent(w, WIRE_VOTE_RESULT, 2), 1);
    assert_int_equal(receive(w, 2, append(20, 1, 1, command(20))), 0);
    settle(w);
    w->sent_count = 0;
    advance(w, 3 * ET); /* caught up: like anybody else */
    assert_true(count_sent(w, WIRE_REQUEST_VOTE, 3) > 0);
    end(w);
}

static void a_higher_term_is_told_to_who_asks_before_the_vote(void **state)
{
    (void)state;
    struct world *w = start(3, 0);
    assert_int_equal(receive(w, 2, vote(9, 2, 1, 1, false)), 0);
    w->sent_count = 0;
    assert_int_equal(receive(w, 3, vote(4, 3, 1, 1, true)), 0);
    assert_int_equal(w->sent_count, 1);
    assert_int_equal(w->sent[0].msg.kind, WIRE_VOTE_RESULT);
    assert_int_equal(w->sent[0].msg.term, 9);
    assert_int_equal(w->sent[0].msg.vote_result.granted, 0);
    end(w);
}

/* A member that does not know yet that it votes must vote, once a term. */
static void a_guest_votes_once(void **state)
{
    (void)state;
    struct world *w = start(0, 0);
    assert_int_equal(receive(w, 2, vote(5, 2, 7, 4, false)), 0);
    assert_int_equal(w->sent[0].msg.vote_result.granted, 1);
    assert_int_equal(w->sent[0].msg.term, 5);
    w->sent_count = 0;
    assert_int_equal(receive(w, 3, vote(5, 3, 9, 4, false)), 0);
    for (unsigned i = 0; i < w->sent_count; i++)
        assert_int_equal(w->sent[i].msg.vote_result.granted, 0);
    end(w);
}

static struct snapshot *snapshot(uint64_t index, uint64_t term)
{
    struct snapshot *s = snapshot_new();
    s->index = index;
    s->term = term;
    s->membership = members(3);
    s->membership.index = 1;
    return s;
}

static struct wire_msg install(struct snapshot *s, uint64_t term)
{
    struct wire_msg m = {.kind = WIRE_INSTALL_SNAPSHOT, .term = term};
    m.install.snapshot = s;
    m.install.conf_index = s->membership.index;
    return m;
}

static void a_snapshot_is_installed(void **state)
{
    (void)state;
    struct world *w = start(3, 0);
    assert_int_equal(receive(w, 2, install(snapshot(50, 2), 3)), 0);
    assert_int_equal(receive(w, 2, install(snapshot(50, 2), 3)), 0); /* again, meanwhile */
    assert_int_equal(receive(w, 2, append(3, 50, 2, command(3))), 0);
    assert_non_null(w->written);
    driver_snapshot_durable(w->driver, w->now, snapshot_ref(w->written));
    assert_int_equal(driver_view(w->driver).applied_index, 50);
    assert_int_equal(driver_view(w->driver).snapshot_index, 50);
    assert_int_equal(receive(w, 2, append(3, 50, 2, command(3))), 0);
    settle(w);
    assert_int_equal(driver_view(w->driver).last_index, 51);
    /* An entry below the log: it is covered, and the answer says so. */
    w->sent_count = 0;
    assert_int_equal(receive(w, 2, append(3, 0, 0, change_entry(1, 3))), 0);
    assert_int_equal(w->sent[0].msg.append_result.rejected, 0);
    assert_int_equal(w->sent[0].msg.append_result.last_log_index, 50);
    assert_int_equal(driver_view(w->driver).last_index, 51);
    end(w);
}

/* What a node had lost may come back in a snapshot, and nothing behind it: then it may lead again as well. */
static void a_snapshot_makes_up_for_a_lost_end(void **state)
{
    (void)state;
    struct world *w = start(3, 3);
    assert_int_equal(receive(w, 2, install(snapshot(50, 2), 3)), 0);
    driver_snapshot_durable(w->driver, w->now, snapshot_ref(w->written));
    w->sent_count = 0;
    struct wire_msg m = {.kind = WIRE_TIMEOUT_NOW, .term = 3, .version = 1};
    m.timeout_now.last_log_index = 50;
    m.timeout_now.last_log_term = 2;
    assert_int_equal(receive(w, 2, m), 0);
    assert_true(count_sent(w, WIRE_REQUEST_VOTE, 3) > 0);
    end(w);
}

/* ---- messages no honest peer sends ---- */

static void hostile_messages_are_refused(void **state)
{
    (void)state;
    struct world *w = start(3, 0);
    assert_int_equal(receive(w, 2, append(5, 1, 1, command(5))), 0);
    struct wire_msg commit = append(5, 2, 5, NULL);
    commit.append.leader_commit = 2;
    assert_int_equal(receive(w, 2, commit), 0);
    settle(w);
    assert_int_equal(driver_view(w->driver).commit_index, 2);

    struct wire_msg nothing = {.kind = (enum wire_kind)99, .term = 5};
    assert_int_equal(receive(w, 2, nothing), OC_EPROTO);
    assert_int_equal(receive(w, 0, append(5, 1, 1, NULL)), OC_EPROTO);
    assert_int_equal(receive(w, SELF, append(5, 1, 1, NULL)), OC_EPROTO);
    assert_int_equal(receive(w, 2, append(0, 1, 1, NULL)), OC_EPROTO);
    assert_int_equal(receive(w, 2, append(UINT64_MAX, 1, 1, NULL)), OC_EPROTO);
    assert_int_equal(receive(w, 2, append(5, 1, 0, NULL)), OC_EPROTO);
    assert_int_equal(receive(w, 2, append(5, 0, 1, NULL)), OC_EPROTO);
    assert_int_equal(receive(w, 2, append(5, UINT64_MAX, 1, NULL)), OC_EPROTO);
    assert_int_equal(receive(w, 2, append(5, 2, 9, NULL)), OC_EPROTO);
    /* another history of what is committed */
    assert_int_equal(receive(w, 2, append(7, 2, 4, NULL)), OC_EPROTO);
    assert_int_equal(receive(w, 2, append(7, 1, 1, command(7))), OC_EPROTO);
    /* terms that run backwards or ahead, types that are none, a log that begins with a payload */
    assert_int_equal(receive(w, 2, append(7, 2, 5, command(3))), OC_EPROTO);
    assert_int_equal(receive(w, 2, append(7, 2, 5, command(8))), OC_EPROTO);
    assert_int_equal(receive(w, 2, append(7, 2, 5, command(0))), OC_EPROTO);
    assert_int_equal(receive(w, 2, append(7, 2, 5, entry_new((enum entry_type)9, 7, 0))), OC_EPROTO);
    assert_int_equal(receive(w, 2, append(7, 0, 0, command(7))), OC_EPROTO);
    /* a configuration that is garbage */
    struct entry *garbage = entry_new(ENTRY_CHANGE, 7, 64);
    memset(entry_payload(garbage), 0xff, 64);
    assert_int_equal(receive(w, 2, append(7, 2, 5, garbage)), OC_EPROTO);
    assert_int_equal(receive(w, 2, append(7, 2, 5, entry_new(ENTRY_CHANGE, 7, 0))), OC_EPROTO);
    /* votes for somebody else, from nowhere */
    assert_int_equal(receive(w, 2, vote(9, 3, 2, 5, false)), OC_EPROTO);
    assert_int_equal(receive(w, 2, vote(9, 2, UINT64_MAX, 5, false)), OC_EPROTO);
    assert_int_equal(receive(w, 2, vote(9, 2, 2, 10, false)), OC_EPROTO);
    /* snapshots */
    struct snapshot *s = snapshot(50, 9);
    assert_int_equal(receive(w, 2, install(s, 8)), OC_EPROTO);
    s = snapshot(2, 4); /* a committed entry in another term */
    assert_int_equal(receive(w, 2, install(s, 8)), OC_EPROTO);
    s = snapshot(0, 4);
    assert_int_equal(receive(w, 2, install(s, 8)), OC_EPROTO);
    s = snapshot(50, 4);
    s->membership.count = CLUSTER_SERVERS_MAX + 1;
    assert_int_equal(receive(w, 2, install(s, 8)), OC_EPROTO);
    s = snapshot(50, 4);
    memset(s->membership.members[1].address, 'x', MEMBER_ADDRESS_SIZE);
    assert_int_equal(receive(w, 2, install(s, 8)), OC_EPROTO);
    s = snapshot(50, 4);
    s->membership.members[1].id = 1;
    assert_int_equal(receive(w, 2, install(s, 8)), OC_EPROTO);
    s = snapshot(50, 4);
    s->membership.index = 51;
    assert_int_equal(receive(w, 2, install(s, 8)), OC_EPROTO);
    /* None of it left a trace. */
    assert_int_equal(w->failures, 0);
    assert_int_equal(driver_view(w->driver).term, 5);
    assert_int_equal(driver_view(w->driver).last_index, 2);
    end(w);
}

/* Random messages of every kind, from members and strangers, to a follower, a candidate, a leader:
 * whatever they do to it, it stops neither itself nor the sanitizers. */
static void random_messages_do_no_harm(void **state)
{
    (void)state;
    uint64_t random = 42;
    unsigned refused = 0;
    for (unsigned role = 0; role < 3; role++) {
        struct world *w = role == 2 ? start_leader() : start(3, 0);
        if (role == 1)
            advance(w, 2 * ET + 2);
        for (unsigned i = 0; i < 30000; i++) {
            uint64_t r[6];
            for (unsigned k = 0; k < 6; k++) {
                random = random * 6364136223846793005u + 1442695040888963407u;
                r[k] = random >> 33;
            }
            uint64_t term = driver_view(w->driver).term + r[1] % 3 - (r[1] % 7 == 0);
            struct wire_msg m = {.kind = (enum wire_kind)(1 + r[0] % 6), .term = term, .version = (uint8_t)(r[2] % 4)};
            if (m.kind == WIRE_APPEND) {
                m = append(term, r[2] % 8, r[3] % (term + 2), r[4] % 3 ? command(term - r[4] % 2) : NULL);
                m.append.leader_commit = r[5] % 10;
                if (r[5] % 11 == 0 && m.append.entry != NULL) {
                    entry_unref(m.append.entry);
                    m.append.entry = change_entry(term, 1 + (unsigned)(r[4] % 4));
                }
            } else if (m.kind == WIRE_INSTALL_SNAPSHOT) {
                m = install(snapshot(1 + r[2] % 12, 1 + r[3] % (term + 1)), term);
            } else if (m.kind == WIRE_REQUEST_VOTE) {
                m = vote(term, 2 + r[2] % 2, r[3] % 12, r[4] % (term + 2), r[5] % 2);
            } else if (m.kind == WIRE_TIMEOUT_NOW) {
                m.timeout_now.last_log_index = r[2] % 12;
                m.timeout_now.last_log_term = r[3] % (term + 1);
            } else {
                m.append_result.rejected = r[2] % 3 ? 0 : r[2] % 12;
                m.append_result.last_log_index = r[3] % 12;
                if (m.kind == WIRE_VOTE_RESULT) {
                    m.vote_result.granted = r[2] & 1;
                    m.vote_result.pre_vote = r[3] & 1;
                }
            }
            refused += receive(w, 2 + r[0] % 3, m) != 0;
            if (r[5] % 4 == 0)
                settle(w);
            if (w->written != NULL && r[4] % 5 == 0)
                driver_snapshot_durable(w->driver, w->now, snapshot_ref(w->written));
            advance(w, r[3] % 20);
        }
        assert_int_equal(w->failures, 0);
        end(w);
    }
    assert_true(refused > 100);
}

static void a_disk_failure_stops_it(void **state)
{
    (void)state;
    struct world *w = start_leader();
    driver_disk_failed(w->driver, OC_EDISK, "test");
    driver_disk_failed(w->driver, OC_EDISK, "test");
    assert_int_equal(w->failures, 1);
    assert_int_equal(driver_view(w->driver).state, RAFT_ROLE_STOPPED);
    w->sent_count = 0;
    advance(w, 1000);
    assert_int_equal(receive(w, 2, append(9, 1, 1, command(9))), 0);
    assert_int_equal(w->sent_count, 0);
    assert_true(driver_deadline_ms(w->driver) == UINT64_MAX);
    uint64_t index, term;
    assert_int_equal(driver_barrier(w->driver, w->now, &index, &term), OC_ESHUTDOWN);
    end(w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_sole_voter_leads_in_a_new_term),
        cmocka_unit_test(leads_commits_and_keeps_its_cadence),
        cmocka_unit_test(nothing_large_is_sent_twice),
        cmocka_unit_test(a_member_that_lost_its_end_gets_it_again),
        cmocka_unit_test(its_own_disk_may_not_fall_behind_for_ever),
        cmocka_unit_test(a_leader_is_told_for_its_own_term_only),
        cmocka_unit_test(follows_and_waits_while_bytes_arrive),
        cmocka_unit_test(an_append_of_an_old_term_gets_a_whole_answer),
        cmocka_unit_test(a_gone_leader_is_replaced_early),
        cmocka_unit_test(a_silent_leader_is_replaced_at_a_fixed_time),
        cmocka_unit_test(a_lost_end_makes_it_careful),
        cmocka_unit_test(a_higher_term_is_told_to_who_asks_before_the_vote),
        cmocka_unit_test(a_guest_votes_once),
        cmocka_unit_test(a_snapshot_is_installed),
        cmocka_unit_test(a_snapshot_makes_up_for_a_lost_end),
        cmocka_unit_test(hostile_messages_are_refused),
        cmocka_unit_test(random_messages_do_no_harm),
        cmocka_unit_test(a_disk_failure_stops_it),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
