/* Commits blocks to a conductor, one after the other over one connection, and prints how long each took in
 * microseconds, from the first byte sent to the whole answer received, and the wall clock at its end in
 * milliseconds. Blocks are built before the clock runs.
 *
 *   commit_load PORT json|ssz BYTES COUNT GAP_MS NUMBER HASH
 *
 * NUMBER and HASH are the present head's; the last line printed is "head NUMBER HASH" of the new one.
 */
#include "shared/base/clock.h"
#include "shared/payload/json.h"
#include "shared/payload/record.h"
#include "tests/sim/block.h"

#include <arpa/inet.h>
#include <errno.h>
#include <inttypes.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

#define WAIT_SECONDS 20
#define RPC_START "{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"conductor_commitUnsafePayload\",\"params\":["
#define RPC_END "]}"

struct request {
    char head[256];
    size_t head_len;
    const char *before, *after; /* around the body: of the JSON-RPC call */
    const void *body;
    size_t body_len;
    char *json; /* malloc'd */
};

static int dial(uint16_t port)
{
    struct sockaddr_in a = {
        .sin_family = AF_INET, .sin_port = htons(port), .sin_addr = {.s_addr = htonl(INADDR_LOOPBACK)}};
    struct timeval wait = {.tv_sec = WAIT_SECONDS};
    int one = 1;
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return -1;
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &wait, sizeof wait);
    if (connect(fd, (struct sockaddr *)&a, sizeof a) != 0) {
        close(fd);
        return -1;
    }
    return fd;
}

static int send_all(int fd, const void *data, size_t len, int flags)
{
    const char *p = data;
    while (len > 0) {
        ssize_t n = send(fd, p, len, flags | MSG_NOSIGNAL);
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            return -1;
        p += n;
        len -= (size_t)n;
    }
    return 0;
}

static int make_request(const struct block *b, int is_ssz, struct request *ret)
{
    struct payload_view view;
    if (payload_view_parse(b->record, b->len, &view) != 0)
        return -1;
    *ret = (struct request){.before = "", .after = "", .body = view.envelope, .body_len = 32 + view.header.ssz_bytes};
    if (!is_ssz) {
        ret->json = payload_record_to_json(&view, &ret->body_len);
        if (ret->json == NULL)
            return -1;
        ret->body = ret->json;
        ret->before = RPC_START;
        ret->after = RPC_END;
    }
    ret->head_len = (size_t)snprintf(
        ret->head, sizeof ret->head,
        "POST %s HTTP/1.1\r\nHost: localhost\r\nContent-Type: %s\r\nContent-Length: %zu\r\n\r\n%s",
        is_ssz ? "/commit-unsafe-payload" : "/", is_ssz ? "application/octet-stream" : "application/json",
        strlen(ret->before) + ret->body_len + strlen(ret->after), ret->before);
    return 0;
}

/* Reads one answer. Returns 0 if it tells of success. */
static int read_answer(int fd)
{
    char text[8192];
    size_t have = 0;
    for (;;) {
        ssize_t n = recv(fd, text + have, sizeof text - 1 - have, 0);
        if (n <= 0)
            return -1;
        have += (size_t)n;
        text[have] = '\0';
        const char *body = strstr(text, "\r\n\r\n"), *length = strcasestr(text, "content-length:");
        if (body == NULL)
            continue;
        body += 4;
        if (length != NULL && (size_t)(text + have - body) < strtoul(length + 15, NULL, 10))
            continue;
        int ok = (strncmp(text, "HTTP/1.1 200", 12) == 0 || strncmp(text, "HTTP/1.1 204", 12) == 0) &&
                 strstr(body, "\"error\"") == NULL;
        if (!ok)
            fprintf(stderr, "commit_load: %.*s\n", 300, text);
        return ok ? 0 : -1;
    }
}

static int commit(int fd, const struct request *r, double *ret_us)
{
    uint64_t start = clock_mono_ns();
    if (send_all(fd, r->head, r->head_len, MSG_MORE) != 0 ||
        send_all(fd, r->body, r->body_len, *r->after != '\0' ? MSG_MORE : 0) != 0 ||
        send_all(fd, r->after, strlen(r->after), 0) != 0 || read_answer(fd) != 0)
        return -1;
    *ret_us = (double)(clock_mono_ns() - start) / 1000;
    return 0;
}

int main(int argc, char **argv)
{
    struct block_ref head = {0};
    char text[HASH_TEXT_BYTES];

    if (argc != 8) {
        fprintf(stderr, "commit_load PORT json|ssz BYTES COUNT GAP_MS NUMBER HASH\n");
        return 2;
    }
    int is_ssz = strcmp(argv[2], "ssz") == 0;
    uint32_t bytes = (uint32_t)strtoul(argv[3], NULL, 10);
    unsigned long count = strtoul(argv[4], NULL, 10), gap_ms = strtoul(argv[5], NULL, 10);
    uint64_t seed = clock_mono_ns();
    head.number = strtoull(argv[6], NULL, 10);
    if (hash_from_text(argv[7], strlen(argv[7]), head.hash) != 0)
        return 2;
    int fd = dial((uint16_t)strtoul(argv[1], NULL, 10));
    if (fd < 0) {
        fprintf(stderr, "commit_load: cannot connect: %s\n", strerror(errno));
        return 1;
    }
    for (unsigned long i = 0; i < count; i++) {
        struct block b;
        struct request r;
        double us;
        if (block_build(&head, clock_wall_ms(), bytes, FORK_ISTHMUS, &seed, &b) != 0 ||
            make_request(&b, is_ssz, &r) != 0) {
            fprintf(stderr, "commit_load: cannot build a block\n");
            return 1;
        }
        if (commit(fd, &r, &us) != 0)
            return 1;
        printf("%.1f %" PRIu64 "\n", us, clock_wall_ms());
        head = b.ref;
        free(b.record);
        free(r.json);
        struct timespec gap = {.tv_sec = (time_t)(gap_ms / 1000), .tv_nsec = (long)(gap_ms % 1000) * 1000000};
        nanosleep(&gap, NULL);
    }
    hash_to_text(head.hash, text);
    printf("head %" PRIu64 " %s\n", head.number, text);
    close(fd);
    return 0;
}
