/* conductorctl wait-ready: for scripts that go on only when this node can do its part. */
#include "rpcd/ctl/conductorctl.h"
#include "rpcd/ctl/field.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define POLL_PERIOD_MS 100
#define CALL_TIMEOUT_MS 2000
#define TIMEOUT_DEFAULT_S 60
/* What takes less is not worth a word. */
#define QUIET_MS 1000

/* Whether it is as wished; else why not, for people. */
static bool is_reached(const struct ctl_request *req, const cJSON *s, char *ret_why, size_t size)
{
    const char *leader = field_text(field_get(s, "leader"), "id"), *reason = field_text(s, "ready_reason");
    const char *node = field_text(s, "node");
    const bool is_witness = strcmp(reason, "witness") == 0;
    if (leader[0] == '\0')
        (void)snprintf(ret_why, size, "%s knows no leader (%s)", node, field_text(s, "role"));
    else if (req->is_leading && strcmp(leader, node) != 0)
        (void)snprintf(ret_why, size, "%s leads", leader);
    else if (req->is_leading && !field_is(s, "leader_ready"))
        (void)snprintf(ret_why, size, "%s was elected and does not lead yet", node);
    else if (req->is_leading && !field_is(s, "sequencer_active"))
        (void)snprintf(ret_why, size, "%s leads, its op-node does not sequence (%s)", node, reason);
    else if (!req->is_leading && strcmp(reason, "ready") != 0 && !is_witness)
        (void)snprintf(ret_why, size, "%s is not ready: %s%s%s", node, reason,
                       field_text(s, "health_text")[0] != '\0' ? ": " : "", field_text(s, "health_text"));
    else
        return true;
    return false;
}

int ctl_wait_ready(const struct ctl_request *req)
{
    const uint64_t begin_ms = ctl_now_ms();
    const uint64_t timeout_s = req->timeout != NULL ? strtoull(req->timeout, NULL, 10) : TIMEOUT_DEFAULT_S;
    char why[256] = "", told[256] = "";
    for (;;) {
        cJSON *status = NULL;
        const int code = ctl_call_within(NULL, req->rpc, "conductor_status", "[]", CALL_TIMEOUT_MS, &status);
        if (code != CTL_OK)
            (void)snprintf(why, sizeof why, "%.200s does not answer", req->rpc);
        const bool is_done = code == CTL_OK && is_reached(req, status, why, sizeof why);
        if (is_done && req->is_json)
            ctl_print(req, status);
        else if (is_done)
            printf("%s %s\n", field_text(status, "node"), req->is_leading ? "leads and sequences" : "is ready");
        cJSON_Delete(status);
        if (is_done)
            return CTL_OK;
        const uint64_t waited_ms = ctl_now_ms() - begin_ms;
        if (waited_ms / 1000 >= timeout_s) {
            (void)fprintf(stderr, "conductorctl: not within %" PRIu64 " s: %s\n", timeout_s, why);
            return code == CTL_UNREACHABLE ? CTL_UNREACHABLE : CTL_UNMET;
        }
        if (waited_ms > QUIET_MS && strcmp(why, told) != 0) {
            (void)fprintf(stderr, "waiting: %s\n", why);
            memcpy(told, why, sizeof told);
        }
        ctl_pause_ms(POLL_PERIOD_MS);
    }
}
