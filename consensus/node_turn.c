/* What the worker knows, and one turn of its loop without the loop: disk events, deadlines, news. */
#include "consensus/node.h"

#include "consensus/adopt.h"
#include "consensus/commit.h"
#include "consensus/export.h"
#include "consensus/identity.h"
#include "consensus/members.h"
#include "consensus/publish.h"
#include "consensus/transfer.h"
#include "shared/base/clock.h"
#include "shared/base/err.h"
#include "shared/base/log.h"

#include <string.h>

/* ---- looking ---- */

struct driver_view node_view(const struct node *n)
{
    static const struct membership NOBODY;
    if (n->driver)
        return driver_view(n->driver);
    return (struct driver_view){.state = n->is_stopped ? RAFT_ROLE_STOPPED : RAFT_ROLE_FOLLOWER,
                                .membership = &NOBODY,
                                .committed_membership = &NOBODY};
}

const struct membership *node_membership(const struct node *n)
{
    return node_view(n).membership;
}

void node_server_name(const struct node *n, uint64_t id, char ret_name[SERVER_ID_SIZE])
{
    const struct member *m = identity_find_id(node_membership(n), id);
    if (!m || identity_parse_address(m->address, ret_name, NULL))
        ret_name[0] = '\0';
}

int node_check_leader(const struct node *n)
{
    struct driver_view view = node_view(n);
    if (!n->driver)
        return n->is_stopped ? OC_ESHUTDOWN : OC_ETRANSFER; /* still starting: worth waiting for */
    if (view.state != RAFT_ROLE_LEADER)
        return OC_ENOTLEADER;
    return view.transferring ? OC_ETRANSFER : 0;
}

int node_propose(struct node *n, struct entry *e, struct proposal *p, uint64_t *ret_index, uint64_t *ret_term)
{
    if (proposal_kind_level(p->kind) > peers_proposal_level(n->peers))
        return OC_EVERSION;
    p->proposer = n->raft_id;
    proposal_entry_seal(e, p);
    return driver_propose(n->driver, clock_mono_ms(), e, ret_index, ret_term);
}

/* ---- events ---- */

void node_take_disk_event(struct node *n, const struct storage_event *event)
{
    uint64_t now = clock_mono_ms();
    switch (event->kind) {
    case STORAGE_ENTRIES_DURABLE:
        commits_on_durable(n->commits, event->index);
        driver_entries_durable(n->driver, now, event->index);
        break;
    case STORAGE_SNAPSHOT_DURABLE:
        driver_snapshot_durable(n->driver, now, event->snapshot);
        n->is_dirty = true; /* where the log begins is on the page */
        break;
    case STORAGE_DISK_FAILED:
        driver_disk_failed(n->driver, event->rc, event->text);
        break;
    }
}

static enum driver_turn turn_of(const struct msg_self_record *record)
{
    if (record->paused || record->reason == READY_STOPPED)
        return DRIVER_TURN_LAST;
    return record->reason == READY_OK ? DRIVER_TURN_FIRST : DRIVER_TURN_LATER;
}

void node_take_self_record(struct node *n, const struct msg_self_record *record)
{
    peers_set_record(n->peers, record);
    if (n->driver)
        driver_set_turn(n->driver, clock_mono_ms(), turn_of(record));
}

void node_tick(struct node *n)
{
    uint64_t now = clock_mono_ns();
    if (n->driver)
        driver_tick(n->driver, now / 1000000);
    if (!n->is_started)
        return;
    commits_tick(n->commits, now);
    exports_tick(n->exports, now);
    adopts_tick(n->adopts, now);
    members_tick(n->members, now);
    transfer_tick(n->transfer, now);
}

static uint64_t earliest(uint64_t a, uint64_t b)
{
    return a < b ? a : b;
}

uint64_t node_deadline_ms(const struct node *n)
{
    uint64_t deadline = n->driver ? driver_deadline_ms(n->driver) : UINT64_MAX;
    if (!n->is_started)
        return deadline;
    uint64_t ns = earliest(commits_deadline_ns(n->commits), exports_deadline_ns(n->exports));
    ns = earliest(ns, adopts_deadline_ns(n->adopts));
    ns = earliest(ns, members_deadline_ns(n->members));
    ns = earliest(ns, transfer_deadline_ns(n->transfer));
    ns = earliest(ns, publish_deadline_ns(n->publisher));
    return ns != UINT64_MAX ? earliest(deadline, (ns + 999999) / 1000000) : deadline;
}

/* ---- news ---- */

/* A member that joined without knowing the cluster's id learns it with its first configuration. */
static void adopt_cluster_id(struct node *n, const struct driver_view *view)
{
    static const uint8_t NONE[CLUSTER_ID_BYTES];
    uint8_t id[CLUSTER_ID_BYTES];
    if (memcmp(storage_identity(n->storage)->cluster_id, NONE, sizeof NONE) != 0 || view->leader_id == 0 ||
        !identity_find_id(view->membership, n->raft_id) || !peers_get_cluster_id(n->peers, view->leader_id, id))
        return;
    int rc = storage_set_cluster_id(n->storage, id);
    if (rc) {
        LOG_CRIT("Cannot store the cluster id", LOG_S("dir", n->config.storage_dir), LOG_E(rc));
        node_exit(n, WORKER_EXIT_TRY_LATER);
        return;
    }
    peers_set_cluster_id(n->peers, id);
    LOG_INFO("Joined a cluster");
}

static bool is_same_membership(const struct membership *a, const struct membership *b)
{
    if (a->index != b->index || a->count != b->count)
        return false;
    for (unsigned i = 0; i < a->count; i++)
        if (a->members[i].id != b->members[i].id || a->members[i].role != b->members[i].role ||
            strcmp(a->members[i].address, b->members[i].address) != 0)
            return false;
    return true;
}

/* Something in the driver's view changed: everybody who depends on it looks, the page first. */
static void spread(struct node *n)
{
    struct driver_view view = node_view(n);
    n->is_dirty = false;
    if (!is_same_membership(&n->peers_membership, view.membership)) {
        n->peers_membership = *view.membership;
        peers_sync(n->peers, &n->peers_membership);
    }
    adopt_cluster_id(n, &view);
    publish_page(n->publisher);
    publish_leadership(n->publisher);
    commits_on_view(n->commits, &view);
    exports_on_view(n->exports, &view);
    adopts_on_view(n->adopts, &view);
    members_on_view(n->members);
    transfer_on_view(n->transfer, &view);
}

void node_spread_news(struct node *n)
{
    if (!n->is_started)
        return;
    if (n->is_dirty)
        spread(n);
    publish_tick(n->publisher, clock_mono_ns());
}
