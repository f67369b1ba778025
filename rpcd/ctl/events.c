/* conductorctl events: the flight recorder as a timeline, once or followed. */
#include "rpcd/ctl/conductorctl.h"
#include "rpcd/ctl/field.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

/* The most that rpcd gives in one answer. */
#define PAGE_LIMIT "1000"
#define FOLLOW_PERIOD_MS 300
#define RECONNECT_PERIOD_MS 1000
/* More of the same than this were thinned out by the recorder. */
#define REPEATS_KEPT 8

void ctl_format_duration(uint64_t us, char *ret, size_t size)
{
    if (us == 0)
        ret[0] = '\0';
    else if (us < 1000)
        (void)snprintf(ret, size, "%" PRIu64 " us", us);
    else if (us < 1000000)
        (void)snprintf(ret, size, "%.1f ms", (double)us / 1e3);
    else if (us < UINT64_C(120) * 1000000)
        (void)snprintf(ret, size, "%.2f s", (double)us / 1e6);
    else if (us < UINT64_C(7200) * 1000000)
        (void)snprintf(ret, size, "%" PRIu64 " min", us / 60000000);
    else
        (void)snprintf(ret, size, "%.1f h", (double)us / 3.6e9);
}

void ctl_format_time(uint64_t wall_ms, char *ret, size_t size)
{
    const time_t seconds = (time_t)(wall_ms / 1000);
    struct tm tm;
    char day[64] = "";
    if (localtime_r(&seconds, &tm) != NULL)
        (void)strftime(day, sizeof day, "%Y-%m-%d %H:%M:%S", &tm);
    (void)snprintf(ret, size, "%s.%03u", day, (unsigned)(wall_ms % 1000));
}

static void print_detail(FILE *out, const char *label, const char *lines)
{
    while (*lines != '\0') {
        const size_t len = strcspn(lines, "\n");
        (void)fprintf(out, "    %s%.*s\n", label, (int)len, lines);
        lines += len + (lines[len] == '\n');
    }
}

void ctl_print_event(FILE *out, const cJSON *event)
{
    char when[CTL_TIME_SIZE], took[32];
    const char *kind = field_text(event, "kind");
    ctl_format_time(field_number(event, "time_ms"), when, sizeof when);
    ctl_format_duration(field_number(event, "duration_us"), took, sizeof took);
    (void)fprintf(out, "%s  %-16s %s%s%s%s", when, kind, field_text(event, "what"), took[0] != '\0' ? "  [" : "", took,
                  took[0] != '\0' ? "]" : "");
    if (field_number(event, "repeats") > REPEATS_KEPT)
        (void)fprintf(out, "  (time %" PRIu64 " in a row)", field_number(event, "repeats"));
    (void)fprintf(out, "\n");
    if (strcmp(kind, "process_down") == 0)
        print_detail(out, "| ", field_lines(event, "detail"));
    else if (strcmp(kind, "decision") == 0)
        print_detail(out, "given: ", field_lines(event, "detail"));
}

/* What was seen so far. */
struct position {
    bool is_known;
    uint64_t last; /* sequence */
    uint64_t run;
};

/* One answer. Returns 0 when there is nothing more to ask for now. */
static unsigned show(const struct ctl_request *req, const cJSON *result, struct position *p)
{
    const cJSON *event;
    const uint64_t next = field_number(result, "next_sequence"), run = field_number(result, "run");
    unsigned count = 0;
    const bool is_restarted = p->is_known && run != p->run;
    p->run = run;
    /* What a crash kept from the file is numbered anew: ask again from where the new run began. */
    if (is_restarted && field_number(result, "run_first_sequence") <= p->last) {
        p->last = field_number(result, "run_first_sequence") - 1;
        return 1;
    }
    cJSON_ArrayForEach(event, field_get(result, "events"))
    {
        count++;
        p->last = field_number(event, "sequence");
        if (req->is_json)
            ctl_print_json_line(event);
        else
            ctl_print_event(stdout, event);
    }
    if (count == 0 && !p->is_known)
        p->last = next > 0 ? next - 1 : 0;
    if (next <= p->last) /* begun anew without a file */
        p->last = 0;
    p->is_known = true;
    return count;
}

int ctl_events(const struct ctl_request *req)
{
    struct position p = {0};
    bool is_lost = false;
    if (req->is_follow)
        ctl_end_when_interrupted();
    for (;;) {
        char params[96];
        cJSON *result = NULL;
        if (p.is_known)
            (void)snprintf(params, sizeof params, "[%" PRIu64 "," PAGE_LIMIT "]", p.last);
        else
            (void)snprintf(params, sizeof params, "[%.20s,%.20s]", req->since != NULL ? req->since : "null",
                           req->limit != NULL   ? req->limit
                           : req->since != NULL ? PAGE_LIMIT
                                                : "null");
        const int code = ctl_call_again(req, params, req->is_follow && p.is_known, &is_lost, &result);
        if (code != CTL_OK)
            return code;
        const unsigned count = is_lost ? 0 : show(req, result, &p);
        cJSON_Delete(result);
        if (ctl_flush() != CTL_OK)
            return CTL_REFUSED;
        const bool has_more = count > 0 && req->since != NULL && req->limit == NULL;
        if (!req->is_follow && !has_more)
            return CTL_OK;
        if (count == 0 || req->is_follow)
            ctl_pause_ms(is_lost ? RECONNECT_PERIOD_MS : FOLLOW_PERIOD_MS);
    }
}
