/* The logger: level, sink and the default sink, which never waits for whoever reads fd 1. */
#include "shared/base/log.h"

#include "shared/base/clock.h"
#include "shared/base/err.h"

#include <errno.h>
#include <limits.h>
#include <poll.h>
#include <stdatomic.h>
#include <string.h>
#include <strings.h>
#include <time.h>
#include <unistd.h>

static struct log_options current = {.level = LOG_INFO, .format = LOG_FMT_TEXT};
static _Atomic int current_level = LOG_INFO;
static log_sink_fn current_sink;
static void *current_sink_ctx;

_Static_assert(LOG_LINE_MAX_BYTES <= PIPE_BUF, "a line must be one atomic write");

static _Atomic uint64_t out_dropped;

/* poll keeps a blocking fd from blocking us. A pipe or socket that polls writable takes a line of
 * LOG_LINE_MAX_BYTES whole. */
static void default_sink(void *ctx, const char *line, size_t len)
{
    struct pollfd p = {.fd = STDOUT_FILENO, .events = POLLOUT};
    ssize_t n = 0;

    (void)ctx;
    if (poll(&p, 1, 0) == 1 && (p.revents & POLLOUT)) {
        do {
            n = write(STDOUT_FILENO, line, len);
        } while (n < 0 && errno == EINTR);
    }
    if (n != (ssize_t)len)
        atomic_fetch_add(&out_dropped, 1);
}

void log_init(const struct log_options *options)
{
    tzset();
    current = *options;
    log_set_level(options->level);
}

void log_set_sink(log_sink_fn sink, void *ctx)
{
    current_sink = sink;
    current_sink_ctx = ctx;
}

void log_set_level(enum log_level level)
{
    atomic_store_explicit(&current_level, (int)level, memory_order_relaxed);
}

bool log_enabled(enum log_level level)
{
    return (int)level >= atomic_load_explicit(&current_level, memory_order_relaxed);
}

uint64_t log_dropped_count(void)
{
    return atomic_load(&out_dropped);
}

int log_parse_level(const char *text, enum log_level *ret_level)
{
    static const struct {
        const char *name;
        enum log_level level;
    } names[] = {
        {"trace", LOG_TRACE}, {"trce", LOG_TRACE},  {"debug", LOG_DEBUG}, {"dbug", LOG_DEBUG}, {"info", LOG_INFO},
        {"warn", LOG_WARN},   {"error", LOG_ERROR}, {"eror", LOG_ERROR},  {"crit", LOG_CRIT},
    };

    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        if (strcasecmp(text, names[i].name) == 0) {
            *ret_level = names[i].level;
            return 0;
        }
    }
    return OC_ESYNTAX;
}

int log_parse_format(const char *text, enum log_format *ret_format)
{
    static const char *const names[LOG_FMT_COUNT] = {
        [LOG_FMT_TEXT] = "text",         [LOG_FMT_TERMINAL] = "terminal", [LOG_FMT_LOGFMT] = "logfmt",
        [LOG_FMT_LOGFMTMS] = "logfmtms", [LOG_FMT_JSON] = "json",         [LOG_FMT_JSONMS] = "jsonms",
    };

    for (int i = 0; i < LOG_FMT_COUNT; i++) {
        if (strcmp(text, names[i]) == 0) {
            *ret_format = (enum log_format)i;
            return 0;
        }
    }
    return OC_ESYNTAX;
}

void log_emit(enum log_level level, const char *msg, const struct log_attr *attrs, size_t n_attrs)
{
    char line[LOG_LINE_MAX_BYTES];
    int saved = errno;
    size_t len;

    if (log_enabled(level)) {
        len = log_format_line(line, sizeof line, &current, clock_wall_ns(), level, msg, attrs, n_attrs);
        (current_sink ? current_sink : default_sink)(current_sink_ctx, line, len);
    }
    errno = saved;
}
