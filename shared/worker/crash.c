/* Writes a line when the process crashes. In the handler only what is safe there: no allocation, no stdio. */
#include "shared/worker/crash.h"

#include <execinfo.h>
#include <signal.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <unistd.h>

#define FRAMES_MAX 32
/* The handler's own. */
#define FRAMES_OWN 1
#define FRAMES_SHOWN 10
#define STACK_BYTES ((size_t)64 << 10)

struct line {
    char at[480];
    size_t len;
};

/* Where the executable is mapped, and its end: the linker's own names. */
extern const char __ehdr_start[];
extern const char etext[];

static const char *crash_build = "";
/* A stack overflow leaves no other room. */
static char crash_stack[STACK_BYTES];

static void add(struct line *l, const char *text)
{
    while (*text != '\0' && l->len < sizeof l->at - 1)
        l->at[l->len++] = *text++;
}

static void add_number(struct line *l, uint64_t value, unsigned base)
{
    char digits[24];
    size_t i = sizeof digits;

    digits[--i] = '\0';
    do {
        digits[--i] = "0123456789abcdef"[value % base];
        value /= base;
    } while (value > 0);
    add(l, digits + i);
}

static bool is_ours(const void *frame)
{
    return (uintptr_t)frame >= (uintptr_t)__ehdr_start && (uintptr_t)frame < (uintptr_t)etext;
}

/* As offsets within the executable, which addr2line takes; "?" stands for any number of library frames. */
static void add_frames(struct line *l, void *const *frames, int count)
{
    bool was_ours = true;
    int shown = 0;

    for (int i = FRAMES_OWN; i < count && shown < FRAMES_SHOWN; i++) {
        bool ours = is_ours(frames[i]);

        if (ours) {
            add(l, " 0x");
            add_number(l, (uintptr_t)frames[i] - (uintptr_t)__ehdr_start, 16);
        } else if (was_ours) {
            add(l, " ?");
        }
        shown += ours || was_ours;
        was_ours = ours;
    }
}

static void on_crash(int number, siginfo_t *info, void *context)
{
    void *frames[FRAMES_MAX];
    struct line l = {.len = 0};
    int count;
    ssize_t n;

    (void)context;
    add(&l, "crashed: signal ");
    add_number(&l, (uint64_t)number, 10);
    if (number == SIGSEGV || number == SIGBUS || number == SIGILL || number == SIGFPE) {
        add(&l, " at address 0x");
        add_number(&l, (uintptr_t)info->si_addr, 16);
    }
    add(&l, ", build ");
    add(&l, crash_build);
    add(&l, ", frames");
    count = backtrace(frames, FRAMES_MAX);
    add_frames(&l, frames, count);
    l.at[l.len++] = '\n';
    n = write(STDERR_FILENO, l.at, l.len);
    (void)n;
    /* The handler is gone already (SA_RESETHAND): this one ends the process. */
    (void)raise(number);
}

void crash_install(const char *build)
{
    static const int signals[] = {SIGSEGV, SIGBUS, SIGILL, SIGFPE, SIGABRT, SIGTRAP, SIGSYS};
    const stack_t stack = {.ss_sp = crash_stack, .ss_size = sizeof crash_stack};
    struct sigaction action, old;
    void *frame;

    crash_build = build;
    /* The first call loads a library, which must not happen in the handler. */
    (void)backtrace(&frame, 1);
    (void)sigaltstack(&stack, NULL);
    memset(&action, 0, sizeof action);
    action.sa_sigaction = on_crash;
    action.sa_flags = (int)(SA_SIGINFO | SA_ONSTACK | SA_RESETHAND | SA_NODEFER);
    (void)sigemptyset(&action.sa_mask);
    for (size_t i = 0; i < sizeof signals / sizeof signals[0]; i++) {
        if (sigaction(signals[i], NULL, &old) == 0 && (old.sa_flags & SA_SIGINFO) == 0 && old.sa_handler == SIG_DFL)
            (void)sigaction(signals[i], &action, NULL);
    }
}
