/* What memory and loopback can do. Prints microseconds, one per line:
 *
 *   wire_floor memcpy BYTES COUNT    copying BYTES from one place to another
 *   wire_floor tcp BYTES COUNT       BYTES over a loopback connection to another process, one byte back
 */
#include <arpa/inet.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

static double now_us(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec * 1e6 + (double)t.tv_nsec / 1e3;
}

static int run_memcpy(char *from, char *to, size_t bytes, unsigned long count)
{
    for (unsigned long i = 0; i < count; i++) {
        double start = now_us();
        memcpy(to, from, bytes);
        __asm__ volatile("" : : "r"(to) : "memory");
        printf("%.2f\n", now_us() - start);
    }
    return 0;
}

static int exchange(int fd, char *buffer, size_t bytes, int is_sender)
{
    size_t done = 0;
    char byte = 0;
    while (done < bytes) {
        ssize_t n =
            is_sender ? send(fd, buffer + done, bytes - done, MSG_NOSIGNAL) : recv(fd, buffer + done, bytes - done, 0);
        if (n <= 0)
            return -1;
        done += (size_t)n;
    }
    return (is_sender ? recv(fd, &byte, 1, 0) : send(fd, &byte, 1, MSG_NOSIGNAL)) == 1 ? 0 : -1;
}

static int run_tcp(char *buffer, size_t bytes, unsigned long count)
{
    struct sockaddr_in a = {.sin_family = AF_INET, .sin_addr = {.s_addr = htonl(INADDR_LOOPBACK)}};
    socklen_t len = sizeof a;
    int one = 1, rc = 0, listener = socket(AF_INET, SOCK_STREAM, 0);
    if (listener < 0 || bind(listener, (struct sockaddr *)&a, sizeof a) != 0 || listen(listener, 1) != 0 ||
        getsockname(listener, (struct sockaddr *)&a, &len) != 0)
        return 1;
    fflush(stdout);
    pid_t child = fork();
    if (child < 0)
        return 1;
    int fd = child == 0 ? accept(listener, NULL, NULL) : socket(AF_INET, SOCK_STREAM, 0);
    if (child != 0 && connect(fd, (struct sockaddr *)&a, sizeof a) != 0)
        rc = 1;
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    for (unsigned long i = 0; i < count && rc == 0; i++) {
        double start = now_us();
        if (exchange(fd, buffer, bytes, child != 0) != 0)
            rc = 1;
        else if (child != 0)
            printf("%.2f\n", now_us() - start);
    }
    close(fd);
    close(listener);
    if (child != 0)
        waitpid(child, NULL, 0);
    return rc;
}

int main(int argc, char **argv)
{
    if (argc != 4) {
        fprintf(stderr, "wire_floor memcpy|tcp BYTES COUNT\n");
        return 2;
    }
    size_t bytes = strtoull(argv[2], NULL, 10);
    unsigned long count = strtoul(argv[3], NULL, 10);
    char *from = calloc(1, bytes + 1), *to = calloc(1, bytes + 1);
    int rc = 1;
    if (from != NULL && to != NULL) {
        memset(from, 1, bytes); /* so that the memory is really there */
        memset(to, 2, bytes);
        rc = strcmp(argv[1], "memcpy") == 0 ? run_memcpy(from, to, bytes, count) : run_tcp(from, bytes, count);
    }
    free(from);
    free(to);
    return rc;
}
