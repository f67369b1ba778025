/* Inner interface of the option parser: what was given, before and while it is checked. */
#ifndef OC_SUPERVISOR_OPTIONS_PARSE_H
#define OC_SUPERVISOR_OPTIONS_PARSE_H

#include "supervisor/flags.h"
#include "supervisor/options.h"

enum given_by { GIVEN_NO, GIVEN_BY_ENV, GIVEN_BY_LINE };

struct given {
    enum given_by by[FLAG_COUNT_MAX];
    const char *text[FLAG_COUNT_MAX]; /* borrowed from argv or envp */
    char *const *command;             /* what follows `--`; NULL when there is no `--` */
};

/* How the flag at `index` was given; text "" and GIVEN_NO when it was not. Names must exist. */
enum given_by given_find(const struct given *given, const char *name, const char **ret_text);

void options_warn(struct options *opts, const char *env_var, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

/* Checks that need more than one value's syntax, in the Go op-conductor's order, and fills what
 * follows from others (el_p2p_rpc, node_argv). Returns 0, or OC_ESYNTAX with the reason in `err`. */
int options_check(struct options *opts, const struct given *given, char *err, size_t err_size);

/* Splits a command line into words as a POSIX shell would, with its quotes and backslashes but
 * without any expansion. *ret_argv is NULL-terminated and the caller's (options_free_words).
 * Returns 0, OC_ESYNTAX (an open quote, a trailing backslash) or -ENOMEM. */
int options_split_words(const char *text, char ***ret_argv);
/* A copy of a NULL-terminated list of words. NULL when out of memory. */
char **options_copy_words(char *const *words);
void options_free_words(char **words);

#endif
