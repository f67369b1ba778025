/* Reading the status pages (see status.h). */
#include "rpcd/status.h"

#include "shared/base/clock.h"
#include "shared/base/err.h"

#include <errno.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

struct status {
    struct rpcd *app;
    struct page_reader *consensus, *health, *supervisor;
    bool consensus_is_down;
};

struct status *status_new(struct rpcd *app)
{
    struct status *s = calloc(1, sizeof *s);
    if (s != NULL)
        s->app = app;
    return s;
}

static void close_page(struct page_reader **page)
{
    if (*page != NULL)
        page_close(*page);
    *page = NULL;
}

void status_free(struct status *s)
{
    if (s == NULL)
        return;
    close_page(&s->consensus);
    close_page(&s->health);
    close_page(&s->supervisor);
    free(s);
}

static struct page_reader **slot_of(struct status *s, uint32_t role, size_t *ret_bytes)
{
    switch (role) {
    case ROLE_CONSENSUS:
        *ret_bytes = sizeof(struct page_consensus);
        return &s->consensus;
    case ROLE_HEALTHD:
        *ret_bytes = sizeof(struct page_health);
        return &s->health;
    case ROLE_SUPERVISOR:
        *ret_bytes = sizeof(struct page_supervisor);
        return &s->supervisor;
    default:
        return NULL;
    }
}

int status_set_page(struct status *s, const struct msg_page *page, int fd)
{
    size_t bytes;
    struct page_reader **slot = slot_of(s, page->owner_role, &bytes);
    if (slot == NULL)
        return OC_EPROTO;
    struct page_reader *reader = page_open(fd, (enum proc_role)page->owner_role, bytes);
    if (reader == NULL)
        return -errno;
    close_page(slot);
    *slot = reader;
    if (page->owner_role == ROLE_CONSENSUS)
        s->consensus_is_down = false;
    return 0;
}

void status_consensus_down(struct status *s)
{
    s->consensus_is_down = true;
}

const struct config_common *status_config(const struct status *s)
{
    return &s->app->config.common;
}

static bool is_fresh(const struct page_reader *page)
{
    return page != NULL && page_age_ms(page, clock_mono_ns()) <= PAGE_STALE_MS;
}

static bool has_consensus(const struct status *s)
{
    return !s->consensus_is_down && is_fresh(s->consensus);
}

void status_read_raft(const struct status *s, struct status_raft *ret)
{
    /* A prefix: the servers behind it are most of the page. */
    union {
        struct page_consensus page;
        char bytes[1];
    } u;
    enum { PREFIX = offsetof(struct page_consensus, commit_index) };
    memset(ret, 0, sizeof *ret);
    if (!has_consensus(s) || page_read(s->consensus, u.bytes, PREFIX) < 0)
        return;
    ret->is_fresh = true;
    ret->state = u.page.state;
    ret->leader_ready = u.page.leader_ready != 0;
    ret->transferring = u.page.transferring != 0;
    ret->term = u.page.term;
    memcpy(ret->leader_id, u.page.leader_id, sizeof ret->leader_id);
    memcpy(ret->leader_addr, u.page.leader_addr, sizeof ret->leader_addr);
    ret->leader_id[sizeof ret->leader_id - 1] = ret->leader_addr[sizeof ret->leader_addr - 1] = '\0';
}

bool status_read_consensus_any_age(const struct status *s, struct page_consensus *ret)
{
    memset(ret, 0, sizeof *ret);
    if (s->consensus == NULL || page_read(s->consensus, ret, sizeof *ret) < 0) {
        memset(ret, 0, sizeof *ret);
        return false;
    }
    if (ret->server_count > CLUSTER_SERVERS_MAX)
        ret->server_count = CLUSTER_SERVERS_MAX;
    return true;
}

bool status_read_consensus(const struct status *s, struct page_consensus *ret)
{
    if (has_consensus(s) && status_read_consensus_any_age(s, ret))
        return true;
    memset(ret, 0, sizeof *ret);
    return false;
}

bool status_read_health(const struct status *s, struct page_health *ret)
{
    memset(ret, 0, sizeof *ret);
    if (!is_fresh(s->health) || page_read(s->health, ret, sizeof *ret) < 0) {
        memset(ret, 0, sizeof *ret);
        return false;
    }
    return true;
}

bool status_read_supervisor(const struct status *s, struct page_supervisor *ret)
{
    memset(ret, 0, sizeof *ret);
    if (s->supervisor == NULL || page_read(s->supervisor, ret, sizeof *ret) < 0) {
        memset(ret, 0, sizeof *ret);
        return false;
    }
    return true;
}

bool status_is_leader(const struct status *s)
{
    struct status_raft raft;
    status_read_raft(s, &raft);
    return raft.is_fresh && raft.leader_ready;
}

bool status_answers_leader(const struct status *s)
{
    uint32_t head[4]; /* paused, stopped, overridden, node_managed */
    _Static_assert(offsetof(struct page_supervisor, overridden) == 8, "the page's first words");
    if (s->supervisor != NULL && page_read(s->supervisor, head, sizeof head) == 0 && head[2] != 0)
        return true;
    return status_is_leader(s);
}

enum commit_verdict status_commit_verdict(const struct status_raft *raft, bool has_channel, const char *self_id)
{
    if (!raft->is_fresh)
        return COMMIT_HOLD;
    if (raft->state == RAFT_ROLE_STOPPED)
        return COMMIT_REFUSE_STOPPED;
    if (raft->state == RAFT_ROLE_LEADER)
        return has_channel && raft->leader_ready && !raft->transferring ? COMMIT_SEND : COMMIT_HOLD;
    if (raft->leader_id[0] != '\0' && strcmp(raft->leader_id, self_id) != 0)
        return COMMIT_REFUSE_OTHER;
    return COMMIT_HOLD;
}
