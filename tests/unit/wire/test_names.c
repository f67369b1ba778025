/* Members that are known by a host name, while names change or cannot be looked up. The name server is played here: the
 * linker takes this uv_getaddrinfo instead of libuv's.
 */
#include "consensus/peer.h"
#include "shared/base/clock.h"
#include "shared/base/log.h"

#include <dlfcn.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#define WAIT_MS 10000
#define NAME "member-of-this-test"

static uv_loop_t loop;
static const char *lives_at; /* what NAME is; NULL: the name server does not answer */
static uint64_t starts;

int uv_getaddrinfo(uv_loop_t *l, uv_getaddrinfo_t *req, uv_getaddrinfo_cb done, const char *node, const char *service,
                   const struct addrinfo *hints)
{
    static int (*real)(uv_loop_t *, uv_getaddrinfo_t *, uv_getaddrinfo_cb, const char *, const char *,
                       const struct addrinfo *);
    if (real == NULL) {
        void *found = dlsym(RTLD_NEXT, "uv_getaddrinfo");
        assert_non_null(found);
        memcpy(&real, &found, sizeof real);
    }
    if (node != NULL && strcmp(node, NAME) == 0) {
        if (lives_at == NULL)
            return UV_EAI_AGAIN;
        node = lives_at;
    }
    return real(l, req, done, node, service, hints);
}

struct side {
    struct peers *peers;
    struct frame_hello self;
    uint16_t port;
};

static struct side a, b, other;

static int on_receive(void *ctx, uint64_t from, struct wire_msg *msg)
{
    (void)ctx;
    (void)from;
    (void)msg;
    return 0;
}

static void on_news(void *ctx, uint64_t id)
{
    (void)ctx;
    (void)id;
}

static void side_open(struct side *s, const char *name, const char *host, uint16_t port)
{
    const struct peers_events events = {
        .receive = on_receive, .connected = on_news, .gone = on_news, .progress = on_news};
    char text[64];
    memset(s, 0, sizeof *s);
    snprintf(s->self.name, sizeof s->self.name, "%s", name);
    s->self.election_timeout_ms = 300;
    s->self.proposal_level = 1;
    s->self.process_nonce = ++starts;
    s->self.raft_id = identity_raft_id(name, s->self.storage_uuid);
    s->peers = peers_new(&loop, &s->self, &events);
    assert_non_null(s->peers);
    assert_int_equal(peers_listen(s->peers, host, port, &s->port, text, sizeof text), 0);
}

static void side_close(struct side *s)
{
    peers_free(s->peers);
    s->peers = NULL;
}

/* a knows b by its name and goes by that; b itself dials nobody. */
static void tell_a(void)
{
    struct membership m = {.index = 5, .count = 2};
    char host_port[SERVER_ADDR_SIZE];
    snprintf(host_port, sizeof host_port, NAME ":%u", (unsigned)b.port);
    m.members[0] = (struct member){.id = a.self.raft_id, .role = MEMBER_VOTER};
    m.members[1] = (struct member){.id = b.self.raft_id, .role = MEMBER_VOTER};
    snprintf(m.members[0].address, MEMBER_ADDRESS_SIZE, "%s@127.0.0.1:%u", a.self.name, (unsigned)a.port);
    snprintf(m.members[1].address, MEMBER_ADDRESS_SIZE, "%s@%s", b.self.name, host_port);
    peers_sync(a.peers, &m);
}

static bool becomes(bool is_connected, unsigned timeout_ms)
{
    uint64_t end = clock_mono_ms() + timeout_ms;
    while (peers_is_connected(a.peers, b.self.raft_id) != is_connected && clock_mono_ms() < end) {
        uv_run(&loop, UV_RUN_NOWAIT);
        usleep(200);
    }
    return peers_is_connected(a.peers, b.self.raft_id) == is_connected;
}

static int setup(void **state)
{
    (void)state;
    const struct log_options options = {.level = LOG_CRIT, .format = LOG_FMT_LOGFMT};
    log_init(&options);
    assert_int_equal(uv_loop_init(&loop), 0);
    lives_at = "127.0.0.1";
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    side_close(&a);
    side_close(&b);
    side_close(&other);
    uv_run(&loop, UV_RUN_DEFAULT);
    assert_int_equal(uv_loop_close(&loop), 0);
    return 0;
}

static void a_member_that_moved_is_looked_up_again(void **state)
{
    (void)state;
    side_open(&a, "a", "127.0.0.1", 0);
    side_open(&b, "b", "127.0.0.1", 0);
    tell_a();
    assert_true(becomes(true, WAIT_MS));
    uint16_t port = b.port;
    side_close(&b);
    side_open(&other, "other", "127.0.0.1", port); /* somebody else got its address */
    assert_true(becomes(false, WAIT_MS));
    assert_false(becomes(true, 300));
    side_open(&b, "b", "127.0.0.2", port);
    lives_at = "127.0.0.2";
    assert_true(becomes(true, WAIT_MS));
}

static void a_member_is_found_again_without_a_name_server(void **state)
{
    (void)state;
    side_open(&a, "a", "127.0.0.1", 0);
    side_open(&b, "b", "127.0.0.1", 0);
    tell_a();
    assert_true(becomes(true, WAIT_MS));
    uint16_t port = b.port;
    lives_at = NULL;
    for (unsigned i = 0; i < 2; i++) {
        side_close(&b);
        assert_true(becomes(false, WAIT_MS));
        assert_false(becomes(true, 300));
        side_open(&b, "b", "127.0.0.1", port);
        assert_true(becomes(true, WAIT_MS));
    }
}

int main(void)
{
    (void)signal(SIGPIPE, SIG_IGN); /* as every worker does */
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(a_member_that_moved_is_looked_up_again, setup, teardown),
        cmocka_unit_test_setup_teardown(a_member_is_found_again_without_a_name_server, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
