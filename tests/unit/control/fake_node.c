/* Fake workers around one conductor. */
#include "fake_node.h"

#include "shared/base/err.h"
#include "shared/base/log.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#define MS UINT64_C(1000000)

static int on_send(void *ctx, enum proc_role to, enum msg_type type, uint64_t request_id, const void *body, int fd)
{
    struct fake_node *f = ctx;
    const struct msg_spec *spec = msg_spec_get(type);
    struct fake_sent *s;

    /* What the real channel would refuse. */
    assert_non_null(spec);
    assert_true((spec->from_roles & ROLE_SUPERVISOR) != 0 && (spec->to_roles & to) != 0);
    if (f->down[to])
        return OC_ECLOSED;
    if (type == MSG_SELF_RECORD) {
        f->record = *(const struct msg_self_record *)body;
        f->records++;
        return 0;
    }
    assert_true(f->sent_count < FAKE_SENT_MAX);
    s = &f->sent[f->sent_count++];
    memset(s, 0, sizeof *s);
    s->to = to;
    s->type = type;
    s->request_id = request_id;
    s->fd_given = fd;
    assert_true(spec->body_bytes <= sizeof s->body);
    memcpy(&s->body, body, spec->body_bytes);
    return 0;
}

static int on_node_start(void *ctx)
{
    ((struct fake_node *)ctx)->node_starts++;
    return 0;
}

static int on_node_stop(void *ctx)
{
    ((struct fake_node *)ctx)->node_stops++;
    return 0;
}

static int on_node_restart(void *ctx)
{
    ((struct fake_node *)ctx)->node_restarts++;
    return 0;
}

static int on_worker_restart(void *ctx, enum proc_role role)
{
    (void)role;
    ((struct fake_node *)ctx)->worker_restarts++;
    return 0;
}

static void on_publish(void *ctx, const struct page_supervisor *page)
{
    struct fake_node *f = ctx;

    f->page = *page;
    f->publishes++;
}

static void on_stop_finished(void *ctx)
{
    ((struct fake_node *)ctx)->stop_finished++;
}

static uint64_t on_wall_ms(void *ctx)
{
    return ((struct fake_node *)ctx)->now_ns / MS + 1700000000000;
}

static void on_record(void *ctx, uint64_t now_ns, struct flight_record *record)
{
    struct fake_node *f = ctx;

    record->mono_ns = now_ns;
    f->story[f->story_count++ % FAKE_STORY_MAX] = *record;
}

void fake_open(struct fake_node *f, const char *id, bool managed)
{
    struct conductor_io io = {
        f,          on_send,          on_node_start, on_node_stop, on_node_restart, on_worker_restart,
        on_publish, on_stop_finished, on_wall_ms,    on_record};

    memset(f, 0, sizeof *f);
    log_set_level(LOG_LEVEL_COUNT);
    f->now_ns = 1000 * MS;
    snprintf(f->opts.server_id, sizeof f->opts.server_id, "%s", id);
    f->opts.health_interval_ms = 1000;
    f->opts.window_payloads = 64;
    f->argv[0] = (char *)"op-node";
    f->opts.node_argv = managed ? f->argv : NULL;
    for (size_t i = 0; i < sizeof f->down / sizeof f->down[0]; i++)
        f->down[i] = true;
    f->writer = page_create(ROLE_CONSENSUS, 1, sizeof f->consensus);
    assert_non_null(f->writer);
    f->reader = page_open(page_fd(f->writer), ROLE_CONSENSUS, sizeof f->consensus);
    assert_non_null(f->reader);
    f->c = conductor_new(&f->opts, &io, f->now_ns);
    assert_non_null(f->c);
    fake_add_server(f, id, READY_OK);
}

void fake_close(struct fake_node *f)
{
    conductor_free(f->c);
    page_close(f->reader);
    page_free(f->writer);
}

void fake_publish(struct fake_node *f)
{
    page_publish(f->writer, &f->consensus, f->now_ns);
}

void fake_worker(struct fake_node *f, enum proc_role role, bool up)
{
    f->down[role] = !up;
    if (role == ROLE_CONSENSUS)
        conductor_set_page(f->c, role, up ? f->reader : NULL);
    conductor_on_worker(f->c, f->now_ns, role, up);
}

void fake_workers_up(struct fake_node *f)
{
    fake_publish(f);
    fake_worker(f, ROLE_CONSENSUS, true);
    fake_worker(f, ROLE_HEALTHD, true);
    fake_worker(f, ROLE_RPCD, true);
    if (f->opts.node_argv != NULL)
        conductor_on_node(f->c, f->now_ns, true, 1);
}

void fake_run_ms(struct fake_node *f, uint64_t ms)
{
    uint64_t end = f->now_ns + ms * MS, turns = 0;

    for (;;) {
        uint64_t next = conductor_tick(f->c, f->now_ns);

        /* Always a deadline to come, and not a loop that spins. */
        assert_true(next > f->now_ns && next != UINT64_MAX);
        assert_true(++turns < 100 + ms);
        if (next >= end)
            break;
        f->now_ns = next;
    }
    f->now_ns = end;
    (void)conductor_tick(f->c, f->now_ns);
}

const struct flight_record *fake_told(const struct fake_node *f, enum flight_kind kind)
{
    for (size_t i = f->story_count; i > 0 && i + FAKE_STORY_MAX > f->story_count; i--) {
        if (f->story[(i - 1) % FAKE_STORY_MAX].kind == kind)
            return &f->story[(i - 1) % FAKE_STORY_MAX];
    }
    return NULL;
}

struct fake_sent fake_take(struct fake_node *f, enum msg_type type)
{
    for (size_t i = f->sent_count; i-- > 0;) {
        if (f->sent[i].type == type) {
            struct fake_sent s = f->sent[i];

            memmove(&f->sent[i], &f->sent[i + 1], (f->sent_count - i - 1) * sizeof s);
            f->sent_count--;
            return s;
        }
    }
    fail_msg("%s was not sent", msg_spec_get(type)->name);
    return f->sent[0];
}

void fake_expect_none(struct fake_node *f, enum msg_type type)
{
    for (size_t i = 0; i < f->sent_count; i++) {
        if (f->sent[i].type == type)
            fail_msg("%s was sent", msg_spec_get(type)->name);
    }
}

/* ---- what workers say ---- */

static void deliver(struct fake_node *f, enum proc_role from, enum msg_type type, uint64_t request_id, const void *body)
{
    struct chan_msg msg = {
        .type = type, .request_id = request_id, .body = body, .body_len = msg_spec_get(type)->body_bytes, .fd = -1};

    assert_int_equal(conductor_on_message(f->c, f->now_ns, from, &msg), 0);
}

struct page_server *fake_add_server(struct fake_node *f, const char *id, enum ready_reason reason)
{
    struct page_server *s = &f->consensus.servers[f->consensus.server_count++];

    snprintf(s->id, sizeof s->id, "%s", id);
    snprintf(s->addr, sizeof s->addr, "%s:50050", id);
    s->record.reason = reason;
    fake_publish(f);
    return s;
}

void fake_set_head(struct fake_node *f, uint64_t number)
{
    f->consensus.head_valid = 1;
    f->consensus.head.number = number;
    memset(f->consensus.head.hash, (int)(number & 0xff), HASH_SIZE);
    fake_publish(f);
}

void fake_leadership(struct fake_node *f, uint64_t term, bool ready, const char *leader_id)
{
    struct msg_leadership m = {.state = ready ? RAFT_ROLE_LEADER : RAFT_ROLE_FOLLOWER,
                               .leader_ready = ready,
                               .term = term,
                               .head_valid = (uint32_t)f->consensus.head_valid,
                               .head = f->consensus.head};

    snprintf(m.leader_id, sizeof m.leader_id, "%s", leader_id);
    deliver(f, ROLE_CONSENSUS, MSG_LEADERSHIP, 0, &m);
}

void fake_health(struct fake_node *f, bool healthy, enum node_tristate active)
{
    struct msg_health m = {.healthy = healthy,
                           .reason = healthy ? HEALTH_OK : HEALTH_PEERS,
                           .node_reachable = 1,
                           .conductor_enabled = NODE_YES,
                           .sequencer_active = active,
                           .el_syncing = NODE_NO,
                           .node_incarnation = f->opts.node_argv != NULL,
                           .is_full_check = 1,
                           .checked_mono_ns = f->now_ns,
                           .unsafe_head = f->consensus.head};

    deliver(f, ROLE_HEALTHD, MSG_HEALTH, 0, &m);
}

void fake_heads(struct fake_node *f, uint64_t unsafe_number, uint64_t el_number, enum node_tristate active)
{
    struct msg_health m = {.healthy = 1,
                           .node_reachable = 1,
                           .conductor_enabled = NODE_YES,
                           .sequencer_active = active,
                           .el_syncing = NODE_NO,
                           .node_incarnation = f->opts.node_argv != NULL,
                           .is_full_check = 1,
                           .checked_mono_ns = f->now_ns,
                           .unsafe_head = {.number = unsafe_number},
                           .el_head = {.number = el_number}};

    memset(m.unsafe_head.hash, (int)(unsafe_number & 0xff), HASH_SIZE);
    memset(m.el_head.hash, (int)(el_number & 0xff), HASH_SIZE);
    deliver(f, ROLE_HEALTHD, MSG_HEALTH, 0, &m);
}

void fake_conflict(struct fake_node *f, uint64_t from_number, bool is_ahead)
{
    struct msg_head_event m = {.term = f->consensus.term,
                               .from_number = from_number,
                               .kind = is_ahead ? HEAD_AHEAD : HEAD_LEFT,
                               .head = f->consensus.head};

    deliver(f, ROLE_CONSENSUS, MSG_HEAD_EVENT, 0, &m);
}

void fake_lag(struct fake_node *f)
{
    struct msg_health m = {.reason = HEALTH_UNSAFE_LAG,
                           .node_reachable = 1,
                           .conductor_enabled = NODE_YES,
                           .sequencer_active = NODE_NO,
                           .el_syncing = NODE_NO,
                           .node_incarnation = f->opts.node_argv != NULL,
                           .is_full_check = 1,
                           .checked_mono_ns = f->now_ns,
                           .unsafe_head = f->consensus.head};

    deliver(f, ROLE_HEALTHD, MSG_HEALTH, 0, &m);
}

void fake_export_result(struct fake_node *f, uint64_t request_id, int rc)
{
    struct msg_export_result m = {.rc = rc,
                                  .head_valid = (uint32_t)f->consensus.head_valid,
                                  .term = f->consensus.term,
                                  .head = f->consensus.head};

    deliver(f, ROLE_CONSENSUS, MSG_EXPORT_RESULT, request_id, &m);
}

void fake_node_result(struct fake_node *f, const struct fake_sent *cmd, enum node_rc rc, enum node_tristate active)
{
    struct msg_node_result m = {
        .verb = cmd->body.node_cmd.verb, .rc = rc, .sequencer_active = active, .head = cmd->body.node_cmd.head};

    deliver(f, ROLE_HEALTHD, MSG_NODE_RESULT, cmd->request_id, &m);
}

void fake_transfer_result(struct fake_node *f, uint64_t request_id, int rc)
{
    struct msg_transfer_result m = {.rc = rc};

    deliver(f, ROLE_CONSENSUS, MSG_TRANSFER_RESULT, request_id, &m);
}

void fake_admin(struct fake_node *f, uint64_t request_id, enum admin_verb verb, const char *id)
{
    struct msg_admin m = {.verb = verb};

    snprintf(m.id, sizeof m.id, "%s", id);
    deliver(f, ROLE_RPCD, MSG_ADMIN, request_id, &m);
}

void fake_become_sequencing_leader(struct fake_node *f)
{
    struct fake_sent s;

    fake_health(f, true, NODE_NO);
    fake_set_head(f, 10);
    f->consensus.term = 1;
    fake_leadership(f, 1, true, f->opts.server_id);
    s = fake_take(f, MSG_EXPORT);
    fake_expect_none(f, MSG_NODE_CMD);
    fake_export_result(f, s.request_id, 0);
    s = fake_take(f, MSG_NODE_CMD);
    assert_int_equal(s.body.node_cmd.verb, NODE_CMD_TAKEOVER);
    assert_int_equal(s.body.node_cmd.head.number, 10);
    fake_expect_none(f, MSG_PERMIT);
    fake_node_result(f, &s, NODE_OK, NODE_YES);
    s = fake_take(f, MSG_PERMIT);
    assert_int_equal(s.body.permit.verb, PERMIT_GRANTED);
    assert_int_equal(s.body.permit.term, 1);
    assert_int_equal(s.body.permit.head.number, 10);
    assert_int_equal(f->page.active, NODE_YES);
    assert_int_equal(f->page.leader, 1);
    f->sent_count = 0;
}
