/* Notifications to the service manager: both kinds of address, the watchdog's pace, nobody listening. */
#include "shared/base/fd.h"
#include "supervisor/notify.h"
#include "testing.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define SECOND_NS UINT64_C(1000000000)

static int listen_at(const char *path)
{
    struct sockaddr_un addr = {.sun_family = AF_UNIX};
    socklen_t len = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + strlen(path));
    int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

    memcpy(addr.sun_path, path, strlen(path));
    if (path[0] == '@')
        addr.sun_path[0] = '\0';
    assert_true(fd >= 0);
    assert_int_equal(bind(fd, (struct sockaddr *)&addr, len), 0);
    return fd;
}

static void check_address(const char *path)
{
    struct notify n;
    char got[64] = "";
    int fd = listen_at(path);

    assert_int_equal(setenv("NOTIFY_SOCKET", path, 1), 0);
    (void)unsetenv("WATCHDOG_USEC");
    notify_open(&n, SECOND_NS);
    notify_send(&n, "READY=1\nSTATUS=running");
    assert_true(read(fd, got, sizeof got - 1) > 0);
    assert_string_equal(got, "READY=1\nSTATUS=running");
    /* No watchdog was asked for. */
    assert_true(notify_tick(&n, 99 * SECOND_NS) == UINT64_MAX);
    assert_true(read(fd, got, sizeof got) < 0);
    notify_close(&n);
    fd_close(&fd);
}

static void both_kinds_of_address(void **state)
{
    char path[64];

    (void)state;
    (void)snprintf(path, sizeof path, "@op-conductor-test-%d", getpid());
    check_address(path);
    (void)snprintf(path, sizeof path, "/tmp/op-conductor-test-%d.sock", getpid());
    check_address(path);
    (void)unlink(path);
}

static void the_watchdog_is_fed_at_half_its_limit(void **state)
{
    struct notify n;
    char path[64], got[64] = "";
    int fd;

    (void)state;
    (void)snprintf(path, sizeof path, "@op-conductor-watchdog-%d", getpid());
    fd = listen_at(path);
    assert_int_equal(setenv("NOTIFY_SOCKET", path, 1), 0);
    assert_int_equal(setenv("WATCHDOG_USEC", "4000000", 1), 0);
    notify_open(&n, SECOND_NS);
    assert_true(notify_tick(&n, SECOND_NS) == 3 * SECOND_NS);
    assert_true(read(fd, got, sizeof got - 1) > 0);
    assert_string_equal(got, "WATCHDOG=1");
    assert_true(notify_tick(&n, 3 * SECOND_NS - 1) == 3 * SECOND_NS);
    assert_true(read(fd, got, sizeof got - 1) < 0);
    assert_true(notify_tick(&n, 3 * SECOND_NS) == 5 * SECOND_NS);
    assert_true(read(fd, got, sizeof got - 1) > 0);
    notify_close(&n);

    /* Meant for another process. */
    assert_int_equal(setenv("WATCHDOG_PID", "1", 1), 0);
    notify_open(&n, SECOND_NS);
    assert_true(notify_tick(&n, SECOND_NS) == UINT64_MAX);
    notify_close(&n);
    fd_close(&fd);
}

static void without_a_manager_nothing_happens(void **state)
{
    static const char *const bad[] = {"", "relative", "@", "/"};
    struct notify n;

    (void)state;
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        assert_int_equal(setenv("NOTIFY_SOCKET", bad[i], 1), 0);
        notify_open(&n, SECOND_NS);
        assert_int_equal(n.fd, -1);
        notify_send(&n, "READY=1");
    }
    /* A manager that is gone. */
    assert_int_equal(setenv("NOTIFY_SOCKET", "/nonexistent/notify", 1), 0);
    notify_open(&n, SECOND_NS);
    notify_send(&n, "READY=1");
    notify_close(&n);
    assert_int_equal(n.fd, -1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(both_kinds_of_address),
        cmocka_unit_test(the_watchdog_is_fed_at_half_its_limit),
        cmocka_unit_test(without_a_manager_nothing_happens),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
