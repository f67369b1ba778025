/* A spawned process: its fds, signals and group; and how a failure is reported. */
#include "shared/base/fd.h"
#include "supervisor/spawn.h"
#include "testing.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

static char *const no_env[] = {NULL};

/* Waits for the status pipe: 0 after exec, else the errno. */
static struct spawn_failure wait_status(struct spawned *s)
{
    struct spawn_failure failure = {0};
    struct pollfd p = {.fd = s->status_fd, .events = POLLIN};

    assert_int_equal(poll(&p, 1, 10000), 1);
    (void)!read(s->status_fd, &failure, sizeof failure);
    fd_close(&s->status_fd);
    return failure;
}

static siginfo_t collect(struct spawned *s)
{
    siginfo_t info;
    struct pollfd p = {.fd = s->pidfd, .events = POLLIN};

    memset(&info, 0, sizeof info);
    assert_int_equal(poll(&p, 1, 20000), 1);
    assert_int_equal(waitid(P_PIDFD, (id_t)s->pidfd, &info, WEXITED), 0);
    fd_close(&s->pidfd);
    return info;
}

static void spawn_shell(const char *script, int out_fd, struct spawned *ret, bool own_group)
{
    char text[512];
    char *argv[] = {"sh", "-c", text, NULL};
    struct spawn_spec spec = {.path = "/bin/sh", .argv = argv, .envp = no_env, .fd_count = 3, .own_group = own_group};
    int null_fd = open("/dev/null", O_RDWR | O_CLOEXEC);

    (void)snprintf(text, sizeof text, "%s", script);
    spec.fds[0] = null_fd;
    spec.fds[1] = spec.fds[2] = out_fd;
    assert_int_equal(spawn_process(&spec, ret), 0);
    fd_close(&null_fd);
}

static void run_shell(const char *script, char *got, size_t size)
{
    struct spawned s;
    int fds[2];
    ssize_t n;
    size_t used = 0;

    assert_int_equal(pipe2(fds, O_CLOEXEC), 0);
    spawn_shell(script, fds[1], &s, false);
    fd_close(&fds[1]);
    assert_int_equal(wait_status(&s).err, 0);
    while ((n = read(fds[0], got + used, size - 1 - used)) > 0)
        used += (size_t)n;
    got[used] = '\0';
    fd_close(&fds[0]);
    assert_int_equal(collect(&s).si_status, 0);
}

static void failures_name_step_and_error(void **state)
{
    char *argv[] = {"nothing", NULL};
    struct spawn_spec spec = {.path = "/nonexistent/program", .argv = argv, .envp = no_env};
    struct spawn_failure failure;
    struct spawned s;

    (void)state;
    assert_int_equal(spawn_process(&spec, &s), 0);
    failure = wait_status(&s);
    assert_int_equal(failure.step, SPAWN_STEP_EXEC);
    assert_int_equal(failure.err, ENOENT);
    assert_int_equal(collect(&s).si_status, 127);

    spec.path = "/dev/null";
    assert_int_equal(spawn_process(&spec, &s), 0);
    failure = wait_status(&s);
    assert_int_equal(failure.err, EACCES);
    (void)collect(&s);

    spec.path = "/bin/sh";
    spec.fds[0] = 987;
    spec.fd_count = 1;
    assert_int_equal(spawn_process(&spec, &s), 0);
    failure = wait_status(&s);
    assert_int_equal(failure.step, SPAWN_STEP_FDS);
    assert_int_equal(failure.err, EBADF);
    (void)collect(&s);
    assert_string_not_equal(spawn_step_text(SPAWN_STEP_FDS), spawn_step_text(SPAWN_STEP_EXEC));
}

static void exactly_the_given_fds(void **state)
{
    char got[512];
    int leaky = dup(1); /* without close-on-exec */

    (void)state;
    /* ls itself opens the directory as 3. */
    run_shell("ls /proc/self/fd", got, sizeof got);
    assert_string_equal(got, "0\n1\n2\n3\n");
    fd_close(&leaky);
}

static void overlapping_fds_are_placed(void **state)
{
    char text[] = "cat <&3; cat <&4";
    char *argv[] = {"sh", "-c", text, NULL};
    struct spawn_spec spec = {.path = "/bin/sh", .argv = argv, .envp = no_env, .fd_count = 5};
    struct spawned s;
    int out[2], a = -1, b = -1;
    char got[16] = "";

    (void)state;
    assert_int_equal(pipe2(out, O_CLOEXEC), 0);
    a = fd_make_memfd("a", 0);
    b = fd_make_memfd("b", 0);
    assert_int_equal(write(a, "A", 1), 1);
    assert_int_equal(write(b, "B", 1), 1);
    assert_int_equal(lseek(a, 0, SEEK_SET), 0);
    assert_int_equal(lseek(b, 0, SEEK_SET), 0);
    /* Whatever numbers they have, among them targets of each other. */
    spec.fds[0] = 0;
    spec.fds[1] = spec.fds[2] = out[1];
    spec.fds[3] = b;
    spec.fds[4] = a;
    assert_int_equal(spawn_process(&spec, &s), 0);
    fd_close(&out[1]);
    assert_int_equal(wait_status(&s).err, 0);
    assert_int_equal(collect(&s).si_status, 0);
    assert_int_equal(read(out[0], got, sizeof got - 1), 2);
    assert_string_equal(got, "BA");
    fd_close(&out[0]);
    fd_close(&a);
    fd_close(&b);
}

static void signals_are_as_new(void **state)
{
    sigset_t set, old;
    char got[1024];

    (void)state;
    (void)sigemptyset(&set);
    (void)sigaddset(&set, SIGTERM);
    (void)sigaddset(&set, SIGCHLD);
    (void)sigprocmask(SIG_BLOCK, &set, &old);
    (void)signal(SIGPIPE, SIG_IGN);
    run_shell("grep -E 'Sig(Blk|Ign)' /proc/self/status", got, sizeof got);
    (void)sigprocmask(SIG_SETMASK, &old, NULL);
    assert_non_null(strstr(got, "SigBlk:\t0000000000000000"));
    assert_non_null(strstr(got, "SigIgn:\t0000000000000000"));
}

static void a_group_dies_as_one(void **state)
{
    struct spawned s;
    int fds[2];
    char byte;

    (void)state;
    assert_int_equal(pipe2(fds, O_CLOEXEC), 0);
    spawn_shell("sleep 1000 & sleep 1000", fds[1], &s, true);
    fd_close(&fds[1]);
    assert_int_equal(wait_status(&s).err, 0);
    assert_int_equal(getpgid(s.pid), s.pid);
    assert_int_equal(kill(-s.pid, SIGKILL), 0);
    assert_int_equal(collect(&s).si_status, SIGKILL);
    /* The pipe ends only when the last holder of its write end, the helper, is gone. */
    assert_int_equal(read(fds[0], &byte, 1), 0);
    fd_close(&fds[0]);
}

static void programs_are_found_as_a_shell_does(void **state)
{
    char path[256];

    (void)state;
    assert_int_equal(spawn_find_program("sh", "/nonexistent:/bin", path, sizeof path), 0);
    assert_string_equal(path, "/bin/sh");
    assert_int_equal(spawn_find_program("/bin/sh", NULL, path, sizeof path), 0);
    assert_int_equal(spawn_find_program("no-such-program", "/bin", path, sizeof path), -ENOENT);
    assert_int_equal(spawn_find_program("/etc/passwd", NULL, path, sizeof path), -EACCES);
    assert_int_equal(spawn_find_program("/etc", NULL, path, sizeof path), -EACCES);
}

static void users_are_found(void **state)
{
    struct spawn_user user;

    (void)state;
    assert_int_equal(spawn_find_user("root", &user), 0);
    assert_int_equal(user.uid, 0);
    assert_int_equal(user.groups[0], 0);
    assert_int_equal(spawn_find_user("0", &user), 0);
    assert_int_equal(spawn_find_user("no such user", &user), -ENOENT);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(failures_name_step_and_error),
        cmocka_unit_test(exactly_the_given_fds),
        cmocka_unit_test(overlapping_fds_are_placed),
        cmocka_unit_test(signals_are_as_new),
        cmocka_unit_test(a_group_dies_as_one),
        cmocka_unit_test(programs_are_found_as_a_shell_does),
        cmocka_unit_test(users_are_found),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
