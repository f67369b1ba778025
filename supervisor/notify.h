/* The service manager's notification protocol (sd_notify), without its library. Without
 * NOTIFY_SOCKET everything here does nothing; no failure matters. */
#ifndef OC_SUPERVISOR_NOTIFY_H
#define OC_SUPERVISOR_NOTIFY_H

#include <stdint.h>
#include <sys/socket.h>
#include <sys/un.h>

struct notify {
    int fd; /* -1: nobody listens */
    struct sockaddr_un addr;
    socklen_t addr_len;
    uint64_t watchdog_ns; /* how often to send WATCHDOG=1: half the manager's limit; 0: not wanted */
    uint64_t next_watchdog_ns;
};

/* Reads NOTIFY_SOCKET, WATCHDOG_USEC and WATCHDOG_PID. */
void notify_open(struct notify *n, uint64_t now_ns);
void notify_close(struct notify *n);

/* Sends assignments separated by newlines, as "READY=1\nSTATUS=running". Never blocks. */
void notify_send(struct notify *n, const char *text);

/* Sends WATCHDOG=1 if it is due. Returns when the next one is, UINT64_MAX if never. */
uint64_t notify_tick(struct notify *n, uint64_t now_ns);

#endif
