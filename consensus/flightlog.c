/* The thread that keeps the flight recorder's file. */
#include "consensus/flightlog.h"

#include "consensus/diskfile.h"
#include "shared/base/clock.h"
#include "shared/base/err.h"
#include "shared/base/fd.h"
#include "shared/base/log.h"
#include "shared/flight/ring.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

/* Only a ceiling: a new record wakes the thread. */
#define WAIT_MS 1000
#define SYNC_AFTER_MS 1000
#define RETRY_MS 10000
#define STOP_LIMIT_MS 1000
#define STOP_STEP_MS 10

struct flightlog {
    pthread_t thread;
    struct flight_reader *ring;
    char path[PATH_MAX];
    _Atomic bool stopping;
    /* the thread's */
    int fd; /* -1: not open */
    uint64_t copied;
    uint64_t dirty_ms; /* since when something is not synced; 0: nothing */
    uint64_t retry_ms; /* not before */
    bool complained;
};

/* ---- the file ---- */

static void fail(struct flightlog *f, int rc)
{
    fd_close(&f->fd);
    f->dirty_ms = 0;
    f->retry_ms = clock_mono_ms() + RETRY_MS;
    if (f->complained)
        return;
    f->complained = true;
    LOG_WARN("Events are kept in memory only: their file cannot be written", LOG_S("file", f->path), LOG_E(rc));
}

/* What the slot should hold: the ring's newest record for it, or nothing. */
static void fill_slot(const struct flight_reader *ring, size_t slot, uint64_t newest, struct flight_record *ret)
{
    uint64_t sequence = slot + 1;

    if (newest > slot)
        sequence += (newest - sequence) / FLIGHT_SLOTS * FLIGHT_SLOTS;
    if (flight_reader_get(ring, sequence, ret) < 0)
        memset(ret, 0, sizeof *ret);
}

/* The file as it should be, compared with what there is: only slots that differ are written. */
static int bring_up_to_date(struct flightlog *f, unsigned char *image)
{
    uint64_t newest = flight_reader_newest(f->ring);
    struct flight_record r;
    int rc = fd_pread_all(f->fd, image, FLIGHT_FILE_BYTES, 0);

    for (size_t slot = 0; slot < FLIGHT_SLOTS && rc == 0; slot++) {
        size_t offset = (slot + 1) * FLIGHT_RECORD_BYTES;
        fill_slot(f->ring, slot, newest, &r);
        if (memcmp(image + offset, &r, sizeof r) != 0)
            rc = diskfile_write_at(f->fd, &r, sizeof r, offset);
    }
    if (rc == 0 && fdatasync(f->fd) < 0)
        rc = -errno;
    f->copied = newest;
    return rc;
}

/* A new file appears complete or not at all, with all of its space. */
static int create(struct flightlog *f, unsigned char *image)
{
    uint64_t newest = flight_reader_newest(f->ring);
    char temporary[PATH_MAX + 8];
    struct flight_record r;
    int rc;

    (void)snprintf(temporary, sizeof temporary, "%s.tmp", f->path);
    flight_header_make(image);
    for (size_t slot = 0; slot < FLIGHT_SLOTS; slot++) {
        fill_slot(f->ring, slot, newest, &r);
        memcpy(image + (slot + 1) * FLIGHT_RECORD_BYTES, &r, sizeof r);
    }
    f->fd = open(temporary, O_RDWR | O_CREAT | O_TRUNC | O_NOFOLLOW | O_CLOEXEC, 0640);
    if (f->fd < 0)
        return -errno;
    rc = diskfile_write_at(f->fd, image, FLIGHT_FILE_BYTES, 0);
    if (rc == 0 && fdatasync(f->fd) < 0)
        rc = -errno;
    if (rc == 0 && rename(temporary, f->path) < 0)
        rc = -errno;
    if (rc < 0)
        (void)unlink(temporary);
    f->copied = newest;
    return rc;
}

static bool is_usable(int fd)
{
    unsigned char header[FLIGHT_RECORD_BYTES];
    struct stat st;

    return fstat(fd, &st) == 0 && S_ISREG(st.st_mode) && (uint64_t)st.st_size == FLIGHT_FILE_BYTES &&
           fd_pread_all(fd, header, sizeof header, 0) == 0 && flight_header_check(header) == 0;
}

static void open_file(struct flightlog *f)
{
    unsigned char *image = malloc(FLIGHT_FILE_BYTES);
    int rc = image ? 0 : -ENOMEM;

    if (rc == 0) {
        /* Non-blocking: for the day somebody put a pipe there. */
        f->fd = open(f->path, O_RDWR | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
        if (f->fd >= 0 && is_usable(f->fd)) {
            rc = bring_up_to_date(f, image);
        } else if (f->fd >= 0 || errno == ENOENT) {
            /* None yet, or one of another version, or damaged: begin anew. */
            fd_close(&f->fd);
            rc = create(f, image);
        } else {
            rc = -errno;
        }
    }
    free(image);
    if (rc < 0)
        fail(f, rc);
    else
        f->complained = false;
}

static void copy(struct flightlog *f)
{
    uint64_t newest = flight_reader_newest(f->ring);
    struct flight_record r;

    if (f->copied + FLIGHT_SLOTS < newest)
        f->copied = newest - FLIGHT_SLOTS; /* overtaken by a whole round */
    while (f->copied < newest) {
        uint64_t sequence = f->copied + 1;
        int rc = 0;
        if (flight_reader_get(f->ring, sequence, &r) == 0)
            rc = diskfile_write_at(f->fd, &r, sizeof r, (flight_slot_of(sequence) + 1) * FLIGHT_RECORD_BYTES);
        if (rc < 0) {
            fail(f, rc);
            return;
        }
        f->copied = sequence;
        if (f->dirty_ms == 0)
            f->dirty_ms = clock_mono_ms();
    }
}

static void sync_when_due(struct flightlog *f)
{
    if (f->dirty_ms == 0 || (clock_mono_ms() < f->dirty_ms + SYNC_AFTER_MS && !f->stopping))
        return;
    f->dirty_ms = 0;
    if (fdatasync(f->fd) < 0)
        fail(f, -errno);
}

/* ---- the thread ---- */

static void *run(void *ctx)
{
    struct flightlog *f = ctx;
    bool last;

    do {
        last = f->stopping; /* looked at before the last copy, not after it */
        if (f->fd < 0 && (last || clock_mono_ms() >= f->retry_ms))
            open_file(f);
        if (f->fd >= 0)
            copy(f);
        if (f->fd >= 0)
            sync_when_due(f);
        if (!last)
            flight_reader_wait(f->ring, f->fd >= 0 ? f->copied : UINT64_MAX, WAIT_MS);
    } while (!last);
    return NULL;
}

struct flightlog *flightlog_start(int ring_fd, const char *path)
{
    struct flightlog *f = calloc(1, sizeof *f);
    sigset_t all, old;
    int rc;

    if (!f)
        return NULL;
    f->fd = -1;
    (void)snprintf(f->path, sizeof f->path, "%s", path);
    f->ring = flight_reader_open(ring_fd);
    if (!f->ring) {
        free(f);
        return NULL;
    }
    (void)sigfillset(&all);
    (void)pthread_sigmask(SIG_SETMASK, &all, &old);
    rc = pthread_create(&f->thread, NULL, run, f);
    (void)pthread_sigmask(SIG_SETMASK, &old, NULL);
    if (rc != 0) {
        flight_reader_close(f->ring);
        free(f);
        errno = rc;
        return NULL;
    }
    return f;
}

void flightlog_stop(struct flightlog *f)
{
    if (!f)
        return;
    f->stopping = true;
    for (unsigned waited_ms = 0; waited_ms < STOP_LIMIT_MS; waited_ms += STOP_STEP_MS) {
        struct timespec until;
        /* Again and again: the thread may just be about to sleep. */
        flight_reader_wake(f->ring);
        (void)clock_gettime(CLOCK_REALTIME, &until);
        until.tv_nsec += STOP_STEP_MS * 1000000L;
        if (until.tv_nsec >= 1000000000L) {
            until.tv_sec++;
            until.tv_nsec -= 1000000000L;
        }
        if (pthread_timedjoin_np(f->thread, NULL, &until) == 0) {
            flight_reader_close(f->ring);
            fd_close(&f->fd);
            free(f);
            return;
        }
    }
    /* It hangs on the disk: left behind, with what it uses; the process is about to end. */
    (void)pthread_detach(f->thread);
    LOG_WARN("The events' file does not take the last records in time", LOG_S("file", f->path));
}
