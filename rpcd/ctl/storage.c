/* What is done to a stopped server's storage is done by the program that owns it. */
#include "rpcd/ctl/conductorctl.h"

#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

int ctl_storage(const struct ctl_request *req)
{
    static const char *const places[] = {"", "/../libexec/op-conductor"};
    char self[PATH_MAX], path[PATH_MAX + 64], option[64];
    ssize_t n = readlink("/proc/self/exe", self, sizeof self - 1);
    char *slash = n > 0 ? memrchr(self, '/', (size_t)n) : NULL;
    (void)snprintf(option, sizeof option, "--%s", req->command);
    if (slash != NULL) {
        *slash = '\0';
        for (size_t i = 0; i < sizeof places / sizeof places[0]; i++) {
            (void)snprintf(path, sizeof path, "%s%s/op-conductor-consensus", self, places[i]);
            if (req->word_count == 2)
                (void)execl(path, path, option, req->words[0], req->words[1], (char *)NULL);
            else
                (void)execl(path, path, option, req->words[0], req->is_yes ? "--yes" : (char *)NULL, (char *)NULL);
        }
    }
    (void)fprintf(stderr, "conductorctl: cannot run op-conductor-consensus: it is neither beside this program nor in "
                          "../libexec/op-conductor\n");
    return CTL_USAGE;
}
