/* Calls to consensus that are not commits (see members.h). */
#include "rpcd/members.h"

#include "rpcd/link.h"
#include "shared/base/clock.h"
#include "shared/base/err.h"
#include "shared/base/fd.h"
#include "shared/payload/json.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

/* An added voter first catches up; the call must still end before a client's patience does. */
#define MEMBER_TIMEOUT_MS 25000
/* Given to consensus less than we wait, so that its own words arrive. */
#define MEMBER_MARGIN_MS 500
#define PAYLOAD_TIMEOUT_MS 5000
#define ADOPT_TIMEOUT_MS 5000

static void reply_link_error(struct rpc_call *call, int rc)
{
    if (rc == OC_EDEADLINE)
        rpc_reply_error(call, JSONRPC_SERVER, "timed out enqueuing operation");
    else if (rc == OC_ECLOSED)
        rpc_reply_error(call, JSONRPC_SERVER, "consensus is restarting: try again");
    else
        rpc_reply_error(call, JSONRPC_SERVER, "%s", err_text(rc));
}

/* The supervisor does not see these requests, and its flight recorder should. */
static void note_request(const struct rpc_call *call, int rc, const char *text)
{
    struct msg_note note;
    memset(&note, 0, sizeof note);
    note.rc = rc;
    (void)snprintf(note.request, sizeof note.request, "%s", call->msg.method->name);
    (void)snprintf(note.params, sizeof note.params, "%.*s",
                   call->msg.params.len < sizeof note.params ? (int)call->msg.params.len : (int)sizeof note.params - 1,
                   call->msg.params.at);
    (void)snprintf(note.text, sizeof note.text, "%s", text);
    link_tell_supervisor(call->app->link, MSG_NOTE, &note);
}

static void on_member_answer(void *ctx, int rc, const void *body, int *fd)
{
    struct rpc_call *call = ctx;
    struct msg_member_result result;
    (void)fd;
    if (rc < 0) {
        note_request(call, rc, err_text(rc));
        reply_link_error(call, rc);
        return;
    }
    memcpy(&result, body, sizeof result);
    result.text[sizeof result.text - 1] = '\0';
    note_request(call, result.rc, result.text[0] != '\0' ? result.text : err_text(result.rc));
    if (result.rc == 0)
        rpc_reply_null(call);
    else
        rpc_reply_error(call, JSONRPC_SERVER, "%s", result.text[0] != '\0' ? result.text : err_text(result.rc));
}

static bool take_text(struct rpc_call *call, unsigned index, char *buf, size_t size)
{
    if (call->args.value[index].at[0] == 'n')
        return true; /* null: the empty string */
    if (json_string_decode(call->args.value[index], buf, size) >= 0)
        return true;
    rpc_reply_error(call, JSONRPC_INVALID_PARAMS, "invalid argument %u: longer than %zu bytes", index, size - 1);
    return false;
}

static enum member_verb verb_of(enum method_id id)
{
    switch (id) {
    case METHOD_ADD_VOTER:
        return MEMBER_ADD_VOTER;
    case METHOD_ADD_NONVOTER:
        return MEMBER_ADD_NONVOTER;
    case METHOD_REMOVE_SERVER:
        return MEMBER_REMOVE;
    default:
        return MEMBER_DEMOTE;
    }
}

void members_call(struct rpc_call *call)
{
    struct msg_member_op op;
    unsigned next = 1;
    int rc;
    memset(&op, 0, sizeof op);
    const enum member_verb verb = verb_of(call->msg.method->id);
    op.verb = (uint32_t)verb;
    if (!take_text(call, 0, op.id, sizeof op.id))
        return;
    if ((verb == MEMBER_ADD_VOTER || verb == MEMBER_ADD_NONVOTER) && !take_text(call, next++, op.addr, sizeof op.addr))
        return;
    (void)json_u64_decode(call->args.value[next], &op.version); /* null leaves 0 */
    const uint64_t now_ns = clock_mono_ns();
    op.deadline_mono_ns = now_ns + (MEMBER_TIMEOUT_MS - MEMBER_MARGIN_MS) * UINT64_C(1000000);
    if (link_request(call->app->link, ROLE_CONSENSUS, MSG_MEMBER_OP, &op, -1,
                     now_ns + MEMBER_TIMEOUT_MS * UINT64_C(1000000), on_member_answer, call, &rc) == 0)
        reply_link_error(call, rc);
}

static bool take_hash(struct rpc_call *call, unsigned index, uint8_t ret_hash[HASH_SIZE])
{
    char text[2 * HASH_SIZE + 8];
    if (json_string_decode(call->args.value[index], text, sizeof text) == 2 + 2 * HASH_SIZE && text[0] == '0' &&
        text[1] == 'x' && hex_decode(text + 2, 2 * (size_t)HASH_SIZE, ret_hash) == 0)
        return true;
    rpc_reply_error(call, JSONRPC_INVALID_PARAMS, "invalid argument %u: want a block hash, 0x and 64 hex digits",
                    index);
    return false;
}

void members_adopt_head(struct rpc_call *call)
{
    struct msg_adopt_head adopt;
    int rc;
    memset(&adopt, 0, sizeof adopt);
    if (json_u64_decode(call->args.value[0], &adopt.head.number) != 0) {
        rpc_reply_error(call, JSONRPC_INVALID_PARAMS, "invalid argument 0: want a block number");
        return;
    }
    if (!take_hash(call, 1, adopt.head.hash))
        return;
    const uint64_t now_ns = clock_mono_ns();
    adopt.deadline_mono_ns = now_ns + (ADOPT_TIMEOUT_MS - MEMBER_MARGIN_MS) * UINT64_C(1000000);
    if (link_request(call->app->link, ROLE_CONSENSUS, MSG_ADOPT_HEAD, &adopt, -1,
                     now_ns + ADOPT_TIMEOUT_MS * UINT64_C(1000000), on_member_answer, call, &rc) == 0)
        reply_link_error(call, rc);
}

/* A payload on its way to the client. */
struct shown_payload {
    uv_work_t work;
    struct rpc_call *call;
    void *map;
    size_t map_bytes;
    char *json, *text; /* text: the whole answer, NULL when only the result could be made */
    size_t json_len, text_len;
};

static void make_json(struct shown_payload *p)
{
    struct payload_view view;
    if (payload_view_parse(p->map, p->map_bytes, &view) == 0)
        p->json = payload_record_to_json(&view, &p->json_len);
}

static void make_in_thread(uv_work_t *work)
{
    struct shown_payload *p = work->data;
    make_json(p);
    if (p->json != NULL)
        p->text = rpc_wrap_result(p->call, p->json, p->json_len, &p->text_len);
}

static void finish_payload(struct shown_payload *p)
{
    (void)munmap(p->map, p->map_bytes);
    if (p->json == NULL)
        rpc_reply_error(p->call, JSONRPC_SERVER, "the payload cannot be shown");
    else if (p->text != NULL)
        rpc_reply_wrapped(p->call, p->text, p->text_len, p->json_len);
    else
        rpc_reply_json(p->call, p->json, p->json_len);
    free(p->json);
    free(p);
}

static void on_made(uv_work_t *work, int status)
{
    (void)status; /* never cancelled */
    finish_payload(work->data);
}

static void reply_payload(struct rpc_call *call, int fd)
{
    struct shown_payload *p = NULL;
    uint64_t bytes;
    if (fd < 0 || fd_check_sealed(fd, F_SEAL_SHRINK | F_SEAL_WRITE, &bytes) < 0 || bytes == 0) {
        rpc_reply_error(call, JSONRPC_SERVER, "consensus sent an unusable payload");
        return;
    }
    void *const map = mmap(NULL, bytes, PROT_READ, MAP_SHARED, fd, 0);
    if (map == MAP_FAILED || (p = calloc(1, sizeof *p)) == NULL) {
        if (map != MAP_FAILED)
            (void)munmap(map, bytes);
        rpc_reply_error(call, JSONRPC_SERVER, "out of memory");
        return;
    }
    p->call = call;
    p->map = map;
    p->map_bytes = bytes;
    p->work.data = p;
    if (bytes > RPC_LOOP_MAX_BYTES && uv_queue_work(&call->app->loop, &p->work, make_in_thread, on_made) == 0)
        return;
    make_json(p);
    finish_payload(p);
}

static void on_payload(void *ctx, int rc, const void *body, int *fd)
{
    struct rpc_call *call = ctx;
    struct msg_payload_result result;
    if (rc < 0) {
        reply_link_error(call, rc);
        return;
    }
    memcpy(&result, body, sizeof result);
    if (result.rc == OC_EUNKNOWN)
        rpc_reply_null(call);
    else if (result.rc != 0)
        rpc_reply_error(call, JSONRPC_SERVER, "%s", err_text(result.rc));
    else
        reply_payload(call, *fd);
}

void members_latest_payload(struct rpc_call *call)
{
    const struct msg_payload_get get = {0};
    int rc;
    if (link_request(call->app->link, ROLE_CONSENSUS, MSG_PAYLOAD_GET, &get, -1,
                     clock_mono_ns() + PAYLOAD_TIMEOUT_MS * UINT64_C(1000000), on_payload, call, &rc) == 0)
        reply_link_error(call, rc);
}
