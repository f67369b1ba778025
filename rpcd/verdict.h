/* The state of the cluster in one sentence, as this node sees it. Pure. */
#ifndef OC_RPCD_VERDICT_H
#define OC_RPCD_VERDICT_H

#include "shared/shm/pages.h"

#include <stdbool.h>

#define VERDICT_TEXT_SIZE 1024

enum verdict_level {
    VERDICT_GOOD,
    VERDICT_WARN, /* blocks come, but the next failure will hurt; or an operator wanted it so */
    VERDICT_BAD,  /* no block can be committed, or this node cannot tell */
};

struct verdict {
    enum verdict_level level;
    char text[VERDICT_TEXT_SIZE]; /* holds names as they are: to be escaped by who shows it */
};

/* A member that was not heard for this long counts as lost. */
#define VERDICT_CONTACT_MS 2000

/* consensus, supervisor: NULL when the page is missing or stale. */
void verdict_make(const struct page_consensus *consensus, const struct page_supervisor *supervisor,
                  struct verdict *ret);
/* "good", "warn" or "bad". */
const char *verdict_level_name(enum verdict_level level);
/* What is wrong with a member in a word or two: "ready", "lost", "paused", … */
const char *verdict_member_state(const struct page_server *s);

#endif
