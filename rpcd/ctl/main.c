/* conductorctl: the operator's command line, a client of rpcd. */
#include "rpcd/ctl/conductorctl.h"

#include <curl/curl.h>
#include <stdio.h>
#include <stdlib.h>

#define DEFAULT_RPC "http://127.0.0.1:8545"

int main(int argc, char **argv)
{
    struct ctl_request req;
    const char *env = getenv("CONDUCTORCTL_RPC");
    cJSON *result = NULL;
    int code = ctl_parse(argc, argv, env != NULL && env[0] != '\0' ? env : DEFAULT_RPC, &req);
    if (code != CTL_OK) {
        (void)fprintf(stderr, "conductorctl: %s\n", req.error);
        goto out;
    }
    if (req.is_help) {
        ctl_print_help();
        goto out;
    }
    if (req.force_dir != NULL) {
        code = ctl_force(req.force_dir, req.is_yes);
        goto out;
    }
    if (req.warning != NULL && !req.is_yes && !ctl_confirm(req.command, req.warning)) {
        code = CTL_USAGE;
        goto out;
    }
    (void)curl_global_init(CURL_GLOBAL_DEFAULT);
    if (req.is_events)
        code = ctl_events(&req);
    else
        code = ctl_call(stderr, req.rpc, req.method, req.params, &result);
    if (result != NULL)
        ctl_print(&req, result);
    curl_global_cleanup();
out:
    cJSON_Delete(result);
    free(req.params);
    return code;
}
