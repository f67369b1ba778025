/* The tables of the status page (see page.h). Everything that is not ours is escaped. */
#include "rpcd/page.h"

#include "rpcd/status.h"
#include "rpcd/story.h"
#include "rpcd/verdict.h"
#include "shared/flight/ring.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#define EVENTS_SHOWN 30
#define HEAD_REPORT_LAG 2

static void put_cell(struct text *out, const char *text)
{
    text_put(out, "<td>");
    text_add_html(out, text);
    text_put(out, "</td>");
}

static void put_age(struct text *out, uint64_t age_ms)
{
    if (age_ms == UINT64_MAX)
        text_put(out, "<td>never</td>");
    else
        text_put(out, "<td>%" PRIu64 ".%" PRIu64 " s ago</td>", age_ms / 1000, age_ms % 1000 / 100);
}

/* Reports of heads are a health check old, that is a block or two: lag is against the best of them. */
static uint64_t best_head(const struct page_consensus *c)
{
    uint64_t best = c->head.number > HEAD_REPORT_LAG ? c->head.number - HEAD_REPORT_LAG : 0;
    for (uint64_t i = 0; i < c->server_count; i++)
        if (c->servers[i].record_age_ms != UINT64_MAX && c->servers[i].record.unsafe_head.number > best)
            best = c->servers[i].record.unsafe_head.number;
    return best;
}

/* A member's unsafe head and how far it lags. */
static void put_head(struct text *out, uint64_t best, const struct page_server *s)
{
    const uint64_t number = s->record.unsafe_head.number;
    if (s->record_age_ms == UINT64_MAX || number == 0)
        text_put(out, "<td>unknown</td><td></td>");
    else if (number == best)
        text_put(out, "<td>%" PRIu64 "</td><td>none</td>", number);
    else
        text_put(out, "<td>%" PRIu64 "</td><td>%" PRIu64 " behind</td>", number, best - number);
}

static const char *part_of(const struct page_consensus *c, const struct page_server *s)
{
    if (c->leader_id[0] != '\0' && strcmp(s->id, c->leader_id) == 0)
        return s->record_age_ms != UINT64_MAX && s->record.sequencing != 0 ? "leader, sequences" : "leader";
    return s->suffrage == SUFFRAGE_VOTER ? "voter" : "standby";
}

void page_put_members(const struct page_view *v, struct text *out)
{
    const struct page_consensus *c = &v->consensus;
    const uint64_t best = best_head(c);
    for (uint64_t i = 0; i < c->server_count; i++) {
        const struct page_server *s = &c->servers[i];
        text_put(out, "<tr><th scope=\"row\">");
        text_add_html(out, s->id);
        text_put(out, "%s</th>", strcmp(s->id, v->config->server_id) == 0 ? " (this node)" : "");
        put_cell(out, part_of(c, s));
        put_cell(out, verdict_member_state(s));
        put_head(out, best, s);
        put_age(out, s->contact_age_ms);
        put_cell(out, s->addr);
        text_put(out, "</tr>\n");
    }
    if (c->server_count == 0)
        text_put(out, "<tr><td colspan=\"7\">no members are known</td></tr>\n");
}

static void put_fact(struct text *out, const char *name, const char *value)
{
    text_put(out, "<tr><th scope=\"row\">%s</th>", name);
    put_cell(out, value);
    text_put(out, "</tr>\n");
}

static void put_number(struct text *out, const char *name, uint64_t value)
{
    text_put(out, "<tr><th scope=\"row\">%s</th><td>%" PRIu64 "</td></tr>\n", name, value);
}

static const char *yes_no(bool is_known, bool value)
{
    return !is_known ? "unknown" : value ? "yes" : "no";
}

void page_put_facts(const struct page_view *v, struct text *out)
{
    const struct page_consensus *c = &v->consensus;
    const struct page_supervisor *s = &v->supervisor;
    const struct msg_health *h = &v->health.last;
    char text[96];
    put_fact(out, "conducts", yes_no(v->has_supervisor, s->paused == 0 && s->stopped == 0));
    put_fact(out, "healthy", yes_no(v->has_supervisor, s->healthy != 0));
    if (h->text[0] != '\0')
        put_fact(out, "last health check", h->text);
    put_fact(out, "op-node sequences",
             yes_no(v->has_health && h->sequencer_active != NODE_DONT_KNOW, h->sequencer_active == NODE_YES));
    if (c->head_valid != 0)
        put_number(out, "head of consensus", c->head.number);
    put_number(out, "term", c->term);
    put_number(out, "commits here", c->commits_total);
    put_number(out, "commits failed", c->commits_failed_total);
    if (c->last_commit_us != 0) {
        (void)snprintf(text, sizeof text, "%.1f ms", (double)c->last_commit_us / 1e3);
        put_fact(out, "last commit took", text);
    }
    if (s->last_handover_us != 0) {
        (void)snprintf(text, sizeof text, "%.0f ms", (double)s->last_handover_us / 1e3);
        put_fact(out, "last hand-over took", text);
    }
    (void)snprintf(text, sizeof text, "%" PRIu64 " payloads, %.1f MB", c->window_count, (double)c->window_bytes / 1e6);
    put_fact(out, "window", text);
}

void page_put_processes(const struct page_view *v, struct text *out)
{
    for (unsigned i = 0; v->has_supervisor && i < CHILD_COUNT; i++) {
        const struct page_child *p = &v->supervisor.children[i];
        if (i == CHILD_NODE && v->supervisor.node_managed == 0)
            continue;
        text_put(out, "<tr><th scope=\"row\">%s</th>", status_child_name(i));
        text_put(out, "<td>%s</td><td>%" PRIu32 "</td><td>%" PRIu32 "</td></tr>\n",
                 lifecycle_state_name((enum lifecycle_state)p->state), p->pid, p->restarts);
    }
}

/* The newest first. */
void page_put_events(const struct page_view *v, struct text *out)
{
    char sentence[STORY_SENTENCE_SIZE], when[64];
    struct flight_record r;
    struct tm tm;
    const uint64_t newest = v->flight != NULL ? flight_reader_newest(v->flight) : 0;
    const uint64_t oldest = v->flight != NULL ? flight_reader_oldest(v->flight) : 1;
    unsigned count = 0;
    for (uint64_t at = newest; at >= oldest && at > 0 && count < EVENTS_SHOWN; at--) {
        if (flight_reader_get(v->flight, at, &r) < 0)
            continue;
        const time_t seconds = (time_t)(r.wall_ms / 1000);
        if (gmtime_r(&seconds, &tm) == NULL || strftime(when, sizeof when, "%Y-%m-%d %H:%M:%S", &tm) == 0)
            when[0] = '\0';
        story_sentence(&r, sentence, sizeof sentence);
        text_put(out, "<li><time>%s UTC</time> <span>", when);
        text_add_html(out, sentence);
        text_put(out, "</span></li>\n");
        count++;
    }
}
