/* Checks what one value's syntax cannot show: required flags, refused features, values that
 * contradict each other; and derives what follows from others. */
#include "supervisor/options_parse.h"

#include "shared/base/err.h"
#include "supervisor/duration.h"
#include "supervisor/env.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define RAFT_TIMEOUT_MIN_MS 5
#define RAFT_TIMEOUT_MAX_MS 60000
#define UPSTREAM_HEARTBEAT_MS 1000
#define BODY_MIN_BYTES 4096
#define BODY_MAX_BYTES (1 << 30) /* lengths of bodies are ints where they are printed and proxied */
#define COMMIT_TIMEOUT_MIN_MS 10

struct check {
    struct options *opts;
    const struct given *given;
    char *err;
    size_t err_size;
};

#define FAIL(c, ...) (snprintf((c)->err, (c)->err_size, __VA_ARGS__), OC_ESYNTAX)
#define FAIL_CONFIG(c, ...) FAIL(c, "invalid config: " __VA_ARGS__)

static int check_required(const struct check *c)
{
    for (unsigned i = 0; i < flag_count; i++) {
        const struct flag *flag = &flag_table[i];
        char env[ENV_NAME_SIZE];

        if (flag->need == NEED_NO || (flag->need == NEED_UNLESS_WITNESS && c->opts->raft_witness) ||
            c->given->by[i] != GIVEN_NO)
            continue;
        env_name_from_flag(flag->name, env);
        return FAIL(c, "missing required flags: flag %s is required: set --%s or %s", flag->name, flag->name, env);
    }
    return 0;
}

/* Whether a given flag asks for something: not "", not false, not its own default. */
static bool asks_for_something(const struct flag *flag, const char *text)
{
    bool value;

    if (flag->type == FLAG_BOOL)
        return bool_parse(text, &value) == 0 && value;
    return *text != '\0' && strcmp(text, flag->default_text) != 0;
}

static int check_unbuilt(const struct check *c)
{
    for (unsigned i = 0; i < flag_count; i++) {
        const struct flag *flag = &flag_table[i];

        if (c->given->by[i] == GIVEN_NO || !asks_for_something(flag, c->given->text[i]))
            continue;
        if (flag->group == GROUP_REFUSED)
            return FAIL_CONFIG(c, "flag %s (\"%.200s\") is not supported: %s", flag->name, c->given->text[i],
                               flag->help);
        if (flag->group == GROUP_INERT)
            options_warn(c->opts, "", "Flag %s has no effect: %s", flag->name, flag->help);
    }
    return 0;
}

/* Takes the brackets off an IPv6 address; a port inside is a mistake worth naming. */
static int check_host(const struct check *c, const char *flag, const char *what, char *host)
{
    size_t len = strlen(host);
    const char *colon = strchr(host, ':');

    if (len == 0)
        return FAIL_CONFIG(c, "%s: --%s is empty; give a host name or an address such as 0.0.0.0", what, flag);
    if (host[0] == '[') {
        if (host[len - 1] != ']')
            return FAIL_CONFIG(c, "%s: \"%s\" of --%s has an open bracket; the port has a flag of its own", what, host,
                               flag);
        memmove(host, host + 1, len - 2);
        host[len - 2] = '\0';
        return 0;
    }
    if (colon != NULL && strchr(colon + 1, ':') == NULL)
        return FAIL_CONFIG(c, "%s: \"%s\" of --%s has a port in it; the port has a flag of its own", what, host, flag);
    return 0;
}

static int check_advertised(const struct check *c)
{
    const char *addr = c->opts->consensus_advertised;
    const char *colon = strrchr(addr, ':');
    uint64_t port = 0;

    if (*addr == '\0' &&
        (strcmp(c->opts->consensus_host, "0.0.0.0") == 0 || strcmp(c->opts->consensus_host, "::") == 0))
        return FAIL_CONFIG(c,
                           "local bind address is not advertisable: --consensus.addr is %s, which no other conductor "
                           "can dial; set --consensus.advertised to host:port, for example 10.0.0.1:%u",
                           c->opts->consensus_host, c->opts->consensus_port);
    if (*addr == '\0')
        return 0;
    if (colon == NULL || colon == addr || number_parse_u64(colon + 1, &port) != 0 || port == 0 || port > 65535 ||
        (memchr(addr, ':', (size_t)(colon - addr)) != NULL && (*addr != '[' || colon[-1] != ']')))
        return FAIL_CONFIG(c,
                           "failed to resolve advertised TCP address \"%s\": --consensus.advertised wants host:port, "
                           "for example 10.0.0.1:50050 or [fd00::1]:50050",
                           addr);
    return 0;
}

static int check_url(const struct check *c, const char *flag, const char *what, const char *url, bool required)
{
    const char *host;

    if (*url == '\0')
        return required ? FAIL_CONFIG(c, "%s: --%s is empty; give a URL such as http://127.0.0.1:8547", what, flag) : 0;
    if (strncmp(url, "http://", 7) == 0)
        host = url + 7;
    else if (strncmp(url, "https://", 8) == 0)
        host = url + 8;
    else
        return FAIL_CONFIG(c, "%s: \"%.200s\" of --%s must start with http:// or https://", what, url, flag);
    if (*host == '\0' || *host == '/' || strpbrk(url, " \t\r\n") != NULL)
        return FAIL_CONFIG(c, "%s: \"%.200s\" of --%s has no host or has a blank in it", what, url, flag);
    return 0;
}

static int check_identity(const struct check *c)
{
    const char *id = c->opts->server_id;

    if (*id == '\0')
        return FAIL_CONFIG(c, "missing raft server ID: --raft.server.id is empty; give this node a name, as seq-1");
    if (strcmp(id, ".") == 0 || strcmp(id, "..") == 0 || strpbrk(id, "/@ \t\r\n") != NULL)
        return FAIL_CONFIG(c,
                           "invalid raft server ID: \"%s\" of --raft.server.id; it names a directory and an address, "
                           "so no '/', '@' or blank",
                           id);
    if (*c->opts->storage_dir == '\0')
        return FAIL_CONFIG(c, "missing raft storage directory: --raft.storage.dir is empty; give a directory");
    if (strlen(c->opts->storage_dir) + 1 + strlen(id) >= CONFIG_PATH_SIZE)
        return FAIL_CONFIG(c, "invalid raft storage directory: --raft.storage.dir is too long");
    return 0;
}

static int check_raft(const struct check *c)
{
    const struct options *o = c->opts;
    const char *lease_text, *ignored;
    uint64_t lease_ns, limit_ms = o->election_timeout_ms;

    if (o->election_timeout_ms < RAFT_TIMEOUT_MIN_MS || o->election_timeout_ms > RAFT_TIMEOUT_MAX_MS)
        return FAIL_CONFIG(c, "failed to create raft: --raft.heartbeat-timeout is %llums; want %dms to %dms",
                           (unsigned long long)o->election_timeout_ms, RAFT_TIMEOUT_MIN_MS, RAFT_TIMEOUT_MAX_MS);
    if (given_find(c->given, "raft.lease-timeout", &lease_text) != GIVEN_NO &&
        duration_parse(lease_text, &lease_ns) == 0) {
        /* Upstream's pair of defaults (500ms of 1s) stays legal although our timeout is shorter. */
        if (given_find(c->given, "raft.heartbeat-timeout", &ignored) == GIVEN_NO)
            limit_ms = UPSTREAM_HEARTBEAT_MS;
        if (lease_ns < RAFT_TIMEOUT_MIN_MS * UINT64_C(1000000) || lease_ns / 1000000 > limit_ms)
            return FAIL_CONFIG(c,
                               "failed to create raft: LeaderLeaseTimeout (%s) cannot be larger than heartbeat timeout "
                               "(%llums) or smaller than %dms: change --raft.lease-timeout",
                               lease_text, (unsigned long long)limit_ms, RAFT_TIMEOUT_MIN_MS);
    }
    if (o->snapshot_interval_ms < RAFT_TIMEOUT_MIN_MS)
        return FAIL_CONFIG(c, "failed to create raft: --raft.snapshot-interval is %llums; want at least %dms",
                           (unsigned long long)o->snapshot_interval_ms, RAFT_TIMEOUT_MIN_MS);
    if (o->snapshot_threshold == 0)
        return FAIL_CONFIG(c, "failed to create raft: --raft.snapshot-threshold is 0; want at least 1");
    /* Who lags by less counts as ready: it must be what consensus keeps. */
    if (o->window_payloads == 0 || o->window_payloads > WINDOW_PAYLOADS_MAX)
        return FAIL_CONFIG(c, "invalid window: --raft.window-payloads is %llu; want 1 to %d",
                           (unsigned long long)o->window_payloads, WINDOW_PAYLOADS_MAX);
    return 0;
}

static int check_boost(const struct check *c)
{
    const struct options *o = c->opts;

    if (o->boost_enabled && o->boost_next_enabled)
        return FAIL_CONFIG(c, "only one of rollup-boost or rollup-boost next healthchecks can be enabled: drop "
                              "--rollup-boost.enabled or --rollup-boost.next-enabled");
    if (o->boost_next_enabled)
        return check_url(c, "rollup-boost.next-healthcheck-url", "missing rollup-boost next healthcheck URL",
                         o->boost_next_url, true);
    return 0;
}

static int check_health(const struct check *c)
{
    struct options *o = c->opts;

    if (o->raft_witness)
        return 0;
    if (o->health_interval_ms == 0)
        return FAIL_CONFIG(c, "invalid health check config: missing health check interval: --healthcheck.interval is "
                              "0; want at least 1");
    if (o->safe_interval_ms == 0)
        return FAIL_CONFIG(c, "invalid health check config: missing safe interval: --healthcheck.safe-interval is 0; "
                              "leave it out for 1200");
    if (o->min_peer_count == 0)
        return FAIL_CONFIG(c, "invalid health check config: missing minimum peer count: --healthcheck.min-peer-count "
                              "is 0; want at least 1");
    if (o->el_p2p_enabled && o->el_p2p_min_peer_count == 0)
        return FAIL_CONFIG(c, "invalid health check config: missing minimum el p2p peers: set "
                              "--healthcheck.execution-p2p-min-peer-count to at least 1");
    if (*o->el_p2p_rpc == '\0')
        memcpy(o->el_p2p_rpc, o->execution_rpc, sizeof o->el_p2p_rpc);
    if (check_url(c, "healthcheck.execution-p2p-rpc-url", "invalid health check config: missing el p2p rpc",
                  o->el_p2p_rpc, o->el_p2p_enabled) != 0)
        return OC_ESYNTAX;
    if ((o->boost_tolerance_limit == 0) != (o->boost_tolerance_interval_ms == 0))
        return FAIL_CONFIG(c, "invalid health check config: only one of RollupBoostPartialHealthinessToleranceLimit or "
                              "RollupBoostPartialHealthinessToleranceIntervalSeconds found to be defined. Either "
                              "define both of them or none.");
    return 0;
}

/* An argument that would let op-node sequence on its own or forget the conductor. */
static const char *find_bad_argument(char *const *argv)
{
    static const struct {
        const char *name;
        bool bad_when; /* the boolean value that is wrong */
    } rules[] = {{"sequencer.stopped", false}, {"conductor.enabled", false}, {"sequencer.enabled", false}};

    for (; *argv != NULL; argv++) {
        const char *name = *argv;
        size_t len = strcspn(name, "=");
        bool value;

        if (name[0] != '-')
            continue;
        name += name[1] == '-' ? 2 : 1;
        len -= (size_t)(name - *argv);
        if (strncmp(name, "rpc.admin-state", len) == 0 && len == strlen("rpc.admin-state"))
            return *argv;
        for (size_t i = 0; i < sizeof rules / sizeof rules[0]; i++) {
            if (len == strlen(rules[i].name) && memcmp(name, rules[i].name, len) == 0 && name[len] == '=' &&
                bool_parse(name + len + 1, &value) == 0 && value == rules[i].bad_when)
                return *argv;
        }
    }
    return NULL;
}

static int check_command(const struct check *c)
{
    struct options *o = c->opts;
    const char *text, *bad;
    bool by_flag = given_find(c->given, "node.command", &text) != GIVEN_NO && *text != '\0';
    int rc;

    if (c->given->command == NULL && !by_flag) {
        if (*o->node_user != '\0')
            return FAIL_CONFIG(c, "--node.user is \"%s\" but there is no op-node to run: add `-- op-node …`",
                               o->node_user);
        return 0;
    }
    if (c->given->command != NULL && by_flag)
        return FAIL_CONFIG(c, "op-node is given twice: drop --node.command or what follows '--'");
    if (o->raft_witness)
        return FAIL_CONFIG(c, "--raft.witness runs no op-node: drop the op-node command");
    if (by_flag) {
        rc = options_split_words(text, &o->node_argv);
        if (rc == OC_ESYNTAX)
            return FAIL_CONFIG(c, "--node.command \"%.200s\" has an open quote or ends with a backslash", text);
    } else {
        o->node_argv = options_copy_words(c->given->command);
        rc = o->node_argv != NULL ? 0 : OC_ESYNTAX;
    }
    if (rc != 0)
        return FAIL_CONFIG(c, "out of memory");
    if (o->node_argv[0] == NULL || *o->node_argv[0] == '\0')
        return FAIL_CONFIG(c, "the op-node command is empty: name the program after '--' or in --node.command");
    bad = find_bad_argument(o->node_argv);
    if (bad != NULL)
        return FAIL_CONFIG(c,
                           "op-node argument \"%.200s\" is not possible under a conductor: it must come up as a "
                           "stopped sequencer with the conductor enabled; drop the argument",
                           bad);
    return 0;
}

static int check_files(const struct check *c)
{
    const char *path, *network;

    if (given_find(c->given, "rollup.config", &path) == GIVEN_NO || *path == '\0')
        return 0;
    if (given_find(c->given, "network", &network) != GIVEN_NO && *network != '\0')
        options_warn(c->opts, "", "Both --network and --rollup.config are set; neither is needed");
    else if (access(path, R_OK) != 0)
        return FAIL_CONFIG(
            c,
            "failed to load rollup config: failed to read rollup config: open %.300s: %m: --rollup.config "
            "must be readable; it is not needed, so it may be left out",
            path);
    return 0;
}

static int check_rpc(const struct check *c)
{
    struct options *o = c->opts;
    const char *text;

    if (o->metrics_enabled && check_host(c, "metrics.addr", "invalid metrics config", o->metrics_host) != 0)
        return OC_ESYNTAX;
    if (check_host(c, "rpc.addr", "invalid rpc config", o->rpc_host) != 0)
        return OC_ESYNTAX;
    o->admin_socket_given = given_find(c->given, "rpc.admin-socket", &text) != GIVEN_NO;
    if (o->admin_socket[0] != '\0' && o->admin_socket[0] != '/')
        return FAIL_CONFIG(c, "invalid rpc config: --rpc.admin-socket is \"%s\"; give a path that begins with '/'",
                           o->admin_socket);
    if (o->rpc_max_body_bytes < BODY_MIN_BYTES || o->rpc_max_body_bytes > BODY_MAX_BYTES)
        return FAIL_CONFIG(c, "invalid rpc config: --rpc.max-body-size is %llu; want %d to %d bytes",
                           (unsigned long long)o->rpc_max_body_bytes, BODY_MIN_BYTES, BODY_MAX_BYTES);
    if (o->commit_timeout_ms < COMMIT_TIMEOUT_MIN_MS)
        return FAIL_CONFIG(c, "invalid rpc config: --rpc.commit-timeout is %llums; want at least %dms",
                           (unsigned long long)o->commit_timeout_ms, COMMIT_TIMEOUT_MIN_MS);
    if (o->rpc_port != 0 && o->metrics_enabled && o->rpc_port == o->metrics_port &&
        strcmp(o->rpc_host, o->metrics_host) == 0)
        return FAIL_CONFIG(c, "--rpc.port and --metrics.port are both %u on %s: give one of them another port",
                           o->rpc_port, o->rpc_host);
    return 0;
}

int options_check(struct options *opts, const struct given *given, char *err, size_t err_size)
{
    struct check c = {opts, given, err, err_size};
    bool node = !opts->raft_witness;

    if (check_required(&c) != 0 || check_unbuilt(&c) != 0 || check_files(&c) != 0 ||
        check_host(&c, "consensus.addr", "missing consensus address", opts->consensus_host) != 0 ||
        check_advertised(&c) != 0 || check_identity(&c) != 0 ||
        check_url(&c, "node.rpc", "missing node RPC", opts->node_rpc, node) != 0 ||
        check_url(&c, "execution.rpc", "missing geth RPC", opts->execution_rpc, node) != 0 ||
        check_url(&c, "supervisor.rpc", "invalid supervisor RPC", opts->supervisor_rpc, false) != 0 ||
        check_boost(&c) != 0 || check_health(&c) != 0 || check_raft(&c) != 0 || check_rpc(&c) != 0 ||
        check_command(&c) != 0)
        return OC_ESYNTAX;
    return 0;
}
