/* Draws one frame (see watch.h). */
#include "rpcd/ctl/watch.h"

#include "rpcd/ctl/conductorctl.h"
#include "rpcd/ctl/field.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#define BAR_LEVELS 8

void watch_add_sample(struct watch_frame *f, uint64_t us)
{
    if (f->sample_count == WATCH_SAMPLES_MAX) {
        memmove(f->samples_us, f->samples_us + 1, (WATCH_SAMPLES_MAX - 1) * sizeof *f->samples_us);
        f->sample_count--;
    }
    f->samples_us[f->sample_count++] = us < UINT32_MAX ? (uint32_t)us : UINT32_MAX;
}

void watch_render_bars(FILE *out, const struct watch_frame *f, unsigned width)
{
    static const char *const utf8[BAR_LEVELS] = {"▁", "▂", "▃", "▄", "▅", "▆", "▇", "█"};
    static const char *const ascii[BAR_LEVELS] = {"_", ".", ":", "-", "=", "+", "*", "#"};
    const char *const *bars = f->is_utf8 ? utf8 : ascii;
    const unsigned first = f->sample_count > width ? f->sample_count - width : 0;
    uint32_t highest = 1;
    for (unsigned i = first; i < f->sample_count; i++)
        if (f->samples_us[i] > highest)
            highest = f->samples_us[i];
    for (unsigned i = first; i < f->sample_count; i++)
        (void)fputs(bars[(uint64_t)f->samples_us[i] * (BAR_LEVELS - 1) / highest], out);
}

static void write_latency(FILE *out, const struct watch_frame *f)
{
    char newest[32], highest_text[32];
    uint32_t highest = 0;
    const unsigned width = f->columns > 60 ? f->columns - 52 : 8;
    const unsigned first = f->sample_count > width ? f->sample_count - width : 0;
    if (f->sample_count == 0) {
        (void)fprintf(out, "commit latency  no commit here since this began (the leader measures it: %s)\n",
                      field_text(field_get(f->status, "leader"), "id"));
        return;
    }
    for (unsigned i = first; i < f->sample_count; i++)
        if (f->samples_us[i] > highest)
            highest = f->samples_us[i];
    ctl_format_duration(f->samples_us[f->sample_count - 1], newest, sizeof newest);
    ctl_format_duration(highest, highest_text, sizeof highest_text);
    (void)fprintf(out, "commit latency  %-8s ", newest);
    watch_render_bars(out, f, width);
    (void)fprintf(out, "  at most %s\n", highest_text);
}

static void write_node(FILE *out, const struct watch_frame *f)
{
    const cJSON *s = f->status, *child;
    const cJSON *head = field_get(s, "unsafe_head");
    (void)fprintf(out, "%s (%s): %s, %s%s%s%s\n", field_text(s, "node"), field_text(s, "version"),
                  field_text(s, "role"), field_text(s, "ready_reason"), field_is(s, "paused") ? ", PAUSED" : "",
                  field_is(s, "stopped") ? ", STOPPED" : "", field_is(s, "overridden") ? ", OVERRIDDEN" : "");
    if (field_text(s, "health_text")[0] != '\0')
        (void)fprintf(out, "health          %s\n", field_text(s, "health_text"));
    if (cJSON_IsObject(head))
        (void)fprintf(out, "unsafe head     %" PRIu64 " %.18s, op-node %" PRIu64 "\n", field_number(head, "number"),
                      field_text(head, "hash"), field_number(field_get(s, "node_head"), "number"));
    else
        (void)fprintf(out, "unsafe head     none yet\n");
    write_latency(out, f);
    (void)fprintf(out, "processes      ");
    cJSON_ArrayForEach(child, field_get(s, "children"))
    {
        (void)fprintf(out, " %s %s", field_text(child, "name"), field_text(child, "state"));
        if (field_number(child, "restarts") > 0)
            (void)fprintf(out, " (%" PRIu64 " restarts)", field_number(child, "restarts"));
        (void)fprintf(out, "%s", child->next != NULL ? "," : "\n");
    }
}

/* All of it, as long as it is; what does not fit is cut off later. The newest events come first. */
static void write_all(FILE *out, const struct watch_frame *f)
{
    (void)fprintf(out, "op-conductor at %s   q ends\n", f->rpc);
    if (f->lost_ms > 0)
        (void)fprintf(out, "DOES NOT ANSWER for %.1f s; what it said last:\n\n", (double)f->lost_ms / 1e3);
    else
        (void)fprintf(out, "\n");
    if (f->status == NULL)
        return;
    ctl_print_cluster(out, f->status);
    (void)fprintf(out, "\n");
    write_node(out, f);
    (void)fprintf(out, "\nlast events, newest first\n");
    const cJSON *events = field_get(f->events, "events");
    for (int i = cJSON_GetArraySize(events) - 1; i >= 0; i--)
        ctl_print_event(out, cJSON_GetArrayItem(events, i));
}

/* The length in bytes of the first `columns` characters of a line. */
static size_t clip(const char *line, size_t len, unsigned columns)
{
    size_t used = 0;
    unsigned count = 0;
    while (used < len) {
        if (((unsigned char)line[used] & 0xc0) != 0x80 && count++ == columns)
            break;
        used++;
    }
    return used;
}

void watch_render(FILE *out, const struct watch_frame *f)
{
    char *text = NULL;
    size_t size = 0;
    FILE *all = open_memstream(&text, &size);
    if (all == NULL)
        return;
    write_all(all, f);
    if (fclose(all) != 0)
        goto out;
    (void)fputs("\033[H", out);
    const char *line = text;
    for (unsigned row = 0; row < f->rows && *line != '\0'; row++) {
        const size_t len = strcspn(line, "\n");
        (void)fprintf(out, "%s%.*s\033[K", row > 0 ? "\n" : "", (int)clip(line, len, f->columns), line);
        line += len + (line[len] == '\n');
    }
    (void)fputs("\033[J", out);
out:
    free(text);
}
