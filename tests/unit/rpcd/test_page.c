/* The status page's decisions: who gets it, what it says of a cluster, what it does to hostile names. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "rpcd/history.h"
#include "rpcd/page.h"
#include "rpcd/stream.h"
#include "rpcd/verdict.h"
#include "shared/flight/ring.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void test_who_wants_it(void **state)
{
    static const struct {
        const char *accept;
        bool is_wanted;
    } rows[] = {
        {NULL, false},
        {"", false},
        {"*/*", false}, /* curl */
        {"application/json, */*", false},
        {"text/*", false},
        {"text/html", true},
        {"TEXT/HTML", true},
        {"text/html;charset=utf-8", true},
        {"text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8", true},
        {"application/json , text/html ; q=0.5", true},
        {"text/html;q=0", false},
        {"text/html;q=0.0, */*", false},
        {"text/html-not", false},
        {"text/htm", false},
        {"application/json;x=text/html", false},
        {",,,", false},
        {"text/html ", true},
    };
    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++)
        if (page_is_wanted(rows[i].accept) != rows[i].is_wanted)
            fail_msg("Accept: %s", rows[i].accept != NULL ? rows[i].accept : "(none)");
}

/* Three voters, "a" leads and sequences, all is well. */
static void make_cluster(struct page_consensus *c)
{
    static const char *const names[] = {"a", "b", "c"};
    memset(c, 0, sizeof *c);
    c->state = RAFT_ROLE_LEADER;
    c->leader_ready = 1;
    c->server_count = 3;
    c->head_valid = 1;
    c->head.number = 100;
    (void)snprintf(c->leader_id, sizeof c->leader_id, "a");
    for (unsigned i = 0; i < 3; i++) {
        (void)snprintf(c->servers[i].id, sizeof c->servers[i].id, "%s", names[i]);
        (void)snprintf(c->servers[i].addr, sizeof c->servers[i].addr, "10.0.0.%u:50050", i + 1);
        c->servers[i].record.unsafe_head.number = 99;
    }
    c->servers[0].record.sequencing = 1;
}

#define LOST UINT64_MAX

static void test_verdict(void **state)
{
    static const struct {
        const char *says; /* a part of it */
        enum verdict_level level;
        struct {
            const char *leader; /* NULL: "a" */
            bool no_consensus, no_cluster, transferring, idle_leader, witness_c, standby_b;
            uint32_t reason_b, reason_c;
            uint64_t contact_b, contact_c;
            uint32_t stopped, overridden;
            unsigned servers;
        } in;
    } rows[] = {
        {"a leads and sequences; 2 others could take over.", VERDICT_GOOD, {0}},
        {"1 other could take over, but c is paused.", VERDICT_WARN, {.reason_c = READY_PAUSED}},
        {"1 other could take over, but b is not heard.", VERDICT_WARN, {.contact_b = LOST}},
        {"nobody could take over: b is lagging, c is unhealthy.",
         VERDICT_WARN,
         {.reason_b = READY_LAGGING, .reason_c = READY_UNHEALTHY}},
        {"Only 1 of 3 voters are heard here", VERDICT_BAD, {.contact_b = LOST, .contact_c = 2001}},
        {"2 others could take over.", VERDICT_GOOD, {.contact_c = 2000}},
        {"1 other could take over.", VERDICT_GOOD, {.reason_c = READY_WITNESS}},
        {"1 other could take over.", VERDICT_GOOD, {.standby_b = true, .contact_b = LOST}},
        {"it is the only voter", VERDICT_WARN, {.servers = 1}},
        {"its sequencer does not run (it is ready)", VERDICT_WARN, {.idle_leader = true}},
        {"d leads, but its sequencer does not run (it is no member)", VERDICT_WARN, {.leader = "d"}},
        {"No leader is known here", VERDICT_BAD, {.leader = ""}},
        {"being handed over", VERDICT_WARN, {.transferring = true}},
        {"consensus process does not answer", VERDICT_BAD, {.no_consensus = true}},
        {"in no cluster yet", VERDICT_BAD, {.no_cluster = true, .leader = ""}},
        {"overridden here", VERDICT_WARN, {.overridden = 1}},
        {"stopped by an operator", VERDICT_WARN, {.stopped = 1, .no_consensus = true}},
    };
    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct page_consensus c;
        struct page_supervisor s = {.stopped = rows[i].in.stopped, .overridden = rows[i].in.overridden};
        struct verdict v;
        make_cluster(&c);
        if (rows[i].in.leader != NULL)
            (void)snprintf(c.leader_id, sizeof c.leader_id, "%s", rows[i].in.leader);
        c.transferring = rows[i].in.transferring;
        c.servers[0].record.sequencing = !rows[i].in.idle_leader;
        c.servers[1].record.reason = rows[i].in.reason_b;
        c.servers[2].record.reason = rows[i].in.reason_c;
        c.servers[1].contact_age_ms = rows[i].in.contact_b;
        c.servers[2].contact_age_ms = rows[i].in.contact_c;
        c.servers[1].suffrage = rows[i].in.standby_b ? SUFFRAGE_NONVOTER : SUFFRAGE_VOTER;
        if (rows[i].in.servers != 0 || rows[i].in.no_cluster)
            c.server_count = rows[i].in.servers;
        verdict_make(rows[i].in.no_consensus ? NULL : &c, &s, &v);
        if (v.level != rows[i].level || strstr(v.text, rows[i].says) == NULL)
            fail_msg("%s: %s\n  expected %s: %s", verdict_level_name(v.level), v.text,
                     verdict_level_name(rows[i].level), rows[i].says);
    }
}

/* The longest names everywhere must be cut, not overrun. */
static void test_verdict_of_long_names(void **state)
{
    struct page_consensus c;
    struct verdict v;
    (void)state;
    make_cluster(&c);
    c.server_count = CLUSTER_SERVERS_MAX;
    for (unsigned i = 0; i < CLUSTER_SERVERS_MAX; i++) {
        memset(c.servers[i].id, 'x', sizeof c.servers[i].id - 1);
        c.servers[i].record.reason = READY_CONDUCTOR_DISABLED;
    }
    memcpy(c.leader_id, c.servers[0].id, sizeof c.leader_id);
    c.leader_id[0] = 'y';
    verdict_make(&c, NULL, &v);
    assert_true(strlen(v.text) < sizeof v.text && v.level == VERDICT_WARN);
}

static void test_when_to_tell(void **state)
{
    struct stream_look a = {.term = 3, .heads = 7}, b = a;
    (void)state;
    assert_false(stream_is_due(&a, &b, 0));
    assert_false(stream_is_due(&a, &b, STREAM_BEAT_MS - 1));
    assert_true(stream_is_due(&a, &b, STREAM_BEAT_MS)); /* the heartbeat */
    b.heads = 8;
    assert_false(stream_is_due(&a, &b, STREAM_HEAD_MS - 1));
    assert_true(stream_is_due(&a, &b, STREAM_HEAD_MS));
    b = a;
    b.leader_id[0] = 'x';
    assert_true(stream_is_due(&a, &b, 0)); /* leadership: at once */
    b = a;
    b.members[CLUSTER_SERVERS_MAX - 1] = 1;
    assert_true(stream_is_due(&a, &b, 0));
    b = a;
    b.switches = 1;
    assert_true(stream_is_due(&a, &b, 0));
}

static char *history_json(const struct history *h, uint64_t since)
{
    struct text out = {0};
    size_t len = 0;
    history_put_json(h, since, &out);
    text_put(&out, "%c", '\0');
    return text_finish(&out, &len);
}

static void test_history(void **state)
{
    struct history *h = history_new();
    (void)state;
    assert_non_null(h);
    char *json = history_json(h, 0);
    assert_string_equal(json, "[]");
    free(json);
    for (uint64_t i = 1; i <= HISTORY_COMMITS + 3; i++)
        history_add_commit(h, 1000 + i, i, 2 * i, i % 2 == 0);
    assert_int_equal(history_newest(h), HISTORY_COMMITS + 3);
    assert_null(history_get(h, 3)); /* overwritten */
    assert_null(history_get(h, 0));
    assert_null(history_get(h, HISTORY_COMMITS + 4));
    assert_int_equal(history_get(h, 4)->number, 1004);
    json = history_json(h, HISTORY_COMMITS + 1);
    assert_string_equal(json, "[[514,1514,514,1028,true],[515,1515,515,1030,false]]");
    free(json);
    json = history_json(h, 0);
    assert_int_equal(strncmp(json, "[[4,1004,", 9), 0); /* the oldest that is there */
    free(json);
    history_free(h);
}

static void test_html_escape(void **state)
{
    struct text out = {0};
    size_t len = 0;
    (void)state;
    text_add_html(&out, "<a b='c' d=\"e\">&amp;\n");
    text_put(&out, "%c", '\0');
    char *html = text_finish(&out, &len);
    assert_string_equal(html, "&#60;a b=&#39;c&#39; d=&#34;e&#34;&#62;&#38;amp;\n");
    free(html);
}

/* Every text that comes from elsewhere tries to break out, in every place of the document. */
static void test_hostile_names(void **state)
{
    static const char evil[] = "</title></script><script>alert(1)</script>'\" onload=alert(1) {{JS}}";
    struct page_view *v = calloc(1, sizeof *v);
    struct config_common config = {0};
    struct flight_ring *ring = flight_ring_new();
    struct flight_record r = {.kind = FLIGHT_HEALTH};
    size_t len = 0;
    (void)state;
    assert_true(v != NULL && ring != NULL);
    (void)snprintf(config.server_id, sizeof config.server_id, "%s", evil);
    (void)snprintf(config.version, sizeof config.version, "%.60s", evil);
    (void)snprintf(r.subject, sizeof r.subject, "%s", evil);
    (void)snprintf(r.text, sizeof r.text, "%s", evil);
    (void)flight_ring_put(ring, &r);
    struct flight_reader *reader = flight_reader_open(flight_ring_fd(ring));
    v->config = &config;
    v->has_consensus = v->has_health = v->has_supervisor = true;
    v->flight = reader;
    make_cluster(&v->consensus);
    for (unsigned i = 0; i < 3; i++) {
        (void)snprintf(v->consensus.servers[i].id, SERVER_ID_SIZE, "%s%u", evil, i);
        (void)snprintf(v->consensus.servers[i].addr, SERVER_ADDR_SIZE, "%s", evil);
    }
    memcpy(v->consensus.leader_id, v->consensus.servers[0].id, SERVER_ID_SIZE);
    (void)snprintf(v->health.last.text, sizeof v->health.last.text, "%s", evil);
    char *html = page_to_html(v, "0123456789abcdef", &len);
    assert_non_null(html);
    struct text ended = {0};
    text_add(&ended, html, len);
    text_put(&ended, "%c", '\0');
    free(html);
    html = text_finish(&ended, &len);
    assert_null(strstr(html, "<script>"));
    assert_null(strstr(html, "alert(1)</script>"));
    assert_null(strstr(html, "onload=alert(1) \""));
    unsigned escaped = 0, scripts = 0;
    for (const char *at = html; (at = strstr(at, "&#60;script&#62;alert(1)&#60;/script&#62;")) != NULL; at++)
        escaped++;
    for (const char *at = html; (at = strstr(at, "<script")) != NULL; at++)
        scripts++;
    assert_int_equal(scripts, 1);
    assert_true(escaped >= 3 + 3 + 3 + 1 + 2); /* node, members, addresses, health, event */
    /* A mark in a name is text, not another place for a part. */
    assert_non_null(strstr(html, "onload=alert(1) {{JS}}"));
    assert_non_null(strstr(html, "<script nonce=\"0123456789abcdef\">"));
    free(html);
    flight_reader_close(reader);
    flight_ring_free(ring);
    free(v);
}

/* A node that knows nothing yet has a page too. */
static void test_empty_page(void **state)
{
    struct page_view *v = calloc(1, sizeof *v);
    const struct config_common config = {.server_id = "lonely"};
    size_t len = 0;
    (void)state;
    assert_non_null(v);
    v->config = &config;
    char *html = page_to_html(v, "", &len);
    assert_non_null(html);
    assert_non_null(memmem(html, len, "no members are known", 20));
    assert_non_null(memmem(html, len, "</html>", 7));
    assert_null(memmem(html, len, "{{", 2)); /* no part without a name */
    free(html);
    free(v);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_who_wants_it),
        cmocka_unit_test(test_verdict),
        cmocka_unit_test(test_verdict_of_long_names),
        cmocka_unit_test(test_when_to_tell),
        cmocka_unit_test(test_history),
        cmocka_unit_test(test_html_escape),
        cmocka_unit_test(test_hostile_names),
        cmocka_unit_test(test_empty_page),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
