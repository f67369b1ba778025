/* The pure parts of conductorctl: what it asks before, what doctor finds, what is drawn. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "rpcd/ctl/bench.h"
#include "rpcd/ctl/conductorctl.h"
#include "rpcd/ctl/doctor.h"
#include "rpcd/ctl/watch.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define MEMBER(id, suffrage, age, reason, sequencing, head, wall)                                                      \
    "{\"id\":\"" id "\",\"addr\":\"10.0.0.1:1\",\"suffrage\":" suffrage ",\"contact_age_ms\":" age                     \
    ",\"record\":{\"age_ms\":" age ",\"ready_reason\":\"" reason "\",\"paused\":false,\"sequencing\":" sequencing      \
    ",\"unsafe_head\":{\"number\":" head ",\"hash\":\"0x1\"},\"wall_ms\":" wall "}}"
#define WELL                                                                                                           \
    "\"node\":\"a\",\"version\":\"v1\",\"cluster_id\":\"c1\",\"membership_version\":3,\"health_reason\":\"ok\","       \
    "\"health_text\":\"\",\"ready_reason\":\"ready\",\"conductor_enabled\":true,\"sequencer_active\":true,"            \
    "\"role\":\"leader\",\"leader\":{\"id\":\"a\"},\"children\":[{\"name\":\"rpcd\",\"state\":\"running\","            \
    "\"restarts\":0}]"
#define THREE                                                                                                          \
    ",\"servers\":[" MEMBER("a", "0", "10", "ready", "true", "70", "5000") "," MEMBER(                                 \
        "b", "0", "20", "ready", "false", "70", "5000") "," MEMBER("c", "0", "30", "ready", "false", "70", "5000") "]"

static cJSON *parse(const char *text)
{
    cJSON *json = cJSON_Parse(text);
    if (json == NULL)
        fail_msg("no JSON: %s", text);
    return json;
}

/* ---- what is asked before ---- */

static void before_something_dangerous(void **state)
{
    static const char one_ready[] =
        "{" WELL ",\"servers\":[" MEMBER("a", "0", "1", "ready", "true", "7", "1") "," MEMBER(
            "b", "0", "1", "lagging", "false", "7", "1") "," MEMBER("s", "1", "1", "ready", "false", "7", "1") "]}";
    static const char follower[] = "{\"node\":\"b\",\"leader\":{\"id\":\"a\"},\"sequencer_active\":false" THREE "}";
    static const struct {
        const char *status;
        const char *words[3];
        bool is_asked;
        const char *says[3];
    } rows[] = {
        {"{" WELL THREE "}", {"stop"}, true, {"b or c, which are ready", "2 voters remain: 0 of them"}},
        {one_ready, {"stop"}, true, {"SEQUENCING STOPS"}},
        {follower, {"stop"}, true, {"a leads: sequencing is not touched"}},
        {"{" WELL THREE "}", {"node", "stop"}, true, {"stopped and kept down", "b or c"}},
        {"{" WELL THREE "}", {"node", "restart"}, true, {"is restarted"}},
        {"{" WELL THREE "}", {"remove", "a"}, true, {"It leads.", "b or c", "2 voters remain"}},
        {"{" WELL THREE "}", {"remove", "b"}, true, {"b loses its vote and takes no part"}},
        {one_ready, {"demote", "b"}, true, {"b loses its vote.", "1 voter remains"}},
        {one_ready, {"remove", "s"}, false, {NULL}}, /* it has no vote */
        {"{" WELL THREE "}", {"restart", "consensus"}, true, {"a leads"}},
        {follower, {"restart", "consensus"}, false, {NULL}},
        {"{" WELL THREE "}", {"restart", "rpcd"}, false, {NULL}},
        {"{" WELL THREE "}", {"override", "true"}, true, {"forks"}},
        {"{" WELL THREE "}", {"override", "false"}, false, {NULL}},
    };
    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        char *argv[4] = {(char *)(uintptr_t) "conductorctl"}, text[1024];
        struct ctl_request req;
        int argc = 1;
        for (; argc < 4 && rows[i].words[argc - 1] != NULL; argc++)
            argv[argc] = (char *)(uintptr_t)rows[i].words[argc - 1];
        cJSON *status = parse(rows[i].status);
        assert_int_equal(ctl_parse(argc, argv, "http://x", &req), CTL_OK);
        assert_true(req.is_dangerous);
        assert_int_equal(ctl_describe_impact(&req, status, text, sizeof text), rows[i].is_asked);
        for (unsigned k = 0; k < 3 && rows[i].says[k] != NULL; k++)
            if (strstr(text, rows[i].says[k]) == NULL)
                fail_msg("%s %s: \"%s\" is not in: %s", rows[i].words[0], rows[i].words[1], rows[i].says[k], text);
        /* However long the names: no overrun. */
        char tiny[16];
        (void)ctl_describe_impact(&req, status, tiny, sizeof tiny);
        assert_true(strlen(tiny) < sizeof tiny);
        cJSON_Delete(status);
        free(req.params);
    }
}

/* ---- doctor ---- */

static const struct doctor_finding *find(const struct doctor_report *r, const char *check,
                                         enum doctor_severity severity)
{
    for (unsigned i = 0; i < r->count; i++)
        if (r->findings[i].severity == severity && strcmp(r->findings[i].check, check) == 0)
            return &r->findings[i];
    return NULL;
}

static void doctor_finds(void **state)
{
    static const struct {
        const char *status, *check;
        enum doctor_severity severity;
        const char *text;
    } rows[] = {
        {"{" WELL THREE "}", "quorum", DOCTOR_OK, "1 may be lost"},
        {"{" WELL ",\"servers\":[" MEMBER("a", "0", "1", "ready", "true", "7", "1") "," MEMBER(
             "b", "0", "9000", "ready", "false", "7", "1") "," MEMBER("c", "0", "1", "ready", "false", "7", "1") "]}",
         "quorum", DOCTOR_WARNING, "just enough"},
        {"{" WELL ",\"servers\":[" MEMBER("a", "0", "1", "ready", "true", "7",
                                          "1") "," MEMBER("b", "0", "9000", "ready", "false", "7", "1") "]}",
         "quorum", DOCTOR_ERROR, "no block can be agreed on"},
        {"{" WELL ",\"servers\":[" MEMBER("a", "0", "1", "ready", "true", "7",
                                          "1") "," MEMBER("b", "0", "9000", "ready", "false", "7", "1") "]}",
         "contact", DOCTOR_ERROR, "silent for 9 s"},
        {"{" WELL ",\"servers\":[" MEMBER("a", "0", "1", "ready", "true", "7", "1") "," MEMBER(
             "b", "0", "1", "lagging", "false", "7", "1") "," MEMBER("c", "0", "1", "paused", "false", "7", "1") "]}",
         "successor", DOCTOR_WARNING, "nobody could take over"},
        {"{" WELL ",\"servers\":[" MEMBER("a", "0", "100", "ready", "true", "7", "50000") "," MEMBER(
             "b", "0", "300", "ready", "false", "7", "52800") "," MEMBER("c", "0", "1", "ready", "false", "7",
                                                                         "50099") "]}",
         "clock", DOCTOR_ERROR, "of b is 3.0 s ahead"},
        {"{" WELL ",\"servers\":[" MEMBER("a", "0", "1", "ready", "true", "70",
                                          "1") "," MEMBER("b", "0", "1", "ready", "false", "40", "1") "]}",
         "lag", DOCTOR_WARNING, "b is 30 blocks behind"},
        {"{" WELL ",\"servers\":[{\"id\":\"b\",\"suffrage\":0,\"contact_age_ms\":1,\"version\":\"v2\","
         "\"record\":{\"age_ms\":1,\"ready_reason\":\"ready\"}}]}",
         "version", DOCTOR_WARNING, "b runs v2, this node v1"},
        {"{" WELL ",\"servers\":[]}", "cluster", DOCTOR_ERROR, "in no cluster"},
        {"{\"node\":\"a\",\"leader\":{\"id\":\"\"}" THREE "}", "leader", DOCTOR_ERROR, "no leader"},
        {"{\"node\":\"b\",\"health_reason\":\"ok\",\"role\":\"follower\",\"sequencer_active\":true" THREE "}",
         "two-sequencers", DOCTOR_ERROR, "does not lead"},
        {"{\"health_reason\":\"ok\",\"conductor_enabled\":false}", "conductor-enabled", DOCTOR_ERROR, "without its"},
        {"{\"health_reason\":\"node_unreachable\",\"health_text\":\"boom\"}", "op-node", DOCTOR_ERROR, "boom"},
        {"{\"health_reason\":\"peers\",\"health_text\":\"1 peer\"}", "health", DOCTOR_ERROR, "1 peer"},
        {"{\"health_reason\":\"ok\",\"el_syncing\":true}", "syncing", DOCTOR_WARNING, "syncing"},
        {"{\"health_reason\":\"ok\",\"paused\":true}", "paused", DOCTOR_WARNING, "paused"},
        {"{\"health_reason\":\"ok\",\"overridden\":true}", "overridden", DOCTOR_ERROR, "overridden"},
        {"{\"children\":[{\"name\":\"healthd\",\"state\":\"backoff\",\"restarts\":1}]}", "process", DOCTOR_ERROR,
         "healthd is backoff"},
        {"{\"children\":[{\"name\":\"healthd\",\"state\":\"running\",\"restarts\":9}]}", "process", DOCTOR_WARNING,
         "restarted 9 times"},
    };
    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct doctor_report *r = calloc(1, sizeof *r);
        cJSON *status = parse(rows[i].status);
        doctor_judge_node(r, status);
        doctor_judge_cluster(r, status);
        const struct doctor_finding *f = find(r, rows[i].check, rows[i].severity);
        if (f == NULL)
            fail_msg("row %zu: no such finding: %s", i, rows[i].check);
        else if (strstr(f->text, rows[i].text) == NULL || (f->severity != DOCTOR_OK) != (f->fix[0] != '\0'))
            fail_msg("row %zu: %s; fix: %s", i, f->text, f->fix);
        assert_int_equal(doctor_worst(r) == DOCTOR_OK, i == 0);
        cJSON_Delete(status);
        free(r);
    }
}

static void doctor_compares(void **state)
{
    static const struct {
        const char *peer, *check;
        enum doctor_severity severity;
    } rows[] = {
        {"{\"node\":\"b\",\"version\":\"v2\",\"cluster_id\":\"c1\",\"membership_version\":3}", "version",
         DOCTOR_WARNING},
        {"{\"node\":\"b\",\"version\":\"v1\",\"cluster_id\":\"c2\",\"membership_version\":3}", "cluster", DOCTOR_ERROR},
        {"{\"node\":\"b\",\"version\":\"v1\",\"cluster_id\":\"c1\",\"membership_version\":4}", "membership",
         DOCTOR_WARNING},
        {NULL, "rpc", DOCTOR_ERROR},
    };
    cJSON *status = parse("{" WELL THREE "}");
    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct doctor_report *r = calloc(1, sizeof *r);
        cJSON *peer = rows[i].peer != NULL ? parse(rows[i].peer) : NULL;
        doctor_judge_peer(r, status, "http://b", peer);
        assert_non_null(find(r, rows[i].check, rows[i].severity));
        for (unsigned k = 0; k < r->count; k++)
            assert_non_null(strchr(r->findings[k].text, 'b')); /* each says whom it is about */
        cJSON_Delete(peer);
        free(r);
    }
    cJSON_Delete(status);
}

/* ---- the disk ---- */

static void disk_times(void **state)
{
    uint64_t times[100];
    struct bench_result r = {0};
    (void)state;
    for (unsigned i = 0; i < 100; i++)
        times[i] = 100 - i;
    bench_summarize(times, 100, &r);
    assert_int_equal(r.p50_us, 50);
    assert_int_equal(r.p90_us, 90);
    assert_int_equal(r.p99_us, 99);
    assert_int_equal(r.max_us, 100);
    times[0] = 7;
    bench_summarize(times, 1, &r);
    assert_int_equal(r.p99_us, 7);
    assert_int_equal(bench_judge(&(struct bench_result){.p99_us = 249999}, 1000), BENCH_GOOD);
    assert_int_equal(bench_judge(&(struct bench_result){.p99_us = 250000}, 1000), BENCH_SLOW);
    assert_int_equal(bench_judge(&(struct bench_result){.p99_us = 1000000}, 1000), BENCH_TOO_SLOW);
}

/* ---- the screen ---- */

static char *draw(const struct watch_frame *f)
{
    char *text = NULL;
    size_t size = 0;
    FILE *out = open_memstream(&text, &size);
    watch_render(out, f);
    assert_int_equal(fclose(out), 0);
    return text;
}

static void a_frame_fits_the_screen(void **state)
{
    struct watch_frame *f = calloc(1, sizeof *f);
    cJSON *status = parse("{" WELL THREE "}");
    (void)state;
    f->rpc = "http://x";
    f->status = status;
    f->is_utf8 = true;
    for (unsigned i = 0; i < WATCH_SAMPLES_MAX + 10; i++)
        watch_add_sample(f, i * 1000);
    assert_int_equal(f->sample_count, WATCH_SAMPLES_MAX);
    assert_int_equal(f->samples_us[0], 10000);
    for (f->columns = 10; f->columns < 130; f->columns += 17) {
        for (f->rows = 1; f->rows < 30; f->rows += 7) {
            char *text = draw(f);
            unsigned rows = 1, width = 0, widest = 0;
            for (const char *at = text; *at != '\0'; at++) {
                if (*at == '\033') {
                    at += strcspn(at, "HKJ");
                } else if (*at == '\n') {
                    rows++;
                    width = 0;
                } else if (((unsigned char)*at & 0xc0) != 0x80) {
                    width++;
                    widest = width > widest ? width : widest;
                }
            }
            assert_in_range(rows, 1, f->rows);
            assert_in_range(widest, 1, f->columns);
            free(text);
        }
    }
    f->columns = 120;
    f->rows = 40;
    f->lost_ms = 2500;
    char *text = draw(f);
    assert_non_null(strstr(text, "DOES NOT ANSWER for 2.5 s"));
    assert_non_null(strstr(text, "leads, ready, sequencing"));
    assert_non_null(strstr(text, "█"));
    free(text);
    f->is_utf8 = false;
    text = draw(f);
    assert_null(strstr(text, "█"));
    free(text);
    cJSON_Delete(status);
    free(f);
}

/* ---- what others wrote ---- */

#define HOSTILE "\\u001b]0;x\\u0007\\u009b31m\\u007f\\n2026-01-01 forged"

static char *read_all(FILE *f)
{
    char text[4096];
    rewind(f);
    const size_t len = fread(text, 1, sizeof text - 1, f);
    text[len] = '\0';
    assert_int_equal(fclose(f), 0);
    return strdup(text);
}

/* What `ctl_print` and others print. */
static char *print(const struct ctl_request *req, const cJSON *result)
{
    FILE *f = tmpfile();
    assert_non_null(f);
    assert_int_equal(fflush(stdout), 0);
    const int before = dup(STDOUT_FILENO);
    assert_true(dup2(fileno(f), STDOUT_FILENO) >= 0);
    ctl_print(req, result);
    assert_int_equal(ctl_flush(), CTL_OK);
    assert_true(dup2(before, STDOUT_FILENO) >= 0);
    assert_int_equal(close(before), 0);
    return read_all(f);
}

static void assert_harmless(const char *text)
{
    for (const unsigned char *c = (const unsigned char *)text; *c != '\0'; c++)
        if ((*c < 0x20 && *c != '\n' && *c != '\t') || *c == 0x7f || (*c == 0xc2 && c[1] >= 0x80 && c[1] <= 0x9f))
            fail_msg("a control character, 0x%02x, goes to the terminal: %s", *c, text);
}

static void a_terminal_is_not_commanded(void **state)
{
    static const char status[] =
        "{\"node\":\"" HOSTILE "\",\"version\":\"" HOSTILE "\",\"role\":\"" HOSTILE "\",\"health_text\":\"" HOSTILE
        "\",\"ready_reason\":\"" HOSTILE "\",\"leader\":{\"id\":\"" HOSTILE "\",\"addr\":\"" HOSTILE
        "\"},\"children\":[{\"name\":\"" HOSTILE "\",\"state\":\"" HOSTILE "\"}],\"servers\":[{\"id\":\"" HOSTILE
        "\",\"addr\":\"" HOSTILE "\",\"suffrage\":0,\"version\":\"" HOSTILE "\",\"record\":{\"ready_reason\":\"" HOSTILE
        "\"}}]}";
    static const char event[] = "{\"kind\":\"process_down\",\"what\":\"" HOSTILE "\",\"detail\":\"" HOSTILE "\"}";
    static const struct ctl_request requests[] = {
        {.command = "status"}, {.command = "members"}, {.command = "call"}, {.command = "payload"}};
    (void)state;
    for (size_t i = 0; i < sizeof requests / sizeof requests[0]; i++) {
        cJSON *result = parse(status);
        char *text = print(&requests[i], result);
        assert_harmless(text);
        assert_null(strstr(text, "\n2026-01-01 forged"));
        free(text);
        cJSON_Delete(result);
    }
    cJSON *result = parse(event);
    FILE *f = tmpfile();
    assert_non_null(f);
    ctl_print_event(f, result);
    char *text = read_all(f);
    assert_harmless(text);
    assert_null(strstr(text, "\n2026-01-01 forged"));
    assert_non_null(strstr(text, "\n    | 2026-01-01 forged\n")); /* a process's last lines stay lines */
    free(text);
    cJSON_Delete(result);
}

/* ---- the command line ---- */

static void options_belong_to_commands(void **state)
{
    static const struct {
        const char *words[6];
        int code;
        const char *rpc;
    } rows[] = {
        {{"status", "--watch"}, CTL_OK, "http://default"},
        {{"--rpc", "unix:/run/x.sock", "status"}, CTL_OK, "/run/x.sock"},
        {{"--rpc=/run/x.sock", "status"}, CTL_OK, "/run/x.sock"},
        {{"status", "--watch", "--json"}, CTL_USAGE, NULL},
        {{"leader", "--watch"}, CTL_USAGE, NULL},
        {{"status", "--watchful"}, CTL_USAGE, NULL},
        {{"status", "--watch=1"}, CTL_USAGE, NULL},
        {{"wait-ready", "--timeout", "5", "--leading"}, CTL_OK, "http://default"},
        {{"wait-ready", "--leading", "--ready"}, CTL_USAGE, NULL},
        {{"wait-ready", "--timeout", "soon"}, CTL_USAGE, NULL},
        {{"doctor", "--dir", "/x", "http://b", "http://c"}, CTL_OK, "http://default"},
        {{"doctor", "--dir"}, CTL_USAGE, NULL},
        {{"timeline", "--limit=3"}, CTL_OK, "http://default"},
        {{"node", "logs", "-n50", "-f"}, CTL_OK, "http://default"},
        {{"node", "logs", "-n", "50", "--follow"}, CTL_OK, "http://default"},
        {{"node", "logs", "-n=50"}, CTL_OK, "http://default"},
        {{"node", "logs", "-n"}, CTL_USAGE, NULL},
        {{"node", "logs", "-nfew"}, CTL_USAGE, NULL},
        {{"node", "logs", "-fn"}, CTL_USAGE, NULL},
        {{"node", "logs", "50"}, CTL_USAGE, NULL},
        {{"node", "start", "-f"}, CTL_USAGE, NULL},
        {{"events", "-f"}, CTL_OK, "http://default"},
        {{"events", "-n", "5"}, CTL_USAGE, NULL},
        {{"bench-disk"}, CTL_USAGE, NULL},
        {{"bench-disk", "/x", "--block-time=500"}, CTL_OK, "http://default"},
        {{"bootstrap"}, CTL_USAGE, NULL},
        {{"status", "--rpc"}, CTL_USAGE, NULL},
    };
    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        char *argv[7] = {(char *)(uintptr_t) "conductorctl"};
        struct ctl_request req;
        int argc = 1;
        for (; argc < 7 && rows[i].words[argc - 1] != NULL; argc++)
            argv[argc] = (char *)(uintptr_t)rows[i].words[argc - 1];
        assert_int_equal(ctl_parse(argc, argv, "http://default", &req), rows[i].code);
        assert_int_equal(req.error[0] != '\0', rows[i].code != CTL_OK);
        if (rows[i].code == CTL_OK)
            assert_string_equal(req.rpc, rows[i].rpc);
        free(req.params);
    }
}

static void where_to_ask(void **state)
{
    static const char *const names[] = {"CONDUCTORCTL_RPC", "OP_CONDUCTOR_RPC_ADMIN_SOCKET", "OP_CONDUCTOR_RPC_PORT"};
    char dir[] = "/tmp/ctl-test-XXXXXX", path[64];
    assert_non_null(mkdtemp(dir));
    (void)snprintf(path, sizeof path, "%s/admin.sock", dir);
    FILE *file = fopen(path, "w");
    assert_non_null(file);
    assert_int_equal(fclose(file), 0);
    const struct {
        const char *values[3];
        const char *want;
    } rows[] = {
        {{NULL, "", NULL}, "http://127.0.0.1:8545"},
        {{"", "", ""}, "http://127.0.0.1:8545"},
        {{NULL, "", "8547"}, "http://127.0.0.1:8547"},
        {{NULL, "/nonexistent/admin.sock", "8547"}, "http://127.0.0.1:8547"},
        {{NULL, path, "8547"}, path},
        {{"http://10.0.0.1:8547", path, "1"}, "http://10.0.0.1:8547"},
    };
    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        char got[CTL_RPC_SIZE];
        for (size_t n = 0; n < 3; n++)
            assert_int_equal(rows[i].values[n] != NULL ? setenv(names[n], rows[i].values[n], 1) : unsetenv(names[n]),
                             0);
        ctl_default_rpc(got, sizeof got);
        assert_string_equal(got, rows[i].want);
    }
    assert_int_equal(unlink(path), 0);
    assert_int_equal(rmdir(dir), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(before_something_dangerous),
        cmocka_unit_test(doctor_finds),
        cmocka_unit_test(doctor_compares),
        cmocka_unit_test(disk_times),
        cmocka_unit_test(a_frame_fits_the_screen),
        cmocka_unit_test(a_terminal_is_not_commanded),
        cmocka_unit_test(options_belong_to_commands),
        cmocka_unit_test(where_to_ask),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
