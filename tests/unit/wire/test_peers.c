/* Tables of peers on one loop, over loopback TCP: who connects, who is refused, what arrives. */
#include "consensus/peer.h"
#include "shared/base/clock.h"
#include "shared/base/err.h"
#include "shared/base/log.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#define WAIT_MS 10000

/* One conductor as far as its peers go. */
struct side {
    struct peers *peers;
    struct frame_hello self;
    char host_port[SERVER_ADDR_SIZE];
    unsigned connected, gone, progress;
    unsigned received[8]; /* by wire kind */
    uint64_t from;
    struct wire_msg last; /* entry or snapshot taken over */
};

static uv_loop_t loop;
static uint64_t starts;
static struct side a, b;
static uint8_t levels[2] = {1, 1};

static void drop_last(struct side *s)
{
    if (s->last.kind == WIRE_APPEND)
        entry_unref(s->last.append.entry);
    if (s->last.kind == WIRE_INSTALL_SNAPSHOT)
        snapshot_unref(s->last.install.snapshot);
    memset(&s->last, 0, sizeof s->last);
}

static int on_receive(void *ctx, uint64_t from, struct wire_msg *msg)
{
    struct side *s = ctx;
    drop_last(s);
    s->received[msg->kind]++;
    s->from = from;
    s->last = *msg;
    return 0;
}

static void on_connected(void *ctx, uint64_t id)
{
    (void)id;
    ((struct side *)ctx)->connected++;
}

static void on_gone(void *ctx, uint64_t id)
{
    (void)id;
    ((struct side *)ctx)->gone++;
}

static void on_progress(void *ctx, uint64_t id)
{
    (void)id;
    ((struct side *)ctx)->progress++;
}

static void side_open(struct side *s, const char *name, uint8_t storage, uint8_t cluster, uint16_t port)
{
    const struct peers_events events = {
        .ctx = s, .receive = on_receive, .connected = on_connected, .gone = on_gone, .progress = on_progress};
    char text[64];
    memset(s, 0, sizeof *s);
    snprintf(s->self.name, sizeof s->self.name, "%s", name);
    s->self.storage_uuid[0] = storage;
    s->self.cluster_id[0] = cluster;
    s->self.election_timeout_ms = 300;
    s->self.proposal_level = levels[s == &b];
    snprintf(s->self.version, sizeof s->self.version, "v1.0.%u", storage);
    s->self.process_nonce = ++starts;
    s->self.raft_id = identity_raft_id(name, s->self.storage_uuid);
    s->peers = peers_new(&loop, &s->self, &events);
    assert_non_null(s->peers);
    assert_int_equal(peers_listen(s->peers, "127.0.0.1", port, &port, text, sizeof text), 0);
    assert_int_equal(identity_join_host_port("127.0.0.1", port, s->host_port, sizeof s->host_port), 0);
    peers_set_address(s->peers, s->host_port);
}

static void side_close(struct side *s)
{
    peers_free(s->peers);
    s->peers = NULL;
    drop_last(s);
}

static uint16_t port_of(const struct side *s)
{
    return (uint16_t)strtoul(strrchr(s->host_port, ':') + 1, NULL, 10);
}

static struct membership both(void)
{
    struct membership m = {.index = 5, .count = 2};
    m.members[0] = (struct member){.id = a.self.raft_id, .role = MEMBER_VOTER};
    m.members[1] = (struct member){.id = b.self.raft_id, .role = MEMBER_VOTER};
    identity_format_address(a.self.name, a.host_port, m.members[0].address, MEMBER_ADDRESS_SIZE);
    identity_format_address(b.self.name, b.host_port, m.members[1].address, MEMBER_ADDRESS_SIZE);
    return m;
}

/* Runs the loop until *counter >= wanted; false after timeout_ms. */
static bool run_until(const unsigned *counter, unsigned wanted, unsigned timeout_ms)
{
    uint64_t end = clock_mono_ms() + timeout_ms;
    while (*counter < wanted && clock_mono_ms() < end) {
        uv_run(&loop, UV_RUN_NOWAIT);
        usleep(200);
    }
    return *counter >= wanted;
}

static void run_for(unsigned ms)
{
    unsigned never = 0;
    (void)run_until(&never, 1, ms);
}

static int setup(void **state)
{
    (void)state;
    const struct log_options options = {.level = LOG_CRIT, .format = LOG_FMT_LOGFMT};
    log_init(&options);
    assert_int_equal(uv_loop_init(&loop), 0);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    side_close(&a);
    side_close(&b);
    uv_run(&loop, UV_RUN_DEFAULT);
    assert_int_equal(uv_loop_close(&loop), 0);
    return 0;
}

static void connect_both(void)
{
    struct membership m;
    side_open(&a, "seq-0", 1, 7, 0);
    side_open(&b, "seq-1", 2, 7, 0);
    m = both();
    peers_sync(a.peers, &m);
    peers_sync(b.peers, &m);
    assert_true(run_until(&a.connected, 1, WAIT_MS));
    assert_true(run_until(&b.connected, 1, WAIT_MS));
}

static void test_messages_arrive(void **state)
{
    struct wire_msg vote = {.kind = WIRE_REQUEST_VOTE, .term = 3, .request_vote = {.candidate_id = 1}};
    struct wire_msg append = {.kind = WIRE_APPEND, .term = 3, .append = {.prev_log_index = 4, .prev_log_term = 2}};
    (void)state;
    connect_both();
    run_for(50); /* the control connection, too */
    peers_send(a.peers, b.self.raft_id, &vote);
    assert_true(run_until(&b.received[WIRE_REQUEST_VOTE], 1, WAIT_MS));
    assert_int_equal(b.from, a.self.raft_id);
    append.append.entry = entry_new(ENTRY_COMMAND, 3, 5000000);
    memset(entry_payload(append.append.entry), 0x5a, 5000000);
    peers_send(a.peers, b.self.raft_id, &append);
    entry_unref(append.append.entry);
    append.append.entry = NULL;
    assert_true(run_until(&b.received[WIRE_APPEND], 1, WAIT_MS));
    assert_int_equal(entry_len(b.last.append.entry), 5000000);
    assert_int_equal(entry_payload(b.last.append.entry)[4999999], 0x5a);
    assert_int_equal(b.last.append.prev_log_index, 4);
    assert_true(b.progress > 0);
}

static void test_heartbeats_overtake_payloads(void **state)
{
    struct wire_msg heartbeat = {.kind = WIRE_APPEND, .term = 3};
    struct wire_msg append = heartbeat;
    (void)state;
    connect_both();
    append.append.entry = entry_new(ENTRY_COMMAND, 3, 30000000);
    memset(entry_payload(append.append.entry), 1, 30000000);
    peers_send(a.peers, b.self.raft_id, &append);
    peers_send(a.peers, b.self.raft_id, &heartbeat);
    assert_true(run_until(&b.received[WIRE_APPEND], 1, WAIT_MS));
    assert_null(b.last.append.entry);
    assert_true(run_until(&b.received[WIRE_APPEND], 2, WAIT_MS));
    assert_non_null(b.last.append.entry);
    /* more than the cap is dropped, not kept */
    for (unsigned i = 0; i < 20; i++)
        peers_send(a.peers, b.self.raft_id, &append);
    entry_unref(append.append.entry);
    assert_true(run_until(&b.received[WIRE_APPEND], 4, WAIT_MS));
    run_for(500);
    assert_true(b.received[WIRE_APPEND] < 8);
}

static void test_snapshot_travels_in_pieces(void **state)
{
    struct snapshot *s = snapshot_new();
    struct wire_msg msg = {.kind = WIRE_INSTALL_SNAPSHOT, .term = 3, .install = {.snapshot = s, .conf_index = 5}};
    (void)state;
    connect_both();
    s->index = 40;
    s->term = 3;
    s->membership = both();
    for (size_t len = 1; len <= 9000001; len += 3000000) {
        struct entry *part = entry_new(ENTRY_COMMAND, 3, len);
        for (size_t i = 0; i < len; i++)
            entry_payload(part)[i] = (uint8_t)(i % 251 + len);
        assert_int_equal(snapshot_add_part(s, part), 0);
        entry_unref(part);
    }
    peers_send(a.peers, b.self.raft_id, &msg);
    peers_send(a.peers, b.self.raft_id, &msg); /* the one under way is enough */
    assert_true(run_until(&b.received[WIRE_INSTALL_SNAPSHOT], 1, WAIT_MS));
    assert_int_equal(b.last.install.snapshot->data_len, s->data_len);
    assert_int_equal(b.last.install.snapshot->part_count, 4);
    for (unsigned i = 0; i < 4; i++)
        assert_memory_equal(entry_payload(b.last.install.snapshot->parts[i]), entry_payload(s->parts[i]),
                            entry_len(s->parts[i]));
    assert_true(b.progress > 0);
    run_for(200);
    assert_int_equal(b.received[WIRE_INSTALL_SNAPSHOT], 1);
    /* cut in the middle: nothing leaks, nothing arrives */
    peers_send(a.peers, b.self.raft_id, &msg);
    peers_stop(a.peers);
    run_for(100);
    snapshot_unref(s);
}

static void test_records_are_exchanged(void **state)
{
    struct msg_self_record record = {.reason = READY_PAUSED, .paused = 1, .unsafe_head = {.number = 77}}, got;
    uint64_t age = 0;
    (void)state;
    connect_both();
    assert_false(peers_get_record(b.peers, a.self.raft_id, clock_mono_ms(), &got, &age));
    peers_set_record(a.peers, &record);
    for (unsigned i = 0; i < 50 && !peers_get_record(b.peers, a.self.raft_id, clock_mono_ms(), &got, &age); i++)
        run_for(100);
    assert_true(peers_get_record(b.peers, a.self.raft_id, clock_mono_ms(), &got, &age));
    assert_memory_equal(&got, &record, sizeof got);
    assert_true(peers_get_record(a.peers, a.self.raft_id, clock_mono_ms() + 500, &got, &age));
    assert_true(age >= 500);
    assert_true(peers_contact_ms(b.peers, a.self.raft_id) > 0);
}

static void test_answers_reach_a_server_that_is_not_configured(void **state)
{
    struct membership m;
    struct wire_msg result = {.kind = WIRE_APPEND_RESULT, .term = 3};
    uint8_t cluster[CLUSTER_ID_BYTES];
    (void)state;
    side_open(&a, "seq-0", 1, 7, 0);
    side_open(&b, "seq-1", 2, 0, 0); /* member of nothing yet */
    m = both();
    peers_sync(a.peers, &m);
    assert_true(run_until(&a.connected, 1, WAIT_MS));
    run_for(50);
    assert_true(peers_get_cluster_id(b.peers, a.self.raft_id, cluster));
    assert_int_equal(cluster[0], 7);
    peers_send(b.peers, a.self.raft_id, &result);
    assert_true(run_until(&a.received[WIRE_APPEND_RESULT], 1, WAIT_MS));
}

static void test_strangers_are_refused(void **state)
{
    struct membership m;
    (void)state;
    /* another cluster */
    side_open(&a, "seq-0", 1, 7, 0);
    side_open(&b, "seq-1", 2, 8, 0);
    m = both();
    peers_sync(a.peers, &m);
    run_for(200);
    assert_int_equal(a.connected, 0);
    side_close(&b);
    /* the right name with another storage: refused by the one that dials … */
    side_open(&b, "seq-1", 3, 7, 0);
    m.members[1].id = identity_raft_id("seq-1", (uint8_t[STORAGE_UUID_BYTES]){2});
    identity_format_address("seq-1", b.host_port, m.members[1].address, MEMBER_ADDRESS_SIZE);
    peers_sync(a.peers, &m);
    run_for(200);
    assert_int_equal(a.connected, 0);
    /* … and by the one that is dialed */
    struct membership real = both();
    peers_sync(b.peers, &real);
    run_for(200);
    assert_int_equal(b.connected, 0);
    assert_int_equal(a.gone + b.gone, 0);
}

/* Storage 9 took the place of seq-0's storage 1, which the other has not heard yet: it may be the leader who would
 * tell. */
static void test_a_member_that_was_added_again_is_let_in(void **state)
{
    struct membership old, now;
    (void)state;
    side_open(&a, "seq-0", 9, 7, 0);
    side_open(&b, "seq-1", 2, 7, 0);
    now = old = both();
    old.members[0].id = identity_raft_id("seq-0", (uint8_t[STORAGE_UUID_BYTES]){1});
    peers_sync(b.peers, &old);
    peers_sync(a.peers, &now); /* as old as the other's: no reason to believe it */
    run_for(200);
    assert_int_equal(a.connected, 0);
    now.index++;
    peers_sync(a.peers, &now);
    for (unsigned i = 0; i < WAIT_MS / 50 && !peers_is_connected(a.peers, b.self.raft_id); i++)
        run_for(50);
    assert_true(peers_is_connected(a.peers, b.self.raft_id));
    assert_int_equal(b.connected, 0); /* itself it goes by its own list */
    struct wire_msg result = {.kind = WIRE_APPEND_RESULT, .term = 3};
    peers_send(b.peers, a.self.raft_id, &result);
    assert_true(run_until(&a.received[WIRE_APPEND_RESULT], 1, WAIT_MS));
}

static void test_versions_are_told(void **state)
{
    (void)state;
    side_open(&a, "seq-0", 1, 7, 0);
    side_open(&b, "seq-1", 2, 7, 0);
    struct membership m = both();
    peers_sync(a.peers, &m);
    /* The one that was never connected counts as one of the first version. */
    assert_int_equal(peers_proposal_level(a.peers), 1);
    assert_string_equal(peers_version(a.peers, b.self.raft_id), "");
    assert_true(run_until(&a.connected, 1, WAIT_MS));
    assert_string_equal(peers_version(a.peers, b.self.raft_id), "v1.0.2");
    assert_string_equal(peers_version(a.peers, a.self.raft_id), "v1.0.1");
}

static void a_level_of(uint8_t ours, uint8_t theirs, uint32_t wanted)
{
    levels[0] = ours;
    levels[1] = theirs;
    side_open(&a, "seq-0", 1, 7, 0);
    side_open(&b, "seq-1", 2, 7, 0);
    struct membership m = both();
    peers_sync(a.peers, &m);
    assert_true(run_until(&a.connected, 1, WAIT_MS));
    assert_int_equal(peers_proposal_level(a.peers), wanted);
    side_close(&a);
    side_close(&b);
    levels[0] = levels[1] = 1;
}

static void test_the_lowest_level_counts(void **state)
{
    (void)state;
    a_level_of(2, 1, 1);
    a_level_of(1, 2, 1);
    a_level_of(3, 2, 2);
    side_open(&a, "seq-0", 1, 7, 0);
    side_open(&b, "seq-1", 2, 7, 0);
}

static void test_gone_and_back(void **state)
{
    uint16_t port;
    (void)state;
    connect_both();
    run_for(50);
    port = port_of(&b);
    uint64_t start = clock_mono_ms();
    side_close(&b);
    assert_true(run_until(&a.gone, 1, WAIT_MS));
    printf("peer gone after %llu ms\n", (unsigned long long)(clock_mono_ms() - start));
    unsigned before = a.connected;
    side_open(&b, "seq-1", 2, 7, port);
    struct membership m = both();
    peers_sync(b.peers, &m);
    assert_true(run_until(&a.connected, before + 1, WAIT_MS));
    /* gone and back before anybody could see it missing: told by its being another process */
    run_for(100);
    unsigned gone = a.gone;
    before = a.connected;
    side_close(&b);
    side_open(&b, "seq-1", 2, 7, port);
    assert_true(run_until(&a.connected, before + 1, WAIT_MS));
    assert_true(run_until(&a.gone, gone + 1, WAIT_MS));
    /* cut off, but the same process: not gone */
    run_for(100);
    gone = a.gone;
    before = a.connected;
    uint64_t nonce = b.self.process_nonce;
    side_close(&b);
    starts = nonce - 1;
    side_open(&b, "seq-1", 2, 7, port);
    assert_true(run_until(&a.connected, before + 1, WAIT_MS));
    run_for(100);
    assert_int_equal(a.gone, gone);
}

static unsigned probe_answers;
static int probe_rc;
static struct frame_hello probe_hello;
static char probe_text[TEXT_SIZE];

static void on_probe(void *ctx, int rc, const struct frame_hello *hello, const char *text)
{
    (void)ctx;
    probe_answers++;
    probe_rc = rc;
    if (hello)
        probe_hello = *hello;
    snprintf(probe_text, sizeof probe_text, "%s", text);
}

static void probe(const char *host_port, unsigned timeout_ms)
{
    unsigned before = probe_answers;
    assert_non_null(peer_probe_start(a.peers, host_port, timeout_ms, on_probe, NULL));
    assert_true(run_until(&probe_answers, before + 1, WAIT_MS));
}

static void test_probe(void **state)
{
    (void)state;
    side_open(&a, "seq-0", 1, 7, 0);
    side_open(&b, "seq-1", 2, 0, 0);
    probe(b.host_port, WAIT_MS);
    assert_int_equal(probe_rc, 0);
    assert_string_equal(probe_hello.name, "seq-1");
    assert_int_equal(probe_hello.raft_id, b.self.raft_id);
    probe(a.host_port, WAIT_MS); /* itself answers, too */
    assert_int_equal(probe_hello.raft_id, a.self.raft_id);
    probe("nonsense", WAIT_MS);
    assert_string_equal(probe_text, "dial tcp: address nonsense: missing port in address");
    probe("no-such-host.invalid:1", WAIT_MS);
    assert_string_equal(probe_text, "dial tcp: lookup no-such-host.invalid: no such host");
    /* somebody who accepts and says nothing */
    struct sockaddr_in addr = {.sin_family = AF_INET, .sin_addr = {.s_addr = htonl(INADDR_LOOPBACK)}};
    socklen_t len = sizeof addr;
    char mute[64];
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    assert_int_equal(bind(fd, (struct sockaddr *)&addr, sizeof addr), 0);
    assert_int_equal(getsockname(fd, (struct sockaddr *)&addr, &len), 0);
    snprintf(mute, sizeof mute, "127.0.0.1:%u", ntohs(addr.sin_port));
    assert_int_equal(listen(fd, 1), 0);
    probe(mute, 100);
    assert_int_equal(probe_rc, OC_EDEADLINE);
    close(fd);
    probe(mute, WAIT_MS);
    assert_non_null(strstr(probe_text, "connect: connection refused"));
    /* nobody listens yet: it is tried again */
    fd = socket(AF_INET, SOCK_STREAM, 0);
    addr.sin_port = 0;
    assert_int_equal(bind(fd, (struct sockaddr *)&addr, sizeof addr), 0);
    assert_int_equal(getsockname(fd, (struct sockaddr *)&addr, &len), 0);
    snprintf(mute, sizeof mute, "127.0.0.1:%u", ntohs(addr.sin_port));
    unsigned answers = probe_answers;
    assert_non_null(peer_probe_start(a.peers, mute, 600, on_probe, NULL));
    run_for(200);
    assert_int_equal(probe_answers, answers);
    assert_int_equal(listen(fd, 1), 0);
    assert_true(run_until(&probe_answers, answers + 1, WAIT_MS));
    assert_int_equal(probe_rc, OC_EDEADLINE);
    close(fd);
    /* cancelled: no answer */
    unsigned before = probe_answers;
    peer_probe_cancel(peer_probe_start(a.peers, b.host_port, WAIT_MS, on_probe, NULL));
    run_for(100);
    assert_int_equal(probe_answers, before);
}

/* Noise on the port costs a connection and nothing else. */
static void test_noise_is_survived(void **state)
{
    uint32_t seed = 12345;
    (void)state;
    connect_both();
    for (unsigned round = 0; round < 200; round++) {
        struct sockaddr_in addr = {
            .sin_family = AF_INET, .sin_port = htons(port_of(&b)), .sin_addr = {.s_addr = htonl(INADDR_LOOPBACK)}};
        static struct frame_out out;
        uint8_t noise[600];
        size_t len = 1 + (seed >> 8) % sizeof noise;
        int fd = socket(AF_INET, SOCK_STREAM, 0);
        assert_int_equal(connect(fd, (struct sockaddr *)&addr, sizeof addr), 0);
        if (round % 2) { /* a good hello of nobody known, then noise */
            struct frame_hello h = a.self;
            h.purpose = 1 + round % 3;
            snprintf(h.name, sizeof h.name, "stranger-%u", round);
            h.raft_id = identity_raft_id(h.name, h.storage_uuid);
            frame_put_hello(&out, &h);
            assert_int_equal(write(fd, out.header, FRAME_HEADER_BYTES), FRAME_HEADER_BYTES);
            assert_int_equal(write(fd, out.small, out.payload_len), (ssize_t)out.payload_len);
        }
        for (size_t i = 0; i < len; i++)
            noise[i] = (uint8_t)((seed = seed * 1103515245 + 12345) >> 16);
        (void)!write(fd, noise, len);
        run_for(1);
        close(fd);
    }
    struct wire_msg vote = {.kind = WIRE_REQUEST_VOTE, .term = 3};
    unsigned before = b.received[WIRE_REQUEST_VOTE];
    run_for(100);
    peers_send(a.peers, b.self.raft_id, &vote);
    assert_true(run_until(&b.received[WIRE_REQUEST_VOTE], before + 1, WAIT_MS));
}

int main(void)
{
    (void)signal(SIGPIPE, SIG_IGN); /* as every worker does */
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_messages_arrive, setup, teardown),
        cmocka_unit_test_setup_teardown(test_heartbeats_overtake_payloads, setup, teardown),
        cmocka_unit_test_setup_teardown(test_snapshot_travels_in_pieces, setup, teardown),
        cmocka_unit_test_setup_teardown(test_records_are_exchanged, setup, teardown),
        cmocka_unit_test_setup_teardown(test_a_member_that_was_added_again_is_let_in, setup, teardown),
        cmocka_unit_test_setup_teardown(test_versions_are_told, setup, teardown),
        cmocka_unit_test_setup_teardown(test_the_lowest_level_counts, setup, teardown),
        cmocka_unit_test_setup_teardown(test_answers_reach_a_server_that_is_not_configured, setup, teardown),
        cmocka_unit_test_setup_teardown(test_strangers_are_refused, setup, teardown),
        cmocka_unit_test_setup_teardown(test_gone_and_back, setup, teardown),
        cmocka_unit_test_setup_teardown(test_probe, setup, teardown),
        cmocka_unit_test_setup_teardown(test_noise_is_survived, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
