/* HTTP requests over curl's multi interface. */
#include "healthd/probe.h"

#include "shared/base/err.h"

#include <curl/curl.h>
#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define CONNECTIONS_MAX 16
/* Those in use and those kept; one that finds no room is not watched. */
#define SOCKETS_MAX 32

struct probe_request {
    struct probe *probe;
    struct probe_request *prev, *next;
    CURL *easy;
    char *body;
    char *reply;
    size_t reply_len, reply_room;
    bool too_long;
    char error[CURL_ERROR_SIZE];
    int socket_errno; /* why there is no socket, which the library does not tell; 0: there is one */
    probe_done_fn done;
    void *ctx;
};

struct watched {
    int fd;
    bool is_over; /* it ended or has something to say; the library will find out */
};

struct probe {
    CURLM *multi;
    struct curl_slist *headers;
    struct probe_request *first;
    struct watched sockets[SOCKETS_MAX];
    unsigned socket_count;
    probe_lost_fn lost;
    void *lost_ctx;
};

struct probe *probe_new(void)
{
    struct probe *p = calloc(1, sizeof *p);
    if (p == NULL)
        return NULL;
    p->multi = curl_multi_init();
    /* No "Expect: 100-continue" round trip in front of a large payload. */
    p->headers = curl_slist_append(NULL, "Content-Type: application/json");
    struct curl_slist *more = p->headers != NULL ? curl_slist_append(p->headers, "Expect:") : NULL;
    if (p->multi == NULL || more == NULL) {
        probe_free(p);
        return NULL;
    }
    curl_multi_setopt(p->multi, CURLMOPT_MAXCONNECTS, (long)CONNECTIONS_MAX);
    return p;
}

static void request_free(struct probe_request *r)
{
    struct probe *p = r->probe;
    if (r->prev != NULL)
        r->prev->next = r->next;
    else if (p->first == r)
        p->first = r->next;
    if (r->next != NULL)
        r->next->prev = r->prev;
    if (r->easy != NULL) {
        curl_multi_remove_handle(p->multi, r->easy);
        curl_easy_cleanup(r->easy);
    }
    free(r->body);
    free(r->reply);
    free(r);
}

void probe_free(struct probe *p)
{
    if (p == NULL)
        return;
    while (p->first != NULL)
        request_free(p->first);
    if (p->multi != NULL)
        curl_multi_cleanup(p->multi);
    curl_slist_free_all(p->headers);
    free(p);
}

static size_t on_bytes(char *data, size_t size, size_t count, void *ctx)
{
    struct probe_request *r = ctx;
    size_t len = size * count;
    if (len > PROBE_REPLY_MAX_BYTES - r->reply_len) {
        r->too_long = true;
        return 0;
    }
    if (r->reply_len + len + 1 > r->reply_room) {
        size_t room = (r->reply_len + len + 1) * 2;
        char *grown = realloc(r->reply, room);
        if (grown == NULL)
            return 0;
        r->reply = grown;
        r->reply_room = room;
    }
    memcpy(r->reply + r->reply_len, data, len);
    r->reply_len += len;
    r->reply[r->reply_len] = '\0';
    return len;
}

/* ---- sockets ---- */

static void forget_socket(struct probe *p, int fd)
{
    for (unsigned i = 0; i < p->socket_count; i++)
        if (p->sockets[i].fd == fd) {
            p->sockets[i] = p->sockets[--p->socket_count];
            return;
        }
}

static curl_socket_t open_socket(void *ctx, curlsocktype purpose, struct curl_sockaddr *address)
{
    struct probe_request *r = ctx;
    struct probe *p = r->probe;
    (void)purpose;
    int fd = socket(address->family, address->socktype | SOCK_CLOEXEC, address->protocol);
    r->socket_errno = fd < 0 ? errno : 0;
    if (fd < 0)
        return CURL_SOCKET_BAD;
    forget_socket(p, fd);
    if (p->socket_count < SOCKETS_MAX)
        p->sockets[p->socket_count++] = (struct watched){.fd = fd};
    return fd;
}

static int close_socket(void *ctx, curl_socket_t fd)
{
    forget_socket(ctx, fd);
    return close(fd);
}

void probe_watch(struct probe *p, probe_lost_fn lost, void *ctx)
{
    p->lost = lost;
    p->lost_ctx = ctx;
}

/* Adds the connections that are kept to what is waited for. While any request is under way it will notice by itself. */
static unsigned wait_for_ends(const struct probe *p, struct curl_waitfd *fds)
{
    unsigned count = 0;
    if (p->lost == NULL || p->first != NULL)
        return 0;
    for (unsigned i = 0; i < p->socket_count; i++)
        if (!p->sockets[i].is_over)
            fds[count++] = (struct curl_waitfd){.fd = p->sockets[i].fd, .events = CURL_WAIT_POLLIN};
    return count;
}

/* Whether one of them ended, rather than having something to say. */
static bool take_ends(struct probe *p, const struct curl_waitfd *fds, unsigned count)
{
    bool is_lost = false;
    char byte;
    for (unsigned i = 0; i < count; i++)
        for (unsigned k = 0; k < p->socket_count && fds[i].revents != 0; k++)
            if (p->sockets[k].fd == fds[i].fd) {
                p->sockets[k].is_over = true;
                is_lost |= recv(fds[i].fd, &byte, 1, MSG_PEEK | MSG_DONTWAIT) <= 0;
            }
    return is_lost;
}

/* ---- requests ---- */

static void set_options(struct probe_request *r, const char *url, size_t body_len, uint64_t timeout_ms)
{
    CURL *easy = r->easy;
    curl_easy_setopt(easy, CURLOPT_URL, url);
    curl_easy_setopt(easy, CURLOPT_PROTOCOLS_STR, "http,https");
    curl_easy_setopt(easy, CURLOPT_NOPROXY, "*"); /* control calls go straight to the node */
    curl_easy_setopt(easy, CURLOPT_NOSIGNAL, 1L);
    curl_easy_setopt(easy, CURLOPT_TCP_NODELAY, 1L);
    curl_easy_setopt(easy, CURLOPT_TIMEOUT_MS, (long)(timeout_ms > 0 ? timeout_ms : 1));
    curl_easy_setopt(easy, CURLOPT_CONNECTTIMEOUT_MS, (long)(timeout_ms > 0 ? timeout_ms : 1));
    curl_easy_setopt(easy, CURLOPT_ERRORBUFFER, r->error);
    curl_easy_setopt(easy, CURLOPT_OPENSOCKETFUNCTION, open_socket);
    curl_easy_setopt(easy, CURLOPT_OPENSOCKETDATA, r);
    curl_easy_setopt(easy, CURLOPT_CLOSESOCKETFUNCTION, close_socket);
    curl_easy_setopt(easy, CURLOPT_CLOSESOCKETDATA, r->probe); /* a connection outlives its request */
    curl_easy_setopt(easy, CURLOPT_WRITEFUNCTION, on_bytes);
    curl_easy_setopt(easy, CURLOPT_WRITEDATA, r);
    curl_easy_setopt(easy, CURLOPT_PRIVATE, r);
    curl_easy_setopt(easy, CURLOPT_USERAGENT, "op-conductor");
    if (r->body != NULL) {
        curl_easy_setopt(easy, CURLOPT_HTTPHEADER, r->probe->headers);
        curl_easy_setopt(easy, CURLOPT_POST, 1L);
        curl_easy_setopt(easy, CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t)body_len);
        curl_easy_setopt(easy, CURLOPT_POSTFIELDS, r->body);
    }
}

struct probe_request *probe_start(struct probe *p, const char *url, char *body, size_t body_len, uint64_t timeout_ms,
                                  probe_done_fn done, void *ctx)
{
    struct probe_request *r = calloc(1, sizeof *r);
    if (r == NULL) {
        free(body);
        return NULL;
    }
    r->probe = p;
    r->body = body;
    r->done = done;
    r->ctx = ctx;
    r->next = p->first;
    if (p->first != NULL)
        p->first->prev = r;
    p->first = r;
    r->easy = curl_easy_init();
    if (r->easy == NULL) {
        request_free(r);
        return NULL;
    }
    set_options(r, url, body_len, timeout_ms);
    if (curl_multi_add_handle(p->multi, r->easy) != CURLM_OK) {
        request_free(r);
        return NULL;
    }
    return r;
}

void probe_cancel(struct probe_request *r)
{
    request_free(r);
}

static const char *describe(struct probe_request *r, CURLcode code)
{
    if (r->error[0] == '\0')
        snprintf(r->error, sizeof r->error, "%s", curl_easy_strerror(code));
    size_t len = strlen(r->error);
    if (r->socket_errno != 0)
        snprintf(r->error + len, sizeof r->error - len, " (%s)", strerror(r->socket_errno));
    return r->error;
}

static int rc_of(CURLcode code)
{
    switch (code) {
    case CURLE_OPERATION_TIMEDOUT:
        return -ETIMEDOUT;
    case CURLE_COULDNT_CONNECT:
    case CURLE_SEND_ERROR:
    case CURLE_RECV_ERROR:
    case CURLE_GOT_NOTHING:
    case CURLE_PARTIAL_FILE:
        return -ECONNRESET;
    default:
        return -EIO;
    }
}

static void finish(struct probe_request *r, CURLcode code)
{
    struct probe_reply reply = {.body = r->reply != NULL ? r->reply : "", .body_len = r->reply_len, .text = ""};
    if (code == CURLE_OK) {
        curl_easy_getinfo(r->easy, CURLINFO_RESPONSE_CODE, &reply.http_status);
    } else {
        reply.rc = r->too_long ? OC_ERANGE : rc_of(code);
        reply.text = r->too_long ? "the answer is too long" : describe(r, code);
    }
    r->done(r->ctx, &reply);
}

/* A finished request leaves the list before its callback, so that the callback may do anything. */
static void dispatch(struct probe *p)
{
    CURLMsg *msg;
    int left;
    while ((msg = curl_multi_info_read(p->multi, &left)) != NULL) {
        if (msg->msg != CURLMSG_DONE)
            continue;
        struct probe_request *r = NULL;
        CURLcode code = msg->data.result;
        curl_easy_getinfo(msg->easy_handle, CURLINFO_PRIVATE, (char **)&r);
        curl_multi_remove_handle(p->multi, r->easy);
        finish(r, code);
        request_free(r);
    }
}

bool probe_step(struct probe *p, int fd, short events, int timeout_ms)
{
    struct curl_waitfd fds[1 + SOCKETS_MAX] = {{.fd = fd}};
    unsigned own = fd >= 0;
    int running = 0;
    if ((events & POLLIN) != 0)
        fds[0].events |= CURL_WAIT_POLLIN;
    if ((events & POLLOUT) != 0)
        fds[0].events |= CURL_WAIT_POLLOUT;
    curl_multi_perform(p->multi, &running);
    dispatch(p);
    unsigned kept = wait_for_ends(p, fds + own);
    curl_multi_poll(p->multi, fds, own + kept, timeout_ms, NULL);
    bool is_ready = own != 0 && fds[0].revents != 0;
    bool is_lost = take_ends(p, fds + own, kept);
    curl_multi_perform(p->multi, &running);
    dispatch(p);
    if (is_lost)
        p->lost(p->lost_ctx);
    return is_ready;
}
