/* A process that crashes says one line, and ends by the signal all the same. */
#include "shared/worker/crash.h"
#include "testing.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#define TEXT_BYTES 4096

static void crash(int number, int fd)
{
    static const struct rlimit no_core = {0, 0};

    (void)setrlimit(RLIMIT_CORE, &no_core);
    (void)dup2(fd, STDERR_FILENO);
    (void)signal(number, SIG_DFL); /* the test framework and sanitizers handle some */
    crash_install("v9-test");
    (void)raise(number);
    _exit(0); /* not reached */
}

/* Returns the signal that ended it. */
static int run(int number, char *text)
{
    int fds[2], status;
    size_t used = 0;
    ssize_t n;
    pid_t pid;

    assert_int_equal(pipe(fds), 0);
    pid = fork();
    assert_true(pid >= 0);
    if (pid == 0)
        crash(number, fds[1]);
    (void)close(fds[1]);
    while ((n = read(fds[0], text + used, TEXT_BYTES - 1 - used)) > 0)
        used += (size_t)n;
    text[used] = '\0';
    (void)close(fds[0]);
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_true(WIFSIGNALED(status));
    return WTERMSIG(status);
}

static void it_says_signal_build_and_frames(void **state)
{
    static const int signals[] = {SIGABRT, SIGTRAP, SIGSYS, SIGSEGV, SIGBUS, SIGFPE, SIGILL};
    char text[TEXT_BYTES], want[64];

    (void)state;
    for (size_t i = 0; i < sizeof signals / sizeof signals[0]; i++) {
        assert_int_equal(run(signals[i], text), signals[i]);
        (void)snprintf(want, sizeof want, "crashed: signal %d", signals[i]);
        assert_int_equal(strncmp(text, want, strlen(want)), 0);
        assert_non_null(strstr(text, ", build v9-test, frames"));
        /* One line, and somewhere in it our own code. */
        assert_ptr_equal(strchr(text, '\n'), text + strlen(text) - 1);
        assert_non_null(strstr(text, " 0x"));
    }
}

static void on_signal(int number, siginfo_t *info, void *context)
{
    (void)info;
    (void)context;
    _exit(number);
}

static void handlers_of_others_stay(void **state)
{
    struct sigaction action = {.sa_sigaction = on_signal, .sa_flags = (int)SA_SIGINFO}, now;
    pid_t pid;
    int status;

    (void)state;
    pid = fork();
    assert_true(pid >= 0);
    if (pid == 0) {
        (void)sigaction(SIGABRT, &action, NULL);
        (void)signal(SIGTRAP, SIG_DFL);
        crash_install("v9-test");
        if (sigaction(SIGABRT, NULL, &now) < 0 || now.sa_sigaction != on_signal)
            _exit(1);
        _exit(sigaction(SIGTRAP, NULL, &now) == 0 && now.sa_sigaction != on_signal ? 0 : 2);
    }
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_true(WIFEXITED(status));
    assert_int_equal(WEXITSTATUS(status), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(it_says_signal_build_and_frames),
        cmocka_unit_test(handlers_of_others_stay),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
