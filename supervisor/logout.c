/* A bounded line buffer in front of a standard output that may block. */
#include "supervisor/logout.h"

#include "shared/base/clock.h"

#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* A pipe that polls writable takes this much at once (PIPE_BUF); so does a terminal. */
#define WRITE_STEP_BYTES 4096
/* Per flush, so that a fast reader of a flood does not keep the loop. */
#define FLUSH_BUDGET_BYTES ((size_t)256 << 10)
/* A file on a full disk polls writable all the same: finish looks again so often. */
#define FULL_RETRY_MS 10

struct logout {
    int fd;
    bool broken;       /* the reader is gone for good */
    bool out_of_space; /* the last write failed for want of it */
    size_t size;
    size_t start;
    size_t used;
    uint64_t dropped;
    char data[];
};

struct logout *logout_new(int fd, size_t buffer_bytes)
{
    struct logout *o = calloc(1, sizeof *o + buffer_bytes);

    if (!o)
        return NULL;
    o->fd = fd;
    o->size = buffer_bytes;
    return o;
}

void logout_free(struct logout *o)
{
    free(o);
}

static void append(struct logout *o, const char *data, size_t len)
{
    size_t end = (o->start + o->used) % o->size;
    size_t first = len < o->size - end ? len : o->size - end;

    memcpy(o->data + end, data, first);
    memcpy(o->data, data + first, len - first);
    o->used += len;
}

void logout_write_pieces(struct logout *o, const char *before, const char *line, size_t len, const char *after)
{
    size_t before_len = strlen(before), after_len = strlen(after);

    if (o->broken || before_len + len + after_len > o->size - o->used) {
        o->dropped++;
        return;
    }
    append(o, before, before_len);
    append(o, line, len);
    append(o, after, after_len);
}

void logout_write(struct logout *o, const char *line, size_t len)
{
    logout_write_pieces(o, "", line, len, "");
}

void logout_sink(void *ctx, const char *line, size_t len)
{
    logout_write(ctx, line, len);
}

/* One write of at most WRITE_STEP_BYTES. Returns the bytes taken, 0 when it would block. */
static size_t write_step(struct logout *o, int wait_ms)
{
    struct pollfd p = {.fd = o->fd, .events = POLLOUT};
    size_t len = o->used < o->size - o->start ? o->used : o->size - o->start;
    ssize_t n;

    if (poll(&p, 1, wait_ms) <= 0 || !(p.revents & (POLLOUT | POLLERR | POLLHUP | POLLNVAL)))
        return 0;
    n = write(o->fd, o->data + o->start, len < WRITE_STEP_BYTES ? len : WRITE_STEP_BYTES);
    o->out_of_space = n < 0 && errno == ENOSPC;
    if (n < 0) {
        if (errno == EAGAIN || errno == EINTR || errno == ENOSPC)
            return 0;
        o->broken = true;
        o->used = 0;
        return 0;
    }
    o->start = (o->start + (size_t)n) % o->size;
    o->used -= (size_t)n;
    return (size_t)n;
}

bool logout_flush(struct logout *o)
{
    size_t budget = FLUSH_BUDGET_BYTES;

    while (o->used > 0 && budget > 0) {
        size_t n = write_step(o, 0);
        if (n == 0)
            break;
        budget -= n < budget ? n : budget;
    }
    return o->used > 0;
}

void logout_finish(struct logout *o, int timeout_ms)
{
    uint64_t end_ms = clock_mono_ms() + (uint64_t)timeout_ms;

    while (o->used > 0) {
        uint64_t now_ms = clock_mono_ms();
        if (now_ms >= end_ms)
            break;
        if (write_step(o, (int)(end_ms - now_ms)) == 0 && o->out_of_space)
            (void)poll(NULL, 0, FULL_RETRY_MS);
    }
}

uint64_t logout_dropped_count(const struct logout *o)
{
    return o->dropped;
}

size_t logout_queued_bytes(const struct logout *o)
{
    return o->used;
}

bool logout_is_out_of_space(const struct logout *o)
{
    return o->out_of_space;
}

bool logout_is_empty(const struct logout *o)
{
    return o->used == 0;
}
