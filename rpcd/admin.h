/* Operators' methods that the supervisor carries out. */
#ifndef OC_RPCD_ADMIN_H
#define OC_RPCD_ADMIN_H

#include "rpcd/rpc.h"

/* Passes the call on; answered by the supervisor or, at the latest, by the method's deadline. */
void admin_call(struct rpc_call *call);

#endif
