/* conductorctl's command line: commands to methods and params. */
#include "rpcd/ctl/conductorctl.h"
#include "rpcd/methods.h"

#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* What a command is, besides its call. */
enum { PLAIN = 0, DANGEROUS = 1, EVENTS = 2 };

struct command {
    const char *name;
    const char *sub; /* second word, or NULL */
    const char *args;
    unsigned args_min, args_max;
    enum method_id method; /* METHOD_COUNT: none */
    ctl_run_fn run;        /* NULL: one call of the method */
    unsigned traits;
    const char *help;
};

/* With more arguments the later rows of one name apply. */
static const struct command commands[] = {
    {"status", NULL, "", 0, 0, METHOD_STATUS, NULL, PLAIN, "the whole cluster and this node (--watch: live)"},
    {"leader", NULL, "", 0, 0, METHOD_LEADER_WITH_ID, NULL, PLAIN, "who leads"},
    {"active", NULL, "", 0, 0, METHOD_ACTIVE, NULL, PLAIN, "whether this conductor conducts"},
    {"members", NULL, "", 0, 0, METHOD_CLUSTER_MEMBERSHIP, NULL, PLAIN, "the cluster's servers"},
    {"events", NULL, "", 0, 0, METHOD_EVENTS, NULL, EVENTS, "what happened on this node, when and why"},
    {"timeline", NULL, "", 0, 0, METHOD_EVENTS, NULL, EVENTS, "the same"},
    {"payload", NULL, "", 0, 0, METHOD_LATEST_PAYLOAD, NULL, PLAIN, "the newest committed payload, as JSON"},
    {"wait-ready", NULL, "", 0, 0, METHOD_COUNT, ctl_wait_ready, PLAIN,
     "wait until this node could sequence, or leads"},
    {"doctor", NULL, "[URL...]", 0, CTL_WORDS_MAX, METHOD_COUNT, ctl_doctor, PLAIN,
     "what is wrong or about to be, and how to mend it"},
    {"bench-disk", NULL, "DIR", 1, 1, METHOD_COUNT, ctl_bench_disk, PLAIN, "how long that disk takes to keep a block"},
    {"pause", NULL, "", 0, 0, METHOD_PAUSE, NULL, PLAIN, "stop acting; health checks and Raft go on"},
    {"resume", NULL, "", 0, 0, METHOD_RESUME, NULL, PLAIN, "act again"},
    {"stop", NULL, "", 0, 0, METHOD_STOP, NULL, DANGEROUS, "stop conducting for good; the process stays"},
    {"transfer", NULL, "", 0, 0, METHOD_TRANSFER_LEADER, NULL, PLAIN, "hand leadership to the best voter"},
    {"transfer", NULL, "ID ADDR", 2, 2, METHOD_TRANSFER_LEADER_TO, NULL, PLAIN, "hand leadership to this one"},
    {"bootstrap", NULL, "NAME=HOST:PORT[@RPC]...", 1, CTL_WORDS_MAX, METHOD_COUNT, ctl_bootstrap, PLAIN,
     "form the cluster of these; again does no harm"},
    {"add-voter", NULL, "ID ADDR [VERSION]", 2, 3, METHOD_ADD_VOTER, NULL, PLAIN, "add or promote a voter"},
    {"add-nonvoter", NULL, "ID ADDR [VERSION]", 2, 3, METHOD_ADD_NONVOTER, NULL, PLAIN, "add a standby"},
    {"demote", NULL, "ID [VERSION]", 1, 2, METHOD_DEMOTE_VOTER, NULL, DANGEROUS, "make a voter a standby"},
    {"remove", NULL, "ID [VERSION]", 1, 2, METHOD_REMOVE_SERVER, NULL, DANGEROUS, "remove a server"},
    {"override", NULL, "true|false", 1, 1, METHOD_OVERRIDE_LEADER, NULL, DANGEROUS,
     "answer as the leader whatever Raft says"},
    {"node", "start", "", 0, 0, METHOD_START_NODE, NULL, PLAIN, "start the managed op-node"},
    {"node", "stop", "", 0, 0, METHOD_STOP_NODE, NULL, DANGEROUS, "stop the managed op-node and keep it down"},
    {"node", "restart", "", 0, 0, METHOD_RESTART_NODE, NULL, DANGEROUS, "restart the managed op-node"},
    {"node", "logs", "", 0, 0, METHOD_NODE_LOGS, ctl_node_logs, PLAIN, "what the managed op-node said last"},
    {"restart", NULL, "WORKER", 1, 1, METHOD_RESTART_WORKER, NULL, DANGEROUS, "restart consensus, healthd or rpcd"},
    {"adopt-head", NULL, "NUMBER HASH", 2, 2, METHOD_ADOPT_HEAD, NULL, PLAIN,
     "make this block the unsafe head (asks twice)"},
    {"backup", NULL, "DIR TO", 2, 2, METHOD_COUNT, ctl_storage, PLAIN, "copy a stopped server's storage, checked"},
    {"restore", NULL, "FROM DIR", 2, 2, METHOD_COUNT, ctl_storage, PLAIN,
     "make a storage of a backup: another member, without a vote"},
    {"force-new-cluster", NULL, "DIR", 1, 1, METHOD_COUNT, ctl_storage, PLAIN,
     "a stopped server's storage becomes a cluster of one (asks twice)"},
};
#define COMMAND_COUNT (sizeof commands / sizeof commands[0])

#define FIELD(name) offsetof(struct ctl_request, name)

#define EVENT_COMMANDS "events, timeline"
#define FOLLOWED_COMMANDS EVENT_COMMANDS ", node logs"

/* Options that belong to some commands only. The value of a short one may follow at once (-n50). */
static const struct option {
    const char *name, *value, *commands, *help;
    bool is_path; /* else the value is a number */
    size_t field; /* a const char * if there is a value, else a bool */
} options[] = {
    {"--watch", NULL, "status", "a live full-screen view; q ends it", false, FIELD(is_watch)},
    {"--since", "N", EVENT_COMMANDS, "what came after event number N, instead of the newest", false, FIELD(since)},
    {"--limit", "N", EVENT_COMMANDS, "at most so many (default: the newest 100, or with --since all)", false,
     FIELD(limit)},
    {"-n", "LINES", "node logs", "the newest so many (default 100)", false, FIELD(lines)},
    {"--follow", NULL, FOLLOWED_COMMANDS, "go on showing what comes until interrupted", false, FIELD(is_follow)},
    {"-f", NULL, FOLLOWED_COMMANDS, "the same", false, FIELD(is_follow)},
    {"--ready", NULL, "wait-ready", "until this node could take over (default)", false, FIELD(is_ready)},
    {"--leading", NULL, "wait-ready", "until this node leads and its op-node sequences", false, FIELD(is_leading)},
    {"--timeout", "SECONDS", "wait-ready, bootstrap", "give up after that long (default 60)", false, FIELD(timeout)},
    {"--block-time", "MS", "doctor, bench-disk", "judge the disk by it (default: as op-node says, else 2000)", false,
     FIELD(block_time)},
    {"--dir", "DIR", "doctor", "measure the disk of this directory too", true, FIELD(dir)},
};
#define OPTION_COUNT (sizeof options / sizeof options[0])

void ctl_print_help(void)
{
    printf("conductorctl - talk to an op-conductor\n\n"
           "Usage: conductorctl [--rpc URL] [--json] [--yes] COMMAND [ARGUMENTS]\n\n"
           "  --rpc URL   the conductor's RPC: http://HOST:PORT, or the path of its admin socket (default\n"
           "              $CONDUCTORCTL_RPC, else " CTL_ADMIN_SOCKET " if it is there for this\n"
           "              user, else http://127.0.0.1:8545; $OP_CONDUCTOR_RPC_ADMIN_SOCKET and\n"
           "              $OP_CONDUCTOR_RPC_PORT, as in a container, say otherwise)\n"
           "  --json      print the answer as JSON\n"
           "  --yes       do not ask before something dangerous\n"
           "  --help      this text\n"
           "  --version   this program's version; status says that of each conductor\n\n"
           "Commands:\n");
    for (size_t i = 0; i < COMMAND_COUNT; i++) {
        char left[64];
        (void)snprintf(left, sizeof left, "%s%s%s%s%s", commands[i].name, commands[i].sub != NULL ? " " : "",
                       commands[i].sub != NULL ? commands[i].sub : "", commands[i].args[0] != '\0' ? " " : "",
                       commands[i].args);
        printf("  %-34s %s\n", left, commands[i].help);
    }
    printf("  %-34s %s\n\nOptions of some commands:\n", "call METHOD [PARAMS-JSON]",
           "any method, for example: call conductor_leader '[]'");
    for (size_t i = 0; i < OPTION_COUNT; i++) {
        char left[64];
        (void)snprintf(left, sizeof left, "%s%s%s", options[i].name, options[i].value != NULL ? " " : "",
                       options[i].value != NULL ? options[i].value : "");
        printf("  %-20s %s: %s\n", left, options[i].commands, options[i].help);
    }
    printf("\nWith --json, events and node logs print one object per line. VERSION makes a change of the membership\n"
           "conditional: it is refused when the configuration has another version (see members). Without\n"
           "it, or with 0, it is not checked. What may interrupt sequencing says so and asks first.\n\n"
           "Exit codes: 0 done, 1 refused, 2 wrong usage or not wanted, 3 not reachable, 4 wait-ready was\n"
           "not in time or a check found an error, 5 a check found a warning.\n");
}

static bool is_number(const char *text)
{
    if (*text == '\0' || strlen(text) > 20)
        return false;
    for (; *text != '\0'; text++)
        if (!isdigit((unsigned char)*text))
            return false;
    return true;
}

/* Adds one argument by its type in the method's signature. Returns false when it has another. */
static bool add_param(cJSON *params, char type, const char *word)
{
    cJSON *item = NULL;
    if (type == 's')
        item = cJSON_CreateString(word);
    else if (type == 'b' && strcmp(word, "true") == 0)
        item = cJSON_CreateTrue();
    else if (type == 'b' && strcmp(word, "false") == 0)
        item = cJSON_CreateFalse();
    else if (type == 'u' && is_number(word))
        item = cJSON_CreateRaw(word);
    return item != NULL && cJSON_AddItemToArray(params, item);
}

static int build_params(const struct command *c, struct ctl_request *ret)
{
    const struct method *m = method_get(c->method);
    cJSON *params = cJSON_CreateArray();
    int rc = CTL_OK;
    for (unsigned i = 0; m->params[i] != '\0' && m->params[i] != '?' && rc == CTL_OK; i++) {
        const char *word = i < ret->word_count ? ret->words[i] : "0"; /* only a version may be left out */
        if (!add_param(params, m->params[i], word)) {
            (void)snprintf(ret->error, sizeof ret->error, "%s: '%s' is no %s", c->name, word,
                           m->params[i] == 'u' ? "number" : "true or false");
            rc = CTL_USAGE;
        }
    }
    ret->method = m->name;
    if (c->method == METHOD_ADOPT_HEAD)
        ret->warning = "Acknowledged blocks that are not its ancestors are given up: an unsafe reorg.";
    ret->params = cJSON_PrintUnformatted(params);
    cJSON_Delete(params);
    return rc;
}

static int parse_call(char **words, unsigned count, struct ctl_request *ret)
{
    if (count < 1 || count > 2) {
        (void)snprintf(ret->error, sizeof ret->error, "call: give a METHOD and, if it has any, PARAMS as a JSON array");
        return CTL_USAGE;
    }
    cJSON *params = cJSON_ParseWithOpts(count == 2 ? words[1] : "[]", NULL, true);
    const bool ok = cJSON_IsArray(params);
    cJSON_Delete(params);
    if (!ok) {
        (void)snprintf(ret->error, sizeof ret->error, "call: PARAMS is no JSON array");
        return CTL_USAGE;
    }
    ret->method = words[0];
    ret->params = strdup(count == 2 ? words[1] : "[]"); /* as typed: large numbers stay exact */
    return CTL_OK;
}

static int take_command(const struct command *c, char **words, unsigned count, struct ctl_request *ret)
{
    for (unsigned i = 0; i < count; i++)
        ret->words[i] = words[i];
    ret->word_count = count;
    ret->sub = c->sub;
    ret->run = c->run;
    ret->is_dangerous = (c->traits & DANGEROUS) != 0;
    ret->is_events = (c->traits & EVENTS) != 0;
    if (ret->is_events)
        ret->run = ctl_events;
    return c->method != METHOD_COUNT ? build_params(c, ret) : CTL_OK;
}

static int parse_command(char **words, unsigned count, struct ctl_request *ret)
{
    const char *usage = NULL;
    ret->command = words[0];
    if (strcmp(words[0], "call") == 0)
        return parse_call(words + 1, count - 1, ret);
    for (size_t i = 0; i < COMMAND_COUNT; i++) {
        const struct command *c = &commands[i];
        const unsigned skip = c->sub != NULL ? 2 : 1;
        if (strcmp(c->name, words[0]) != 0)
            continue;
        usage = c->sub != NULL ? "start|stop|restart|logs" : c->args;
        if (c->sub != NULL && (count < 2 || strcmp(c->sub, words[1]) != 0))
            continue;
        if (count - skip >= c->args_min && count - skip <= c->args_max)
            return take_command(c, words + skip, count - skip, ret);
    }
    if (usage != NULL)
        (void)snprintf(ret->error, sizeof ret->error, "usage: conductorctl %.64s%s%s", words[0],
                       usage[0] != '\0' ? " " : "", usage);
    else
        (void)snprintf(ret->error, sizeof ret->error, "unknown command '%.64s' (see conductorctl --help)", words[0]);
    return CTL_USAGE;
}

/* ---- options ---- */

static void set_option(struct ctl_request *req, const struct option *o, const char *value)
{
    const bool yes = true;
    char *field = (char *)req + o->field;
    if (o->value != NULL)
        memcpy(field, &value, sizeof value);
    else
        memcpy(field, &yes, sizeof yes);
}

/* --name, --name VALUE or --name=VALUE (-n VALUE, -nVALUE) at argv[*i]. Returns its row, or OPTION_COUNT if it is none
 * of them; *ret_code tells of a bad value. */
static size_t take_option(char **argv, int argc, int *i, struct ctl_request *req, int *ret_code)
{
    for (size_t n = 0; n < OPTION_COUNT; n++) {
        const struct option *o = &options[n];
        const size_t len = strlen(o->name);
        const bool is_short = o->name[1] != '-';
        const char *value = NULL;
        if (strncmp(argv[*i], o->name, len) != 0)
            continue;
        const char *rest = argv[*i] + len;
        if (*rest != '\0' && (o->value == NULL || (*rest != '=' && !is_short)))
            continue;
        if (*rest != '\0')
            value = rest + (*rest == '=');
        else if (o->value != NULL && *i + 1 < argc)
            value = argv[++*i];
        if (o->value != NULL && (value == NULL || *value == '\0' || (!o->is_path && !is_number(value)))) {
            (void)snprintf(req->error, sizeof req->error, "%s: want a %s", o->name,
                           o->is_path ? "directory" : "number");
            *ret_code = CTL_USAGE;
        }
        set_option(req, o, value);
        return n;
    }
    return OPTION_COUNT;
}

/* Whether a list "a, b c" has this command, with its second word if it has one. */
static bool has_command(const char *list, const struct ctl_request *req)
{
    char name[64];
    (void)snprintf(name, sizeof name, "%s%s%s", req->command, req->sub != NULL ? " " : "",
                   req->sub != NULL ? req->sub : "");
    const size_t len = strlen(name);
    for (const char *at = list; (at = strstr(at, name)) != NULL; at += len)
        if ((at == list || (at > list + 1 && at[-2] == ',')) && (at[len] == '\0' || at[len] == ','))
            return true;
    return false;
}

/* Each option given must be one of the command's. */
static int check_options(struct ctl_request *ret, unsigned long given)
{
    for (size_t n = 0; n < OPTION_COUNT; n++) {
        if ((given >> n & 1) == 0 || has_command(options[n].commands, ret))
            continue;
        (void)snprintf(ret->error, sizeof ret->error, "%s belongs to: %s", options[n].name, options[n].commands);
        return CTL_USAGE;
    }
    if (ret->is_watch && ret->is_json) {
        (void)snprintf(ret->error, sizeof ret->error, "--watch is for people: leave out --json");
        return CTL_USAGE;
    }
    if (ret->is_leading && ret->is_ready) {
        (void)snprintf(ret->error, sizeof ret->error, "give --ready or --leading: who leads and sequences is ready");
        return CTL_USAGE;
    }
    if (ret->is_watch)
        ret->run = ctl_watch;
    return CTL_OK;
}

static const char *rpc_of(const char *text)
{
    return strncmp(text, "unix:", 5) == 0 ? text + 5 : text;
}

int ctl_parse(int argc, char **argv, const char *rpc_default, struct ctl_request *ret)
{
    char *words[CTL_WORDS_MAX];
    unsigned count = 0;
    unsigned long given = 0;
    int code = CTL_OK;
    memset(ret, 0, sizeof *ret);
    ret->rpc = rpc_of(rpc_default);
    for (int i = 1; i < argc; i++) {
        size_t option;
        if (strcmp(argv[i], "--help") == 0 || strcmp(argv[i], "-h") == 0) {
            ret->is_help = true;
            return CTL_OK;
        }
        if (strcmp(argv[i], "--version") == 0 || strcmp(argv[i], "-v") == 0) {
            ret->is_version = true;
            return CTL_OK;
        }
        if (strcmp(argv[i], "--json") == 0) {
            ret->is_json = true;
        } else if (strcmp(argv[i], "--yes") == 0) {
            ret->is_yes = true;
        } else if (strcmp(argv[i], "--rpc") == 0 && i + 1 == argc) {
            (void)snprintf(ret->error, sizeof ret->error, "--rpc: want a URL, or the path of an admin socket");
            return CTL_USAGE;
        } else if (strncmp(argv[i], "--rpc=", 6) == 0 || strcmp(argv[i], "--rpc") == 0) {
            ret->rpc = rpc_of(argv[i][5] == '=' ? argv[i] + 6 : argv[++i]);
            ret->is_rpc_given = true;
        } else if ((option = take_option(argv, argc, &i, ret, &code)) < OPTION_COUNT) {
            if (code != CTL_OK)
                return code;
            given |= 1UL << option;
        } else if ((argv[i][0] == '-' && argv[i][1] != '\0') || count == CTL_WORDS_MAX) {
            (void)snprintf(ret->error, sizeof ret->error, "unexpected argument '%.64s' (see conductorctl --help)",
                           argv[i]);
            return CTL_USAGE;
        } else {
            words[count++] = argv[i];
        }
    }
    if (count == 0) {
        (void)snprintf(ret->error, sizeof ret->error, "give a command (see conductorctl --help)");
        return CTL_USAGE;
    }
    code = parse_command(words, count, ret);
    return code == CTL_OK ? check_options(ret, given) : code;
}
