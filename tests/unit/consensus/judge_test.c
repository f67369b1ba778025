/* The rules of the unsafe head: each row of the table, then every combination of inputs against the
 * properties that must always hold.
 */
#include "consensus/judge.h"
#include "make_record.h"
#include "shared/base/err.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

enum { TERM = 5, FIRST = 100, COUNT = 4 }; /* blocks 100 to 103, fork 1 */
#define NOW (4 * JUDGE_SETTLE_NS)

static struct tail the_tail;
static struct ackbook book;
static struct judge_member members[3];

static void fill_tail(unsigned count)
{
    memset(&the_tail, 0, sizeof the_tail);
    for (unsigned i = 0; i < count; i++) {
        struct tail_block *b = &the_tail.blocks[i];
        b->block = make_block(FIRST + i, 1);
        b->parent_known = true;
        memcpy(b->parent_hash, make_block(FIRST + i - 1, 1).hash, HASH_SIZE);
    }
    the_tail.count = count;
    the_tail.head_valid = count > 0;
}

static struct judge_input question(uint64_t number, uint64_t fork, uint64_t parent_fork)
{
    struct judge_input in = {.term = TERM,
                             .leader_ready = true,
                             .tail = &the_tail,
                             .ackbook = &book,
                             .members = members,
                             .member_count = 3,
                             .block = make_block(number, fork),
                             .received_ns = NOW};
    memcpy(in.parent_hash, make_block(number - 1, parent_fork).hash, HASH_SIZE);
    return in;
}

static struct judge_verdict ask(const struct judge_input *in)
{
    struct judge_verdict v;
    judge_payload(in, &v);
    return v;
}

static void give_permit(struct judge_input *in)
{
    in->permit = (struct judge_permit){.granted = true, .term = TERM, .granted_ns = NOW - 100};
}

static int setup(void **state)
{
    (void)state;
    fill_tail(COUNT);
    ackbook_init(&book);
    memset(members, 0, sizeof members);
    for (unsigned i = 0; i < 3; i++)
        members[i] = (struct judge_member){.voter = true, .reported = true, .head = make_block(50, 1)};
    return 0;
}

static void extends(void **state)
{
    (void)state;
    struct judge_input in = question(104, 1, 1);
    struct judge_verdict v = ask(&in);
    assert_int_equal(v.answer, JUDGE_EXTEND);
    assert_int_equal(v.rc, 0);
    assert_int_equal(v.proposal.kind, PROPOSAL_EXTEND);
    assert_int_equal(v.proposal.expected.number, 103);
    assert_memory_equal(&v.proposal.block, &in.block, sizeof in.block);
}

static void same_again(void **state)
{
    (void)state;
    for (uint64_t n = FIRST; n < FIRST + COUNT; n++) {
        struct judge_input in = question(n, 1, 1);
        assert_int_equal(ask(&in).answer, JUDGE_SAME);
    }
}

static void replaces_what_nobody_was_told_of(void **state)
{
    (void)state;
    for (uint64_t n = 102; n <= 103; n++) {
        ackbook_proposed(&book, TERM, make_block(n, 1).hash);
        ackbook_answered(&book, TERM, make_block(n, 1).hash, false);
    }
    struct judge_input in = question(102, 2, 1);
    assert_int_equal(ask(&in).answer, JUDGE_CONFLICT); /* no permit */
    give_permit(&in);
    struct judge_verdict v = ask(&in);
    assert_int_equal(v.answer, JUDGE_REPLACE);
    assert_int_equal(v.proposal.kind, PROPOSAL_REPLACE);
    assert_int_equal(v.proposal.truncate_height, 102);
    assert_int_equal(v.proposal.expected.number, 103);
    in.received_ns = NOW - 100; /* not after the permit */
    assert_int_equal(ask(&in).answer, JUDGE_CONFLICT);
    in.received_ns = NOW;
    in.permit.term = TERM - 1;
    assert_int_equal(ask(&in).answer, JUDGE_CONFLICT);
    /* One acknowledged block further down is enough to keep all. */
    in = question(101, 2, 1);
    give_permit(&in);
    assert_int_equal(ask(&in).answer, JUDGE_CONFLICT);
}

static void waits_for_a_rival_under_way(void **state)
{
    (void)state;
    ackbook_proposed(&book, TERM, make_block(103, 1).hash);
    struct judge_input in = question(103, 2, 1);
    give_permit(&in);
    assert_int_equal(ask(&in).answer, JUDGE_WAIT);
    ackbook_answered(&book, TERM, make_block(103, 1).hash, false);
    assert_int_equal(ask(&in).answer, JUDGE_REPLACE);
    ackbook_asked_again(&book, TERM, make_block(103, 1).hash);
    assert_int_equal(ask(&in).answer, JUDGE_WAIT);
    ackbook_answered(&book, TERM, make_block(103, 1).hash, true);
    assert_int_equal(ask(&in).answer, JUDGE_CONFLICT);
}

static void acknowledged_ones_go_only_the_second_time(void **state)
{
    (void)state;
    struct judge_input in = question(102, 2, 1);
    give_permit(&in);
    assert_int_equal(ask(&in).answer, JUDGE_CONFLICT);
    struct block_id head;
    tail_head(&the_tail, &head);
    judge_note_conflict(&in.conflict, TERM, &head, 1000);
    assert_int_equal(ask(&in).answer, JUDGE_CONFLICT); /* the blocks were not given back yet */
    struct msg_permit permit = {.term = TERM, .verb = PERMIT_GRANTED, .looked_mono_ns = 1000, .head = head};
    judge_note_permit(&in.permit, &in.conflict, &permit, 1100); /* op-node was looked at before it left */
    assert_int_equal(ask(&in).answer, JUDGE_CONFLICT);
    permit.looked_mono_ns = 1050;
    permit.head = make_block(102, 1); /* op-node did not have all of them */
    judge_note_permit(&in.permit, &in.conflict, &permit, 1150);
    assert_int_equal(ask(&in).answer, JUDGE_CONFLICT);
    permit.head = head;
    judge_note_permit(&in.permit, &in.conflict, &permit, 1200);
    judge_note_conflict(&in.conflict, TERM, &head, 1300); /* the same conflict still */
    assert_int_equal(ask(&in).answer, JUDGE_REPLACE_ACKED);
    in.received_ns = 1200 + JUDGE_SETTLE_NS; /* may have been built before op-node had them */
    assert_int_equal(ask(&in).answer, JUDGE_WAIT);
    in.received_ns++;
    assert_int_equal(ask(&in).answer, JUDGE_REPLACE_ACKED);
    /* a late duplicate of what was refused before is no second time */
    struct judge_conflict without = in.conflict;
    in.conflict.given_back_ns = 0;
    judge_note_refused(&in.conflict, in.block.hash);
    for (unsigned i = 1; i < JUDGE_REFUSED_MAX; i++)
        judge_note_refused(&in.conflict, make_block(102, 10 + i).hash);
    in.conflict.given_back_ns = 1200;
    judge_note_refused(&in.conflict, make_block(102, 99).hash); /* after that it does not matter */
    assert_int_equal(in.conflict.refused_count, JUDGE_REFUSED_MAX);
    assert_int_equal(ask(&in).answer, JUDGE_WAIT);
    in.received_ns = 1200 + JUDGE_REPEAT_NS + 1;
    assert_int_equal(ask(&in).answer, JUDGE_REPLACE_ACKED);
    in.conflict = without;
    /* that op-node leaves them again is what this is about; that its process ends is not */
    permit.verb = PERMIT_SUSPENDED;
    judge_note_permit(&in.permit, &in.conflict, &permit, 1400);
    assert_int_equal(ask(&in).answer, JUDGE_REPLACE_ACKED);
    permit.verb = PERMIT_WITHDRAWN;
    judge_note_permit(&in.permit, &in.conflict, &permit, 1500);
    assert_int_equal(ask(&in).answer, JUDGE_CONFLICT);
    /* another head is another conflict */
    head = make_block(102, 1);
    judge_note_conflict(&in.conflict, TERM, &head, 1600);
    assert_int_equal(in.conflict.given_back_ns, 0);
}

/* Of two requests that were long under way the first begins a conflict; the second one is no proof that op-node left
 * the blocks again, if it was refused or given up in an earlier conflict. */
static void late_duplicates_prove_nothing(void **state)
{
    (void)state;
    struct judge_input in = question(102, 2, 1);
    struct block_id head;
    tail_head(&the_tail, &head);
    judge_note_conflict(&in.conflict, TERM, &head, 1000);
    judge_note_refused(&in.conflict, in.block.hash);
    struct msg_permit permit = {.term = TERM, .verb = PERMIT_GRANTED, .looked_mono_ns = 1050, .head = head};
    judge_note_permit(&in.permit, &in.conflict, &permit, 1100);
    judge_note_given_up(&in.conflict, &the_tail, 103);
    assert_false(in.conflict.seen);
    judge_note_conflict(&in.conflict, TERM, &head, 2000);
    judge_note_refused(&in.conflict, make_block(102, 7).hash);
    permit.looked_mono_ns = 2050;
    judge_note_permit(&in.permit, &in.conflict, &permit, 2100);
    in.received_ns = 2100 + JUDGE_SETTLE_NS + 1;
    assert_int_equal(ask(&in).answer, JUDGE_WAIT);
    memcpy(in.block.hash, make_block(102, 8).hash, HASH_SIZE); /* this one is new */
    assert_int_equal(ask(&in).answer, JUDGE_REPLACE_ACKED);
    for (unsigned i = 0; i < the_tail.count; i++) {
        bool remembered = false;
        for (unsigned k = 0; k < in.conflict.refused_count; k++)
            remembered |= memcmp(in.conflict.refused[k], the_tail.blocks[i].block.hash, HASH_SIZE) == 0;
        assert_int_equal(remembered, the_tail.blocks[i].block.number >= 103);
    }
}

static void gaps_and_other_branches(void **state)
{
    (void)state;
    struct judge_input in = question(106, 1, 1);
    assert_int_equal(ask(&in).answer, JUDGE_GAP);
    assert_int_equal(ask(&in).rc, OC_EGAP);
    in = question(104, 1, 2);
    assert_int_equal(ask(&in).answer, JUDGE_CONFLICT);
    in = question(102, 2, 2);
    assert_int_equal(ask(&in).answer, JUDGE_CONFLICT);
    in = question(99, 1, 1);
    assert_int_equal(ask(&in).answer, JUDGE_REFUSE);
}

static void the_first_head(void **state)
{
    (void)state;
    fill_tail(0);
    struct judge_input in = question(51, 1, 1);
    assert_int_equal(ask(&in).answer, JUDGE_EXTEND);
    assert_false(ask(&in).proposal.expected_valid);
    in = question(50, 1, 1); /* its parent is below a member's head */
    assert_int_equal(ask(&in).answer, JUDGE_REFUSE);
    in = question(51, 1, 1);
    members[2].reported = false;
    assert_int_equal(ask(&in).answer, JUDGE_WAIT);
    assert_int_equal(ask(&in).rc, OC_ENOTYET);
}

static void not_while_not_leading(void **state)
{
    (void)state;
    struct judge_input in = question(104, 1, 1);
    in.leader_ready = false;
    assert_int_equal(ask(&in).rc, OC_ENOTLEADER);
    in.leader_ready = true;
    in.transferring = true;
    assert_int_equal(ask(&in).rc, OC_ETRANSFER);
}

/* ---- every combination ---- */

static void check_properties(const struct judge_input *in, const struct judge_verdict *v)
{
    struct block_id head;
    bool has_head = tail_head(in->tail, &head);
    bool proposes = v->answer == JUDGE_EXTEND || v->answer == JUDGE_REPLACE || v->answer == JUDGE_REPLACE_ACKED;
    bool usable_permit = in->permit.granted && in->permit.term == in->term && in->received_ns > in->permit.granted_ns;

    assert_int_equal(v->rc == 0, proposes || v->answer == JUDGE_SAME);
    assert_int_equal(v->text[0] != 0, v->rc != 0); /* an error says why */
    if (!in->leader_ready || in->transferring)
        assert_int_equal(v->answer, JUDGE_WAIT);
    if (v->answer == JUDGE_SAME)
        assert_memory_equal(&tail_find_number(in->tail, in->block.number)->block, &in->block, sizeof in->block);
    if (!proposes)
        return;
    assert_memory_equal(&v->proposal.block, &in->block, sizeof in->block);
    assert_int_equal(v->proposal.expected_valid, has_head);
    if (has_head)
        assert_memory_equal(&v->proposal.expected, &head, sizeof head);
    if (v->answer == JUDGE_EXTEND) {
        assert_int_equal(v->proposal.kind, PROPOSAL_EXTEND);
        if (has_head) {
            assert_int_equal(in->block.number, head.number + 1);
            assert_memory_equal(in->parent_hash, head.hash, HASH_SIZE);
        }
        return;
    }
    /* A replacement: links to what stays, needs a permit or proof, spares what was acknowledged. */
    bool left_twice = in->conflict.seen && in->conflict.term == in->term && in->conflict.given_back_ns != 0 &&
                      in->received_ns > in->conflict.given_back_ns + JUDGE_SETTLE_NS &&
                      memcmp(&in->conflict.head, &head, sizeof head) == 0;
    assert_true(has_head && (left_twice || (usable_permit && v->answer == JUDGE_REPLACE)));
    assert_int_equal(v->proposal.truncate_height, in->block.number);
    assert_in_range(in->block.number, FIRST, head.number);
    const struct tail_block *parent = tail_find_number(in->tail, in->block.number - 1);
    assert_memory_equal(in->parent_hash, parent ? parent->block.hash : in->tail->blocks[0].parent_hash, HASH_SIZE);
    for (uint64_t n = in->block.number; n <= head.number; n++) {
        enum ack_state s = ackbook_get(in->ackbook, in->term, tail_find_number(in->tail, n)->block.hash);
        assert_true(s != ACK_PENDING || v->answer == JUDGE_REPLACE_ACKED);
        if (v->answer == JUDGE_REPLACE)
            assert_int_equal(s, ACK_NEVER);
    }
}

static unsigned long combinations;
static unsigned long answers[JUDGE_REFUSE + 1];

static void ask_and_check(const struct judge_input *in)
{
    struct judge_verdict v = ask(in), again = ask(in);
    assert_memory_equal(&v, &again, sizeof v);
    check_properties(in, &v);
    combinations++;
    answers[v.answer]++;
}

/* bits: 0-1 permit (none, good, old term, too late), 2-4 conflict (none, given back, old term, other head,
 * given back a moment ago, not given back), 5 ready, 6 transferring */
static void with_bits(struct judge_input *in, unsigned bits)
{
    unsigned permit = bits & 3, conflict = bits >> 2 & 7;
    if (permit > 0) {
        give_permit(in);
        if (permit == 2)
            in->permit.term = TERM - 1;
        if (permit == 3)
            in->permit.granted_ns = NOW + 1;
    }
    if (conflict > 0) {
        in->conflict = (struct judge_conflict){.seen = true, .term = TERM, .at_ns = 800, .given_back_ns = 900};
        tail_head(&the_tail, &in->conflict.head);
        if (conflict == 2)
            in->conflict.term = TERM - 1;
        if (conflict == 3)
            in->conflict.head = make_block(102, 1);
        if (conflict == 4)
            in->conflict.given_back_ns = NOW - JUDGE_SETTLE_NS;
        if (conflict == 5)
            in->conflict.given_back_ns = 0;
    }
    in->leader_ready = (bits & 32) != 0;
    in->transferring = (bits & 64) != 0;
}

static void every_combination(void **state)
{
    (void)state;
    for (unsigned empty = 0; empty < 2; empty++)
        for (unsigned acks = 0; acks < 81; acks++) { /* yes, pending or never for each of four blocks */
            fill_tail(empty ? 0 : COUNT);
            ackbook_init(&book);
            for (unsigned i = 0, a = acks; i < COUNT; i++, a /= 3) {
                if (a % 3 == 0)
                    continue;
                ackbook_proposed(&book, TERM, make_block(FIRST + i, 1).hash);
                if (a % 3 == 2)
                    ackbook_answered(&book, TERM, make_block(FIRST + i, 1).hash, false);
            }
            for (unsigned reported = 0; reported < (empty ? 4 : 1); reported++) {
                members[0].reported = (reported & 1) != 0;
                members[1].head = make_block(reported & 2 ? 102 : 50, 1);
                for (uint64_t number = 98; number <= 106; number++)
                    for (unsigned forks = 0; forks < 4; forks++)
                        for (unsigned bits = 0; bits < 128; bits++) {
                            if ((bits >> 2 & 7) > 5)
                                continue;
                            struct judge_input in = question(number, 1 + (forks & 1), 1 + (forks >> 1));
                            with_bits(&in, bits);
                            ask_and_check(&in);
                        }
            }
        }
    assert_true(combinations > 400000);
    for (unsigned i = 0; i <= JUDGE_REFUSE; i++)
        assert_true(answers[i] > 0);
}

static void adopts_what_a_majority_reports(void **state)
{
    (void)state;
    struct block_id head;
    fill_tail(0); /* the very first head needs more */
    assert_false(judge_find_adoptable(&the_tail, members, 3, &head));
    fill_tail(COUNT);
    assert_false(judge_find_adoptable(&the_tail, members, 3, &head)); /* 50 is below our head */
    members[0].head = members[1].head = make_block(200, 1);
    assert_true(judge_find_adoptable(&the_tail, members, 3, &head));
    assert_int_equal(head.number, 200);
    members[1].head = make_block(200, 2); /* the same height is not the same block */
    assert_false(judge_find_adoptable(&the_tail, members, 3, &head));
    members[1].head = make_block(200, 1);
    members[1].reported = false;
    assert_false(judge_find_adoptable(&the_tail, members, 3, &head));
    members[1].reported = true;
    members[1].voter = false; /* one of two voters is no majority */
    assert_false(judge_find_adoptable(&the_tail, members, 3, &head));
}

/* A block that no op-node has, since a commit was carried out after op-node gave up on it, must not stand in the way of
 * the one that they have instead. */
static void a_head_that_no_op_node_has_gives_way(void **state)
{
    (void)state;
    struct block_id ours, head;
    tail_head(&the_tail, &ours);
    struct block_id rival = make_block(ours.number, 2), behind = make_block(ours.number - 1, 1);
    static const char *const tables[] = {"rrb", "rrr", "rbr"}, *const none[] = {"rro", "rrs", "rbb",
                                                                                "ror", "bbb", "rru"};
    for (unsigned t = 0; t < 9; t++) {
        const char *table = t < 3 ? tables[t] : none[t - 3];
        for (unsigned i = 0; i < 3; i++) {
            members[i] = (struct judge_member){.voter = true, .reported = table[i] != 's'};
            members[i].head = table[i] == 'r' ? rival : table[i] == 'o' ? ours : behind;
            if (table[i] == 'u') /* a voter that has gone beyond says that there is more to know */
                members[i].head = make_block(ours.number + 1, 1);
        }
        assert_int_equal(judge_find_adoptable(&the_tail, members, 3, &head), t < 3);
        assert_true(t >= 3 || memcmp(&head, &rival, sizeof head) == 0);
    }
}

static void the_book_forgets_safely(void **state)
{
    (void)state;
    uint8_t first[HASH_SIZE];
    memcpy(first, make_block(1, 1).hash, HASH_SIZE);
    ackbook_proposed(&book, TERM, first);
    ackbook_answered(&book, TERM, first, false);
    assert_int_equal(ackbook_get(&book, TERM, first), ACK_NEVER);
    assert_int_equal(ackbook_get(&book, TERM + 1, first), ACK_YES);
    ackbook_proposed(&book, TERM, first); /* a second caller of the same block */
    ackbook_proposed(&book, TERM, first);
    ackbook_answered(&book, TERM, first, false);
    assert_int_equal(ackbook_get(&book, TERM, first), ACK_PENDING);
    ackbook_answered(&book, TERM, first, false);
    assert_int_equal(ackbook_get(&book, TERM, first), ACK_NEVER);
    for (unsigned i = 2; i < 2 + ACKBOOK_SIZE; i++)
        ackbook_proposed(&book, TERM, make_block(i, 1).hash);
    assert_int_equal(ackbook_get(&book, TERM, first), ACK_YES);
    ackbook_proposed(&book, TERM + 1, make_block(900, 1).hash);
    assert_int_equal(ackbook_get(&book, TERM, make_block(5, 1).hash), ACK_YES);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(extends, setup),
        cmocka_unit_test_setup(same_again, setup),
        cmocka_unit_test_setup(replaces_what_nobody_was_told_of, setup),
        cmocka_unit_test_setup(waits_for_a_rival_under_way, setup),
        cmocka_unit_test_setup(acknowledged_ones_go_only_the_second_time, setup),
        cmocka_unit_test_setup(late_duplicates_prove_nothing, setup),
        cmocka_unit_test_setup(gaps_and_other_branches, setup),
        cmocka_unit_test_setup(the_first_head, setup),
        cmocka_unit_test_setup(not_while_not_leading, setup),
        cmocka_unit_test_setup(every_combination, setup),
        cmocka_unit_test_setup(adopts_what_a_majority_reports, setup),
        cmocka_unit_test_setup(a_head_that_no_op_node_has_gives_way, setup),
        cmocka_unit_test_setup(the_book_forgets_safely, setup),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
