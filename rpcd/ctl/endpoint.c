/* Which conductor to talk to, the clocks, and the end by a signal. */
#include "rpcd/ctl/conductorctl.h"
#include "rpcd/ctl/field.h"
#include "rpcd/methods.h"

#include <grp.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#define DEFAULT_PORT "8545"

const char *ctl_admin_socket(void)
{
    const char *path = getenv("OP_CONDUCTOR_RPC_ADMIN_SOCKET");
    return path != NULL ? path : CTL_ADMIN_SOCKET;
}

void ctl_default_rpc(char *ret, size_t size)
{
    const char *url = getenv("CONDUCTORCTL_RPC"), *port = getenv("OP_CONDUCTOR_RPC_PORT");
    if (url != NULL && url[0] != '\0')
        (void)snprintf(ret, size, "%s", url);
    else if (access(ctl_admin_socket(), W_OK) == 0)
        (void)snprintf(ret, size, "%s", ctl_admin_socket());
    else
        (void)snprintf(ret, size, "http://127.0.0.1:%s", port != NULL && port[0] != '\0' ? port : DEFAULT_PORT);
}

void ctl_hint_unreachable(const struct ctl_request *req)
{
    struct stat st;
    if (req->is_rpc_given)
        return;
    if (stat(ctl_admin_socket(), &st) == 0 && access(ctl_admin_socket(), W_OK) != 0) {
        const struct group *group = getgrgid(st.st_gid);
        (void)fprintf(
            stderr,
            "conductorctl: there is an admin socket, %s, for root and members of the group %s: use sudo, or give "
            "--rpc URL\n",
            ctl_admin_socket(), group != NULL ? group->gr_name : "that it belongs to");
    } else {
        (void)fprintf(stderr, "conductorctl: is op-conductor running? If it listens elsewhere: --rpc URL or "
                              "$CONDUCTORCTL_RPC\n");
    }
}

static bool is_for_the_leader(const char *name)
{
    const struct method *m = method_find(name, strlen(name));
    return m != NULL && (m->kind == KIND_MEMBER || m->kind == KIND_ADOPT || m->id == METHOD_TRANSFER_LEADER ||
                         m->id == METHOD_TRANSFER_LEADER_TO);
}

void ctl_hint_leader(const struct ctl_request *req)
{
    cJSON *status = NULL;
    if (!is_for_the_leader(req->method) || ctl_call(NULL, req->rpc, "conductor_status", "[]", &status) != CTL_OK)
        return;
    const cJSON *leader = field_get(status, "leader");
    const char *id = field_text(leader, "id");
    if (id[0] != '\0' && strcmp(id, field_text(status, "node")) != 0)
        (void)fprintf(stderr, "conductorctl: %s leads (%s between conductors): ask its conductor\n", id,
                      field_text(leader, "addr"));
    cJSON_Delete(status);
}

static uint64_t read_clock_ms(clockid_t clock)
{
    struct timespec t;
    (void)clock_gettime(clock, &t);
    return (uint64_t)t.tv_sec * 1000 + (uint64_t)t.tv_nsec / 1000000;
}

uint64_t ctl_now_ms(void)
{
    return read_clock_ms(CLOCK_MONOTONIC);
}

uint64_t ctl_wall_ms(void)
{
    return read_clock_ms(CLOCK_REALTIME);
}

void ctl_pause_ms(long ms)
{
    const struct timespec t = {ms / 1000, ms % 1000 * 1000000};
    (void)fflush(stdout);
    (void)nanosleep(&t, NULL);
}

static void on_interrupt(int number)
{
    (void)number;
    _exit(CTL_OK);
}

void ctl_end_when_interrupted(void)
{
    const struct sigaction action = {.sa_handler = on_interrupt};
    (void)sigaction(SIGINT, &action, NULL);
    (void)sigaction(SIGTERM, &action, NULL);
}
