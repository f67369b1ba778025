/* The methods that are answered from the status pages, without a round trip. */
#ifndef OC_RPCD_QUESTIONS_H
#define OC_RPCD_QUESTIONS_H

#include "rpcd/rpc.h"

void questions_answer(struct rpc_call *call);

#endif
