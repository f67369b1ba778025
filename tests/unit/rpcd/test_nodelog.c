/* What users see of op-node's log: the JSON of conductor_nodeLogs, and lines on a terminal. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "rpcd/ctl/conductorctl.h"
#include "rpcd/nodelog.h"
#include "shared/proto/node_log.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void put(struct msg_node_log_result *m, enum node_log_kind kind, const char *text, size_t len)
{
    const struct node_log_line line = {.wall_ms = 1795416794001, .kind = kind, .len = len};
    char *to = node_log_add(m, &line);
    assert_non_null(to);
    memcpy(to, text, len);
}

static void lines_become_json(void **state)
{
    static const char want[] =
        "{\"node\":\"seq\\\"1\",\"instance\":1795416790510,\"next_sequence\":12,\"lines\":["
        "{\"sequence\":8,\"time_ms\":1795416794001,\"kind\":\"started\",\"text\":\"process 1 started\"},"
        "{\"sequence\":9,\"time_ms\":1795416794001,\"kind\":\"line\",\"text\":\"a \\u001b[1m\\\"b\\\"\"},"
        "{\"sequence\":10,\"time_ms\":1795416794001,\"kind\":\"line\",\"text\":\"\xef\xbf\xbd\"},"
        "{\"sequence\":11,\"time_ms\":1795416794001,\"kind\":\"ended\",\"text\":\"process 1: exit code 0\"}]}";
    struct msg_node_log_result *m = calloc(1, sizeof *m);
    size_t len;
    (void)state;
    m->instance = 1795416790510;
    m->first_sequence = 8;
    m->next_sequence = 12;
    put(m, NODE_LOG_STARTED, "process 1 started", 17);
    put(m, NODE_LOG_LINE, "a\0\033[1m\"b\"", 9);
    put(m, NODE_LOG_LINE, "\xff", 1);
    put(m, NODE_LOG_ENDED, "process 1: exit code 0", 22);
    char *json = nodelog_to_json(m, "seq\"1", &len);
    assert_non_null(json);
    assert_int_equal(len, strlen(json));
    assert_string_equal(json, want);
    free(json);
    m->frame_bytes--; /* no frame any more */
    assert_null(nodelog_to_json(m, "seq", &len));
    free(m);
}

/* The worst that fits into one answer: every byte needs an escape. */
static void a_line_of_escapes_fits(void **state)
{
    struct msg_node_log_result *m = calloc(1, sizeof *m);
    char *text = malloc(NODE_LOG_LINE_MAX_BYTES);
    size_t len;
    (void)state;
    memset(text, 1, NODE_LOG_LINE_MAX_BYTES);
    put(m, NODE_LOG_LINE, text, NODE_LOG_LINE_MAX_BYTES);
    char *json = nodelog_to_json(m, "seq", &len);
    assert_non_null(json);
    cJSON *root = cJSON_Parse(json);
    const cJSON *line = cJSON_GetArrayItem(cJSON_GetObjectItem(root, "lines"), 0);
    assert_int_equal(strlen(cJSON_GetStringValue(cJSON_GetObjectItem(line, "text"))), NODE_LOG_LINE_MAX_BYTES);
    cJSON_Delete(root);
    free(json);
    free(text);
    free(m);
}

static void terminals_are_not_commanded(void **state)
{
    static const struct {
        const char *text, *on_terminal, *elsewhere;
    } rows[] = {
        {"plain \xc3\xa9\ttext", "plain \xc3\xa9\ttext", "plain \xc3\xa9\ttext"},
        {"\033[36mINFO\033[0m done", "\033[36mINFO\033[0m done\033[0m", "INFO done"},
        {"\033[1;38:5:9mred", "\033[1;38:5:9mred\033[0m", "red"},
        {"\033[2Jgone", "\\x1b[2Jgone", "\\x1b[2Jgone"},
        {"\033]0;title\007", "\\x1b]0;title\\x07", "\\x1b]0;title\\x07"},
        {"\033[36", "\\x1b[36", "\\x1b[36"},
        {"\033", "\\x1b", "\\x1b"},
        {"\033\033[0m", "\\x1b\033[0m\033[0m", "\\x1b"},
        {"\xc2\x9b"
         "2J\xc2\xa0",
         "\\x9b"
         "2J\xc2\xa0",
         "\\x9b"
         "2J\xc2\xa0"},
        {"over\rwritten\b\177", "over\\x0dwritten\\x08\\x7f", "over\\x0dwritten\\x08\\x7f"},
    };
    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        for (int is_terminal = 0; is_terminal < 2; is_terminal++) {
            char *got = NULL;
            size_t len;
            FILE *out = open_memstream(&got, &len);
            assert_non_null(out);
            ctl_print_plain(out, rows[i].text, is_terminal != 0);
            (void)fclose(out);
            assert_string_equal(got, is_terminal != 0 ? rows[i].on_terminal : rows[i].elsewhere);
            free(got);
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(lines_become_json),
        cmocka_unit_test(a_line_of_escapes_fits),
        cmocka_unit_test(terminals_are_not_commanded),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
