/* The world: hosts, time, and the end of a run that failed. */
#include "tests/simulation/world.h"

#include "consensus/confcodec.h"
#include "consensus/identity.h"
#include "shared/base/log.h"
#include "tests/simulation/seams.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define WALL_START_MS UINT64_C(1700000000000)
#define RING_BYTES ((size_t)COMMITS_MAX * 4096)

uint64_t world_true_ms(const struct world *w)
{
    return WALL_START_MS + w->now_ms;
}

uint64_t world_wall_ms(const struct world *w)
{
    return world_true_ms(w) + (uint64_t)(w->running != NULL ? w->running->clock_ms : 0);
}

bool world_is_connected(const struct world *w, unsigned a, unsigned b)
{
    return !w->network.cut[a][b] && !w->network.cut[b][a];
}

void world_fail(struct world *w, const char *format, ...)
{
    va_list args;
    printf("\nFAILED: seed %" PRIu64 " at %" PRIu64 " ms: ", w->seed, w->now_ms);
    va_start(args, format);
    vprintf(format, args);
    va_end(args);
    printf("\nreplay: conductor_sim --seeds 1 --from %" PRIu64 " --verbose\n", w->seed);
    fflush(stdout);
    abort();
}

void world_log(struct world *w, const struct host *h, const char *format, ...)
{
    va_list args;
    if (!w->verbose)
        return;
    printf("%7" PRIu64 " %s: ", w->now_ms, h != NULL ? h->options.server_id : "all");
    va_start(args, format);
    vprintf(format, args);
    va_end(args);
    putchar('\n');
}

/* ---- who is who ---- */

/* Raft ids count up by HOSTS_MAX with every disk that a host has had. */
struct host *world_find_id(struct world *w, uint64_t raft_id)
{
    uint64_t index = (raft_id - 1) % HOSTS_MAX;
    return raft_id > 0 && index < w->host_count && raft_id <= w->hosts[index].raft_id ? &w->hosts[index] : NULL;
}

const struct member *world_member(const struct host *h)
{
    return identity_find_id(&h->world->committed, h->raft_id);
}

void world_empty_disk(struct host *h)
{
    struct world *w = h->world;
    world_log(w, h, "has an empty disk");
    if (h->lost_id != 0)
        sim_disk_free(&h->lost_disk);
    h->lost_disk = h->storage.disk;
    if (h->lost_disk.jobs == NULL)
        h->lost_disk.jobs_end = &h->lost_disk.jobs;
    h->lost_id = h->raft_id;
    h->raft_id += HOSTS_MAX;
    sim_disk_init(&h->storage.disk, &w->dice);
    h->storage.disk.delay_ms_max = h->lost_disk.delay_ms_max;
    memset(&h->storage.identity, 0, sizeof h->storage.identity);
    network_drop_of(&w->network, h->index);
    for (unsigned i = 0; i < w->host_count; i++)
        w->hosts[i].peers.coming[h->index].valid = false;
}

/* ---- begin and end ---- */

static void form_cluster(struct world *w, unsigned count)
{
    struct membership m = {.count = count, .index = 1};
    for (unsigned i = 0; i < count; i++) {
        m.members[i] = (struct member){.id = w->hosts[i].raft_id, .role = MEMBER_VOTER};
        snprintf(m.members[i].address, sizeof m.members[i].address, "%s@host:%u", w->hosts[i].options.server_id, i + 1);
    }
    w->committed = m;
    for (unsigned i = 0; i < count; i++) {
        struct sim_disk *d = &w->hosts[i].storage.disk;
        memset(w->hosts[i].storage.identity.cluster_id, 1, sizeof w->hosts[i].storage.identity.cluster_id);
        struct entry *e = entry_new(ENTRY_CHANGE, 1, confcodec_len(&m));
        if (e == NULL)
            abort();
        confcodec_encode(&m, entry_payload(e));
        logcache_append(&d->log, e);
        d->term = 1;
    }
}

/* A chain that is there before the cluster, or only its genesis. */
static void begin_chain(struct world *w)
{
    unsigned count = dice_chance(&w->dice, 30) ? (unsigned)dice_below(&w->dice, 20) : 0;
    uint32_t parent = block_new(w, 0, world_wall_ms(w) - count * w->block_time_ms);
    while (count-- > 0)
        parent = block_new(w, parent, w->blocks[parent].slot_ms + w->block_time_ms);
    w->last_acked = parent;
}

static void init_host(struct world *w, unsigned index)
{
    struct host *h = &w->hosts[index];
    h->world = w;
    h->index = index;
    h->raft_id = index + 1;
    h->powered = true;
    h->managed = dice_chance(&w->dice, 50);
    snprintf(h->options.server_id, sizeof h->options.server_id, "n%u", index + 1);
    h->options.health_interval_ms = 1000;
    h->options.unsafe_interval_ms = 5000;
    h->options.min_peer_count = 1;
    h->options.window_payloads = 40 + dice_below(&w->dice, 60);
    h->options.window_bytes = 1 << 20;
    h->storage.host = h->peers.host = h->opnode.host = h;
    sim_disk_init(&h->storage.disk, &w->dice);
    h->storage.disk.delay_ms_max = 1;
    h->ring = calloc(1, RING_BYTES);
    h->sup.up_at_ms = w->now_ms + dice_below(&w->dice, 300);
    h->cons.up_at_ms = h->health.up_at_ms = h->rpc.up_at_ms = NEVER;
    h->opnode.up_at_ms = h->managed ? NEVER : w->now_ms + dice_below(&w->dice, 300);
    h->opnode.caller = index + 1;
    h->opnode.l1_delay_ms = dice_below(&w->dice, 2000);
    h->opnode.head = w->block_count - 1;
    while (h->opnode.head > 0 && dice_chance(&w->dice, 20))
        h->opnode.head = w->blocks[h->opnode.head].parent;
    h->opnode.adopt_ms = NEVER;
}

static void make_witness(struct host *h)
{
    h->witness = h->options.raft_witness = true;
    h->managed = false;
    h->opnode.up_at_ms = NEVER;
}

/* In some runs one or two of the hosts are witnesses, and in some others hosts wait to join. */
static void choose_roles(struct world *w)
{
    w->forming = dice_chance(&w->dice, 6);
    unsigned spares = dice_chance(&w->dice, 30) ? (unsigned)dice_below(&w->dice, w->host_count - 1) : 0;
    unsigned count = w->host_count - spares;
    if (count < 3)
        count = 3;
    if (w->forming)
        count = 1;
    if (!w->forming && dice_chance(&w->dice, 25))
        make_witness(&w->hosts[dice_below(&w->dice, w->host_count)]);
    if (!w->forming && w->host_count > 4 && dice_chance(&w->dice, 15))
        make_witness(&w->hosts[dice_below(&w->dice, w->host_count)]);
    for (unsigned i = count; i < w->host_count; i++) {
        w->hosts[i].absent = true;
        w->hosts[i].sup.up_at_ms = w->hosts[i].opnode.up_at_ms = NEVER;
    }
    form_cluster(w, count);
    w->hosts[0].storage.identity.fresh_bootstrap = w->forming;
    for (unsigned i = 0; i < w->host_count; i++)
        w->hosts[i].options.paused = w->forming && dice_chance(&w->dice, 50);
}

void world_init(struct world *w, uint64_t seed, bool verbose)
{
    static const uint64_t BLOCK_TIMES_MS[] = {200, 500, 1000, 2000};
    *w = (struct world){.seed = seed, .verbose = verbose, .now_ms = 10000, .block_count = 0};
    seams_set_world(w);
    dice_init(&w->dice, seed);
    w->network.dice = &w->dice;
    w->host_count = 3 + (unsigned)(dice_chance(&w->dice, 50) ? 0 : dice_below(&w->dice, HOSTS_MAX - 2));
    w->block_time_ms = BLOCK_TIMES_MS[dice_below(&w->dice, 4)];
    w->blocks = calloc(BLOCKS_MAX, sizeof *w->blocks);
    w->acked_at = calloc(BLOCKS_MAX, sizeof *w->acked_at);
    if (w->blocks == NULL || w->acked_at == NULL)
        abort();
    fates_init(&w->fates);
    begin_chain(w);
    for (unsigned i = 0; i < w->host_count; i++)
        init_host(w, i);
    choose_roles(w);
    if (dice_chance(&w->dice, 10)) /* one clock is wrong */
        w->hosts[dice_below(&w->dice, w->host_count)].clock_ms = dice_chance(&w->dice, 50) ? 3600000 : -3600000;
}

void world_free(struct world *w)
{
    network_drop_all(&w->network);
    for (unsigned i = 0; i < w->host_count; i++) {
        supervisor_kill(&w->hosts[i]);
        sim_disk_free(&w->hosts[i].storage.disk);
        if (w->hosts[i].lost_id != 0)
            sim_disk_free(&w->hosts[i].lost_disk);
        free(w->hosts[i].ring);
    }
    fates_free(&w->fates);
    free(w->blocks);
    free(w->acked_at);
}

/* ---- time ---- */

static bool is_awake(const struct world *w, const struct process *p)
{
    return p->up && p->frozen_until_ms <= w->now_ms;
}

static void deliver(struct world *w)
{
    struct packet *p;
    while ((p = network_take(&w->network, w->now_ms)) != NULL) {
        struct host *h = &w->hosts[p->to];
        if (!h->cons.up)
            packet_free(p);
        else if (!is_awake(w, &h->cons))
            network_put_back(&w->network, p, h->cons.frozen_until_ms);
        else
            consensus_deliver(h, p);
    }
}

static void restart(struct host *h, const char *why)
{
    world_log(h->world, h, "%s", why);
    supervisor_kill(h);
    h->left = false;
    h->sup.up_at_ms = h->world->now_ms + dice_below(&h->world->dice, 1000);
}

static void step_host(struct host *h)
{
    struct world *w = h->world;
    if (h->absent)
        return;
    w->running = h;
    if (!h->sup.up && h->sup.up_at_ms <= w->now_ms) {
        if (!h->powered) {
            h->powered = true;
            h->opnode.up_at_ms = h->witness ? NEVER : w->now_ms + dice_below(&w->dice, 300);
        }
        supervisor_start(h);
    }
    /* Only a restart ends an operator's stop. */
    if (h->sup.up && h->sup_page.stopped != 0 && dice_below(&w->dice, 2000) == 0)
        restart(h, "is restarted after a stop");
    if (is_awake(w, &h->cons))
        consensus_step(h);
    if (is_awake(w, &h->health))
        health_step(h);
    if (h->rpc.up)
        rpc_step(h);
    opnode_step(&h->opnode); /* its own clock is right: the chain has no blocks of the future */
    if (is_awake(w, &h->sup))
        supervisor_step(h);
    if (h->left)
        restart(h, "has shut down");
    w->running = NULL;
}

void world_step(struct world *w)
{
    w->now_ms++;
    w->ticks = 0;
    deliver(w);
    operator_step(w);
    for (unsigned i = 0; i < w->host_count; i++)
        step_host(&w->hosts[i]);
}
