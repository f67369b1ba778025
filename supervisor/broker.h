/* Who gets to see whom: the channel between rpcd and consensus, and what rpcd needs to answer by
 * itself (the others' status pages, the listening sockets). Edges that are not made here do not
 * exist. */
#ifndef OC_SUPERVISOR_BROKER_H
#define OC_SUPERVISOR_BROKER_H

#include "supervisor/link.h"

#include <stdbool.h>
#include <stdint.h>

struct broker {
    struct link *consensus;
    struct link *healthd;
    struct link *rpcd;
    int page_fd;    /* of the supervisor's own page; borrowed, as all fds here */
    int flight_fd;  /* the flight recorder's ring; -1: none */
    int rpc_fd;     /* -1: none */
    int metrics_fd; /* -1: none */
    int admin_fd;   /* -1: none */
    uint32_t rpc_port;
    uint32_t metrics_port;
    bool edge_is_up;
};

/* A worker's START was sent: pages, listeners, the flight recorder and its peer follow. */
void broker_on_started(struct broker *b, struct link *l);

/* A worker is about to be gone (or is): its peer is told. Call it once or more per incarnation. */
void broker_on_gone(struct broker *b, struct link *l);

#endif
