/* What a dangerous command means for sequencing, told before it is done. */
#include "rpcd/ctl/conductorctl.h"
#include "rpcd/ctl/field.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

struct outlook {
    const char *self, *leader;
    bool leads;     /* the node asked */
    bool sequences; /* its op-node */
    unsigned voters;
    const char *next[CTL_WORDS_MAX]; /* ready voters besides the one that goes away */
    unsigned next_count;
    char *out;
    size_t len, size;
};

__attribute__((format(printf, 2, 3))) static void say(struct outlook *o, const char *fmt, ...)
{
    va_list args;
    va_start(args, fmt);
    const int n = vsnprintf(o->out + o->len, o->size - o->len, fmt, args);
    va_end(args);
    if (n > 0)
        o->len = o->len + (size_t)n < o->size ? o->len + (size_t)n : o->size - 1;
}

static void look(struct outlook *o, const cJSON *status, const char *goes_away)
{
    const cJSON *server;
    o->self = field_text(status, "node");
    o->leader = field_text(field_get(status, "leader"), "id");
    o->leads = strcmp(o->self, o->leader) == 0;
    o->sequences = field_is(status, "sequencer_active");
    cJSON_ArrayForEach(server, field_get(status, "servers"))
    {
        const char *id = field_text(server, "id");
        if (field_number(server, "suffrage") != 0)
            continue;
        o->voters++;
        if (strcmp(id, goes_away) != 0 && o->next_count < CTL_WORDS_MAX &&
            strcmp(field_text(field_get(server, "record"), "ready_reason"), "ready") == 0)
            o->next[o->next_count++] = id;
    }
}

static void say_who_goes_on(struct outlook *o)
{
    if (o->next_count == 0) {
        say(o, " No other voter is ready: SEQUENCING STOPS until one is.");
        return;
    }
    say(o, " Sequencing goes on at ");
    for (unsigned i = 0; i < o->next_count; i++)
        say(o, "%s%s", i == 0 ? "" : i + 1 == o->next_count ? " or " : ", ", o->next[i]);
    say(o, ", which %s ready.", o->next_count == 1 ? "is" : "are");
}

/* This node takes no part any more. */
static void say_leaving(struct outlook *o)
{
    if (o->leads || o->sequences)
        say_who_goes_on(o);
    else
        say(o, " %s leads: sequencing is not touched.", o->leader[0] != '\0' ? o->leader : "Another node or nobody");
}

static void say_margin(struct outlook *o, unsigned voters)
{
    const unsigned spare = voters > 0 ? (voters - 1) / 2 : 0;
    say(o, " %u voter%s: %u of them may fail.", voters, voters == 1 ? " remains" : "s remain", spare);
}

static bool is_voter(const cJSON *status, const char *id)
{
    const cJSON *server;
    cJSON_ArrayForEach(server, field_get(status, "servers"))
    {
        if (strcmp(field_text(server, "id"), id) == 0)
            return field_number(server, "suffrage") == 0;
    }
    return false;
}

static bool describe_member_change(struct outlook *o, const cJSON *status, const char *verb, const char *id)
{
    if (!is_voter(status, id))
        return false;
    say(o, "%s loses its vote%s.", id, strcmp(verb, "remove") == 0 ? " and takes no part any more" : "");
    if (strcmp(id, o->leader) == 0) {
        say(o, " It leads.");
        say_who_goes_on(o);
    }
    say_margin(o, o->voters > 0 ? o->voters - 1 : 0);
    return true;
}

static bool describe_worker(struct outlook *o, const char *worker)
{
    if (strcmp(worker, "consensus") != 0 || !o->leads)
        return false;
    say(o, "%s leads: blocks wait until it, or another node, is elected.", o->self);
    return true;
}

bool ctl_describe_impact(const struct ctl_request *req, const cJSON *status, char *ret, size_t size)
{
    struct outlook o = {.out = ret, .size = size};
    const char *word = req->word_count > 0 ? req->words[0] : "";
    const bool is_member_change = strcmp(req->command, "remove") == 0 || strcmp(req->command, "demote") == 0;
    ret[0] = '\0';
    look(&o, status, is_member_change ? word : field_text(status, "node"));
    if (is_member_change)
        return describe_member_change(&o, status, req->command, word);
    if (strcmp(req->command, "restart") == 0)
        return describe_worker(&o, word);
    if (strcmp(req->command, "override") == 0) {
        if (strcmp(word, "true") != 0)
            return false;
        say(&o, "%s says that it leads whatever Raft says: if another node sequences as well, the chain forks.",
            o.self);
        return true;
    }
    if (strcmp(req->command, "stop") == 0) {
        say(&o, "%s hands over, stops conducting and takes no part in Raft until op-conductor is restarted.", o.self);
        say_leaving(&o);
        say_margin(&o, o.voters > 0 ? o.voters - 1 : 0);
        return true;
    }
    say(&o, "op-node of %s %s.", o.self,
        req->sub != NULL && strcmp(req->sub, "restart") == 0 ? "is restarted" : "is stopped and kept down");
    say_leaving(&o);
    return true;
}
