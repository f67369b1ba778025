/* conductorctl's output for people. */
#include "rpcd/ctl/conductorctl.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const cJSON *get(const cJSON *object, const char *key)
{
    return cJSON_GetObjectItemCaseSensitive(object, key);
}

static const char *text(const cJSON *object, const char *key)
{
    const char *s = cJSON_GetStringValue(get(object, key));
    return s != NULL && s[0] != '\0' ? s : "-";
}

static double number(const cJSON *object, const char *key)
{
    const cJSON *item = get(object, key);
    return cJSON_IsNumber(item) ? item->valuedouble : 0;
}

static const char *yes_no(const cJSON *item)
{
    return cJSON_IsTrue(item) ? "yes" : cJSON_IsFalse(item) ? "no" : "unknown";
}

static void print_head(const char *label, const cJSON *head)
{
    if (cJSON_IsObject(head))
        printf("%-14s %.0f %s\n", label, number(head, "number"), text(head, "hash"));
    else
        printf("%-14s none\n", label);
}

static const char *suffrage_name(const cJSON *server)
{
    static const char *const names[] = {"voter", "nonvoter", "staging"};
    const double s = number(server, "suffrage");
    return s >= 0 && s < 3 ? names[(int)s] : "unknown";
}

static void print_status(const cJSON *s)
{
    const cJSON *item;
    printf("%-14s %s (version %s)\n", "node", text(s, "node"), text(s, "version"));
    printf("%-14s %s, term %.0f%s\n", "role", text(s, "role"), number(s, "term"),
           cJSON_IsTrue(get(s, "overridden")) ? ", leadership overridden" : "");
    printf("%-14s %s %s\n", "leader", text(get(s, "leader"), "id"), text(get(s, "leader"), "addr"));
    printf("%-14s %s%s%s\n", "conducting", yes_no(get(s, "active")), cJSON_IsTrue(get(s, "paused")) ? ", paused" : "",
           cJSON_IsTrue(get(s, "stopped")) ? ", stopped" : "");
    printf("%-14s %s (%s)\n", "healthy", yes_no(get(s, "healthy")), text(s, "health_text"));
    printf("%-14s %s\n", "ready", text(s, "ready_reason"));
    printf("%-14s %s\n", "sequencing", yes_no(get(s, "sequencer_active")));
    print_head("unsafe head", get(s, "unsafe_head"));
    print_head("op-node's head", get(s, "node_head"));
    printf("%-14s %.0f, the last in %.0f us\n", "commits", number(s, "commits"), number(s, "last_commit_us"));
    printf("processes\n");
    cJSON_ArrayForEach(item, get(s, "children"))
        printf("  %-12s %-12s pid %-8.0f restarts %.0f\n", text(item, "name"), text(item, "state"), number(item, "pid"),
               number(item, "restarts"));
    printf("servers\n");
    cJSON_ArrayForEach(item, get(s, "servers")) printf("  %-20s %-28s %-9s %s\n", text(item, "id"), text(item, "addr"),
                                                       suffrage_name(item), text(get(item, "record"), "ready_reason"));
}

static void print_members(const cJSON *m)
{
    const cJSON *item;
    cJSON_ArrayForEach(item, get(m, "servers"))
        printf("%-20s %-28s %s\n", text(item, "id"), text(item, "addr"), suffrage_name(item));
    printf("version %.0f\n", number(m, "version"));
}

static void print_json(const cJSON *value, bool is_compact)
{
    char *json = is_compact ? cJSON_PrintUnformatted(value) : cJSON_Print(value);
    printf("%s\n", json != NULL ? json : "out of memory");
    free(json);
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
