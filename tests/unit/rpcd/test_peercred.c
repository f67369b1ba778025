/* Who may use the admin socket. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "rpcd/peercred.h"

#include <sys/socket.h>
#include <unistd.h>

static void by_user_and_group(void **state)
{
    static const gid_t groups[] = {4, 27, 900};
    static const struct {
        uid_t uid;
        gid_t gid;
        size_t groups;
        bool want;
    } rows[] = {
        {0, 0, 0, true},        /* root */
        {900, 1, 0, true},      /* our user */
        {1000, 900, 0, true},   /* our group */
        {1000, 1000, 3, true},  /* a member of it */
        {1000, 1000, 2, false}, /* of others only */
        {1000, 0, 0, false},    /* root's group is not ours */
        {1000, 1000, 0, false},
    };
    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++)
        assert_int_equal(peercred_is_welcome(rows[i].uid, rows[i].gid, groups, rows[i].groups, 900, 900), rows[i].want);
}

static void of_a_real_socket(void **state)
{
    int own[2], none[2];
    (void)state;
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, own), 0);
    assert_null(peercred_refuse(own[0]));
    close(own[0]);
    close(own[1]);
    assert_int_equal(pipe(none), 0);
    assert_non_null(peercred_refuse(none[0])); /* unknown is not welcome */
    close(none[0]);
    close(none[1]);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(by_user_and_group), cmocka_unit_test(of_a_real_socket)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
