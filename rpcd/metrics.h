/* The Prometheus exposition: counts of our own calls and commits, everything else straight from the
 * status pages.
 */
#ifndef OC_RPCD_METRICS_H
#define OC_RPCD_METRICS_H

#include "rpcd/methods.h"
#include "rpcd/rpcd.h"

#include <stdbool.h>
#include <stdint.h>

struct metrics;

/* Borrows app for its life. NULL: out of memory. */
struct metrics *metrics_new(struct rpcd *app);
void metrics_free(struct metrics *m); /* accepts NULL */

/* A call was answered; method NULL: an unknown one. code 0: success. The sizes are those of the JSON of
 * its params and of its result. */
void metrics_count_call(struct metrics *m, const struct method *method, int code, uint64_t took_ns,
                        uint64_t params_bytes, uint64_t result_bytes);
/* A commit was answered; took_ns from its first byte. */
void metrics_count_commit(struct metrics *m, bool ok, bool is_binary, uint64_t took_ns, uint64_t bytes);
void metrics_count_commit_parsed(struct metrics *m, uint64_t took_ns);
/* A commit succeeded: the stamps that consensus sent back. */
void metrics_count_commit_stages(struct metrics *m, const struct commit_stamps *stamps, uint64_t sent_ns,
                                 uint64_t now_ns);

/* The handler of the metrics listener; every path serves the exposition. ctx: struct rpcd. */
void metrics_on_http(void *ctx, struct http_request *req);

#endif
