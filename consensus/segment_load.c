/* The log on disk: reading it back. The end may be torn, because a machine may stop in the middle of
 * a write; anything else that does not check out is damage, and guessing there would lose
 * acknowledged entries.
 */
#include "consensus/diskfile.h"
#include "consensus/segment.h"
#include "consensus/segment_reader.h"
#include "shared/base/crc32c.h"
#include "shared/base/err.h"

#include <dirent.h>
#include <endian.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* A segment is larger than usual if it was begun for a large record, never so much. */
#define SEGMENT_FILE_MAX_BYTES ((uint64_t)1 << 32)

struct loader {
    struct segments *s;
    int (*take)(void *ctx, uint64_t index, struct entry *e);
    void *ctx;
    struct segments_loaded *loaded;
    char *text;
    size_t text_size;
    bool is_end_clear; /* of the segment read last: all its space is there, and nothing but zeros behind its records */
};

__attribute__((format(printf, 3, 4))) static int refuse(struct loader *l, int rc, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    vsnprintf(l->text, l->text_size, format, args);
    va_end(args);
    return rc;
}

static uint64_t record_bytes(uint64_t len)
{
    return (ENTRY_HEADER_BYTES + len + DISK_BLOCK - 1) & ~(uint64_t)(DISK_BLOCK - 1);
}

/* A header of this directory with a good checksum; nothing is said about its data. */
static bool read_header(const struct segments *s, const uint8_t *block, struct segment_header *ret_header)
{
    struct segment_header h;
    memcpy(&h, block, sizeof h);
    if (le32toh(h.magic) != SEGMENT_MAGIC || le64toh(h.salt) != s->salt ||
        le32toh(h.header_crc) != segment_header_crc(&h))
        return false;
    *ret_header = h;
    return true;
}

static int take_record(struct loader *l, struct segment *g, const struct segment_header *h, const uint8_t *record)
{
    uint32_t len = le32toh(h->len);
    struct entry *e = entry_new((enum entry_type)h->type, le64toh(h->term), len);
    if (e == NULL)
        return -ENOMEM;
    memcpy(entry_payload(e), record + ENTRY_HEADER_BYTES, len);
    entry_set_crc(e, le32toh(h->data_crc));
    int rc = segment_note(g, le32toh(h->header_crc), record_bytes(len));
    if (rc != 0) {
        entry_unref(e);
        return rc;
    }
    l->s->chain = le32toh(h->header_crc);
    return l->take(l->ctx, le64toh(h->index), e);
}

enum record_state { RECORD_GOOD, RECORD_END_MARK, RECORD_BAD };

/* Judges what is at the segment's end; *ret_header is filled if the header at least is good, *ret_record (valid until
 * the reader's next call) if all is. Returns 0 or a negative code: it cannot be read. */
static int judge_record(const struct loader *l, const struct segment *g, struct segment_reader *r,
                        enum record_state *ret_state, struct segment_header *ret_header, const uint8_t **ret_record)
{
    const struct segments *s = l->s;
    uint64_t index = g->first + g->count;
    bool is_very_first = s->count == 1 && g->count == 0;

    *ret_state = RECORD_BAD;
    memset(ret_header, 0, sizeof *ret_header);
    int rc = segment_reader_view(r, g->end, DISK_BLOCK, ret_record);
    if (rc != 0)
        return rc;
    if (!read_header(s, *ret_record, ret_header) || le64toh(ret_header->index) != index ||
        (!is_very_first && le32toh(ret_header->chain) != s->chain))
        return 0;
    if (ret_header->type == SEGMENT_RECORD_END) {
        *ret_state = RECORD_END_MARK;
        return 0;
    }
    uint32_t len = le32toh(ret_header->len);
    if (ret_header->type < ENTRY_COMMAND || ret_header->type > ENTRY_CHANGE || len > ENTRY_PAYLOAD_MAX_BYTES ||
        record_bytes(len) > g->size - g->end || le64toh(ret_header->term) == 0)
        return 0;
    rc = segment_reader_view(r, g->end, (size_t)record_bytes(len), ret_record);
    if (rc == 0 && le32toh(ret_header->data_crc) == crc32c(0, *ret_record + ENTRY_HEADER_BYTES, len))
        *ret_state = RECORD_GOOD;
    return rc;
}

/* What lies behind the last good record: nothing but zeros? And a good record with a higher index behind a bad one?
 * Then it is not the torn end. */
static int judge_tail(const struct loader *l, const struct segment *g, struct segment_reader *r, bool *ret_is_blank,
                      uint64_t *ret_later)
{
    struct segment_header h;
    const uint8_t *block;
    *ret_is_blank = true;
    *ret_later = 0;
    for (uint64_t at = segment_reader_next_data(r, g->end); at < g->size;
         at = segment_reader_next_data(r, at + DISK_BLOCK)) {
        int rc = segment_reader_view(r, at, DISK_BLOCK, &block);
        if (rc != 0)
            return rc;
        if (diskfile_is_zero(block, DISK_BLOCK))
            continue;
        *ret_is_blank = false;
        if (at > g->end && read_header(l->s, block, &h) && le64toh(h.index) > g->first + g->count) {
            *ret_later = le64toh(h.index);
            return 0;
        }
    }
    return 0;
}

/* The segment's records end with a bad one, of which h is what can be read. */
static int take_tail(struct loader *l, struct segment *g, struct segment_reader *r, const struct segment_header *h,
                     bool is_last, const char *name)
{
    uint64_t index = g->first + g->count, later;
    /* Zeros that were written before are as good as new ones. */
    uint64_t written = segment_reader_next_data(r, g->end) == g->end ? r->data_to : g->end;
    bool is_blank;
    int rc = judge_tail(l, g, r, &is_blank, &later);
    if (rc != 0)
        return rc;
    if (later != 0 || (!is_last && !is_blank))
        return refuse(l, OC_ECORRUPT,
                      "%s: entry %" PRIu64 " is damaged, but there are later ones: restore the file, or empty the "
                      "directory and let this node join anew",
                      name, index);
    if (is_blank) {
        g->ready = written;
        l->is_end_clear = r->allocated >= r->size;
        return 0;
    }
    l->loaded->lost_tail_index = index;
    l->loaded->lost_tail_term = le64toh(h->index) == index ? le64toh(h->term) : 0;
    snprintf(l->loaded->torn_file, sizeof l->loaded->torn_file, "%s", name);
    return 0;
}

/* Reads one segment; *ret_next tells whether its end mark promises another. */
static int load_segment(struct loader *l, uint64_t first, bool is_last, bool *ret_next)
{
    char name[SEGMENT_NAME_SIZE];
    struct segment_reader r;
    struct segment_header h;
    struct segment *g = NULL;
    enum record_state state = RECORD_GOOD;
    const uint8_t *record;

    *ret_next = false;
    segment_name(first, name);
    int rc = segment_reader_open(&r, l->s->dir_fd, name, SEGMENT_FILE_MAX_BYTES);
    if (rc == 0) {
        g = segments_add(l->s, first, r.size);
        rc = g == NULL ? -ENOMEM : 0;
    }
    if (rc != 0) {
        refuse(l, rc, "%s: %s", name, err_text(rc));
        goto out;
    }
    while (rc == 0 && g->end < g->size) {
        rc = judge_record(l, g, &r, &state, &h, &record);
        if (rc != 0 || state != RECORD_GOOD)
            break;
        rc = take_record(l, g, &h, record);
    }
    if (rc != 0) {
        refuse(l, rc, "%s, entry %" PRIu64 ": %s", name, first + g->count, err_text(rc));
        goto out;
    }
    *ret_next = state == RECORD_END_MARK;
    l->is_end_clear = false;
    if (state == RECORD_BAD) {
        rc = take_tail(l, g, &r, &h, is_last, name);
        if (rc != 0 && rc != OC_ECORRUPT)
            refuse(l, rc, "%s: %s", name, err_text(rc));
    }
out:
    segment_reader_close(&r);
    return rc;
}

static int compare(const void *a, const void *b)
{
    uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;
    return x < y ? -1 : x > y;
}

/* The first indexes of all segment files, ascending; malloc'd. */
static int list_files(int dir_fd, uint64_t **ret_firsts, size_t *ret_count)
{
    size_t count = 0, room = 0;
    uint64_t *firsts = NULL, first;
    struct dirent *entry;
    int rc = 0;
    int fd = openat(dir_fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    DIR *dir = fd < 0 ? NULL : fdopendir(fd);

    if (dir == NULL) {
        rc = -errno;
        if (fd >= 0)
            close(fd);
        return rc;
    }
    while ((entry = readdir(dir)) != NULL && rc == 0) {
        if (!segment_parse_name(entry->d_name, &first))
            continue;
        if (count == room) {
            room = room > 0 ? room * 2 : 16;
            uint64_t *more = realloc(firsts, room * sizeof *more);
            if (more == NULL) {
                rc = -ENOMEM;
                break;
            }
            firsts = more;
        }
        firsts[count++] = first;
    }
    closedir(dir);
    if (rc != 0) {
        free(firsts);
        return rc;
    }
    if (count > 1)
        qsort(firsts, count, sizeof *firsts, compare);
    *ret_firsts = firsts;
    *ret_count = count;
    return 0;
}

/* A truncation over several files was under way: files wholly behind the point go unread. */
static int finish_truncation(struct loader *l, uint64_t *firsts, size_t *count, uint64_t *ret_from)
{
    uint64_t words[2];
    uint8_t *data;
    size_t len;
    char name[SEGMENT_NAME_SIZE];

    *ret_from = 0;
    int rc = diskfile_read(l->s->dir_fd, SEGMENT_TRUNCATE_FILE, sizeof words, &data, &len);
    if (rc == -ENOENT)
        return 0;
    if (rc != 0)
        return refuse(l, rc, "%s: %s", SEGMENT_TRUNCATE_FILE, err_text(rc));
    bool is_good = len == sizeof words;
    if (is_good)
        memcpy(words, data, sizeof words);
    free(data);
    if (!is_good || words[0] != ~words[1])
        return refuse(l, OC_ECORRUPT, "%s is damaged", SEGMENT_TRUNCATE_FILE);
    *ret_from = le64toh(words[0]);
    while (rc == 0 && *count > 0 && firsts[*count - 1] >= *ret_from) {
        segment_name(firsts[--*count], name);
        rc = diskfile_remove(l->s->dir_fd, name);
    }
    return rc != 0 ? refuse(l, rc, "%s: %s", name, err_text(rc)) : 0;
}

/* With a truncation to finish, the entries behind the point are not handed on. */
struct filter {
    struct loader *l;
    int (*take)(void *ctx, uint64_t index, struct entry *e);
    void *ctx;
    uint64_t below;
};

static int take_filtered(void *ctx, uint64_t index, struct entry *e)
{
    struct filter *f = ctx;
    if (f->below != 0 && index >= f->below) {
        entry_unref(e);
        return 0;
    }
    if (f->l->loaded->first > f->l->loaded->last)
        f->l->loaded->first = index;
    f->l->loaded->last = index;
    return f->take(f->ctx, index, e);
}

int segments_load(struct segments *s, int (*take)(void *ctx, uint64_t index, struct entry *e), void *ctx,
                  struct segments_loaded *ret_loaded, char *ret_text, size_t text_size)
{
    struct loader l = {.s = s, .take = take_filtered, .loaded = ret_loaded, .text = ret_text, .text_size = text_size};
    struct filter f = {.l = &l, .take = take, .ctx = ctx};
    uint64_t *firsts = NULL, from = 0;
    size_t count = 0;
    bool has_next = false;

    l.ctx = &f;
    *ret_loaded = (struct segments_loaded){.first = 1, .last = 0};
    int rc = list_files(s->dir_fd, &firsts, &count);
    if (rc != 0)
        return refuse(&l, rc, "the log files cannot be listed: %s", err_text(rc));
    rc = finish_truncation(&l, firsts, &count, &from);
    f.below = from;
    for (size_t i = 0; i < count && rc == 0; i++) {
        if (i > 0 && firsts[i] != s->list[s->count - 1].first + s->list[s->count - 1].count) {
            rc = refuse(&l, OC_ECORRUPT,
                        "entries %" PRIu64 " to %" PRIu64 " are missing: a log file is gone or cut short",
                        s->list[s->count - 1].first + s->list[s->count - 1].count, firsts[i] - 1);
            break;
        }
        rc = load_segment(&l, firsts[i], i + 1 == count, &has_next);
    }
    if (rc == 0 && s->count > 0) {
        struct segment *last = &s->list[s->count - 1];
        s->next = last->first + last->count;
        if (from != 0 && from < s->next) {
            rc = segments_truncate_now(s, from);
        } else if (has_next && from == 0) {
            rc = refuse(&l, OC_ECORRUPT, "entries from %" PRIu64 " on are missing: a log file is gone", s->next);
        } else {
            /* A segment of this size again, and nothing of a torn record left in it. */
            rc = l.is_end_clear ? 0 : segments_clear_end(s);
        }
        if (rc != 0 && rc != OC_ECORRUPT)
            refuse(&l, rc, "the end of the log cannot be prepared: %s", err_text(rc));
    }
    if (rc == 0 && from != 0)
        rc = diskfile_remove(s->dir_fd, SEGMENT_TRUNCATE_FILE);
    free(firsts);
    return rc;
}
