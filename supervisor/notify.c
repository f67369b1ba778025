/* Datagrams to the service manager. */
#include "supervisor/notify.h"

#include "shared/base/fd.h"

#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static uint64_t watchdog_period_ns(void)
{
    const char *usec = getenv("WATCHDOG_USEC");
    const char *pid = getenv("WATCHDOG_PID");

    if (!usec || (pid && strtoll(pid, NULL, 10) != (long long)getpid()))
        return 0;
    return (uint64_t)strtoull(usec, NULL, 10) * 1000 / 2;
}

void notify_open(struct notify *n, uint64_t now_ns)
{
    const char *path = getenv("NOTIFY_SOCKET");
    size_t len = path ? strlen(path) : 0;

    *n = (struct notify){.fd = -1};
    if (len < 2 || len >= sizeof n->addr.sun_path || (path[0] != '/' && path[0] != '@'))
        return;
    n->addr.sun_family = AF_UNIX;
    memcpy(n->addr.sun_path, path, len);
    /* '@' stands for the NUL of an abstract name, whose length counts exactly. */
    if (path[0] == '@')
        n->addr.sun_path[0] = '\0';
    n->addr_len = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + len);
    n->fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (n->fd < 0)
        return;
    n->watchdog_ns = watchdog_period_ns();
    n->next_watchdog_ns = now_ns;
}

void notify_close(struct notify *n)
{
    fd_close(&n->fd);
}

void notify_send(struct notify *n, const char *text)
{
    if (n->fd >= 0)
        (void)sendto(n->fd, text, strlen(text), MSG_NOSIGNAL, (const struct sockaddr *)&n->addr, n->addr_len);
}

uint64_t notify_tick(struct notify *n, uint64_t now_ns)
{
    if (n->fd < 0 || n->watchdog_ns == 0)
        return UINT64_MAX;
    if (now_ns >= n->next_watchdog_ns) {
        notify_send(n, "WATCHDOG=1");
        n->next_watchdog_ns = now_ns + n->watchdog_ns;
    }
    return n->next_watchdog_ns;
}
