/* Exports of payload records (see export.h). */
#include "consensus/export.h"

#include "consensus/link.h"
#include "consensus/node.h"
#include "consensus/outlook.h"
#include "shared/base/clock.h"
#include "shared/base/err.h"
#include "shared/base/fd.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

struct export_job {
    bool in_use;
    uint64_t request_id, above_number, deadline_ns;
    uint64_t index, term; /* of the barrier */
};

struct exports {
    struct node *node;
    struct outlook outlook; /* scratch */
    struct export_job jobs[EXPORTS_IN_FLIGHT_MAX];
};

struct exports *exports_new(struct node *n)
{
    struct exports *x = calloc(1, sizeof *x);
    if (x)
        x->node = n;
    return x;
}

void exports_free(struct exports *x)
{
    free(x);
}

/* ---- memory files ---- */

struct piece {
    const void *data;
    size_t len;
};

/* Returns a sealed memfd holding the pieces, or a negative code. */
static int make_sealed(const char *name, const struct piece *pieces, unsigned count, size_t bytes)
{
    int fd = fd_make_memfd(name, bytes);
    if (fd < 0)
        return fd;
    int rc = 0;
    for (unsigned i = 0; i < count && rc == 0; i++)
        rc = fd_write_all(fd, pieces[i].data, pieces[i].len);
    if (rc == 0)
        rc = fd_seal(fd, FD_SEALS_FINAL);
    if (rc) {
        fd_close(&fd);
        return rc;
    }
    return fd;
}

/* ---- EXPORT ---- */

static void send_error(struct exports *x, uint64_t request_id, int rc)
{
    struct msg_export_result result = {.rc = rc, .term = node_view(x->node).term};
    link_send_supervisor(x->node->link, MSG_EXPORT_RESULT, request_id, &result, -1);
}

/* The newest contiguous records above the height, oldest first; *ret_first is the first item's place. */
static unsigned find_records(const struct window *w, uint64_t above_number, unsigned *ret_first)
{
    unsigned count = window_count(w), first = count;
    while (first > 0 && window_at(w, first - 1)->record && window_at(w, first - 1)->block.number > above_number)
        first--;
    *ret_first = first;
    return count - first;
}

static int write_records(const struct window *w, unsigned first, unsigned count, struct msg_export_result *result)
{
    struct piece *pieces = calloc((size_t)count * 2, sizeof *pieces);
    uint64_t *lengths = calloc(count, sizeof *lengths);
    int fd = -ENOMEM;
    if (pieces && lengths) {
        for (unsigned i = 0; i < count; i++) {
            const struct window_item *item = window_at(w, first + i);
            lengths[i] = item->record_len;
            struct piece *p = &pieces[(size_t)i * 2];
            p[0] = (struct piece){&lengths[i], sizeof lengths[i]};
            p[1] = (struct piece){item->record, item->record_len};
            result->total_bytes += sizeof lengths[i] + item->record_len;
        }
        result->first_number = window_at(w, first)->block.number;
        result->record_count = count;
        fd = make_sealed("op-conductor-export", pieces, count * 2, result->total_bytes);
    }
    free(pieces);
    free(lengths);
    return fd;
}

static void send_export(struct exports *x, const struct export_job *job)
{
    struct msg_export_result result = {.term = job->term};
    const struct window *w = x->node->window;
    unsigned first, count;
    int fd = -1;
    if (window_head(w, &result.head)) {
        result.head_valid = 1;
        count = find_records(w, job->above_number, &first);
        if (count > 0) {
            fd = write_records(w, first, count, &result);
            if (fd < 0) {
                send_error(x, job->request_id, fd);
                return;
            }
        }
    }
    link_send_supervisor(x->node->link, MSG_EXPORT_RESULT, job->request_id, &result, fd);
    fd_close(&fd);
}

void exports_request(struct exports *x, const struct chan_msg *msg)
{
    struct msg_export req;
    struct export_job *job = NULL;
    int rc = node_check_leader(x->node);
    memcpy(&req, msg->body, sizeof req);
    for (unsigned i = 0; i < EXPORTS_IN_FLIGHT_MAX && !job; i++)
        if (!x->jobs[i].in_use)
            job = &x->jobs[i];
    if (rc == 0 && !job)
        rc = OC_EFULL;
    if (rc == 0) {
        *job = (struct export_job){
            .request_id = msg->request_id, .above_number = req.above_number, .deadline_ns = req.deadline_mono_ns};
        /* What the node is to take over from may be ahead of us; the barrier comes behind the adoption. */
        if (node_view(x->node).leader_ready) {
            outlook_take(x->node, &x->outlook);
            (void)outlook_adopt_head(x->node, &x->outlook);
        }
        rc = driver_barrier(x->node->driver, clock_mono_ms(), &job->index, &job->term);
    }
    if (rc)
        send_error(x, msg->request_id, rc);
    else
        job->in_use = true;
}

void exports_on_applied(struct exports *x, uint64_t index, uint64_t term)
{
    for (unsigned i = 0; i < EXPORTS_IN_FLIGHT_MAX; i++) {
        struct export_job *job = &x->jobs[i];
        if (!job->in_use || job->index != index)
            continue;
        job->in_use = false;
        if (job->term == term)
            send_export(x, job);
        else
            send_error(x, job->request_id, OC_ELOST);
    }
}

void exports_on_view(struct exports *x, const struct driver_view *view)
{
    for (unsigned i = 0; i < EXPORTS_IN_FLIGHT_MAX; i++) {
        struct export_job *job = &x->jobs[i];
        if (!job->in_use || (view->state == RAFT_ROLE_LEADER && view->term == job->term))
            continue;
        job->in_use = false;
        send_error(x, job->request_id, view->state == RAFT_ROLE_STOPPED ? OC_ESHUTDOWN : OC_ELOST);
    }
}

void exports_tick(struct exports *x, uint64_t now_ns)
{
    for (unsigned i = 0; i < EXPORTS_IN_FLIGHT_MAX; i++)
        if (x->jobs[i].in_use && now_ns >= x->jobs[i].deadline_ns) {
            x->jobs[i].in_use = false;
            send_error(x, x->jobs[i].request_id, OC_EDEADLINE);
        }
}

uint64_t exports_deadline_ns(const struct exports *x)
{
    uint64_t deadline = UINT64_MAX;
    for (unsigned i = 0; i < EXPORTS_IN_FLIGHT_MAX; i++)
        if (x->jobs[i].in_use && x->jobs[i].deadline_ns < deadline)
            deadline = x->jobs[i].deadline_ns;
    return deadline;
}

/* ---- PAYLOAD_GET ---- */

void exports_get_payload(struct node *n, const struct chan_msg *msg)
{
    struct msg_payload_get req;
    struct msg_payload_result result = {.rc = OC_EUNKNOWN};
    const struct window_item *item = NULL;
    int fd = -1;
    memcpy(&req, msg->body, sizeof req);
    if (n->window && window_count(n->window) > 0)
        item =
            req.number ? window_find_number(n->window, req.number) : window_at(n->window, window_count(n->window) - 1);
    if (item && item->record) {
        const struct piece piece = {item->record, item->record_len};
        fd = make_sealed("op-conductor-payload", &piece, 1, item->record_len);
        result.rc = fd < 0 ? fd : 0;
        result.block = item->block;
        result.bytes = item->record_len;
    }
    link_send_rpcd(n->link, MSG_PAYLOAD_RESULT, msg->request_id, &result, fd);
    if (fd >= 0)
        fd_close(&fd);
}
