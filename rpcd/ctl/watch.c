/* conductorctl status --watch: the terminal, the clock and the calls around watch_render.c. */
#include "rpcd/ctl/watch.h"

#include "rpcd/ctl/conductorctl.h"
#include "rpcd/ctl/field.h"

#include <langinfo.h>
#include <locale.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <termios.h>
#include <unistd.h>

#define PERIOD_MS 250
/* Every so many frames. */
#define EVENTS_EVERY 4
#define CALL_TIMEOUT_MS 2000
#define ROWS_DEFAULT 24
#define COLUMNS_DEFAULT 80

static volatile sig_atomic_t is_over;

static void on_signal(int number)
{
    (void)number;
    is_over = 1;
}

static void watch_signals(void)
{
    static const int numbers[] = {SIGINT, SIGTERM, SIGHUP, SIGQUIT};
    struct sigaction action = {.sa_handler = on_signal};
    for (size_t i = 0; i < sizeof numbers / sizeof numbers[0]; i++)
        (void)sigaction(numbers[i], &action, NULL);
    (void)signal(SIGTSTP, SIG_IGN); /* a stopped full-screen view leaves an unusable terminal */
}

/* Keys come one by one and unseen. Returns whether there was something to change. */
static bool take_keys(struct termios *ret_before)
{
    struct termios raw;
    if (!isatty(STDIN_FILENO) || tcgetattr(STDIN_FILENO, ret_before) != 0)
        return false;
    raw = *ret_before;
    raw.c_lflag &= ~(tcflag_t)(ICANON | ECHO);
    return tcsetattr(STDIN_FILENO, TCSANOW, &raw) == 0;
}

/* Waits for the next frame; true when q was pressed or the input has ended. */
static bool wait_for_key(bool has_keys)
{
    struct pollfd p = {.fd = has_keys ? STDIN_FILENO : -1, .events = POLLIN};
    char key = 0;
    if (poll(&p, 1, PERIOD_MS) <= 0 || p.revents == 0)
        return false;
    return read(STDIN_FILENO, &key, 1) != 1 || key == 'q' || key == 'Q';
}

static void look(struct watch_frame *f, cJSON **status, cJSON **events, uint64_t *lost_since_ms, unsigned turn)
{
    cJSON *next = NULL;
    if (ctl_call_within(NULL, f->rpc, "conductor_status", "[]", CALL_TIMEOUT_MS, &next) != CTL_OK) {
        if (*lost_since_ms == 0)
            *lost_since_ms = ctl_now_ms();
        f->lost_ms = ctl_now_ms() - *lost_since_ms + 1;
        return;
    }
    if (*status != NULL && field_number(next, "commits") > field_number(*status, "commits"))
        watch_add_sample(f, field_number(next, "last_commit_us"));
    cJSON_Delete(*status);
    *status = next;
    f->status = next;
    *lost_since_ms = f->lost_ms = 0;
    next = NULL;
    if (turn % EVENTS_EVERY == 0 &&
        ctl_call_within(NULL, f->rpc, "conductor_events", "[null,40]", CALL_TIMEOUT_MS, &next) == CTL_OK) {
        cJSON_Delete(*events);
        *events = next;
        f->events = next;
    }
}

static void measure_screen(struct watch_frame *f)
{
    struct winsize size;
    const bool is_known = ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) == 0 && size.ws_row > 0 && size.ws_col > 0;
    f->rows = is_known ? size.ws_row : ROWS_DEFAULT;
    f->columns = is_known ? size.ws_col : COLUMNS_DEFAULT;
}

int ctl_watch(const struct ctl_request *req)
{
    struct termios before;
    cJSON *status = NULL, *events = NULL;
    uint64_t lost_since_ms = 0;
    struct watch_frame *f = NULL;
    if (!isatty(STDOUT_FILENO)) {
        (void)fprintf(stderr, "conductorctl: --watch needs a terminal; without one: status, status --json or events "
                              "--follow\n");
        return CTL_USAGE;
    }
    /* Whom nobody reaches at first, nobody watches: the reason is worth more than an empty screen. */
    const int code = ctl_call_within(stderr, req->rpc, "conductor_status", "[]", CALL_TIMEOUT_MS, &status);
    f = code == CTL_OK ? calloc(1, sizeof *f) : NULL;
    if (f == NULL)
        goto out;
    f->rpc = req->rpc;
    f->is_utf8 = setlocale(LC_CTYPE, "") != NULL && strcmp(nl_langinfo(CODESET), "UTF-8") == 0;
    watch_signals();
    const bool has_keys = take_keys(&before);
    (void)fputs("\033[?1049h\033[?25l", stdout);
    for (unsigned turn = 0; is_over == 0; turn++) {
        look(f, &status, &events, &lost_since_ms, turn);
        measure_screen(f);
        watch_render(stdout, f);
        if (fflush(stdout) != 0 || wait_for_key(has_keys))
            break;
    }
    (void)fputs("\033[?25h\033[?1049l", stdout);
    (void)fflush(stdout);
    if (has_keys)
        (void)tcsetattr(STDIN_FILENO, TCSANOW, &before);
out:
    free(f);
    cJSON_Delete(status);
    cJSON_Delete(events);
    return code;
}
