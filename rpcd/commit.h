/* Commits of unsafe payloads: one pass from the body into the ring (or a memfd), then consensus.
 *
 * While the leader is unknown, changing or restarting, a commit is held, up to commit_hold_ms from its
 * first byte; when another node leads it is refused at once. Every commit is answered by its deadline,
 * commit_timeout_ms from its first byte. Its slot in the ring is kept until consensus has answered or
 * died: consensus may read it until then.
 */
#ifndef OC_RPCD_COMMIT_H
#define OC_RPCD_COMMIT_H

#include "rpcd/rpc.h"

struct commits;

/* Borrows app for its life. NULL: out of memory. */
struct commits *commits_new(struct rpcd *app);
void commits_free(struct commits *cs); /* accepts NULL */

/* Answers the call, now or later; payload is a JSON value. */
void commit_call(struct rpc_call *call, struct json_span payload);
/* The same for a payload whose end was guessed: returns false, and leaves the call alone, when it
 * is no well-formed envelope. */
bool commit_try_call(struct rpc_call *call, struct json_span payload);
/* POST /commit-unsafe-payload: a raw SSZ envelope. */
void commit_binary(struct rpcd *app, struct http_request *req);

/* Something changed: looks at the held commits again now. */
void commits_wake(struct commits *cs);
/* Commits that wait for a leader; commits sent to consensus and not answered. */
uint32_t commits_held_count(const struct commits *cs);
uint32_t commits_sent_count(const struct commits *cs);

#endif
