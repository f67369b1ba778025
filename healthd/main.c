/* op-conductor-healthd: asks op-node how it is, and carries out the supervisor's commands on it. */
#include "healthd/loop.h"
#include "shared/base/log.h"
#include "shared/shm/pages.h"

#include <curl/curl.h>

int main(void)
{
    static struct config_healthd config;
    struct worker worker;
    int code = worker_open(&worker, ROLE_HEALTHD, &config, sizeof config, sizeof(struct page_health));
    if (code != 0)
        return code;
    if (curl_global_init(CURL_GLOBAL_DEFAULT) != CURLE_OK) {
        LOG_ERROR("libcurl cannot be initialised");
        worker_close(&worker);
        return WORKER_EXIT_INTERNAL;
    }
    code = healthd_run(&worker, &config);
    worker_close(&worker);
    curl_global_cleanup();
    return code;
}
