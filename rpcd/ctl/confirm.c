/* Asking before something that costs or may cost sequencing, or cannot be undone. */
#include "rpcd/ctl/conductorctl.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

static bool ask(const char *question, const char *wanted)
{
    char line[64];
    (void)fprintf(stderr, "%s ", question);
    if (fgets(line, sizeof line, stdin) == NULL)
        return false;
    line[strcspn(line, "\n")] = '\0';
    return strcmp(line, wanted) == 0;
}

bool ctl_confirm(const char *what, const char *warning, bool is_twice)
{
    if (!isatty(STDIN_FILENO)) {
        (void)fprintf(stderr, "conductorctl: %s: %s Nobody is there to ask: add --yes to do it.\n", what, warning);
        return false;
    }
    (void)fprintf(stderr, "%s\n", warning);
    if (ask("Continue? (yes/no)", "yes")) {
        char question[96];
        (void)snprintf(question, sizeof question, "Type %.32s to do it:", what);
        if (!is_twice || ask(question, what))
            return true;
    }
    (void)fprintf(stderr, "conductorctl: nothing was done\n");
    return false;
}
