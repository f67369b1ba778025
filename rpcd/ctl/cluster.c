/* The cluster as one node sees it, as a table. */
#include "rpcd/ctl/conductorctl.h"
#include "rpcd/ctl/field.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

/* Conductors tell each other several times a second; silence of this length is none of their pauses. */
#define SILENCE_MS 3000

static const char *suffrage_name(const cJSON *server)
{
    static const char *const names[] = {"voter", "standby", "joining"};
    const uint64_t s = field_number(server, "suffrage");
    return s < sizeof names / sizeof names[0] ? names[s] : "unknown";
}

static bool is_self(const cJSON *status, const cJSON *server)
{
    return strcmp(field_text(status, "node"), field_text(server, "id")) == 0;
}

void ctl_describe_member(const cJSON *status, const cJSON *server, char *ret, size_t size)
{
    const cJSON *record = field_get(server, "record");
    const bool leads = strcmp(field_text(field_get(status, "leader"), "id"), field_text(server, "id")) == 0;
    const uint64_t age_ms = field_number(record, "age_ms");
    if (!cJSON_IsObject(record))
        (void)snprintf(ret, size, "%snever heard of", leads ? "leads, " : "");
    else if (age_ms > SILENCE_MS && !is_self(status, server))
        (void)snprintf(ret, size, "silent for %" PRIu64 " s", age_ms / 1000);
    else
        (void)snprintf(ret, size, "%s%s%s", leads ? "leads, " : "", field_text(record, "ready_reason"),
                       field_is(record, "sequencing") ? ", sequencing" : "");
}

static uint64_t head_of(const cJSON *server)
{
    return field_number(field_get(field_get(server, "record"), "unsafe_head"), "number");
}

static void print_member(FILE *out, const cJSON *status, const cJSON *server, uint64_t highest)
{
    char state[64], head[24] = "-", lag[24] = "-", contact[24] = "-";
    const cJSON *age = field_get(server, "contact_age_ms");
    ctl_describe_member(status, server, state, sizeof state);
    if (cJSON_IsObject(field_get(field_get(server, "record"), "unsafe_head"))) {
        (void)snprintf(head, sizeof head, "%" PRIu64, head_of(server));
        (void)snprintf(lag, sizeof lag, "%" PRIu64, highest - head_of(server));
    }
    if (cJSON_IsNumber(age) && !is_self(status, server))
        (void)snprintf(contact, sizeof contact, "%" PRIu64 " ms", field_number(server, "contact_age_ms"));
    (void)fprintf(out, "%c %-20s %-24s %-8s %-26s %10s %5s %9s\n", is_self(status, server) ? '*' : ' ',
                  field_text(server, "id"), field_text(server, "addr"), suffrage_name(server), state, head, lag,
                  contact);
}

void ctl_print_cluster(FILE *out, const cJSON *status)
{
    const cJSON *servers = field_get(status, "servers"), *server;
    const char *leader = field_text(field_get(status, "leader"), "id");
    unsigned voters = 0;
    uint64_t highest = 0;
    cJSON_ArrayForEach(server, servers)
    {
        voters += field_number(server, "suffrage") == 0;
        if (head_of(server) > highest)
            highest = head_of(server);
    }
    if (voters == 0) {
        (void)fprintf(out, "no cluster yet: this node is no member of one\n");
        return;
    }
    (void)fprintf(out, "%u voter%s, %u needed; leader %s, term %" PRIu64 "\n", voters, voters == 1 ? "" : "s",
                  voters / 2 + 1, leader[0] != '\0' ? leader : "unknown", field_number(status, "term"));
    (void)fprintf(out, "  %-20s %-24s %-8s %-26s %10s %5s %9s\n", "NODE", "ADDRESS", "VOTE", "STATE", "HEAD", "LAG",
                  "HEARD");
    cJSON_ArrayForEach(server, servers) print_member(out, status, server, highest);
    cJSON_ArrayForEach(server, servers)
    {
        const char *version = field_text(server, "version");
        if (version[0] != '\0' && strcmp(version, field_text(status, "version")) != 0)
            (void)fprintf(out, "  %s runs %s, this node %s\n", field_text(server, "id"), version,
                          field_text(status, "version"));
    }
}
