/* Makes the edges between the workers. */
#include "supervisor/broker.h"

#include "shared/base/err.h"
#include "shared/base/fd.h"
#include "shared/base/log.h"

static bool is_up(const struct link *l)
{
    return l->chan && (l->child->state == LIFE_STARTING || l->child->state == LIFE_RUNNING);
}

static void send_page(struct broker *b, enum proc_role owner, uint32_t incarnation, int fd)
{
    const struct msg_page page = {.owner_role = (uint32_t)owner, .incarnation = incarnation};

    if (fd >= 0)
        (void)link_send(b->rpcd, MSG_PAGE, 0, &page, fd);
}

static void send_listener(struct broker *b, enum listener_kind kind, uint32_t port, int fd)
{
    const struct msg_listener listener = {.kind = (uint32_t)kind, .port = port};

    if (fd >= 0)
        (void)link_send(b->rpcd, MSG_LISTENER, 0, &listener, fd);
}

static void connect_peers(struct broker *b)
{
    const struct msg_peer consensus = {.role = ROLE_CONSENSUS, .incarnation = b->consensus->child->incarnation};
    const struct msg_peer rpcd = {.role = ROLE_RPCD, .incarnation = b->rpcd->child->incarnation};
    int fds[2];
    int rc;

    if (b->edge_is_up || !is_up(b->consensus) || !is_up(b->rpcd))
        return;
    rc = fd_make_socketpair(fds);
    if (rc < 0) {
        LOG_ERROR("Cannot connect rpcd with consensus", LOG_E(rc));
        child_ask_kill(b->rpcd->child, "it cannot be connected with consensus");
        return;
    }
    (void)link_send(b->consensus, MSG_PEER_UP, 0, &rpcd, fds[0]);
    (void)link_send(b->rpcd, MSG_PEER_UP, 0, &consensus, fds[1]);
    fd_close(&fds[0]);
    fd_close(&fds[1]);
    b->edge_is_up = true;
}

static void send_flight(struct broker *b, struct link *l)
{
    const struct msg_empty empty = {0};

    if (b->flight_fd >= 0)
        (void)link_send(l, MSG_FLIGHT, 0, &empty, b->flight_fd);
}

void broker_on_started(struct broker *b, struct link *l)
{
    if (l == b->rpcd) {
        send_page(b, ROLE_SUPERVISOR, 1, b->page_fd);
        send_page(b, ROLE_CONSENSUS, b->consensus->child->incarnation, b->consensus->page_fd);
        send_page(b, ROLE_HEALTHD, b->healthd->child->incarnation, b->healthd->page_fd);
        send_listener(b, LISTENER_RPC, b->rpc_port, b->rpc_fd);
        send_listener(b, LISTENER_METRICS, b->metrics_port, b->metrics_fd);
        send_listener(b, LISTENER_ADMIN, 0, b->admin_fd);
    } else if (is_up(b->rpcd)) {
        send_page(b, l->role, l->child->incarnation, l->page_fd);
    }
    if (l == b->rpcd || l == b->consensus)
        send_flight(b, l);
    connect_peers(b);
}

void broker_on_gone(struct broker *b, struct link *l)
{
    const struct msg_peer gone = {.role = (uint32_t)l->role, .incarnation = l->child->incarnation};
    struct link *other = l == b->consensus ? b->rpcd : b->consensus;

    if (!b->edge_is_up || (l != b->consensus && l != b->rpcd))
        return;
    b->edge_is_up = false;
    if (is_up(other))
        (void)link_send(other, MSG_PEER_DOWN, 0, &gone, -1);
}
