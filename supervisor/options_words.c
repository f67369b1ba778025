/* Word splitting of --node.command. */
#include "supervisor/options_parse.h"

#include "shared/base/err.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

static bool is_blank(char c)
{
    return c == ' ' || c == '\t' || c == '\n';
}

/* Copies one word of *text, unquoted, to *dst. */
static int split_word(const char **text, char **dst)
{
    const char *p = *text;
    char *out = *dst;
    char quote = '\0';

    for (; *p != '\0' && (quote != '\0' || !is_blank(*p)); p++) {
        if (quote == '\0' && (*p == '\'' || *p == '"')) {
            quote = *p;
        } else if (quote != '\0' && *p == quote) {
            quote = '\0';
        } else if (*p == '\\' && quote != '\'') {
            if (p[1] == '\0')
                return OC_ESYNTAX;
            /* Within double quotes a backslash is itself unless it protects something. */
            if (quote == '"' && strchr("\"\\$`\n", p[1]) == NULL)
                *out++ = '\\';
            *out++ = *++p;
        } else {
            *out++ = *p;
        }
    }
    if (quote != '\0')
        return OC_ESYNTAX;
    *out++ = '\0';
    *text = p;
    *dst = out;
    return 0;
}

int options_split_words(const char *text, char ***ret_argv)
{
    size_t len = strlen(text);
    /* A word needs at least one character and, but for the last, a blank. */
    size_t max_words = len / 2 + 1;
    char **words = calloc(max_words + 1, sizeof *words);
    char *bytes = malloc(len + 2), *next = bytes;
    size_t n = 0;
    int rc = -ENOMEM;

    if (words == NULL || bytes == NULL)
        goto out;
    for (;;) {
        char *word = next;

        while (is_blank(*text))
            text++;
        if (*text == '\0')
            break;
        rc = split_word(&text, &next);
        if (rc != 0)
            goto out;
        words[n++] = word;
    }
    *ret_argv = options_copy_words(words);
    rc = *ret_argv != NULL ? 0 : -ENOMEM;
out:
    free(bytes);
    free(words);
    return rc;
}

char **options_copy_words(char *const *words)
{
    size_t n = 0;
    char **copy;

    while (words[n] != NULL)
        n++;
    copy = calloc(n + 1, sizeof *copy);
    for (size_t i = 0; copy != NULL && i < n; i++) {
        copy[i] = strdup(words[i]);
        if (copy[i] == NULL) {
            options_free_words(copy);
            return NULL;
        }
    }
    return copy;
}

void options_free_words(char **words)
{
    for (size_t i = 0; words != NULL && words[i] != NULL; i++)
        free(words[i]);
    free(words);
}
