/* Texts of health_reason (see health_text.h). */
#include "shared/proto/health_text.h"

const char *health_reason_text(enum health_reason reason)
{
    switch (reason) {
    case HEALTH_OK:
        return "";
    case HEALTH_NODE_UNREACHABLE:
        return "cannot connect to sequencer rpc endpoints";
    case HEALTH_SUPERVISOR_UNREACHABLE:
        return "cannot connect to supervisor rpc endpoint";
    case HEALTH_EL_GONE:
        return "cannot connect to the execution client";
    case HEALTH_BOOST_UNREACHABLE:
        return "cannot connect to rollup boost rpc endpoints";
    case HEALTH_BOOST_PARTIAL:
        return "rollup boost is partially healthy, meaning that rbuilder is not healthy but the execution client is "
               "healthy";
    case HEALTH_BOOST_UNHEALTHY:
        return "rollup boost is not healthy";
    /* Upstream has the error's own text here, which would make labels without end. */
    case HEALTH_EL_PEERS_ERROR:
        return "cannot read the execution client's peers";
    default:
        return "sequencer is not healthy";
    }
}
