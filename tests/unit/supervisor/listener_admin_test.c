/* The admin socket's file: where it is put, who may use it, and whose file is never touched. */
#include "shared/base/err.h"
#include "shared/base/fd.h"
#include "supervisor/listener_admin.h"
#include "testing.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

static char dir[64], path[80];

static int set_up(void **state)
{
    (void)state;
    (void)snprintf(dir, sizeof dir, "/tmp/admin-socket-XXXXXX");
    (void)snprintf(path, sizeof path, "%s/admin.sock", mkdtemp(dir));
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    (void)unlink(path);
    return rmdir(dir);
}

static int try_connect(void)
{
    struct sockaddr_un addr = {.sun_family = AF_UNIX};
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    int rc;

    (void)snprintf(addr.sun_path, sizeof addr.sun_path, "%s", path);
    rc = connect(fd, (const struct sockaddr *)&addr, sizeof addr) == 0 ? 0 : -errno;
    fd_close(&fd);
    return rc;
}

static void user_and_group_can_connect(void **state)
{
    struct admin_socket s;
    struct stat st;
    char error[512] = "";
    mode_t before = umask(022);

    (void)state;
    assert_int_equal(listener_admin_open(&s, path, error, sizeof error), 0);
    assert_int_equal(umask(before), 022);
    assert_int_equal(stat(path, &st), 0);
    assert_int_equal(st.st_mode & 07777, 0660);
    assert_true(fcntl(s.fd, F_GETFD) & FD_CLOEXEC);
    assert_true(fcntl(s.fd, F_GETFL) & O_NONBLOCK);
    assert_int_equal(try_connect(), 0);
    listener_admin_close(&s);
    assert_int_equal(stat(path, &st), -1);
    listener_admin_close(&s);
}

static void a_live_one_is_left_alone(void **state)
{
    struct admin_socket first, second;
    char error[512] = "";

    (void)state;
    assert_int_equal(listener_admin_open(&first, path, error, sizeof error), 0);
    assert_int_equal(listener_admin_open(&second, path, error, sizeof error), -EADDRINUSE);
    assert_non_null(strstr(error, path));
    assert_non_null(strstr(error, "another process serves it"));
    listener_admin_close(&second);
    assert_int_equal(try_connect(), 0);
    listener_admin_close(&first);
}

static void the_file_of_a_dead_one_is_replaced(void **state)
{
    struct admin_socket s;
    char error[512] = "";

    (void)state;
    assert_int_equal(listener_admin_open(&s, path, error, sizeof error), 0);
    fd_close(&s.fd); /* as when it is killed */
    assert_int_equal(try_connect(), -ECONNREFUSED);
    assert_int_equal(listener_admin_open(&s, path, error, sizeof error), 0);
    assert_int_equal(try_connect(), 0);
    listener_admin_close(&s);
}

static void what_is_no_socket_is_not_replaced(void **state)
{
    struct admin_socket s;
    struct stat st;
    char error[512] = "";
    int fd = open(path, O_CREAT | O_WRONLY | O_CLOEXEC, 0600);

    (void)state;
    fd_close(&fd);
    assert_int_equal(listener_admin_open(&s, path, error, sizeof error), -ENOTSOCK);
    assert_non_null(strstr(error, "--rpc.admin-socket"));
    assert_non_null(strstr(error, "no socket"));
    assert_int_equal(stat(path, &st), 0);
}

static void anothers_file_is_not_removed(void **state)
{
    struct admin_socket first, second;
    char error[512] = "";

    (void)state;
    assert_int_equal(listener_admin_open(&first, path, error, sizeof error), 0);
    assert_int_equal(unlink(path), 0);
    assert_int_equal(listener_admin_open(&second, path, error, sizeof error), 0);
    listener_admin_close(&first);
    assert_int_equal(try_connect(), 0);
    listener_admin_close(&second);
}

static void a_missing_directory_is_named(void **state)
{
    struct admin_socket s;
    char error[512] = "";
    char deep[128];

    (void)state;
    (void)snprintf(deep, sizeof deep, "%s/missing/admin.sock", dir);
    assert_int_equal(listener_admin_open(&s, deep, error, sizeof error), -ENOENT);
    assert_non_null(strstr(error, deep));
    assert_non_null(strstr(error, "make its directory first"));
}

static void where_it_is_put(void **state)
{
    static char long_dir[160] = "RUNTIME_DIRECTORY=/run/";
    static const struct {
        const char *env;
        bool is_given;
        const char *asked, *want;
    } rows[] = {
        {"RUNTIME_DIRECTORY=/run/other", false, "", "/run/other/admin.sock"},
        {"RUNTIME_DIRECTORY=/run/one:/run/two", false, "", "/run/one/admin.sock"},
        {"RUNTIME_DIRECTORY=/run/other", true, "/tmp/x", "/tmp/x"},
        {"RUNTIME_DIRECTORY=/run/other", true, "", ""},
        {long_dir, false, "", ""},
    };

    (void)state;
    memset(long_dir + strlen(long_dir), 'a', sizeof long_dir - 1 - strlen(long_dir));
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct options *opts = calloc(1, sizeof *opts);
        char *envp[] = {(char *)(uintptr_t)rows[i].env, NULL};
        char got[OPTIONS_SOCKET_SIZE];

        opts->admin_socket_given = rows[i].is_given;
        (void)snprintf(opts->admin_socket, sizeof opts->admin_socket, "%s", rows[i].asked);
        listener_admin_choose(opts, envp, got, sizeof got);
        assert_string_equal(got, rows[i].want);
        free(opts);
    }
}

int main(void)
{
#define T(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        T(user_and_group_can_connect),
        T(a_live_one_is_left_alone),
        T(the_file_of_a_dead_one_is_replaced),
        T(what_is_no_socket_is_not_replaced),
        T(anothers_file_is_not_removed),
        T(a_missing_directory_is_named),
        T(where_it_is_put),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
