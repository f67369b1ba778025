/* Files that root writes into a directory of the service's user. */
#include "consensus/diskfile.h"

#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include <cmocka.h>

#define SERVICE_USER 4711

static void test_only_our_own_files_are_given_away(void **state)
{
    (void)state;
    static const struct {
        const char *name;
        bool is_given;
    } cases[] = {{"file", true}, {"linked", false}, {"symlink", false}, {"directory", false}};
    char dir[] = "/tmp/op-conductor-diskfile-XXXXXX";
    const struct stat owner = {.st_uid = SERVICE_USER, .st_gid = SERVICE_USER};
    struct stat st;

    if (geteuid() != 0) {
        skip();
        return;
    }
    assert_non_null(mkdtemp(dir));
    int dir_fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    assert_true(dir_fd >= 0);
    assert_int_equal(diskfile_replace(dir_fd, "file", "a", 1), 0);
    assert_int_equal(diskfile_replace(dir_fd, "linked", "a", 1), 0);
    assert_int_equal(linkat(dir_fd, "linked", dir_fd, "second name", 0), 0);
    assert_int_equal(diskfile_replace(dir_fd, "elsewhere", "a", 1), 0);
    assert_int_equal(symlinkat("elsewhere", dir_fd, "symlink"), 0);
    assert_int_equal(mkdirat(dir_fd, "directory", 0700), 0);

    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        assert_int_equal(diskfile_give(dir_fd, cases[i].name, &owner), 0);
        assert_int_equal(fstatat(dir_fd, cases[i].name, &st, AT_SYMLINK_NOFOLLOW), 0);
        if ((st.st_uid == SERVICE_USER && st.st_gid == SERVICE_USER) != cases[i].is_given)
            fail_msg("%s was %s", cases[i].name, cases[i].is_given ? "not given" : "given");
    }
    assert_int_equal(fstatat(dir_fd, "elsewhere", &st, 0), 0);
    assert_int_equal(st.st_uid, 0);
    assert_true(diskfile_give(dir_fd, "no such file", &owner) < 0);

    static const char *const names[] = {"file", "linked", "second name", "elsewhere", "symlink"};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        assert_int_equal(unlinkat(dir_fd, names[i], 0), 0);
    assert_int_equal(unlinkat(dir_fd, "directory", AT_REMOVEDIR), 0);
    close(dir_fd);
    assert_int_equal(rmdir(dir), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_only_our_own_files_are_given_away)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
