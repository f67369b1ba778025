/* Status pages: what a reader accepts, what it sees beside a busy writer, and after one that died. */
#include "testing.h"

#include "shared/base/err.h"
#include "shared/base/fd.h"
#include "shared/shm/page.h"
#include "shared/shm/pages.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#define MS UINT64_C(1000000)
#define HEADER_BYTES 64

static void publishing_and_reading(void **state)
{
    uint64_t body[4] = {1, 2, 3, 4}, back[4] = {0};
    struct page_writer *w = page_create(ROLE_CONSENSUS, 7, sizeof body);
    struct page_reader *r;

    (void)state;
    assert_non_null(w);
    r = page_open(page_fd(w), ROLE_CONSENSUS, sizeof body);
    assert_non_null(r);
    assert_int_equal(page_incarnation(r), 7);

    /* Nothing there yet: not even a heartbeat. */
    assert_int_equal(page_read(r, back, sizeof back), OC_ESTALE);
    assert_true(page_age_ms(r, 100 * MS) == UINT64_MAX);
    page_beat(w, 100 * MS);
    assert_int_equal(page_age_ms(r, 150 * MS), 50);
    assert_int_equal(page_read(r, back, sizeof back), OC_ESTALE);

    page_publish(w, body, 200 * MS);
    assert_int_equal(page_read(r, back, sizeof back), 0);
    assert_memory_equal(back, body, sizeof body);
    assert_int_equal(page_age_ms(r, 200 * MS), 0);
    assert_int_equal(page_age_ms(r, 199 * MS), 0);
    assert_int_equal(page_age_ms(r, 501 * MS), 301);

    /* A prefix only. */
    body[0] = 9;
    body[1] = 10;
    memset(back, 0, sizeof back);
    page_publish(w, body, 300 * MS);
    assert_int_equal(page_read(r, back, 8), 0);
    assert_int_equal(back[0], 9);
    assert_int_equal(back[1], 0);
    assert_int_equal(page_read(r, back, 12), OC_ERANGE);
    assert_int_equal(page_read(r, back, sizeof back + 8), OC_ERANGE);

    page_close(r);
    page_free(w);
    page_close(NULL);
    page_free(NULL);
}

static void the_real_bodies_fit(void **state)
{
    static const size_t sizes[] = {sizeof(struct page_consensus), sizeof(struct page_health),
                                   sizeof(struct page_supervisor)};

    (void)state;
    for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++) {
        struct page_writer *w = page_create(ROLE_HEALTHD, 1, sizes[i]);
        assert_non_null(w);
        page_free(w);
    }
}

static void bad_sizes_are_refused(void **state)
{
    static const size_t sizes[] = {0, 4, 12, PAGE_BODY_MAX_BYTES + 8, SIZE_MAX - 7};

    (void)state;
    for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++) {
        errno = 0;
        assert_null(page_create(ROLE_RPCD, 1, sizes[i]));
        assert_int_equal(errno, EINVAL);
    }
}

static void only_the_creator_can_write(void **state)
{
    struct page_writer *w = page_create(ROLE_HEALTHD, 1, 64);
    int fd;

    (void)state;
    assert_non_null(w);
    fd = page_fd(w);
    assert_int_equal(ftruncate(fd, 0), -1);
    assert_int_equal(pwrite(fd, "x", 1, 0), -1);
    assert_true(mmap(NULL, 64, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0) == MAP_FAILED);
    assert_int_equal(fd_seal(fd, F_SEAL_WRITE), -EPERM);
    page_free(w);
}

static int make_sealed(const void *data, size_t bytes)
{
    int fd = fd_make_memfd("test", 0);

    assert_true(fd >= 0);
    assert_int_equal(fd_write_all(fd, data, bytes), 0);
    assert_int_equal(fd_seal(fd, FD_SEALS_LIVE), 0);
    return fd;
}

static void a_reader_checks_what_it_gets(void **state)
{
    struct page_writer *w = page_create(ROLE_HEALTHD, 1, 64);
    struct page_reader *r;
    int before = count_open_fds(), unsealed = fd_make_memfd("test", HEADER_BYTES + 64);
    int empty_header = fd_make_memfd("test", HEADER_BYTES + 64), truncated, forged;
    unsigned char header[HEADER_BYTES], page[HEADER_BYTES + 64] = {0};

    (void)state;
    assert_non_null(w);
    assert_true(unsealed >= 0 && empty_header >= 0);
    assert_int_equal(fd_seal(empty_header, FD_SEALS_LIVE), 0);
    assert_int_equal(fd_pread_all(page_fd(w), header, sizeof header, 0), 0);
    truncated = make_sealed(header, sizeof header);
    memcpy(page, header, sizeof header);
    page[0] ^= 1;
    forged = make_sealed(page, sizeof page);
    const struct {
        int fd;
        enum proc_role owner;
        size_t bytes;
        int want_errno; /* 0: accepted */
    } cases[] = {
        {page_fd(w), ROLE_HEALTHD, 64, 0},        {page_fd(w), ROLE_CONSENSUS, 64, EPROTO},
        {page_fd(w), ROLE_HEALTHD, 72, EPROTO},   {page_fd(w), ROLE_HEALTHD, 56, EPROTO},
        {page_fd(w), ROLE_HEALTHD, 0, EINVAL},    {unsealed, ROLE_HEALTHD, 64, EPROTO},
        {empty_header, ROLE_HEALTHD, 64, EPROTO}, {truncated, ROLE_HEALTHD, 64, EPROTO},
        {forged, ROLE_HEALTHD, 64, EPROTO},       {-1, ROLE_HEALTHD, 64, EBADF},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        errno = 0;
        r = page_open(cases[i].fd, cases[i].owner, cases[i].bytes);
        assert_int_equal(r == NULL, cases[i].want_errno != 0);
        if (!r)
            assert_int_equal(errno, cases[i].want_errno);
        page_close(r);
    }
    fd_close(&unsealed);
    fd_close(&empty_header);
    fd_close(&truncated);
    fd_close(&forged);
    assert_int_equal(count_open_fds(), before);
    page_free(w);
}

/* ---- beside a writer ---- */

#define RACE_WORDS ((size_t)512)

struct race {
    struct page_writer *w;
    _Atomic bool stop;
};

/* Writes often, but leaves gaps of varying length, as no owner of a page writes all the time. */
static void *publish_until_stopped(void *arg)
{
    struct race *race = arg;
    uint64_t body[RACE_WORDS], seed = 3;

    for (uint64_t version = 1; !atomic_load(&race->stop); version++) {
        for (uint64_t i = 0; i < RACE_WORDS; i++)
            body[i] = version * 1000 + i;
        page_publish(race->w, body, version);
        for (uint32_t gap = next_random(&seed) % 4000; gap > 0 && !atomic_load(&race->stop); gap--)
            atomic_signal_fence(memory_order_seq_cst);
    }
    return NULL;
}

static void readers_never_see_a_mixture(void **state)
{
    struct race race = {.w = page_create(ROLE_CONSENSUS, 1, RACE_WORDS * 8)};
    struct page_reader *r;
    pthread_t thread;
    uint64_t body[RACE_WORDS], last = 0;
    unsigned good = 0, changes = 0;

    (void)state;
    assert_non_null(race.w);
    r = page_open(page_fd(race.w), ROLE_CONSENSUS, RACE_WORDS * 8);
    assert_non_null(r);
    assert_int_equal(pthread_create(&thread, NULL, publish_until_stopped, &race), 0);
    for (unsigned tries = 0; tries < 2000000 && (good < 5000 || changes < 100); tries++) {
        if (page_read(r, body, sizeof body) != 0)
            continue;
        good++;
        for (uint64_t i = 1; i < RACE_WORDS; i++)
            assert_int_equal(body[i], body[0] + i);
        assert_true(body[0] >= last);
        changes += body[0] > last;
        last = body[0];
    }
    atomic_store(&race.stop, true);
    (void)pthread_join(thread, NULL);
    assert_true(good >= 5000 && changes >= 100);
    page_close(r);
    page_free(race.w);
}

/* Whoever is killed while writing leaves a page that reads as stale, at once and for ever. The death
 * is brought about by a body that ends in the middle: reading it kills the writer. */
static void death_within_a_write_reads_as_stale(void **state)
{
    const size_t bytes = 8192;
    struct page_writer *w = page_create(ROLE_HEALTHD, 1, bytes);
    struct page_reader *r;
    uint64_t first[1024], back[1024];
    pid_t pid;
    int status;

    (void)state;
    assert_non_null(w);
    r = page_open(page_fd(w), ROLE_HEALTHD, bytes);
    assert_non_null(r);
    memset(first, 0x11, sizeof first);
    page_publish(w, first, MS);
    assert_int_equal(page_read(r, back, bytes), 0);

    pid = fork();
    assert_true(pid >= 0);
    if (pid == 0) {
        (void)signal(SIGSEGV, SIG_DFL); /* the test framework's would go on with the next test */
        char *map = mmap(NULL, 3 * (size_t)4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
        if (map == MAP_FAILED || mprotect(map + 4096, 4096, PROT_NONE) < 0)
            _exit(0);
        memset(map, 0x22, 4096);
        page_publish(w, map, 2 * MS);
        _exit(0);
    }
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_true(WIFSIGNALED(status));
    assert_int_equal(WTERMSIG(status), SIGSEGV);

    assert_int_equal(page_read(r, back, bytes), OC_ESTALE);
    assert_int_equal(page_read(r, back, 8), OC_ESTALE);
    assert_int_equal(page_age_ms(r, 302 * MS), 301);
    page_close(r);
    page_free(w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(publishing_and_reading),
        cmocka_unit_test(the_real_bodies_fit),
        cmocka_unit_test(bad_sizes_are_refused),
        cmocka_unit_test(only_the_creator_can_write),
        cmocka_unit_test(a_reader_checks_what_it_gets),
        cmocka_unit_test(readers_never_see_a_mixture),
        cmocka_unit_test(death_within_a_write_reads_as_stale),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
