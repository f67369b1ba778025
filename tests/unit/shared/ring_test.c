/* The payload ring: random use against a brute-force oracle, and a consumer's checks. */
#include "testing.h"

#include "shared/base/err.h"
#include "shared/base/fd.h"
#include "shared/ipc/ring.h"

#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#define STEP 64
#define MODEL_BYTES ((size_t)16384)
#define MODEL_SLOTS 512

/* The oracle keeps every reservation since the oldest unreleased one, in order, and which of the
 * ring's steps each covers. */
struct model_slot {
    size_t offset, steps, used_bytes;
    unsigned char fill;
    bool released;
};
struct model {
    struct model_slot slots[MODEL_SLOTS];
    size_t count;
    bool taken[MODEL_BYTES / STEP];
};

static void model_settle(struct model *m)
{
    size_t gone = 0;

    while (m->count > 0 && m->slots[m->count - 1].released)
        m->count--;
    while (gone < m->count && m->slots[gone].released)
        gone++;
    memmove(m->slots, m->slots + gone, (m->count - gone) * sizeof m->slots[0]);
    m->count -= gone;
    memset(m->taken, 0, sizeof m->taken);
    for (size_t i = 0; i < m->count; i++) {
        for (size_t s = 0; s < m->slots[i].steps; s++) {
            size_t at = m->slots[i].offset / STEP + s;
            assert_true(at < MODEL_BYTES / STEP);
            assert_false(m->taken[at]); /* no two slots overlap */
            m->taken[at] = true;
        }
    }
}

static bool is_free(const struct model *m, size_t at, size_t steps)
{
    if (at + steps > MODEL_BYTES / STEP)
        return false;
    for (size_t s = 0; s < steps; s++) {
        if (m->taken[at + s])
            return false;
    }
    return true;
}

/* First-in first-out: after the newest slot, else at the beginning if that is before the oldest. */
static bool model_expect(const struct model *m, size_t steps, size_t *ret_offset)
{
    size_t end, oldest;

    if (m->count == 0) {
        *ret_offset = 0;
        return steps <= MODEL_BYTES / STEP;
    }
    end = m->slots[m->count - 1].offset / STEP + m->slots[m->count - 1].steps;
    oldest = m->slots[0].offset / STEP;
    *ret_offset = end * STEP;
    if (is_free(m, end, steps))
        return true;
    *ret_offset = 0;
    return end > oldest && is_free(m, 0, steps);
}

static void model_check_contents(const struct model *m, const struct ring_view *v)
{
    static uint8_t copy[MODEL_BYTES];

    for (size_t i = 0; i < m->count; i++) {
        const struct model_slot *s = &m->slots[i];
        if (s->released)
            continue;
        assert_int_equal(ring_view_copy(v, s->offset, s->used_bytes, copy), 0);
        for (size_t b = 0; b < s->used_bytes; b++)
            assert_int_equal(copy[b], s->fill);
    }
}

static void random_use_follows_the_oracle(void **state)
{
    static struct model m;
    struct ring *r = ring_create(MODEL_BYTES);
    struct ring_view v;
    uint64_t seed = 42;
    unsigned refused = 0, wrapped = 0, granted = 0;

    (void)state;
    assert_non_null(r);
    assert_int_equal(ring_view_open(&v, ring_fd(r), MODEL_BYTES), 0);
    for (int round = 0; round < 20000; round++) {
        uint32_t what = next_random(&seed) % 100;

        if (what < 50 && m.count < MODEL_SLOTS) {
            size_t len = next_random(&seed) % (what < 5 ? MODEL_BYTES + 200 : MODEL_BYTES / 8);
            size_t steps = len == 0 ? 1 : (len + STEP - 1) / STEP, want_offset;
            bool expected = model_expect(&m, steps, &want_offset);
            uint64_t offset = UINT64_MAX;
            uint8_t *p = ring_reserve(r, len, &offset);

            assert_int_equal(p != NULL, expected);
            refused += !expected;
            if (p) {
                struct model_slot *s = &m.slots[m.count++];
                granted++;
                wrapped += offset == 0 && m.count > 1;
                assert_int_equal(offset, want_offset);
                *s = (struct model_slot){
                    .offset = offset, .steps = steps, .used_bytes = len, .fill = (unsigned char)next_random(&seed)};
                memset(p, s->fill, len);
                if (next_random(&seed) % 3 == 0) {
                    s->used_bytes = len / 2;
                    s->steps = s->used_bytes == 0 ? 1 : (s->used_bytes + STEP - 1) / STEP;
                    ring_trim(r, offset, s->used_bytes);
                }
            }
        } else if (what < 98 && m.count > 0) {
            /* Mostly the oldest, as answers come back; sometimes any, sometimes the newest. */
            size_t i = what < 85 ? 0 : what < 95 ? next_random(&seed) % m.count : m.count - 1;
            if (!m.slots[i].released) {
                m.slots[i].released = true;
                ring_release(r, m.slots[i].offset);
            }
        } else if (what == 98) {
            ring_release(r, 32 + next_random(&seed) / STEP * STEP); /* never a slot's offset */
        } else if (next_random(&seed) % 50 == 0) {
            ring_reset(r);
            m.count = 0;
        }
        model_settle(&m);
        if (round % 16 == 0)
            model_check_contents(&m, &v);
    }
    assert_true(granted > 1000 && refused > 100 && wrapped > 100);
    ring_view_close(&v);
    ring_free(r);
}

static void a_slot_may_fill_the_ring_but_no_more(void **state)
{
    struct ring *r = ring_create(4096);
    uint64_t first, second;

    (void)state;
    assert_non_null(r);
    assert_null(ring_reserve(r, 4097, &first));
    assert_null(ring_reserve(r, SIZE_MAX, &first));
    assert_non_null(ring_reserve(r, 4096, &first));
    assert_null(ring_reserve(r, 1, &second));
    assert_null(ring_reserve(r, 0, &second));
    ring_trim(r, first, 64);
    assert_non_null(ring_reserve(r, 4032, &second));
    assert_int_equal(second, 64);
    /* Only the newest can be trimmed, and never enlarged. */
    ring_trim(r, first, 0);
    ring_trim(r, second, 4096);
    ring_release(r, first);
    assert_non_null(ring_reserve(r, 64, &first));
    assert_int_equal(first, 0);
    assert_null(ring_reserve(r, 1, &first));
    ring_reset(r);
    assert_non_null(ring_reserve(r, 4096, &first));
    ring_free(r);
    ring_free(NULL);
}

static void bad_sizes_are_refused(void **state)
{
    (void)state;
    errno = 0;
    assert_null(ring_create(0));
    assert_int_equal(errno, EINVAL);
    assert_null(ring_create(100));
}

static void a_failed_create_leaks_nothing(void **state)
{
    int before = count_open_fds();

    (void)state;
    errno = 0;
    assert_null(ring_create((SIZE_MAX / 2 / STEP) * STEP)); /* more than any file may have */
    assert_true(errno != 0);
    assert_int_equal(count_open_fds(), before);
}

static void the_producer_alone_can_write(void **state)
{
    struct ring *r = ring_create(4096);

    (void)state;
    assert_non_null(r);
    assert_int_equal(ftruncate(ring_fd(r), 0), -1);
    assert_int_equal(pwrite(ring_fd(r), "x", 1, 0), -1);
    assert_true(mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, ring_fd(r), 0) == MAP_FAILED);
    ring_free(r);
}

static void a_view_is_checked(void **state)
{
    struct ring *r = ring_create(4096);
    struct ring_view v;
    uint8_t out[64] = {0};
    uint64_t offset;
    uint8_t *p;
    static const struct {
        uint64_t offset;
        size_t len;
        int rc;
    } cases[] = {
        {0, 64, 0},
        {4032, 64, 0},
        {4096, 0, 0},
        {4033, 64, OC_ERANGE},
        {4096, 1, OC_ERANGE},
        {4097, 0, OC_ERANGE},
        {UINT64_MAX, 1, OC_ERANGE},
        {UINT64_MAX - 62, 64, OC_ERANGE},
        {1, SIZE_MAX, OC_ERANGE},
        {0, 4097, OC_ERANGE},
    };

    (void)state;
    assert_non_null(r);
    p = ring_reserve(r, 64, &offset);
    assert_non_null(p);
    memset(p, 7, 64);
    assert_int_equal(ring_view_open(&v, ring_fd(r), 4095), OC_EPROTO);
    assert_null(v.base);
    assert_int_equal(ring_view_open(&v, ring_fd(r), 4096), 0);
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++)
        assert_int_equal(ring_view_copy(&v, cases[i].offset, cases[i].len, out), cases[i].rc);
    assert_int_equal(ring_view_copy(&v, offset, 64, out), 0);
    assert_int_equal(out[63], 7);
    ring_view_close(&v);
    ring_view_close(&v);
    ring_free(r);
}

static void unsealed_or_empty_files_are_refused(void **state)
{
    struct ring_view v;
    int fd = fd_make_memfd("test", 4096), empty = fd_make_memfd("test", 0);

    (void)state;
    assert_true(fd >= 0 && empty >= 0);
    assert_int_equal(ring_view_open(&v, fd, 4096), OC_EPROTO);
    assert_int_equal(fd_seal(fd, F_SEAL_SHRINK), 0);
    assert_int_equal(ring_view_open(&v, fd, 4096), OC_EPROTO);
    assert_int_equal(fd_seal(fd, F_SEAL_GROW), 0);
    assert_int_equal(ring_view_open(&v, fd, 4096), 0);
    ring_view_close(&v);
    assert_int_equal(fd_seal(empty, F_SEAL_SHRINK | F_SEAL_GROW), 0);
    assert_int_equal(ring_view_open(&v, empty, 4096), OC_EPROTO);
    fd_close(&fd);
    fd_close(&empty);
    assert_int_equal(ring_view_open(&v, -1, 4096), -EBADF);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(random_use_follows_the_oracle),
        cmocka_unit_test(a_slot_may_fill_the_ring_but_no_more),
        cmocka_unit_test(bad_sizes_are_refused),
        cmocka_unit_test(a_failed_create_leaks_nothing),
        cmocka_unit_test(the_producer_alone_can_write),
        cmocka_unit_test(a_view_is_checked),
        cmocka_unit_test(unsealed_or_empty_files_are_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
