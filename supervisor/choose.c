/* Choice of a transfer's target, see choose.h. */
#include "supervisor/choose.h"

#include <stdio.h>
#include <string.h>

/* Records come five times a second; a node silent for longer than this is not a candidate. */
#define RECORD_MAX_AGE_MS 1500
#define CONTACT_MAX_AGE_MS 1500

void choose_forget_failure(struct choose_history *h, const char *id)
{
    for (unsigned i = 0; i < h->count; i++) {
        if (strcmp(h->failed[i].id, id) == 0) {
            memmove(&h->failed[i], &h->failed[i + 1], (h->count - i - 1) * sizeof h->failed[0]);
            h->count--;
            return;
        }
    }
}

void choose_note_failure(struct choose_history *h, const char *id, uint64_t until_ns)
{
    choose_forget_failure(h, id);
    if (h->count == CHOOSE_FAILED_MAX) {
        memmove(&h->failed[0], &h->failed[1], (CHOOSE_FAILED_MAX - 1) * sizeof h->failed[0]);
        h->count--;
    }
    snprintf(h->failed[h->count].id, sizeof h->failed[0].id, "%s", id);
    h->failed[h->count].until_ns = until_ns;
    h->count++;
}

static bool has_failed(const struct choose_history *h, const char *id, uint64_t now_ns)
{
    for (unsigned i = 0; i < h->count; i++) {
        if (now_ns < h->failed[i].until_ns && strcmp(h->failed[i].id, id) == 0)
            return true;
    }
    return false;
}

/* Its chain went on without consensus: it could not start on the consensus head. */
static bool is_ahead(const struct page_consensus *page, const struct page_server *s)
{
    return page->head_valid && s->record.unsafe_head.number > page->head.number;
}

void choose_forget_barren(struct choose_history *h, const char *id)
{
    for (unsigned i = 0; i < h->barren_count; i++) {
        if (strcmp(h->barren[i].id, id) == 0) {
            memmove(&h->barren[i], &h->barren[i + 1], (h->barren_count - i - 1) * sizeof h->barren[0]);
            h->barren_count--;
            return;
        }
    }
}

void choose_note_barren(struct choose_history *h, const char *id, uint64_t now_ns)
{
    choose_forget_barren(h, id);
    if (h->barren_count == CLUSTER_SERVERS_MAX) {
        memmove(&h->barren[0], &h->barren[1], (CLUSTER_SERVERS_MAX - 1) * sizeof h->barren[0]);
        h->barren_count--;
    }
    snprintf(h->barren[h->barren_count].id, sizeof h->barren[0].id, "%s", id);
    h->barren[h->barren_count].at_ns = now_ns;
    h->barren_count++;
}

/* When it last led for nothing; 0: not lately. */
static uint64_t barren_ns(const struct choose_history *h, const char *id, uint64_t now_ns)
{
    for (unsigned i = 0; i < h->barren_count; i++) {
        if (now_ns < h->barren[i].at_ns + CHOOSE_BARREN_NS && strcmp(h->barren[i].id, id) == 0)
            return h->barren[i].at_ns;
    }
    return 0;
}

static enum control_target classify(const struct page_consensus *page, const struct page_server *s, const char *self_id)
{
    if (s->suffrage != SUFFRAGE_VOTER || strcmp(s->id, self_id) == 0 || s->contact_age_ms > CONTACT_MAX_AGE_MS ||
        s->record_age_ms > RECORD_MAX_AGE_MS || s->record.paused)
        return CONTROL_TARGET_NONE;
    switch (s->record.reason) {
    case READY_OK:
        return is_ahead(page, s) ? CONTROL_TARGET_FALLBACK : CONTROL_TARGET_READY;
    case READY_HELD_DOWN:
    case READY_UNKNOWN:
    case READY_UNHEALTHY:
    case READY_LAGGING:
        return CONTROL_TARGET_FALLBACK;
    default:
        return CONTROL_TARGET_NONE;
    }
}

static uint64_t head_distance(const struct page_consensus *page, const struct page_server *s)
{
    uint64_t number = s->record.unsafe_head.number;

    if (!page->head_valid) /* the first head must be above everyone's */
        return UINT64_MAX - number;
    return number > page->head.number ? number - page->head.number : page->head.number - number;
}

/* Whether `a` is better than `b`, both of the same class. */
static bool is_better(const struct page_consensus *page, const struct choose_history *h, uint64_t now_ns,
                      const struct page_server *a, const struct page_server *b)
{
    bool a_failed = has_failed(h, a->id, now_ns), b_failed = has_failed(h, b->id, now_ns);
    /* Only among fallbacks: held down means ready but for that. */
    bool a_held = a->record.reason == READY_HELD_DOWN, b_held = b->record.reason == READY_HELD_DOWN;
    uint64_t a_barren = barren_ns(h, a->id, now_ns), b_barren = barren_ns(h, b->id, now_ns);
    uint64_t a_distance = head_distance(page, a), b_distance = head_distance(page, b);

    if (a_failed != b_failed)
        return b_failed;
    if (a_barren != b_barren)
        return a_barren < b_barren;
    if (a_held != b_held)
        return a_held;
    if (a_distance != b_distance)
        return a_distance < b_distance;
    return strcmp(a->id, b->id) < 0;
}

enum control_target choose_target(const struct page_consensus *page, const char *self_id,
                                  const struct choose_history *h, uint64_t now_ns, unsigned *ret_index)
{
    enum control_target best = CONTROL_TARGET_NONE;
    unsigned n = page->server_count < CLUSTER_SERVERS_MAX ? (unsigned)page->server_count : CLUSTER_SERVERS_MAX;

    for (unsigned i = 0; i < n; i++) {
        enum control_target class = classify(page, &page->servers[i], self_id);

        if (class == CONTROL_TARGET_NONE || class < best)
            continue;
        if (class > best || is_better(page, h, now_ns, &page->servers[i], &page->servers[*ret_index])) {
            best = class;
            *ret_index = i;
        }
    }
    return best;
}
