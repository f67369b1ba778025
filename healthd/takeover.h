/* What to do next on the way from op-node's unsafe head to the consensus head. Pure. */
#ifndef OC_HEALTHD_TAKEOVER_H
#define OC_HEALTHD_TAKEOVER_H

#include "healthd/node_status.h"
#include "healthd/records.h"

enum takeover_act {
    TAKEOVER_ADOPTED, /* op-node's head is the wanted one */
    TAKEOVER_POST,    /* records from first_needed on are missing */
    TAKEOVER_WAIT,    /* op-node has no head yet */
    TAKEOVER_FAIL
};

struct takeover_step {
    enum takeover_act act;
    enum node_rc rc;                 /* of TAKEOVER_FAIL */
    size_t first_needed, needed_end; /* indices into the records */
    char text[TEXT_SIZE];            /* of TAKEOVER_FAIL */
};

/* `head` is the consensus head (NULL: none yet, op-node's own is the wanted one); records may be NULL. */
void takeover_decide(const struct node_status *status, const struct block_id *head, const struct records *records,
                     struct takeover_step *ret);

#endif
