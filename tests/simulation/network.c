/* The simulated network, see network.h. */
#include "tests/simulation/network.h"

#include <stdlib.h>
#include <string.h>

/* A copy, as over a real wire. */
static struct entry *copy_entry(struct entry *e)
{
    struct entry *copy = entry_new(entry_type(e), entry_term(e), entry_len(e));
    if (copy == NULL)
        abort();
    memcpy(entry_payload(copy), entry_payload(e), entry_len(e));
    return copy;
}

void network_send(struct network *n, uint64_t now_ms, unsigned from, unsigned to, const struct wire_msg *msg)
{
    if (n->cut[from][to] || dice_chance(n->dice, n->loss_percent))
        return;
    for (unsigned copies = dice_chance(n->dice, n->duplicate_percent) ? 2 : 1; copies > 0; copies--) {
        struct packet *p = malloc(sizeof *p);
        uint64_t delay = 1 + dice_below(n->dice, 3);
        if (p == NULL)
            abort();
        if (dice_chance(n->dice, n->slow_percent))
            delay += dice_below(n->dice, 150);
        *p = (struct packet){.at_ms = now_ms + delay, .from = from, .to = to, .msg = *msg};
        if (msg->kind == WIRE_APPEND && msg->append.entry != NULL)
            p->msg.append.entry = copy_entry(msg->append.entry);
        if (msg->kind == WIRE_INSTALL_SNAPSHOT)
            snapshot_ref(msg->install.snapshot);
        p->next = n->packets;
        n->packets = p;
    }
}

struct packet *network_take(struct network *n, uint64_t now_ms)
{
    for (struct packet **at = &n->packets; *at != NULL;) {
        struct packet *p = *at;
        if (p->at_ms > now_ms) {
            at = &p->next;
            continue;
        }
        *at = p->next;
        if (!n->cut[p->from][p->to])
            return p;
        packet_free(p);
    }
    return NULL;
}

void network_put_back(struct network *n, struct packet *p, uint64_t at_ms)
{
    p->at_ms = at_ms;
    p->next = n->packets;
    n->packets = p;
}

void packet_free(struct packet *p)
{
    if (p->msg.kind == WIRE_APPEND)
        entry_unref(p->msg.append.entry);
    if (p->msg.kind == WIRE_INSTALL_SNAPSHOT)
        snapshot_unref(p->msg.install.snapshot);
    free(p);
}

void network_drop_of(struct network *n, unsigned node)
{
    for (struct packet **at = &n->packets; *at != NULL;) {
        struct packet *p = *at;
        if (p->from != node && p->to != node) {
            at = &p->next;
            continue;
        }
        *at = p->next;
        packet_free(p);
    }
}

void network_drop_all(struct network *n)
{
    while (n->packets != NULL) {
        struct packet *p = n->packets;
        n->packets = p->next;
        packet_free(p);
    }
}
