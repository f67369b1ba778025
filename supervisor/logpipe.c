/* Splits a child's output into lines. */
#include "supervisor/logpipe.h"

#include "shared/base/clock.h"
#include "shared/base/fd.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

/* Room for bursts, so that the child does not wait for a turn of our loop. Not granted = 64 KiB. */
#define PIPE_BYTES (1 << 20)
/* What may still be read when the child is gone: all that the pipe can hold. */
#define CLOSE_BUDGET_BYTES ((size_t)PIPE_BYTES)

int logpipe_open(struct logpipe *p, struct logout *out, const struct childline_style *style, struct nodelog *kept,
                 int *ret_write_fd)
{
    int fds[2];

    p->fd = -1;
    p->out = out;
    p->style = style;
    p->kept = kept;
    p->used = 0;
    p->last[0] = '\0';
    p->tail_len = 0;
    p->headline[0] = '\0';
    if (pipe2(fds, O_CLOEXEC) < 0)
        return -errno;
    (void)fcntl(fds[0], F_SETPIPE_SZ, PIPE_BYTES);
    (void)fd_set_nonblocking(fds[0]);
    p->fd = fds[0];
    *ret_write_fd = fds[1];
    return 0;
}

/* Oldest lines go first. */
static void remember_in_tail(struct logpipe *p, const char *line, size_t len)
{
    if (len >= LOGPIPE_TAIL_LINE_BYTES)
        len = LOGPIPE_TAIL_LINE_BYTES - 1;
    while (p->tail_len + len + 1 > sizeof p->tail) {
        const char *nl = memchr(p->tail, '\n', p->tail_len);
        size_t gone = nl ? (size_t)(nl + 1 - p->tail) : p->tail_len;

        p->tail_len -= gone;
        memmove(p->tail, p->tail + gone, p->tail_len);
    }
    memcpy(p->tail + p->tail_len, line, len);
    p->tail_len += len;
    p->tail[p->tail_len++] = '\n';
}

static void remember_headline(struct logpipe *p, const char *line, size_t len)
{
    static const char *const begins[] = {"panic: ", "fatal error: ", "unexpected fault address ", "crashed: "};

    for (size_t i = 0; i < sizeof begins / sizeof begins[0]; i++) {
        if (len < strlen(begins[i]) || memcmp(line, begins[i], strlen(begins[i])) != 0)
            continue;
        if (len >= sizeof p->headline)
            len = sizeof p->headline - 1;
        memcpy(p->headline, line, len);
        p->headline[len] = '\0';
        return;
    }
}

static void remember(struct logpipe *p, const char *line, size_t len)
{
    while (len > 0 && (line[len - 1] == '\n' || line[len - 1] == '\r'))
        len--;
    if (len == 0)
        return;
    remember_in_tail(p, line, len);
    remember_headline(p, line, len);
    if (len >= sizeof p->last)
        len = sizeof p->last - 1;
    memcpy(p->last, line, len);
    p->last[len] = '\0';
}

/* `len` includes the newline. */
static void forward(struct logpipe *p, const char *line, size_t len)
{
    remember(p, line, len);
    nodelog_add_line(p->kept, clock_wall_ms(), line, len);
    childline_write(p->out, p->style, line, len);
}

static void split(struct logpipe *p)
{
    char *line = p->buf;
    char *end = p->buf + p->used;
    char *nl;

    while ((nl = memchr(line, '\n', (size_t)(end - line))) != NULL) {
        forward(p, line, (size_t)(nl + 1 - line));
        line = nl + 1;
    }
    p->used = (size_t)(end - line);
    memmove(p->buf, line, p->used);
    /* One byte is kept for the newline of a piece. */
    if (p->used >= sizeof p->buf - 1) {
        p->buf[p->used] = '\n';
        forward(p, p->buf, p->used + 1);
        p->used = 0;
    }
}

bool logpipe_read(struct logpipe *p, size_t budget_bytes)
{
    while (p->fd >= 0 && budget_bytes > 0) {
        size_t room = sizeof p->buf - 1 - p->used;
        ssize_t n = read(p->fd, p->buf + p->used, room < budget_bytes ? room : budget_bytes);

        if (n == 0)
            return false;
        if (n < 0) {
            if (errno == EINTR)
                continue;
            return errno == EAGAIN;
        }
        p->used += (size_t)n;
        budget_bytes -= (size_t)n;
        split(p);
    }
    return p->fd >= 0;
}

void logpipe_last_words(const struct logpipe *p, char *ret, size_t size)
{
    size_t headline_len = strlen(p->headline);
    bool is_in_tail = headline_len == 0 || memmem(p->tail, p->tail_len, p->headline, headline_len) != NULL;
    int n = snprintf(ret, size, "%s%s%.*s", is_in_tail ? "" : p->headline, is_in_tail ? "" : "\n", (int)p->tail_len,
                     p->tail);
    size_t len = n < 0 ? 0 : (size_t)n < size ? (size_t)n : size - 1;

    while (len > 0 && ret[len - 1] == '\n')
        len--;
    ret[len] = '\0';
}

void logpipe_close(struct logpipe *p)
{
    if (p->fd < 0)
        return;
    (void)logpipe_read(p, CLOSE_BUDGET_BYTES);
    if (p->used > 0) {
        p->buf[p->used] = '\n';
        forward(p, p->buf, p->used + 1);
        p->used = 0;
    }
    fd_close(&p->fd);
}
