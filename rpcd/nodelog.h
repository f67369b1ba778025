/* conductor_nodeLogs: what the managed op-node said last, asked of the supervisor. Served on the admin socket only:
 * a log may hold what not everybody who reaches the RPC port may read.
 *
 *   params   [after], [limit]     both may be left out or null
 *            with `after`: the oldest lines after that sequence, as many as fit into one answer; without: the
 *            newest `limit` (NODELOG_DEFAULT) lines, or as many of the oldest of those as fit
 *   result   node, instance, next_sequence, lines
 *   line     sequence, time_ms (wall, when it was read), kind ("line": said by op-node; "started", "ended"), text
 *
 * A follower asks again with the last sequence it saw; there is more to ask for as long as that is not
 * next_sequence - 1. A gap in the sequences: lines fell out of the supervisor's memory meanwhile. `instance` is
 * another one after a restart of op-conductor, whose sequences begin with 1 again.
 */
#ifndef OC_RPCD_NODELOG_H
#define OC_RPCD_NODELOG_H

#include "rpcd/rpc.h"
#include "shared/proto/bodies.h"

#define NODELOG_DEFAULT 100

/* Answers METHOD_NODE_LOGS: at the latest when the supervisor did not answer in time. */
void nodelog_call(struct rpc_call *call);

/* The result as JSON, malloc'd. NULL: out of memory, or `m` holds no proper frame. */
char *nodelog_to_json(const struct msg_node_log_result *m, const char *node, size_t *ret_len);

#endif
