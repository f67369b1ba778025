/* Whom to hand leadership to. Pure. */
#ifndef OC_SUPERVISOR_CHOOSE_H
#define OC_SUPERVISOR_CHOOSE_H

#include "shared/shm/pages.h"
#include "supervisor/control.h"

#include <stdint.h>

#define CHOOSE_FAILED_MAX 8
/* A node that led and left the head where it was comes after those that did not, for so long. */
#define CHOOSE_BARREN_NS UINT64_C(60000000000)

/* Targets that recently did not take leadership, and leaders under whom the head did not move. All nodes see
 * the same leaders, so where none can sequence all of them agree on whose turn it is. */
struct choose_history {
    unsigned count;
    struct {
        char id[SERVER_ID_SIZE];
        uint64_t until_ns;
    } failed[CHOOSE_FAILED_MAX];
    unsigned barren_count;
    struct {
        char id[SERVER_ID_SIZE];
        uint64_t at_ns; /* when its leadership ended */
    } barren[CLUSTER_SERVERS_MAX];
};

/* Remembers a failure; the oldest makes room. */
void choose_note_failure(struct choose_history *h, const char *id, uint64_t until_ns);
void choose_forget_failure(struct choose_history *h, const char *id);

/* A leadership ended in which the head did (not) move. */
void choose_note_barren(struct choose_history *h, const char *id, uint64_t now_ns);
void choose_forget_barren(struct choose_history *h, const char *id);

/* The best other voter: ready before not ready, then not recently failed, then not (or longest ago) a leader
 * under whom the head stood still, then nearest to the consensus head, then the smallest id. (A failure counts
 * before the head: gossip moves heads by a block all the time, which would otherwise pick the same failing target
 * for ever.) Among the not ready, one that is only held down comes before the others, but not before one that has not
 * had its turn; paused, stopped and silent ones never do. `page` has the
 * servers; at most server_count are read. Returns what was found; *ret_index (in page->servers) is set unless it is
 * CONTROL_TARGET_NONE. */
enum control_target choose_target(const struct page_consensus *page, const char *self_id,
                                  const struct choose_history *h, uint64_t now_ns, unsigned *ret_index);

#endif
