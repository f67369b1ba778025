/* Every flag: its default, its environment variable, precedence and bad values; the parsing rules. */
#include "options_helper.h"
#include "supervisor/config_pack.h"
#include "supervisor/duration.h"
#include "supervisor/env.h"
#include "supervisor/flags.h"
#include "supervisor/help.h"
#include "supervisor/options_parse.h"

#include "shared/base/err.h"
#include "shared/proto/proto.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define WORDS_MAX 64

extern const struct CMUnitTest options_error_tests[];
extern const size_t options_error_test_count;

static size_t split(char *text, const char *separators, char **words)
{
    size_t n = 0;
    char *save = NULL;

    for (char *w = strtok_r(text, separators, &save); w != NULL && n < WORDS_MAX - 1;
         w = strtok_r(NULL, separators, &save))
        words[n++] = w;
    words[n] = NULL;
    return n;
}

enum options_outcome parse_line(struct parsed *p, const char *line, const char *env)
{
    char line_copy[4096], env_copy[2048];
    char *argv[WORDS_MAX] = {(char *)"op-conductor"}, *envp[WORDS_MAX];
    size_t n;

    snprintf(line_copy, sizeof line_copy, "%s", line);
    snprintf(env_copy, sizeof env_copy, "%s", env);
    n = split(line_copy, " ", argv + 1);
    split(env_copy, "|", envp);
    return options_parse((int)n + 1, argv, envp, false, &p->opts, &p->report);
}

void parsed_free(struct parsed *p)
{
    options_free(&p->opts);
    options_report_free(&p->report);
}

/* ---- one row per flag ---- */

struct value_case {
    const char *flag;
    const char *given, *bad;      /* NULL: no text is bad */
    const char *given_for_others; /* more flags that it needs, or NULL */
};

static const struct value_case value_cases[] = {
    {"consensus.addr", "10.0.0.1", NULL, NULL},
    {"consensus.port", "0xC383", "65536", NULL},
    {"consensus.advertised", "seq-1.example:50050", NULL, NULL},
    {"raft.server.id", "seq-2", NULL, NULL},
    {"raft.storage.dir", "/data", NULL, NULL},
    {"raft.bootstrap", "true", "yes", NULL},
    {"raft.witness", "T", "2", NULL},
    {"raft.heartbeat-timeout", "1s", "1", NULL},
    {"raft.lease-timeout", "100ms", "100", NULL},
    {"raft.snapshot-interval", "1m30s", "fast", NULL},
    {"raft.snapshot-threshold", "8_192", "-1", NULL},
    {"raft.trailing-logs", "10240", "1e3", NULL},
    {"raft.window-payloads", "16", "x", NULL},
    {"raft.window-bytes", "1048576", "1M", NULL},
    {"node.rpc", "http://node:1", NULL, NULL},
    {"execution.rpc", "https://el:2/path", NULL, NULL},
    {"supervisor.rpc", "http://sup:3", NULL, NULL},
    {"node.command", "/usr/bin/op-node", NULL, NULL},
    {"node.stop-timeout", "3s", "3", NULL},
    {"node.restart-delay-max", "250ms", "250", NULL},
    {"node.user", "nobody", NULL, "--node.command op-node"},
    {"healthcheck.interval", "2", "two", NULL},
    {"healthcheck.unsafe-interval", "500ms", "1.5", NULL},
    {"healthcheck.safe-enabled", "1", "on", NULL},
    {"healthcheck.safe-interval", "600", "-600", NULL},
    {"healthcheck.min-peer-count", "3", "many", NULL},
    {"healthcheck.execution-p2p-enabled", "true", "maybe", "--healthcheck.execution-p2p-min-peer-count 2"},
    {"healthcheck.execution-p2p-min-peer-count", "2", "0b2", NULL},
    {"healthcheck.execution-p2p-rpc-url", "http://el:9", NULL, NULL},
    {"healthcheck.execution-p2p-check-api", "admin", "web", NULL},
    {"healthcheck.rollup-boost-partial-healthiness-tolerance-limit", "2", "-2",
     "--healthcheck.rollup-boost-partial-healthiness-tolerance-interval-seconds 5"},
    {"healthcheck.rollup-boost-partial-healthiness-tolerance-interval-seconds", "5", "five",
     "--healthcheck.rollup-boost-partial-healthiness-tolerance-limit 2"},
    {"rollup-boost.enabled", "true", "enabled", NULL},
    {"rollup-boost.next-enabled", "true", "enabled", "--rollup-boost.next-healthcheck-url http://rb/healthz"},
    {"rollup-boost.next-healthcheck-url", "http://rb/healthz", NULL, NULL},
    {"rollup-boost.healthcheck-timeout", "2s", "2", NULL},
    {"rpc.addr", "::1", NULL, NULL},
    {"rpc.port", "0", "70000", NULL},
    {"rpc.enable-proxy", "false", "no", NULL},
    {"rpc.status-page", "false", "maybe", NULL},
    {"rpc.max-body-size", "0x100000", "64MiB", NULL},
    {"rpc.commit-timeout", "900ms", "900", NULL},
    {"rpc.admin-socket", "/run/x/admin.sock", NULL, NULL},
    {"metrics.enabled", "true", "TRue", NULL},
    {"metrics.addr", "127.0.0.1", NULL, NULL},
    {"metrics.port", "7301", "-1", NULL},
    {"log.level", "DBUG", "loud", NULL},
    {"log.format", "json", "JSON", NULL},
    {"log.color", "true", "red", NULL},
    {"log.pid", "true", "pid", NULL},
    {"paused", "true", "later", NULL},
    {"network", "op-mainnet", NULL, NULL},
    {"rollup.config", "/dev/null", NULL, NULL},
    {"override.canyon", "1", "soon", NULL},
    {"override.delta", "1", "soon", NULL},
    {"override.ecotone", "1", "soon", NULL},
    {"override.fjord", "1", "soon", NULL},
    {"override.granite", "1", "soon", NULL},
    {"override.holocene", "1", "soon", NULL},
    {"override.isthmus", "1", "soon", NULL},
    {"override.jovian", "1", "soon", NULL},
    {"override.karst", "1", "soon", NULL},
    {"override.interop", "1", "soon", NULL},
    {"override.pectrablobschedule", "1", "soon", NULL},
    {"raft.round-robin-leader-transfer", "true", "x", NULL},
    {"rpc.enable-admin", "true", "x", NULL},
    {"pprof.enabled", "true", "x", NULL},
    {"pprof.addr", "127.0.0.1", NULL, NULL},
    {"pprof.port", "6061", "x", NULL},
    {"pprof.path", "/tmp", NULL, NULL},
    {"pprof.type", "heap", "stack", NULL},
    {"websocket.server-port", "8547", "-1", NULL},
    {"execution.ws-url", "ws://el:1", NULL, NULL},
};

static size_t field_bytes(const struct flag *f)
{
    return f->offset == FLAG_NO_FIELD ? 0 : f->size;
}

static void expect_same_field(const struct flag *f, const struct options *a, const struct options *b, bool same)
{
    const char *x = (const char *)a + f->offset, *y = (const char *)b + f->offset;
    bool equal = f->type == FLAG_STRING ? strcmp(x, y) == 0 : memcmp(x, y, field_bytes(f)) == 0;

    if (equal != same)
        fail_msg("%s: the field is %s", f->name, equal ? "unchanged" : "not the same by flag and by environment");
}

/* The value reaches its field by flag and by environment alike, and a flag wins. */
static void test_every_flag_by_line_and_environment(void **state)
{
    struct parsed *by_default = calloc(1, sizeof *by_default), *by_line = calloc(1, sizeof *by_line);
    struct parsed *by_env = calloc(1, sizeof *by_env), *both = calloc(1, sizeof *both);

    (void)state;
    assert_int_equal(parse_line(by_default, REQUIRED, ""), OPTIONS_RUN);
    for (size_t i = 0; i < sizeof value_cases / sizeof value_cases[0]; i++) {
        const struct value_case *v = &value_cases[i];
        int index = flag_find(v->flag, strlen(v->flag));
        const char *more = v->given_for_others != NULL ? v->given_for_others : "";
        char name[ENV_NAME_SIZE], line[2048], env[512], without[2048], *at;

        assert_true(index >= 0);
        env_name_from_flag(v->flag, name);
        snprintf(line, sizeof line, "%s %s --%s=%s", REQUIRED, more, v->flag, v->given);
        if (parse_line(by_line, line, "") != OPTIONS_RUN)
            fail_msg("%s: %s", v->flag, by_line->report.error);
        /* Take the flag out of the required ones, if it is there. */
        snprintf(without, sizeof without, "%s %s ", REQUIRED, more);
        snprintf(env, sizeof env, "--%s", v->flag);
        at = strstr(without, env);
        if (at != NULL && (at[strlen(env)] == ' ' || at[strlen(env)] == '=')) {
            char *value = at + strlen(env) + 1, *end = value + strcspn(value, " ");

            memset(at, ' ', (size_t)(end - at));
        }
        snprintf(env, sizeof env, "%s=%s", name, v->given);
        if (parse_line(by_env, without, env) != OPTIONS_RUN)
            fail_msg("%s by %s: %s", v->flag, name, by_env->report.error);
        if (flag_table[index].offset != FLAG_NO_FIELD) {
            expect_same_field(&flag_table[index], &by_line->opts, &by_env->opts, true);
            expect_same_field(&flag_table[index], &by_line->opts, &by_default->opts, false);
        }
        /* The flag wins over whatever the environment says. */
        snprintf(env, sizeof env, "%s=%s", name, v->bad != NULL ? v->bad : "http://other:1");
        if (parse_line(both, line, env) != OPTIONS_RUN)
            fail_msg("%s with %s: %s", v->flag, env, both->report.error);
        if (flag_table[index].offset != FLAG_NO_FIELD)
            expect_same_field(&flag_table[index], &by_line->opts, &both->opts, true);
        parsed_free(by_line);
        parsed_free(by_env);
        parsed_free(both);
    }
    parsed_free(by_default);
    free(by_default);
    free(by_line);
    free(by_env);
    free(both);
}

static void test_every_flag_has_a_case(void **state)
{
    (void)state;
    for (unsigned i = 0; i < flag_count; i++) {
        bool found = flag_table[i].group == GROUP_REFUSED;

        for (size_t k = 0; k < sizeof value_cases / sizeof value_cases[0] && !found; k++)
            found = strcmp(value_cases[k].flag, flag_table[i].name) == 0;
        if (!found)
            fail_msg("no case for %s", flag_table[i].name);
    }
}

/* A bad value is refused by flag and by environment, naming the flag, the value and the variable. */
static void test_bad_values(void **state)
{
    struct parsed *p = calloc(1, sizeof *p);

    (void)state;
    for (size_t i = 0; i < sizeof value_cases / sizeof value_cases[0]; i++) {
        const struct value_case *v = &value_cases[i];
        char name[ENV_NAME_SIZE], line[2048], env[512];

        if (v->bad == NULL)
            continue;
        env_name_from_flag(v->flag, name);
        snprintf(line, sizeof line, "%s --%s=%s", REQUIRED, v->flag, v->bad);
        assert_int_equal(parse_line(p, line, ""), OPTIONS_USAGE_ERROR);
        snprintf(line, sizeof line,
                 flag_table[flag_find(v->flag, strlen(v->flag))].type == FLAG_BOOL
                     ? "invalid boolean value \"%s\" for -%s: "
                     : "invalid value \"%s\" for flag -%s: ",
                 v->bad, v->flag);
        if (strstr(p->report.error, line) == NULL)
            fail_msg("\"%s\" is not in \"%s\"", line, p->report.error);
        assert_non_null(strstr(p->report.out, "Incorrect Usage: "));
        parsed_free(p);
        snprintf(env, sizeof env, "%s=%s", name, v->bad);
        assert_int_equal(parse_line(p, "", env), OPTIONS_USAGE_ERROR);
        if (strstr(p->report.error, name) == NULL || strstr(p->report.error, v->bad) == NULL)
            fail_msg("%s: \"%s\"", v->flag, p->report.error);
        parsed_free(p);
    }
    free(p);
}

static void test_defaults(void **state)
{
    struct parsed p;
    const struct options *o = &p.opts;

    (void)state;
    assert_int_equal(parse_line(&p, REQUIRED, ""), OPTIONS_RUN);
    assert_int_equal(o->consensus_port, 50050);
    assert_int_equal(o->election_timeout_ms, 300);
    assert_int_equal(o->snapshot_interval_ms, 120000);
    assert_int_equal(o->window_payloads, 64);
    assert_int_equal(o->window_bytes, 64 << 20);
    assert_int_equal(o->health_interval_ms, 1000);
    assert_int_equal(o->unsafe_interval_ms, 60000);
    assert_int_equal(o->safe_interval_ms, 1200000);
    assert_int_equal(o->boost_timeout_ms, 5000);
    assert_string_equal(o->el_p2p_rpc, "http://127.0.0.1:8551");
    assert_string_equal(o->rpc_host, "0.0.0.0");
    assert_int_equal(o->rpc_port, 8545);
    assert_true(o->rpc_enable_proxy);
    assert_int_equal(o->rpc_max_body_bytes, 64 << 20);
    assert_int_equal(o->commit_timeout_ms, 1000);
    assert_false(o->metrics_enabled);
    assert_int_equal(o->metrics_port, 7300);
    assert_int_equal(o->log_level, LOG_INFO);
    assert_int_equal(o->log_format, LOG_FMT_TEXT);
    assert_false(o->log_color);
    assert_false(o->paused);
    assert_null(o->node_argv);
    assert_int_equal(o->warning_count, 0);
    parsed_free(&p);
}

/* ---- numbers, durations, words ---- */

static void test_durations(void **state)
{
    static const struct {
        const char *text;
        int rc;
        uint64_t ns;
    } cases[] = {
        {"0", 0, 0},
        {"300ms", 0, 300000000},
        {"1.5h", 0, 5400000000000},
        {"2h45m", 0, 9900000000000},
        {"1us", 0, 1000},
        {"1\xc2\xb5s", 0, 1000},
        {"+5s", 0, 5000000000},
        {".5s", 0, 500000000},
        {"1.s", 0, 1000000000},
        {"7ns", 0, 7},
        {"", OC_ESYNTAX, 0},
        {"1", OC_ESYNTAX, 0},
        {"-1s", OC_ESYNTAX, 0},
        {"s", OC_ESYNTAX, 0},
        {".s", OC_ESYNTAX, 0},
        {"1d", OC_ESYNTAX, 0},
        {"1s ", OC_ESYNTAX, 0},
        {"9223372037s", OC_ERANGE, 0},
        {"18446744073.9s", OC_ERANGE, 0},
        {"1s18446744073.9s", OC_ERANGE, 0},
        {"99999999999999999999s", OC_ERANGE, 0},
    };
    static const struct {
        const char *text;
        int rc;
        uint64_t value;
    } numbers[] = {
        {"0", 0, 0},
        {"10", 0, 10},
        {"0x1F", 0, 31},
        {"0b101", 0, 5},
        {"0o17", 0, 15},
        {"017", 0, 15},
        {"1_000", 0, 1000},
        {"0x_1", 0, 1},
        {"08", OC_ESYNTAX, 0},
        {"", OC_ESYNTAX, 0},
        {"_1", OC_ESYNTAX, 0},
        {"1_", OC_ESYNTAX, 0},
        {"1__0", OC_ESYNTAX, 0},
        {"-1", OC_ESYNTAX, 0},
        {"0x", OC_ESYNTAX, 0},
        {"18446744073709551615", 0, UINT64_MAX},
        {"18446744073709551616", OC_ERANGE, 0},
    };

    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        uint64_t ns = 0;

        if (duration_parse(cases[i].text, &ns) != cases[i].rc || (cases[i].rc == 0 && ns != cases[i].ns))
            fail_msg("duration \"%s\" gave %llu", cases[i].text, (unsigned long long)ns);
    }
    for (size_t i = 0; i < sizeof numbers / sizeof numbers[0]; i++) {
        uint64_t value = 0;

        if (number_parse_u64(numbers[i].text, &value) != numbers[i].rc ||
            (numbers[i].rc == 0 && value != numbers[i].value))
            fail_msg("number \"%s\" gave %llu", numbers[i].text, (unsigned long long)value);
    }
}

static void test_word_splitting(void **state)
{
    static const struct {
        const char *text;
        const char *words[5]; /* first NULL: refused */
    } cases[] = {
        {"op-node --a b", {"op-node", "--a", "b"}},
        {"  a\t'b c' \"d e\"  ", {"a", "b c", "d e"}},
        {"a'b'\"c\"d", {"abcd"}},
        {"a\\ b \\'c", {"a b", "'c"}},
        {"\"a\\\"b\\c\" '\\d'", {"a\"b\\c", "\\d"}},
        {"a '' \"\"", {"a", "", ""}},
        {"'open", {NULL}},
        {"end\\", {NULL}},
    };

    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        char **words = NULL;
        size_t n = 0;
        int rc = options_split_words(cases[i].text, &words);

        if ((rc == 0) != (cases[i].words[0] != NULL))
            fail_msg("\"%s\": %d", cases[i].text, rc);
        for (; words != NULL && words[n] != NULL; n++)
            assert_string_equal(words[n], cases[i].words[n]);
        assert_true(rc != 0 || cases[i].words[n] == NULL);
        options_free_words(words);
    }
}

/* ---- help ---- */

static void test_help(void **state)
{
    struct parsed p;
    char env[ENV_NAME_SIZE], wanted[256];

    (void)state;
    assert_int_equal(parse_line(&p, "--paused -h --nonsense", ""), OPTIONS_PRINT);
    for (const char *line = p.report.out; *line != '\0';) {
        size_t len = strcspn(line, "\n"), columns = 0;

        for (size_t i = 0; i < len; i++)
            columns += ((unsigned char)line[i] & 0xc0) != 0x80;
        if (columns > HELP_COLUMNS)
            fail_msg("%zu columns: %.*s", columns, (int)len, line);
        line += len + (line[len] == '\n');
    }
    for (unsigned i = 0; i < flag_count; i++) {
        env_name_from_flag(flag_table[i].name, env);
        snprintf(wanted, sizeof wanted, "  --%s", flag_table[i].name);
        assert_non_null(strstr(p.report.out, wanted));
        snprintf(wanted, sizeof wanted, "[$%s]", env);
        assert_non_null(strstr(p.report.out, wanted));
    }
    parsed_free(&p);
    assert_int_equal(parse_line(&p, "-v", ""), OPTIONS_PRINT);
    snprintf(wanted, sizeof wanted, "op-conductor version %s\n", options_version());
    assert_string_equal(p.report.out, wanted);
    parsed_free(&p);
    assert_int_equal(parse_line(&p, "help", ""), OPTIONS_PRINT);
    parsed_free(&p);
}

/* ---- the workers' configuration ---- */

static void test_config_pack(void **state)
{
    struct config_consensus *cons = calloc(1, sizeof *cons);
    struct config_healthd *health = calloc(1, sizeof *health);
    struct config_rpcd *rpc = calloc(1, sizeof *rpc);
    struct parsed p;

    (void)state;
    assert_int_equal(
        parse_line(&p, REQUIRED "--raft.bootstrap --healthcheck.interval 500ms --rpc.commit-timeout 500ms", ""),
        OPTIONS_RUN);
    config_pack_consensus(&p.opts, 7, cons);
    assert_int_equal(cons->common.magic, WORKER_CONFIG_MAGIC);
    assert_int_equal(cons->common.bytes, sizeof *cons);
    assert_int_equal(cons->common.incarnation, 7);
    assert_string_equal(cons->common.server_id, "seq-1");
    assert_string_equal(cons->storage_dir, "/tmp/raft/seq-1");
    assert_string_equal(cons->bind_host, "127.0.0.1");
    assert_int_equal(cons->bind_port, 50050);
    assert_int_equal(cons->bootstrap, 1);
    assert_int_equal(cons->election_timeout_ms, 300);
    config_pack_healthd(&p.opts, 1, health);
    assert_int_equal(health->common.role, ROLE_HEALTHD);
    assert_string_equal(health->node_rpc, "http://127.0.0.1:8547");
    assert_int_equal(health->interval_ms, 500);
    assert_int_equal(health->unsafe_interval_ms, 60000);
    assert_int_equal(health->node_managed, 0);
    config_pack_rpcd(&p.opts, 1, rpc);
    assert_int_equal(rpc->commit_timeout_ms, 500);
    assert_int_equal(rpc->commit_hold_ms, 400);
    assert_int_equal(rpc->enable_proxy, 1);
    parsed_free(&p);
    free(cons);
    free(health);
    free(rpc);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_every_flag_by_line_and_environment),
        cmocka_unit_test(test_every_flag_has_a_case),
        cmocka_unit_test(test_bad_values),
        cmocka_unit_test(test_defaults),
        cmocka_unit_test(test_durations),
        cmocka_unit_test(test_word_splitting),
        cmocka_unit_test(test_help),
        cmocka_unit_test(test_config_pack),
    };
    int failed = cmocka_run_group_tests_name("options", tests, NULL, NULL);

    return failed + _cmocka_run_group_tests("option errors", options_error_tests, options_error_test_count, NULL, NULL);
}
