/* The logger of every process: one line per event, in the six formats of the Go op-conductor
 * (text, terminal, logfmt, logfmtms, json, jsonms), never blocking. Emitting is thread-safe (with an
 * own sink: if the sink is); log_init and log_set_sink belong before the first thread.
 *
 *   LOG_INFO("Leadership status changed", LOG_S("server", id), LOG_B("leader", is_leader));
 */
#ifndef OC_BASE_LOG_H
#define OC_BASE_LOG_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum log_level { LOG_TRACE, LOG_DEBUG, LOG_INFO, LOG_WARN, LOG_ERROR, LOG_CRIT, LOG_LEVEL_COUNT };
enum log_format {
    LOG_FMT_TEXT,
    LOG_FMT_TERMINAL,
    LOG_FMT_LOGFMT,
    LOG_FMT_LOGFMTMS,
    LOG_FMT_JSON,
    LOG_FMT_JSONMS,
    LOG_FMT_COUNT
};

/* A line longer than this is cut, so that one write to a pipe stays atomic. */
#define LOG_LINE_MAX_BYTES 4096

enum log_attr_kind { LOG_KIND_STR, LOG_KIND_U64, LOG_KIND_I64, LOG_KIND_BOOL, LOG_KIND_HEX, LOG_KIND_ERR };

struct log_attr {
    const char *key;
    enum log_attr_kind kind;
    union {
        const char *str;
        uint64_t u64;
        int64_t i64;
        bool b;
        const uint8_t *hash; /* 32 bytes, printed as 0x hex */
    } value;
};

#define LOG_S(k, v) ((struct log_attr){(k), LOG_KIND_STR, {.str = (v)}})
#define LOG_U(k, v) ((struct log_attr){(k), LOG_KIND_U64, {.u64 = (uint64_t)(v)}})
#define LOG_I(k, v) ((struct log_attr){(k), LOG_KIND_I64, {.i64 = (int64_t)(v)}})
#define LOG_B(k, v) ((struct log_attr){(k), LOG_KIND_BOOL, {.b = (v)}})
#define LOG_HASH(k, v) ((struct log_attr){(k), LOG_KIND_HEX, {.hash = (v)}})
/* An error code (err.h), printed as its text. */
#define LOG_E(v) ((struct log_attr){"err", LOG_KIND_ERR, {.i64 = (v)}})

struct log_options {
    enum log_level level;
    enum log_format format;
    bool color;       /* only text and terminal use it */
    bool with_pid;    /* adds pid=N */
    const char *role; /* adds role=…; NULL for the supervisor. Borrowed for ever. */
};

/* Where finished lines go (with their newline). Must not block. The default sink writes to fd 1
 * and drops, counting, what the fd does not take. */
typedef void (*log_sink_fn)(void *ctx, const char *line, size_t len);

void log_init(const struct log_options *options);
void log_set_sink(log_sink_fn sink, void *ctx); /* NULL: the default sink */
void log_set_level(enum log_level level);
bool log_enabled(enum log_level level);
/* Lines dropped by the default sink since the start. */
uint64_t log_dropped_count(void);

/* Names as the flags accept them: any case; trace/trce, debug/dbug, info, warn, error/eror, crit.
 * Return 0 or OC_ESYNTAX. The format name is case-sensitive. */
int log_parse_level(const char *text, enum log_level *ret_level);
int log_parse_format(const char *text, enum log_format *ret_format);

/* Keeps errno. Attributes are borrowed for the call. */
void log_emit(enum log_level level, const char *msg, const struct log_attr *attrs, size_t n_attrs);

/* Formats one line into buf (always newline-terminated) for a given wall-clock time, in local time; the
 * part of log_emit without side effects, except that the terminal format remembers the widest value of
 * each key. What does not fit is cut between attributes or within a text, so that the line stays
 * well-formed in buffers of 256 bytes or more. Returns its length. */
size_t log_format_line(char *buf, size_t buf_size, const struct log_options *options, uint64_t wall_ns,
                       enum log_level level, const char *msg, const struct log_attr *attrs, size_t n_attrs);

#define LOG_AT(level, msg, ...)                                                                                        \
    do {                                                                                                               \
        if (log_enabled(level)) {                                                                                      \
            const struct log_attr log_attrs_[] = {{"", LOG_KIND_BOOL, {.b = false}}, ##__VA_ARGS__};                   \
            log_emit((level), (msg), log_attrs_ + 1, sizeof log_attrs_ / sizeof log_attrs_[0] - 1);                    \
        }                                                                                                              \
    } while (0)
#define LOG_TRACE(msg, ...) LOG_AT(LOG_TRACE, msg, ##__VA_ARGS__)
#define LOG_DEBUG(msg, ...) LOG_AT(LOG_DEBUG, msg, ##__VA_ARGS__)
#define LOG_INFO(msg, ...) LOG_AT(LOG_INFO, msg, ##__VA_ARGS__)
#define LOG_WARN(msg, ...) LOG_AT(LOG_WARN, msg, ##__VA_ARGS__)
#define LOG_ERROR(msg, ...) LOG_AT(LOG_ERROR, msg, ##__VA_ARGS__)
#define LOG_CRIT(msg, ...) LOG_AT(LOG_CRIT, msg, ##__VA_ARGS__)

#endif
