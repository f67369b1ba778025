/* op-conductor: the supervisor's entry. Options, the log, exit codes; the rest is runtime.h. */
#include "shared/base/fd.h"
#include "shared/base/log.h"
#include "supervisor/logout.h"
#include "supervisor/options.h"
#include "supervisor/runtime.h"

#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* What the log may still need when everything else has ended. */
#define LAST_LINES_MS 500

/* Numbers 0-2 must be taken, or a socket of ours would become somebody's standard output. */
static bool fill_standard_fds(void)
{
    int fd;

    do {
        fd = open("/dev/null", O_RDWR | O_CLOEXEC);
        if (fd < 0)
            return false;
    } while (fd <= STDERR_FILENO);
    fd_close(&fd);
    return true;
}

static void start_log(const struct options *opts, struct logout *out)
{
    const struct log_options log = {
        .level = opts->log_level,
        .format = opts->log_format,
        .color = opts->log_color,
        .with_pid = opts->log_pid,
        .role = NULL,
    };

    log_init(&log);
    log_set_sink(logout_sink, out);
}

static int run(const struct options *opts, const struct options_report *report, struct logout *out)
{
    if (report->out)
        (void)fd_write_all(STDOUT_FILENO, report->out, strlen(report->out));
    switch (report->outcome) {
    case OPTIONS_PRINT:
        return EXIT_SUCCESS;
    case OPTIONS_RUN:
        options_log_warnings(opts);
        return runtime_run(opts, environ, out);
    default:
        LOG_CRIT("Application failed", LOG_S("message", report->error));
        return EXIT_FAILURE;
    }
}

int main(int argc, char *argv[])
{
    static struct options opts;
    static struct options_report report;
    struct logout *out;
    int code;

    if (!fill_standard_fds())
        return EXIT_FAILURE;
    out = logout_new(STDOUT_FILENO, LOGOUT_BUFFER_BYTES);
    if (!out) {
        static const char text[] = "op-conductor: error: out of memory\n";
        (void)fd_write_all(STDERR_FILENO, text, sizeof text - 1);
        return EXIT_FAILURE;
    }
    report.outcome = options_parse(argc, argv, environ, isatty(STDOUT_FILENO) == 1, &opts, &report);
    start_log(&opts, out);
    code = run(&opts, &report, out);
    logout_finish(out, LAST_LINES_MS);
    log_set_sink(NULL, NULL);
    logout_free(out);
    options_report_free(&report);
    options_free(&opts);
    return code;
}
