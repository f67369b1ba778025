/* The frame codec: round trips, truncation, every bit flip, hostile lengths, random bytes. */
#include "frame_examples.h"
#include "shared/base/crc32c.h"
#include "shared/base/err.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

static struct bytes wire; /* static: large */

static uint64_t random_state = 0x9e3779b97f4a7c15u;

static uint32_t next_random(void)
{
    random_state ^= random_state << 13;
    random_state ^= random_state >> 7;
    random_state ^= random_state << 17;
    return (uint32_t)(random_state >> 16);
}

static void test_round_trips_in_any_pieces(void **state)
{
    static const size_t steps[] = {1, 7, 71, 72, 73, 4096, SIZE_MAX};
    (void)state;
    for (int which = 0; which < EX_COUNT; which++) {
        frame_encode((enum example)which, &wire);
        for (size_t i = 0; i < sizeof steps / sizeof steps[0]; i++) {
            struct frame f;
            assert_int_equal(frame_decode_one(&wire, steps[i], &f), 1);
            frame_check_same((enum example)which, &f);
            frame_clear(&f);
        }
    }
}

static void test_many_frames_on_one_stream(void **state)
{
    static struct bytes all;
    struct frame_receiver *r = frame_receiver_new();
    size_t at = 0;
    (void)state;
    all.len = 0;
    for (int which = 0; which < EX_COUNT; which++) {
        frame_encode((enum example)which, &wire);
        assert_true(all.len + wire.len <= sizeof all.data);
        memcpy(all.data + all.len, wire.data, wire.len);
        all.len += wire.len;
    }
    for (int which = 0; which < EX_COUNT; which++) {
        struct frame f = {.kind = 0};
        size_t used;
        assert_int_equal(frame_feed(r, all.data + at, all.len - at, 1000, &f, &used), 1);
        frame_check_same((enum example)which, &f);
        frame_clear(&f);
        at += used;
    }
    assert_int_equal(at, all.len);
    frame_receiver_free(r);
}

static void test_every_truncation_waits(void **state)
{
    (void)state;
    for (int which = 0; which < EX_COUNT; which++) {
        frame_encode((enum example)which, &wire);
        size_t full = wire.len, step = full > 4096 ? 997 : 1;
        for (size_t len = 0; len < full; len += step) {
            struct frame f;
            wire.len = len;
            assert_int_equal(frame_decode_one(&wire, SIZE_MAX, &f), 0);
        }
    }
}

static void test_every_bit_flip_is_refused(void **state)
{
    (void)state;
    for (int which = 0; which < EX_COUNT; which++) {
        if (which == EX_SNAPSHOT)
            continue; /* too long for all bits; its parts are like the others */
        frame_encode((enum example)which, &wire);
        for (size_t bit = 0; bit < wire.len * 8; bit++) {
            struct frame f;
            wire.data[bit / 8] ^= (uint8_t)(1u << (bit % 8));
            int rc = frame_decode_one(&wire, SIZE_MAX, &f);
            if (rc >= 0)
                fail_msg("example %d, bit %zu: %d", which, bit, rc);
            wire.data[bit / 8] ^= (uint8_t)(1u << (bit % 8));
        }
    }
}

static void put32(uint8_t *p, uint32_t v)
{
    for (int i = 0; i < 4; i++)
        p[i] = (uint8_t)(v >> (8 * i));
}

/* Makes a changed header valid again. */
static void seal(uint8_t *header)
{
    put32(header + 68, crc32c(0, header, 68));
}

static void seal_payload(uint8_t *frame, size_t len)
{
    put32(frame + 12, crc32c(0, frame + FRAME_HEADER_BYTES, len - FRAME_HEADER_BYTES));
    seal(frame);
}

static void test_hostile_headers_are_refused(void **state)
{
    static const struct {
        const char *what;
        int example;
        int rc;
        size_t at;
        uint8_t value;
    } rows[] = {
        {"another version", EX_HEARTBEAT, OC_EVERSION, 4, 2},
        {"kind 0", EX_HEARTBEAT, OC_EPROTO, 5, 0},
        {"unknown kind", EX_HEARTBEAT, OC_EPROTO, 5, 99},
        {"unknown flag", EX_HEARTBEAT, OC_EPROTO, 6, 0x80},
        {"heartbeat with an entry type", EX_HEARTBEAT, OC_EPROTO, 62, 1},
        {"heartbeat with a payload", EX_HEARTBEAT, OC_EPROTO, 8, 1},
        {"heartbeat with an entry term", EX_HEARTBEAT, OC_EPROTO, 48, 1},
        {"reserved byte", EX_HEARTBEAT, OC_EPROTO, 63, 1},
        {"reserved word", EX_HEARTBEAT, OC_EPROTO, 65, 1},
        {"vote with a payload", EX_REQUEST_VOTE, OC_EPROTO, 8, 1},
        {"entry type 0", EX_APPEND, OC_EPROTO, 62, 0},
        {"entry type 4", EX_APPEND, OC_EPROTO, 62, 4},
        {"entry of term 0", EX_APPEND, OC_EPROTO, 48, 0},
        {"entry of a later term", EX_APPEND, OC_EPROTO, 48, 8},
        {"entry of 4 GiB", EX_APPEND, OC_EPROTO, 11, 0xff},
        {"entry above the cap", EX_APPEND, OC_EPROTO, 11, 0x03},
        {"hello too short", EX_HELLO, OC_EPROTO, 8, 1},
        {"hello of 16 MiB", EX_HELLO, OC_EPROTO, 11, 1},
        {"snapshot at index 0", EX_SNAPSHOT, OC_EPROTO, 24, 0},
        {"snapshot of 2^56 bytes", EX_SNAPSHOT, OC_EPROTO, 55, 1},
        {"snapshot of a later term", EX_SNAPSHOT, OC_EPROTO, 32, 8},
        {"progress with a payload", EX_PROGRESS, OC_EPROTO, 9, 1},
    };
    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct frame f;
        frame_encode((enum example)rows[i].example, &wire);
        wire.data[rows[i].at] = rows[i].value;
        seal(wire.data);
        int rc = frame_decode_one(&wire, SIZE_MAX, &f);
        if (rc != rows[i].rc)
            fail_msg("%s: %d instead of %d", rows[i].what, rc, rows[i].rc);
    }
}

/* Payload bytes changed together with both checksums: what only the field checks can catch. */
static void test_hostile_payloads_are_refused(void **state)
{
    static const struct {
        const char *what;
        size_t at;
        int example;
        uint8_t value;
    } rows[] = {
        {"hello without purpose", 0, EX_HELLO, 0},
        {"hello with an unknown purpose", 0, EX_HELLO, 9},
        {"hello whose id is not its digest", 8, EX_HELLO, 0x55},
        {"hello without a name", 56, EX_HELLO, 0},
        {"hello with a bad name", 57, EX_HELLO, '@'},
        {"hello without a level", 56 + SERVER_ID_SIZE + SERVER_ADDR_SIZE + 8, EX_HELLO, 0},
        {"record with validity 2", 0, EX_RECORD, 2},
        {"membership of 17", 8, EX_SNAPSHOT_EMPTY, 17},
        {"membership of none", 8, EX_SNAPSHOT_EMPTY, 0},
        {"membership with one more than its bytes", 8, EX_SNAPSHOT_EMPTY, 3},
        {"member with an unknown role", 20, EX_SNAPSHOT_EMPTY, 3},
        {"member with id 0", 12, EX_SNAPSHOT_EMPTY, 0},
    };
    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct frame f;
        frame_encode((enum example)rows[i].example, &wire);
        wire.data[FRAME_HEADER_BYTES + rows[i].at] = rows[i].value;
        seal_payload(wire.data, wire.len);
        int rc = frame_decode_one(&wire, SIZE_MAX, &f);
        if (rc != OC_EPROTO)
            fail_msg("%s: %d", rows[i].what, rc);
    }
}

static void test_strings_without_an_end_are_refused(void **state)
{
    static const struct {
        int example;
        size_t from, len;
    } rows[] = {{EX_HELLO, 56, SERVER_ID_SIZE},
                {EX_HELLO, 56 + SERVER_ID_SIZE, SERVER_ADDR_SIZE},
                {EX_REFUSE, 0, TEXT_SIZE},
                {EX_SNAPSHOT_EMPTY, 24, MEMBER_ADDRESS_SIZE}};
    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct frame f;
        frame_encode((enum example)rows[i].example, &wire);
        memset(wire.data + FRAME_HEADER_BYTES + rows[i].from, 'x', rows[i].len);
        seal_payload(wire.data, wire.len);
        assert_int_equal(frame_decode_one(&wire, SIZE_MAX, &f), OC_EPROTO);
    }
}

/* The beginning of a snapshot, then its first chunk with one field of the header changed. */
static int decode_with_chunk(const struct snapshot *s, size_t announced, size_t at, uint8_t value)
{
    static struct frame_out out;
    struct snapshot head = *s;
    struct wire_msg m = {.kind = WIRE_INSTALL_SNAPSHOT, .term = 7, .install = {.snapshot = &head, .conf_index = 44}};
    struct frame_cursor cursor = {.part = 0};
    struct frame f;
    head.data_len = announced;
    wire.len = 0;
    assert_int_equal(frame_put_msg(&out, &m), 0);
    frame_add(&wire, &out);
    frame_put_chunk(&out, s, &cursor);
    if (at > 0)
        out.header[at] = value;
    seal(out.header);
    frame_add(&wire, &out);
    return frame_decode_one(&wire, SIZE_MAX, &f);
}

static void test_chunks_must_fit_their_snapshot(void **state)
{
    static struct frame_out out;
    struct snapshot *s = frame_make_snapshot(100);
    struct wire_msg m = {.kind = WIRE_INSTALL_SNAPSHOT, .term = 7, .install = {.snapshot = s, .conf_index = 44}};
    struct frame_cursor cursor = {.part = 0};
    struct frame f;
    (void)state;
    /* a chunk without a beginning */
    wire.len = 0;
    frame_put_chunk(&out, s, &cursor);
    frame_add(&wire, &out);
    assert_int_equal(frame_decode_one(&wire, SIZE_MAX, &f), OC_EPROTO);
    /* of another snapshot; too late; of another part; of an empty, a too short, a too large part */
    assert_int_equal(decode_with_chunk(s, 100, 24, 91), OC_EPROTO);
    assert_int_equal(decode_with_chunk(s, 100, 32, 10), OC_EPROTO);
    assert_int_equal(decode_with_chunk(s, 100, 40, 1), OC_EPROTO);
    assert_int_equal(decode_with_chunk(s, 100, 48, 0), OC_EPROTO);
    assert_int_equal(decode_with_chunk(s, 100, 48, 29), OC_EPROTO);
    assert_int_equal(decode_with_chunk(s, 100, 51, 3), OC_EPROTO);
    assert_int_equal(decode_with_chunk(s, 100, 55, 1), OC_EPROTO);
    /* more data than announced */
    assert_int_equal(decode_with_chunk(s, 29, 0, 0), OC_EPROTO);
    /* too large to be sent at all */
    s->data_len = SNAPSHOT_MAX_BYTES + 1;
    assert_int_equal(frame_put_msg(&out, &m), OC_ERANGE);
    s->data_len = 100;
    snapshot_unref(s);
}

/* A bounded fuzz loop: valid frames with random damage whose checksums are made good again half of the
 * time, and plain noise. Nothing may crash, hang or read outside (the sanitizers watch). */
static void test_random_damage(void **state)
{
    unsigned frames = 0, errors = 0;
    (void)state;
    for (int round = 0; round < 20000; round++) {
        struct frame f;
        int which = (int)(next_random() % EX_COUNT);
        if (which == EX_SNAPSHOT && round % 50)
            which = EX_SNAPSHOT_EMPTY;
        frame_encode((enum example)which, &wire);
        for (unsigned k = next_random() % 4 + 1; k > 0; k--)
            wire.data[next_random() % (wire.len < 600 ? wire.len : 600)] = (uint8_t)next_random();
        if (round % 2 && wire.len > FRAME_HEADER_BYTES)
            put32(wire.data + 12, crc32c(0, wire.data + FRAME_HEADER_BYTES, wire.len - FRAME_HEADER_BYTES));
        if (round % 2) {
            put32(wire.data, FRAME_MAGIC);
            wire.data[4] = FRAME_VERSION;
            seal(wire.data);
        }
        int rc = frame_decode_one(&wire, next_random() % 200 + 1, &f);
        frames += rc == 1;
        errors += rc < 0;
        if (rc == 1)
            frame_clear(&f);
    }
    for (int round = 0; round < 2000; round++) {
        struct frame f;
        wire.len = next_random() % 2000;
        for (size_t i = 0; i < wire.len; i++)
            wire.data[i] = (uint8_t)next_random();
        assert_true(frame_decode_one(&wire, next_random() % 200 + 1, &f) <= 0);
    }
    printf("damaged frames: %u refused, %u still well-formed\n", errors, frames);
    assert_true(errors > 5000 && frames > 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_round_trips_in_any_pieces),
        cmocka_unit_test(test_many_frames_on_one_stream),
        cmocka_unit_test(test_every_truncation_waits),
        cmocka_unit_test(test_every_bit_flip_is_refused),
        cmocka_unit_test(test_hostile_headers_are_refused),
        cmocka_unit_test(test_hostile_payloads_are_refused),
        cmocka_unit_test(test_strings_without_an_end_are_refused),
        cmocka_unit_test(test_chunks_must_fit_their_snapshot),
        cmocka_unit_test(test_random_damage),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
