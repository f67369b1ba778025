/* conductorctl's command line: commands to methods and params. */
#include "rpcd/ctl/conductorctl.h"
#include "rpcd/methods.h"

#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct command {
    const char *name;
    const char *sub; /* second word, or NULL */
    const char *args;
    unsigned args_min, args_max;
    enum method_id method;
    const char *help;
};

/* With more arguments the later rows of one name apply. */
static const struct command commands[] = {
    {"status", NULL, "", 0, 0, METHOD_STATUS, "everything about this node"},
    {"leader", NULL, "", 0, 0, METHOD_LEADER_WITH_ID, "who leads"},
    {"active", NULL, "", 0, 0, METHOD_ACTIVE, "whether this conductor conducts"},
    {"members", NULL, "", 0, 0, METHOD_CLUSTER_MEMBERSHIP, "the cluster's servers"},
    {"events", NULL, "", 0, 0, METHOD_EVENTS, "what happened on this node, when and why (options below)"},
    {"payload", NULL, "", 0, 0, METHOD_LATEST_PAYLOAD, "the newest committed payload, as JSON"},
    {"pause", NULL, "", 0, 0, METHOD_PAUSE, "stop acting; health checks and Raft go on"},
    {"resume", NULL, "", 0, 0, METHOD_RESUME, "act again"},
    {"stop", NULL, "", 0, 0, METHOD_STOP, "stop conducting for good; the process stays"},
    {"transfer", NULL, "", 0, 0, METHOD_TRANSFER_LEADER, "hand leadership to the best voter"},
    {"transfer", NULL, "ID ADDR", 2, 2, METHOD_TRANSFER_LEADER_TO, "hand leadership to this one"},
    {"add-voter", NULL, "ID ADDR [VERSION]", 2, 3, METHOD_ADD_VOTER, "add or promote a voter"},
    {"add-nonvoter", NULL, "ID ADDR [VERSION]", 2, 3, METHOD_ADD_NONVOTER, "add a standby"},
    {"demote", NULL, "ID [VERSION]", 1, 2, METHOD_DEMOTE_VOTER, "make a voter a standby"},
    {"remove", NULL, "ID [VERSION]", 1, 2, METHOD_REMOVE_SERVER, "remove a server"},
    {"override", NULL, "true|false", 1, 1, METHOD_OVERRIDE_LEADER, "answer as the leader whatever Raft says"},
    {"node", "start", "", 0, 0, METHOD_START_NODE, "start the managed op-node"},
    {"node", "stop", "", 0, 0, METHOD_STOP_NODE, "stop the managed op-node and keep it down"},
    {"node", "restart", "", 0, 0, METHOD_RESTART_NODE, "restart the managed op-node"},
    {"adopt-head", NULL, "NUMBER HASH", 2, 2, METHOD_ADOPT_HEAD, "make this block the unsafe head (asks twice)"},
    {"restart", NULL, "WORKER", 1, 1, METHOD_RESTART_WORKER, "restart consensus, healthd or rpcd"},
};
#define COMMAND_COUNT (sizeof commands / sizeof commands[0])

void ctl_print_help(void)
{
    printf("conductorctl - talk to an op-conductor\n\n"
           "Usage: conductorctl [--rpc URL] [--json] COMMAND\n\n"
           "  --rpc URL   the conductor's RPC (default $CONDUCTORCTL_RPC, else http://127.0.0.1:8545)\n"
           "  --json      print the answer as JSON\n"
           "  --yes       do not ask before something dangerous\n"
           "  --help      this text\n\n"
           "Commands:\n");
    for (size_t i = 0; i < COMMAND_COUNT; i++) {
        char left[64];
        (void)snprintf(left, sizeof left, "%s%s%s%s%s", commands[i].name, commands[i].sub != NULL ? " " : "",
                       commands[i].sub != NULL ? commands[i].sub : "", commands[i].args[0] != '\0' ? " " : "",
                       commands[i].args);
        printf("  %-32s %s\n", left, commands[i].help);
    }
    printf("  %-32s %s\n", "force-new-cluster DIR", "a stopped server's storage becomes a cluster of one (asks twice)");
    printf("  %-32s %s\n\n", "call METHOD [PARAMS-JSON]", "any method, for example: call conductor_leader '[]'");
    printf("Options of events:\n"
           "  --since N   what came after event number N, instead of the newest\n"
           "  --limit N   at most so many (default: the newest 100, or with --since all)\n"
           "  --follow    go on showing what happens until interrupted\n"
           "With --json it prints one event per line.\n\n");
    printf("VERSION makes a change of the membership conditional: it is refused when the configuration has\n"
           "another version (see members). Without it, or with 0, it is not checked.\n\n"
           "Exit codes: 0 done, 1 refused by the server, 2 wrong usage, 3 not reachable.\n");
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

static int build_params(const struct command *c, char **words, unsigned count, struct ctl_request *ret)
{
    const struct method *m = method_get(c->method);
    cJSON *params = cJSON_CreateArray();
    int rc = CTL_OK;
    for (unsigned i = 0; m->params[i] != '\0' && m->params[i] != '?' && rc == CTL_OK; i++) {
        const char *word = i < count ? words[i] : "0"; /* only a version may be left out */
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

static int parse_command(char **words, unsigned count, struct ctl_request *ret)
{
    const char *usage = NULL;
    ret->command = words[0];
    if (strcmp(words[0], "call") == 0)
        return parse_call(words + 1, count - 1, ret);
    if (strcmp(words[0], "force-new-cluster") == 0) {
        ret->force_dir = count == 2 ? words[1] : NULL;
        (void)snprintf(ret->error, sizeof ret->error, "usage: conductorctl force-new-cluster DIR [--yes]");
        return count == 2 ? CTL_OK : CTL_USAGE;
    }
    for (size_t i = 0; i < COMMAND_COUNT; i++) {
        const struct command *c = &commands[i];
        const unsigned skip = c->sub != NULL ? 2 : 1;
        if (strcmp(c->name, words[0]) != 0)
            continue;
        usage = c->sub != NULL ? "start|stop|restart" : c->args;
        if (c->sub != NULL && (count < 2 || strcmp(c->sub, words[1]) != 0))
            continue;
        if (count - skip >= c->args_min && count - skip <= c->args_max)
            return build_params(c, words + skip, count - skip, ret);
    }
    if (usage != NULL)
        (void)snprintf(ret->error, sizeof ret->error, "usage: conductorctl %.64s %s", words[0], usage);
    else
        (void)snprintf(ret->error, sizeof ret->error, "unknown command '%.64s' (see conductorctl --help)", words[0]);
    return CTL_USAGE;
}

/* An option with a number, as --name N or --name=N. Returns whether it was one; *ret_code tells of errors. */
static bool take_number(const char *name, char **argv, int argc, int *i, const char **ret, struct ctl_request *req,
                        int *ret_code)
{
    const size_t len = strlen(name);
    const char *value = NULL;
    if (strncmp(argv[*i], name, len) != 0 || (argv[*i][len] != '\0' && argv[*i][len] != '='))
        return false;
    if (argv[*i][len] == '=')
        value = argv[*i] + len + 1;
    else if (*i + 1 < argc)
        value = argv[++*i];
    if (value == NULL || !is_number(value)) {
        (void)snprintf(req->error, sizeof req->error, "%s: want a number", name);
        *ret_code = CTL_USAGE;
    }
    *ret = value;
    return true;
}

static int check_options(struct ctl_request *ret)
{
    ret->is_events = strcmp(ret->command, "events") == 0;
    if (ret->is_events || (!ret->is_follow && ret->since == NULL && ret->limit == NULL))
        return CTL_OK;
    (void)snprintf(ret->error, sizeof ret->error, "--since, --limit and --follow belong to the command events");
    return CTL_USAGE;
}

int ctl_parse(int argc, char **argv, const char *rpc_default, struct ctl_request *ret)
{
    char *words[8];
    unsigned count = 0;
    int code = CTL_OK;
    memset(ret, 0, sizeof *ret);
    ret->rpc = rpc_default;
    for (int i = 1; i < argc; i++) {
        if (strcmp(argv[i], "--help") == 0 || strcmp(argv[i], "-h") == 0) {
            ret->is_help = true;
            return CTL_OK;
        }
        if (strcmp(argv[i], "--json") == 0) {
            ret->is_json = true;
        } else if (strcmp(argv[i], "--follow") == 0) {
            ret->is_follow = true;
        } else if (take_number("--since", argv, argc, &i, &ret->since, ret, &code) ||
                   take_number("--limit", argv, argc, &i, &ret->limit, ret, &code)) {
            if (code != CTL_OK)
                return code;
        } else if (strcmp(argv[i], "--yes") == 0) {
            ret->is_yes = true;
        } else if (strncmp(argv[i], "--rpc=", 6) == 0) {
            ret->rpc = argv[i] + 6;
        } else if (strcmp(argv[i], "--rpc") == 0 && i + 1 < argc) {
            ret->rpc = argv[++i];
        } else if (strncmp(argv[i], "--", 2) == 0 || count == sizeof words / sizeof words[0]) {
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
    return code == CTL_OK ? check_options(ret) : code;
}
