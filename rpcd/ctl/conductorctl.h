/* The parts of conductorctl. */
#ifndef OC_RPCD_CTL_CONDUCTORCTL_H
#define OC_RPCD_CTL_CONDUCTORCTL_H

#include <cjson/cJSON.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

enum ctl_exit {
    CTL_OK = 0,
    CTL_REFUSED = 1, /* by the server, by the operator, or because it cannot be done */
    CTL_USAGE = 2,
    CTL_UNREACHABLE = 3,
    CTL_UNMET = 4,  /* wait-ready: not in time; doctor, bench-disk: something is wrong */
    CTL_WARNED = 5, /* doctor, bench-disk: something deserves attention */
};

#define CTL_WORDS_MAX 24
#define CTL_RPC_SIZE 2048
/* Where op-conductor.service makes its admin socket. */
#define CTL_ADMIN_SOCKET "/run/op-conductor/admin.sock"

struct ctl_request;
typedef int (*ctl_run_fn)(const struct ctl_request *req);

/* What the command line asks for. */
struct ctl_request {
    bool is_help, is_version, is_json, is_events, is_follow, is_watch, is_leading, is_ready;
    bool is_yes;         /* --yes: do not ask */
    const char *rpc;     /* URL, or the path of a Unix socket */
    bool is_rpc_given;   /* by --rpc */
    const char *command; /* as typed */
    const char *sub;     /* its second word ("node stop"), or NULL */
    const char *method;  /* to call */
    ctl_run_fn run;      /* does it instead of one call; else NULL */
    char *params;        /* a JSON array, malloc'd */
    const char *since;   /* numbers as typed, or NULL */
    const char *limit;
    const char *lines;
    const char *timeout;    /* seconds */
    const char *block_time; /* milliseconds */
    const char *dir;
    char *words[CTL_WORDS_MAX]; /* the arguments behind the command */
    unsigned word_count;
    char error[512];     /* of a usage error */
    bool is_dangerous;   /* sequencing may suffer: asked once before */
    const char *warning; /* acknowledged blocks may be lost: asked twice before; NULL: no */
};

/* Reads the command line; rpc_default is used without --rpc. Returns 0 or CTL_USAGE with error set.
 * params is to be freed. */
int ctl_parse(int argc, char **argv, const char *rpc_default, struct ctl_request *ret);
void ctl_print_help(void);

/* Where this machine's conductor has its admin socket; "": nowhere. In a container conductorctl has the conductor's own
 * environment, so that says it; else it is the service's. */
const char *ctl_admin_socket(void);
/* Where to ask without --rpc: $CONDUCTORCTL_RPC, the admin socket if this user may use it, or the port that the
 * environment has for op-conductor, or its default. */
void ctl_default_rpc(char *ret, size_t size);
/* Says on stderr what might help when the default could not be reached. */
void ctl_hint_unreachable(const struct ctl_request *req);
/* Says on stderr who leads when the request was refused by another one and only the leader could have done it. */
void ctl_hint_leader(const struct ctl_request *req);

/* One call. Returns CTL_OK with *ret_result (the caller deletes it), or another code after having
 * said why on `err` (NULL: silently). */
int ctl_call(FILE *err, const char *rpc, const char *method, const char *params, cJSON **ret_result);
/* The same with a time limit of its own, for what is asked again and again. */
int ctl_call_within(FILE *err, const char *rpc, const char *method, const char *params, long timeout_ms,
                    cJSON **ret_result);

/* One look of a command that goes on looking: the request's method. If the conductor cannot be reached and `can_wait`,
 * that is said the first time (*is_lost, which begins as false), and CTL_OK returned without a result. */
int ctl_call_again(const struct ctl_request *req, const char *params, bool can_wait, bool *is_lost, cJSON **ret_result);

/* The command events: prints them, and goes on until interrupted if asked to. Returns an exit code. */
int ctl_events(const struct ctl_request *req);
/* The command node logs, likewise. */
int ctl_node_logs(const struct ctl_request *req);
/* One event for people; a duration ("" for 0); a wall time as local date and time. */
void ctl_print_event(FILE *out, const cJSON *event);
void ctl_format_duration(uint64_t us, char *ret, size_t size);
#define CTL_TIME_SIZE 96
void ctl_format_time(uint64_t wall_ms, char *ret, size_t size);

/* Asks on the terminal whether it is to be done, twice if `is_twice`. False: no, or nobody to ask (said on stderr). */
bool ctl_confirm(const char *what, const char *warning, bool is_twice);
/* Pure: what the dangerous command means for sequencing, as sentences, by the status of the node asked. Returns false
 * when it means nothing, so that nobody needs to be asked. */
bool ctl_describe_impact(const struct ctl_request *req, const cJSON *status, char *ret, size_t size);

/* Becomes op-conductor-consensus, which owns the storage, with the command as its option. Returns only on failure,
 * having said why on stderr. */
int ctl_storage(const struct ctl_request *req);

/* Commands that are more than one call; each returns an exit code. */
int ctl_wait_ready(const struct ctl_request *req);
int ctl_bootstrap(const struct ctl_request *req);
int ctl_doctor(const struct ctl_request *req);
int ctl_bench_disk(const struct ctl_request *req);
int ctl_watch(const struct ctl_request *req);

/* Shows a result: for people, or as JSON. */
void ctl_print(const struct ctl_request *req, const cJSON *result);
/* Whether all that was printed has gone out: CTL_OK, or CTL_REFUSED after having said why not (a full disk; that a
 * reader has gone needs no words). */
int ctl_flush(void);
/* One compact line of JSON; `value` NULL: out of memory. */
void ctl_print_json_line(const cJSON *value);
/* A text that others wrote, without what could command a terminal: control characters are shown as \x1b. Colours are
 * kept if it goes to a terminal and end with the text, else they are left out. */
void ctl_print_plain(FILE *out, const char *text, bool is_terminal);
/* The same in place, for text among our own: every control character becomes "?", but a line break if it may have
 * those. */
void ctl_make_plain(char *text, bool has_lines);
/* The cluster as a table, by the status of one node. */
void ctl_print_cluster(FILE *out, const cJSON *status);
/* Pure: what a member is doing, as one to three words; `server` is an element of status' "servers". */
void ctl_describe_member(const cJSON *status, const cJSON *server, char *ret, size_t size);

/* ---- time ---- */

/* CLOCK_MONOTONIC and CLOCK_REALTIME. */
uint64_t ctl_now_ms(void);
uint64_t ctl_wall_ms(void);
/* Sleeps after what was printed has gone out. */
void ctl_pause_ms(long ms);
/* From now on Ctrl-C (and SIGTERM) ends the program at once, as done: for what has no end of its own. */
void ctl_end_when_interrupted(void);

#endif
