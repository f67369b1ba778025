/* What users see of the records: sentences, the JSON of conductor_events, lines of conductorctl. */
#include "rpcd/ctl/conductorctl.h"
#include "rpcd/events.h"
#include "rpcd/story.h"
#include "testing.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define FROM(kind_, ...)                                                                                               \
    {                                                                                                                  \
        .kind = FLIGHT_##kind_, __VA_ARGS__                                                                            \
    }

static void every_kind_has_its_sentence(void **state)
{
    static const struct {
        struct flight_record r;
        const char *want;
    } rows[] = {
        {FROM(STARTED, .text = "first start", .detail = "version v1"),
         "op-conductor started (version v1): first start"},
        {FROM(STOPPING, .text = "Terminated"), "op-conductor stops: Terminated"},
        {FROM(ENDED, .code = 1), "op-conductor has stopped all but consensus, exit code 1"},
        {FROM(PROCESS_UP, .subject = "rpcd", .count = 7), "rpcd runs (process 7)"},
        {FROM(PROCESS_DOWN, .subject = "rpcd", .count = 7, .text = "exit code 70"), "rpcd (process 7): exit code 70"},
        {FROM(LEADERSHIP, .subject = "me", .code = 1, .term = 5), "this node leads in term 5"},
        {FROM(LEADERSHIP, .subject = "other", .term = 5), "other leads in term 5"},
        {FROM(LEADERSHIP, .subject = "me", .term = 5, .text = "elected, not ready yet"),
         "me leads in term 5: elected, not ready yet"},
        {FROM(LEADERSHIP, .text = "consensus is down"), "no leader is known: consensus is down"},
        {FROM(DECISION, .subject = "hand over to b", .text = "unhealthy"), "decided to hand over to b: unhealthy"},
        {FROM(SEQ_START, .head = {.number = 9}, .count = 1),
         "the sequencer was started on block 9 (1 missing payload posted)"},
        {FROM(SEQ_START, .code = 7, .text = "op-node took too long"),
         "the sequencer could not be started: op-node took too long"},
        {FROM(SEQ_ADOPT, .head = {.number = 9}, .count = 2),
         "the sequencer runs already and was left running on block 9 (2 missing payloads posted)"},
        {FROM(SEQ_ADOPT, .code = 4, .text = "unsafe head mismatch"),
         "the sequencer runs, but not on the consensus head: unsafe head mismatch"},
        {FROM(SEQ_STOP, .code = 0), "the sequencer was stopped"},
        {FROM(SEQ_STOP, .code = 2, .text = "no answer"), "the sequencer could not be stopped: no answer"},
        {FROM(SEQ_SEEN, .code = 1), "op-node sequences"},
        {FROM(SEQ_SEEN, .code = 0), "op-node does not sequence"},
        {FROM(TRANSFER, .subject = "b", .detail = "decided here"), "leadership went to b (decided here)"},
        {FROM(TRANSFER, .subject = "b", .detail = "decided here", .code = -1, .text = "timeout"),
         "leadership could not be handed to b (decided here): timeout"},
        {FROM(TAKEN_OVER, .code = 0), "another node sequences now"},
        {FROM(TAKEN_OVER, .code = -1, .text = "not in time"), "not in time"},
        {FROM(PERMIT, .code = 1), "op-node may replace blocks that nobody acknowledged"},
        {FROM(PERMIT, .code = 0), "op-node may no longer replace blocks that nobody acknowledged"},
        {FROM(HEALTH, .subject = "unhealthy", .text = "too few peers"), "unhealthy: too few peers"},
        {FROM(READY, .code = READY_OK, .text = "ready"), "ready"},
        {FROM(READY, .code = READY_PAUSED, .text = "paused"), "not ready: paused"},
        {FROM(MEMBERSHIP, .count = 3, .detail = "a voter, b standby"),
         "the members are a voter, b standby (version 3)"},
        {FROM(OPERATOR, .subject = "pause"), "an operator asks: pause"},
        {FROM(OPERATOR, .subject = "restart worker", .text = "rpcd"), "an operator asks: restart worker rpcd"},
        {FROM(OPERATOR, .code = -22, .text = "no such worker"), "an operator's request was refused: no such worker"},
        {FROM(OPERATOR, .subject = "conductor_removeServer", .text = "[\"b\",0]"),
         "an operator asks: conductor_removeServer [\"b\",0]"},
        {FROM(OPERATOR, .code = -3, .subject = "conductor_removeServer", .text = "no such server"),
         "an operator's request conductor_removeServer was refused: no such server"},
        {FROM(HEAD, .subject = "left", .head = {.number = 8}, .text = "consensus head 10, from 8"),
         "op-node left acknowledged blocks and is given them back; refused is its block 8 (consensus head 10, from 8)"},
        {FROM(HEAD, .subject = "adopted", .head = {.number = 12}, .text = "consensus head 10, from 10"),
         "the chain went on without consensus; adopted is what a majority reports, block 12 (consensus head 10, from "
         "10)"},
        {FROM(CONTACT, .subject = "b", .code = 0), "b is not heard any more"},
        {FROM(CONTACT, .subject = "b", .code = 1), "b is heard again"},
        {FROM(HEAD, .subject = "news"), "an event that this version does not know (news)"},
        {{.kind = 1000}, "an event that this version does not know (1000)"},
    };
    bool seen[FLIGHT_KIND_COUNT] = {false};
    char got[STORY_SENTENCE_SIZE];

    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        story_sentence(&rows[i].r, got, sizeof got);
        assert_string_equal(got, rows[i].want);
        if (rows[i].r.kind < FLIGHT_KIND_COUNT)
            seen[rows[i].r.kind] = true;
    }
    for (unsigned kind = 1; kind < FLIGHT_KIND_COUNT; kind++)
        assert_true(seen[kind]);
}

/* ---- conductor_events ---- */

static cJSON *ask(const struct flight_reader *reader, const uint64_t *since, uint64_t limit)
{
    size_t len = 0;
    char *json = events_to_json(reader, "seq-\"0\"", since, limit, &len);
    cJSON *root;

    assert_non_null(json);
    root = cJSON_ParseWithLengthOpts(json, len, NULL, false);
    assert_non_null(root);
    free(json);
    return root;
}

static double number(const cJSON *object, const char *key)
{
    const cJSON *item = cJSON_GetObjectItemCaseSensitive(object, key);

    assert_true(cJSON_IsNumber(item));
    return item->valuedouble;
}

static const char *text(const cJSON *object, const char *key)
{
    const char *s = cJSON_GetStringValue(cJSON_GetObjectItemCaseSensitive(object, key));

    assert_non_null(s);
    return s;
}

static void pages_come_in_order(void **state)
{
    static const struct {
        int64_t since; /* -1: not given */
        uint64_t limit;
        uint64_t first, count;
    } rows[] = {
        {-1, 10, FLIGHT_SLOTS + 491, 10},                /* the newest */
        {-1, FLIGHT_SLOTS, 501, FLIGHT_SLOTS},           /* no more than there are */
        {0, 10, 501, 10},                                /* the oldest that are left */
        {600, 10, 601, 10},                              /* after one */
        {FLIGHT_SLOTS + 498, 10, FLIGHT_SLOTS + 499, 2}, /* the last two */
        {FLIGHT_SLOTS + 500, 10, 0, 0},                  /* nothing new */
        {1000000, 10, 0, 0},                             /* of another life */
    };
    struct flight_ring *ring = flight_ring_new();
    struct flight_reader *reader = flight_reader_open(flight_ring_fd(ring));

    (void)state;
    for (unsigned i = 1; i <= FLIGHT_SLOTS + 500; i++) {
        struct flight_record r = FROM(READY, .count = i);
        (void)flight_ring_put(ring, &r);
    }
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        const uint64_t since = (uint64_t)rows[i].since;
        cJSON *root = ask(reader, rows[i].since >= 0 ? &since : NULL, rows[i].limit);
        const cJSON *event, *events = cJSON_GetObjectItemCaseSensitive(root, "events");
        uint64_t at = rows[i].first;

        assert_int_equal(cJSON_GetArraySize(events), rows[i].count);
        cJSON_ArrayForEach(event, events) assert_int_equal((uint64_t)number(event, "sequence"), at++);
        assert_int_equal((uint64_t)number(root, "next_sequence"), FLIGHT_SLOTS + 501);
        cJSON_Delete(root);
    }
    flight_reader_close(reader);
    flight_ring_free(ring);
}

static void events_are_whole_and_well_formed(void **state)
{
    struct flight_ring *ring = flight_ring_new();
    struct flight_reader *reader = flight_reader_open(flight_ring_fd(ring));
    struct flight_record r = FROM(PROCESS_DOWN, .wall_ms = 1700000000123, .mono_ns = 5000, .term = 3, .code = -9,
                                  .duration_us = 77, .count = 4242, .repeats = 2, .head = {.number = 12});
    const cJSON *event;
    cJSON *root;

    (void)state;
    r.head.hash[0] = 0xab;
    strcpy(r.subject, "op-node");
    /* What a process printed may be anything: quotes, controls, halves of characters, all of the room. */
    memset(r.detail, '\xff', sizeof r.detail);
    memcpy(r.detail, "panic: \"x\"\n\x01\x02\\", 14);
    memset(r.text, '\x80', sizeof r.text);
    (void)flight_ring_put(ring, &r);
    root = ask(reader, NULL, 5);
    assert_string_equal(text(root, "node"), "seq-\"0\"");
    assert_int_equal(number(root, "run"), 1);
    assert_int_equal(number(root, "run_first_sequence"), 1);
    event = cJSON_GetArrayItem(cJSON_GetObjectItemCaseSensitive(root, "events"), 0);
    assert_string_equal(text(event, "kind"), "process_down");
    assert_string_equal(text(event, "subject"), "op-node");
    assert_non_null(strstr(text(event, "what"), "op-node (process 4242): "));
    assert_int_equal(strncmp(text(event, "detail"), "panic: \"x\"\n  \\", 14), 0);
    assert_true(number(event, "time_ms") == 1700000000123.0);
    assert_int_equal(number(event, "mono_us"), 5);
    assert_int_equal(number(event, "code"), -9);
    assert_int_equal(number(event, "term"), 3);
    assert_int_equal(number(event, "duration_us"), 77);
    assert_int_equal(number(event, "repeats"), 2);
    assert_int_equal(number(cJSON_GetObjectItemCaseSensitive(event, "head"), "number"), 12);
    assert_int_equal(strncmp(text(cJSON_GetObjectItemCaseSensitive(event, "head"), "hash"), "0xab00", 6), 0);
    cJSON_Delete(root);
    flight_reader_close(reader);
    flight_ring_free(ring);
    /* No recorder at all. */
    root = ask(NULL, NULL, 5);
    assert_int_equal(cJSON_GetArraySize(cJSON_GetObjectItemCaseSensitive(root, "events")), 0);
    cJSON_Delete(root);
}

/* ---- conductorctl ---- */

static void durations_are_short(void **state)
{
    static const struct {
        uint64_t us;
        const char *want;
    } rows[] = {
        {0, ""},
        {1, "1 us"},
        {999, "999 us"},
        {1000, "1.0 ms"},
        {12345, "12.3 ms"},
        {1234567, "1.23 s"},
        {119000000, "119.00 s"},
        {120000000, "2 min"},
        {UINT64_C(7200000000), "2.0 h"},
    };
    char got[32];

    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        ctl_format_duration(rows[i].us, got, sizeof got);
        assert_string_equal(got, rows[i].want);
    }
}

static void lines_tell_time_what_and_how_long(void **state)
{
    static const struct {
        const char *json, *want;
    } rows[] = {
        {"{\"time_ms\":1700000000123,\"kind\":\"leadership\",\"what\":\"b leads in term 2\",\"duration_us\":0}",
         "2023-11-14 22:13:20.123  leadership       b leads in term 2\n"},
        {"{\"time_ms\":1700000000009,\"kind\":\"sequencer_stop\",\"what\":\"the sequencer was stopped\","
         "\"duration_us\":2500,\"repeats\":8}",
         "2023-11-14 22:13:20.009  sequencer_stop   the sequencer was stopped  [2.5 ms]\n"},
        {"{\"time_ms\":1700000000000,\"kind\":\"process_down\",\"what\":\"op-node (process 7): exit code 2\","
         "\"duration_us\":0,\"detail\":\"panic: no\\n\\nmain.go\",\"repeats\":16}",
         "2023-11-14 22:13:20.000  process_down     op-node (process 7): exit code 2  (time 16 in a row)\n"
         "    | panic: no\n    | \n    | main.go\n"},
        {"{\"time_ms\":1700000000000,\"kind\":\"decision\",\"what\":\"decided to stop: not the leader\","
         "\"detail\":\"not-leader active=yes\"}",
         "2023-11-14 22:13:20.000  decision         decided to stop: not the leader\n"
         "    given: not-leader active=yes\n"},
        {"{}", "1970-01-01 00:00:00.000                   \n"},
    };

    (void)state;
    assert_int_equal(setenv("TZ", "UTC0", 1), 0);
    tzset();
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        cJSON *event = cJSON_Parse(rows[i].json);
        char *got = NULL;
        size_t len = 0;
        FILE *out = open_memstream(&got, &len);

        assert_non_null(event);
        assert_non_null(out);
        ctl_print_event(out, event);
        assert_int_equal(fclose(out), 0);
        assert_string_equal(got, rows[i].want);
        free(got);
        cJSON_Delete(event);
    }
}

static void the_command_line_takes_its_options(void **state)
{
    static const struct {
        const char *argv[6];
        int code;
        const char *since, *limit;
        bool is_follow, is_json;
    } rows[] = {
        {{"conductorctl", "events"}, CTL_OK, NULL, NULL, false, false},
        {{"conductorctl", "events", "--since", "12", "--json"}, CTL_OK, "12", NULL, false, true},
        {{"conductorctl", "--limit=5", "events", "--follow"}, CTL_OK, NULL, "5", true, false},
        {{"conductorctl", "events", "--since"}, CTL_USAGE, NULL, NULL, false, false},
        {{"conductorctl", "events", "--limit", "many"}, CTL_USAGE, NULL, NULL, false, false},
        {{"conductorctl", "events", "--since=-1"}, CTL_USAGE, NULL, NULL, false, false},
        {{"conductorctl", "events", "12"}, CTL_USAGE, NULL, NULL, false, false},
        {{"conductorctl", "status", "--follow"}, CTL_USAGE, NULL, NULL, false, false},
        {{"conductorctl", "events", "--sincere"}, CTL_USAGE, NULL, NULL, false, false},
    };

    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct ctl_request req;
        char *argv[6];
        int argc = 0;

        while (argc < 6 && rows[i].argv[argc] != NULL) {
            argv[argc] = (char *)(uintptr_t)rows[i].argv[argc];
            argc++;
        }
        assert_int_equal(ctl_parse(argc, argv, "http://127.0.0.1:1", &req), rows[i].code);
        if (rows[i].code == CTL_OK) {
            assert_true(req.is_events);
            assert_string_equal(req.method, "conductor_events");
            assert_int_equal(req.is_follow, rows[i].is_follow);
            assert_int_equal(req.is_json, rows[i].is_json);
            assert_true((req.since == NULL) == (rows[i].since == NULL));
            assert_true((req.limit == NULL) == (rows[i].limit == NULL));
            if (rows[i].since != NULL)
                assert_string_equal(req.since, rows[i].since);
            if (rows[i].limit != NULL)
                assert_string_equal(req.limit, rows[i].limit);
        } else {
            assert_true(req.error[0] != '\0');
        }
        free(req.params);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_kind_has_its_sentence),       cmocka_unit_test(pages_come_in_order),
        cmocka_unit_test(events_are_whole_and_well_formed),  cmocka_unit_test(durations_are_short),
        cmocka_unit_test(lines_tell_time_what_and_how_long), cmocka_unit_test(the_command_line_takes_its_options),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
