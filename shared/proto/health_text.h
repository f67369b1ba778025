/* The words of the Go op-conductor for a failed health check: in logs, and as a label of its metrics. */
#ifndef OC_PROTO_HEALTH_TEXT_H
#define OC_PROTO_HEALTH_TEXT_H

#include "shared/proto/bodies.h"

/* "" for HEALTH_OK; several reasons have the same text. */
const char *health_reason_text(enum health_reason reason);

#endif
