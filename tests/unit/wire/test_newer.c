/* What a later version says and writes: frames that grew at their end are understood; and a real op-conductor-consensus
 * process whose log has an entry that it does not know must not go on as if the entry were not there.
 */
#include "cluster.h"

#include "consensus/frame_fields.h"
#include "consensus/identity.h"
#include "consensus/proposal.h"
#include "consensus/storage.h"
#include "shared/base/crc32c.h"
#include "shared/worker/worker.h"

#include <poll.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>

#include <cmocka.h>

#define VERSION_AT 4 /* of a proposal's header */
#define KIND_AT 6
#define WAIT_MS 20000

static struct cluster cluster;

#define MORE_BYTES 40

/* Receives a frame as if it had more bytes at its end. */
static void receive_grown(struct frame_out *out, struct frame *ret)
{
    uint8_t wire[FRAME_HEADER_BYTES + FRAME_SMALL_MAX_BYTES];
    const size_t len = out->payload_len + MORE_BYTES;
    struct frame_receiver *r = frame_receiver_new();
    size_t done = 0, room;
    int rc = 0;
    memcpy(wire, out->header, FRAME_HEADER_BYTES);
    memcpy(wire + FRAME_HEADER_BYTES, out->payload, out->payload_len);
    memset(wire + FRAME_HEADER_BYTES + out->payload_len, 0xee, MORE_BYTES);
    put32(wire + AT_PAYLOAD_BYTES, (uint32_t)len);
    put32(wire + AT_PAYLOAD_CRC, crc32c(0, wire + FRAME_HEADER_BYTES, len));
    put32(wire + AT_HEADER_CRC, crc32c(0, wire, AT_HEADER_CRC));
    while (rc == 0 && done < FRAME_HEADER_BYTES + len) {
        uint8_t *to = frame_receiver_buffer(r, &room);
        memcpy(to, wire + done, room);
        done += room;
        rc = frame_receiver_advance(r, room, ret);
    }
    assert_int_equal(rc, 1);
    frame_receiver_free(r);
}

static void frames_may_grow(void **state)
{
    static struct frame_out out;
    struct frame_hello hello = {
        .purpose = PURPOSE_LOG, .proposal_level = 9, .membership_index = 7, .name = "seq-0", .version = "v9.9.9"};
    struct frame_record record = {.valid = true, .record = {.reason = READY_LAGGING, .unsafe_head = {.number = 5}}};
    struct frame f;
    (void)state;
    hello.raft_id = identity_raft_id(hello.name, hello.storage_uuid);
    frame_put_hello(&out, &hello);
    receive_grown(&out, &f);
    assert_memory_equal(&f.hello, &hello, sizeof hello);
    frame_put_record(&out, &record);
    receive_grown(&out, &f);
    assert_int_equal(f.record.record.reason, READY_LAGGING);
    assert_int_equal(f.record.record.unsafe_head.number, 5);
    record.record.reason = READY_REASON_COUNT;
    frame_put_record(&out, &record);
    receive_grown(&out, &f);
    assert_int_equal(f.record.record.reason, READY_UNKNOWN);
}

static int setup(void **state)
{
    (void)state;
    cluster_open(&cluster);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    cluster_close(&cluster);
    return 0;
}

static void append(struct storage *s, uint64_t index, struct entry *e)
{
    struct storage_event event;
    struct pollfd poll_fd = {.fd = storage_fd(s), .events = POLLIN};
    entry_set_term(e, 1);
    storage_append(s, index, e);
    entry_unref(e);
    assert_int_equal(poll(&poll_fd, 1, WAIT_MS), 1);
    assert_int_equal(storage_poll(s, &event), 1);
    assert_int_equal(event.kind, STORAGE_ENTRIES_DURABLE);
    assert_int_equal(event.index, index);
    assert_int_equal(storage_poll(s, &event), 0);
}

/* Opens the node's storage and reads it back. */
static struct storage *open_log(struct cnode *n, bool is_new, struct driver_recovered *ret_recovered)
{
    const struct storage_options options = {.dir = n->dir, .name = n->name};
    char text[STORAGE_TEXT_SIZE], address[MEMBER_ADDRESS_SIZE];
    struct storage *s;

    assert_int_equal(storage_open(&options, &s, text, sizeof text), 0);
    assert_int_equal(identity_format_address(n->name, n->addr, address, sizeof address), 0);
    if (is_new)
        assert_int_equal(storage_bootstrap(s, identity_raft_id(n->name, storage_identity(s)->uuid), address), 0);
    assert_int_equal(storage_recover(s, ret_recovered, text, sizeof text), 0);
    for (unsigned i = 0; i < ret_recovered->entry_count; i++)
        entry_unref(ret_recovered->entries[i]);
    snapshot_unref(ret_recovered->snapshot);
    return s;
}

/* A cluster of this one node, entry 2 of its log with another byte at that place of the proposal's header, and so many
 * behind it. */
static void write_log(struct cnode *n, size_t at, uint8_t value, unsigned behind)
{
    const struct proposal p = {.kind = PROPOSAL_ADOPT, .block = {.number = 5, .hash = {1}}, .proposer = 1};
    struct driver_recovered recovered;
    struct storage *s = open_log(n, true, &recovered);

    storage_recovered_done(s);
    assert_int_equal(storage_start(s), 0);
    struct entry *e = proposal_entry_new(0);
    assert_non_null(e);
    proposal_entry_seal(e, &p);
    if (at > 0)
        entry_payload(e)[at] = value;
    append(s, 2, e);
    for (uint64_t i = 0; i < behind; i++) {
        e = entry_new(ENTRY_BARRIER, 1, 8);
        assert_non_null(e);
        memset(entry_payload(e), 0, 8);
        append(s, 3 + i, e);
    }
    storage_close(s);
}

static void an_entry_of_this_version_is_applied(void **state)
{
    const struct block_id head = {.number = 5, .hash = {1}};
    (void)state;
    write_log(&cluster.nodes[0], 0, 0, 0);
    node_spawn(&cluster, 0, false);
    node_wait_ready(&cluster, 0);
    cluster_wait_head(&cluster, 0, &head, WAIT_MS);
    node_kill(&cluster, 0);
}

static void a_later_entry_stops_it(void **state)
{
    static const struct {
        size_t at;
        uint8_t value;
    } rows[] = {{VERSION_AT, PROPOSAL_VERSION + 1}, {KIND_AT, PROPOSAL_ADOPT + 1}};
    (void)state;
    for (unsigned i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        write_log(&cluster.nodes[1 + i], rows[i].at, rows[i].value, 0);
        node_spawn(&cluster, 1 + i, false);
        int status = node_wait_exit(&cluster, 1 + i, WAIT_MS);
        assert_true(WIFEXITED(status));
        assert_int_equal(WEXITSTATUS(status), WORKER_EXIT_CONFIG);
    }
}

/* Nothing behind it is applied, so nothing may be written that says so: with the right version it goes on from there.
 */
static void no_state_goes_past_a_later_entry(void **state)
{
    struct driver_recovered recovered;
    (void)state;
    write_log(&cluster.nodes[0], KIND_AT, PROPOSAL_ADOPT + 1, 100); /* a snapshot would be due */
    node_spawn(&cluster, 0, false);
    assert_int_equal(WEXITSTATUS(node_wait_exit(&cluster, 0, WAIT_MS)), WORKER_EXIT_CONFIG);
    struct storage *s = open_log(&cluster.nodes[0], false, &recovered);
    assert_null(recovered.snapshot);
    assert_true(recovered.entry_count >= 102);
    storage_close(s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(frames_may_grow),
        cmocka_unit_test_setup_teardown(an_entry_of_this_version_is_applied, setup, teardown),
        cmocka_unit_test_setup_teardown(a_later_entry_stops_it, setup, teardown),
        cmocka_unit_test_setup_teardown(no_state_goes_past_a_later_entry, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
