/* Parsing of a command line written as one string, for the tests of the options. */
#ifndef OC_TESTS_OPTIONS_HELPER_H
#define OC_TESTS_OPTIONS_HELPER_H

#include "supervisor/options.h"

/* The flags that must be set. */
#define REQUIRED                                                                                                       \
    "--consensus.addr=127.0.0.1 --consensus.port 50050 --raft.server.id seq-1 --raft.storage.dir /tmp/raft "           \
    "--node.rpc http://127.0.0.1:8547 --execution.rpc http://127.0.0.1:8551 --healthcheck.interval 1 "                 \
    "--healthcheck.unsafe-interval 60 --healthcheck.min-peer-count 1 "

struct parsed {
    struct options opts;
    struct options_report report;
};

/* Splits `line` at blanks; `env` is "A=1|B=2" or "". The result must be freed with parsed_free. */
enum options_outcome parse_line(struct parsed *p, const char *line, const char *env);
void parsed_free(struct parsed *p);

#endif
