/* conductorctl doctor: asks, measures, and says what is wrong and how to mend it. */
#include "rpcd/ctl/doctor.h"

#include "rpcd/ctl/conductorctl.h"
#include "rpcd/ctl/field.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define CALL_TIMEOUT_MS 5000
#define BLOCK_TIME_DEFAULT_MS 2000
#define BLOCK_BYTES ((size_t)128 << 10)

/* The leader's op-node tells through the proxy. */
static uint64_t find_block_time_ms(const struct ctl_request *req)
{
    cJSON *config = NULL;
    uint64_t ms = req->block_time != NULL ? strtoull(req->block_time, NULL, 10) : 0;
    if (ms == 0 && ctl_call_within(NULL, req->rpc, "optimism_rollupConfig", "[]", CALL_TIMEOUT_MS, &config) == CTL_OK)
        ms = field_number(config, "block_time") * 1000;
    cJSON_Delete(config);
    return ms != 0 ? ms : BLOCK_TIME_DEFAULT_MS;
}

static void check_peers(struct doctor_report *r, const struct ctl_request *req, const cJSON *status)
{
    for (unsigned i = 0; i < req->word_count; i++) {
        cJSON *peer = NULL;
        (void)ctl_call_within(NULL, req->words[i], "conductor_status", "[]", CALL_TIMEOUT_MS, &peer);
        doctor_judge_peer(r, status, req->words[i], peer);
        cJSON_Delete(peer);
    }
}

static void check_disk(struct doctor_report *r, const struct ctl_request *req)
{
    struct bench_result bench;
    if (req->dir == NULL)
        return;
    (void)fprintf(stderr, "measuring the disk of %s\n", req->dir);
    const int rc = bench_run(req->dir, BLOCK_BYTES, &bench);
    if (rc < 0)
        doctor_add(r, DOCTOR_ERROR, "disk", "give a directory that this user can write to, on the disk of the Raft log",
                   "cannot write in %.200s: %s", req->dir, strerror(-rc));
    else
        doctor_judge_disk(r, req->dir, &bench, find_block_time_ms(req));
}

static const char *const names[] = {[DOCTOR_OK] = "ok", [DOCTOR_WARNING] = "warning", [DOCTOR_ERROR] = "error"};

static void print_json(const struct doctor_report *r)
{
    cJSON *list = cJSON_CreateArray();
    for (unsigned i = 0; i < r->count; i++) {
        cJSON *item = cJSON_CreateObject();
        (void)cJSON_AddStringToObject(item, "severity", names[r->findings[i].severity]);
        (void)cJSON_AddStringToObject(item, "check", r->findings[i].check);
        (void)cJSON_AddStringToObject(item, "text", r->findings[i].text);
        (void)cJSON_AddStringToObject(item, "fix", r->findings[i].fix);
        (void)cJSON_AddItemToArray(list, item);
    }
    char *text = cJSON_Print(list);
    printf("%s\n", text != NULL ? text : "out of memory");
    free(text);
    cJSON_Delete(list);
}

static void print_text(const struct doctor_report *r)
{
    unsigned counts[3] = {0};
    for (unsigned i = 0; i < r->count; i++) {
        const struct doctor_finding *f = &r->findings[i];
        counts[f->severity]++;
        printf("%-8s %s\n", names[f->severity], f->text);
        if (f->fix[0] != '\0')
            printf("%-8s fix: %s\n", "", f->fix);
    }
    printf("%u error%s, %u warning%s\n", counts[DOCTOR_ERROR], counts[DOCTOR_ERROR] == 1 ? "" : "s",
           counts[DOCTOR_WARNING], counts[DOCTOR_WARNING] == 1 ? "" : "s");
}

int ctl_doctor(const struct ctl_request *req)
{
    static const int codes[] = {[DOCTOR_OK] = CTL_OK, [DOCTOR_WARNING] = CTL_WARNED, [DOCTOR_ERROR] = CTL_UNMET};
    struct doctor_report *r = calloc(1, sizeof *r);
    cJSON *status = NULL;
    int code = ctl_call_within(stderr, req->rpc, "conductor_status", "[]", CALL_TIMEOUT_MS, &status);
    if (r == NULL || code != CTL_OK)
        goto out;
    doctor_judge_node(r, status);
    doctor_judge_cluster(r, status);
    check_peers(r, req, status);
    check_disk(r, req);
    if (req->is_json)
        print_json(r);
    else
        print_text(r);
    code = codes[doctor_worst(r)];
out:
    cJSON_Delete(status);
    free(r);
    return code;
}
