/* Error texts, fds, seals, and the catalogue's table. */
#include "testing.h"

#include "shared/base/clock.h"
#include "shared/base/err.h"
#include "shared/base/fd.h"
#include "shared/proto/proto.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

static void every_code_has_its_text(void **state)
{
    static const struct {
        int code;
        const char *text;
    } cases[] = {
        {0, "success"},
        {OC_EPROTO, "the other side broke the protocol"},
        {OC_ELOST, "leadership lost while committing log"},
        {OC_EDISK, "the disk failed"},
        {-ENOENT, "No such file or directory"},
        {-999999, "unknown error"},
        {-900, "unknown error"},
        {OC_ERR_LAST, "unknown error"},
        {5, "unknown error"},
    };

    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++)
        assert_string_equal(err_text(cases[i].code), cases[i].text);
}

static void closing_keeps_errno(void **state)
{
    int fd = -1;

    (void)state;
    errno = EBADMSG;
    fd_close(&fd);
    assert_int_equal(errno, EBADMSG);
    fd = open("/dev/null", O_RDONLY | O_CLOEXEC);
    assert_true(fd >= 0);
    errno = EBADMSG;
    fd_close(&fd);
    assert_int_equal(errno, EBADMSG);
    assert_int_equal(fd, -1);
}

static void socketpair_is_as_promised(void **state)
{
    int fds[2], type;
    socklen_t len = sizeof type;

    (void)state;
    assert_int_equal(fd_make_socketpair(fds), 0);
    for (int i = 0; i < 2; i++) {
        assert_int_equal(getsockopt(fds[i], SOL_SOCKET, SO_TYPE, &type, &len), 0);
        assert_int_equal(type, SOCK_SEQPACKET);
        assert_true(fcntl(fds[i], F_GETFL) & O_NONBLOCK);
        assert_true(fcntl(fds[i], F_GETFD) & FD_CLOEXEC);
        fd_close(&fds[i]);
    }
}

static void flags_are_added(void **state)
{
    int fds[2];

    (void)state;
    assert_int_equal(pipe(fds), 0);
    assert_int_equal(fd_set_nonblocking(fds[0]), 0);
    assert_true(fcntl(fds[0], F_GETFL) & O_NONBLOCK);
    assert_int_equal(fd_set_cloexec(fds[0]), 0);
    assert_true(fcntl(fds[0], F_GETFD) & FD_CLOEXEC);
    assert_false(fcntl(fds[1], F_GETFL) & O_NONBLOCK);
    fd_close(&fds[0]);
    fd_close(&fds[1]);
    assert_int_equal(fd_set_nonblocking(-1), -EBADF);
    assert_int_equal(fd_set_cloexec(-1), -EBADF);
}

static void memfd_is_written_sealed_and_checked(void **state)
{
    static const char text[] = "0123456789";
    char back[8];
    uint64_t bytes = 0;
    int fd = fd_make_memfd("test", 0), pipe_fds[2];

    (void)state;
    assert_true(fd >= 0);
    assert_true(fcntl(fd, F_GETFD) & FD_CLOEXEC);
    assert_int_equal(fd_write_all(fd, text, 10), 0);
    assert_int_equal(fd_check_sealed(fd, FD_SEALS_FINAL, &bytes), OC_EPROTO);
    assert_int_equal(fd_check_sealed(fd, 0, &bytes), 0);
    assert_int_equal(bytes, 10);
    assert_int_equal(fd_seal(fd, FD_SEALS_FINAL), 0);
    assert_int_equal(fd_check_sealed(fd, FD_SEALS_FINAL, &bytes), 0);
    assert_int_equal(fd_check_sealed(fd, F_SEAL_SHRINK | F_SEAL_FUTURE_WRITE, &bytes), OC_EPROTO);
    assert_int_equal(fd_write_all(fd, text, 1), -EPERM);
    assert_int_equal(fd_seal(fd, F_SEAL_FUTURE_WRITE), -EPERM);

    assert_int_equal(fd_pread_all(fd, back, 8, 2), 0);
    assert_memory_equal(back, text + 2, 8);
    assert_int_equal(fd_pread_all(fd, back, 8, 3), OC_ERANGE);
    fd_close(&fd);

    assert_int_equal(pipe(pipe_fds), 0);
    assert_int_equal(fd_check_sealed(pipe_fds[0], 0, &bytes), OC_EPROTO);
    fd_close(&pipe_fds[0]);
    fd_close(&pipe_fds[1]);
    assert_int_equal(fd_check_sealed(-1, 0, &bytes), -EBADF);
}

static void clocks_agree_on_units(void **state)
{
    uint64_t mono_ms = clock_mono_ms(), mono_ns = clock_mono_ns();
    uint64_t wall_ms = clock_wall_ms(), wall_ns = clock_wall_ns();

    (void)state;
    assert_true(mono_ns / 1000000 >= mono_ms && mono_ns / 1000000 - mono_ms < 10000);
    assert_true(wall_ns / 1000000 + 10000 > wall_ms && wall_ns / 1000000 < wall_ms + 10000);
    assert_true(wall_ms > UINT64_C(1600000000000));
}

static void catalogue_rows_are_complete(void **state)
{
    const unsigned workers = ROLE_CONSENSUS | ROLE_HEALTHD | ROLE_RPCD;

    (void)state;
    assert_null(msg_spec_get(MSG_INVALID));
    assert_null(msg_spec_get(MSG_COUNT));
    assert_null(msg_spec_get(UINT32_MAX));
    for (unsigned type = 1; type < MSG_COUNT; type++) {
        const struct msg_spec *s = msg_spec_get(type);
        assert_non_null(s);
        assert_non_null(s->name);
        assert_true(s->from_roles != 0 && s->to_roles != 0 && s->phases != 0);
        /* No edges but supervisor-worker and rpcd-consensus. */
        assert_false(s->from_roles & s->to_roles);
        if (!((s->from_roles | s->to_roles) & ROLE_SUPERVISOR))
            assert_int_equal(s->from_roles | s->to_roles, ROLE_CONSENSUS | ROLE_RPCD);
        assert_true(s->body_bytes > 0 && s->body_bytes <= MSG_BODY_MAX_BYTES);
        for (unsigned other = 1; other < type; other++)
            assert_string_not_equal(s->name, msg_spec_get(other)->name);
    }

    assert_string_equal(msg_spec_get(MSG_HELLO)->name, "HELLO");
    assert_int_equal(msg_spec_get(MSG_HELLO)->from_roles, workers);
    assert_int_equal(msg_spec_get(MSG_HELLO)->to_roles, ROLE_SUPERVISOR);
    assert_int_equal(msg_spec_get(MSG_HELLO)->phases, PHASE_HANDSHAKE);
    assert_int_equal(msg_spec_get(MSG_HELLO)->body_bytes, sizeof(struct msg_hello));
    assert_int_equal(msg_spec_get(MSG_HELLO)->fd_rule, MSG_FD_MUST);
    assert_int_equal(msg_spec_get(MSG_COMMIT)->fd_rule, MSG_FD_MAY);
    assert_int_equal(msg_spec_get(MSG_PING)->phases, PHASE_STARTING | PHASE_RUNNING);
    assert_true(msg_catalogue_hash() != 0);
    assert_true(msg_catalogue_hash() == msg_catalogue_hash());
}

static void roles_have_names(void **state)
{
    (void)state;
    assert_string_equal(proc_role_name(ROLE_SUPERVISOR), "supervisor");
    assert_string_equal(proc_role_name(ROLE_CONSENSUS), "consensus");
    assert_string_equal(proc_role_name(ROLE_HEALTHD), "healthd");
    assert_string_equal(proc_role_name(ROLE_RPCD), "rpcd");
    assert_string_equal(proc_role_name((enum proc_role)3), "unknown");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_code_has_its_text),
        cmocka_unit_test(closing_keeps_errno),
        cmocka_unit_test(socketpair_is_as_promised),
        cmocka_unit_test(flags_are_added),
        cmocka_unit_test(memfd_is_written_sealed_and_checked),
        cmocka_unit_test(clocks_agree_on_units),
        cmocka_unit_test(catalogue_rows_are_complete),
        cmocka_unit_test(roles_have_names),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
