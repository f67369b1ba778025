/* The fake op-node: HTTP by hand over loopback sockets, one thread, one poll loop. */
#include "fake_node.h"

#include "healthd/jsonrpc.h"
#include "shared/base/clock.h"
#include "shared/base/fd.h"
#include "shared/payload/json.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

#define CONNS_MAX 48
#define REQUEST_MAX 262144
#define POSTED_MAX 256

static const char *const method_names[FAKE_METHOD_COUNT] = {
    "optimism_syncStatus",   "admin_postUnsafePayload", "admin_startSequencer", "admin_stopSequencer",
    "admin_sequencerActive", "admin_conductorEnabled",  "opp2p_peerStats",      "eth_syncing",
    "eth_getBlockByNumber",  "net_peerCount",           "admin_peers",          "supervisor_syncStatus",
    "optimism_outputAtBlock"};

struct conn {
    int fd; /* -1: free */
    char *in;
    size_t in_len;
    char out[2048];
    size_t out_len; /* 0: nothing to answer yet */
    uint64_t due_ns;
};

struct posted {
    struct block_id block;
    uint8_t parent[HASH_SIZE];
};

struct fake_node {
    pthread_t thread;
    pthread_mutex_t lock;
    int listener, wake[2];
    uint16_t port;
    struct conn conns[CONNS_MAX];
    struct block_id head;
    uint64_t timestamp; /* 0: now */
    unsigned peers;
    bool active, blank;
    enum fake_mood moods[FAKE_METHOD_COUNT];
    char texts[FAKE_METHOD_COUNT][512];
    unsigned delays_ms[FAKE_METHOD_COUNT];
    unsigned calls[FAKE_METHOD_COUNT];
    struct posted posted[POSTED_MAX];
    size_t posted_count;
    int get_status;
    char get_body[128];
    bool seen[1024]; /* numbers posted once (FAKE_DROPS_FIRST) */
};

void fake_hash(uint64_t number, uint8_t ret[HASH_SIZE])
{
    memset(ret, 0xb0, HASH_SIZE);
    memcpy(ret, &number, sizeof number);
}

struct block_id fake_block(uint64_t number)
{
    struct block_id b = {.number = number};
    fake_hash(number, b.hash);
    return b;
}

static void hash_text(const uint8_t hash[HASH_SIZE], char ret[67])
{
    memcpy(ret, "0x", 2);
    hex_encode(hash, HASH_SIZE, ret + 2);
    ret[66] = '\0';
}

/* ---- what it answers: writes `"result":…` or `"error":…` ---- */

static void answer_error(char *ret, size_t size, int code, const char *text)
{
    snprintf(ret, size, "\"error\":{\"code\":%d,\"message\":\"%s\"}", code, text);
}

/* One queued payload that fits is adopted each time the status is read. */
static void adopt_one(struct fake_node *n)
{
    for (size_t i = 0; i < n->posted_count; i++) {
        if (memcmp(n->posted[i].parent, n->head.hash, HASH_SIZE) == 0) {
            n->head = n->posted[i].block;
            n->posted[i] = n->posted[--n->posted_count];
            return;
        }
    }
}

static void answer_sync(struct fake_node *n, char *ret, size_t size)
{
    struct block_id head = n->head;
    unsigned long long timestamp = n->timestamp != 0 ? n->timestamp : clock_wall_ms() / 1000;
    char hash[67];
    if (n->blank) {
        memset(&head, 0, sizeof head);
        timestamp = 0;
    }
    hash_text(head.hash, hash);
    snprintf(ret, size,
             "\"result\":{\"unsafe_l2\":{\"hash\":\"%s\",\"number\":%llu,\"timestamp\":%llu},"
             "\"safe_l2\":{\"hash\":\"%s\",\"number\":%llu,\"timestamp\":%llu}}",
             hash, (unsigned long long)head.number, timestamp, hash, (unsigned long long)head.number, timestamp);
    adopt_one(n);
}

static void answer_post(struct fake_node *n, const cJSON *params, char *ret, size_t size)
{
    const cJSON *payload = cJSON_GetObjectItemCaseSensitive(cJSON_GetArrayItem(params, 0), "executionPayload");
    struct posted p;
    enum fake_mood mood = n->moods[FAKE_POST];
    if (rpc_get_quantity(cJSON_GetObjectItemCaseSensitive(payload, "blockNumber"), &p.block.number) != 0 ||
        rpc_get_hash(cJSON_GetObjectItemCaseSensitive(payload, "blockHash"), p.block.hash) != 0 ||
        rpc_get_hash(cJSON_GetObjectItemCaseSensitive(payload, "parentHash"), p.parent) != 0) {
        answer_error(ret, size, -32602, "invalid argument 0: bad payload");
        return;
    }
    bool first = !n->seen[p.block.number % 1024];
    n->seen[p.block.number % 1024] = true;
    snprintf(ret, size, "\"result\":null");
    if (mood == FAKE_IGNORES || (mood == FAKE_DROPS_FIRST && first) || n->posted_count == POSTED_MAX)
        return;
    n->posted[n->posted_count++] = p;
}

static void answer_start(struct fake_node *n, const cJSON *params, char *ret, size_t size)
{
    uint8_t hash[HASH_SIZE];
    if (n->active) {
        answer_error(ret, size, -32000, "sequencer already running");
    } else if (rpc_get_hash(cJSON_GetArrayItem(params, 0), hash) != 0 || memcmp(hash, n->head.hash, HASH_SIZE) != 0) {
        answer_error(ret, size, -32000, "block hash does not match: head X, received Y");
    } else {
        n->active = true;
        snprintf(ret, size, "\"result\":null");
    }
}

static void answer_stop(struct fake_node *n, char *ret, size_t size)
{
    char hash[67];
    if (!n->active) {
        answer_error(ret, size, -32000, "sequencer not running");
        return;
    }
    n->active = false;
    hash_text(n->head.hash, hash);
    snprintf(ret, size, "\"result\":\"%s\"", hash);
}

static void answer(struct fake_node *n, enum fake_method method, const cJSON *params, char *ret, size_t size)
{
    char hash[67];
    switch (n->moods[method]) {
    case FAKE_ERROR:
        answer_error(ret, size, -32000, n->texts[method]);
        return;
    case FAKE_UNKNOWN:
        answer_error(ret, size, -32601, "the method does not exist/is not available");
        return;
    case FAKE_RESULT:
        snprintf(ret, size, "\"result\":%s", n->texts[method]);
        return;
    default:
        break;
    }
    switch (method) {
    case FAKE_SYNC:
        answer_sync(n, ret, size);
        break;
    case FAKE_POST:
        answer_post(n, params, ret, size);
        break;
    case FAKE_START:
        answer_start(n, params, ret, size);
        break;
    case FAKE_STOP:
        answer_stop(n, ret, size);
        break;
    case FAKE_ACTIVE:
        snprintf(ret, size, "\"result\":%s", n->active ? "true" : "false");
        break;
    case FAKE_ENABLED:
        snprintf(ret, size, "\"result\":true");
        break;
    case FAKE_PEERS:
        snprintf(ret, size, "\"result\":{\"connected\":%u,\"known\":%u}", n->peers, n->peers);
        break;
    case FAKE_BLOCK:
        hash_text(n->head.hash, hash);
        snprintf(ret, size, "\"result\":{\"number\":\"0x%llx\",\"hash\":\"%s\"}", (unsigned long long)n->head.number,
                 hash);
        break;
    case FAKE_EL_PEERS:
        snprintf(ret, size, "\"result\":\"0x%x\"", n->peers);
        break;
    case FAKE_ADMIN_PEERS:
        snprintf(ret, size, "\"result\":[{},{},{}]");
        break;
    case FAKE_SUPERVISOR:
        snprintf(ret, size, "\"result\":{\"chains\":{}}");
        break;
    case FAKE_SYNCING:
    case FAKE_OUTPUT:
    case FAKE_METHOD_COUNT:
    default:
        snprintf(ret, size, "\"result\":false");
        break;
    }
}

static void handle(struct fake_node *n, struct conn *c, const char *body)
{
    char json[1024] = "", text[1200];
    int status = 200;
    cJSON *root = cJSON_Parse(body);
    const cJSON *name = cJSON_GetObjectItemCaseSensitive(root, "method");
    enum fake_method method = FAKE_METHOD_COUNT;
    for (int m = 0; m < FAKE_METHOD_COUNT; m++)
        if (cJSON_IsString(name) && strcmp(name->valuestring, method_names[m]) == 0)
            method = (enum fake_method)m;
    if (method == FAKE_METHOD_COUNT) {
        answer_error(json, sizeof json, -32601, "the method does not exist/is not available");
    } else {
        n->calls[method]++;
        answer(n, method, cJSON_GetObjectItemCaseSensitive(root, "params"), json, sizeof json);
    }
    cJSON_Delete(root);
    enum fake_mood mood = method < FAKE_METHOD_COUNT ? n->moods[method] : FAKE_NORMAL;
    c->in_len = 0;
    if (mood == FAKE_HANGS)
        return;
    if (mood == FAKE_HTTP_500)
        status = 500;
    snprintf(text, sizeof text, mood == FAKE_GARBAGE ? "<html>" : "{\"jsonrpc\":\"2.0\",\"id\":1,%s}", json);
    c->out_len = (size_t)snprintf(c->out, sizeof c->out,
                                  "HTTP/1.1 %d X\r\nContent-Type: application/json\r\nContent-Length: %zu\r\n\r\n%s",
                                  status, strlen(text), text);
    c->due_ns = clock_mono_ns() + (method < FAKE_METHOD_COUNT ? n->delays_ms[method] : 0) * UINT64_C(1000000);
}

/* ---- HTTP ---- */

static void close_conn(struct conn *c)
{
    fd_close(&c->fd);
    c->in_len = 0;
    c->out_len = 0;
}

static void read_conn(struct fake_node *n, struct conn *c)
{
    ssize_t got = recv(c->fd, c->in + c->in_len, REQUEST_MAX - c->in_len, MSG_DONTWAIT);
    if (got <= 0) {
        close_conn(c);
        return;
    }
    c->in_len += (size_t)got;
    c->in[c->in_len] = '\0';
    const char *head_end = strstr(c->in, "\r\n\r\n");
    const char *length = strcasestr(c->in, "content-length:");
    if (head_end != NULL && strncmp(c->in, "GET ", 4) == 0) {
        c->in_len = 0;
        c->due_ns = 0;
        c->out_len = (size_t)snprintf(c->out, sizeof c->out, "HTTP/1.1 %d X\r\nContent-Length: %zu\r\n\r\n%s",
                                      n->get_status, strlen(n->get_body), n->get_body);
        return;
    }
    if (head_end == NULL || length == NULL)
        return;
    size_t body_len = strtoul(length + 15, NULL, 10);
    const char *body = head_end + 4;
    if ((size_t)(c->in + c->in_len - body) >= body_len)
        handle(n, c, body);
}

static void accept_conn(struct fake_node *n)
{
    int fd = accept4(n->listener, NULL, NULL, SOCK_CLOEXEC);
    for (size_t i = 0; fd >= 0 && i < CONNS_MAX; i++) {
        if (n->conns[i].fd < 0) {
            n->conns[i].fd = fd;
            fd = -1;
        }
    }
    if (fd >= 0)
        close(fd);
}

static void *run(void *arg)
{
    struct fake_node *n = arg;
    for (;;) {
        struct pollfd fds[CONNS_MAX + 2];
        pthread_mutex_lock(&n->lock);
        fds[0] = (struct pollfd){.fd = n->listener, .events = POLLIN};
        fds[1] = (struct pollfd){.fd = n->wake[0], .events = POLLIN};
        for (size_t i = 0; i < CONNS_MAX; i++) {
            struct conn *c = &n->conns[i];
            if (c->fd >= 0 && c->out_len > 0 && clock_mono_ns() >= c->due_ns) {
                (void)!send(c->fd, c->out, c->out_len, MSG_NOSIGNAL);
                c->out_len = 0;
            }
            fds[i + 2] = (struct pollfd){.fd = c->fd, .events = POLLIN};
        }
        pthread_mutex_unlock(&n->lock);
        (void)poll(fds, CONNS_MAX + 2, 2);
        pthread_mutex_lock(&n->lock);
        for (size_t i = 0; i < CONNS_MAX; i++)
            if (fds[i + 2].fd >= 0 && fds[i + 2].revents != 0)
                read_conn(n, &n->conns[i]);
        if (fds[0].revents != 0)
            accept_conn(n);
        pthread_mutex_unlock(&n->lock);
        if (fds[1].revents != 0)
            return NULL;
    }
}

struct fake_node *fake_node_new(uint64_t number)
{
    struct fake_node *n = calloc(1, sizeof *n);
    struct sockaddr_in addr = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t len = sizeof addr;
    assert_non_null(n);
    n->head = fake_block(number);
    n->peers = 5;
    for (size_t i = 0; i < CONNS_MAX; i++) {
        n->conns[i].fd = -1;
        n->conns[i].in = malloc(REQUEST_MAX + 1);
        assert_non_null(n->conns[i].in);
    }
    n->listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_int_equal(bind(n->listener, (struct sockaddr *)&addr, sizeof addr), 0);
    assert_int_equal(listen(n->listener, 64), 0);
    assert_int_equal(getsockname(n->listener, (struct sockaddr *)&addr, &len), 0);
    n->port = ntohs(addr.sin_port);
    assert_int_equal(pipe2(n->wake, O_CLOEXEC), 0);
    pthread_mutex_init(&n->lock, NULL);
    assert_int_equal(pthread_create(&n->thread, NULL, run, n), 0);
    return n;
}

void fake_node_free(struct fake_node *n)
{
    if (n == NULL)
        return;
    (void)!write(n->wake[1], "x", 1);
    pthread_join(n->thread, NULL);
    for (size_t i = 0; i < CONNS_MAX; i++) {
        fd_close(&n->conns[i].fd);
        free(n->conns[i].in);
    }
    close(n->listener);
    close(n->wake[0]);
    close(n->wake[1]);
    pthread_mutex_destroy(&n->lock);
    free(n);
}

void fake_node_url(const struct fake_node *n, char *ret, size_t size)
{
    snprintf(ret, size, "http://127.0.0.1:%u", n->port);
}

/* ---- what the test sets and asks ---- */

#define LOCKED(n, statement)                                                                                           \
    do {                                                                                                               \
        pthread_mutex_lock(&(n)->lock);                                                                                \
        statement;                                                                                                     \
        pthread_mutex_unlock(&(n)->lock);                                                                              \
    } while (0)

void fake_node_set_mood(struct fake_node *n, enum fake_method method, enum fake_mood mood, const char *text)
{
    pthread_mutex_lock(&n->lock);
    n->moods[method] = mood;
    snprintf(n->texts[method], sizeof n->texts[method], "%s", text != NULL ? text : "");
    pthread_mutex_unlock(&n->lock);
}

void fake_node_set_head(struct fake_node *n, const struct block_id *head)
{
    LOCKED(n, n->head = *head);
}

void fake_node_set_timestamp(struct fake_node *n, uint64_t seconds)
{
    LOCKED(n, n->timestamp = seconds);
}

void fake_node_set_peers(struct fake_node *n, unsigned count)
{
    LOCKED(n, n->peers = count);
}

void fake_node_set_active(struct fake_node *n, bool active)
{
    LOCKED(n, n->active = active);
}

void fake_node_set_get(struct fake_node *n, int status, const char *body)
{
    pthread_mutex_lock(&n->lock);
    n->get_status = status;
    snprintf(n->get_body, sizeof n->get_body, "%s", body);
    pthread_mutex_unlock(&n->lock);
}

void fake_node_set_delay(struct fake_node *n, enum fake_method method, unsigned ms)
{
    LOCKED(n, n->delays_ms[method] = ms);
}

void fake_node_set_blank(struct fake_node *n, bool blank)
{
    LOCKED(n, n->blank = blank);
}

bool fake_node_is_active(struct fake_node *n)
{
    bool active;
    LOCKED(n, active = n->active);
    return active;
}

struct block_id fake_node_head(struct fake_node *n)
{
    struct block_id head;
    LOCKED(n, head = n->head);
    return head;
}

unsigned fake_node_calls(struct fake_node *n, enum fake_method method)
{
    unsigned calls;
    LOCKED(n, calls = n->calls[method]);
    return calls;
}

/* ---- records ---- */

int fake_export(uint64_t from, uint64_t to)
{
    enum { ENVELOPE = 32 + 528 };
    int fd = fd_make_memfd("export", 0);
    if (fd < 0)
        return -1;
    for (uint64_t number = from; number <= to; number++) {
        uint8_t envelope[ENVELOPE] = {0}, record[PAYLOAD_RECORD_HEADER_BYTES + ENVELOPE];
        uint8_t *ssz = envelope + 32;
        const uint32_t end = 528;
        fake_hash(number - 1, ssz);
        memcpy(ssz + 404, &number, sizeof number);
        memcpy(ssz + 436, &end, sizeof end);
        fake_hash(number, ssz + 472);
        memcpy(ssz + 504, &end, sizeof end);
        memcpy(ssz + 508, &end, sizeof end);
        int64_t len = payload_record_from_ssz(envelope, sizeof envelope, record, sizeof record);
        uint64_t prefix = (uint64_t)len;
        assert_true(len > 0);
        assert_int_equal(fd_write_all(fd, &prefix, sizeof prefix), 0);
        assert_int_equal(fd_write_all(fd, record, (size_t)len), 0);
    }
    assert_int_equal(fd_seal(fd, FD_SEALS_FINAL), 0);
    return fd;
}
