/* What the conductor tells the flight recorder. Most is seen by comparing the state with what was told
 * last (story_look); what has inputs or a result is told where it happens. */
#ifndef OC_SUPERVISOR_CONDUCTOR_STORY_H
#define OC_SUPERVISOR_CONDUCTOR_STORY_H

#include "shared/flight/record.h"
#include "supervisor/control.h"

#include <stdbool.h>
#include <stdint.h>

struct conductor;

/* A member as it was heard last. */
struct story_member {
    char id[SERVER_ID_SIZE];
    uint64_t heard_ns;
    bool is_silent; /* told so */
};

/* What was told last. All zero at first. */
struct story {
    bool leads;
    char leader_id[SERVER_ID_SIZE];
    uint64_t term;
    bool permitted;
    bool health_told;
    bool healthy;
    uint32_t health_reason;
    uint32_t ready;      /* enum ready_reason + 1; 0: nothing told */
    uint32_t sequencing; /* enum node_tristate + 1; 0: nothing told */
    uint64_t membership_version;
    struct story_member members[CLUSTER_SERVERS_MAX]; /* in the order of consensus' page */
    const struct msg_node_result *answer;             /* the one being dealt with; NULL: none */
};

/* This process stood still for so long: that is nobody's silence. */
void story_stood_still(struct conductor *c, uint64_t passed_ns);
/* Tells what changed since the last look. Call it when an event was dealt with. `ready`: as shown to peers. */
void story_look(struct conductor *c, enum ready_reason ready);
/* A decision other than to do nothing, with what it was made from. `target`: of a handover. */
void story_decision(struct conductor *c, const struct control_input *in, const struct control_output *out,
                    const char *target);
/* The end of an operation on the sequencer, with what op-node answered if it did; err NULL: it worked. */
void story_sequencer(struct conductor *c, enum flight_kind kind, const char *err);
/* The end of a transfer of leadership; rc 0: done. */
void story_transfer(struct conductor *c, int rc, const char *text);
/* After a handover: another node was seen sequencing, or not in time. */
void story_taken_over(struct conductor *c, bool seen);
/* What happens to the unsafe head beyond new blocks. */
void story_head(struct conductor *c, const struct msg_head_event *m);
/* An operator's request (enum admin_verb), or its refusal. */
void story_request(struct conductor *c, const struct msg_admin *a);
void story_refusal(struct conductor *c, int rc, const char *text);
/* An operator's request to consensus, with its result. */
void story_note(struct conductor *c, const struct msg_note *m);

#endif
