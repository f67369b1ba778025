/* Status page and leadership events (see publish.h). */
#include "consensus/publish.h"

#include "consensus/commit.h"
#include "consensus/identity.h"
#include "consensus/link.h"
#include "consensus/node.h"
#include "shared/base/clock.h"
#include "shared/base/log.h"
#include "shared/shm/pages.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct publisher {
    struct node *node;
    uint64_t may_beat_ns, next_beat_ns;
    bool sent_once;
    struct msg_leadership sent;
    struct page_consensus page; /* scratch */
};

struct publisher *publish_new(struct node *n)
{
    struct publisher *p = calloc(1, sizeof *p);
    if (p)
        p->node = n;
    return p;
}

void publish_free(struct publisher *p)
{
    free(p);
}

static uint64_t suffrage_of(enum member_role role)
{
    switch (role) {
    case MEMBER_VOTER:
        return SUFFRAGE_VOTER;
    case MEMBER_STANDBY:
        return SUFFRAGE_NONVOTER;
    case MEMBER_SPARE:
        break;
    }
    return SUFFRAGE_STAGING;
}

static void fill_server(const struct node *n, const struct member *m, uint64_t now_ms, struct page_server *s)
{
    uint64_t heard = peers_contact_ms(n->peers, m->id);
    uint64_t raft_heard = n->driver ? driver_last_contact_ms(n->driver, m->id) : 0;
    memset(s, 0, sizeof *s);
    (void)identity_parse_address(m->address, s->id, s->addr);
    s->suffrage = suffrage_of(m->role);
    if (raft_heard > heard)
        heard = raft_heard;
    if (m->id == n->raft_id)
        s->contact_age_ms = 0;
    else
        s->contact_age_ms = !heard ? UINT64_MAX : now_ms > heard ? now_ms - heard : 0;
    s->queued_bytes = peers_queued_bytes(n->peers, m->id);
    snprintf(s->version, sizeof s->version, "%s", peers_version(n->peers, m->id));
    if (!peers_get_record(n->peers, m->id, now_ms, &s->record, &s->record_age_ms))
        s->record_age_ms = UINT64_MAX;
}

static void fill_servers(struct publisher *p, const struct driver_view *view)
{
    const struct node *n = p->node;
    struct page_consensus *page = &p->page;
    uint64_t now_ms = clock_mono_ms();
    page->membership_version = view->membership->index;
    page->server_count = view->membership->count;
    for (unsigned i = 0; i < view->membership->count; i++) {
        const struct member *m = &view->membership->members[i];
        fill_server(n, m, now_ms, &page->servers[i]);
        if (m->id == view->leader_id) {
            memcpy(page->leader_id, page->servers[i].id, sizeof page->leader_id);
            memcpy(page->leader_addr, page->servers[i].addr, sizeof page->leader_addr);
        }
    }
}

void publish_page(struct publisher *p)
{
    struct node *n = p->node;
    struct page_consensus *page = &p->page;
    struct driver_view view = node_view(n);
    struct commit_counts counts = commits_counts(n->commits);
    uint64_t now_ns = clock_mono_ns();
    struct block_id head;
    memset(page, 0, sizeof *page);
    page->state = view.state;
    page->leader_ready = view.leader_ready;
    page->term = view.term;
    page->transferring = view.transferring;
    page->commit_index = view.commit_index;
    page->applied_index = view.applied_index;
    page->last_index = view.last_index;
    page->durable_index = view.durable_index;
    page->first_index = view.first_index;
    page->snapshot_index = view.snapshot_index;
    page->elections_total = view.elections;
    page->commits_total = counts.ok_total;
    page->commits_failed_total = counts.failed_total;
    page->last_commit_us = counts.last_us;
    if (n->window) {
        page->window_count = window_count(n->window);
        page->window_bytes = window_bytes(n->window);
        if (window_head(n->window, &head)) {
            page->head_valid = 1;
            page->head = head;
        }
    }
    if (n->storage) {
        page->disk_bytes = storage_disk_bytes(n->storage);
        memcpy(page->cluster_id, storage_identity(n->storage)->cluster_id, sizeof page->cluster_id);
    }
    memcpy(page->self_addr, n->advertised, sizeof page->self_addr);
    if (n->peers)
        fill_servers(p, &view);
    page_publish(n->worker.page, page, now_ns);
    p->may_beat_ns = now_ns + PAGE_MAY_BEAT_MS * UINT64_C(1000000);
    p->next_beat_ns = now_ns + PAGE_BEAT_MS * UINT64_C(1000000);
}

void publish_leadership(struct publisher *p)
{
    struct node *n = p->node;
    struct driver_view view = node_view(n);
    struct msg_leadership now = {
        .state = view.state, .leader_ready = view.leader_ready, .term = view.term, .asked = view.asked};
    struct block_id head;
    node_server_name(n, view.leader_id, now.leader_id);
    now.fresh_bootstrap = storage_identity(n->storage)->fresh_bootstrap;
    now.head_valid = window_head(n->window, &head);
    bool is_news = !p->sent_once || memcmp(&now, &p->sent, sizeof now) != 0;
    if (!is_news)
        return;
    if (!p->sent_once || now.state != p->sent.state || strcmp(now.leader_id, p->sent.leader_id) != 0)
        LOG_INFO("Raft state", LOG_B("leader", now.state == RAFT_ROLE_LEADER), LOG_U("term", now.term),
                 LOG_S("leader_id", now.leader_id));
    p->sent = now;
    p->sent_once = true;
    if (now.head_valid)
        now.head = head;
    link_send_supervisor(n->link, MSG_LEADERSHIP, 0, &now, -1);
}

void publish_tick(struct publisher *p, uint64_t now_ns)
{
    if (now_ns >= p->may_beat_ns)
        publish_page(p);
}

uint64_t publish_deadline_ns(const struct publisher *p)
{
    return p->next_beat_ns;
}
