/* Comparing op-node's unsafe head with the consensus head. */
#include "healthd/takeover.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

__attribute__((format(printf, 3, 4))) static void fail(struct takeover_step *s, enum node_rc rc, const char *format,
                                                       ...)
{
    va_list args;
    s->act = TAKEOVER_FAIL;
    s->rc = rc;
    va_start(args, format);
    vsnprintf(s->text, sizeof s->text, format, args);
    va_end(args);
}

static size_t index_of(const struct records *records, uint64_t number)
{
    size_t count = records_count(records);
    for (size_t i = 0; i < count; i++)
        if (records_get(records, i)->header.block_number == number)
            return i;
    return count;
}

void takeover_decide(const struct node_status *status, const struct block_id *head, const struct records *records,
                     struct takeover_step *s)
{
    const struct block_id *own = &status->unsafe_head;
    size_t count = records_count(records);
    *s = (struct takeover_step){.act = TAKEOVER_WAIT};
    if (node_status_is_blank(status))
        return;
    if (head == NULL || block_id_equal(own, head)) {
        s->act = TAKEOVER_ADOPTED;
        return;
    }
    if (own->number == head->number) {
        fail(s, NODE_MISMATCH, "op-node has another block at the height of the consensus head %llu",
             (unsigned long long)head->number);
        return;
    }
    if (own->number > head->number) {
        fail(s, NODE_AHEAD, "op-node's unsafe head %llu is above the consensus head %llu",
             (unsigned long long)own->number, (unsigned long long)head->number);
        return;
    }
    size_t first = index_of(records, own->number + 1), last = index_of(records, head->number);
    if (first == count || last == count) {
        fail(s, NODE_GAP,
             "op-node's unsafe head is %llu and the consensus head %llu, but the payloads between are not all there",
             (unsigned long long)own->number, (unsigned long long)head->number);
        return;
    }
    if (memcmp(records_get(records, first)->header.parent_hash, own->hash, HASH_SIZE) != 0 ||
        memcmp(records_get(records, last)->header.block_hash, head->hash, HASH_SIZE) != 0) {
        fail(s, NODE_MISMATCH, "op-node's unsafe head %llu does not lead to the consensus head %llu",
             (unsigned long long)own->number, (unsigned long long)head->number);
        return;
    }
    s->act = TAKEOVER_POST;
    s->first_needed = first;
    s->needed_end = last + 1;
}
