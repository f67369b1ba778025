/* HTTP servers on handed-over listeners; draining (see listen.h). */
#include "rpcd/listen.h"

#include "rpcd/metrics.h"
#include "rpcd/peercred.h"
#include "rpcd/rpc.h"
#include "shared/base/clock.h"
#include "shared/base/err.h"
#include "shared/base/log.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

/* Connections of the exposition: few scrapers, small requests. */
#define METRICS_CONNECTIONS_MAX 64
#define DRAIN_PERIOD_MS 5
#define DRAIN_QUIET_PERIODS 20

static uv_timer_t drain_timer;

int listen_init(struct rpcd *app)
{
    struct http_server_options options;
    http_server_options_init(&options);
    if (app->config.max_body_bytes > 0)
        options.max_body_bytes = app->config.max_body_bytes;
    options.handler = rpc_on_http;
    options.ctx = app;
    app->rpc_server = http_server_new(&app->loop, &options);
    http_server_options_init(&options);
    options.max_body_bytes = 4096;
    options.max_connections = METRICS_CONNECTIONS_MAX;
    options.handler = metrics_on_http;
    options.ctx = app;
    app->metrics_server = http_server_new(&app->loop, &options);
    return app->rpc_server == NULL || app->metrics_server == NULL ? -ENOMEM : 0;
}

int listen_take(struct rpcd *app, struct chan_msg *msg)
{
    struct msg_listener listener;
    memcpy(&listener, msg->body, sizeof listener);
    const int fd = msg->fd;
    if (listener.kind != LISTENER_RPC && listener.kind != LISTENER_METRICS && listener.kind != LISTENER_ADMIN)
        return OC_EPROTO;
    msg->fd = -1;
    const int rc =
        http_server_add_guarded_listener(listener.kind == LISTENER_METRICS ? app->metrics_server : app->rpc_server, fd,
                                         listener.kind == LISTENER_ADMIN ? peercred_refuse : NULL);
    if (rc < 0)
        LOG_ERROR("Cannot serve a listener", LOG_U("kind", listener.kind), LOG_U("port", listener.port), LOG_E(rc));
    else
        LOG_DEBUG("Serving", LOG_U("kind", listener.kind), LOG_U("port", listener.port));
    return rc;
}

_Noreturn void listen_exit(struct rpcd *app, int code)
{
    worker_close(&app->worker);
    _Exit(code);
}

static void on_drain(uv_timer_t *timer)
{
    static unsigned quiet_periods; /* with nothing to answer, but perhaps answers still on their way out */
    struct rpcd *app = timer->data;
    quiet_periods = http_server_pending_count(app->rpc_server) == 0 ? quiet_periods + 1 : 0;
    const bool is_done = quiet_periods > 0 && http_server_connection_count(app->rpc_server) == 0;
    if (is_done || quiet_periods > DRAIN_QUIET_PERIODS || clock_mono_ns() >= app->worker.drain_deadline_ns)
        listen_exit(app, WORKER_EXIT_OK);
}

void listen_drain(struct rpcd *app, uint64_t deadline_ns)
{
    app->worker.drain_deadline_ns = deadline_ns;
    http_server_stop_accepting(app->rpc_server);
    http_server_stop_accepting(app->metrics_server);
    (void)uv_timer_init(&app->loop, &drain_timer);
    drain_timer.data = app;
    (void)uv_timer_start(&drain_timer, on_drain, DRAIN_PERIOD_MS, DRAIN_PERIOD_MS);
}
