/* The disk thread. */
#include "consensus/disk.h"
#include "consensus/snapfile.h"
#include "shared/base/clock.h"
#include "shared/base/err.h"
#include "shared/base/fd.h"

#include <errno.h>
#include <inttypes.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <time.h>
#include <unistd.h>

/* A piece of a snapshot that took long (a busy disk) does not make the next one wait longer than this. */
#define PIECE_PAUSE_MAX_NS UINT64_C(20000000)
/* So long without a job is idle; then so long between two pieces of work. */
#define IDLE_NS UINT64_C(10000000)
#define IDLE_STEP_NS UINT64_C(1000000)

enum job_kind { JOB_APPEND, JOB_TRUNCATE, JOB_SNAPSHOT, JOB_INSTALL };

struct job {
    struct job *next;
    enum job_kind kind;
    bool void_; /* its result is of no interest any more */
    uint64_t index;
    struct entry *entry;
    struct snapshot *snapshot;
};

struct queue {
    struct job *head, **tail;
};

struct disk {
    pthread_t thread;
    pthread_mutex_t mutex;
    pthread_cond_t wake;
    /* guarded by mutex */
    struct queue waiting, done;
    struct job *running, *running_inner; /* the inner one: of the log, during a snapshot */
    bool stopping;
    bool failed, failure_told;
    int rc;
    char text[DISK_TEXT_SIZE];
    uint64_t bytes;
    /* the thread's */
    struct segments *segments;
    int dir_fd;
    uint64_t snapshot_bytes;
    uint64_t piece_ns; /* when the piece of a snapshot that is being written was begun */
    int event_fd;
};

static void queue_init(struct queue *q)
{
    q->head = NULL;
    q->tail = &q->head;
}

static void queue_push(struct queue *q, struct job *j)
{
    j->next = NULL;
    *q->tail = j;
    q->tail = &j->next;
}

static struct job *queue_pop(struct queue *q)
{
    struct job *j = q->head;
    if (j != NULL) {
        q->head = j->next;
        if (q->head == NULL)
            q->tail = &q->head;
    }
    return j;
}

static void job_free(struct job *j)
{
    entry_unref(j->entry);
    snapshot_unref(j->snapshot);
    free(j);
}

static void signal_loop(struct disk *d)
{
    uint64_t one = 1;
    ssize_t n = write(d->event_fd, &one, sizeof one);
    (void)n; /* full only if the loop has been told already */
}

/* With the mutex held. */
static void fail(struct disk *d, int rc, const char *what, uint64_t index)
{
    if (d->failed)
        return;
    d->failed = true;
    d->rc = rc;
    snprintf(d->text, sizeof d->text, "%s (entry %" PRIu64 "): %s", what, index, err_text(rc));
    signal_loop(d);
}

/* ---- the thread ---- */

static void run_append(struct disk *d, struct job *j)
{
    pthread_mutex_lock(&d->mutex);
    bool skip = j->void_; /* a truncation is already waiting behind it */
    pthread_mutex_unlock(&d->mutex);
    int rc = skip ? 0 : segments_append(d->segments, j->index, j->entry);
    if (rc != 0) {
        pthread_mutex_lock(&d->mutex);
        fail(d, rc, "the log cannot be written", j->index);
        pthread_mutex_unlock(&d->mutex);
    }
}

static void run_truncate(struct disk *d, const struct job *j)
{
    int rc = segments_truncate(d->segments, j->index);
    if (rc != 0) {
        pthread_mutex_lock(&d->mutex);
        fail(d, rc, "the log cannot be truncated", j->index);
        pthread_mutex_unlock(&d->mutex);
    }
}

/* With the mutex held. */
static void job_done(struct disk *d, struct job *j)
{
    if (d->failed) {
        job_free(j);
    } else {
        queue_push(&d->done, j);
        signal_loop(d);
    }
}

static void run_log_job(struct disk *d, struct job *j)
{
    if (j->kind == JOB_APPEND)
        run_append(d, j);
    else
        run_truncate(d, j);
}

/* With the mutex held; waits for a job until then. */
static void wait_until(struct disk *d, uint64_t until_ns)
{
    struct timespec at = {.tv_sec = (time_t)(until_ns / 1000000000), .tv_nsec = (long)(until_ns % 1000000000)};
    pthread_cond_timedwait(&d->wake, &d->mutex, &at);
}

/* Between two pieces of a snapshot: the log goes first, and the disk belongs to the log half of the
 * time anyway, because other jobs may come just when a piece was begun. */
static bool pause_snapshot(void *ctx)
{
    struct disk *d = ctx;
    uint64_t now = clock_mono_ns();
    uint64_t until = now + (now - d->piece_ns < PIECE_PAUSE_MAX_NS ? now - d->piece_ns : PIECE_PAUSE_MAX_NS);

    pthread_mutex_lock(&d->mutex);
    while (!d->failed && !d->running->void_) {
        struct job *next = d->waiting.head;
        if (next != NULL && (next->kind == JOB_APPEND || next->kind == JOB_TRUNCATE)) {
            d->running_inner = queue_pop(&d->waiting);
            pthread_mutex_unlock(&d->mutex);
            run_log_job(d, next);
            pthread_mutex_lock(&d->mutex);
            d->running_inner = NULL;
            job_done(d, next);
        } else if (next != NULL || d->stopping || clock_mono_ns() >= until) {
            break;
        } else {
            wait_until(d, until);
        }
    }
    bool go_on = !d->failed && !d->running->void_;
    pthread_mutex_unlock(&d->mutex);
    d->piece_ns = clock_mono_ns();
    return go_on;
}

static void run_snapshot(struct disk *d, struct job *j)
{
    uint64_t newest;
    bool install = j->kind == JOB_INSTALL;
    pthread_mutex_lock(&d->mutex);
    bool skip = j->void_; /* an installation is already waiting behind it */
    pthread_mutex_unlock(&d->mutex);
    if (skip)
        return;
    d->piece_ns = clock_mono_ns();
    int rc = snapfile_write(d->dir_fd, j->snapshot, install ? NULL : pause_snapshot, d);
    if (rc == -ECANCELED)
        return; /* overtaken by an installation, or failed in between */
    if (rc == 0)
        rc = install ? segments_drop_all(d->segments) : segments_purge(d->segments, j->index);
    if (rc == 0)
        rc = snapfile_purge(d->dir_fd);
    if (rc == 0)
        rc = snapfile_newest(d->dir_fd, &newest, &d->snapshot_bytes);
    if (rc != 0) {
        pthread_mutex_lock(&d->mutex);
        fail(d, rc, "a snapshot cannot be written", j->snapshot->index);
        pthread_mutex_unlock(&d->mutex);
    }
}

static void run_job(struct disk *d, struct job *j)
{
    if (j->kind == JOB_SNAPSHOT || j->kind == JOB_INSTALL)
        run_snapshot(d, j);
    else
        run_log_job(d, j);
}

/* Nothing to do: the place of the next writes is made ready, a piece at a time, so that the disk is never
 * busy with it for long. If that fails, the write that needs the place tells. With the mutex held. */
static void use_idle_time(struct disk *d)
{
    uint64_t pause = IDLE_NS;
    for (bool more = true; more; pause = IDLE_STEP_NS) {
        for (uint64_t end = clock_mono_ns() + pause; d->waiting.head == NULL && !d->stopping && clock_mono_ns() < end;)
            wait_until(d, end);
        if (d->waiting.head != NULL || d->failed || d->stopping)
            return;
        pthread_mutex_unlock(&d->mutex);
        more = segments_prepare(d->segments) == 1;
        pthread_mutex_lock(&d->mutex);
        d->bytes = segments_bytes(d->segments) + d->snapshot_bytes;
    }
}

static void *thread_main(void *arg)
{
    struct disk *d = arg;

    pthread_mutex_lock(&d->mutex);
    for (;;) {
        use_idle_time(d);
        while (d->waiting.head == NULL && !d->stopping)
            pthread_cond_wait(&d->wake, &d->mutex);
        struct job *j = queue_pop(&d->waiting);
        if (j == NULL)
            break;
        if (d->failed) {
            job_free(j);
            continue;
        }
        d->running = j;
        pthread_mutex_unlock(&d->mutex);
        run_job(d, j);
        pthread_mutex_lock(&d->mutex);
        d->running = NULL;
        job_done(d, j);
        d->bytes = segments_bytes(d->segments) + d->snapshot_bytes;
    }
    pthread_mutex_unlock(&d->mutex);
    return NULL;
}

/* ---- the loop's side ---- */

int disk_start(struct disk **ret_disk, int dir_fd, struct segments *segments)
{
    sigset_t all, before;
    uint64_t newest;
    struct disk *d = calloc(1, sizeof *d);
    if (d == NULL)
        return -ENOMEM;
    d->dir_fd = dir_fd;
    d->segments = segments;
    queue_init(&d->waiting);
    queue_init(&d->done);
    pthread_mutex_init(&d->mutex, NULL);
    pthread_condattr_t monotonic;
    pthread_condattr_init(&monotonic);
    pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC);
    pthread_cond_init(&d->wake, &monotonic);
    pthread_condattr_destroy(&monotonic);
    d->event_fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
    int rc = d->event_fd < 0 ? -errno : snapfile_newest(dir_fd, &newest, &d->snapshot_bytes);
    d->bytes = segments_bytes(segments) + d->snapshot_bytes;
    if (rc == 0) {
        sigfillset(&all); /* signals are the loop's */
        pthread_sigmask(SIG_SETMASK, &all, &before);
        rc = -pthread_create(&d->thread, NULL, thread_main, d);
        pthread_sigmask(SIG_SETMASK, &before, NULL);
    }
    if (rc != 0) {
        fd_close(&d->event_fd);
        pthread_cond_destroy(&d->wake);
        pthread_mutex_destroy(&d->mutex);
        free(d);
        return rc;
    }
    *ret_disk = d;
    return 0;
}

void disk_stop(struct disk *d)
{
    struct job *j;
    if (d == NULL)
        return;
    pthread_mutex_lock(&d->mutex);
    d->stopping = true;
    pthread_cond_signal(&d->wake);
    pthread_mutex_unlock(&d->mutex);
    pthread_join(d->thread, NULL);
    while ((j = queue_pop(&d->waiting)) != NULL || (j = queue_pop(&d->done)) != NULL)
        job_free(j);
    fd_close(&d->event_fd);
    pthread_cond_destroy(&d->wake);
    pthread_mutex_destroy(&d->mutex);
    free(d);
}

static void submit(struct disk *d, struct job job)
{
    struct job *j = malloc(sizeof *j);
    pthread_mutex_lock(&d->mutex);
    if (j == NULL) {
        fail(d, -ENOMEM, "nothing more can be written", job.index);
        entry_unref(job.entry);
        snapshot_unref(job.snapshot);
    } else {
        *j = job;
        queue_push(&d->waiting, j);
    }
    pthread_mutex_unlock(&d->mutex);
    pthread_cond_signal(&d->wake); /* not before, or the thread would wake up to wait for the mutex */
}

static void disown(struct job *j, uint64_t from_index, bool snapshots_too)
{
    for (; j != NULL; j = j->next)
        if ((j->kind == JOB_APPEND && j->index >= from_index) || (j->kind == JOB_SNAPSHOT && snapshots_too))
            j->void_ = true;
}

static void disown_all(struct disk *d, uint64_t from_index, bool snapshots_too)
{
    pthread_mutex_lock(&d->mutex);
    disown(d->waiting.head, from_index, snapshots_too);
    disown(d->done.head, from_index, snapshots_too);
    if (d->running_inner != NULL && d->running_inner->index >= from_index)
        d->running_inner->void_ = true;
    if (d->running != NULL && (d->running->kind == JOB_APPEND ? d->running->index >= from_index
                                                              : d->running->kind == JOB_SNAPSHOT && snapshots_too))
        d->running->void_ = true;
    pthread_mutex_unlock(&d->mutex);
}

void disk_append(struct disk *d, uint64_t index, struct entry *e)
{
    submit(d, (struct job){.kind = JOB_APPEND, .index = index, .entry = entry_ref(e)});
}

void disk_truncate(struct disk *d, uint64_t from_index)
{
    disown_all(d, from_index, false);
    submit(d, (struct job){.kind = JOB_TRUNCATE, .index = from_index});
}

void disk_save_snapshot(struct disk *d, struct snapshot *s, uint64_t keep_from, bool install)
{
    if (install)
        disown_all(d, 0, true);
    submit(d,
           (struct job){.kind = install ? JOB_INSTALL : JOB_SNAPSHOT, .index = keep_from, .snapshot = snapshot_ref(s)});
}

int disk_fd(const struct disk *d)
{
    return d->event_fd;
}

/* Takes one completion off the done queue, appends in a row as one. With the mutex held. */
static bool take_done(struct disk *d, struct disk_done *ret_done)
{
    struct job *j;
    while ((j = queue_pop(&d->done)) != NULL) {
        if (j->kind == JOB_APPEND && !j->void_) {
            ret_done->kind = DISK_ENTRIES;
            ret_done->index = j->index;
            job_free(j);
            while (d->done.head != NULL && d->done.head->kind == JOB_APPEND && !d->done.head->void_) {
                j = queue_pop(&d->done);
                ret_done->index = j->index;
                job_free(j);
            }
            return true;
        }
        if (j->snapshot != NULL) {
            ret_done->kind = DISK_SNAPSHOT;
            ret_done->snapshot = j->snapshot;
            j->snapshot = NULL;
            job_free(j);
            return true;
        }
        job_free(j);
    }
    return false;
}

int disk_poll(struct disk *d, struct disk_done *ret_done)
{
    uint64_t count;
    bool found;

    memset(ret_done, 0, sizeof *ret_done);
    pthread_mutex_lock(&d->mutex);
    found = take_done(d, ret_done);
    if (!found && d->failed && !d->failure_told) {
        d->failure_told = true;
        ret_done->kind = DISK_FAILED;
        ret_done->rc = d->rc;
        memcpy(ret_done->text, d->text, sizeof ret_done->text);
        found = true;
    }
    if (!found) {
        ssize_t n = read(d->event_fd, &count, sizeof count);
        (void)n; /* nothing to read: nothing to do */
    }
    pthread_mutex_unlock(&d->mutex);
    return found;
}

uint64_t disk_bytes(struct disk *d)
{
    pthread_mutex_lock(&d->mutex);
    uint64_t n = d->bytes;
    pthread_mutex_unlock(&d->mutex);
    return n;
}
