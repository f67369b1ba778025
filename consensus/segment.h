/* The log on disk: preallocated segment files <first index>.log, one aligned record per entry, each
 * with checksums of header and data and the header checksum of the record before it (the chain). A
 * record's header carries a random number of this directory, so that no payload can look like one.
 * Used by one thread at a time: by the loop while loading, by the disk thread afterwards.
 */
#ifndef OC_CONSENSUS_SEGMENT_H
#define OC_CONSENSUS_SEGMENT_H

#include "consensus/entry.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define SEGMENT_NAME_SIZE 32
#define SEGMENT_DEFAULT_BYTES ((uint64_t)64 << 20)
#define SEGMENT_MIN_BYTES ((uint64_t)64 << 10)

struct segment_record {
    uint64_t offset;
    uint32_t header_crc;
};

struct segment {
    uint64_t first; /* index of its first record, also its name */
    uint64_t size;  /* of the file */
    uint64_t end;   /* where the next record goes */
    uint64_t ready; /* zeros are written up to here (or more, or nothing is behind end yet) */
    uint64_t count;
    struct segment_record *records;
    size_t room;
};

struct segments {
    int dir_fd;
    uint64_t salt;
    uint64_t segment_bytes;
    struct segment *list; /* ascending, contiguous */
    unsigned count, room;
    int fd;               /* of the last one; -1: none open */
    int spare_fd;         /* a preallocated one, not in use yet; -1: none */
    uint64_t spare_ready; /* zeros are written up to here */
    int old_fd;           /* one that is given back, piece by piece; -1: none */
    uint64_t old_size;
    uint64_t next;  /* index the next append must have */
    uint32_t chain; /* header checksum of the last record; 0: none before */
};

void segments_init(struct segments *s, int dir_fd, uint64_t salt, uint64_t segment_bytes);
void segments_close(struct segments *s);

/* What loading found besides entries. */
struct segments_loaded {
    uint64_t first, last;     /* first > last: no entries */
    uint64_t lost_tail_term;  /* of a torn record that was dropped, 0: its header is torn too */
    uint64_t lost_tail_index; /* 0: nothing was torn */
    char torn_file[SEGMENT_NAME_SIZE];
};

/* Reads all segments, finishes a truncation that was interrupted, drops a torn end, and hands every
 * entry to take(), which owns the reference and returns 0 or a negative code. Returns 0 or
 * OC_ECORRUPT, OC_EVERSION, -errno with file and index in ret_text. */
int segments_load(struct segments *s, int (*take)(void *ctx, uint64_t index, struct entry *e), void *ctx,
                  struct segments_loaded *ret_loaded, char *ret_text, size_t text_size);

/* Is this a segment's name? */
bool segment_parse_name(const char *name, uint64_t *ret_first);
void segment_name(uint64_t first, char ret_name[SEGMENT_NAME_SIZE]);

/* Durable when they return 0; otherwise -errno, and nothing more may be written. */
/* index must be s->next (any, when the log is empty). Fills the record header of e's buffer. */
int segments_append(struct segments *s, uint64_t index, struct entry *e);
int segments_truncate(struct segments *s, uint64_t from_index);
/* Removes whole segments below keep_from. */
int segments_purge(struct segments *s, uint64_t keep_from);
int segments_drop_all(struct segments *s);
/* When there is time: one step of preparing what comes next. The first write to preallocated space costs
 * twice as much as one over written space, so zeros are written a little ahead of the log; and giving
 * back a whole segment takes the file system many milliseconds, so that is done in pieces. Returns 1
 * if there is more to do, 0, or -errno. */
int segments_prepare(struct segments *s);

uint64_t segments_bytes(const struct segments *s);

/* ---- between segment.c and segment_load.c ---- */

#define SEGMENT_MAGIC 0x31474553u  /* "SEG1" */
enum { SEGMENT_RECORD_END = 255 }; /* type of the mark behind the last record: there is a next segment */
#define SEGMENT_TRUNCATE_FILE "truncate"
#define SEGMENT_SPARE_FILE "segment.tmp"
#define SEGMENT_OLD_FILE "old.tmp"

/* Little-endian on disk. */
struct segment_header {
    uint32_t magic;
    uint32_t header_crc; /* of all behind it */
    uint64_t index;
    uint64_t term;
    uint64_t salt;
    uint32_t len;
    uint32_t data_crc;
    uint32_t chain;
    uint8_t type;
    uint8_t zero[19];
};
_Static_assert(sizeof(struct segment_header) == ENTRY_HEADER_BYTES, "a record header fills its place");

uint32_t segment_header_crc(const struct segment_header *h);
/* Adds an empty segment to the list. Returns it or NULL when out of memory. */
struct segment *segments_add(struct segments *s, uint64_t first, uint64_t size);
/* Notes a record at the segment's end. Returns 0 or -ENOMEM. */
int segment_note(struct segment *g, uint32_t header_crc, uint64_t bytes);
/* Cuts the newest segment's file behind `end` and fills it with zeros again. */
int segments_clear_end(struct segments *s);
int segments_remove(struct segments *s, unsigned i);
int segments_truncate_now(struct segments *s, uint64_t from_index);

#endif
