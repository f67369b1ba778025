/* op-conductor-rpcd: the JSON-RPC and metrics server of a conductor. Wires its parts together. */
#include "rpcd/commit.h"
#include "rpcd/history.h"
#include "rpcd/link.h"
#include "rpcd/listen.h"
#include "rpcd/metrics.h"
#include "rpcd/rpcd.h"
#include "rpcd/status.h"
#include "rpcd/stream.h"
#include "shared/base/clock.h"
#include "shared/base/log.h"
#include "shared/shm/pages.h"

static void on_beat(uv_timer_t *timer)
{
    const struct rpcd *app = timer->data;
    page_beat(app->worker.page, clock_mono_ns());
}

/* Before the loop sleeps: it is awake, so it need not wake up for the beat soon. */
static void on_prepare(uv_prepare_t *prepare)
{
    uv_timer_t *beat = prepare->data;
    if (uv_timer_get_due_in(beat) > PAGE_BEAT_MS - PAGE_MAY_BEAT_MS)
        return;
    on_beat(beat);
    (void)uv_timer_again(beat);
}

/* Returns 0 or a negative code. */
static int build(struct rpcd *app)
{
    struct http_client_options client;
    http_client_options_init(&client);
    app->status = status_new(app);
    app->metrics = metrics_new(app);
    app->history = history_new();
    app->streams = streams_new(app);
    app->commits = commits_new(app);
    app->client = http_client_new(&app->loop, &client);
    if (app->status == NULL || app->metrics == NULL || app->history == NULL || app->streams == NULL ||
        app->commits == NULL || app->client == NULL || listen_init(app) < 0)
        return -1;
    app->link = link_new(app); /* last: messages may come from now on */
    return app->link == NULL ? -1 : 0;
}

int main(void)
{
    static struct rpcd app;
    static uv_timer_t beat;
    static uv_prepare_t prepare;
    const struct msg_empty page = {0};
    const int code = worker_open(&app.worker, ROLE_RPCD, &app.config, sizeof app.config, sizeof page);
    if (code != 0)
        return code;
    if (uv_loop_init(&app.loop) < 0 || build(&app) < 0) {
        LOG_CRIT("rpcd cannot start: out of memory or file descriptors");
        return WORKER_EXIT_TRY_LATER;
    }
    page_publish(app.worker.page, &page, clock_mono_ns());
    (void)uv_timer_init(&app.loop, &beat);
    beat.data = &app;
    (void)uv_timer_start(&beat, on_beat, PAGE_BEAT_MS, PAGE_BEAT_MS);
    (void)uv_prepare_init(&app.loop, &prepare);
    prepare.data = &beat;
    (void)uv_prepare_start(&prepare, on_prepare);
    (void)uv_run(&app.loop, UV_RUN_DEFAULT); /* until listen_exit */
    return WORKER_EXIT_INTERNAL;
}
