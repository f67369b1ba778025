/* conductorctl: the operator's command line, a client of rpcd. */
#include "rpcd/ctl/conductorctl.h"

#include <curl/curl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Tells what it means and asks. Returns CTL_OK to go on. */
static int ask_first(const struct ctl_request *req)
{
    char what[64], impact[1024];
    cJSON *status = NULL;
    if (req->is_yes || (!req->is_dangerous && req->warning == NULL))
        return CTL_OK;
    (void)snprintf(what, sizeof what, "%s%s%s", req->command, req->sub != NULL ? " " : "",
                   req->sub != NULL ? req->sub : "");
    if (req->warning != NULL)
        return ctl_confirm(what, req->warning, true) ? CTL_OK : CTL_USAGE;
    int code = ctl_call(stderr, req->rpc, "conductor_status", "[]", &status);
    if (code == CTL_OK && ctl_describe_impact(req, status, impact, sizeof impact) && !ctl_confirm(what, impact, false))
        code = CTL_USAGE;
    cJSON_Delete(status);
    return code;
}

/* The method transfers nothing when another node leads, and succeeds, as the Go op-conductor's does: "done" would
 * deceive. */
static int check_leads(const struct ctl_request *req)
{
    cJSON *leads = NULL;
    if (strcmp(req->command, "transfer") != 0 || req->word_count > 0)
        return CTL_OK;
    int code = ctl_call(stderr, req->rpc, "conductor_leader", "[]", &leads);
    if (code == CTL_OK && cJSON_IsFalse(leads)) {
        (void)fprintf(stderr, "conductorctl: refused: this node does not lead, so it has nothing to hand over\n");
        ctl_hint_leader(req);
        code = CTL_REFUSED;
    }
    cJSON_Delete(leads);
    return code;
}

static int run(const struct ctl_request *req)
{
    cJSON *result = NULL;
    int code = ask_first(req);
    if (code == CTL_OK)
        code = check_leads(req);
    if (code != CTL_OK)
        return code;
    if (req->run != NULL)
        return req->run(req);
    code = ctl_call(stderr, req->rpc, req->method, req->params, &result);
    if (result != NULL)
        ctl_print(req, result);
    if (code == CTL_REFUSED)
        ctl_hint_leader(req);
    cJSON_Delete(result);
    return code;
}

int main(int argc, char **argv)
{
    struct ctl_request req;
    char rpc_default[CTL_RPC_SIZE];
    ctl_default_rpc(rpc_default, sizeof rpc_default);
    int code = ctl_parse(argc, argv, rpc_default, &req);
    if (code != CTL_OK) {
        (void)fprintf(stderr, "conductorctl: %s\n", req.error);
    } else if (req.is_help) {
        ctl_print_help();
    } else if (req.is_version) {
        printf("conductorctl version %s\n", OC_VERSION);
    } else {
        (void)curl_global_init(CURL_GLOBAL_DEFAULT);
        code = run(&req);
        if (code == CTL_UNREACHABLE)
            ctl_hint_unreachable(&req);
        curl_global_cleanup();
    }
    free(req.params);
    const int flushed = ctl_flush(); /* half an answer must not look like a whole one */
    return code == CTL_OK ? flushed : code;
}
