/* Binds the RPC and metrics addresses. Resolves nothing. */
#include "supervisor/listener.h"

#include "shared/base/err.h"
#include "shared/base/fd.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>

#define LISTENER_BACKLOG 1024

union any_addr {
    struct sockaddr any;
    struct sockaddr_in v4;
    struct sockaddr_in6 v6;
    struct sockaddr_storage room;
};

static void strip_brackets(const char *host, char *ret, size_t ret_size)
{
    size_t len = strlen(host);

    if (len >= 2 && host[0] == '[' && host[len - 1] == ']')
        (void)snprintf(ret, ret_size, "%.*s", (int)(len - 2), host + 1);
    else
        (void)snprintf(ret, ret_size, "%s", host);
}

static int parse_address(const char *host, uint32_t port, union any_addr *ret, socklen_t *ret_len)
{
    char text[INET6_ADDRSTRLEN + 2];

    memset(ret, 0, sizeof *ret);
    strip_brackets(host, text, sizeof text);
    if (strcmp(text, "localhost") == 0)
        (void)snprintf(text, sizeof text, "127.0.0.1");
    if (text[0] == '\0')
        (void)snprintf(text, sizeof text, "0.0.0.0");
    if (inet_pton(AF_INET, text, &ret->v4.sin_addr) == 1) {
        ret->v4.sin_family = AF_INET;
        ret->v4.sin_port = htons((uint16_t)port);
        *ret_len = sizeof ret->v4;
        return 0;
    }
    if (inet_pton(AF_INET6, text, &ret->v6.sin6_addr) == 1) {
        ret->v6.sin6_family = AF_INET6;
        ret->v6.sin6_port = htons((uint16_t)port);
        *ret_len = sizeof ret->v6;
        return 0;
    }
    return OC_ESYNTAX;
}

static uint32_t bound_port(int fd)
{
    union any_addr addr = {0};
    socklen_t len = sizeof addr;

    if (getsockname(fd, &addr.any, &len) < 0)
        return 0;
    return ntohs(addr.any.sa_family == AF_INET6 ? addr.v6.sin6_port : addr.v4.sin_port);
}

static const char *advice(int err)
{
    switch (err) {
    case EADDRINUSE:
        return "; stop the process that uses it, or choose another port";
    case EADDRNOTAVAIL:
        return "; this machine does not have that address";
    case EACCES:
    case EPERM:
        return "; ports below 1024 need CAP_NET_BIND_SERVICE";
    default:
        return "";
    }
}

int listener_open(const char *host, uint32_t port, const char *flags_text, uint32_t *ret_port, char *error,
                  size_t error_size)
{
    union any_addr addr;
    socklen_t addr_len;
    int one = 1;
    int fd;
    int rc = port > UINT16_MAX ? OC_ERANGE : parse_address(host, port, &addr, &addr_len);

    if (rc < 0) {
        (void)snprintf(error, error_size, "cannot listen on %s:%u (%s): give a numeric address or \"localhost\"", host,
                       port, flags_text);
        return rc;
    }
    fd = socket(addr.any.sa_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd >= 0 && setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one) == 0 &&
        bind(fd, &addr.any, addr_len) == 0 && listen(fd, LISTENER_BACKLOG) == 0) {
        *ret_port = bound_port(fd);
        return fd;
    }
    rc = -errno;
    fd_close(&fd);
    (void)snprintf(error, error_size, "cannot listen on %s:%u (%s): %s%s", host, port, flags_text, err_text(rc),
                   advice(-rc));
    return rc;
}

void listener_local_address(const char *host, uint32_t port, char *ret, size_t ret_size)
{
    char text[INET6_ADDRSTRLEN + 2];

    strip_brackets(host, text, sizeof text);
    if (text[0] == '\0' || strcmp(text, "0.0.0.0") == 0)
        (void)snprintf(text, sizeof text, "127.0.0.1");
    if (strcmp(text, "::") == 0)
        (void)snprintf(text, sizeof text, "::1");
    (void)snprintf(ret, ret_size, strchr(text, ':') ? "[%s]:%u" : "%s:%u", text, port);
}
