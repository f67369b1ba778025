/* Membership changes and the newest payload: asked of consensus. */
#ifndef OC_RPCD_MEMBERS_H
#define OC_RPCD_MEMBERS_H

#include "rpcd/rpc.h"

void members_call(struct rpc_call *call);
/* conductor_adoptHead: consensus answers when it is in the log of a majority. */
void members_adopt_head(struct rpc_call *call);
/* conductor_latestUnsafePayload: the envelope as JSON, or null when there is none. */
void members_latest_payload(struct rpc_call *call);

#endif
