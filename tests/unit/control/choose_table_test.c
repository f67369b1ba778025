/* The choice of a transfer's target and the readiness of a node over every combination of what they look at, against
 * stated properties. */
#include "supervisor/choose.h"
#include "supervisor/status.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#define NOW UINT64_C(500000000000)
#define HEAD 100

/* Takes `n` values out of *code, which counts through all combinations. */
static unsigned take(unsigned *code, unsigned n)
{
    unsigned v = *code % n;

    *code /= n;
    return v;
}

/* ---- whom to hand over to ---- */

/* A server as the choice sees it. */
struct candidate {
    unsigned bar; /* 0: none; what keeps it from being asked at all */
    enum ready_reason reason;
    unsigned place; /* its head: at the consensus head, behind, ahead */
    bool failed;
    unsigned barren; /* 0: never; 1: long ago; 2: lately */
};

enum { BARS = 6, PLACES = 3, BARRENS = 3 };
#define CANDIDATES (BARS * READY_REASON_COUNT * PLACES * 2 * BARRENS)

static struct candidate make_candidate(unsigned code)
{
    struct candidate c;

    c.bar = take(&code, BARS);
    c.reason = (enum ready_reason)take(&code, READY_REASON_COUNT);
    c.place = take(&code, PLACES);
    c.failed = take(&code, 2);
    c.barren = take(&code, BARRENS);
    return c;
}

static bool may_be_asked(const struct candidate *c)
{
    return c->bar == 0 && (c->reason == READY_OK || c->reason == READY_HELD_DOWN || c->reason == READY_UNKNOWN ||
                           c->reason == READY_UNHEALTHY || c->reason == READY_LAGGING);
}

static bool is_ready(const struct candidate *c, bool has_head)
{
    return may_be_asked(c) && c->reason == READY_OK && !(has_head && c->place == 2);
}

/* How far it is from what is wanted: from the consensus head, or without one from being the highest. */
static unsigned distance(const struct candidate *c, bool has_head)
{
    return has_head ? (c->place == 0 ? 0 : c->place) : 2 - (c->place == 2 ? 2 : 1 - c->place);
}

/* In every respect as good or better. */
static bool is_at_least_as_good(const struct candidate *a, const struct candidate *b, bool has_head)
{
    bool a_held = a->reason == READY_HELD_DOWN, b_held = b->reason == READY_HELD_DOWN;

    return is_ready(a, has_head) >= is_ready(b, has_head) && a->failed <= b->failed && a->barren <= b->barren &&
           (is_ready(a, has_head) || a_held >= b_held) && distance(a, has_head) <= distance(b, has_head);
}

static void put(struct page_consensus *page, struct choose_history *h, const struct candidate *c, const char *id)
{
    static const uint64_t heads[PLACES] = {HEAD, HEAD - 2, HEAD + 4};
    struct page_server *s = &page->servers[page->server_count++];

    memset(s, 0, sizeof *s);
    snprintf(s->id, sizeof s->id, "%s", c->bar == 1 ? "self" : id);
    s->suffrage = c->bar == 2 ? SUFFRAGE_NONVOTER : SUFFRAGE_VOTER;
    s->contact_age_ms = c->bar == 3 ? 60000 : 0;
    s->record_age_ms = c->bar == 4 ? 60000 : 0;
    s->record.paused = c->bar == 5;
    s->record.reason = c->reason;
    s->record.unsafe_head.number = heads[c->place];
    if (c->failed)
        choose_note_failure(h, id, NOW + 1);
    if (c->barren > 0)
        choose_note_barren(h, id, NOW - CHOOSE_BARREN_NS + c->barren);
}

/* The class; the name of the chosen one, a letter, in ret_id. */
static enum control_target choose(const struct candidate *const *list, const char *const *ids, unsigned n,
                                  bool has_head, char *ret_id)
{
    static struct page_consensus page;
    struct choose_history history = {0};
    unsigned index = UINT32_MAX;

    page.server_count = 0;
    page.head_valid = has_head;
    page.head.number = HEAD;
    for (unsigned i = 0; i < n; i++)
        put(&page, &history, list[i], ids[i]);
    enum control_target class = choose_target(&page, "self", &history, NOW, &index);
    *ret_id = class == CONTROL_TARGET_NONE ? '-' : page.servers[index].id[0];
    return class;
}

static void check_pair(const struct candidate *a, const struct candidate *b, bool has_head)
{
    const struct candidate *const list[] = {a, b}, *const turned[] = {b, a};
    static const char *const ids[] = {"a", "b"}, *const turned_ids[] = {"b", "a"};
    char id, turned_id;
    enum control_target class = choose(list, ids, 2, has_head, &id);

    /* The order in which members are listed does not matter. */
    assert_int_equal(choose(turned, turned_ids, 2, has_head, &turned_id), class);
    assert_int_equal(id, turned_id);
    /* Ready if there is a ready one, nobody if nobody may be asked. */
    bool ready = is_ready(a, has_head) || is_ready(b, has_head), any = may_be_asked(a) || may_be_asked(b);
    assert_int_equal(class, ready ? CONTROL_TARGET_READY : any ? CONTROL_TARGET_FALLBACK : CONTROL_TARGET_NONE);
    if (class == CONTROL_TARGET_NONE)
        return;
    const struct candidate *chosen = id == 'a' ? a : b, *other = id == 'a' ? b : a;
    assert_true(may_be_asked(chosen) && (class != CONTROL_TARGET_READY || is_ready(chosen, has_head)));
    /* Never one that is worse in something and better in nothing. */
    if (may_be_asked(other) && is_at_least_as_good(other, chosen, has_head))
        assert_true(is_at_least_as_good(chosen, other, has_head));
}

static void test_every_pair(void **state)
{
    (void)state;
    for (unsigned i = 0; i < CANDIDATES; i++)
        for (unsigned k = 0; k < CANDIDATES; k++) {
            struct candidate a = make_candidate(i), b = make_candidate(k);
            /* Two that may not be asked say nothing that one of them does not. */
            if (a.bar != 0 && b.bar != 0 && i != k)
                continue;
            check_pair(&a, &b, false);
            check_pair(&a, &b, true);
        }
}

/* Of three the one is chosen that beats both others: who is asked does not depend on who else is there. */
static void test_every_three(void **state)
{
    static const enum ready_reason reasons[] = {READY_OK, READY_UNHEALTHY, READY_HELD_DOWN, READY_PAUSED};
    static const char *const ids[] = {"a", "b", "c"};
    enum { KINDS = 4 * PLACES * 2 * BARRENS };
    static struct candidate kinds[KINDS];

    (void)state;
    for (unsigned i = 0; i < KINDS; i++) {
        unsigned code = i;
        kinds[i] = (struct candidate){.reason = reasons[take(&code, 4)]};
        kinds[i].place = take(&code, PLACES);
        kinds[i].failed = take(&code, 2);
        kinds[i].barren = take(&code, BARRENS);
    }
    for (unsigned i = 0; i < KINDS; i++)
        for (unsigned k = 0; k < KINDS; k++)
            for (unsigned m = 0; m < KINDS; m++) {
                const struct candidate *const list[] = {&kinds[i], &kinds[k], &kinds[m]};
                char id, of_two;
                if (choose(list, ids, 3, true, &id) == CONTROL_TARGET_NONE)
                    continue;
                unsigned won = (unsigned)(id - 'a');
                for (unsigned other = 0; other < 3; other++) {
                    const struct candidate *const two[] = {list[won], list[other]};
                    const char *const two_ids[] = {ids[won], ids[other]};
                    if (other == won)
                        continue;
                    assert_true(choose(two, two_ids, 2, true, &of_two) != CONTROL_TARGET_NONE);
                    assert_int_equal(of_two, id);
                }
            }
}

/* ---- whether this node is ready ---- */

static void check_ready(unsigned code)
{
    struct msg_health h = {.unsafe_head.number = HEAD};
    struct ready_input in = {.now_ns = NOW, .last = &h, .interval_ns = 1000000000, .window = 64, .head_number = HEAD};

    in.witness = take(&code, 2);
    in.leads = take(&code, 2);
    in.node_up = take(&code, 2);
    in.health_seen = take(&code, 2);
    in.verdict = take(&code, 2);
    bool is_old = take(&code, 2);
    in.verdict_ns = is_old ? NOW - 3000000000 : NOW - 2999999999;
    in.head_valid = take(&code, 2);
    unsigned behind = take(&code, 4);
    in.head_number += (uint64_t[]){0, 1, 64, 65}[behind];
    bool is_held = take(&code, 2);
    in.hold_down_until_ns = is_held ? NOW + 1 : NOW;
    h.node_reachable = take(&code, 2);
    h.conductor_enabled = take(&code, 3);
    h.el_syncing = take(&code, 3);
    h.only_old_head = take(&code, 2);

    enum ready_reason reason = status_ready_reason(&in);
    bool is_lagging = in.head_valid && behind == 3;
    bool stands_still = !in.leads && h.only_old_head != 0 && in.head_valid && behind <= 1;
    bool is_known = in.node_up && in.health_seen && !is_old;
    bool is_good = is_known && (in.verdict || stands_still) && h.conductor_enabled != NODE_NO &&
                   h.el_syncing != NODE_YES && !is_lagging && !is_held && !in.witness;

    assert_int_equal(reason == READY_OK, is_good);
    assert_true(reason < READY_REASON_COUNT && reason != READY_PAUSED && reason != READY_STOPPED);
    /* Unknown is not unhealthy: a verdict that is old, or not there, accuses nobody. */
    if (reason == READY_UNHEALTHY || reason == READY_LAGGING || reason == READY_EL_SYNCING)
        assert_true(is_known);
    if (reason == READY_HELD_DOWN)
        assert_true(is_held && is_known);
    assert_int_equal(reason == READY_WITNESS, in.witness);
}

static void test_every_readiness(void **state)
{
    const unsigned combinations = (1u << 9) * 4 * 3 * 3 * 2;

    (void)state;
    for (unsigned code = 0; code < combinations; code++)
        check_ready(code);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_every_pair),
        cmocka_unit_test(test_every_three),
        cmocka_unit_test(test_every_readiness),
    };
    return cmocka_run_group_tests_name("choose, every combination", tests, NULL, NULL);
}
