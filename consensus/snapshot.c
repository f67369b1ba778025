/* Snapshots in memory: counted references, shared by driver, network and disk thread. */
#include "consensus/snapshot.h"
#include "shared/base/err.h"

#include <errno.h>
#include <stdlib.h>

struct snapshot *snapshot_new(void)
{
    struct snapshot *s = calloc(1, sizeof *s);
    if (s != NULL)
        s->refs = 1;
    return s;
}

struct snapshot *snapshot_ref(struct snapshot *s)
{
    __atomic_add_fetch(&s->refs, 1, __ATOMIC_RELAXED);
    return s;
}

void snapshot_unref(struct snapshot *s)
{
    if (s != NULL && __atomic_sub_fetch(&s->refs, 1, __ATOMIC_ACQ_REL) == 0) {
        for (unsigned i = 0; i < s->part_count; i++)
            entry_unref(s->parts[i]);
        free(s->parts);
        free(s);
    }
}

int snapshot_add_part(struct snapshot *s, struct entry *part)
{
    size_t len = entry_len(part);

    if (len == 0 || s->part_count == SNAPSHOT_PARTS_MAX || len > SNAPSHOT_MAX_BYTES - s->data_len)
        return OC_ERANGE;
    if (s->part_count == s->part_room) {
        unsigned room = s->part_room > 0 ? s->part_room * 2 : 16;
        struct entry **parts = realloc(s->parts, room * sizeof(struct entry *));
        if (parts == NULL)
            return -ENOMEM;
        s->parts = parts;
        s->part_room = room;
    }
    s->parts[s->part_count++] = entry_ref(part);
    s->data_len += len;
    return 0;
}
