/* Blocking HTTP for tests (see http_helper.h). */
#include "http_helper.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

#define READ_TIMEOUT_S 15

int helper_connect(uint16_t port)
{
    struct sockaddr_in addr = {.sin_family = AF_INET, .sin_port = htons(port)};
    const int on = 1;
    const struct timeval timeout = {.tv_sec = READ_TIMEOUT_S};
    addr.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd < 0 || connect(fd, (struct sockaddr *)&addr, sizeof addr) < 0)
        abort();
    (void)setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    (void)setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &timeout, sizeof timeout);
    (void)setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &timeout, sizeof timeout);
    return fd;
}

void helper_send(int fd, const void *data, size_t len)
{
    const char *at = data;
    while (len > 0) {
        const ssize_t n = send(fd, at, len, MSG_NOSIGNAL);
        if (n <= 0)
            return;
        at += n;
        len -= (size_t)n;
    }
}

void helper_send_text(int fd, const char *text)
{
    helper_send(fd, text, strlen(text));
}

/* Reads the head byte by byte: slow, and never takes a byte of what follows. */
static int read_head(int fd, struct http_answer *a)
{
    size_t len = 0;
    while (len + 1 < sizeof a->head) {
        if (recv(fd, a->head + len, 1, 0) != 1)
            return -1;
        a->head[++len] = '\0';
        if (len >= 4 && memcmp(a->head + len - 4, "\r\n\r\n", 4) == 0)
            return 0;
    }
    return -1;
}

struct http_answer helper_read(int fd, int keep_interim)
{
    struct http_answer a = {0};
    do {
        a.status = 0;
        if (read_head(fd, &a) < 0)
            return a;
        a.status = (int)strtol(a.head + sizeof "HTTP/1.1 " - 1, NULL, 10);
    } while (a.status < 200 && !keep_interim);
    const char *length = strcasestr(a.head, "\r\ncontent-length:");
    const size_t want = length != NULL ? strtoul(length + 17, NULL, 10) : 0;
    a.body = calloc(1, want + 1);
    while (a.body_len < want) {
        const ssize_t n = recv(fd, a.body + a.body_len, want - a.body_len, 0);
        if (n <= 0) {
            a.status = 0;
            return a;
        }
        a.body_len += (size_t)n;
    }
    return a;
}

void helper_free(struct http_answer *a)
{
    free(a->body);
    a->body = NULL;
}

size_t helper_drain(int fd)
{
    char buf[65536];
    size_t total = 0;
    for (ssize_t n; (n = recv(fd, buf, sizeof buf, 0)) > 0;)
        total += (size_t)n;
    return total;
}

struct http_answer helper_post(uint16_t port, const char *path, const char *type, const void *body, size_t len)
{
    char head[512];
    const int fd = helper_connect(port);
    const int n =
        snprintf(head, sizeof head, "POST %s HTTP/1.1\r\nHost: test\r\nContent-Type: %s\r\nContent-Length: %zu\r\n\r\n",
                 path, type, len);
    helper_send(fd, head, (size_t)n);
    helper_send(fd, body, len);
    struct http_answer a = helper_read(fd, 0);
    close(fd);
    return a;
}
