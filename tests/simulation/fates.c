/* Agreement between nodes, see fates.h. */
#include "tests/simulation/fates.h"

#include "shared/base/crc32c.h"

#include <stdlib.h>
#include <string.h>

void fates_init(struct fates *f)
{
    *f = (struct fates){.by_index = calloc(FATES_INDEX_MAX, sizeof *f->by_index),
                        .leader_of_term = calloc(FATES_TERM_MAX, sizeof *f->leader_of_term)};
    if (f->by_index == NULL || f->leader_of_term == NULL)
        abort();
}

void fates_free(struct fates *f)
{
    free(f->by_index);
    free(f->leader_of_term);
}

static bool has_same_head(const struct fate *f, const struct window *w)
{
    struct block_id head;
    bool has_head = window_head(w, &head);
    return f->has_head == has_head && (!has_head || memcmp(&f->head, &head, sizeof head) == 0);
}

const char *fates_note_applied(struct fates *f, uint64_t index, uint64_t term, struct entry *e, const struct window *w)
{
    uint32_t crc = crc32c((uint32_t)entry_type(e), entry_payload(e), entry_len(e));
    if (index >= FATES_INDEX_MAX)
        return "there are too many entries";
    struct fate *fate = &f->by_index[index];
    if (fate->known && (fate->term != term || fate->crc != crc))
        return "another entry is applied than on other nodes";
    if (fate->known && !has_same_head(fate, w))
        return "the head after an entry differs from other nodes";
    if (!fate->known) {
        *fate = (struct fate){.known = true, .term = term, .crc = crc};
        fate->has_head = window_head(w, &fate->head);
    }
    if (index > f->max_applied)
        f->max_applied = index;
    return NULL;
}

const char *fates_check_restored(const struct fates *f, const struct snapshot *s, const struct window *w)
{
    const struct fate *fate = &f->by_index[s->index];
    return fate->known && fate->term == s->term && has_same_head(fate, w) ? NULL : "a snapshot differs from the log";
}

const char *fates_note_leader(struct fates *f, uint64_t term, uint64_t leader_id)
{
    if (term >= FATES_TERM_MAX)
        return "terms race";
    if (f->leader_of_term[term] == 0)
        f->leaders_seen++;
    if (f->leader_of_term[term] != 0 && f->leader_of_term[term] != leader_id)
        return "two nodes lead one term";
    f->leader_of_term[term] = leader_id;
    return NULL;
}
