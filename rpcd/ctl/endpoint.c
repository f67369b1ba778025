/* Which conductor to talk to, the clocks, and the end by a signal. */
#include "rpcd/ctl/conductorctl.h"

#include <grp.h>
#include <signal.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#define DEFAULT_URL "http://127.0.0.1:8545"

const char *ctl_default_rpc(const char *env)
{
    if (env != NULL && env[0] != '\0')
        return env;
    return access(CTL_ADMIN_SOCKET, W_OK) == 0 ? CTL_ADMIN_SOCKET : DEFAULT_URL;
}

void ctl_hint_unreachable(const struct ctl_request *req)
{
    struct stat st;
    if (req->is_rpc_given)
        return;
    if (stat(CTL_ADMIN_SOCKET, &st) == 0 && access(CTL_ADMIN_SOCKET, W_OK) != 0) {
        const struct group *group = getgrgid(st.st_gid);
        (void)fprintf(stderr,
                      "conductorctl: there is an admin socket, " CTL_ADMIN_SOCKET
                      ", for root and members of the group %s: use sudo, or give --rpc URL\n",
                      group != NULL ? group->gr_name : "that it belongs to");
    } else {
        (void)fprintf(stderr, "conductorctl: is op-conductor running? If it listens elsewhere: --rpc URL or "
                              "$CONDUCTORCTL_RPC\n");
    }
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
