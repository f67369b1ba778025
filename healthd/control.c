/* Commands on op-node as a state machine. */
#include "healthd/control.h"

#include "healthd/jsonrpc.h"
#include "healthd/takeover.h"
#include "shared/base/clock.h"
#include "shared/payload/json.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define MS_NS UINT64_C(1000000)

/* How often unsafe_l2 is read while op-node adopts payloads: soon after a post or a step of the
 * head, less often the longer nothing happens. */
#define POLL_FIRST_NS (3 * MS_NS)
#define POLL_LAST_NS (15 * MS_NS)
/* Payloads that op-node did not take are posted again after this. */
#define REPOST_NS (500 * MS_NS)
/* Between tries of a call that failed in a way that may pass. */
#define RETRY_NS (50 * MS_NS)
#define RETRIES_MAX 5
/* One status call; a hanging op-node is then asked again until the deadline. */
#define STATUS_TIMEOUT_MS 2000
/* How long a STOP waits for the answer to a start that is under way. */
#define START_GRACE_NS (300 * MS_NS)
/* The question that wakes a started op-node; nobody waits for its answer. */
#define WAKE_TIMEOUT_MS 1000

enum stage { STAGE_READ, STAGE_POST, STAGE_START, STAGE_STOP };

struct job {
    uint64_t request_id;
    struct msg_node_cmd cmd;
    struct records *records;
    uint64_t submitted_ns;
};

struct control {
    struct probe *probe;
    const char *url;
    struct control_events events;
    bool may_be_active;
    struct job queue[CONTROL_QUEUE_MAX];
    size_t queued;

    bool busy; /* `job` runs */
    struct job job;
    enum stage stage; /* of the call under way, or of the next one */
    struct rpc_call *call;
    struct rpc_call *waking; /* wake_sequencer's, beside everything else */
    uint64_t wake_ns;        /* with no call under way: when to make the next */
    uint64_t give_up_ns;     /* a STOP waits for this job; 0: none does */
    struct block_id head;    /* op-node's unsafe head as last seen */
    size_t next_post;        /* index of the record to post next */
    size_t post_end;         /* behind the last needed record */
    uint64_t progress_ns;    /* last post or movement of the head */
    unsigned failures;       /* in a row */
    uint32_t posted_count;
    char text[TEXT_SIZE]; /* of the last failure */
};

static void make_call(struct control *c, uint64_t now_ns);

struct control *control_new(struct probe *p, const char *node_url, const struct control_events *events)
{
    struct control *c = calloc(1, sizeof *c);
    if (c == NULL)
        return NULL;
    c->probe = p;
    c->url = node_url;
    c->events = *events;
    return c;
}

void control_free(struct control *c)
{
    if (c == NULL)
        return;
    rpc_cancel(c->call);
    rpc_cancel(c->waking);
    if (c->busy)
        records_close(c->job.records);
    for (size_t i = 0; i < c->queued; i++)
        records_close(c->queue[i].records);
    free(c);
}

bool control_is_idle(const struct control *c)
{
    return !c->busy && c->queued == 0;
}

bool control_may_be_active(const struct control *c)
{
    return c->may_be_active;
}

void control_note_inactive(struct control *c)
{
    if (!c->busy)
        c->may_be_active = false;
}

/* ---- results ---- */

static void give_result(struct control *c, const struct job *job, struct msg_node_result *r, uint64_t now_ns)
{
    r->verb = job->cmd.verb;
    r->duration_us = now_ns > job->submitted_ns ? (now_ns - job->submitted_ns) / 1000 : 0;
    c->events.result(c->events.ctx, job->request_id, r);
}

static void refuse_job(struct control *c, struct job *job, enum node_rc rc, const char *text, uint64_t now_ns)
{
    struct msg_node_result r = {.rc = rc, .sequencer_active = NODE_DONT_KNOW};
    snprintf(r.text, sizeof r.text, "%s", text);
    records_close(job->records);
    job->records = NULL;
    give_result(c, job, &r, now_ns);
}

static void finish(struct control *c, enum node_rc rc, enum node_tristate active, const char *text, uint64_t now_ns)
{
    struct msg_node_result r = {.rc = rc, .sequencer_active = active, .posted_count = c->posted_count, .head = c->head};
    struct job job = c->job;
    snprintf(r.text, sizeof r.text, "%s", text);
    rpc_cancel(c->call);
    c->call = NULL;
    records_close(job.records);
    c->busy = false;
    if (active == NODE_YES)
        c->may_be_active = true;
    else if (active == NODE_NO)
        c->may_be_active = false;
    give_result(c, &job, &r, now_ns);
}

static uint64_t remaining_ms(const struct control *c, uint64_t now_ns)
{
    uint64_t deadline = c->job.cmd.deadline_mono_ns;
    return deadline > now_ns ? (deadline - now_ns + MS_NS - 1) / MS_NS : 1;
}

static void call_later(struct control *c, enum stage stage, uint64_t at_ns)
{
    c->stage = stage;
    c->wake_ns = at_ns;
}

static void read_later(struct control *c, uint64_t now_ns)
{
    uint64_t quiet_ns = now_ns - c->progress_ns;
    uint64_t wait_ns = quiet_ns < POLL_FIRST_NS ? POLL_FIRST_NS : quiet_ns > POLL_LAST_NS ? POLL_LAST_NS : quiet_ns;
    call_later(c, STAGE_READ, now_ns + wait_ns);
}

/* Something that may pass: tries again, but not for ever. */
static void fail_soft(struct control *c, enum node_rc rc, const char *text, enum stage again, uint64_t now_ns)
{
    snprintf(c->text, sizeof c->text, "%s", text);
    if (++c->failures >= RETRIES_MAX) {
        char last[TEXT_SIZE];
        snprintf(last, sizeof last, "%s", c->text);
        finish(c, rc, NODE_DONT_KNOW, last, now_ns);
        return;
    }
    call_later(c, again, now_ns + RETRY_NS);
}

/* ---- answers ---- */

static void on_read(void *ctx, const struct rpc_answer *a)
{
    struct control *c = ctx;
    uint64_t now_ns = clock_mono_ns();
    struct node_status status;
    struct takeover_step step;
    c->call = NULL;
    if (a->rc != NODE_OK) {
        fail_soft(c, a->rc == NODE_REFUSED ? NODE_REFUSED : NODE_UNREACHABLE, a->text, STAGE_READ, now_ns);
        return;
    }
    if (node_status_parse(a->result, &status) != 0) {
        fail_soft(c, NODE_REFUSED, "optimism_syncStatus has no usable unsafe_l2", STAGE_READ, now_ns);
        return;
    }
    c->events.status(c->events.ctx, &status);
    c->failures = 0;
    if (status.unsafe_head.number != c->head.number)
        c->progress_ns = now_ns;
    c->head = status.unsafe_head;
    takeover_decide(&status, c->job.cmd.head_valid ? &c->job.cmd.head : NULL, c->job.records, &step);
    switch (step.act) {
    case TAKEOVER_ADOPTED:
        if (c->job.cmd.verb != NODE_CMD_ADOPT) {
            c->stage = STAGE_START;
            make_call(c, now_ns);
            return;
        }
        /* The sequencer of an adopted op-node runs on under this process's supervisor. */
        c->may_be_active = true;
        finish(c, NODE_OK, NODE_DONT_KNOW, "", now_ns);
        return;
    case TAKEOVER_FAIL:
        finish(c, step.rc, NODE_DONT_KNOW, step.text, now_ns);
        return;
    case TAKEOVER_WAIT:
        snprintf(c->text, sizeof c->text, "op-node has no unsafe head yet");
        call_later(c, STAGE_READ, now_ns + RETRY_NS);
        return;
    case TAKEOVER_POST:
    default:
        break;
    }
    c->post_end = step.needed_end;
    if (c->next_post < step.first_needed || now_ns - c->progress_ns >= REPOST_NS)
        c->next_post = step.first_needed;
    if (c->next_post < c->post_end) {
        c->stage = STAGE_POST;
        make_call(c, now_ns);
    } else {
        read_later(c, now_ns);
    }
}

/* A successful post only means "queued": the head is read afterwards. */
static void on_post(void *ctx, const struct rpc_answer *a)
{
    struct control *c = ctx;
    uint64_t now_ns = clock_mono_ns();
    bool known = a->rc == NODE_REFUSED && strstr(a->text, "duplicate") != NULL;
    c->call = NULL;
    if (a->rc == NODE_REFUSED && (strstr(a->text, "bad block hash") != NULL || rpc_is_unknown_method(a))) {
        finish(c, NODE_REFUSED, NODE_DONT_KNOW, a->text, now_ns);
        return;
    }
    if (a->rc != NODE_OK && !known) {
        fail_soft(c, a->rc == NODE_REFUSED ? NODE_REFUSED : NODE_UNREACHABLE, a->text, STAGE_POST, now_ns);
        return;
    }
    c->failures = 0;
    c->posted_count++;
    c->progress_ns = now_ns;
    c->next_post++;
    if (c->next_post < c->post_end) {
        c->stage = STAGE_POST;
        make_call(c, now_ns);
    } else {
        read_later(c, now_ns);
    }
}

static void on_woken(void *ctx, const struct rpc_answer *a)
{
    struct control *c = ctx;
    (void)a; /* having asked is all */
    c->waking = NULL;
}

/* op-node's event loop does not notice a start by itself: it looks at the sequencer when anything else happens, at the
 * latest after two block times. This question is one that goes through the loop and changes nothing. */
static void wake_sequencer(struct control *c)
{
    char params[32];
    rpc_cancel(c->waking);
    snprintf(params, sizeof params, "[\"0x%" PRIx64 "\"]", c->head.number);
    c->waking = rpc_start(c->probe, c->url, "optimism_outputAtBlock", params, WAKE_TIMEOUT_MS, on_woken, c);
}

static void on_start(void *ctx, const struct rpc_answer *a)
{
    struct control *c = ctx;
    uint64_t now_ns = clock_mono_ns();
    c->call = NULL;
    if (a->rc == NODE_OK) {
        wake_sequencer(c);
        finish(c, NODE_OK, NODE_YES, "", now_ns);
    } else if (a->rc != NODE_REFUSED) {
        /* It may have been carried out: asking for the truth is the caller's next step. */
        finish(c, a->rc, NODE_DONT_KNOW, a->text, now_ns);
    } else if (strstr(a->text, "already running") != NULL || strstr(a->text, "already started") != NULL) {
        finish(c, NODE_ALREADY, NODE_YES, a->text, now_ns);
    } else if (strstr(a->text, "block hash does not match") != NULL || strstr(a->text, "no prestate") != NULL) {
        /* The sequencer's own head lags behind the status: look again until the deadline. */
        snprintf(c->text, sizeof c->text, "%s", a->text);
        call_later(c, c->job.cmd.verb == NODE_CMD_START && c->job.cmd.head_valid ? STAGE_START : STAGE_READ,
                   now_ns + POLL_LAST_NS);
    } else if (strstr(a->text, "not the leader") != NULL || strstr(a->text, "leader check failed") != NULL) {
        fail_soft(c, NODE_REFUSED, a->text, STAGE_START, now_ns);
    } else {
        finish(c, NODE_REFUSED, NODE_DONT_KNOW, a->text, now_ns);
    }
}

static void on_stop(void *ctx, const struct rpc_answer *a)
{
    struct control *c = ctx;
    uint64_t now_ns = clock_mono_ns();
    struct block_id stopped_at = {0};
    c->call = NULL;
    if (a->rc == NODE_OK) {
        if (rpc_get_hash(a->result, stopped_at.hash) == 0 &&
            memcmp(stopped_at.hash, c->head.hash, sizeof stopped_at.hash) == 0)
            stopped_at.number = c->head.number;
        c->head = stopped_at;
        finish(c, NODE_OK, NODE_NO, "", now_ns);
    } else if (a->rc == NODE_REFUSED &&
               (strstr(a->text, "not running") != NULL || strstr(a->text, "already stopped") != NULL)) {
        finish(c, NODE_ALREADY, NODE_NO, a->text, now_ns);
    } else {
        finish(c, a->rc, NODE_DONT_KNOW, a->text, now_ns);
    }
}

/* ---- calls ---- */

static char *post_params(const struct payload_view *view)
{
    size_t len;
    char *json = payload_record_to_json(view, &len);
    char *params = json != NULL ? malloc(len + 3) : NULL;
    if (params != NULL) {
        params[0] = '[';
        memcpy(params + 1, json, len);
        memcpy(params + 1 + len, "]", 2);
    }
    free(json);
    return params;
}

static void start_params(const struct control *c, char *ret, size_t size)
{
    const uint8_t *hash = c->job.cmd.head_valid ? c->job.cmd.head.hash : c->head.hash;
    char digits[2 * HASH_SIZE];
    hex_encode(hash, HASH_SIZE, digits);
    snprintf(ret, size, "[\"0x%.*s\"]", (int)sizeof digits, digits);
}

static void make_call(struct control *c, uint64_t now_ns)
{
    uint64_t left_ms = remaining_ms(c, now_ns);
    char hash[2 * HASH_SIZE + 8];
    char *params;
    switch (c->stage) {
    case STAGE_READ:
        c->call = rpc_start(c->probe, c->url, "optimism_syncStatus", "",
                            left_ms < STATUS_TIMEOUT_MS ? left_ms : STATUS_TIMEOUT_MS, on_read, c);
        break;
    case STAGE_POST:
        params = post_params(records_get(c->job.records, c->next_post));
        if (params != NULL)
            c->call = rpc_start(c->probe, c->url, "admin_postUnsafePayload", params, left_ms, on_post, c);
        free(params);
        break;
    case STAGE_START:
        start_params(c, hash, sizeof hash);
        c->may_be_active = true;
        c->call = rpc_start(c->probe, c->url, "admin_startSequencer", hash, left_ms, on_start, c);
        break;
    case STAGE_STOP:
    default:
        c->call = rpc_start(c->probe, c->url, "admin_stopSequencer", "", left_ms, on_stop, c);
        break;
    }
    if (c->call == NULL)
        finish(c, NODE_REFUSED, NODE_DONT_KNOW, "out of memory", now_ns);
}

static void begin(struct control *c, const struct job *job, uint64_t now_ns)
{
    c->busy = true;
    c->job = *job;
    c->give_up_ns = 0;
    c->next_post = 0;
    c->post_end = 0;
    c->progress_ns = now_ns;
    c->failures = 0;
    c->posted_count = 0;
    c->text[0] = '\0';
    if (job->cmd.verb == NODE_CMD_STOP)
        c->stage = STAGE_STOP;
    else if (job->cmd.verb == NODE_CMD_START && job->cmd.head_valid)
        c->stage = STAGE_START;
    else
        c->stage = STAGE_READ;
    if (c->stage == STAGE_START)
        c->head = job->cmd.head;
    make_call(c, now_ns);
}

/* ---- the queue ---- */

/* Commands that a new one has to wait for: a STOP only for other STOPs. */
static size_t waiting_count(const struct control *c, bool stops_only)
{
    size_t count = 0;
    for (size_t i = 0; i < c->queued; i++)
        count += !stops_only || c->queue[i].cmd.verb == NODE_CMD_STOP;
    return count;
}

static void put_stop_first(struct control *c, const struct job *stop, uint64_t now_ns)
{
    struct job others[CONTROL_QUEUE_MAX];
    size_t count = c->queued;
    memcpy(others, c->queue, sizeof others);
    c->queue[0] = *stop;
    c->queued = 1;
    for (size_t i = 0; i < count; i++) {
        if (others[i].cmd.verb == NODE_CMD_STOP)
            c->queue[c->queued++] = others[i];
        else
            refuse_job(c, &others[i], NODE_REFUSED, "superseded by a stop", now_ns);
    }
    if (c->busy && c->job.cmd.verb != NODE_CMD_STOP)
        c->give_up_ns = now_ns + START_GRACE_NS;
}

void control_submit(struct control *c, uint64_t request_id, const struct msg_node_cmd *cmd, int fd, uint64_t now_ns)
{
    struct job job = {.request_id = request_id, .cmd = *cmd, .submitted_ns = now_ns};
    char text[TEXT_SIZE];
    if (cmd->deadline_mono_ns == 0)
        job.cmd.deadline_mono_ns = now_ns + CONTROL_DEADLINE_DEFAULT_MS * MS_NS;
    if (cmd->verb < NODE_CMD_START || cmd->verb > NODE_CMD_ADOPT) {
        refuse_job(c, &job, NODE_REFUSED, "unknown command", now_ns);
    } else if (waiting_count(c, cmd->verb == NODE_CMD_STOP) == CONTROL_QUEUE_MAX) {
        refuse_job(c, &job, NODE_REFUSED, "too many commands are waiting", now_ns);
    } else if (fd >= 0 && records_open(fd, cmd->record_count, &job.records, text, sizeof text) != 0) {
        refuse_job(c, &job, NODE_REFUSED, text, now_ns);
    } else if (cmd->verb == NODE_CMD_STOP) {
        put_stop_first(c, &job, now_ns);
    } else {
        c->queue[c->queued++] = job;
    }
}

void control_node_down(struct control *c, uint64_t now_ns)
{
    struct job waiting[CONTROL_QUEUE_MAX];
    size_t count = c->queued;
    memcpy(waiting, c->queue, sizeof waiting);
    c->queued = 0;
    c->may_be_active = false;
    if (c->busy)
        finish(c, NODE_UNREACHABLE, NODE_NO, "op-node has exited", now_ns);
    for (size_t i = 0; i < count; i++)
        refuse_job(c, &waiting[i], NODE_UNREACHABLE, "op-node has exited", now_ns);
    memset(&c->head, 0, sizeof c->head);
}

static void describe_timeout(const struct control *c, char *text, size_t size)
{
    if (c->text[0] != '\0')
        snprintf(text, size, "%.*s", (int)sizeof c->text, c->text);
    else if (c->posted_count > 0)
        snprintf(text, size, "op-node took %u payloads but its unsafe head is %llu, not %llu", c->posted_count,
                 (unsigned long long)c->head.number, (unsigned long long)c->job.cmd.head.number);
    else
        snprintf(text, size, "op-node did not answer in time");
}

uint64_t control_tick(struct control *c, uint64_t now_ns)
{
    bool starting = c->call != NULL && c->stage == STAGE_START;
    if (c->busy && c->give_up_ns != 0 && (!starting || now_ns >= c->give_up_ns))
        finish(c, NODE_REFUSED, NODE_DONT_KNOW, "superseded by a stop", now_ns);
    if (c->busy && now_ns >= c->job.cmd.deadline_mono_ns) {
        char text[TEXT_SIZE];
        describe_timeout(c, text, sizeof text);
        finish(c, NODE_TIMEOUT, NODE_DONT_KNOW, text, now_ns);
    }
    if (c->busy && c->call == NULL && now_ns >= c->wake_ns)
        make_call(c, now_ns);
    while (!c->busy && c->queued > 0) {
        struct job job = c->queue[0];
        c->queued--;
        memmove(c->queue, c->queue + 1, c->queued * sizeof c->queue[0]);
        begin(c, &job, now_ns);
    }
    if (!c->busy)
        return UINT64_MAX;
    uint64_t next = c->job.cmd.deadline_mono_ns;
    if (c->give_up_ns != 0 && c->give_up_ns < next)
        next = c->give_up_ns;
    if (c->call == NULL && c->wake_ns < next)
        next = c->wake_ns;
    return next;
}
