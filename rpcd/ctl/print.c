/* conductorctl's output for people. */
#include "rpcd/ctl/conductorctl.h"
#include "rpcd/ctl/field.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char *text(const cJSON *object, const char *key)
{
    const char *s = field_text(object, key);
    return s[0] != '\0' ? s : "-";
}

static const char *yes_no(const cJSON *item)
{
    return cJSON_IsTrue(item) ? "yes" : cJSON_IsFalse(item) ? "no" : "unknown";
}

static void print_head(const char *label, const cJSON *head)
{
    if (cJSON_IsObject(head))
        printf("%-14s %" PRIu64 " %s\n", label, field_number(head, "number"), text(head, "hash"));
    else
        printf("%-14s none\n", label);
}

static void print_status(const cJSON *s)
{
    const cJSON *item;
    ctl_print_cluster(stdout, s);
    printf("\n%-14s %s (version %s)\n", "node", text(s, "node"), text(s, "version"));
    printf("%-14s %s, term %" PRIu64 "%s\n", "role", text(s, "role"), field_number(s, "term"),
           field_is(s, "overridden") ? ", leadership overridden" : "");
    printf("%-14s %s%s%s\n", "conducting", yes_no(field_get(s, "active")), field_is(s, "paused") ? ", paused" : "",
           field_is(s, "stopped") ? ", stopped" : "");
    const char *why = field_text(s, "health_text");
    printf("%-14s %s%s%s%s\n", "healthy", yes_no(field_get(s, "healthy")), why[0] != '\0' ? " (" : "", why,
           why[0] != '\0' ? ")" : "");
    printf("%-14s %s\n", "ready", text(s, "ready_reason"));
    printf("%-14s %s\n", "sequencing", yes_no(field_get(s, "sequencer_active")));
    print_head("unsafe head", field_get(s, "unsafe_head"));
    print_head("op-node's head", field_get(s, "node_head"));
    printf("%-14s %" PRIu64 ", the last in %" PRIu64 " us\n", "commits", field_number(s, "commits"),
           field_number(s, "last_commit_us"));
    printf("processes\n");
    cJSON_ArrayForEach(item, field_get(s, "children"))
        printf("  %-12s %-12s pid %-8" PRIu64 " restarts %" PRIu64 "\n", text(item, "name"), text(item, "state"),
               field_number(item, "pid"), field_number(item, "restarts"));
}

static void print_members(const cJSON *m)
{
    static const char *const names[] = {"voter", "nonvoter", "staging"};
    const cJSON *item;
    cJSON_ArrayForEach(item, field_get(m, "servers"))
    {
        const uint64_t suffrage = field_number(item, "suffrage");
        printf("%-20s %-28s %s\n", text(item, "id"), text(item, "addr"),
               suffrage < sizeof names / sizeof names[0] ? names[suffrage] : "unknown");
    }
    printf("version %" PRIu64 "\n", field_number(m, "version"));
}

int ctl_flush(void)
{
    static bool is_told;
    errno = 0; /* the reason of an earlier failure is not known any more */
    if (fflush(stdout) == 0 && !ferror(stdout))
        return CTL_OK;
    if (errno != EPIPE && !is_told)
        (void)fprintf(stderr, "conductorctl: cannot write the output%s%s\n", errno != 0 ? ": " : "",
                      errno != 0 ? strerror(errno) : "");
    is_told = true;
    return CTL_REFUSED;
}

static void print_json(const cJSON *value, bool is_compact)
{
    char *json = value == NULL ? NULL : is_compact ? cJSON_PrintUnformatted(value) : cJSON_Print(value);
    for (const char *at = json != NULL ? json : "out of memory"; *at != '\0'; at++) {
        const unsigned char *c = (const unsigned char *)at;
        /* What cJSON does not escape and a terminal may obey: DEL, and U+0080 to U+009F. They are in strings only. */
        const bool is_wide = c[0] == 0xc2 && c[1] >= 0x80 && c[1] <= 0x9f;
        if (is_wide || c[0] == 0x7f) {
            printf("\\u%04x", c[is_wide]);
            at += is_wide;
        } else {
            (void)putchar(c[0]);
        }
    }
    printf("\n");
    free(json);
}

void ctl_print_json_line(const cJSON *value)
{
    print_json(value, true);
}

void ctl_print(const struct ctl_request *req, const cJSON *result)
{
    if (!req->is_json && strcmp(req->command, "status") == 0)
        print_status(result);
    else if (!req->is_json && strcmp(req->command, "members") == 0)
        print_members(result);
    else if (!req->is_json && strcmp(req->command, "leader") == 0)
        printf("%s %s\n", text(result, "id"), text(result, "addr"));
    else if (!req->is_json && strcmp(req->command, "call") != 0 && cJSON_IsNull(result))
        printf("done\n");
    else
        print_json(result, strcmp(req->command, "payload") == 0 || !cJSON_IsObject(result));
}
