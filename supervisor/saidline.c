/* Message and reason out of a log line (see saidline.h). */
#include "supervisor/saidline.h"

#include <ctype.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#define VALUE_BYTES 1024

/* One "key=value" or "\"key\":value" of a line. */
struct pair {
    char key[32];
    char value[VALUE_BYTES];
};

static void put(char *ret, size_t size, size_t *len, char c)
{
    if (*len + 1 < size)
        ret[(*len)++] = c;
}

/* A word up to `stop`, or a quoted text without its quotes and escapes. A missing closing quote is that
 * of a line that was cut. Returns what follows. */
static const char *take_word(const char *at, const char *stop, char *ret, size_t size)
{
    bool quoted = *at == '"';
    size_t len = 0;

    if (quoted)
        at++;
    while (*at != '\0' && (quoted ? *at != '"' : strchr(stop, *at) == NULL)) {
        if (quoted && *at == '\\' && at[1] != '\0') {
            at++;
            put(ret, size, &len, *at == 'n' || *at == 't' || *at == 'r' ? ' ' : *at);
        } else {
            put(ret, size, &len, *at);
        }
        at++;
    }
    ret[len] = '\0';
    return quoted && *at == '"' ? at + 1 : at;
}

/* The next pair; NULL at the end, or where the line is none of ours. */
static const char *take_pair(const char *at, struct pair *p)
{
    at += strspn(at, " {,");
    if (*at == '\0' || *at == '}')
        return NULL;
    at = take_word(at, "=: ", p->key, sizeof p->key);
    if (*at != '=' && *at != ':')
        return NULL;
    return take_word(at + 1, " ,}", p->value, sizeof p->value);
}

/* "LVL [time] the message   key=value": the message up to the gap before the pairs. */
static const char *take_terminal_message(const char *line, char *ret, size_t size)
{
    const char *at = line;
    const char *gap;

    while (isupper((unsigned char)*at))
        at++;
    at += strspn(at, " ");
    if (at == line || *at != '[' || (at = strstr(at, "] ")) == NULL)
        return NULL;
    at += 2;
    gap = strstr(at, "  ");
    if (gap == NULL)
        gap = at + strlen(at);
    (void)snprintf(ret, size, "%.*s", (int)(gap - at), at);
    return gap;
}

/* Without the colours of a terminal, and without line ends. */
static void copy_plain(const char *line, char *ret, size_t size)
{
    size_t len = 0;

    while (*line != '\0') {
        if (line[0] == '\033' && line[1] == '[') {
            line += 2 + strcspn(line + 2, "m");
            line += *line == 'm';
            continue;
        }
        put(ret, size, &len, *line == '\n' || *line == '\r' ? ' ' : *line);
        line++;
    }
    ret[len] = '\0';
}

void saidline_extract(const char *line, char *ret, size_t size)
{
    static const char *const causes[] = {"reason", "message", "err"};
    char plain[2 * VALUE_BYTES] = "", msg[VALUE_BYTES] = "", cause[VALUE_BYTES] = "";
    size_t best = sizeof causes / sizeof causes[0];
    struct pair p;
    const char *at;

    copy_plain(line, plain, sizeof plain);
    at = take_terminal_message(plain, msg, sizeof msg);
    if (at == NULL)
        at = plain;
    while ((at = take_pair(at, &p)) != NULL) {
        if (strcmp(p.key, "msg") == 0 && msg[0] == '\0')
            (void)snprintf(msg, sizeof msg, "%s", p.value);
        for (size_t i = 0; i < best; i++) {
            if (strcmp(p.key, causes[i]) == 0) {
                best = i;
                (void)snprintf(cause, sizeof cause, "%s", p.value);
            }
        }
    }
    if (msg[0] == '\0')
        (void)snprintf(ret, size, "%s", plain);
    else
        (void)snprintf(ret, size, "%s%s%s", msg, cause[0] != '\0' ? ": " : "", cause);
}
