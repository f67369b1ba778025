/* See driver_rig.h. */
#include "tests/unit/consensus/driver_rig.h"
#include "consensus/confcodec.h"
#include "consensus/driver.h"
#include "shared/base/err.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
static int on_save(void *ctx, uint64_t term, uint64_t voted_for)
{
    (void)ctx;
    (void)term;
    (void)voted_for;
    return 0;
}
static void on_append(void *ctx, uint64_t index, struct entry *e)
{
    (void)e;
    ((struct world *)ctx)->durable = index;
}
static void on_truncate(void *ctx, uint64_t from_index)
{
    ((struct world *)ctx)->durable = from_index - 1;
}
static void on_snapshot(void *ctx, struct snapshot *s, uint64_t keep_from, bool install)
{
    (void)keep_from;
    (void)install;
    struct world *w = ctx;
    snapshot_unref(w->written);
    w->written = snapshot_ref(s);
}
static void on_send(void *ctx, uint64_t to, const struct wire_msg *m)
{
    struct world *w = ctx;
    if (w->sent_count == SENT_MAX) {
        memmove(w->sent, w->sent + 1, (SENT_MAX - 1) * sizeof w->sent[0]);
        w->sent_count--;
    }
    w->sent[w->sent_count].to = to;
    w->sent[w->sent_count].msg = *m;
    w->sent[w->sent_count].has_entry = m->kind == WIRE_APPEND && m->append.entry != NULL;
    w->sent_count++;
}
static int on_apply(void *ctx, uint64_t index, uint64_t term, struct entry *e)
{
    (void)term;
    (void)e;
    ((struct world *)ctx)->applied = index;
    return 0;
}
static int on_restore(void *ctx, const struct snapshot *s)
{
    ((struct world *)ctx)->applied = s->index;
    return 0;
}
static int on_take(void *ctx, struct snapshot *s)
{
    (void)ctx;
    (void)s;
    return 0;
}
static void on_changed(void *ctx)
{
    (void)ctx;
}
static void on_failed(void *ctx, int rc, const char *why)
{
    (void)rc;
    (void)why;
    ((struct world *)ctx)->failures++;
}

struct membership members(unsigned count)
{
    struct membership m = {.count = count};
    for (unsigned i = 0; i < count; i++) {
        m.members[i] = (struct member){.id = i + 1, .role = MEMBER_VOTER};
        snprintf(m.members[i].address, sizeof m.members[i].address, "n%u@host:%u", i + 1, i + 1);
    }
    return m;
}

struct entry *change_entry(uint64_t term, unsigned count)
{
    struct membership m = members(count);
    struct entry *e = entry_new(ENTRY_CHANGE, term, confcodec_len(&m));
    confcodec_encode(&m, entry_payload(e));
    return e;
}

/* Starts with entry 1: `count` voters; 0: nothing yet. */
struct world *start(unsigned count, uint64_t lost_tail_index)
{
    struct world *w = calloc(1, sizeof *w);
    struct driver_options options = {.self_id = SELF,
                                     .self_address = "n1@host:1",
                                     .election_timeout_ms = ET,
                                     .snapshot_threshold = 1000,
                                     .snapshot_threshold_bytes = 1 << 20,
                                     .trailing_entries = 4,
                                     .trailing_bytes = 1 << 20,
                                     .random_seed = 3};
    struct driver_io io = {w,        on_save,    on_append, on_truncate, on_snapshot, on_send,
                           on_apply, on_restore, on_take,   on_changed,  on_failed};
    struct entry *first = count > 0 ? change_entry(1, count) : NULL;
    struct driver_recovered r = {.term = count > 0 ? 1 : 0,
                                 .first_index = 1,
                                 .entries = &first,
                                 .entry_count = count > 0 ? 1 : 0,
                                 .lost_tail_term = 1,
                                 .lost_tail_index = lost_tail_index};
    w->now = 1000;
    assert_int_equal(driver_open(&options, &io, &w->driver), 0);
    assert_int_equal(driver_start(w->driver, w->now, &r), 0);
    return w;
}

void end(struct world *w)
{
    driver_close(w->driver);
    snapshot_unref(w->written);
    free(w);
}

void settle(struct world *w)
{
    for (uint64_t told = 0; told != w->durable;) {
        told = w->durable;
        driver_entries_durable(w->driver, w->now, told);
    }
}

void advance(struct world *w, uint64_t ms)
{
    for (uint64_t until = w->now + ms; w->now < until; w->now++)
        driver_tick(w->driver, w->now);
}

unsigned count_sent(const struct world *w, enum wire_kind kind, uint64_t to)
{
    unsigned n = 0;
    for (unsigned i = 0; i < w->sent_count; i++)
        n += w->sent[i].msg.kind == kind && w->sent[i].to == to;
    return n;
}

unsigned count_entries(const struct world *w, uint64_t to)
{
    unsigned n = 0;
    for (unsigned i = 0; i < w->sent_count; i++)
        n += w->sent[i].has_entry && w->sent[i].to == to;
    return n;
}

int receive(struct world *w, uint64_t from, struct wire_msg m)
{
    return driver_receive(w->driver, w->now, from, &m);
}

void answer_votes(struct world *w, uint64_t from)
{
    for (int round = 0; round < 2; round++) {
        struct wire_msg question = {0};
        for (unsigned i = 0; i < w->sent_count; i++)
            if (w->sent[i].msg.kind == WIRE_REQUEST_VOTE && w->sent[i].to == from)
                question = w->sent[i].msg;
        assert_int_equal(question.kind, WIRE_REQUEST_VOTE);
        struct wire_msg m = {.kind = WIRE_VOTE_RESULT, .term = question.term, .version = 2};
        m.vote_result.granted = 1;
        m.vote_result.pre_vote = question.request_vote.pre_vote;
        assert_int_equal(receive(w, from, m), 0);
    }
    settle(w);
}

struct world *start_leader(void)
{
    struct world *w = start(3, 0);
    advance(w, 2 * ET + 2);
    answer_votes(w, 2);
    assert_int_equal(driver_view(w->driver).state, RAFT_ROLE_LEADER);
    return w;
}

void acknowledge(struct world *w, uint64_t from, uint64_t index)
{
    struct wire_msg m = {.kind = WIRE_APPEND_RESULT, .term = driver_view(w->driver).term, .version = 2};
    m.append_result.last_log_index = index;
    m.append_result.features = 1;
    assert_int_equal(receive(w, from, m), 0);
}

struct wire_msg vote(uint64_t term, uint64_t candidate, uint64_t index, uint64_t index_term, bool pre_vote)
{
    struct wire_msg m = {.kind = WIRE_REQUEST_VOTE, .term = term, .version = 2};
    m.request_vote.candidate_id = candidate;
    m.request_vote.last_log_index = index;
    m.request_vote.last_log_term = index_term;
    m.request_vote.pre_vote = pre_vote;
    return m;
}

struct wire_msg append(uint64_t term, uint64_t prev, uint64_t prev_term, struct entry *e)
{
    struct wire_msg m = {.kind = WIRE_APPEND, .term = term};
    m.append.prev_log_index = prev;
    m.append.prev_log_term = prev_term;
    m.append.entry = e;
    return m;
}
