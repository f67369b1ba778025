/* The parsing rules and what is refused: each case says what must be in the error. */
#include "options_helper.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

extern const struct CMUnitTest options_error_tests[];
extern const size_t options_error_test_count;

struct error_case {
    const char *line, *env;
    enum options_outcome outcome;
    const char *in_error[3];
};

#define CONFIG_PREFIX "failed to setup: failed to read config: "

static const struct error_case error_cases[] = {
    {"",
     "",
     OPTIONS_CONFIG_ERROR,
     {CONFIG_PREFIX "missing required flags: flag consensus.addr is required", "--consensus.addr",
      "OP_CONDUCTOR_CONSENSUS_ADDR"}},
    {"--consensus.addr x", "", OPTIONS_CONFIG_ERROR, {"flag consensus.port is required"}},
    {"--consensus.addr x --consensus.port 1", "", OPTIONS_CONFIG_ERROR, {"flag raft.server.id is required"}},
    {"--foo", "", OPTIONS_USAGE_ERROR, {"flag provided but not defined: -foo"}},
    {"-foo=1", "", OPTIONS_USAGE_ERROR, {"flag provided but not defined: -foo"}},
    {"---foo", "", OPTIONS_USAGE_ERROR, {"bad flag syntax: ---foo"}},
    {"--=1", "", OPTIONS_USAGE_ERROR, {"bad flag syntax"}},
    {REQUIRED "--rpc.port", "", OPTIONS_USAGE_ERROR, {"flag needs an argument: -rpc.port"}},
    {REQUIRED "--paused false", "", OPTIONS_USAGE_ERROR, {"unexpected argument \"false\"", "--paused=false"}},
    {REQUIRED "stray --paused", "", OPTIONS_USAGE_ERROR, {"unexpected argument \"stray\"", "'--'"}},
    {REQUIRED "--raft.server.id=", "", OPTIONS_CONFIG_ERROR, {"missing raft server ID", "--raft.server.id"}},
    {REQUIRED "--raft.server.id=a/b", "", OPTIONS_CONFIG_ERROR, {"a/b"}},
    {REQUIRED "--raft.storage.dir=", "", OPTIONS_CONFIG_ERROR, {"missing raft storage directory"}},
    {REQUIRED "--consensus.addr=", "", OPTIONS_CONFIG_ERROR, {"invalid config: missing consensus address"}},
    {REQUIRED "--consensus.addr=1.2.3.4:5", "", OPTIONS_CONFIG_ERROR, {"1.2.3.4:5", "consensus.addr"}},
    {REQUIRED "--consensus.addr=0.0.0.0", "", OPTIONS_CONFIG_ERROR, {"not advertisable", "--consensus.advertised"}},
    {REQUIRED "--consensus.addr=[::]", "", OPTIONS_CONFIG_ERROR, {"not advertisable", "::", "host:port"}},
    {REQUIRED "--consensus.advertised host",
     "",
     OPTIONS_CONFIG_ERROR,
     {"failed to resolve advertised TCP address \"host\"", "host:port"}},
    {REQUIRED "--consensus.advertised fd00::1:5", "", OPTIONS_CONFIG_ERROR, {"[fd00::1]:50050"}},
    {REQUIRED "--node.rpc=", "", OPTIONS_CONFIG_ERROR, {"missing node RPC", "--node.rpc"}},
    {REQUIRED "--node.rpc=localhost:8547", "", OPTIONS_CONFIG_ERROR, {"http://", "localhost:8547"}},
    {REQUIRED "--execution.rpc=", "", OPTIONS_CONFIG_ERROR, {"missing geth RPC"}},
    {REQUIRED "--execution.rpc=http://", "", OPTIONS_CONFIG_ERROR, {"execution.rpc"}},
    {REQUIRED "--healthcheck.interval 0", "", OPTIONS_CONFIG_ERROR, {"missing health check interval"}},
    {REQUIRED "--healthcheck.safe-interval 0", "", OPTIONS_CONFIG_ERROR, {"missing safe interval"}},
    {REQUIRED "--healthcheck.min-peer-count 0", "", OPTIONS_CONFIG_ERROR, {"missing minimum peer count"}},
    {REQUIRED "--healthcheck.execution-p2p-enabled", "", OPTIONS_CONFIG_ERROR, {"missing minimum el p2p peers"}},
    {REQUIRED "--healthcheck.rollup-boost-partial-healthiness-tolerance-limit 2",
     "",
     OPTIONS_CONFIG_ERROR,
     {"only one of RollupBoostPartialHealthinessToleranceLimit"}},
    {REQUIRED "--rollup-boost.enabled --rollup-boost.next-enabled",
     "",
     OPTIONS_CONFIG_ERROR,
     {"only one of rollup-boost or rollup-boost next healthchecks can be enabled"}},
    {REQUIRED "--rollup-boost.next-enabled",
     "",
     OPTIONS_CONFIG_ERROR,
     {"missing rollup-boost next healthcheck URL", "rollup-boost.next-healthcheck-url"}},
    {REQUIRED "--raft.heartbeat-timeout 1ms", "", OPTIONS_CONFIG_ERROR, {"raft.heartbeat-timeout", "1ms"}},
    {REQUIRED "--raft.lease-timeout 2s",
     "",
     OPTIONS_CONFIG_ERROR,
     {"LeaderLeaseTimeout (2s) cannot be larger than heartbeat timeout", "raft.lease-timeout"}},
    {REQUIRED "--raft.snapshot-threshold 0", "", OPTIONS_CONFIG_ERROR, {"raft.snapshot-threshold"}},
    {REQUIRED "--raft.window-payloads 0", "", OPTIONS_CONFIG_ERROR, {"raft.window-payloads"}},
    {REQUIRED "--raft.window-payloads 1025", "", OPTIONS_CONFIG_ERROR, {"raft.window-payloads is 1025", "1024"}},
    {REQUIRED "--raft.window-payloads 4294967296", "", OPTIONS_CONFIG_ERROR, {"raft.window-payloads"}},
    {REQUIRED "--rpc.max-body-size 1", "", OPTIONS_CONFIG_ERROR, {"rpc.max-body-size"}},
    {REQUIRED "--rpc.max-body-size 1073741825", "", OPTIONS_CONFIG_ERROR, {"rpc.max-body-size", "1073741824"}},
    {REQUIRED "--rpc.commit-timeout 1ms", "", OPTIONS_CONFIG_ERROR, {"rpc.commit-timeout"}},
    {REQUIRED "--rpc.admin-socket admin.sock",
     "",
     OPTIONS_CONFIG_ERROR,
     {"rpc.admin-socket", "admin.sock", "begins with"}},
    {REQUIRED "--rpc.port 7300 --metrics.enabled", "", OPTIONS_CONFIG_ERROR, {"--rpc.port and --metrics.port", "7300"}},
    {REQUIRED "--rollup.config /nonexistent/rollup.json",
     "",
     OPTIONS_CONFIG_ERROR,
     {"failed to read rollup config", "/nonexistent/rollup.json"}},
    {REQUIRED "--rollupboost.ws-url ws://x", "", OPTIONS_CONFIG_ERROR, {"rollupboost.ws-url", "not supported"}},
    {REQUIRED "--reorg-recovery.enabled", "", OPTIONS_CONFIG_ERROR, {"reorg-recovery.enabled", "not supported"}},
    {REQUIRED "--consensus.tls.cert a", "", OPTIONS_CONFIG_ERROR, {"consensus.tls.cert", "not supported"}},
    {REQUIRED "--consensus.tls.key a", "", OPTIONS_CONFIG_ERROR, {"consensus.tls.key"}},
    {REQUIRED "--consensus.tls.ca a", "", OPTIONS_CONFIG_ERROR, {"consensus.tls.ca"}},
    {REQUIRED "--rpc.jwt-secret a", "", OPTIONS_CONFIG_ERROR, {"rpc.jwt-secret"}},
    {REQUIRED, "OP_CONDUCTOR_RPC_JWT_SECRET=a", OPTIONS_CONFIG_ERROR, {"rpc.jwt-secret", "not supported"}},
    {REQUIRED "--node.user nobody", "", OPTIONS_CONFIG_ERROR, {"--node.user"}},
    {REQUIRED "--", "", OPTIONS_CONFIG_ERROR, {"command is empty"}},
    {REQUIRED "--node.command 'a", "", OPTIONS_CONFIG_ERROR, {"--node.command", "open quote"}},
    {REQUIRED "--node.command a -- b", "", OPTIONS_CONFIG_ERROR, {"given twice"}},
    {REQUIRED "--raft.witness -- b", "", OPTIONS_CONFIG_ERROR, {"--raft.witness"}},
    {REQUIRED "-- op-node --sequencer.stopped=false", "", OPTIONS_CONFIG_ERROR, {"--sequencer.stopped=false"}},
    {REQUIRED "-- op-node --conductor.enabled=false", "", OPTIONS_CONFIG_ERROR, {"--conductor.enabled=false"}},
    {REQUIRED "-- op-node --rpc.admin-state=/x", "", OPTIONS_CONFIG_ERROR, {"--rpc.admin-state=/x"}},
};

static void test_errors(void **state)
{
    struct parsed *p = calloc(1, sizeof *p);

    (void)state;
    for (size_t i = 0; i < sizeof error_cases / sizeof error_cases[0]; i++) {
        const struct error_case *e = &error_cases[i];

        if (parse_line(p, e->line, e->env) != e->outcome)
            fail_msg("\"%s\" gave outcome %d: %s", e->line, (int)p->report.outcome, p->report.error);
        for (int k = 0; k < 3 && e->in_error[k] != NULL; k++) {
            if (strstr(p->report.error, e->in_error[k]) == NULL)
                fail_msg("\"%s\": \"%s\" is not in \"%s\"", e->line, e->in_error[k], p->report.error);
        }
        parsed_free(p);
    }
    free(p);
}

static void test_rules(void **state)
{
    struct parsed p;

    (void)state;
    /* One dash, repeated (the last counts), bare boolean, boolean with '='. */
    assert_int_equal(parse_line(&p, REQUIRED "-rpc.port 1 -rpc.port=2 -paused --rpc.enable-proxy=f", ""), OPTIONS_RUN);
    assert_int_equal(p.opts.rpc_port, 2);
    assert_true(p.opts.paused);
    assert_false(p.opts.rpc_enable_proxy);
    parsed_free(&p);
    /* Empty variables: "" for a string, false for a boolean, nothing for the others. */
    assert_int_equal(parse_line(&p, REQUIRED,
                                "OP_CONDUCTOR_RPC_ENABLE_PROXY=|OP_CONDUCTOR_RPC_PORT=|OP_CONDUCTOR_LOG_LEVEL=|"
                                "OP_CONDUCTOR_RAFT_HEARTBEAT_TIMEOUT="),
                     OPTIONS_RUN);
    assert_false(p.opts.rpc_enable_proxy);
    assert_int_equal(p.opts.rpc_port, 8545);
    assert_int_equal(p.opts.election_timeout_ms, 300);
    parsed_free(&p);
    assert_int_equal(parse_line(&p, REQUIRED, "OP_CONDUCTOR_RPC_ADDR="), OPTIONS_CONFIG_ERROR);
    parsed_free(&p);
    /* A witness needs no node. */
    assert_int_equal(parse_line(&p,
                                "--consensus.addr [::1] --consensus.port 0 --raft.server.id w --raft.storage.dir /tmp "
                                "--raft.witness",
                                ""),
                     OPTIONS_RUN);
    assert_string_equal(p.opts.consensus_host, "::1");
    parsed_free(&p);
    /* Upstream's own pair of defaults is legal. */
    assert_int_equal(parse_line(&p, REQUIRED "--raft.lease-timeout 500ms", ""), OPTIONS_RUN);
    parsed_free(&p);
}

static void test_unknown_variables_are_warned_about(void **state)
{
    struct parsed p;

    (void)state;
    assert_int_equal(parse_line(&p, REQUIRED, "OP_CONDUCTORX=1|HOME=/|OP_CONDUCTOR_NOPE=2|OP_CONDUCTOR_PAUSED=true"),
                     OPTIONS_RUN);
    assert_int_equal(p.opts.warning_count, 2);
    assert_string_equal(p.opts.warnings[0].message, "Unknown env var");
    assert_string_equal(p.opts.warnings[0].env_var, "OP_CONDUCTORX=1");
    assert_string_equal(p.opts.warnings[1].env_var, "OP_CONDUCTOR_NOPE=2");
    assert_true(p.opts.paused);
    parsed_free(&p);
}

static void test_inert_flags_are_warned_about(void **state)
{
    struct parsed p;

    (void)state;
    assert_int_equal(parse_line(&p, REQUIRED "--pprof.enabled --rpc.enable-admin --pprof.port 6060", ""), OPTIONS_RUN);
    assert_int_equal(p.opts.warning_count, 2); /* the port is its own default */
    parsed_free(&p);
    assert_int_equal(parse_line(&p, REQUIRED "--pprof.enabled=false --reorg-recovery.enabled=false", ""), OPTIONS_RUN);
    assert_int_equal(p.opts.warning_count, 0);
    parsed_free(&p);
}

static void test_node_command(void **state)
{
    struct parsed p;

    (void)state;
    assert_int_equal(parse_line(&p, REQUIRED "-- op-node --l1 x -- y", ""), OPTIONS_RUN);
    assert_string_equal(p.opts.node_argv[0], "op-node");
    assert_string_equal(p.opts.node_argv[2], "x");
    assert_string_equal(p.opts.node_argv[3], "--");
    assert_string_equal(p.opts.node_argv[4], "y");
    assert_null(p.opts.node_argv[5]);
    parsed_free(&p);
    assert_int_equal(parse_line(&p, REQUIRED, "OP_CONDUCTOR_NODE_COMMAND=op-node --data 'a b'"), OPTIONS_RUN);
    assert_string_equal(p.opts.node_argv[2], "a b");
    assert_null(p.opts.node_argv[3]);
    parsed_free(&p);
}

const struct CMUnitTest options_error_tests[] = {
    cmocka_unit_test(test_errors),
    cmocka_unit_test(test_rules),
    cmocka_unit_test(test_unknown_variables_are_warned_about),
    cmocka_unit_test(test_inert_flags_are_warned_about),
    cmocka_unit_test(test_node_command),
};
const size_t options_error_test_count = sizeof options_error_tests / sizeof options_error_tests[0];
