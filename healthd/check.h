/* The health rules: from the facts of one round of calls to a verdict. Pure. */
#ifndef OC_HEALTHD_CHECK_H
#define OC_HEALTHD_CHECK_H

#include "shared/proto/bodies.h"

#include <stdbool.h>
#include <stdint.h>

struct check_limits {
    uint64_t unsafe_interval_ms;
    bool safe_enabled;
    uint64_t safe_interval_ms;
    uint64_t min_peer_count;
    bool supervisor_enabled;
    bool el_p2p_enabled;
    uint64_t el_p2p_min_peer_count;
    bool boost_enabled; /* one of the two rollup-boost checks */
    uint64_t boost_tolerance_limit;
    uint64_t boost_tolerance_interval_ms;
};

enum boost_state { BOOST_UNREACHABLE, BOOST_HEALTHY, BOOST_PARTIAL, BOOST_UNHEALTHY };

/* What the calls said. A failed call has ok = false and a text. */
struct check_call {
    bool ok;
    char text[128];
};

struct check_facts {
    uint64_t wall_s;
    bool wall_distrusted;  /* this machine's clock is off: no block's age is judged by it */
    uint64_t head_still_s; /* whole seconds since op-node's unsafe head was seen to move */
    struct check_call sync;
    bool el_gone; /* the execution client answered earlier and cannot be connected to now; el_text tells why */
    char el_text[128];
    uint64_t unsafe_timestamp, safe_timestamp; /* seconds */
    struct check_call supervisor;
    struct check_call peers;
    uint64_t peer_count;
    struct check_call el_peers;
    uint64_t el_peer_count;
    enum boost_state boost;
};

/* Partial rollup-boost answers seen in the current time bucket; starts zeroed. */
struct boost_tolerance {
    uint64_t bucket;
    uint64_t count;
};

struct check_verdict {
    enum health_reason reason; /* HEALTH_OK: healthy */
    char text[TEXT_SIZE];      /* "" when healthy */
    bool only_old_head;        /* HEALTH_UNSAFE_LAG, and no other rule fails */
};

/* The first rule that fails decides. */
void check_evaluate(const struct check_limits *limits, const struct check_facts *facts,
                    struct boost_tolerance *tolerance, struct check_verdict *ret);

#endif
