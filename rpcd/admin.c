/* Admin calls to the supervisor, each with a deadline (see admin.h). */
#include "rpcd/admin.h"

#include "rpcd/link.h"
#include "shared/base/clock.h"
#include "shared/base/err.h"

#include <stdio.h>
#include <string.h>

/* Switches are quick; what moves leadership or processes takes longer. */
#define SWITCH_TIMEOUT_MS 5000
#define LONG_TIMEOUT_MS 20000

static const struct admin_row {
    enum method_id method;
    enum admin_verb verb;
    uint32_t timeout_ms;
    const char *timeout_text;
} rows[] = {
    {METHOD_PAUSE, ADMIN_PAUSE, SWITCH_TIMEOUT_MS, "timeout to pause conductor"},
    {METHOD_RESUME, ADMIN_RESUME, LONG_TIMEOUT_MS, "timeout to resume conductor"},
    {METHOD_STOP, ADMIN_STOP, LONG_TIMEOUT_MS, "timeout to stop conductor"},
    {METHOD_OVERRIDE_LEADER, ADMIN_OVERRIDE, SWITCH_TIMEOUT_MS, "timeout to override leader"},
    {METHOD_TRANSFER_LEADER, ADMIN_TRANSFER, LONG_TIMEOUT_MS, "leadership transfer timeout"},
    {METHOD_TRANSFER_LEADER_TO, ADMIN_TRANSFER_TO, LONG_TIMEOUT_MS, "leadership transfer timeout"},
    {METHOD_START_NODE, ADMIN_NODE_START, LONG_TIMEOUT_MS, "timeout to start op-node"},
    {METHOD_STOP_NODE, ADMIN_NODE_STOP, LONG_TIMEOUT_MS, "timeout to stop op-node"},
    {METHOD_RESTART_NODE, ADMIN_NODE_RESTART, LONG_TIMEOUT_MS, "timeout to restart op-node"},
    {METHOD_RESTART_WORKER, ADMIN_RESTART_WORKER, LONG_TIMEOUT_MS, "timeout to restart the worker"},
};

static const struct admin_row *row_of(enum method_id id)
{
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++)
        if (rows[i].method == id)
            return &rows[i];
    return NULL;
}

static void on_answer(void *ctx, int rc, const void *body, int *fd)
{
    struct rpc_call *call = ctx;
    struct msg_admin_result result;
    (void)fd;
    if (rc == OC_EDEADLINE) {
        rpc_reply_error(call, JSONRPC_SERVER, "%s", row_of(call->msg.method->id)->timeout_text);
    } else if (rc < 0) {
        rpc_reply_error(call, JSONRPC_SERVER, "%s", err_text(rc));
    } else {
        memcpy(&result, body, sizeof result);
        result.text[sizeof result.text - 1] = '\0';
        if (result.rc == 0)
            rpc_reply_null(call);
        else
            rpc_reply_error(call, JSONRPC_SERVER, "%s", result.text[0] != '\0' ? result.text : err_text(result.rc));
    }
}

static bool take_text(struct rpc_call *call, unsigned index, char *buf, size_t size)
{
    if (call->args.value[index].at[0] == 'n') { /* null: the empty string */
        buf[0] = '\0';
        return true;
    }
    if (json_string_decode(call->args.value[index], buf, size) >= 0)
        return true;
    rpc_reply_error(call, JSONRPC_INVALID_PARAMS, "invalid argument %u: longer than %zu bytes", index, size - 1);
    return false;
}

void admin_call(struct rpc_call *call)
{
    const struct admin_row *row = row_of(call->msg.method->id);
    struct msg_admin admin;
    int rc;
    memset(&admin, 0, sizeof admin);
    admin.verb = (uint32_t)row->verb;
    if (row->verb == ADMIN_OVERRIDE)
        admin.flag = call->args.value[0].at[0] == 't';
    if ((row->verb == ADMIN_TRANSFER_TO || row->verb == ADMIN_RESTART_WORKER) &&
        !take_text(call, 0, admin.id, sizeof admin.id))
        return;
    if (row->verb == ADMIN_TRANSFER_TO && !take_text(call, 1, admin.addr, sizeof admin.addr))
        return;
    const uint64_t deadline_ns = clock_mono_ns() + row->timeout_ms * UINT64_C(1000000);
    if (link_request(call->app->link, ROLE_SUPERVISOR, MSG_ADMIN, &admin, -1, deadline_ns, on_answer, call, &rc) == 0)
        rpc_reply_error(call, JSONRPC_SERVER, "%s", err_text(rc));
}
