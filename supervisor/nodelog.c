/* A ring of lines: their text goes round in one buffer, their places in another (see nodelog.h). */
#include "supervisor/nodelog.h"

#include "shared/proto/node_log.h"
#include "supervisor/childline.h"

#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

_Static_assert((NODELOG_LINES & (NODELOG_LINES - 1)) == 0, "sequences wrap to slots");
_Static_assert(NODELOG_LINE_MAX_BYTES >= CHILDLINE_MAX_BYTES, "a piece of a long line is kept whole");
_Static_assert(NODELOG_LINE_MAX_BYTES <= NODE_LOG_LINE_MAX_BYTES, "every line fits into an answer");

struct slot {
    uint64_t wall_ms;
    uint32_t at; /* of the text's first byte; it may go on at the buffer's beginning */
    uint16_t len;
    uint16_t kind; /* enum node_log_kind */
};

struct nodelog {
    uint64_t instance;
    uint64_t oldest; /* sequences; equal to next when there is no line */
    uint64_t next;
    pid_t pid;        /* of the newest start */
    size_t text_used; /* the bytes of all lines kept */
    size_t text_end;  /* where the next line's text goes */
    struct slot slots[NODELOG_LINES];
    char text[NODELOG_TEXT_BYTES];
};

struct nodelog *nodelog_new(uint64_t instance)
{
    struct nodelog *l = calloc(1, sizeof *l);

    if (!l)
        return NULL;
    l->instance = instance;
    l->oldest = l->next = 1;
    return l;
}

void nodelog_free(struct nodelog *l)
{
    free(l);
}

static struct slot *slot_of(struct nodelog *l, uint64_t sequence)
{
    return &l->slots[sequence & (NODELOG_LINES - 1)];
}

/* ---- in ---- */

static void add(struct nodelog *l, uint64_t wall_ms, enum node_log_kind kind, const char *text, size_t len)
{
    size_t until_end = NODELOG_TEXT_BYTES - l->text_end;

    if (len > NODELOG_LINE_MAX_BYTES)
        len = NODELOG_LINE_MAX_BYTES;
    while (l->oldest < l->next && (l->next - l->oldest == NODELOG_LINES || l->text_used + len > NODELOG_TEXT_BYTES))
        l->text_used -= slot_of(l, l->oldest++)->len;
    *slot_of(l, l->next++) =
        (struct slot){.wall_ms = wall_ms, .at = (uint32_t)l->text_end, .len = (uint16_t)len, .kind = (uint16_t)kind};
    if (until_end > len)
        until_end = len;
    memcpy(l->text + l->text_end, text, until_end);
    memcpy(l->text, text + until_end, len - until_end);
    l->text_end = (l->text_end + len) % NODELOG_TEXT_BYTES;
    l->text_used += len;
}

void nodelog_add_line(struct nodelog *l, uint64_t wall_ms, const char *text, size_t len)
{
    if (!l)
        return;
    while (len > 0 && (text[len - 1] == '\n' || text[len - 1] == '\r'))
        len--;
    add(l, wall_ms, NODE_LOG_LINE, text, len);
}

void nodelog_add_start(struct nodelog *l, uint64_t wall_ms, pid_t pid)
{
    char text[64] = "could not be started: op-conductor's own log tells why";

    if (!l)
        return;
    l->pid = pid;
    if (pid != 0)
        (void)snprintf(text, sizeof text, "process %d started", (int)pid);
    add(l, wall_ms, NODE_LOG_STARTED, text, strlen(text));
}

void nodelog_add_end(struct nodelog *l, uint64_t wall_ms, const char *how)
{
    char text[320];

    if (!l)
        return;
    (void)snprintf(text, sizeof text, "process %d: %s", (int)l->pid, how);
    add(l, wall_ms, NODE_LOG_ENDED, text, strlen(text));
}

/* ---- out ---- */

static uint64_t first_wanted(const struct nodelog *l, const struct msg_node_log *ask)
{
    uint64_t kept = l->next - l->oldest;

    if (ask->is_newest != 0)
        return l->next - (ask->line_limit < kept ? ask->line_limit : kept);
    if (ask->after < l->oldest)
        return l->oldest;
    return ask->after < l->next ? ask->after + 1 : l->next;
}

static void copy_text(const struct nodelog *l, const struct slot *s, char *to)
{
    size_t until_end = NODELOG_TEXT_BYTES - s->at;

    if (until_end > s->len)
        until_end = s->len;
    memcpy(to, l->text + s->at, until_end);
    memcpy(to + until_end, l->text, s->len - until_end);
}

void nodelog_answer(const struct nodelog *l, const struct msg_node_log *ask, struct msg_node_log_result *ret)
{
    *ret = (struct msg_node_log_result){
        .instance = l->instance, .first_sequence = first_wanted(l, ask), .next_sequence = l->next};
    for (uint64_t at = ret->first_sequence; at < l->next && ret->line_count < ask->line_limit; at++) {
        const struct slot *s = &l->slots[at & (NODELOG_LINES - 1)];
        const struct node_log_line line = {.wall_ms = s->wall_ms, .kind = (enum node_log_kind)s->kind, .len = s->len};
        char *to = node_log_add(ret, &line);

        if (!to)
            return;
        copy_text(l, s, to);
    }
}
