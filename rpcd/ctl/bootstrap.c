/* conductorctl bootstrap: the cluster of a list of members, out of conductors that were started. */
#include "rpcd/ctl/conductorctl.h"
#include "rpcd/ctl/field.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define TIMEOUT_DEFAULT_S 60
#define POLL_PERIOD_MS 200
#define STATUS_TIMEOUT_MS 2000

struct wanted {
    char name[128], addr[256];
    char rpc[300]; /* "": not given */
};

struct forming {
    const struct ctl_request *req;
    struct wanted members[CTL_WORDS_MAX];
    unsigned count;
    const char *leader_rpc;
    uint64_t end_ms;
};

/* ---- the list ---- */

/* NAME=HOST:PORT[@RPC]; an RPC may be written without its http://. */
static bool parse_member(const char *word, struct wanted *ret)
{
    const char *equals = strchr(word, '='), *at = strchr(word, '@');
    const size_t name_len = equals != NULL ? (size_t)(equals - word) : 0;
    if (name_len == 0 || name_len >= sizeof ret->name || (at != NULL && at < equals))
        return false;
    const size_t addr_len = at != NULL ? (size_t)(at - equals - 1) : strlen(equals + 1);
    if (addr_len == 0 || addr_len >= sizeof ret->addr)
        return false;
    (void)snprintf(ret->name, sizeof ret->name, "%.*s", (int)name_len, word);
    (void)snprintf(ret->addr, sizeof ret->addr, "%.*s", (int)addr_len, equals + 1);
    const char *colon = strrchr(ret->addr, ':');
    if (colon == NULL || colon == ret->addr || colon[1] == '\0' || strspn(colon + 1, "0123456789") != strlen(colon + 1))
        return false;
    ret->rpc[0] = '\0';
    if (at == NULL)
        return true;
    const bool has_scheme = strstr(at, "://") != NULL || at[1] == '/';
    return at[1] != '\0' &&
           snprintf(ret->rpc, sizeof ret->rpc, "%s%s", has_scheme ? "" : "http://", at + 1) < (int)sizeof ret->rpc;
}

static int parse_list(struct forming *f)
{
    for (unsigned i = 0; i < f->req->word_count; i++) {
        struct wanted *m = &f->members[f->count];
        if (!parse_member(f->req->words[i], m)) {
            (void)fprintf(stderr, "conductorctl: bootstrap: '%s': want NAME=HOST:PORT or NAME=HOST:PORT@RPC\n",
                          f->req->words[i]);
            return CTL_USAGE;
        }
        for (unsigned k = 0; k < f->count; k++)
            if (strcmp(f->members[k].name, m->name) == 0 || strcmp(f->members[k].addr, m->addr) == 0) {
                (void)fprintf(stderr, "conductorctl: bootstrap: %s and %s have the same %s\n", f->req->words[k],
                              f->req->words[i], strcmp(f->members[k].name, m->name) == 0 ? "name" : "address");
                return CTL_USAGE;
            }
        f->count++;
    }
    return CTL_OK;
}

static const struct wanted *find_wanted(const struct forming *f, const char *name)
{
    for (unsigned i = 0; i < f->count; i++)
        if (strcmp(f->members[i].name, name) == 0)
            return &f->members[i];
    return NULL;
}

/* ---- waiting ---- */

static bool is_late(const struct forming *f)
{
    return ctl_now_ms() >= f->end_ms;
}

static cJSON *ask_status(const char *rpc)
{
    cJSON *status = NULL;
    (void)ctl_call_within(NULL, rpc, "conductor_status", "[]", STATUS_TIMEOUT_MS, &status);
    return status;
}

/* Until that conductor answers. NULL when it was not in time (said on stderr). */
static cJSON *wait_status(const struct forming *f, const char *who, const char *rpc)
{
    bool is_told = false;
    for (;;) {
        cJSON *status = ask_status(rpc);
        if (status != NULL)
            return status;
        if (is_late(f)) {
            (void)fprintf(stderr, "conductorctl: %s does not answer at %s: start it, or correct its address\n", who,
                          rpc);
            return NULL;
        }
        if (!is_told)
            printf("waiting for %s at %s\n", who, rpc);
        is_told = true;
        ctl_pause_ms(POLL_PERIOD_MS);
    }
}

/* ---- the leader ---- */

/* Who leads what the node asked belongs to, and whether we know where to ask it. */
static int find_leader(struct forming *f)
{
    for (;;) {
        cJSON *status = wait_status(f, "the conductor asked", f->req->rpc);
        if (status == NULL)
            return CTL_UNREACHABLE;
        char self[128], leader[128];
        (void)snprintf(self, sizeof self, "%s", field_text(status, "node"));
        (void)snprintf(leader, sizeof leader, "%s", field_text(field_get(status, "leader"), "id"));
        const bool is_member = cJSON_GetArraySize(field_get(status, "servers")) > 0;
        const bool leads = field_is(status, "leader_ready");
        cJSON_Delete(status);
        if (find_wanted(f, self) == NULL) {
            (void)fprintf(stderr, "conductorctl: the conductor at %s is %s, which is not on the list\n", f->req->rpc,
                          self);
            return CTL_REFUSED;
        }
        if (leads && strcmp(leader, self) == 0) {
            f->leader_rpc = f->req->rpc;
            printf("%s leads\n", leader);
            return CTL_OK;
        }
        const struct wanted *w = find_wanted(f, leader);
        if (leader[0] != '\0' && strcmp(leader, self) != 0 && (w == NULL || w->rpc[0] == '\0')) {
            (void)fprintf(stderr,
                          "conductorctl: %s leads: say where its RPC is (%s=HOST:PORT@RPC), or run this there\n",
                          leader, leader);
            return CTL_REFUSED;
        }
        if (w != NULL && strcmp(leader, self) != 0) {
            f->leader_rpc = w->rpc;
            printf("%s leads\n", leader);
            return CTL_OK;
        }
        if (is_late(f)) {
            (void)fprintf(stderr,
                          is_member ? "conductorctl: the cluster of %s has no leader: is a majority of it running?\n"
                                    : "conductorctl: %s is in no cluster: start one of the list, and only one, with "
                                      "--raft.bootstrap, and run this there\n",
                          self);
            return CTL_REFUSED;
        }
        ctl_pause_ms(POLL_PERIOD_MS);
    }
}

/* ---- the members ---- */

/* A conductor that already has another cluster would be refused again and again. */
static int check_newcomer(const struct forming *f, const struct wanted *m, const char *cluster_id)
{
    if (m->rpc[0] == '\0')
        return CTL_OK;
    cJSON *status = wait_status(f, m->name, m->rpc);
    if (status == NULL)
        return CTL_UNREACHABLE;
    const char *id = field_text(status, "cluster_id"), *name = field_text(status, "node");
    int code = CTL_REFUSED;
    if (strcmp(name, m->name) != 0)
        (void)fprintf(stderr, "conductorctl: the conductor at %s is %s, not %s\n", m->rpc, name, m->name);
    else if (id[0] != '\0' && strcmp(id, cluster_id) != 0)
        (void)fprintf(
            stderr,
            "conductorctl: %s belongs to another cluster (was it started with --raft.bootstrap too?): stop it "
            "and empty its storage directory\n",
            m->name);
    else
        code = CTL_OK;
    cJSON_Delete(status);
    return code;
}

static int add_member(const struct forming *f, const struct wanted *m)
{
    cJSON *params = cJSON_CreateArray(), *result = NULL;
    (void)cJSON_AddItemToArray(params, cJSON_CreateString(m->name));
    (void)cJSON_AddItemToArray(params, cJSON_CreateString(m->addr));
    (void)cJSON_AddItemToArray(params, cJSON_CreateNumber(0));
    char *text = cJSON_PrintUnformatted(params);
    int code = CTL_REFUSED;
    printf("adding %s at %s\n", m->name, m->addr);
    for (;;) {
        if (text == NULL)
            break;
        (void)fflush(stdout);
        /* It waits until the member has caught up, and says why it did not. */
        code = ctl_call(is_late(f) ? stderr : NULL, f->leader_rpc, "conductor_addServerAsVoter", text, &result);
        if (code == CTL_OK || is_late(f))
            break;
        ctl_pause_ms(POLL_PERIOD_MS);
    }
    if (code != CTL_OK)
        (void)fprintf(stderr,
                      "conductorctl: %s could not be added: is it running, and reachable at %s from the leader?\n",
                      m->name, m->addr);
    cJSON_Delete(result);
    cJSON_Delete(params);
    free(text);
    return code;
}

static const cJSON *find_server(const cJSON *status, const char *name)
{
    const cJSON *server;
    cJSON_ArrayForEach(server, field_get(status, "servers"))
    {
        if (strcmp(field_text(server, "id"), name) == 0)
            return server;
    }
    return NULL;
}

static int form_members(const struct forming *f)
{
    cJSON *status = wait_status(f, "the leader", f->leader_rpc);
    const cJSON *server;
    int code = status != NULL ? CTL_OK : CTL_UNREACHABLE;
    for (unsigned i = 0; i < f->count && code == CTL_OK; i++) {
        const struct wanted *m = &f->members[i];
        server = find_server(status, m->name);
        if (server != NULL && strcmp(field_text(server, "addr"), m->addr) != 0) {
            (void)fprintf(stderr,
                          "conductorctl: %s is a member at %s, not at %s: correct the list, or remove it first\n",
                          m->name, field_text(server, "addr"), m->addr);
            code = CTL_REFUSED;
        } else if (server != NULL && field_number(server, "suffrage") == 0) {
            printf("%s is a voter already\n", m->name);
        } else {
            code = check_newcomer(f, m, field_text(status, "cluster_id"));
            if (code == CTL_OK)
                code = add_member(f, m);
        }
    }
    cJSON_ArrayForEach(server, field_get(status, "servers"))
    {
        if (find_wanted(f, field_text(server, "id")) == NULL)
            printf("note: %s is a member too and not on the list: it stays\n", field_text(server, "id"));
    }
    cJSON_Delete(status);
    return code;
}

/* ---- resuming ---- */

static int resume_one(const struct forming *f, const char *name, const char *rpc)
{
    cJSON *status = wait_status(f, name, rpc), *result = NULL;
    const bool is_paused = field_is(status, "paused");
    int code = status != NULL ? CTL_OK : CTL_UNREACHABLE;
    cJSON_Delete(status);
    if (code != CTL_OK || !is_paused)
        return code;
    printf("resuming %s\n", name);
    (void)fflush(stdout);
    code = ctl_call(stderr, rpc, "conductor_resume", "[]", &result);
    cJSON_Delete(result);
    return code;
}

/* All whose RPC is known, the one asked included. */
static int resume_all(const struct forming *f)
{
    cJSON *status = wait_status(f, "the conductor asked", f->req->rpc);
    char self[128];
    int code = status != NULL ? CTL_OK : CTL_UNREACHABLE;
    (void)snprintf(self, sizeof self, "%s", field_text(status, "node"));
    cJSON_Delete(status);
    for (unsigned i = 0; i < f->count && code == CTL_OK; i++) {
        const struct wanted *m = &f->members[i];
        const char *rpc = strcmp(m->name, self) == 0 ? f->req->rpc : m->rpc;
        if (rpc[0] != '\0')
            code = resume_one(f, m->name, rpc);
        else
            printf("if %s is paused, resume it: conductorctl resume, there\n", m->name);
    }
    return code;
}

int ctl_bootstrap(const struct ctl_request *req)
{
    struct forming *f = calloc(1, sizeof *f);
    if (f == NULL)
        return CTL_REFUSED;
    f->req = req;
    f->end_ms = ctl_now_ms() + 1000 * (req->timeout != NULL ? strtoull(req->timeout, NULL, 10) : TIMEOUT_DEFAULT_S);
    int code = parse_list(f);
    if (code == CTL_OK)
        code = find_leader(f);
    if (code == CTL_OK)
        code = form_members(f);
    if (code == CTL_OK)
        code = resume_all(f);
    if (code == CTL_OK)
        printf("a cluster of %u\n", f->count);
    free(f);
    return code;
}
