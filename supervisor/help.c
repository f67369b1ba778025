/* Renders --help from the flag table. */
#include "supervisor/help.h"

#include "supervisor/env.h"
#include "supervisor/flags.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define DETAIL_INDENT 6

const char *options_version(void)
{
    return OC_VERSION;
}

/* Prints words of `text` wrapped at HELP_COLUMNS; *column is where the cursor stands. */
static void print_wrapped(FILE *out, const char *text, unsigned *column)
{
    while (*text != '\0') {
        size_t word = strcspn(text, " ");

        if (*column > DETAIL_INDENT && *column + 1 + word > HELP_COLUMNS) {
            fputc('\n', out);
            *column = 0;
        }
        if (*column == 0)
            *column = (unsigned)fprintf(out, "%*s", DETAIL_INDENT, "");
        else if (*column > DETAIL_INDENT)
            *column += (unsigned)fprintf(out, " ");
        *column += (unsigned)fprintf(out, "%.*s", (int)word, text);
        text += word;
        text += strspn(text, " ");
    }
}

static void print_flag(FILE *out, const struct flag *flag)
{
    char env[ENV_NAME_SIZE], note[ENV_NAME_SIZE + 64];
    unsigned column = 0;

    fprintf(out, "  --%s%s%s\n", flag->name, flag->value_name != NULL ? " " : "",
            flag->value_name != NULL ? flag->value_name : "");
    print_wrapped(out, flag->help, &column);
    if (flag->need != NEED_NO) {
        print_wrapped(out, "(required)", &column);
    } else if (*flag->default_text != '\0' && flag->group != GROUP_INERT && flag->group != GROUP_REFUSED) {
        snprintf(note, sizeof note, "(default: %s)", flag->default_text);
        print_wrapped(out, note, &column);
    }
    env_name_from_flag(flag->name, env);
    snprintf(note, sizeof note, "[$%s]", env);
    print_wrapped(out, note, &column);
    fputc('\n', out);
}

static void print_all(FILE *out)
{
    fprintf(out,
            "NAME:\n   op-conductor - Optimism Sequencer Conductor Service\n\n"
            "USAGE:\n   op-conductor [flags]                     beside an op-node that runs on its own\n"
            "   op-conductor [flags] -- op-node ARGS…    run op-node as a managed child\n\n"
            "VERSION:\n   %s\n\n"
            "DESCRIPTION:\n   Keeps exactly one sequencer of a cluster producing blocks: takes part in a Raft\n"
            "   cluster, watches op-node and the execution client, starts and stops sequencing.\n"
            "   A flag wins over its environment variable (in brackets), which wins over the default.\n",
            OC_VERSION);
    for (unsigned g = 0; g < GROUP_COUNT; g++) {
        fprintf(out, "\n%s:\n", flag_group_title((enum flag_group)g));
        for (unsigned i = 0; i < flag_count; i++) {
            if (flag_table[i].group == (enum flag_group)g)
                print_flag(out, &flag_table[i]);
        }
    }
    fprintf(out,
            "\nOTHER:\n  --help, -h\n      Show this and exit.\n  --version, -v\n      Show the version and exit.\n");
}

static char *render(const char *first_line, void (*print)(FILE *out))
{
    char *text = NULL;
    size_t len = 0;
    FILE *out = open_memstream(&text, &len);

    if (out == NULL)
        return NULL;
    if (first_line != NULL)
        fprintf(out, "%s\n\n", first_line);
    print(out);
    if (fclose(out) != 0) {
        free(text);
        return NULL;
    }
    return text;
}

static void print_version(FILE *out)
{
    fprintf(out, "op-conductor version %s\n", OC_VERSION);
}

char *help_render(const char *first_line)
{
    return render(first_line, print_all);
}

char *help_render_version(void)
{
    return render(NULL, print_version);
}
