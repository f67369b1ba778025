/* The status page: who gets it, its head, its template (see page.h). */
#include "rpcd/page.h"

#include "rpcd/page_files.h"
#include "rpcd/status.h"
#include "rpcd/stream.h"
#include "rpcd/verdict.h"
#include "shared/base/log.h"
#include "shared/payload/json.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/random.h>

#define NONCE_BYTES 16
#define HTML_TYPE "text/html; charset=utf-8"

/* ---- who gets it ---- */

/* Whether `name` is among the media types of an Accept header, and not with a weight of 0. */
static bool accepts(const char *accept, const char *name)
{
    const size_t len = strlen(name);
    while (accept != NULL && *accept != '\0') {
        accept += strspn(accept, " \t,");
        const size_t type_len = strcspn(accept, " \t;,");
        const char *params = accept + type_len;
        const size_t params_len = strcspn(params, ",");
        double weight = 1;
        const char *q = strstr(params, "q=");
        if (q != NULL && q < params + params_len)
            weight = strtod(q + 2, NULL);
        if (type_len == len && strncasecmp(accept, name, len) == 0)
            return weight > 0;
        accept = params + params_len;
    }
    return false;
}

bool page_is_wanted(const char *accept)
{
    return accepts(accept, "text/html");
}

static bool is_stream_path(const struct http_request *req)
{
    return strcmp(http_request_path(req), "/events") == 0;
}

bool page_takes(const struct rpcd *app, const struct http_request *req)
{
    if (app->config.status_page == 0 || strcmp(http_request_method(req), "GET") != 0)
        return false;
    const char *accept = http_request_header(req, "accept");
    if (is_stream_path(req))
        return accepts(accept, "text/event-stream");
    return strcmp(http_request_path(req), "/") == 0 && page_is_wanted(accept);
}

/* ---- the document ---- */

static void put_css(const struct page_view *v, struct text *out)
{
    (void)v;
    text_add(out, (const char *)page_css, page_css_bytes);
}

static void put_js(const struct page_view *v, struct text *out)
{
    (void)v;
    text_add(out, (const char *)page_js, page_js_bytes);
}

static void put_node(const struct page_view *v, struct text *out)
{
    text_add_html(out, v->config->server_id);
}

static void put_version(const struct page_view *v, struct text *out)
{
    text_add_html(out, v->config->version);
}

static void make_verdict(const struct page_view *v, struct verdict *ret)
{
    verdict_make(v->has_consensus ? &v->consensus : NULL, v->has_supervisor ? &v->supervisor : NULL, ret);
}

static void put_level(const struct page_view *v, struct text *out)
{
    struct verdict verdict;
    make_verdict(v, &verdict);
    text_put(out, "%s", verdict_level_name(verdict.level));
}

static void put_verdict(const struct page_view *v, struct text *out)
{
    struct verdict verdict;
    make_verdict(v, &verdict);
    text_add_html(out, verdict.text);
}

/* What stands between {{ and }} in page.html. */
static const struct {
    const char *name;
    void (*put)(const struct page_view *v, struct text *out);
} parts[] = {
    {"CSS", put_css},
    {"JS", put_js},
    {"NODE", put_node},
    {"VERSION", put_version},
    {"LEVEL", put_level},
    {"VERDICT", put_verdict},
    {"MEMBERS", page_put_members},
    {"FACTS", page_put_facts},
    {"PROCESSES", page_put_processes},
    {"EVENTS", page_put_events},
};

static void put_part(const struct page_view *v, const char *name, size_t len, const char *nonce, struct text *out)
{
    if (len == 5 && memcmp(name, "NONCE", 5) == 0)
        text_put(out, "%s", nonce);
    for (size_t i = 0; i < sizeof parts / sizeof parts[0]; i++)
        if (strlen(parts[i].name) == len && memcmp(parts[i].name, name, len) == 0)
            parts[i].put(v, out);
}

char *page_to_html(const struct page_view *v, const char *nonce, size_t *ret_len)
{
    struct text out = {0};
    const char *at = (const char *)page_html, *mark, *end;
    while ((mark = strstr(at, "{{")) != NULL && (end = strstr(mark, "}}")) != NULL) {
        text_add(&out, at, (size_t)(mark - at));
        put_part(v, mark + 2, (size_t)(end - mark - 2), nonce, &out);
        at = end + 2;
    }
    text_add(&out, at, strlen(at));
    return text_finish(&out, ret_len);
}

/* ---- serving ---- */

/* Names come from other machines: whoever wrote the page, a reader of it needs whole strings. */
static void terminate_names(struct page_consensus *c)
{
    c->leader_id[sizeof c->leader_id - 1] = c->leader_addr[sizeof c->leader_addr - 1] = '\0';
    for (uint64_t i = 0; i < c->server_count; i++) {
        struct page_server *s = &c->servers[i];
        s->id[sizeof s->id - 1] = s->addr[sizeof s->addr - 1] = '\0';
    }
}

static void serve_html(struct rpcd *app, struct http_request *req)
{
    uint8_t random[NONCE_BYTES];
    char nonce[2 * NONCE_BYTES + 1] = "", policy[384];
    size_t len = 0;
    char *html = NULL;
    struct page_view *v = calloc(1, sizeof *v);
    if (v != NULL && getrandom(random, sizeof random, 0) == (ssize_t)sizeof random) {
        hex_encode(random, sizeof random, nonce);
        v->config = &app->config.common;
        v->has_consensus = status_read_consensus(app->status, &v->consensus);
        v->has_health = status_read_health(app->status, &v->health);
        v->has_supervisor = status_read_supervisor(app->status, &v->supervisor);
        v->flight = app->flight;
        terminate_names(&v->consensus);
        v->health.last.text[sizeof v->health.last.text - 1] = '\0';
        html = page_to_html(v, nonce, &len);
    }
    free(v);
    http_request_add_header(req, "Cache-Control: no-store\r\n");
    if (html == NULL) {
        http_respond(req, 503, "text/plain; charset=utf-8", "out of memory\n", 14);
        return;
    }
    (void)snprintf(policy, sizeof policy,
                   "Content-Security-Policy: default-src 'none'; script-src 'nonce-%s'; style-src 'nonce-%s'; "
                   "img-src data:; connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'\r\n",
                   nonce, nonce);
    http_request_add_header(req, policy);
    http_request_add_header(req, "X-Content-Type-Options: nosniff\r\n");
    http_request_add_header(req, "Referrer-Policy: no-referrer\r\n");
    http_request_add_header(req, "Vary: Accept\r\n");
    http_respond_take(req, 200, HTML_TYPE, html, len);
}

void page_serve(struct rpcd *app, struct http_request *req)
{
    if (is_stream_path(req))
        streams_open(app->streams, req);
    else
        serve_html(app, req);
}
