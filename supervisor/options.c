/* Reads the command line and the environment into struct options. */
#include "supervisor/options.h"

#include "shared/base/err.h"
#include "supervisor/duration.h"
#include "supervisor/env.h"
#include "supervisor/help.h"
#include "supervisor/options_parse.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

void options_warn(struct options *opts, const char *env_var, const char *format, ...)
{
    struct options_warning *warning;
    va_list args;

    if (opts->warning_count == OPTIONS_WARNINGS_MAX)
        return;
    warning = &opts->warnings[opts->warning_count++];
    snprintf(warning->env_var, sizeof warning->env_var, "%s", env_var);
    va_start(args, format);
    vsnprintf(warning->message, sizeof warning->message, format, args);
    va_end(args);
}

void options_log_warnings(const struct options *opts)
{
    for (unsigned i = 0; i < opts->warning_count; i++) {
        const struct options_warning *w = &opts->warnings[i];

        if (*w->env_var != '\0')
            LOG_WARN(w->message, LOG_S("prefix", ENV_PREFIX), LOG_S("env_var", w->env_var));
        else
            LOG_WARN(w->message);
    }
}

enum given_by given_find(const struct given *given, const char *name, const char **ret_text)
{
    int index = flag_find(name, strlen(name));

    *ret_text = "";
    if (index < 0 || given->by[index] == GIVEN_NO)
        return GIVEN_NO;
    *ret_text = given->text[index];
    return given->by[index];
}

/* ---- the command line ---- */

struct line {
    struct given given;
    bool help;
    bool version;
    char err[512];
};

/* One argument that starts with a dash. Returns how many arguments it used, 0 on error. */
static int line_take_flag(struct line *line, int rest, char *const argv[])
{
    const char *name = argv[0] + (argv[0][1] == '-' ? 2 : 1);
    size_t len = strcspn(name, "=");
    const char *value = name[len] == '=' ? name + len + 1 : NULL;
    int used = 1, index;

    if (len == 0 || *name == '-') {
        snprintf(line->err, sizeof line->err, "bad flag syntax: %s", argv[0]);
        return 0;
    }
    if ((len == 4 && memcmp(name, "help", 4) == 0) || (len == 1 && *name == 'h')) {
        line->help = true;
        return 1;
    }
    if ((len == 7 && memcmp(name, "version", 7) == 0) || (len == 1 && *name == 'v')) {
        line->version = true;
        return 1;
    }
    index = flag_find(name, len);
    if (index < 0) {
        snprintf(line->err, sizeof line->err, "flag provided but not defined: -%.*s", (int)(len < 200 ? len : 200),
                 name);
        return 0;
    }
    if (value == NULL && flag_table[index].type == FLAG_BOOL) {
        value = "true";
    } else if (value == NULL) {
        if (rest < 2) {
            snprintf(line->err, sizeof line->err, "flag needs an argument: -%s", flag_table[index].name);
            return 0;
        }
        value = argv[1];
        used = 2;
    }
    line->given.by[index] = GIVEN_BY_LINE;
    line->given.text[index] = value;
    return used;
}

static int line_read(struct line *line, int argc, char *const argv[])
{
    for (int i = 1; i < argc;) {
        const char *arg = argv[i];
        int used;

        if (strcmp(arg, "--") == 0) {
            line->given.command = argv + i + 1;
            return 0;
        }
        if (arg[0] != '-' || arg[1] == '\0') {
            bool after_bool = i > 1 && argv[i - 1][0] == '-' && strchr(argv[i - 1], '=') == NULL;
            bool ignored;

            if (i == 1 && (strcmp(arg, "help") == 0 || strcmp(arg, "h") == 0)) {
                line->help = true;
                return 0;
            }
            snprintf(line->err, sizeof line->err, "unexpected argument \"%.200s\": %s", arg,
                     after_bool && bool_parse(arg, &ignored) == 0
                         ? "a boolean flag takes its value with '=', as in --paused=false"
                         : "flags start with '-'; the op-node command comes after '--'");
            return OC_ESYNTAX;
        }
        used = line_take_flag(line, argc - i, argv + i);
        if (used == 0)
            return OC_ESYNTAX;
        i += used;
    }
    return 0;
}

/* ---- the environment ---- */

/* An empty variable sets a string to "" and a boolean to false, and is no value for other types. */
static void env_read(struct given *given, char *const envp[])
{
    for (unsigned i = 0; i < flag_count; i++) {
        const struct flag *flag = &flag_table[i];
        char name[ENV_NAME_SIZE];
        const char *value;

        env_name_from_flag(flag->name, name);
        value = env_find(envp, name);
        if (given->by[i] != GIVEN_NO || value == NULL)
            continue;
        if (*value == '\0' && flag->type != FLAG_STRING && flag->type != FLAG_BOOL)
            continue;
        given->by[i] = GIVEN_BY_ENV;
        given->text[i] = *value == '\0' && flag->type == FLAG_BOOL ? "false" : value;
    }
}

static void env_warn_unknown(struct options *opts, char *const envp[])
{
    for (; envp != NULL && *envp != NULL; envp++) {
        if (env_is_unknown(*envp))
            options_warn(opts, *envp, "Unknown env var");
    }
}

/* ---- values ---- */

static void describe_bad_value(const struct flag *flag, enum given_by by, const char *text, const char *want, char *err,
                               size_t err_size)
{
    const char *type = flag_type_name(flag->type);
    char env[ENV_NAME_SIZE];

    if (by == GIVEN_BY_LINE && flag->type == FLAG_BOOL) {
        snprintf(err, err_size, "invalid boolean value \"%.200s\" for -%s: %s", text, flag->name, want);
        return;
    }
    if (by == GIVEN_BY_LINE) {
        snprintf(err, err_size, "invalid value \"%.200s\" for flag -%s: %s", text, flag->name, want);
        return;
    }
    env_name_from_flag(flag->name, env);
    if (*type != '\0')
        snprintf(err, err_size,
                 "could not parse \"%.200s\" as %s value from environment variable \"%s\" for flag %s: %s", text, type,
                 env, flag->name, want);
    else
        snprintf(err, err_size, "could not parse \"%.200s\" from environment variable \"%s\" as value for flag %s: %s",
                 text, env, flag->name, want);
}

/* Stores defaults and given values. Keeps going after a bad one, so that the log options are always
 * set; reports the first. */
static int values_store(struct options *opts, const struct given *given, char *err, size_t err_size)
{
    int rc = 0;

    for (unsigned i = 0; i < flag_count; i++) {
        const struct flag *flag = &flag_table[i];
        const char *want = "";

        if (*flag->default_text != '\0')
            (void)flag_store(flag, flag->default_text, opts, &want);
        if (given->by[i] == GIVEN_NO || flag_store(flag, given->text[i], opts, &want) == 0)
            continue;
        if (rc == 0)
            describe_bad_value(flag, given->by[i], given->text[i], want, err, err_size);
        rc = OC_ESYNTAX;
    }
    return rc;
}

static enum options_outcome usage_error(struct options_report *report, const char *err)
{
    char first_line[sizeof report->error + 32];

    snprintf(report->error, sizeof report->error, "%s", err);
    snprintf(first_line, sizeof first_line, "Incorrect Usage: %s", report->error);
    report->out = help_render(first_line);
    return report->outcome = OPTIONS_USAGE_ERROR;
}

enum options_outcome options_parse(int argc, char *const argv[], char *const envp[], bool stdout_is_tty,
                                   struct options *opts, struct options_report *ret_report)
{
    struct line line = {0};
    char err[sizeof ret_report->error - 64] = "";
    int rc;

    memset(opts, 0, sizeof *opts);
    memset(ret_report, 0, sizeof *ret_report);
    opts->log_color = stdout_is_tty;
    rc = line_read(&line, argc, argv);
    env_read(&line.given, envp);
    if (values_store(opts, &line.given, err, sizeof err) != 0 && rc == 0 && !line.help && !line.version)
        return usage_error(ret_report, err);
    if (line.help || line.version) {
        ret_report->out = line.help ? help_render(NULL) : help_render_version();
        return ret_report->outcome = OPTIONS_PRINT;
    }
    if (rc != 0)
        return usage_error(ret_report, line.err);
    env_warn_unknown(opts, envp);
    if (options_check(opts, &line.given, err, sizeof err) != 0) {
        snprintf(ret_report->error, sizeof ret_report->error, "failed to setup: failed to read config: %s", err);
        return ret_report->outcome = OPTIONS_CONFIG_ERROR;
    }
    return ret_report->outcome = OPTIONS_RUN;
}

void options_free(struct options *opts)
{
    options_free_words(opts->node_argv);
    opts->node_argv = NULL;
}

void options_report_free(struct options_report *report)
{
    free(report->out);
    report->out = NULL;
}
