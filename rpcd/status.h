/* What the status pages say: who leads, whether this node conducts, where a commit should go. Nothing
 * here waits: a page that is older than PAGE_STALE_MS, or whose owner is down, reads as "not leader".
 *
 * conductor_status answers one object:
 *   node            this node's server id
 *   version         of the software
 *   role            "follower", "candidate", "leader", "stopped", or "unknown" while consensus is down
 *   term, commit_index, applied_index, last_index
 *   leader          {id, addr}; empty strings while unknown
 *   leader_ready    what conductor_leader answers, override apart
 *   overridden, paused, stopped, active       booleans as the methods of those names
 *   transferring    leadership is being handed over
 *   healthy, health_reason, health_text       the last verdict; reason is "ok", "unknown", …
 *   sequencer_active, conductor_enabled, el_syncing    true, false or null (unknown), of op-node
 *   ready_reason    "ready", or why this node should not lead
 *   unsafe_head     {number, hash} of the consensus head, null when there is none
 *   node_head       {number, hash} of op-node's unsafe head, null when unknown
 *   commits, commits_failed, last_commit_us
 *   last_handover_us, last_handover_wall_ms   0 = never
 *   window          {payloads, bytes}
 *   cluster_id      hex, "" when there is none yet
 *   membership_version
 *   children        [{name, state, pid, incarnation, restarts}] for consensus, healthd, rpcd, op-node
 *   servers         [{id, addr, suffrage, contact_age_ms, record}]; contact_age_ms null = never heard;
 *                   record null or {age_ms, ready_reason, paused, sequencing, unsafe_head, wall_ms}
 */
#ifndef OC_RPCD_STATUS_H
#define OC_RPCD_STATUS_H

#include "rpcd/rpcd.h"
#include "shared/shm/pages.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Borrows app for its life. NULL: out of memory. */
struct status *status_new(struct rpcd *app);
void status_free(struct status *s); /* accepts NULL */

/* A page's fd (borrowed) replaces the owner's previous one. Returns 0, OC_EPROTO or -errno. */
int status_set_page(struct status *s, const struct msg_page *page, int fd);
/* Consensus is down: its page counts as stale at once, until a new one comes. */
void status_consensus_down(struct status *s);

/* The first fields of consensus's page, up to the head. */
struct status_raft {
    bool is_fresh;
    uint32_t state; /* enum raft_role */
    bool leader_ready;
    bool transferring;
    uint64_t term;
    char leader_id[SERVER_ID_SIZE];
    char leader_addr[SERVER_ADDR_SIZE];
};
void status_read_raft(const struct status *s, struct status_raft *ret);
/* Whole pages. Return whether the page is there and fresh; the body is zeroed otherwise. */
bool status_read_consensus(const struct status *s, struct page_consensus *ret);
/* The last page known, however old: for facts that nobody decides on. */
bool status_read_consensus_any_age(const struct status *s, struct page_consensus *ret);
bool status_read_health(const struct status *s, struct page_health *ret);
/* The supervisor's facts do not age: its death ends us. */
bool status_read_supervisor(const struct status *s, struct page_supervisor *ret);

bool status_is_leader(const struct status *s);      /* without the override */
bool status_answers_leader(const struct status *s); /* with it */

/* What to do with a commit now. */
enum commit_verdict { COMMIT_SEND, COMMIT_HOLD, COMMIT_REFUSE_OTHER, COMMIT_REFUSE_STOPPED };
/* Pure: has_channel says whether consensus can be reached. */
enum commit_verdict status_commit_verdict(const struct status_raft *raft, bool has_channel, const char *self_id);

const struct config_common *status_config(const struct status *s);

/* The JSON of conductor_status and conductor_clusterMembership; malloc'd. NULL: out of memory. */
char *status_to_json(const struct status *s, size_t *ret_len);
char *status_membership_to_json(const struct status *s, size_t *ret_len);

const char *status_health_reason_name(uint32_t reason);
const char *status_ready_reason_name(uint32_t reason);
const char *status_child_name(unsigned child);

#endif
