/* conductorctl node logs: what the managed op-node said last, once or followed. */
#include "rpcd/ctl/conductorctl.h"
#include "rpcd/ctl/field.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define LINES_DEFAULT "100"
#define FOLLOW_PERIOD_MS 500
#define RECONNECT_PERIOD_MS 1000

/* What was seen so far. */
struct position {
    bool is_known;
    uint64_t instance;
    uint64_t last; /* sequence */
    uint64_t end;  /* what is not followed ends before this one */
};

static void print_mark(const cJSON *line)
{
    char when[CTL_TIME_SIZE];
    ctl_format_time(field_number(line, "time_ms"), when, sizeof when);
    printf("--- %s op-node ", when);
    ctl_print_plain(stdout, field_raw(line, "text"), false);
    printf(" ---\n");
}

/* One object per line, complete in itself. */
static void print_json(const cJSON *line, uint64_t instance)
{
    cJSON *copy = cJSON_Duplicate(line, true);
    if (copy != NULL)
        (void)cJSON_AddNumberToObject(copy, "instance", (double)instance);
    ctl_print_json_line(copy);
    cJSON_Delete(copy);
}

static void print_line(const struct ctl_request *req, const cJSON *line, uint64_t instance)
{
    if (req->is_json) {
        print_json(line, instance);
    } else if (strcmp(field_text(line, "kind"), "line") != 0) {
        print_mark(line);
    } else {
        ctl_print_plain(stdout, field_raw(line, "text"), isatty(STDOUT_FILENO) != 0);
        printf("\n");
    }
}

/* One answer. Returns whether there is more to ask for now. */
static bool show(const struct ctl_request *req, const cJSON *result, struct position *p)
{
    const cJSON *line;
    const uint64_t instance = field_number(result, "instance"), next = field_number(result, "next_sequence");
    unsigned count = 0;
    const bool is_restarted = p->is_known && instance != p->instance;
    if (is_restarted) { /* the cursor means nothing there */
        (void)fflush(stdout);
        (void)fprintf(stderr, "conductorctl: op-conductor was restarted: its op-node's log begins anew\n");
        p->last = 0;
    }
    if (!p->is_known || is_restarted)
        p->end = next;
    p->instance = instance;
    if (is_restarted)
        return true;
    cJSON_ArrayForEach(line, field_get(result, "lines"))
    {
        const uint64_t sequence = field_number(line, "sequence");
        if (p->is_known && sequence > p->last + 1) {
            (void)fflush(stdout);
            (void)fprintf(stderr, "conductorctl: lines lost: %" PRIu64 " (op-node says more than is kept)\n",
                          sequence - p->last - 1);
        }
        p->last = sequence;
        p->is_known = true;
        count++;
        print_line(req, line, instance);
    }
    if (!p->is_known)
        p->last = next - 1;
    p->is_known = true;
    return count > 0 && p->last + 1 < (req->is_follow ? next : p->end);
}

int ctl_node_logs(const struct ctl_request *req)
{
    struct position p = {0};
    bool is_lost = false;
    if (req->is_follow)
        ctl_end_when_interrupted();
    for (;;) {
        char params[64];
        cJSON *result = NULL;
        if (p.is_known)
            (void)snprintf(params, sizeof params, "[%" PRIu64 "]", p.last);
        else
            (void)snprintf(params, sizeof params, "[null,%.20s]", req->lines != NULL ? req->lines : LINES_DEFAULT);
        const int code = ctl_call_again(req, params, req->is_follow && p.is_known, &is_lost, &result);
        if (code == CTL_REFUSED && req->rpc[0] != '/' && access(ctl_admin_socket(), F_OK) == 0)
            (void)fprintf(stderr, "conductorctl: of this machine's service: conductorctl --rpc %s node logs\n",
                          ctl_admin_socket());
        if (code != CTL_OK)
            return code;
        const bool has_more = !is_lost && show(req, result, &p);
        cJSON_Delete(result);
        if (ctl_flush() != CTL_OK)
            return CTL_REFUSED;
        if (!has_more && !req->is_follow)
            break;
        if (!has_more)
            ctl_pause_ms(is_lost ? RECONNECT_PERIOD_MS : FOLLOW_PERIOD_MS);
    }
    if (p.last == 0)
        (void)fprintf(stderr, "conductorctl: op-node has said nothing yet\n");
    return CTL_OK;
}
