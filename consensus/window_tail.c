/* The tail: heads and links only, of what is applied and what still is to be. */
#include "consensus/window.h"

#include <string.h>

static bool same_block(const struct block_id *a, const struct block_id *b)
{
    return a->number == b->number && memcmp(a->hash, b->hash, HASH_SIZE) == 0;
}

static void push(struct tail *t, const struct tail_block *block)
{
    if (t->count == TAIL_BLOCKS_MAX) {
        memmove(t->blocks, t->blocks + 1, (TAIL_BLOCKS_MAX - 1) * sizeof t->blocks[0]);
        t->count--;
    }
    t->blocks[t->count++] = *block;
    t->head_valid = true;
}

void tail_init(struct tail *t, const struct window *w)
{
    unsigned n = window_count(w);
    t->head_valid = false;
    t->count = 0;
    for (unsigned i = n > TAIL_BLOCKS_MAX ? n - TAIL_BLOCKS_MAX : 0; i < n; i++) {
        const struct window_item *item = window_at(w, i);
        struct tail_block block = {.block = item->block, .parent_known = item->record != NULL};
        memcpy(block.parent_hash, item->parent_hash, HASH_SIZE);
        push(t, &block);
    }
}

enum window_result tail_apply(struct tail *t, struct entry *e)
{
    struct proposal p;
    struct payload_view view;
    struct block_id head;
    struct tail_block block = {0};

    if (proposal_decode(entry_payload(e), entry_len(e), &p, &view) != 0)
        return WINDOW_INVALID;
    bool has_head = tail_head(t, &head);
    if (has_head != p.expected_valid || (has_head && !same_block(&head, &p.expected)))
        return WINDOW_REFUSED;
    block.block = p.block;
    if (p.record != NULL) {
        block.parent_known = true;
        memcpy(block.parent_hash, view.header.parent_hash, HASH_SIZE);
    }
    if (p.kind == PROPOSAL_EXTEND && has_head && memcmp(view.header.parent_hash, head.hash, HASH_SIZE) != 0)
        return WINDOW_REFUSED;
    if (p.kind == PROPOSAL_ADOPT)
        t->count = 0;
    if (p.kind == PROPOSAL_REPLACE)
        while (t->count > 0 && t->blocks[t->count - 1].block.number >= p.truncate_height)
            t->count--;
    push(t, &block);
    return WINDOW_ACCEPTED;
}

bool tail_head(const struct tail *t, struct block_id *ret_head)
{
    if (!t->head_valid)
        return false;
    *ret_head = t->blocks[t->count - 1].block;
    return true;
}

const struct tail_block *tail_find_number(const struct tail *t, uint64_t number)
{
    for (unsigned i = t->count; i-- > 0;)
        if (t->blocks[i].block.number == number)
            return &t->blocks[i];
    return NULL;
}
