/* What the conductor tells the flight recorder. */
#include "fake_node.h"

#include "shared/base/err.h"

#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

static struct fake_node f;

static int setup(void **state)
{
    (void)state;
    fake_open(&f, "a", true);
    fake_add_server(&f, "b", READY_OK);
    fake_workers_up(&f);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    fake_close(&f);
    return 0;
}

static const struct flight_record *told(enum flight_kind kind)
{
    const struct flight_record *r = fake_told(&f, kind);

    assert_non_null(r);
    return r;
}

static size_t position(const struct flight_record *r)
{
    return (size_t)(r - f.story);
}

static void taking_over_is_told_in_order(void **state)
{
    const struct flight_record *r;

    (void)state;
    fake_become_sequencing_leader(&f);
    r = told(FLIGHT_LEADERSHIP);
    assert_string_equal(r->subject, "a");
    assert_int_equal(r->code, 1);
    assert_int_equal(r->term, 1);
    r = told(FLIGHT_DECISION);
    assert_string_equal(r->subject, "start");
    assert_string_equal(r->text, "leading");
    assert_non_null(strstr(r->detail, "leader not-other-leads consensus-up healthd-up node-up"));
    assert_non_null(strstr(r->detail, "active=no ready=\"ready\" op=none target=ready start-failures=0"));
    r = told(FLIGHT_SEQ_START);
    assert_int_equal(r->code, 0);
    assert_int_equal(r->head.number, 10);
    assert_int_equal(told(FLIGHT_PERMIT)->code, 1);
    assert_int_equal(told(FLIGHT_SEQ_SEEN)->code, 1);
    assert_true(position(told(FLIGHT_LEADERSHIP)) < position(told(FLIGHT_DECISION)));
    assert_true(position(told(FLIGHT_DECISION)) < position(told(FLIGHT_SEQ_START)));
    assert_true(position(told(FLIGHT_SEQ_START)) < position(told(FLIGHT_PERMIT)));
}

static void nothing_new_is_not_told_again(void **state)
{
    size_t before;

    (void)state;
    fake_become_sequencing_leader(&f);
    before = f.story_count;
    for (unsigned i = 0; i < 20; i++) {
        fake_health(&f, true, NODE_YES);
        fake_set_head(&f, 11 + i);
        fake_leadership(&f, 1, true, "a");
        fake_run_ms(&f, 500);
    }
    assert_int_equal(f.story_count, before);
}

static void health_flips_are_told_with_their_reason(void **state)
{
    const struct flight_record *r;

    (void)state;
    fake_health(&f, true, NODE_NO);
    assert_string_equal(told(FLIGHT_HEALTH)->subject, "healthy");
    assert_int_equal(told(FLIGHT_READY)->code, READY_OK);
    fake_health(&f, false, NODE_NO);
    r = told(FLIGHT_HEALTH);
    assert_string_equal(r->subject, "unhealthy");
    assert_int_equal(r->code, HEALTH_PEERS);
    assert_int_equal(told(FLIGHT_READY)->code, READY_UNHEALTHY);
    assert_string_equal(told(FLIGHT_READY)->text, "unhealthy");
    /* Without healthd, the verdict runs out. */
    fake_worker(&f, ROLE_HEALTHD, false);
    fake_run_ms(&f, 10000);
    assert_int_equal(told(FLIGHT_READY)->code, READY_UNKNOWN);
}

static void failures_are_told_with_what_op_node_said(void **state)
{
    struct fake_sent s;
    const struct flight_record *r;

    (void)state;
    fake_health(&f, true, NODE_NO);
    fake_set_head(&f, 10);
    f.consensus.term = 1;
    fake_leadership(&f, 1, true, "a");
    s = fake_take(&f, MSG_EXPORT);
    fake_export_result(&f, s.request_id, OC_EDEADLINE);
    r = told(FLIGHT_SEQ_START);
    assert_int_equal(r->code, -1); /* op-node was not asked */
    assert_string_equal(r->text, err_text(OC_EDEADLINE));
    assert_string_equal(r->detail, "");
    fake_run_ms(&f, 200);
    s = fake_take(&f, MSG_EXPORT);
    fake_export_result(&f, s.request_id, 0);
    s = fake_take(&f, MSG_NODE_CMD);
    f.now_ns += 5000000;
    fake_node_result(&f, &s, NODE_REFUSED, NODE_NO);
    r = told(FLIGHT_SEQ_START);
    assert_int_equal(r->code, NODE_REFUSED);
    assert_string_equal(r->text, "op-node refused");
    assert_true(r->duration_us >= 5000);
    assert_non_null(strstr(r->detail, "op-node answered after"));
}

static void an_operators_transfer_is_told_from_request_to_result(void **state)
{
    struct fake_sent s;
    const struct flight_record *r;

    (void)state;
    fake_become_sequencing_leader(&f);
    fake_admin(&f, 7, ADMIN_TRANSFER_TO, "b");
    r = told(FLIGHT_OPERATOR);
    assert_string_equal(r->subject, "transfer leadership");
    assert_string_equal(r->text, "b");
    s = fake_take(&f, MSG_NODE_CMD);
    fake_node_result(&f, &s, NODE_OK, NODE_NO);
    assert_int_equal(told(FLIGHT_SEQ_STOP)->code, 0);
    s = fake_take(&f, MSG_TRANSFER);
    f.now_ns += 3000000;
    fake_transfer_result(&f, s.request_id, 0);
    r = told(FLIGHT_TRANSFER);
    assert_string_equal(r->subject, "b");
    assert_string_equal(r->detail, "an operator's transfer");
    assert_int_equal(r->code, 0);
    assert_int_equal(r->duration_us, 3000);
    assert_int_equal(told(FLIGHT_PERMIT)->code, 0);
    fake_leadership(&f, 2, false, "b");
    r = told(FLIGHT_LEADERSHIP);
    assert_string_equal(r->subject, "b");
    assert_int_equal(r->code, 0);
    assert_int_equal(r->term, 2);
}

static void refusals_and_failed_transfers_are_told(void **state)
{
    struct fake_sent s;

    (void)state;
    fake_admin(&f, 1, ADMIN_TRANSFER_TO, "a");
    assert_int_not_equal(told(FLIGHT_OPERATOR)->code, 0);
    assert_string_equal(told(FLIGHT_OPERATOR)->text, "cannot transfer leadership to itself");
    fake_become_sequencing_leader(&f);
    fake_admin(&f, 2, ADMIN_TRANSFER, "");
    s = fake_take(&f, MSG_NODE_CMD);
    fake_node_result(&f, &s, NODE_UNREACHABLE, NODE_DONT_KNOW);
    assert_int_equal(told(FLIGHT_SEQ_STOP)->code, NODE_UNREACHABLE);
    s = fake_take(&f, MSG_TRANSFER);
    fake_transfer_result(&f, s.request_id, OC_EDEADLINE);
    assert_int_equal(told(FLIGHT_TRANSFER)->code, OC_EDEADLINE);
    assert_string_equal(told(FLIGHT_TRANSFER)->text, err_text(OC_EDEADLINE));
}

static void requests_to_consensus_are_told_with_their_result(void **state)
{
    struct msg_note note = {.rc = 0, .request = "conductor_removeServer", .params = "[\"b\",0]"};
    struct chan_msg msg = {.type = MSG_NOTE, .body = &note, .body_len = sizeof note, .fd = -1};

    (void)state;
    assert_int_equal(conductor_on_message(f.c, f.now_ns, ROLE_RPCD, &msg), 0);
    assert_string_equal(told(FLIGHT_OPERATOR)->subject, "conductor_removeServer");
    assert_string_equal(told(FLIGHT_OPERATOR)->text, "[\"b\",0]");
    assert_int_equal(told(FLIGHT_OPERATOR)->code, 0);
    /* Strings that are not ended are nobody's reason to read on. */
    note.rc = OC_EUNKNOWN;
    memset(note.request, 'r', sizeof note.request);
    memset(note.params, 'p', sizeof note.params);
    memset(note.text, 't', sizeof note.text);
    assert_int_equal(conductor_on_message(f.c, f.now_ns, ROLE_RPCD, &msg), 0);
    assert_int_equal(strspn(told(FLIGHT_OPERATOR)->subject, "r"), SERVER_ID_SIZE - 1);
    assert_int_equal(strspn(told(FLIGHT_OPERATOR)->text, "t"), TEXT_SIZE - 1);
    assert_int_equal(strspn(told(FLIGHT_OPERATOR)->detail, "p"), TEXT_SIZE - 1);
    assert_int_equal(told(FLIGHT_OPERATOR)->code, OC_EUNKNOWN);
    /* Nothing else may come from rpcd. */
    msg.type = MSG_HEALTH;
    assert_int_equal(conductor_on_message(f.c, f.now_ns, ROLE_RPCD, &msg), OC_EPROTO);
}

static void membership_changes_are_told_once(void **state)
{
    const struct flight_record *r;
    size_t before;

    (void)state;
    f.consensus.membership_version = 9;
    f.consensus.servers[1].suffrage = SUFFRAGE_NONVOTER;
    fake_publish(&f);
    fake_run_ms(&f, 300);
    r = told(FLIGHT_MEMBERSHIP);
    assert_int_equal(r->count, 9);
    assert_string_equal(r->detail, "a voter, b standby");
    before = f.story_count;
    fake_run_ms(&f, 1000);
    assert_int_equal(f.story_count, before);
}

static void set_silence_ms(uint64_t ms)
{
    f.consensus.servers[1].contact_age_ms = ms;
    fake_publish(&f);
    fake_run_ms(&f, 300);
}

static void a_silent_member_is_told_once_and_its_return_too(void **state)
{
    const struct flight_record *r;
    size_t before;

    (void)state;
    set_silence_ms(100);
    fake_run_ms(&f, 3000);
    set_silence_ms(1900);
    assert_null(fake_told(&f, FLIGHT_CONTACT));
    set_silence_ms(2600);
    r = told(FLIGHT_CONTACT);
    assert_string_equal(r->subject, "b");
    assert_int_equal(r->code, 0);
    before = f.story_count;
    set_silence_ms(UINT64_MAX);
    assert_int_equal(f.story_count, before);
    fake_run_ms(&f, 5000);
    set_silence_ms(10);
    r = told(FLIGHT_CONTACT);
    assert_int_equal(r->code, 1);
    assert_in_range(r->duration_us, 7000000, 9000000);
}

/* A new member, and all after a stand-still or the death of consensus, have their time to be heard. */
static void nobody_is_called_silent_by_one_who_did_not_listen(void **state)
{
    (void)state;
    set_silence_ms(UINT64_MAX);
    assert_null(fake_told(&f, FLIGHT_CONTACT));
    set_silence_ms(10);
    f.consensus.servers[1].contact_age_ms = 20000;
    fake_publish(&f);
    f.now_ns += UINT64_C(20000000000); /* without a tick */
    fake_run_ms(&f, 300);
    assert_null(fake_told(&f, FLIGHT_CONTACT));
    set_silence_ms(10);
    fake_worker(&f, ROLE_CONSENSUS, false);
    fake_run_ms(&f, 4000);
    fake_worker(&f, ROLE_CONSENSUS, true);
    set_silence_ms(UINT64_MAX);
    assert_null(fake_told(&f, FLIGHT_CONTACT));
}

static void a_shutdown_waits_for_the_other_and_tells_so(void **state)
{
    struct fake_sent s;

    (void)state;
    fake_become_sequencing_leader(&f);
    conductor_begin_shutdown(f.c, f.now_ns);
    s = fake_take(&f, MSG_NODE_CMD);
    fake_node_result(&f, &s, NODE_OK, NODE_NO);
    s = fake_take(&f, MSG_TRANSFER);
    fake_transfer_result(&f, s.request_id, 0);
    assert_string_equal(told(FLIGHT_TRANSFER)->detail, "op-conductor ends");
    f.consensus.servers[1].record.sequencing = 1;
    fake_publish(&f);
    fake_run_ms(&f, 100);
    assert_int_equal(told(FLIGHT_TAKEN_OVER)->code, 0);
    assert_int_equal(f.stop_finished, 1);
}

/* What op-node left, and what became of it. */
static void a_left_head_is_told(void **state)
{
    const struct flight_record *r;

    (void)state;
    fake_become_sequencing_leader(&f);
    fake_conflict(&f, 8, false);
    r = told(FLIGHT_HEAD);
    assert_string_equal(r->subject, "left");
    assert_string_equal(r->text, "consensus head 10, from 8");
    assert_int_equal(told(FLIGHT_PERMIT)->code, 0);
    fake_conflict(&f, 8, true);
    assert_string_equal(told(FLIGHT_HEAD)->subject, "ahead");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(taking_over_is_told_in_order, setup, teardown),
        cmocka_unit_test_setup_teardown(nothing_new_is_not_told_again, setup, teardown),
        cmocka_unit_test_setup_teardown(health_flips_are_told_with_their_reason, setup, teardown),
        cmocka_unit_test_setup_teardown(failures_are_told_with_what_op_node_said, setup, teardown),
        cmocka_unit_test_setup_teardown(an_operators_transfer_is_told_from_request_to_result, setup, teardown),
        cmocka_unit_test_setup_teardown(refusals_and_failed_transfers_are_told, setup, teardown),
        cmocka_unit_test_setup_teardown(requests_to_consensus_are_told_with_their_result, setup, teardown),
        cmocka_unit_test_setup_teardown(membership_changes_are_told_once, setup, teardown),
        cmocka_unit_test_setup_teardown(a_silent_member_is_told_once_and_its_return_too, setup, teardown),
        cmocka_unit_test_setup_teardown(nobody_is_called_silent_by_one_who_did_not_listen, setup, teardown),
        cmocka_unit_test_setup_teardown(a_left_head_is_told, setup, teardown),
        cmocka_unit_test_setup_teardown(a_shutdown_waits_for_the_other_and_tells_so, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
