/* The window and the proposals that move it. */
#include "consensus/window.h"
#include "make_record.h"
#include "shared/base/err.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static const uint8_t no_parent[HASH_SIZE];

static enum window_result apply(struct window *w, uint64_t index, struct entry *e)
{
    enum window_result r = window_apply(w, index, e);
    entry_unref(e);
    return r;
}

/* Extends by one block of the given fork. */
static struct block_id extend(struct window *w, uint64_t index, uint64_t fork, size_t bytes)
{
    struct block_id head = {0}, next;
    bool has = window_head(w, &head);
    next = make_block(has ? head.number + 1 : 100, fork);
    assert_int_equal(apply(w, index, make_proposal(PROPOSAL_EXTEND, has ? &head : NULL, next, head.hash, bytes)),
                     WINDOW_ACCEPTED);
    return next;
}

static void starts_empty_and_grows(void **state)
{
    (void)state;
    struct window *w = window_new(3, 1 << 20);
    struct block_id head;
    assert_false(window_head(w, &head));
    assert_int_equal(window_count(w), 0);
    struct block_id blocks[5];
    for (unsigned i = 0; i < 5; i++)
        blocks[i] = extend(w, i + 1, 1, 10);
    assert_true(window_head(w, &head));
    assert_memory_equal(&head, &blocks[4], sizeof head);
    assert_int_equal(window_count(w), 3);
    assert_int_equal(window_bytes(w), 3 * make_record_len(10));
    assert_null(window_find_number(w, 101));
    assert_int_equal(window_find_number(w, 102)->index, 3);
    assert_memory_equal(&window_find_hash(w, blocks[3].hash)->block, &blocks[3], sizeof head);
    assert_null(window_find_hash(w, blocks[0].hash));
    assert_int_equal(window_at(w, 0)->block.number, 102);
    assert_null(window_at(w, 3));
    window_free(w);
}

static void keeps_one_however_large(void **state)
{
    (void)state;
    struct window *w = window_new(10, 1000);
    extend(w, 1, 1, 5000);
    extend(w, 2, 1, 6000);
    assert_int_equal(window_count(w), 1);
    assert_int_equal(window_bytes(w), make_record_len(6000));
    window_free(w);
}

static void refuses_what_does_not_fit(void **state)
{
    (void)state;
    struct window *w = window_new(8, 1 << 20);
    struct block_id first = extend(w, 1, 1, 10), head = extend(w, 2, 1, 10);
    struct block_id other = make_block(101, 9), next = make_block(102, 1);
    /* another head expected; none expected; an extension that does not link */
    assert_int_equal(apply(w, 3, make_proposal(PROPOSAL_EXTEND, &other, next, other.hash, 1)), WINDOW_REFUSED);
    assert_int_equal(apply(w, 3, make_proposal(PROPOSAL_EXTEND, NULL, next, head.hash, 1)), WINDOW_REFUSED);
    assert_int_equal(apply(w, 3, make_proposal(PROPOSAL_EXTEND, &head, next, first.hash, 1)), WINDOW_REFUSED);
    assert_int_equal(apply(w, 3, make_proposal(PROPOSAL_REPLACE, &first, make_block(100, 2), no_parent, 1)),
                     WINDOW_REFUSED);
    struct entry *garbage = entry_new(ENTRY_COMMAND, 1, 300);
    memset(entry_payload(garbage), 0x5a, 300);
    assert_int_equal(apply(w, 3, garbage), WINDOW_INVALID);
    assert_int_equal(window_count(w), 2);
    struct block_id now;
    window_head(w, &now);
    assert_memory_equal(&now, &head, sizeof head);
    window_free(w);
}

static void replaces_and_adopts(void **state)
{
    (void)state;
    struct window *w = window_new(8, 1 << 20);
    struct block_id a = extend(w, 1, 1, 10), b = extend(w, 2, 1, 10), c = extend(w, 3, 1, 10);
    struct block_id rival = make_block(101, 2), far = make_block(500, 3), head;
    (void)b;
    assert_int_equal(apply(w, 4, make_proposal(PROPOSAL_REPLACE, &c, rival, a.hash, 10)), WINDOW_ACCEPTED);
    assert_int_equal(window_count(w), 2);
    window_head(w, &head);
    assert_memory_equal(&head, &rival, sizeof head);
    assert_int_equal(apply(w, 5, make_adopt(&rival, far)), WINDOW_ACCEPTED);
    assert_int_equal(window_count(w), 1);
    assert_null(window_at(w, 0)->record);
    struct block_id next = extend(w, 6, 3, 10);
    assert_int_equal(next.number, 501);
    assert_int_equal(window_count(w), 2);
    window_free(w);
}

/* The limits are local: they may not change what is accepted. */
static void limits_do_not_decide(void **state)
{
    (void)state;
    struct window *small = window_new(1, 1), *large = window_new(64, 1 << 20);
    uint64_t random = 5;
    struct block_id chain[400];
    unsigned length = 0;
    for (uint64_t i = 1; i < 300; i++) {
        struct block_id head = {0}, other = make_block(7, i);
        bool has = window_head(large, &head);
        random = random * 6364136223846793005u + 1442695040888963407u;
        unsigned choice = (unsigned)(random >> 33) % 10;
        struct entry *e;
        if (has && choice == 0) {
            unsigned depth = 1 + (unsigned)(random >> 50) % (length > 40 ? 40 : length);
            unsigned at = length - depth;
            e = make_proposal(PROPOSAL_REPLACE, &head, make_block(chain[at].number, i),
                              at > 0 ? chain[at - 1].hash : no_parent, 5);
            chain[at] = make_block(chain[at].number, i);
            length = at + 1;
        } else if (has && choice == 1) {
            e = make_proposal(PROPOSAL_EXTEND, &other, make_block(8, i), other.hash, 5);
        } else {
            struct block_id next = make_block(has ? head.number + 1 : 1, i);
            e = make_proposal(PROPOSAL_EXTEND, has ? &head : NULL, next, head.hash, 5);
            chain[length++] = next;
        }
        enum window_result r = window_apply(small, i, e);
        assert_int_equal(r, window_apply(large, i, e));
        entry_unref(e);
        struct block_id a, b;
        assert_true(window_head(small, &a) && window_head(large, &b));
        assert_memory_equal(&a, &b, sizeof a);
    }
    window_free(small);
    window_free(large);
}

static struct snapshot *save(const struct window *w)
{
    struct snapshot *s = snapshot_new();
    assert_int_equal(window_save(w, s), 0);
    return s;
}

/* A copy with one part changed: a bit flipped at `at`, or cut to `len` bytes. */
static struct snapshot *damage(const struct snapshot *from, unsigned part, size_t at, size_t len)
{
    struct snapshot *s = snapshot_new();
    for (unsigned i = 0; i < from->part_count; i++) {
        if (i != part) {
            assert_int_equal(snapshot_add_part(s, from->parts[i]), 0);
            continue;
        }
        struct entry *e = entry_new(ENTRY_COMMAND, 0, len);
        memcpy(entry_payload(e), entry_payload(from->parts[i]), len);
        if (at < len)
            entry_payload(e)[at] ^= 0x10;
        assert_int_equal(snapshot_add_part(s, e), 0);
        entry_unref(e);
    }
    return s;
}

static void snapshots_round_trip_and_are_checked(void **state)
{
    (void)state;
    struct window *w = window_new(8, 1 << 20), *other = window_new(8, 1 << 20), *tiny = window_new(2, 1 << 20);
    struct block_id head, got;
    struct snapshot *s = save(w);
    assert_int_equal(window_restore(other, s), 0);
    assert_int_equal(window_count(other), 0);
    snapshot_unref(s);
    for (uint64_t i = 1; i <= 5; i++)
        head = extend(w, i, 1, 20);
    s = save(w);
    assert_int_equal(s->part_count, 6);
    assert_int_equal(window_restore(other, s), 0);
    assert_int_equal(window_count(other), 5);
    window_head(other, &got);
    assert_memory_equal(&got, &head, sizeof got);
    assert_int_equal(window_at(other, 4)->index, 5);
    /* No copies: it is the very same memory. */
    assert_ptr_equal(window_at(other, 2)->record, window_at(w, 2)->record);
    assert_int_equal(window_restore(tiny, s), 0);
    assert_int_equal(window_count(tiny), 2);
    window_head(tiny, &got);
    assert_memory_equal(&got, &head, sizeof got);
    /* Any flipped bit, any cut, any missing part is noticed, and changes nothing. */
    for (unsigned part = 0; part < s->part_count; part++) {
        size_t len = entry_len(s->parts[part]);
        for (size_t at = 0; at < len; at++) {
            struct snapshot *bad = damage(s, part, at, len);
            assert_int_not_equal(window_restore(other, bad), 0);
            snapshot_unref(bad);
        }
        for (size_t cut = 1; cut < len; cut++) {
            struct snapshot *bad = damage(s, part, cut, cut);
            assert_int_not_equal(window_restore(other, bad), 0);
            snapshot_unref(bad);
        }
        struct snapshot *less = snapshot_new();
        for (unsigned i = 0; i < s->part_count; i++)
            if (i != part)
                assert_int_equal(snapshot_add_part(less, s->parts[i]), 0);
        assert_int_not_equal(window_restore(other, less), 0);
        snapshot_unref(less);
    }
    assert_int_equal(window_count(other), 5);
    /* It outlives what it was taken of. */
    window_free(w);
    window_free(other);
    assert_int_equal(window_restore(tiny, s), 0);
    snapshot_unref(s);
    window_free(tiny);
}

static void tail_sees_what_is_not_applied(void **state)
{
    (void)state;
    static struct tail t;
    struct window *w = window_new(8, 1 << 20);
    struct block_id head, a = extend(w, 1, 1, 10), b = extend(w, 2, 1, 10), c = make_block(102, 1),
                          d = make_block(101, 7);
    tail_init(&t, w);
    struct entry *e1 = make_proposal(PROPOSAL_EXTEND, &b, c, b.hash, 10);
    struct entry *e2 = make_proposal(PROPOSAL_REPLACE, &c, d, a.hash, 10);
    assert_int_equal(tail_apply(&t, e1), WINDOW_ACCEPTED);
    assert_int_equal(tail_apply(&t, e1), WINDOW_REFUSED);
    assert_true(tail_head(&t, &head));
    assert_memory_equal(&head, &c, sizeof c);
    assert_int_equal(tail_apply(&t, e2), WINDOW_ACCEPTED);
    tail_head(&t, &head);
    assert_memory_equal(&head, &d, sizeof d);
    assert_null(tail_find_number(&t, 102));
    assert_memory_equal(&tail_find_number(&t, 100)->block, &a, sizeof a);
    window_head(w, &head);
    assert_memory_equal(&head, &b, sizeof b);
    entry_unref(e1);
    entry_unref(e2);
    window_free(w);
}

static void proposals_are_checked(void **state)
{
    (void)state;
    struct block_id head = make_block(9, 1), next = make_block(10, 1);
    struct proposal p;
    struct payload_view view;
    struct entry *e = make_proposal(PROPOSAL_EXTEND, &head, next, head.hash, 30);
    size_t len = entry_len(e);
    uint8_t *data = malloc(len);
    memcpy(data, entry_payload(e), len);
    assert_int_equal(proposal_decode(data, len, &p, &view), 0);
    assert_int_equal(p.kind, PROPOSAL_EXTEND);
    assert_true(p.expected_valid);
    assert_memory_equal(&p.expected, &head, sizeof head);
    assert_memory_equal(&p.block, &next, sizeof next);
    assert_int_equal(p.proposer, 7);
    assert_int_equal(p.record_len, make_record_len(30));
    assert_int_equal(view.header.block_number, 10);
    for (size_t cut = 0; cut < len; cut++)
        assert_int_not_equal(proposal_decode(data, cut, &p, &view), 0);
    /* What is not free to vary is refused: magic, version, kind, flags, truncation, number, hash,
     * length, reserved bytes. */
    const size_t fixed[] = {0, 3, 4, 5, 6, 7, 8, 48, 55, 56, 64, 95, 104, 111, 112, 127};
    for (size_t i = 0; i < sizeof fixed / sizeof fixed[0]; i++) {
        data[fixed[i]] ^= 0x04;
        assert_int_not_equal(proposal_decode(data, len, &p, &view), 0);
        data[fixed[i]] ^= 0x04;
    }
    data[4] = 2;
    assert_int_equal(proposal_decode(data, len, &p, &view), OC_EVERSION);
    free(data);
    entry_unref(e);
    e = make_adopt(NULL, next);
    assert_int_equal(proposal_decode(entry_payload(e), entry_len(e), &p, NULL), 0);
    assert_false(p.expected_valid);
    assert_null(p.record);
    entry_payload(e)[6] = PROPOSAL_EXTEND; /* only an adoption may have no record */
    assert_int_equal(proposal_decode(entry_payload(e), entry_len(e), &p, NULL), OC_ECORRUPT);
    entry_unref(e);
    assert_null(proposal_entry_new(ENTRY_PAYLOAD_MAX_BYTES));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(starts_empty_and_grows),        cmocka_unit_test(keeps_one_however_large),
        cmocka_unit_test(refuses_what_does_not_fit),     cmocka_unit_test(replaces_and_adopts),
        cmocka_unit_test(limits_do_not_decide),          cmocka_unit_test(snapshots_round_trip_and_are_checked),
        cmocka_unit_test(tail_sees_what_is_not_applied), cmocka_unit_test(proposals_are_checked),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
