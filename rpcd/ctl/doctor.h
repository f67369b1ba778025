/* What doctor finds. The judging is pure; asking and measuring are in doctor.c. */
#ifndef OC_RPCD_CTL_DOCTOR_H
#define OC_RPCD_CTL_DOCTOR_H

#include "rpcd/ctl/bench.h"

#include <cjson/cJSON.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define DOCTOR_FINDINGS_MAX 96

enum doctor_severity { DOCTOR_OK, DOCTOR_WARNING, DOCTOR_ERROR };

struct doctor_finding {
    enum doctor_severity severity;
    const char *check; /* a word for programs */
    char text[320];    /* what is so */
    char fix[320];     /* what to do; "" when all is well */
};

struct doctor_report {
    unsigned count; /* further findings are dropped */
    struct doctor_finding findings[DOCTOR_FINDINGS_MAX];
};

/* Every judgement adds at least one finding, also when all is well. `status` is a conductor_status. */

/* The node itself: its processes, op-node, health, switches. */
void doctor_judge_node(struct doctor_report *r, const cJSON *status);
/* The cluster as that node sees it: leader, majority and its margin, contact, readiness, heads, clocks. */
void doctor_judge_cluster(struct doctor_report *r, const cJSON *status);
/* Another conductor's own status, NULL if it did not answer at `url`: same cluster, members, version. */
void doctor_judge_peer(struct doctor_report *r, const cJSON *status, const char *url, const cJSON *peer);
/* `where` for the text. */
void doctor_judge_disk(struct doctor_report *r, const char *where, const struct bench_result *bench,
                       uint64_t block_time_ms);

/* Adds one finding. */
__attribute__((format(printf, 5, 6))) void doctor_add(struct doctor_report *r, enum doctor_severity severity,
                                                      const char *check, const char *fix, const char *format, ...);
enum doctor_severity doctor_worst(const struct doctor_report *r);

#endif
