/* Channels: every rule of the catalogue broken once from the other end, queueing, and the end. */
#include "testing.h"

#include "shared/base/err.h"
#include "shared/base/fd.h"
#include "shared/base/log.h"
#include "shared/ipc/chan.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdalign.h>
#include <stdbool.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <unistd.h>

/* A channel of a worker (or the supervisor) whose other end the test writes and reads by hand. */
struct fixture {
    struct chan *c;
    int raw;
    unsigned handled;
    struct chan_msg last;
    unsigned char last_body[MSG_BODY_MAX_BYTES];
    int answer;   /* of the handler */
    bool take_fd; /* the handler keeps the fd, in taken */
    int taken;
    bool auto_phase;          /* START moves the phase, as a worker does */
    uint64_t next_request_id; /* when not 0: each message must have this, ascending */
};

static void open_fixture(struct fixture *f, enum proc_role self, enum proc_role peer, size_t cap)
{
    int fds[2];

    memset(f, 0, sizeof *f);
    f->taken = -1;
    assert_int_equal(fd_make_socketpair(fds), 0);
    f->raw = fds[1];
    f->c = chan_open(fds[0], self, 5, peer, cap);
    assert_non_null(f->c);
}

static void close_fixture(struct fixture *f)
{
    chan_close(f->c);
    fd_close(&f->raw);
    fd_close(&f->taken);
}

static int on_message(void *ctx, struct chan_msg *msg)
{
    struct fixture *f = ctx;

    f->handled++;
    f->last = *msg;
    memcpy(f->last_body, msg->body, msg->body_len);
    if (f->take_fd) {
        fd_close(&f->taken);
        f->taken = msg->fd;
        msg->fd = -1;
    }
    if (f->auto_phase && msg->type == MSG_START)
        chan_set_phase(f->c, PHASE_STARTING);
    if (f->next_request_id != 0)
        assert_int_equal(msg->request_id, f->next_request_id++);
    return f->answer;
}

static void send_raw(int fd, const void *header, size_t header_len, size_t body_len, size_t n_fds)
{
    static unsigned char body[MSG_BODY_MAX_BYTES + 64];
    struct iovec iov[2] = {{(void *)(uintptr_t)header, header_len}, {body, body_len}};
    alignas(struct cmsghdr) char control[CMSG_SPACE(8 * sizeof(int))] = {0};
    struct msghdr msg = {.msg_iov = iov, .msg_iovlen = 2};

    if (n_fds > 0) {
        struct cmsghdr *cm;
        msg.msg_control = control;
        msg.msg_controllen = CMSG_SPACE(n_fds * sizeof(int));
        cm = CMSG_FIRSTHDR(&msg);
        cm->cmsg_level = SOL_SOCKET;
        cm->cmsg_type = SCM_RIGHTS;
        cm->cmsg_len = CMSG_LEN(n_fds * sizeof(int));
        for (size_t i = 0; i < n_fds; i++) {
            const int in = STDIN_FILENO;
            memcpy(CMSG_DATA(cm) + i * sizeof in, &in, sizeof in);
        }
    }
    assert_int_equal(sendmsg(fd, &msg, MSG_NOSIGNAL), (ssize_t)(header_len + body_len));
}

static void send_msg(int fd, unsigned type, uint64_t request_id, size_t n_fds)
{
    const struct msg_spec *spec = msg_spec_get(type);
    const struct msg_header header = {
        .body_bytes = (uint32_t)spec->body_bytes, .type = type, .request_id = request_id, .incarnation = 3};

    send_raw(fd, &header, sizeof header, spec->body_bytes, n_fds);
}

static int step(struct fixture *f)
{
    return chan_step(f->c, on_message, f);
}

/* What the supervisor, or rpcd, may and may not say to consensus. */
static void every_rule_is_enforced(void **state)
{
    static const struct {
        const char *what;
        enum proc_role peer;
        enum msg_phase phase;
        unsigned type;
        unsigned n_fds;
        int want;
    } cases[] = {
        {"legal", ROLE_SUPERVISOR, PHASE_HANDSHAKE, MSG_START, 0, 0},
        {"legal in two phases", ROLE_SUPERVISOR, PHASE_STARTING, MSG_PING, 0, 0},
        {"legal in two phases", ROLE_SUPERVISOR, PHASE_RUNNING, MSG_PING, 0, 0},
        {"with its fd", ROLE_SUPERVISOR, PHASE_STARTING, MSG_PEER_UP, 1, 0},
        {"fd is optional", ROLE_RPCD, PHASE_RUNNING, MSG_COMMIT, 0, 0},
        {"fd is optional", ROLE_RPCD, PHASE_RUNNING, MSG_COMMIT, 1, 0},
        {"type 0", ROLE_SUPERVISOR, PHASE_RUNNING, MSG_INVALID, 0, OC_EPROTO},
        {"beyond the catalogue", ROLE_SUPERVISOR, PHASE_RUNNING, MSG_COUNT, 0, OC_EPROTO},
        {"far beyond", ROLE_SUPERVISOR, PHASE_RUNNING, UINT32_MAX, 0, OC_EPROTO},
        {"too early", ROLE_SUPERVISOR, PHASE_HANDSHAKE, MSG_PING, 0, OC_EPROTO},
        {"too early", ROLE_SUPERVISOR, PHASE_STARTING, MSG_TRANSFER, 0, OC_EPROTO},
        {"too late", ROLE_SUPERVISOR, PHASE_RUNNING, MSG_START, 0, OC_EPROTO},
        {"a worker's word", ROLE_SUPERVISOR, PHASE_STARTING, MSG_PONG, 0, OC_EPROTO},
        {"our own word", ROLE_SUPERVISOR, PHASE_RUNNING, MSG_LEADERSHIP, 0, OC_EPROTO},
        {"another worker's", ROLE_SUPERVISOR, PHASE_STARTING, MSG_LISTENER, 1, OC_EPROTO},
        {"rpcd's word from the supervisor", ROLE_SUPERVISOR, PHASE_RUNNING, MSG_RING, 1, OC_EPROTO},
        {"the supervisor's word from rpcd", ROLE_RPCD, PHASE_RUNNING, MSG_TRANSFER, 0, OC_EPROTO},
        {"without its fd", ROLE_SUPERVISOR, PHASE_STARTING, MSG_PEER_UP, 0, OC_EPROTO},
        {"with an fd", ROLE_SUPERVISOR, PHASE_RUNNING, MSG_PING, 1, OC_EPROTO},
        {"with two", ROLE_SUPERVISOR, PHASE_RUNNING, MSG_PEER_UP, 2, OC_EPROTO},
        {"with two where one is optional", ROLE_RPCD, PHASE_RUNNING, MSG_COMMIT, 2, OC_EPROTO},
        {"with many where one is optional", ROLE_RPCD, PHASE_RUNNING, MSG_COMMIT, 8, OC_EPROTO},
        {"with more than is looked at", ROLE_SUPERVISOR, PHASE_RUNNING, MSG_PEER_UP, 8, OC_EPROTO},
    };

    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        const struct msg_spec *spec = msg_spec_get(cases[i].type);
        const struct msg_header header = {
            .body_bytes = spec ? (uint32_t)spec->body_bytes : 8, .type = cases[i].type, .incarnation = 3};
        struct fixture f;
        int before = count_open_fds();

        open_fixture(&f, ROLE_CONSENSUS, cases[i].peer, 4096);
        chan_set_phase(f.c, cases[i].phase);
        send_raw(f.raw, &header, sizeof header, header.body_bytes, cases[i].n_fds);
        if (step(&f) != cases[i].want)
            fail_msg("%s: %s", cases[i].what, spec ? spec->name : "?");
        assert_int_equal(f.handled, cases[i].want == 0);
        if (cases[i].want != 0) {
            /* The channel is dead, whatever follows. */
            chan_set_phase(f.c, PHASE_RUNNING);
            send_msg(f.raw, MSG_PING, 0, 0);
            assert_int_equal(step(&f), OC_EPROTO);
            assert_int_equal(f.handled, 0);
        }
        close_fixture(&f);
        assert_int_equal(count_open_fds(), before);
    }
}

static void sizes_are_exact(void **state)
{
    const size_t ping = sizeof(struct msg_ping);
    const struct {
        size_t header_len, says, has;
        int want;
    } cases[] = {
        {sizeof(struct msg_header), ping, ping, 0},
        {sizeof(struct msg_header), ping + 8, ping + 8, OC_EPROTO},
        {sizeof(struct msg_header), ping - 8, ping - 8, OC_EPROTO},
        {sizeof(struct msg_header), 0, 0, OC_EPROTO},
        {sizeof(struct msg_header), ping, ping - 1, OC_EPROTO},
        {sizeof(struct msg_header), ping, ping + 1, OC_EPROTO},
        {sizeof(struct msg_header), UINT32_MAX, ping, OC_EPROTO},
        {sizeof(struct msg_header), MSG_BODY_MAX_BYTES, MSG_BODY_MAX_BYTES, OC_EPROTO},
        {sizeof(struct msg_header), MSG_BODY_MAX_BYTES, MSG_BODY_MAX_BYTES + 1, OC_EPROTO},
        {sizeof(struct msg_header) - 1, 0, 0, OC_EPROTO},
        {1, 0, 0, OC_EPROTO},
    };

    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        const struct msg_header header = {.body_bytes = (uint32_t)cases[i].says, .type = MSG_PING};
        struct fixture f;

        open_fixture(&f, ROLE_HEALTHD, ROLE_SUPERVISOR, 4096);
        chan_set_phase(f.c, PHASE_RUNNING);
        send_raw(f.raw, &header, cases[i].header_len, cases[i].has, 0);
        assert_int_equal(step(&f), cases[i].want);
        close_fixture(&f);
    }
}

static void what_arrives_is_what_was_sent(void **state)
{
    const struct msg_ping ping = {.sequence = 11, .sent_mono_ns = 12};
    const struct msg_peer peer = {.role = ROLE_RPCD, .incarnation = 4};
    struct fixture f;
    struct chan *sup;
    int pipe_fds[2], raw;
    char byte = 0;

    (void)state;
    open_fixture(&f, ROLE_CONSENSUS, ROLE_SUPERVISOR, 4096);
    raw = fcntl(f.raw, F_DUPFD_CLOEXEC, 3);
    sup = chan_open(raw, ROLE_SUPERVISOR, 9, ROLE_CONSENSUS, 4096);
    assert_non_null(sup);
    assert_int_equal(chan_fd(sup), raw);
    assert_int_equal(chan_peer(sup), ROLE_CONSENSUS);
    chan_set_phase(sup, PHASE_STARTING);
    chan_set_phase(f.c, PHASE_STARTING);

    assert_int_equal(chan_next_request_id(sup), 1);
    assert_int_equal(chan_next_request_id(sup), 2);
    assert_int_equal(chan_send(sup, MSG_PING, 77, &ping, -1), 0);
    assert_int_equal(step(&f), 0);
    assert_int_equal(f.handled, 1);
    assert_int_equal(f.last.type, MSG_PING);
    assert_int_equal(f.last.request_id, 77);
    assert_int_equal(f.last.incarnation, 9);
    assert_int_equal(f.last.body_len, sizeof ping);
    assert_int_equal(f.last.fd, -1);
    assert_int_equal((uintptr_t)f.last.body % 16, 0);
    assert_memory_equal(f.last_body, &ping, sizeof ping);

    /* The fd that comes out is the one that went in, and close-on-exec. */
    assert_int_equal(pipe(pipe_fds), 0);
    f.take_fd = true;
    assert_int_equal(chan_send(sup, MSG_PEER_UP, 0, &peer, pipe_fds[1]), 0);
    fd_close(&pipe_fds[1]);
    assert_int_equal(step(&f), 0);
    assert_true(f.taken >= 0);
    assert_true(fcntl(f.taken, F_GETFD) & FD_CLOEXEC);
    assert_int_equal(write(f.taken, "y", 1), 1);
    assert_int_equal(read(pipe_fds[0], &byte, 1), 1);
    assert_int_equal(byte, 'y');
    fd_close(&pipe_fds[0]);
    chan_close(sup);
    close_fixture(&f);
}

static void untaken_fds_are_closed(void **state)
{
    struct fixture f;
    int before = count_open_fds();

    (void)state;
    open_fixture(&f, ROLE_CONSENSUS, ROLE_SUPERVISOR, 4096);
    chan_set_phase(f.c, PHASE_RUNNING);
    for (int i = 0; i < 20; i++)
        send_msg(f.raw, MSG_PEER_UP, 0, 1);
    f.answer = 0;
    assert_int_equal(step(&f), 0);
    assert_int_equal(f.handled, 20);
    assert_int_equal(count_open_fds(), before + 2);
    close_fixture(&f);
    assert_int_equal(count_open_fds(), before);
}

static void a_channel_starts_in_the_right_phase(void **state)
{
    static const struct {
        enum proc_role self, peer;
        unsigned type;
        int want;
    } cases[] = {
        {ROLE_RPCD, ROLE_SUPERVISOR, MSG_START, 0},
        {ROLE_SUPERVISOR, ROLE_RPCD, MSG_ADMIN, OC_EPROTO},
        {ROLE_CONSENSUS, ROLE_RPCD, MSG_PAYLOAD_GET, 0},
        {ROLE_RPCD, ROLE_CONSENSUS, MSG_COMMIT_RESULT, 0},
    };

    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct fixture f;
        open_fixture(&f, cases[i].self, cases[i].peer, 4096);
        send_msg(f.raw, cases[i].type, 0, 0);
        assert_int_equal(step(&f), cases[i].want);
        close_fixture(&f);
    }
}

/* START and what follows it may come in one batch: the phase moves in between. */
static void the_phase_moves_within_a_batch(void **state)
{
    struct fixture f;

    (void)state;
    open_fixture(&f, ROLE_RPCD, ROLE_SUPERVISOR, 4096);
    f.auto_phase = true;
    send_msg(f.raw, MSG_START, 0, 0);
    send_msg(f.raw, MSG_PAGE, 0, 1);
    send_msg(f.raw, MSG_LISTENER, 0, 1);
    assert_int_equal(step(&f), 0);
    assert_int_equal(f.handled, 3);
    send_msg(f.raw, MSG_START, 0, 0);
    assert_int_equal(step(&f), OC_EPROTO);
    close_fixture(&f);
}

static void illegal_sends_are_refused_and_harmless(void **state)
{
    const union {
        unsigned char bytes[MSG_BODY_MAX_BYTES];
        uint64_t align;
    } body = {{0}};
    static const struct {
        unsigned type;
        bool with_fd;
        int want;
    } cases[] = {
        {MSG_INVALID, false, OC_EPROTO},    {MSG_COUNT, false, OC_EPROTO}, {MSG_PING, false, OC_EPROTO},
        {MSG_HELLO, true, OC_EPROTO},       {MSG_HEALTH, false, 0},        {MSG_HEALTH, true, OC_EPROTO},
        {MSG_LEADERSHIP, false, OC_EPROTO}, {MSG_PONG, false, 0},
    };
    struct fixture f;
    char raw[1024];
    unsigned arrived = 0;

    (void)state;
    open_fixture(&f, ROLE_HEALTHD, ROLE_SUPERVISOR, 4096);
    assert_int_equal(chan_send(f.c, MSG_HELLO, 0, &body, -1), OC_EPROTO); /* lacks its fd */
    chan_set_phase(f.c, PHASE_RUNNING);
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++)
        assert_int_equal(chan_send(f.c, (enum msg_type)cases[i].type, 0, &body, cases[i].with_fd ? 0 : -1),
                         cases[i].want);
    while (read(f.raw, raw, sizeof raw) > 0)
        arrived++;
    assert_int_equal(arrived, 2);
    send_msg(f.raw, MSG_PING, 0, 0);
    assert_int_equal(step(&f), 0);
    close_fixture(&f);
}

/* Fills the socket and then the queue, to the last byte of its cap; then all of it arrives in order. */
static void the_queue_is_capped_and_keeps_order(void **state)
{
    (void)state;
    for (int with_fd = 0; with_fd < 2; with_fd++) {
        const struct msg_peer body = {.role = ROLE_RPCD};
        const enum msg_type type = with_fd ? MSG_PEER_UP : MSG_PEER_DOWN;
        const size_t cost = sizeof(struct msg_header) + sizeof body + (with_fd ? CHAN_QUEUED_FD_BYTES : 0);
        const size_t queue_len = 10;
        struct fixture f;
        struct chan *sup;
        int raw, rc, before = count_open_fds();
        uint64_t sent = 0, queued = 0;

        open_fixture(&f, ROLE_CONSENSUS, ROLE_SUPERVISOR, 4096);
        raw = f.raw;
        f.raw = -1;
        sup = chan_open(raw, ROLE_SUPERVISOR, 1, ROLE_CONSENSUS, queue_len * cost + cost - 1);
        chan_set_phase(sup, PHASE_RUNNING);
        chan_set_phase(f.c, PHASE_RUNNING);
        f.next_request_id = 1;

        while ((rc = chan_send(sup, type, sent + 1, &body, with_fd ? STDIN_FILENO : -1)) == 0) {
            sent++;
            queued += chan_want(sup) & POLLOUT ? 1 : 0;
            assert_true(sent < 100000);
        }
        assert_int_equal(rc, OC_EFULL);
        assert_int_equal(queued, queue_len);
        assert_int_equal(count_open_fds(), before + 2 + (with_fd ? (int)queue_len : 0));

        /* There is room in the socket again, but what is queued goes first. */
        assert_int_equal(step(&f), 0);
        assert_int_equal(chan_send(sup, type, sent + 1, &body, with_fd ? STDIN_FILENO : -1), OC_EFULL);
        for (int round = 0; round < 100000 && f.handled < sent; round++) {
            assert_int_equal(step(&f), 0);
            assert_int_equal(chan_step(sup, on_message, &f), 0);
        }
        assert_int_equal(f.handled, sent);
        assert_int_equal(chan_want(sup), POLLIN);
        assert_int_equal(chan_send(sup, type, sent + 1, &body, with_fd ? STDIN_FILENO : -1), 0);
        assert_int_equal(chan_want(sup), POLLIN);
        chan_close(sup);
        close_fixture(&f);
        assert_int_equal(count_open_fds(), before);
    }
}

static void closing_closes_queued_fds(void **state)
{
    const struct msg_peer body = {.role = ROLE_RPCD};
    struct fixture f;
    int before = count_open_fds();

    (void)state;
    open_fixture(&f, ROLE_SUPERVISOR, ROLE_CONSENSUS, 1 << 20);
    chan_set_phase(f.c, PHASE_RUNNING);
    while (!(chan_want(f.c) & POLLOUT))
        assert_int_equal(chan_send(f.c, MSG_PEER_UP, 0, &body, STDIN_FILENO), 0);
    for (int i = 0; i < 10; i++)
        assert_int_equal(chan_send(f.c, MSG_PEER_UP, 0, &body, STDIN_FILENO), 0);
    assert_int_equal(count_open_fds(), before + 2 + 11);
    close_fixture(&f);
    assert_int_equal(count_open_fds(), before);
    chan_close(NULL);
}

static void a_step_handles_one_batch(void **state)
{
    struct fixture f;

    (void)state;
    open_fixture(&f, ROLE_HEALTHD, ROLE_SUPERVISOR, 4096);
    chan_set_phase(f.c, PHASE_RUNNING);
    for (int i = 0; i < CHAN_BATCH + 36; i++)
        send_msg(f.raw, MSG_PING, 0, 0);
    assert_int_equal(step(&f), 0);
    assert_int_equal(f.handled, CHAN_BATCH);
    assert_int_equal(step(&f), 0);
    assert_int_equal(f.handled, CHAN_BATCH + 36);
    assert_int_equal(step(&f), 0);
    assert_int_equal(f.handled, CHAN_BATCH + 36);
    close_fixture(&f);
}

static void the_handler_can_end_the_channel(void **state)
{
    struct fixture f;

    (void)state;
    open_fixture(&f, ROLE_HEALTHD, ROLE_SUPERVISOR, 4096);
    chan_set_phase(f.c, PHASE_RUNNING);
    send_msg(f.raw, MSG_PING, 0, 0);
    send_msg(f.raw, MSG_PING, 0, 0);
    f.answer = OC_EVERSION;
    assert_int_equal(step(&f), OC_EVERSION);
    assert_int_equal(f.handled, 1);
    close_fixture(&f);
}

/* The last words of a peer that died with unread messages of ours are heard, then the end. */
static void last_words_are_heard(void **state)
{
    const struct msg_ping ping = {0};
    struct fixture f;

    (void)state;
    open_fixture(&f, ROLE_HEALTHD, ROLE_SUPERVISOR, 4096);
    chan_set_phase(f.c, PHASE_RUNNING);
    assert_int_equal(chan_send(f.c, MSG_PONG, 0, &ping, -1), 0);
    for (int i = 0; i < 3; i++)
        send_msg(f.raw, MSG_PING, 0, 0);
    fd_close(&f.raw);
    assert_int_equal(step(&f), OC_ECLOSED);
    assert_int_equal(f.handled, 3);
    assert_int_equal(chan_send(f.c, MSG_PONG, 0, &ping, -1), OC_ECLOSED);
    assert_int_equal(step(&f), OC_ECLOSED);
    close_fixture(&f);
}

/* Sending finds the end first: what the peer had said is still read, and nothing stays queued. */
static void sending_to_the_dead_is_no_crash(void **state)
{
    const struct msg_ping ping = {0};
    struct fixture f;
    int rc = 0;

    (void)state;
    open_fixture(&f, ROLE_HEALTHD, ROLE_SUPERVISOR, 1 << 20);
    chan_set_phase(f.c, PHASE_RUNNING);
    while (!(chan_want(f.c) & POLLOUT))
        assert_int_equal(chan_send(f.c, MSG_PONG, 0, &ping, -1), 0);
    send_msg(f.raw, MSG_PING, 0, 0);
    fd_close(&f.raw);
    rc = step(&f);
    assert_int_equal(rc, OC_ECLOSED);
    assert_int_equal(f.handled, 1);
    assert_int_equal(chan_want(f.c), POLLIN);
    assert_int_equal(chan_send(f.c, MSG_PONG, 0, &ping, -1), OC_ECLOSED);
    close_fixture(&f);
}

static void no_line(void *ctx, const char *line, size_t len)
{
    (void)ctx;
    (void)line;
    (void)len;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_rule_is_enforced),
        cmocka_unit_test(sizes_are_exact),
        cmocka_unit_test(what_arrives_is_what_was_sent),
        cmocka_unit_test(untaken_fds_are_closed),
        cmocka_unit_test(a_channel_starts_in_the_right_phase),
        cmocka_unit_test(the_phase_moves_within_a_batch),
        cmocka_unit_test(illegal_sends_are_refused_and_harmless),
        cmocka_unit_test(the_queue_is_capped_and_keeps_order),
        cmocka_unit_test(closing_closes_queued_fds),
        cmocka_unit_test(a_step_handles_one_batch),
        cmocka_unit_test(the_handler_can_end_the_channel),
        cmocka_unit_test(last_words_are_heard),
        cmocka_unit_test(sending_to_the_dead_is_no_crash),
    };
    log_set_sink(no_line, NULL);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
