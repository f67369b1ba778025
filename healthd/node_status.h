/* What healthd reads of optimism_syncStatus. */
#ifndef OC_HEALTHD_NODE_STATUS_H
#define OC_HEALTHD_NODE_STATUS_H

#include "shared/proto/bodies.h"

#include <cJSON.h>
#include <stdbool.h>

struct node_status {
    struct block_id unsafe_head;
    uint64_t unsafe_timestamp; /* seconds */
    uint64_t safe_number;
    uint64_t safe_timestamp;
};

/* Returns 0 or OC_ESYNTAX. */
int node_status_parse(const cJSON *result, struct node_status *ret);

/* op-node answers all zeros until its engine is initialised. */
bool node_status_is_blank(const struct node_status *s);

bool block_id_equal(const struct block_id *a, const struct block_id *b);

#endif
