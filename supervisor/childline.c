/* Lines of children into the format of our log (see childline.h). */
#include "supervisor/childline.h"

#include "shared/base/clock.h"
#include "supervisor/jsonline.h"

#include <stdio.h>
#include <string.h>

/* An escaped byte takes six. */
#define WRAPPED_BYTES (CHILDLINE_MAX_BYTES * 6 + 256)

bool childline_is_json(enum log_format format)
{
    return format == LOG_FMT_JSON || format == LOG_FMT_JSONMS;
}

/* The level in a line of the logfmt form, which begins with t=… lvl=… */
static enum log_level find_level(const char *text, enum log_level otherwise)
{
    const char *at = strstr(text, " lvl=");
    enum log_level level;
    char word[8];
    size_t len;

    if (strncmp(text, "t=", 2) != 0 || at == NULL || at - text > 48)
        return otherwise;
    at += strlen(" lvl=");
    len = strcspn(at, " ");
    if (len >= sizeof word)
        return otherwise;
    memcpy(word, at, len);
    word[len] = '\0';
    return log_parse_level(word, &level) == 0 ? level : otherwise;
}

static void write_wrapped(struct logout *out, const struct childline_style *style, const char *line, size_t len)
{
    static char wrapped[WRAPPED_BYTES];
    static char text[CHILDLINE_MAX_BYTES + 1];
    const struct log_options options = {.format = style->format, .role = style->role};

    if (len > CHILDLINE_MAX_BYTES)
        len = CHILDLINE_MAX_BYTES;
    for (size_t i = 0; i < len; i++)
        text[i] = line[i] != '\0' ? line[i] : ' ';
    text[len] = '\0';
    logout_write(out, wrapped,
                 log_format_line(wrapped, sizeof wrapped, &options, clock_wall_ns(), find_level(text, style->level),
                                 text, NULL, 0));
}

static void write_json(struct logout *out, const struct childline_style *style, const char *line, size_t len)
{
    enum jsonline kind;
    char role[96];

    while (len > 0 && strchr(" \t\r\n", line[len - 1]) != NULL && line[len - 1] != '\0')
        len--;
    if (len == 0)
        return;
    kind = jsonline_classify(line, len);
    if (kind == JSONLINE_NO) {
        write_wrapped(out, style, line, len);
        return;
    }
    if (kind != JSONLINE_NAMED) {
        const char *brace = memchr(line, '{', len);

        len -= (size_t)(brace + 1 - line);
        line = brace + 1;
        (void)snprintf(role, sizeof role, "{\"role\":\"%.64s\"%s", style->role, kind == JSONLINE_EMPTY ? "" : ",");
    } else {
        role[0] = '\0';
    }
    logout_write_pieces(out, role, line, len, "\n");
}

void childline_write(struct logout *out, const struct childline_style *style, const char *line, size_t len)
{
    if (childline_is_json(style->format))
        write_json(out, style, line, len);
    else
        logout_write_pieces(out, style->prefix, line, len, "");
}
