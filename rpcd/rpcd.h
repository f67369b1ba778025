/* The parts of rpcd and the loop that they share. */
#ifndef OC_RPCD_RPCD_H
#define OC_RPCD_RPCD_H

#include "shared/config/worker_config.h"
#include "shared/http/client.h"
#include "shared/http/server.h"
#include "shared/worker/worker.h"

#include <uv.h>

struct status;
struct link;
struct commits;
struct metrics;
struct history;
struct streams;
struct flight_reader;

struct rpcd {
    uv_loop_t loop;
    struct worker worker;
    struct config_rpcd config;
    struct status *status;
    struct link *link;
    struct commits *commits;
    struct metrics *metrics;
    struct history *history;
    struct streams *streams;
    struct flight_reader *flight; /* NULL: not handed over yet */
    struct http_server *rpc_server;
    struct http_server *metrics_server;
    struct http_client *client;
};

#endif
