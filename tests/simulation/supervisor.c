/* The supervisor of one host: the real conductor; starting and restarting of processes is simulated. */
#include "shared/base/clock.h"
#include "shared/base/err.h"
#include "tests/simulation/world.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static struct process *process_of(struct host *h, enum proc_role role)
{
    return role == ROLE_CONSENSUS ? &h->cons : role == ROLE_HEALTHD ? &h->health : &h->rpc;
}

/* ---- what the conductor asks for ---- */

static int on_send(void *ctx, enum proc_role to, enum msg_type type, uint64_t request_id, const void *body, int fd)
{
    struct host *h = ctx;
    const struct msg_spec *spec = msg_spec_get(type);
    if (spec == NULL || (spec->from_roles & ROLE_SUPERVISOR) == 0 || (spec->to_roles & to) == 0)
        world_fail(h->world, "%s sends a message that its channel refuses", h->options.server_id);
    if (!process_of(h, to)->up)
        return OC_ECLOSED;
    if (type == MSG_NODE_CMD && ((const struct msg_node_cmd *)body)->verb == NODE_CMD_TAKEOVER &&
        (h->sup_page.paused || h->sup_page.stopped))
        world_fail(h->world, "%s starts its sequencer, which an operator forbids", h->options.server_id);
    if (type == MSG_NODE_CMD && ((const struct msg_node_cmd *)body)->verb == NODE_CMD_TAKEOVER &&
        h->storage.identity.fresh_bootstrap && !h->resumed)
        world_fail(h->world, "%s starts its sequencer in a new cluster that nobody resumed", h->options.server_id);
    if (to != ROLE_RPCD)
        channel_send(h, to == ROLE_CONSENSUS ? SUP_TO_CONS : SUP_TO_HEALTH, type, request_id, body, spec->body_bytes,
                     fd);
    return 0;
}

static int on_node_start(void *ctx)
{
    struct host *h = ctx;
    if (!h->opnode.up)
        h->opnode.up_at_ms = h->world->now_ms;
    return 0;
}

static int on_node_stop(void *ctx)
{
    struct host *h = ctx;
    if (h->opnode.up)
        opnode_kill(&h->opnode, 1000, 0);
    return 0;
}

static int on_node_restart(void *ctx)
{
    struct host *h = ctx;
    if (h->opnode.up)
        opnode_kill(&h->opnode, 50, 0);
    return 0;
}

static int on_worker_restart(void *ctx, enum proc_role role)
{
    (void)ctx;
    (void)role;
    return -ENOTSUP;
}

static void on_publish(void *ctx, const struct page_supervisor *page)
{
    ((struct host *)ctx)->sup_page = *page;
}

static void on_stop_finished(void *ctx)
{
    ((struct host *)ctx)->left = true;
}

static uint64_t on_wall_ms(void *ctx)
{
    const struct host *h = ctx;
    return world_true_ms(h->world) + (uint64_t)h->clock_ms;
}

/* ---- life ---- */

void supervisor_start(struct host *h)
{
    const struct conductor_io io = {.ctx = h,
                                    .send = on_send,
                                    .node_start = on_node_start,
                                    .node_stop = on_node_stop,
                                    .node_restart = on_node_restart,
                                    .worker_restart = on_worker_restart,
                                    .publish = on_publish,
                                    .stop_finished = on_stop_finished,
                                    .wall_ms = on_wall_ms};
    uint64_t now_ms = h->world->now_ms;
    world_log(h->world, h, "supervisor starts");
    h->sup = (struct process){.up = true, .up_at_ms = NEVER};
    h->leaving = h->left = false;
    memset(&h->sup_page, 0, sizeof h->sup_page);
    h->node_argv[0] = (char *)"op-node";
    h->options.node_argv = h->managed ? h->node_argv : NULL;
    h->conductor = conductor_new(&h->options, &io, clock_mono_ns());
    if (h->conductor == NULL)
        abort();
    h->sup_wake_ns = 0;
    h->cons.up_at_ms = now_ms + 10 + dice_below(&h->world->dice, 40);
    h->health.up_at_ms = now_ms + 10 + dice_below(&h->world->dice, 40);
    h->rpc.up_at_ms = now_ms + 10 + dice_below(&h->world->dice, 40);
    if (h->managed && !h->opnode.up)
        h->opnode.up_at_ms = now_ms + 20;
}

void supervisor_kill(struct host *h)
{
    if (!h->sup.up)
        return;
    world_log(h->world, h, "supervisor ends");
    h->sup = (struct process){.up_at_ms = NEVER};
    conductor_free(h->conductor);
    h->conductor = NULL;
    consensus_kill(h, true);
    health_kill(h);
    rpc_kill(h);
    h->cons.up_at_ms = h->health.up_at_ms = h->rpc.up_at_ms = NEVER;
    if (h->managed && h->opnode.up)
        opnode_kill(&h->opnode, 0, 0);
    if (h->managed)
        h->opnode.up_at_ms = NEVER;
    for (unsigned e = 0; e < EDGE_COUNT; e++)
        channel_clear(&h->channels[e]);
}

static void flush_letters(struct host *h, enum edge e, enum proc_role from);

void supervisor_tell_worker(struct host *h, enum proc_role role, bool up)
{
    if (!h->sup.up)
        return;
    if (!up && role == ROLE_CONSENSUS)
        flush_letters(h, CONS_TO_SUP, role);
    if (!up && role == ROLE_HEALTHD)
        flush_letters(h, HEALTH_TO_SUP, role);
    conductor_set_page(h->conductor, role,
                       up && role == ROLE_CONSENSUS ? (const struct page_reader *)(void *)&h->cons_page : NULL);
    conductor_on_worker(h->conductor, clock_mono_ns(), role, up);
    h->sup_wake_ns = 0;
}

void supervisor_tell_node(struct host *h, bool up)
{
    if (!h->sup.up || !h->managed)
        return;
    conductor_on_node(h->conductor, clock_mono_ns(), up, h->opnode.incarnation);
    h->sup_wake_ns = 0;
}

void supervisor_admin(struct host *h, enum admin_verb verb, const char *id)
{
    struct msg_admin body = {.verb = verb};
    struct chan_msg msg = {
        .type = MSG_ADMIN, .request_id = ++h->next_request_id, .body = &body, .body_len = sizeof body, .fd = -1};
    if (!h->sup.up)
        return;
    snprintf(body.id, sizeof body.id, "%s", id);
    body.flag = verb == ADMIN_OVERRIDE && *id != '\0';
    world_log(h->world, h, "operator: verb %d %s", (int)verb, id);
    h->resumed |= verb == ADMIN_RESUME;
    (void)conductor_on_message(h->conductor, clock_mono_ns(), ROLE_RPCD, &msg);
    h->sup_wake_ns = 0;
}

void supervisor_shutdown(struct host *h)
{
    if (!h->sup.up || h->leaving)
        return;
    world_log(h->world, h, "is told to shut down");
    h->leaving = true;
    conductor_begin_shutdown(h->conductor, clock_mono_ns());
    h->sup_wake_ns = 0;
}

/* ---- one millisecond ---- */

static void take_letter(struct host *h, enum proc_role from, struct letter *l)
{
    struct chan_msg msg = {
        .type = l->type, .request_id = l->request_id, .body = l->body, .body_len = l->len, .fd = l->fd};
    int rc = conductor_on_message(h->conductor, clock_mono_ns(), from, &msg);
    l->fd = msg.fd;
    letter_free(l);
    if (rc != 0)
        world_fail(h->world, "%s refuses a message of its worker: %d", h->options.server_id, rc);
    h->sup_wake_ns = 0;
}

/* What a process sent before it ended may or may not still be read. */
static void flush_letters(struct host *h, enum edge e, enum proc_role from)
{
    struct channel *c = &h->channels[e];
    while (c->first != NULL && dice_chance(&h->world->dice, 70)) {
        struct letter *l = c->first;
        c->first = l->next;
        take_letter(h, from, l);
    }
    channel_clear(c);
}

static void start_workers(struct host *h)
{
    uint64_t now = h->world->now_ms;
    if (!h->cons.up && h->cons.up_at_ms <= now)
        consensus_start(h);
    if (!h->health.up && h->health.up_at_ms <= now)
        health_start(h);
    if (!h->rpc.up && h->rpc.up_at_ms <= now) {
        h->rpc = (struct process){.up = true, .up_at_ms = NEVER};
        supervisor_tell_worker(h, ROLE_RPCD, true);
    }
}

void supervisor_step(struct host *h)
{
    struct letter *l;
    if (h->sup.frozen_until_ms == h->world->now_ms) /* its wait is interrupted: a turn without any news */
        h->sup_wake_ns = conductor_tick(h->conductor, clock_mono_ns());
    start_workers(h);
    while ((l = channel_take(h->world, &h->channels[CONS_TO_SUP])) != NULL)
        take_letter(h, ROLE_CONSENSUS, l);
    while ((l = channel_take(h->world, &h->channels[HEALTH_TO_SUP])) != NULL)
        take_letter(h, ROLE_HEALTHD, l);
    if (h->sup_wake_ns <= h->world->now_ms * 1000000)
        h->sup_wake_ns = conductor_tick(h->conductor, clock_mono_ns());
}
