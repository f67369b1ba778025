/* All blocks that were ever sealed. */
#include "tests/simulation/world.h"

#include <string.h>

#define MAGIC UINT32_C(0x0b10c0de)

uint32_t block_new(struct world *w, uint32_t parent, uint64_t slot_ms)
{
    if (w->block_count == BLOCKS_MAX)
        world_fail(w, "too many blocks");
    uint32_t index = w->block_count++, magic = MAGIC;
    struct sim_block *b = &w->blocks[index];
    *b = (struct sim_block){.parent = parent, .slot_ms = slot_ms};
    b->orphaned_ms = index > 0 ? w->blocks[parent].orphaned_ms : 0;
    b->id.number = index == 0 ? 0 : w->blocks[parent].id.number + 1;
    memcpy(b->id.hash, &magic, sizeof magic);
    memcpy(b->id.hash + 4, &index, sizeof index);
    b->id.hash[HASH_SIZE - 1] = 1;
    return index;
}

uint32_t block_find(const struct world *w, const uint8_t hash[HASH_SIZE])
{
    uint32_t magic, index;
    memcpy(&magic, hash, sizeof magic);
    memcpy(&index, hash + 4, sizeof index);
    return magic == MAGIC && index < w->block_count ? index : 0;
}

void block_orphan(struct world *w, uint32_t from)
{
    for (uint32_t i = from; i < w->block_count; i++)
        if (w->blocks[i].orphaned_ms == 0 && (i == from || w->blocks[w->blocks[i].parent].orphaned_ms != 0))
            w->blocks[i].orphaned_ms = w->now_ms;
}

bool block_is_ancestor(const struct world *w, uint32_t ancestor, uint32_t of)
{
    while (w->blocks[of].id.number > w->blocks[ancestor].id.number)
        of = w->blocks[of].parent;
    return of == ancestor;
}
