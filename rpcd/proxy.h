/* Methods that are passed on to op-node or the execution client, for the leader only. */
#ifndef OC_RPCD_PROXY_H
#define OC_RPCD_PROXY_H

#include "rpcd/rpc.h"

/* Forwards params as they came and passes the result, or the error object, back untouched. */
void proxy_call(struct rpc_call *call);

#endif
