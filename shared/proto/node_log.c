/* Lines of op-node's output in one message (see node_log.h). */
#include "shared/proto/node_log.h"

#include "shared/base/err.h"

#include <string.h>

struct head {
    uint64_t wall_ms;
    uint32_t kind; /* enum node_log_kind */
    uint32_t len;
};
_Static_assert(sizeof(struct head) == NODE_LOG_LINE_HEAD_BYTES, "line head layout");

char *node_log_add(struct msg_node_log_result *m, const struct node_log_line *line)
{
    const struct head head = {line->wall_ms, (uint32_t)line->kind, (uint32_t)line->len};
    uint8_t *at = m->frame + m->frame_bytes;

    if (line->len > NODE_LOG_LINE_MAX_BYTES || sizeof head + line->len > sizeof m->frame - m->frame_bytes)
        return NULL;
    memcpy(at, &head, sizeof head);
    m->frame_bytes += (uint32_t)(sizeof head + line->len);
    m->line_count++;
    return (char *)at + sizeof head;
}

int node_log_next(const struct msg_node_log_result *m, size_t *offset, uint32_t index, struct node_log_line *ret)
{
    struct head head;
    size_t left;

    if (m->frame_bytes > sizeof m->frame || *offset > m->frame_bytes)
        return OC_EPROTO;
    left = m->frame_bytes - *offset;
    if (index == m->line_count)
        return left == 0 ? 0 : OC_EPROTO;
    if (left < sizeof head)
        return OC_EPROTO;
    memcpy(&head, m->frame + *offset, sizeof head);
    if (head.len > left - sizeof head || head.kind >= NODE_LOG_KIND_COUNT)
        return OC_EPROTO;
    *ret = (struct node_log_line){
        .sequence = m->first_sequence + index,
        .wall_ms = head.wall_ms,
        .kind = (enum node_log_kind)head.kind,
        .text = (const char *)m->frame + *offset + sizeof head,
        .len = head.len,
    };
    *offset += sizeof head + head.len;
    return 1;
}
