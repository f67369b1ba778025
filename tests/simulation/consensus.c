/* The consensus worker of one host: the real one but for its loop, channels, storage and peers, which
 * are here. */
#include "consensus/adopt.h"
#include "consensus/commit.h"
#include "consensus/export.h"
#include "consensus/link.h"
#include "consensus/members.h"
#include "consensus/node_io.h"
#include "consensus/publish.h"
#include "consensus/transfer.h"
#include "shared/base/clock.h"
#include "shared/base/err.h"
#include "shared/ipc/ring.h"
#include "tests/simulation/world.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define RESTART_MS 5

/* ---- in place of storage.c ---- */

const struct storage_identity *storage_identity(const struct storage *s)
{
    return &s->identity;
}

int storage_set_cluster_id(struct storage *s, const uint8_t cluster_id[STORAGE_ID_BYTES])
{
    memcpy(s->identity.cluster_id, cluster_id, STORAGE_ID_BYTES);
    return 0;
}

uint64_t storage_disk_bytes(const struct storage *s)
{
    return s->disk.log.last;
}

int storage_save_term_vote(struct storage *s, uint64_t term, uint64_t voted_for)
{
    if (!sim_disk_save_vote(&s->disk, term, voted_for))
        world_fail(s->host->world, "%s takes back a term or vote", s->host->options.server_id);
    return 0;
}

void storage_append(struct storage *s, uint64_t index, struct entry *e)
{
    sim_disk_push(&s->disk, s->host->world->now_ms, (struct disk_job){.kind = DISK_APPEND, .index = index, .entry = e});
}

void storage_truncate(struct storage *s, uint64_t from_index)
{
    if (from_index <= s->host->last_applied)
        world_fail(s->host->world, "%s truncates what it applied", s->host->options.server_id);
    sim_disk_push(&s->disk, s->host->world->now_ms, (struct disk_job){.kind = DISK_TRUNCATE, .index = from_index});
}

void storage_save_snapshot(struct storage *s, struct snapshot *snapshot, uint64_t keep_from, bool install)
{
    sim_disk_push(
        &s->disk, s->host->world->now_ms,
        (struct disk_job){.kind = install ? DISK_INSTALL : DISK_SNAPSHOT, .index = keep_from, .snapshot = snapshot});
}

/* ---- in place of the peers ---- */

/* Who is reached under that id: an emptied machine is not who it was. */
static struct host *reached_as(const struct peers *p, uint64_t id)
{
    struct host *h = world_find_id(p->host->world, id);
    return h != NULL && h->raft_id == id ? h : NULL;
}

void peers_send(struct peers *p, uint64_t id, const struct wire_msg *msg)
{
    struct world *w = p->host->world;
    const struct host *to = reached_as(p, id);
    if (to != NULL)
        network_send(&w->network, w->now_ms, p->host->index, to->index, msg);
}

void peers_set_record(struct peers *p, const struct msg_self_record *record)
{
    struct world *w = p->host->world;
    unsigned self = p->host->index;
    p->told[self].valid = true;
    p->told[self].record = *record;
    p->told[self].at_ms = w->now_ms;
    p->told[self].raft_id = p->host->raft_id;
    for (unsigned i = 0; i < w->host_count; i++) {
        struct peers *to = &w->hosts[i].peers;
        if (i == self || w->network.cut[self][i] || to->coming[self].valid)
            continue;
        to->coming[self].valid = true;
        to->coming[self].record = *record;
        to->coming[self].raft_id = p->host->raft_id;
        to->coming[self].at_ms = w->now_ms + 1 + dice_below(&w->dice, 4);
    }
}

static void take_records(struct host *h)
{
    struct world *w = h->world;
    for (unsigned i = 0; i < w->host_count; i++) {
        if (!h->peers.coming[i].valid || h->peers.coming[i].at_ms > w->now_ms)
            continue;
        h->peers.coming[i].valid = false;
        if (w->network.cut[i][h->index])
            continue;
        h->peers.told[i] = h->peers.coming[i];
        h->peers.told[i].valid = true;
        h->peers.contact_ms[i] = w->now_ms;
        h->peers.contact_id[i] = h->peers.told[i].raft_id;
    }
}

bool peers_get_record(const struct peers *p, uint64_t id, uint64_t now_ms, struct msg_self_record *ret_record,
                      uint64_t *ret_age_ms)
{
    const struct host *of = world_find_id(p->host->world, id);
    if (of == NULL || !p->told[of->index].valid || p->told[of->index].raft_id != id)
        return false;
    *ret_record = p->told[of->index].record;
    *ret_age_ms = now_ms - p->told[of->index].at_ms;
    return true;
}

uint64_t peers_contact_ms(const struct peers *p, uint64_t id)
{
    const struct host *of = world_find_id(p->host->world, id);
    return of != NULL && p->contact_id[of->index] == id ? p->contact_ms[of->index] : 0;
}

bool peers_is_connected(const struct peers *p, uint64_t id)
{
    const struct host *to = reached_as(p, id);
    return to != NULL && world_is_connected(p->host->world, p->host->index, to->index) && to->cons.up;
}

uint32_t peers_proposal_level(const struct peers *p)
{
    (void)p;
    return PROPOSAL_LEVEL;
}

const char *peers_version(const struct peers *p, uint64_t id)
{
    (void)p;
    (void)id;
    return "";
}

uint64_t peers_queued_bytes(const struct peers *p, uint64_t id)
{
    (void)p;
    (void)id;
    return 0;
}

bool peers_get_cluster_id(const struct peers *p, uint64_t id, uint8_t ret_cluster_id[CLUSTER_ID_BYTES])
{
    static const uint8_t NONE[CLUSTER_ID_BYTES];
    if (!peers_is_connected(p, id))
        return false;
    memcpy(ret_cluster_id, reached_as(p, id)->storage.identity.cluster_id, CLUSTER_ID_BYTES);
    return memcmp(ret_cluster_id, NONE, sizeof NONE) != 0;
}

void peers_set_cluster_id(struct peers *p, const uint8_t cluster_id[CLUSTER_ID_BYTES])
{
    (void)p;
    (void)cluster_id;
}

void peers_sync(struct peers *p, const struct membership *m)
{
    (void)p;
    (void)m;
}

/* ---- in place of the channels ---- */

static struct host *host_of(struct link *l)
{
    return (struct host *)(void *)l;
}

static void link_send(struct host *h, enum edge e, enum msg_type type, uint64_t request_id, const void *body, int fd)
{
    channel_send(h, e, type, request_id, body, msg_spec_get(type)->body_bytes, fd);
}

void link_send_supervisor(struct link *l, enum msg_type type, uint64_t request_id, const void *body, int fd)
{
    link_send(host_of(l), CONS_TO_SUP, type, request_id, body, fd);
}

void link_send_rpcd(struct link *l, enum msg_type type, uint64_t request_id, const void *body, int fd)
{
    struct host *h = host_of(l);
    const struct msg_commit_result *result = body;
    if (type == MSG_COMMIT_RESULT && result->rc == 0)
        for (unsigned i = 0; i < COMMITS_MAX; i++)
            if (h->commits[i].in_use && h->commits[i].is_sent && h->commits[i].request_id == request_id)
                check_acknowledged(h, h->commits[i].block, result->index);
    if (h->rpc.up)
        link_send(h, CONS_TO_RPC, type, request_id, body, fd);
}

void node_exit(struct node *n, int code)
{
    world_fail(host_of(n->link)->world, "consensus ends with code %d", code);
}

/* ---- life ---- */

static int on_apply(void *ctx, uint64_t index, uint64_t term, struct entry *e)
{
    struct node *n = ctx;
    const struct driver_io io = node_driver_io(n);
    check_applying(host_of(n->link), index, e);
    int rc = io.apply(ctx, index, term, e);
    check_applied(host_of(n->link), index, term, e);
    return rc;
}

static int on_restore(void *ctx, const struct snapshot *s)
{
    struct node *n = ctx;
    const struct driver_io io = node_driver_io(n);
    int rc = io.restore(ctx, s);
    if (rc == 0)
        check_restored(host_of(n->link), s);
    return rc;
}

static void on_changed(void *ctx)
{
    struct node *n = ctx;
    const struct driver_io io = node_driver_io(n);
    io.changed(ctx);
    if (n->driver != NULL)
        check_view(host_of(n->link));
}

static void start_driver(struct host *h)
{
    struct world *w = h->world;
    struct node *n = h->node;
    struct driver_recovered recovered;
    struct entry **entries;
    struct driver_io io = node_driver_io(n);
    struct driver_options options = {.self_id = n->raft_id,
                                     .election_timeout_ms = NODE_ET_MS,
                                     .snapshot_threshold = 10 + dice_below(&w->dice, 100),
                                     .snapshot_threshold_bytes = 1 << 20,
                                     .snapshot_interval_ms = 5000,
                                     .trailing_entries = dice_below(&w->dice, 30),
                                     .trailing_bytes = 1 << 16,
                                     .turn = DRIVER_TURN_LAST,
                                     .random_seed = dice_below(&w->dice, NEVER)};
    io.apply = on_apply;
    io.restore = on_restore;
    io.changed = on_changed;
    snprintf(options.self_address, sizeof options.self_address, "%s@%s", h->options.server_id, n->advertised);
    sim_disk_recover(&h->storage.disk, &recovered, &entries);
    int rc = driver_open(&options, &io, &n->driver);
    if (rc == 0)
        rc = driver_start(n->driver, w->now_ms, &recovered);
    free(entries);
    if (rc != 0)
        world_fail(w, "%s does not start: %d", h->options.server_id, rc);
}

void consensus_start(struct host *h)
{
    struct world *w = h->world;
    struct node *n = calloc(1, sizeof *n);
    if (n == NULL)
        abort();
    h->node = n;
    h->cons = (struct process){.up = true, .up_at_ms = NEVER};
    h->last_applied = 0;
    h->cons_page = (struct page_writer){.len = sizeof(struct page_consensus)};
    memset(h->peers.told, 0, sizeof h->peers.told);
    memset(h->peers.contact_ms, 0, sizeof h->peers.contact_ms);
    memset(h->peers.contact_id, 0, sizeof h->peers.contact_id);
    memcpy(n->config.common.server_id, h->options.server_id, sizeof n->config.common.server_id);
    n->raft_id = h->raft_id;
    n->storage = &h->storage;
    n->peers = &h->peers;
    n->link = (struct link *)(void *)h;
    n->worker.page = &h->cons_page;
    n->head_changed_ms = w->now_ms;
    snprintf(n->advertised, sizeof n->advertised, "host:%u", h->index + 1);
    n->window = window_new((unsigned)h->options.window_payloads, h->options.window_bytes);
    n->commits = commits_new(n);
    n->exports = exports_new(n);
    n->adopts = adopts_new(n);
    n->members = members_new(n);
    n->transfer = transfer_new(n);
    n->publisher = publish_new(n);
    start_driver(h);
    n->is_started = n->is_dirty = true;
    node_spread_news(n);
    world_log(w, h, "consensus starts");
    for (unsigned i = 0; i < w->host_count; i++)
        if (i != h->index && w->hosts[i].cons.up && world_is_connected(w, i, h->index))
            consensus_reconnect(h, &w->hosts[i]);
    supervisor_tell_worker(h, ROLE_CONSENSUS, true);
}

void consensus_reconnect(struct host *a, struct host *b)
{
    if (a->node->driver == NULL || b->node->driver == NULL)
        return;
    driver_peer_connected(a->node->driver, a->world->now_ms, b->node->raft_id);
    driver_peer_connected(b->node->driver, a->world->now_ms, a->node->raft_id);
}

void consensus_kill(struct host *h, bool peers_see_it)
{
    struct world *w = h->world;
    struct node *n = h->node;
    if (!h->cons.up)
        return;
    world_log(w, h, "consensus ends");
    transfer_free(n->transfer);
    members_free(n->members); /* with its probes */
    exports_free(n->exports);
    adopts_free(n->adopts);
    commits_free(n->commits);
    driver_close(n->driver);
    window_free(n->window);
    publish_free(n->publisher);
    free(n);
    h->node = NULL;
    h->cons = (struct process){.up_at_ms = w->now_ms + RESTART_MS + dice_below(&w->dice, 60)};
    sim_disk_crash(&h->storage.disk);
    channel_clear(&h->channels[SUP_TO_CONS]);
    channel_clear(&h->channels[RPC_TO_CONS]);
    channel_clear(&h->channels[CONS_TO_RPC]);
    rpc_consensus_down(h);
    for (unsigned i = 0; peers_see_it && i < w->host_count; i++)
        if (i != h->index && w->hosts[i].cons.up && w->hosts[i].node->driver != NULL &&
            world_is_connected(w, i, h->index) && dice_chance(&w->dice, 70))
            driver_peer_gone(w->hosts[i].node->driver, w->now_ms, h->raft_id);
    supervisor_tell_worker(h, ROLE_CONSENSUS, false);
}

void consensus_rpc_gone(struct host *h)
{
    commits_drop_callers(h->node->commits);
    adopts_drop_callers(h->node->adopts);
    members_drop_callers(h->node->members);
}

/* ---- one millisecond ---- */

void consensus_deliver(struct host *h, struct packet *p)
{
    struct world *w = h->world;
    if (h->node->driver == NULL) {
        packet_free(p);
        return;
    }
    h->peers.contact_ms[p->from] = w->now_ms;
    h->peers.contact_id[p->from] = w->hosts[p->from].raft_id;
    int rc = driver_receive(h->node->driver, w->now_ms, w->hosts[p->from].raft_id, &p->msg);
    if (rc != 0)
        world_fail(w, "%s refused an honest message of kind %d: %d", h->options.server_id, (int)p->msg.kind, rc);
    free(p);
}

static void run_disk(struct host *h)
{
    struct disk_job done;
    while (h->node->driver != NULL && sim_disk_take(&h->storage.disk, h->world->now_ms, &done)) {
        const struct storage_event event = {.kind = done.kind == DISK_APPEND ? STORAGE_ENTRIES_DURABLE
                                                                             : STORAGE_SNAPSHOT_DURABLE,
                                            .index = done.index,
                                            .snapshot = done.snapshot};
        node_take_disk_event(h->node, &event);
    }
}

static void take_supervisor_letter(struct node *n, const struct chan_msg *msg)
{
    switch (msg->type) {
    case MSG_TRANSFER:
        transfer_request(n->transfer, msg);
        break;
    case MSG_EXPORT:
        exports_request(n->exports, msg);
        break;
    case MSG_PERMIT:
        commits_set_permit(n->commits, msg->body);
        break;
    case MSG_SELF_RECORD:
        node_take_self_record(n, msg->body);
        break;
    case MSG_RELEASE_HOLD:
        n->storage->identity.fresh_bootstrap = false;
        n->is_dirty = true;
        break;
    case MSG_STOP_RAFT:
        n->is_stopped = n->is_dirty = true;
        driver_close(n->driver);
        n->driver = NULL;
        break;
    default:
        break;
    }
}

static void take_letters(struct host *h)
{
    const struct ring_view ring = {h->ring, (size_t)COMMITS_MAX * 4096};
    struct letter *l;
    while ((l = channel_take(h->world, &h->channels[SUP_TO_CONS])) != NULL) {
        struct chan_msg msg = {
            .type = l->type, .request_id = l->request_id, .body = l->body, .body_len = l->len, .fd = -1};
        take_supervisor_letter(h->node, &msg);
        letter_free(l);
    }
    while ((l = channel_take(h->world, &h->channels[RPC_TO_CONS])) != NULL) {
        struct chan_msg msg = {
            .type = l->type, .request_id = l->request_id, .body = l->body, .body_len = l->len, .fd = -1};
        if (l->type == MSG_MEMBER_OP)
            members_request(h->node->members, &msg);
        else
            commits_request(h->node->commits, &msg, &ring);
        letter_free(l);
    }
}

void consensus_step(struct host *h)
{
    struct node *n = h->node;
    take_records(h);
    probes_step(h);
    run_disk(h);
    take_letters(h);
    if (node_deadline_ms(n) <= h->world->now_ms)
        node_tick(n);
    node_spread_news(n);
}
