/* What driver and peers call back: the interfaces that node.c gives them. */
#ifndef OC_CONSENSUS_NODE_IO_H
#define OC_CONSENSUS_NODE_IO_H

#include "consensus/node.h"

struct driver_io node_driver_io(struct node *n);
struct peers_events node_peers_events(struct node *n);

#endif
