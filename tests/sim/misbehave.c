/* Sets switches and does what is due at once. */
#include "tests/sim/misbehave.h"

#include "shared/base/err.h"
#include "shared/base/log.h"
#include "tests/sim/sequencer.h"
#include "tests/sim/sim.h"

#include <errno.h>
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define GRANDCHILD_LIFE_S 60
#define GRANDCHILDREN_MAX 32
#define FLOOD_TICK_MS 20
#define PEERS_CONNECTED_DEFAULT 5
#define BOOST_STATUS_DEFAULT 200

static const char *const NAMES[SW_COUNT] = {
#define SIM_SWITCH_NAME(name, help) [SW_##name] = #name,
    SIM_SWITCHES(SIM_SWITCH_NAME)
#undef SIM_SWITCH_NAME
};

const char *misbehave_name(enum sim_switch sw)
{
    return NAMES[sw];
}

void misbehave_init(struct misbehave *m)
{
    memset(m, 0, sizeof *m);
    m->value[SW_peers_connected] = PEERS_CONNECTED_DEFAULT;
    m->value[SW_boost_status] = BOOST_STATUS_DEFAULT;
}

static void leave_grandchildren(int64_t n)
{
    for (int64_t i = 0; i < n && i < GRANDCHILDREN_MAX; i++) {
        pid_t pid = fork();
        if (pid != 0)
            continue;
        close_range(3, ~0u, 0);
        sigset_t none;
        sigemptyset(&none);
        sigprocmask(SIG_SETMASK, &none, NULL);
        signal(SIGTERM, SIG_IGN);
        signal(SIGALRM, SIG_DFL);
        alarm(GRANDCHILD_LIFE_S);
        for (;;)
            pause();
    }
}

/* Blocks the whole process when nobody reads stdout, as a program that logs synchronously does. */
static void flood(struct sim *s, void *data)
{
    (void)data;
    char line[160];
    int64_t per_second = s->mis.value[SW_flood];
    for (int64_t i = 0; i < per_second * FLOOD_TICK_MS / 1000 + 1 && per_second > 0; i++) {
        int n = snprintf(line, sizeof line, "t=flood lvl=info msg=\"a line of noise\" number=%" PRId64 " pad=%080d\n",
                         i, 0);
        if (write(STDOUT_FILENO, line, (size_t)n) < 0 && errno != EAGAIN)
            return;
    }
    if (per_second > 0)
        sim_after(s, FLOOD_TICK_MS, flood, NULL);
}

static void rewind_newest(struct sim *s, uint64_t n)
{
    uint64_t head = chain_head(s->chain)->number, oldest = chain_oldest(s->chain)->number;
    int rc = sim_rewind(s, head - oldest < n ? oldest : head - n, "rewind");
    if (rc != 0)
        LOG_ERROR("Cannot rewind", LOG_E(rc));
    sequencer_wake(s->sequencer);
}

/* Blocks that no other node has: nobody gave up anything, so this is no rewind. */
static void fork_newest(struct sim *s, uint64_t n)
{
    uint64_t head = chain_head(s->chain)->number, oldest = chain_oldest(s->chain)->number;
    uint64_t from = head - oldest < n ? oldest : head - n;
    int rc = sim_rewind(s, from, "lost");
    for (uint64_t i = from; i < head && rc == 0; i++) {
        struct block_ref parent = *chain_head(s->chain);
        struct block b;
        rc = block_build(&parent, parent.slot_ms + s->cfg.block_time_ms, s->cfg.payload_bytes, s->cfg.fork, &s->seed,
                         &b);
        if (rc == 0) {
            rc = chain_add(s->chain, &b.ref, b.record, b.len, "fork");
            free(b.record);
        }
    }
    if (rc < 0)
        LOG_ERROR("Cannot fork", LOG_E(rc));
}

static void act(struct sim *s, enum sim_switch sw, int64_t old)
{
    int64_t value = s->mis.value[sw];
    switch (sw) {
    case SW_crash:
        if (value)
            abort();
        break;
    case SW_exit:
        _exit((int)value);
    case SW_rewind:
        rewind_newest(s, (uint64_t)(value > 0 ? value : 0));
        break;
    case SW_l1_reorg:
        s->reorged = *chain_head(s->chain);
        rewind_newest(s, (uint64_t)(value > 0 ? value : 0));
        break;
    case SW_fork:
        fork_newest(s, (uint64_t)(value > 0 ? value : 0));
        break;
    case SW_grandchildren:
        leave_grandchildren(value);
        break;
    case SW_flood:
        if (old == 0)
            flood(s, NULL);
        break;
    case SW_hang:
    case SW_freeze_head:
        sequencer_wake(s->sequencer);
        break;
    default:
        break;
    }
}

int misbehave_set(struct sim *s, const char *name, int64_t value)
{
    for (int i = 0; i < SW_COUNT; i++) {
        if (strcmp(NAMES[i], name) != 0)
            continue;
        if (i == SW_payload_bytes && (value < 0 || value > CONFIG_PAYLOAD_BYTES_MAX))
            return OC_ERANGE;
        int64_t old = s->mis.value[i];
        s->mis.value[i] = value;
        LOG_WARN("Misbehaviour switched", LOG_S("name", name), LOG_I("value", value));
        act(s, (enum sim_switch)i, old);
        return 0;
    }
    return OC_EUNKNOWN;
}

struct delayed_switch {
    int64_t value;
    char name[32];
};

static void set_delayed(struct sim *s, void *data)
{
    struct delayed_switch *d = data;
    misbehave_set(s, d->name, d->value);
    free(d);
}

/* NAME=VALUE[@MS] */
static bool parse_flag(const char *text, struct delayed_switch *ret, uint64_t *ret_delay_ms)
{
    const char *equals = strchr(text, '=');
    size_t name_len = equals ? (size_t)(equals - text) : 0;
    bool known = false;
    memset(ret, 0, sizeof *ret);
    if (name_len == 0 || name_len >= sizeof ret->name)
        return false;
    memcpy(ret->name, text, name_len);
    for (int i = 0; i < SW_COUNT; i++)
        known = known || strcmp(NAMES[i], ret->name) == 0;
    char *end;
    ret->value = strtoll(equals + 1, &end, 10);
    bool has_value = end != equals + 1;
    if (*end == '@')
        *ret_delay_ms = strtoull(end + 1, &end, 10);
    return known && has_value && *end == '\0';
}

int misbehave_apply_flags(struct sim *s)
{
    for (uint32_t i = 0; i < s->cfg.n_switches; i++) {
        const char *text = s->cfg.switches[i];
        struct delayed_switch d;
        uint64_t delay_ms = 0;
        if (!parse_flag(text, &d, &delay_ms)) {
            fprintf(stderr, "op-node-sim: bad value '%s' for --sim; it is NAME=NUMBER[@MS] with a name of:\n", text);
#define SIM_SWITCH_HELP(name, help) fprintf(stderr, "  %-16s %s\n", #name, help);
            SIM_SWITCHES(SIM_SWITCH_HELP)
#undef SIM_SWITCH_HELP
            return -1;
        }
        struct delayed_switch *copy = malloc(sizeof *copy);
        if (!copy)
            abort();
        *copy = d;
        if (delay_ms > 0) {
            sim_after(s, delay_ms, set_delayed, copy);
        } else {
            set_delayed(s, copy);
        }
    }
    return 0;
}
