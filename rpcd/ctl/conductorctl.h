/* The parts of conductorctl. */
#ifndef OC_RPCD_CTL_CONDUCTORCTL_H
#define OC_RPCD_CTL_CONDUCTORCTL_H

#include <cjson/cJSON.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

enum ctl_exit { CTL_OK = 0, CTL_REFUSED = 1, CTL_USAGE = 2, CTL_UNREACHABLE = 3 };

/* What the command line asks for. */
struct ctl_request {
    bool is_help, is_json, is_events, is_follow;
    const char *rpc;     /* URL */
    const char *command; /* as typed */
    const char *method;  /* to call */
    char *params;        /* a JSON array, malloc'd */
    const char *since;   /* events: numbers as typed, or NULL */
    const char *limit;
    char error[512];       /* of a usage error */
    bool is_yes;           /* --yes: do not ask */
    const char *force_dir; /* force-new-cluster: nothing is called; else NULL */
    const char *warning;   /* what it may cost: asked twice before; NULL: nothing */
};

/* Reads the command line; rpc_default is used without --rpc. Returns 0 or CTL_USAGE with error set.
 * params is to be freed. */
int ctl_parse(int argc, char **argv, const char *rpc_default, struct ctl_request *ret);
void ctl_print_help(void);

/* One call. Returns CTL_OK with *ret_result (the caller deletes it), or another code after having
 * said why on `err` (NULL: silently). */
int ctl_call(FILE *err, const char *url, const char *method, const char *params, cJSON **ret_result);

/* The command events: prints them, and goes on until interrupted if asked to. Returns an exit code. */
int ctl_events(const struct ctl_request *req);
/* One event for people, and a duration ("" for 0). */
void ctl_print_event(FILE *out, const cJSON *event);
void ctl_format_duration(uint64_t us, char *ret, size_t size);

/* Asks twice whether it is to be done, on the terminal. False: no, or nobody to ask (said on stderr). */
bool ctl_confirm(const char *what, const char *warning);

/* Becomes op-conductor-consensus --force-new-cluster. Returns only on failure, having said why on stderr. */
int ctl_force(const char *dir, bool is_yes);

/* Shows a result: for people, or as JSON. */
void ctl_print(const struct ctl_request *req, const cJSON *result);

#endif
