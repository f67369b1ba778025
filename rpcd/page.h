/* The status page for browsers: GET / by a client that asks for text/html. One HTML document without external
 * resources; its tables are filled in here, so that it tells the essentials without JavaScript, and its script
 * follows GET /events (stream.h). Whatever it shows of names and texts is escaped, and its
 * Content-Security-Policy lets nothing run but its own script.
 */
#ifndef OC_RPCD_PAGE_H
#define OC_RPCD_PAGE_H

#include "rpcd/rpcd.h"
#include "rpcd/text.h"
#include "shared/shm/pages.h"

#include <stdbool.h>

/* Pure: whether a client with this Accept header (NULL: none) names text/html. "text/" or "*" with a star do not. */
bool page_is_wanted(const char *accept);

/* Whether the request is for the page or its stream, and these are switched on. Others are not ours to answer. */
bool page_takes(const struct rpcd *app, const struct http_request *req);
void page_serve(struct rpcd *app, struct http_request *req);

/* ---- pieces, for page.c and the tests ---- */

/* What the page shows. */
struct page_view {
    const struct config_common *config;
    bool has_consensus, has_health, has_supervisor; /* the page below is there and fresh */
    struct page_consensus consensus;
    struct page_health health;
    struct page_supervisor supervisor;
    const struct flight_reader *flight; /* NULL: no events */
};

/* Table rows, escaped. */
void page_put_members(const struct page_view *v, struct text *out);
void page_put_facts(const struct page_view *v, struct text *out);
void page_put_processes(const struct page_view *v, struct text *out);
void page_put_events(const struct page_view *v, struct text *out);

/* The whole document; malloc'd. NULL: out of memory. */
char *page_to_html(const struct page_view *v, const char *nonce, size_t *ret_len);

#endif
