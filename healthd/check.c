/* The health rules, in their order. */
#include "healthd/check.h"

#include "shared/proto/health_text.h"

#include <stdarg.h>
#include <stdio.h>

/* The known words, so that alerts on them go on working, then what it was in detail. */
__attribute__((format(printf, 3, 4))) static void fail(struct check_verdict *v, enum health_reason reason,
                                                       const char *format, ...)
{
    va_list args;
    int used = snprintf(v->text, sizeof v->text, "%s: ", health_reason_text(reason));
    v->reason = reason;
    va_start(args, format);
    vsnprintf(v->text + used, sizeof v->text - (size_t)used, format, args);
    va_end(args);
}

static void fail_plain(struct check_verdict *v, enum health_reason reason)
{
    v->reason = reason;
    snprintf(v->text, sizeof v->text, "%s", health_reason_text(reason));
}

/* Age of a block; one from the future is new. */
static uint64_t age_s(uint64_t wall_s, uint64_t timestamp)
{
    return wall_s > timestamp ? wall_s - timestamp : 0;
}

static bool exceeds(uint64_t seconds, uint64_t limit_ms)
{
    return seconds > limit_ms / 1000;
}

static bool check_unsafe_head(const struct check_limits *limits, const struct check_facts *f, struct check_verdict *v)
{
    /* A clock that runs behind hides an old block, but not that the head stands still. */
    uint64_t lag = f->wall_distrusted ? 0 : age_s(f->wall_s, f->unsafe_timestamp);
    if (f->head_still_s > lag)
        lag = f->head_still_s;
    if (exceeds(lag, limits->unsafe_interval_ms)) {
        fail(v, HEALTH_UNSAFE_LAG, "the unsafe head is %llu s old, more than %llu s", (unsigned long long)lag,
             (unsigned long long)limits->unsafe_interval_ms / 1000);
        return false;
    }
    return true;
}

static bool check_safe_head(const struct check_limits *limits, const struct check_facts *f, struct check_verdict *v)
{
    uint64_t safe_lag = f->wall_distrusted ? 0 : age_s(f->wall_s, f->safe_timestamp);
    if (limits->safe_enabled && exceeds(safe_lag, limits->safe_interval_ms)) {
        fail(v, HEALTH_SAFE_LAG, "the safe head is %llu s old, more than %llu s", (unsigned long long)safe_lag,
             (unsigned long long)limits->safe_interval_ms / 1000);
        return false;
    }
    return true;
}

static bool tolerate_partial(const struct check_limits *limits, uint64_t wall_s, struct boost_tolerance *t)
{
    uint64_t interval_s = limits->boost_tolerance_interval_ms / 1000;
    if (interval_s == 0)
        return false;
    if (t->bucket != wall_s / interval_s) {
        t->bucket = wall_s / interval_s;
        t->count = 0;
    }
    if (t->count >= limits->boost_tolerance_limit)
        return false;
    t->count++;
    return true;
}

static void check_boost(const struct check_limits *limits, const struct check_facts *f, struct boost_tolerance *t,
                        struct check_verdict *v)
{
    switch (f->boost) {
    case BOOST_HEALTHY:
        return;
    case BOOST_PARTIAL:
        if (!tolerate_partial(limits, f->wall_s, t))
            fail_plain(v, HEALTH_BOOST_PARTIAL);
        return;
    case BOOST_UNHEALTHY:
        fail_plain(v, HEALTH_BOOST_UNHEALTHY);
        return;
    case BOOST_UNREACHABLE:
    default:
        fail_plain(v, HEALTH_BOOST_UNREACHABLE);
    }
}

/* The rules after the unsafe head's. */
static void check_rest(const struct check_limits *limits, const struct check_facts *f,
                       struct boost_tolerance *tolerance, struct check_verdict *v)
{
    if (!check_safe_head(limits, f, v))
        return;
    if (!f->peers.ok) {
        fail(v, HEALTH_NODE_UNREACHABLE, "opp2p_peerStats: %s", f->peers.text);
        return;
    }
    if (f->peer_count < limits->min_peer_count) {
        fail(v, HEALTH_PEERS, "%llu peers are connected, fewer than %llu", (unsigned long long)f->peer_count,
             (unsigned long long)limits->min_peer_count);
        return;
    }
    if (limits->el_p2p_enabled && !f->el_peers.ok) {
        fail(v, HEALTH_EL_PEERS_ERROR, "execution client's peers: %s", f->el_peers.text);
        return;
    }
    if (limits->el_p2p_enabled && f->el_peer_count < limits->el_p2p_min_peer_count) {
        fail(v, HEALTH_EL_PEERS, "the execution client has %llu peers, fewer than %llu",
             (unsigned long long)f->el_peer_count, (unsigned long long)limits->el_p2p_min_peer_count);
        return;
    }
    if (limits->boost_enabled)
        check_boost(limits, f, tolerance, v);
}

void check_evaluate(const struct check_limits *limits, const struct check_facts *f, struct boost_tolerance *tolerance,
                    struct check_verdict *v)
{
    v->reason = HEALTH_OK;
    v->text[0] = '\0';
    v->only_old_head = false;
    if (!f->sync.ok) {
        fail(v, HEALTH_NODE_UNREACHABLE, "optimism_syncStatus: %s", f->sync.text);
    } else if (limits->supervisor_enabled && !f->supervisor.ok) {
        fail(v, HEALTH_SUPERVISOR_UNREACHABLE, "supervisor_syncStatus: %s", f->supervisor.text);
    } else if (f->el_gone) {
        fail(v, HEALTH_EL_GONE, "%s", f->el_text);
    } else if (!check_unsafe_head(limits, f, v)) {
        struct check_verdict rest = {.reason = HEALTH_OK};
        struct boost_tolerance unspent = *tolerance;
        check_rest(limits, f, &unspent, &rest);
        v->only_old_head = rest.reason == HEALTH_OK;
    } else {
        check_rest(limits, f, tolerance, v);
    }
}
