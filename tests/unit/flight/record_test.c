/* One record: checksum, strings, names; the file's header. */
#include "shared/base/err.h"
#include "shared/flight/record.h"
#include "testing.h"

#include <string.h>

static struct flight_record sealed(void)
{
    struct flight_record r;

    memset(&r, 0, sizeof r);
    r.sequence = 7;
    r.kind = FLIGHT_TRANSFER;
    r.wall_ms = 1700000000000;
    r.code = -5;
    strcpy(r.subject, "sequencer-2");
    strcpy(r.text, "why");
    strcpy(r.detail, "line\nline");
    flight_record_seal(&r);
    return r;
}

static void every_changed_byte_is_noticed(void **state)
{
    struct flight_record r = sealed();

    (void)state;
    assert_true(flight_record_is_valid(&r));
    for (size_t i = 0; i < sizeof r; i++) {
        unsigned char *byte = (unsigned char *)&r + i;

        *byte ^= 0x40;
        assert_false(flight_record_is_valid(&r));
        *byte ^= 0x40;
    }
    assert_true(flight_record_is_valid(&r));
}

static void torn_records_and_empty_slots_are_not_valid(void **state)
{
    struct flight_record r = sealed(), old = r, empty, torn;

    (void)state;
    memset(&empty, 0, sizeof empty);
    assert_false(flight_record_is_valid(&empty));
    old.sequence = 7 + FLIGHT_SLOTS;
    strcpy(old.text, "another one");
    flight_record_seal(&old);
    /* Written up to any word: neither the one nor the other. */
    for (size_t cut = 8; cut < sizeof r; cut += 8) {
        torn = old;
        memcpy(&torn, &r, cut);
        if (memcmp(&torn, &r, sizeof r) != 0 && memcmp(&torn, &old, sizeof r) != 0)
            assert_false(flight_record_is_valid(&torn));
    }
}

static void sealing_terminates_strings(void **state)
{
    struct flight_record r = sealed();

    (void)state;
    memset(r.subject, 'x', sizeof r.subject);
    memset(r.text, 'x', sizeof r.text);
    memset(r.detail, 'x', sizeof r.detail);
    flight_record_seal(&r);
    assert_true(flight_record_is_valid(&r));
    assert_int_equal(strlen(r.subject), sizeof r.subject - 1);
    assert_int_equal(strlen(r.text), sizeof r.text - 1);
    assert_int_equal(strlen(r.detail), sizeof r.detail - 1);
}

static void text_is_cut_between_characters(void **state)
{
    static const struct {
        const char *text;
        size_t size;
        const char *want;
    } rows[] = {
        {"", 8, ""},
        {"short", 8, "short"},
        {"exactly", 8, "exactly"},
        {"one more", 8, "one mor"},
        {"a\tb\x1b[31mc\x7f\n", 16, "a b [31mc \n"},
        {"caf\xc3\xa9s", 5, "caf"}, /* the second byte of é would not fit */
        {"caf\xc3\xa9s", 6, "caf\xc3\xa9"},
        {"\xe2\x82\xac\xe2\x82\xac", 6, "\xe2\x82\xac"},
        {"x", 1, ""},
        {"ab\x80\x80\x80\x80\x80\x80", 7, "ab\x80\x80\x80\x80"}, /* no character: cut anywhere */
    };

    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        char buf[32];

        memset(buf, '#', sizeof buf);
        flight_copy_text(buf, rows[i].size, rows[i].text);
        assert_string_equal(buf, rows[i].want);
        assert_int_equal(buf[rows[i].size], '#');
    }
}

static void kinds_have_names_and_slots_go_round(void **state)
{
    (void)state;
    for (uint32_t kind = 1; kind < FLIGHT_KIND_COUNT; kind++) {
        assert_string_not_equal(flight_kind_name(kind), "unknown");
        for (uint32_t other = 1; other < kind; other++)
            assert_string_not_equal(flight_kind_name(kind), flight_kind_name(other));
    }
    assert_string_equal(flight_kind_name(0), "unknown");
    assert_string_equal(flight_kind_name(FLIGHT_KIND_COUNT), "unknown");
    /* Numbers that are in files. */
    assert_int_equal(FLIGHT_STARTED, 1);
    assert_int_equal(FLIGHT_OPERATOR, 18);
    assert_int_equal(flight_slot_of(1), 0);
    assert_int_equal(flight_slot_of(FLIGHT_SLOTS), FLIGHT_SLOTS - 1);
    assert_int_equal(flight_slot_of(FLIGHT_SLOTS + 1), 0);
}

static void headers_are_checked(void **state)
{
    unsigned char header[FLIGHT_RECORD_BYTES];

    (void)state;
    flight_header_make(header);
    assert_int_equal(flight_header_check(header), 0);
    for (size_t i = 0; i < sizeof header; i++) {
        header[i] ^= 1;
        assert_int_equal(flight_header_check(header), OC_ECORRUPT);
        header[i] ^= 1;
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_changed_byte_is_noticed),
        cmocka_unit_test(torn_records_and_empty_slots_are_not_valid),
        cmocka_unit_test(sealing_terminates_strings),
        cmocka_unit_test(text_is_cut_between_characters),
        cmocka_unit_test(kinds_have_names_and_slots_go_round),
        cmocka_unit_test(headers_are_checked),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
