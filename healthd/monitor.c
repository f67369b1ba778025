/* The schedule of checks, and their result as msg_health. */
#include "healthd/monitor.h"

#include "shared/base/clock.h"
#include "shared/base/log.h"
#include "shared/proto/health_text.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define MS_NS UINT64_C(1000000)
#define PROBE_TIMEOUT_MS 1000
#define EL_SILENT_CHECKS 2

struct monitor {
    struct probe *probe;
    const struct config_healthd *config;
    struct check_limits limits;
    struct boost_tolerance tolerance;
    monitor_health_fn health;
    void *ctx;
    struct page_health page;

    struct round *round; /* under way */
    bool node_down;      /* the managed op-node is known to be gone */
    bool has_answered;   /* op-node a command, since the round began */
    bool clock_distrusted;
    bool el_seen;              /* the execution client answered once */
    unsigned el_silent_checks; /* in a row */
    bool light_wanted;
    bool full_wanted;
    uint64_t next_full_ns, next_light_ns, next_probe_ns;
    uint64_t fast_until_ns; /* probing fast */
    uint64_t next_loss_ns;  /* until then no lost connection brings a check forward */
    uint64_t checks_started, checks_done;
    uint64_t head_moved_ns;     /* when the unsafe head was last seen to change */
    unsigned active_generation; /* grows when a command changes the sequencer's state */
    unsigned round_generation;  /* at the start of the round */
};

static void fill_limits(struct check_limits *l, const struct config_healthd *c)
{
    *l = (struct check_limits){
        .unsafe_interval_ms = c->unsafe_interval_ms,
        .safe_enabled = c->safe_enabled != 0,
        .safe_interval_ms = c->safe_interval_ms,
        .min_peer_count = c->min_peer_count,
        .supervisor_enabled = c->supervisor_rpc[0] != '\0',
        .el_p2p_enabled = c->el_p2p_enabled != 0,
        .el_p2p_min_peer_count = c->el_p2p_min_peer_count,
        .boost_enabled = c->boost_enabled != 0 || c->boost_next_enabled != 0,
        .boost_tolerance_limit = c->boost_tolerance_limit,
        .boost_tolerance_interval_ms = c->boost_tolerance_interval_ms,
    };
}

struct monitor *monitor_new(struct probe *p, const struct config_healthd *config, uint64_t now_ns,
                            monitor_health_fn health, void *ctx)
{
    struct monitor *m = calloc(1, sizeof *m);
    if (m == NULL)
        return NULL;
    m->probe = p;
    m->config = config;
    m->health = health;
    m->ctx = ctx;
    fill_limits(&m->limits, config);
    /* Before the first check nothing is known, which is not the same as unhealthy. */
    m->page.last = (struct msg_health){
        .healthy = 1,
        .reason = HEALTH_UNKNOWN,
        .conductor_enabled = NODE_DONT_KNOW,
        .sequencer_active = NODE_DONT_KNOW,
        .el_syncing = NODE_DONT_KNOW,
    };
    m->next_full_ns = now_ns + config->interval_ms * MS_NS;
    m->fast_until_ns = now_ns + MONITOR_PROBE_FAST_FOR_MS * MS_NS;
    m->head_moved_ns = now_ns;
    return m;
}

void monitor_free(struct monitor *m)
{
    if (m == NULL)
        return;
    round_cancel(m->round);
    free(m);
}

const struct page_health *monitor_page(const struct monitor *m)
{
    return &m->page;
}

void monitor_set_clock(struct monitor *m, bool is_trusted)
{
    m->clock_distrusted = !is_trusted;
    m->full_wanted = true;
}

uint64_t monitor_checks_done(const struct monitor *m)
{
    return m->checks_done;
}

uint64_t monitor_request_check(struct monitor *m)
{
    m->full_wanted = true;
    return m->checks_started + 1;
}

void monitor_note_loss(struct monitor *m, uint64_t now_ns)
{
    if (m->node_down || now_ns < m->next_loss_ns)
        return;
    m->next_loss_ns = now_ns + MONITOR_LOSS_EVERY_MS * MS_NS;
    m->full_wanted = true;
}

static void emit(struct monitor *m, bool full, uint64_t now_ns)
{
    struct msg_health *h = &m->page.last;
    h->is_full_check = full;
    h->sequence++;
    h->checked_mono_ns = now_ns;
    m->health(m->ctx, &m->page);
}

static void take_status(struct monitor *m, const struct node_status *s, uint64_t now_ns)
{
    struct msg_health *h = &m->page.last;
    if (!block_id_equal(&h->unsafe_head, &s->unsafe_head))
        m->head_moved_ns = now_ns;
    h->node_reachable = 1;
    h->node_gone = 0;
    h->unsafe_head = s->unsafe_head;
    h->unsafe_timestamp = s->unsafe_timestamp;
    h->safe_number = s->safe_number;
    h->safe_timestamp = s->safe_timestamp;
}

static void take_active(struct monitor *m, enum node_tristate active)
{
    /* A command changed it after the question was put: the answer may be from before. */
    if (m->round_generation == m->active_generation)
        m->page.last.sequencer_active = active;
    else
        m->light_wanted = true;
}

/* Every verdict, since alerts count these lines and miss them when they stop. */
static void log_verdict(const struct monitor *m, const struct check_verdict *v)
{
    switch (v->reason) {
    case HEALTH_OK:
        LOG_INFO("sequencer is healthy", LOG_U("unsafe", m->page.last.unsafe_head.number));
        break;
    case HEALTH_UNSAFE_LAG:
        LOG_ERROR("unsafe head is falling behind the unsafe interval", LOG_S("reason", v->text));
        break;
    case HEALTH_SAFE_LAG:
        LOG_ERROR("safe head is falling behind the safe interval", LOG_S("reason", v->text));
        break;
    case HEALTH_PEERS:
        LOG_ERROR("peer count is below minimum", LOG_S("reason", v->text));
        break;
    default:
        LOG_ERROR("health check failed", LOG_S("err", health_reason_text(v->reason)), LOG_S("reason", v->text));
        break;
    }
}

/* Whether the execution client is gone: looked for twice, for a connection may also break for another reason. One that
 * never answered is none of our business: whoever has no use for that flag may have set it to anything. */
static bool el_is_gone(struct monitor *m, const struct round_facts *f)
{
    m->el_seen |= f->el_answered;
    if (!m->el_seen || f->el_silent < ROUND_EL_CALLS) {
        m->el_silent_checks = 0;
        return false;
    }
    if (m->el_silent_checks < EL_SILENT_CHECKS && ++m->el_silent_checks < EL_SILENT_CHECKS)
        m->full_wanted = true;
    return m->el_silent_checks == EL_SILENT_CHECKS;
}

static void take_full(struct monitor *m, const struct round_facts *f, uint64_t now_ns)
{
    struct msg_health *h = &m->page.last;
    struct check_facts facts = f->check;
    struct check_verdict v;
    facts.wall_s = clock_wall_ms() / 1000;
    facts.wall_distrusted = m->clock_distrusted;
    facts.el_gone = el_is_gone(m, f);
    facts.head_still_s = (now_ns - m->head_moved_ns) / (1000 * MS_NS);
    check_evaluate(&m->limits, &facts, &m->tolerance, &v);
    log_verdict(m, &v);
    h->healthy = v.reason == HEALTH_OK;
    h->reason = v.reason;
    h->only_old_head = v.only_old_head;
    memcpy(h->text, v.text, sizeof h->text);
    h->node_reachable = f->check.sync.ok;
    /* What a command heard meanwhile is newer than the first calls of a round that waits for others. */
    h->node_gone = f->node_gone == ROUND_NODE_CALLS && !m->has_answered;
    m->full_wanted |= m->has_answered && !f->check.sync.ok;
    h->conductor_enabled = f->enabled;
    h->el_syncing = f->el_syncing;
    if (f->el_head.number != 0)
        h->el_head = f->el_head;
    h->peer_count = f->check.peer_count;
    if (v.reason == HEALTH_OK)
        m->page.checks_ok_total++;
    else
        m->page.checks_failed_total[v.reason]++;
    m->checks_done = m->checks_started;
}

static void on_round(void *ctx, enum round_kind kind, const struct round_facts *f)
{
    struct monitor *m = ctx;
    struct msg_health *h = &m->page.last;
    uint64_t now_ns = clock_mono_ns();
    bool was_reachable = h->node_reachable != 0;
    bool fast = now_ns < m->fast_until_ns;
    m->round = NULL;
    m->next_light_ns = now_ns + MONITOR_LIGHT_MS * MS_NS;
    m->next_probe_ns = now_ns + (fast ? MONITOR_PROBE_FAST_MS : MONITOR_PROBE_SLOW_MS) * MS_NS;
    if (f->check.sync.ok)
        take_status(m, &f->status, now_ns);
    if (kind != ROUND_PROBE)
        take_active(m, f->active);
    if (kind == ROUND_FULL) {
        take_full(m, f, now_ns);
        emit(m, true, now_ns);
        return;
    }
    /* It answers for the first time, or no more: the rules have the word, at once. */
    if (f->check.sync.ok != was_reachable)
        m->full_wanted = true;
    if (kind == ROUND_LIGHT || f->check.sync.ok) {
        h->node_reachable = f->check.sync.ok;
        emit(m, false, now_ns);
    }
}

/* A hanging op-node is found out before the verdict of the check before has run out (two intervals),
 * and no later than the Go op-conductor would. */
static uint64_t full_timeout_ms(const struct monitor *m)
{
    uint64_t ms = m->config->interval_ms;
    return ms < 2000 ? 2000 : ms > 10000 ? 10000 : ms;
}

static void start_round(struct monitor *m, enum round_kind kind, uint64_t now_ns)
{
    uint64_t timeout_ms = kind == ROUND_FULL ? full_timeout_ms(m) : PROBE_TIMEOUT_MS;
    m->round_generation = m->active_generation;
    m->has_answered = false;
    if (kind == ROUND_FULL) {
        m->checks_started++;
        m->full_wanted = false;
        m->next_full_ns = now_ns + m->config->interval_ms * MS_NS;
    }
    if (kind != ROUND_PROBE)
        m->light_wanted = false;
    m->round = round_start(m->probe, m->config, kind, timeout_ms, on_round, m);
    if (m->round == NULL) {
        m->next_light_ns = m->next_probe_ns = now_ns + MONITOR_LIGHT_MS * MS_NS;
        LOG_ERROR("health check could not be started: out of memory");
    }
}

uint64_t monitor_tick(struct monitor *m, uint64_t now_ns)
{
    bool reachable = m->page.last.node_reachable != 0;
    if (m->node_down && m->full_wanted) {
        /* There is nobody to ask. */
        m->full_wanted = false;
        m->checks_done = ++m->checks_started;
        emit(m, true, now_ns);
    }
    if (m->round != NULL || m->node_down)
        return UINT64_MAX;
    if (m->full_wanted || now_ns >= m->next_full_ns)
        start_round(m, ROUND_FULL, now_ns);
    else if (reachable && (m->light_wanted || now_ns >= m->next_light_ns))
        start_round(m, ROUND_LIGHT, now_ns);
    else if (!reachable && now_ns >= m->next_probe_ns)
        start_round(m, ROUND_PROBE, now_ns);
    if (m->round != NULL)
        return UINT64_MAX;
    uint64_t next = reachable ? m->next_light_ns : m->next_probe_ns;
    return m->next_full_ns < next ? m->next_full_ns : next;
}

void monitor_node_event(struct monitor *m, bool up, uint32_t incarnation, uint64_t now_ns)
{
    struct msg_health *h = &m->page.last;
    round_cancel(m->round);
    m->round = NULL;
    m->node_down = !up;
    m->active_generation++;
    m->full_wanted = false;
    m->light_wanted = false;
    h->node_incarnation = incarnation;
    h->node_reachable = 0;
    h->node_gone = !up;
    h->conductor_enabled = NODE_DONT_KNOW;
    h->sequencer_active = up ? NODE_DONT_KNOW : NODE_NO; /* a process that is gone does not sequence */
    if (up) {
        m->fast_until_ns = now_ns + MONITOR_PROBE_FAST_FOR_MS * MS_NS;
        m->next_probe_ns = now_ns;
        m->next_full_ns = now_ns + m->config->interval_ms * MS_NS;
        m->head_moved_ns = now_ns;
        return;
    }
    h->healthy = 0;
    h->reason = HEALTH_NODE_UNREACHABLE;
    h->only_old_head = 0;
    snprintf(h->text, sizeof h->text, "%s: op-node has exited", health_reason_text(HEALTH_NODE_UNREACHABLE));
    emit(m, true, now_ns);
}

void monitor_note_status(struct monitor *m, const struct node_status *status, uint64_t now_ns)
{
    if (m->page.last.node_reachable == 0)
        m->full_wanted = true;
    m->has_answered = true;
    take_status(m, status, now_ns);
}

void monitor_note_command(struct monitor *m, enum node_tristate active, bool may_have_changed, uint64_t now_ns)
{
    m->active_generation++;
    if (active != NODE_DONT_KNOW || may_have_changed)
        m->page.last.sequencer_active = active;
    m->light_wanted = true;
    emit(m, false, now_ns);
}
