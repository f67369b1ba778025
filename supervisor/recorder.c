/* Stamps records, leaves out what comes again and again, and begins where the last run ended. */
#include "supervisor/recorder.h"

#include "shared/base/clock.h"
#include "shared/base/crc32c.h"
#include "shared/base/err.h"
#include "shared/base/fd.h"
#include "shared/base/log.h"
#include "shared/flight/ring.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define SAME_TABLE 64

struct same {
    uint64_t key; /* 0: free */
    uint64_t last_ns;
    uint32_t count;
};

struct recorder {
    struct flight_ring *ring;
    const char *before;
    struct same table[SAME_TABLE];
};

/* ---- the file of earlier runs ---- */

static int read_file(const char *path, unsigned char *image)
{
    /* Non-blocking and no link: only a plain file is read. */
    int fd = open(path, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
    struct stat st;
    int rc;

    if (fd < 0)
        return -errno;
    rc = fstat(fd, &st) < 0 ? -errno : 0;
    if (rc == 0 && (!S_ISREG(st.st_mode) || (uint64_t)st.st_size != FLIGHT_FILE_BYTES))
        rc = OC_ECORRUPT;
    if (rc == 0)
        rc = fd_pread_all(fd, image, FLIGHT_FILE_BYTES, 0);
    fd_close(&fd);
    return rc;
}

static const char *how_it_ended(const struct flight_ring *ring)
{
    struct flight_reader *reader = flight_reader_open(flight_ring_fd(ring));
    struct flight_record r;
    const char *text = "the run before did not end in order";
    uint64_t newest;

    if (!reader)
        return text;
    newest = flight_reader_newest(reader);
    if (newest == 0)
        text = "first start";
    /* What an operator did while it was stopped is no part of it. */
    while (flight_reader_get(reader, newest, &r) == 0 && r.kind == FLIGHT_OPERATOR)
        newest--;
    if (newest > 0 && flight_reader_get(reader, newest, &r) == 0 && r.kind == FLIGHT_ENDED)
        text = "the run before ended in order";
    flight_reader_close(reader);
    return text;
}

static void load(struct recorder *rec, const char *path)
{
    unsigned char *image = malloc(FLIGHT_FILE_BYTES);
    int rc = image ? read_file(path, image) : -ENOMEM;

    if (rc == 0)
        rc = flight_ring_load(rec->ring, image, FLIGHT_FILE_BYTES);
    free(image);
    if (rc < 0 && rc != -ENOENT)
        LOG_WARN("The events of earlier runs cannot be read, recording begins anew", LOG_S("file", path), LOG_E(rc));
}

struct recorder *recorder_new(const char *path)
{
    struct recorder *rec = calloc(1, sizeof *rec);

    if (!rec)
        return NULL;
    rec->ring = flight_ring_new();
    if (!rec->ring) {
        free(rec);
        return NULL;
    }
    load(rec, path);
    rec->before = how_it_ended(rec->ring);
    return rec;
}

void recorder_free(struct recorder *rec)
{
    if (!rec)
        return;
    flight_ring_free(rec->ring);
    free(rec);
}

int recorder_fd(const struct recorder *rec)
{
    return flight_ring_fd(rec->ring);
}

const char *recorder_before(const struct recorder *rec)
{
    return rec->before;
}

/* ---- the same again ---- */

static uint64_t key_of(const struct flight_record *r)
{
    uint32_t what = crc32c(0, &r->kind, sizeof r->kind);
    uint32_t why;

    what = crc32c(what, &r->code, sizeof r->code);
    what = crc32c(what, r->subject, strnlen(r->subject, sizeof r->subject));
    why = crc32c(what, r->text, strnlen(r->text, sizeof r->text));
    return ((uint64_t)what << 32 | why) | 1;
}

static struct same *find(struct recorder *rec, uint64_t key)
{
    struct same *oldest = &rec->table[0];

    for (size_t i = 0; i < SAME_TABLE; i++) {
        struct same *s = &rec->table[i];
        if (s->key == key)
            return s;
        if (s->last_ns < oldest->last_ns)
            oldest = s;
    }
    *oldest = (struct same){.key = key};
    return oldest;
}

static bool is_power_of_two(uint32_t n)
{
    return (n & (n - 1)) == 0;
}

/* Whether to keep it; sets its `repeats`. */
static bool count_same(struct recorder *rec, uint64_t now_ns, struct flight_record *r)
{
    struct same *s = find(rec, key_of(r));

    if (s->count == UINT32_MAX || now_ns - s->last_ns >= RECORDER_SAME_PAUSE_NS)
        s->count = 0;
    s->last_ns = now_ns;
    r->repeats = ++s->count;
    return s->count <= RECORDER_SAME_MAX || is_power_of_two(s->count);
}

void recorder_put(struct recorder *rec, uint64_t now_ns, struct flight_record *r)
{
    if (!rec || !count_same(rec, now_ns, r))
        return;
    r->mono_ns = now_ns;
    r->wall_ms = clock_wall_ms();
    (void)flight_ring_put(rec->ring, r);
}
