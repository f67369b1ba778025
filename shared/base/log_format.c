/* One event into one log line, in each of the six formats. */
#include "shared/base/log.h"

#include "shared/base/err.h"
#include "shared/base/log_internal.h"

#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define TERMINAL_MSG_CHARS 40
#define TERMINAL_VALUE_CHARS_MAX 40

enum style { STYLE_LOGFMT, STYLE_JSON, STYLE_TERMINAL };

struct line {
    struct log_buf out;
    enum style style;
    const char *color; /* NULL: none */
};

static const char *const level_names[LOG_LEVEL_COUNT] = {"trace", "debug", "info", "warn", "error", "crit"};
static const char *const level_columns[LOG_LEVEL_COUNT] = {"TRACE", "DEBUG", "INFO ", "WARN ", "ERROR", "CRIT "};
static const char *const level_colors[LOG_LEVEL_COUNT] = {"\x1b[34m", "\x1b[36m", "\x1b[32m",
                                                          "\x1b[33m", "\x1b[31m", "\x1b[35m"};
#define COLOR_RESET "\x1b[0m"

/* Widest value seen of each key, so that columns of a terminal line up. Losing an update to another
 * thread, or two keys of one hash, cost spaces. */
#define PADDING_SLOTS 256
#define PADDING_PROBES 8
static struct {
    _Atomic uint64_t key_hash; /* 0 = free */
    _Atomic size_t chars;
} paddings[PADDING_SLOTS];

static size_t padding_update(const char *key, size_t chars)
{
    uint64_t hash = 5381;

    for (const char *p = key; *p; p++)
        hash = hash * 33 + (unsigned char)*p;
    for (size_t i = 0; i < PADDING_PROBES; i++) {
        size_t slot = (size_t)(hash + i) % PADDING_SLOTS, widest;
        uint64_t owner = 0;

        if (!atomic_compare_exchange_strong(&paddings[slot].key_hash, &owner, hash) && owner != hash)
            continue;
        widest = atomic_load(&paddings[slot].chars);
        if (chars > widest && chars <= TERMINAL_VALUE_CHARS_MAX) {
            atomic_store(&paddings[slot].chars, chars);
            widest = chars;
        }
        return widest;
    }
    return 0;
}

static void put_time(struct line *l, const struct log_options *options, uint64_t wall_ns)
{
    time_t seconds = (time_t)(wall_ns / 1000000000);
    unsigned nanos = (unsigned)(wall_ns % 1000000000);
    char text[80], fraction[16] = "";
    struct tm tm;
    long offset_min;
    unsigned zone_hours, zone_minutes;

    if (!localtime_r(&seconds, &tm))
        memset(&tm, 0, sizeof tm);
    offset_min = tm.tm_gmtoff / 60;
    zone_hours = (unsigned)(offset_min < 0 ? -offset_min : offset_min) / 60 % 100;
    zone_minutes = (unsigned)(offset_min < 0 ? -offset_min : offset_min) % 60;

    if (l->style == STYLE_TERMINAL) {
        (void)snprintf(text, sizeof text, "%02d-%02d|%02d:%02d:%02d.%03u", tm.tm_mon + 1, tm.tm_mday, tm.tm_hour,
                       tm.tm_min, tm.tm_sec, nanos / 1000000);
        log_puts(&l->out, text);
        return;
    }
    (void)snprintf(text, sizeof text, "%04d-%02d-%02dT%02d:%02d:%02d", tm.tm_year + 1900, tm.tm_mon + 1, tm.tm_mday,
                   tm.tm_hour, tm.tm_min, tm.tm_sec);
    log_puts(&l->out, text);
    if (l->style == STYLE_JSON) {
        /* RFC 3339 with as many digits as are not zero. */
        if (nanos > 0) {
            size_t len = (size_t)snprintf(fraction, sizeof fraction, ".%09u", nanos);
            while (fraction[len - 1] == '0')
                fraction[--len] = '\0';
        }
        if (offset_min == 0)
            (void)snprintf(text, sizeof text, "%sZ", fraction);
        else
            (void)snprintf(text, sizeof text, "%s%c%02u:%02u", fraction, offset_min < 0 ? '-' : '+', zone_hours,
                           zone_minutes);
    } else {
        if (options->format == LOG_FMT_LOGFMTMS)
            (void)snprintf(fraction, sizeof fraction, ".%03u", nanos / 1000000);
        (void)snprintf(text, sizeof text, "%s%c%02u%02u", fraction, offset_min < 0 ? '-' : '+', zone_hours,
                       zone_minutes);
    }
    log_puts(&l->out, text);
}

static void put_text(struct line *l, const char *text, size_t len)
{
    if (l->style == STYLE_JSON)
        log_put_json(&l->out, text, len);
    else if (l->style == STYLE_LOGFMT)
        log_put_logfmt(&l->out, text, len);
    else
        log_put_terminal(&l->out, text, len);
}

/* A text of which at most `limit` bytes are shown. */
static void put_text_limited(struct line *l, const char *text, size_t limit)
{
    char cut[LOG_LINE_MAX_BYTES + 4];
    size_t len = strnlen(text, limit + 1);

    if (len <= limit) {
        put_text(l, text, len);
        return;
    }
    /* Not in the middle of a character. */
    while (limit > 0 && ((unsigned char)text[limit] & 0xc0) == 0x80)
        limit--;
    len = (size_t)snprintf(cut, sizeof cut, "%.*s...", (int)limit, text);
    put_text(l, cut, len);
}

static void put_u64(struct line *l, uint64_t value)
{
    if (l->style == STYLE_TERMINAL)
        log_put_u64_grouped(&l->out, value);
    else
        log_put_u64(&l->out, value);
}

static void put_value(struct line *l, const struct log_attr *attr, size_t limit)
{
    static const char digits[] = "0123456789abcdef";
    char hex[2 + 64];

    switch (attr->kind) {
    case LOG_KIND_STR:
        put_text_limited(l, attr->value.str ? attr->value.str : "", limit);
        break;
    case LOG_KIND_U64:
        put_u64(l, attr->value.u64);
        break;
    case LOG_KIND_I64:
        if (attr->value.i64 < 0)
            log_put(&l->out, "-", 1);
        put_u64(l, attr->value.i64 < 0 ? -(uint64_t)attr->value.i64 : (uint64_t)attr->value.i64);
        break;
    case LOG_KIND_BOOL:
        log_puts(&l->out, attr->value.b ? "true" : "false");
        break;
    case LOG_KIND_HEX:
        hex[0] = '0';
        hex[1] = 'x';
        for (size_t i = 0; i < 32; i++) {
            hex[2 + 2 * i] = digits[attr->value.hash[i] >> 4];
            hex[3 + 2 * i] = digits[attr->value.hash[i] & 15];
        }
        put_text(l, hex, sizeof hex);
        break;
    case LOG_KIND_ERR:
        put_text_limited(l, err_text((int)attr->value.i64), limit);
        break;
    }
}

static void put_attr(struct line *l, const struct log_attr *attr, size_t limit, bool last)
{
    size_t start, chars, widest;

    switch (l->style) {
    case STYLE_JSON:
        log_put(&l->out, ",", 1);
        log_put_json(&l->out, attr->key, strlen(attr->key));
        log_put(&l->out, ":", 1);
        put_value(l, attr, limit);
        break;
    case STYLE_LOGFMT:
        log_put(&l->out, " ", 1);
        log_put_logfmt(&l->out, attr->key, strlen(attr->key));
        log_put(&l->out, "=", 1);
        put_value(l, attr, limit);
        break;
    case STYLE_TERMINAL:
        log_put(&l->out, " ", 1);
        if (l->color)
            log_puts(&l->out, l->color);
        log_put_terminal(&l->out, attr->key, strlen(attr->key));
        if (l->color)
            log_puts(&l->out, COLOR_RESET);
        log_put(&l->out, "=", 1);
        start = l->out.len;
        put_value(l, attr, limit);
        chars = log_count_chars(l->out.data + start, l->out.len - start);
        widest = padding_update(attr->key, chars);
        if (!last && widest > chars)
            log_pad(&l->out, widest - chars);
        break;
    }
}

/* An attribute goes in whole, or with its text shortened, or not at all, so that a line that must
 * be cut is still well-formed. Returns false when the line is full. */
static bool fit_attr(struct line *l, const struct log_attr *attr, bool last)
{
    size_t mark = l->out.len;

    for (size_t limit = LOG_LINE_MAX_BYTES; limit >= 32; limit /= 2) {
        put_attr(l, attr, limit, last);
        if (!l->out.full)
            return true;
        l->out.len = mark;
        l->out.full = false;
        if (attr->kind != LOG_KIND_STR)
            break;
    }
    return false;
}

static void put_prefix(struct line *l, const struct log_options *options, uint64_t wall_ns, enum log_level level)
{
    switch (l->style) {
    case STYLE_JSON:
        log_puts(&l->out, "{\"t\":\"");
        put_time(l, options, wall_ns);
        log_puts(&l->out, "\",\"lvl\":\"");
        log_puts(&l->out, level_names[level]);
        log_puts(&l->out, "\",\"msg\":");
        break;
    case STYLE_LOGFMT:
        log_puts(&l->out, "t=");
        put_time(l, options, wall_ns);
        log_puts(&l->out, " lvl=");
        log_puts(&l->out, level_names[level]);
        log_puts(&l->out, " msg=");
        break;
    case STYLE_TERMINAL:
        if (l->color)
            log_puts(&l->out, l->color);
        log_puts(&l->out, level_columns[level]);
        if (l->color)
            log_puts(&l->out, COLOR_RESET);
        log_put(&l->out, "[", 1);
        put_time(l, options, wall_ns);
        log_puts(&l->out, "] ");
        break;
    }
}

static void put_msg(struct line *l, const char *msg, bool has_attrs)
{
    size_t mark = l->out.len, len = strlen(msg);

    for (;;) {
        if (l->style == STYLE_TERMINAL)
            log_put_terminal_msg(&l->out, msg, len);
        else
            put_text(l, msg, len);
        if (!l->out.full || len == 0)
            break;
        l->out.len = mark;
        l->out.full = false;
        len /= 2;
    }
    if (l->style == STYLE_TERMINAL && has_attrs && l->out.len - mark < TERMINAL_MSG_CHARS)
        log_pad(&l->out, TERMINAL_MSG_CHARS - (l->out.len - mark));
}

size_t log_format_line(char *buf, size_t buf_size, const struct log_options *options, uint64_t wall_ns,
                       enum log_level level, const char *msg, const struct log_attr *attrs, size_t n_attrs)
{
    const struct log_attr pid = LOG_I("pid", options->with_pid ? getpid() : 0);
    const struct log_attr role = LOG_S("role", options->role);
    size_t extra = (options->with_pid ? 1U : 0U) + (options->role ? 1U : 0U), done = 0;
    struct line l = {.out = {.data = buf}};
    bool fits = true;

    if (buf_size < 2)
        return 0;
    l.out.cap = buf_size - 2; /* room for the brace and the newline */
    switch (options->format) {
    case LOG_FMT_JSON:
    case LOG_FMT_JSONMS:
        l.style = STYLE_JSON;
        break;
    case LOG_FMT_TERMINAL:
        l.style = STYLE_TERMINAL;
        break;
    case LOG_FMT_TEXT:
        l.style = options->color ? STYLE_TERMINAL : STYLE_LOGFMT;
        break;
    default:
        l.style = STYLE_LOGFMT;
        break;
    }
    if (l.style == STYLE_TERMINAL && options->color)
        l.color = level_colors[level];

    put_prefix(&l, options, wall_ns, level);
    put_msg(&l, msg, n_attrs + extra > 0);
    if (options->with_pid)
        fits = fit_attr(&l, &pid, ++done == n_attrs + extra);
    if (options->role && fits)
        fits = fit_attr(&l, &role, ++done == n_attrs + extra);
    for (size_t i = 0; i < n_attrs && fits; i++)
        fits = fit_attr(&l, &attrs[i], ++done == n_attrs + extra);

    if (l.style == STYLE_JSON)
        buf[l.out.len++] = '}';
    buf[l.out.len++] = '\n';
    return l.out.len;
}
