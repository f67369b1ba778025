/* Reads one file of the log in pieces. Most of a segment is space that was preallocated and never written: where the
 * file system tells so (a hole, or an unwritten extent, which reads as zeros by definition) nothing is read.
 */
#ifndef OC_CONSENSUS_SEGMENT_READER_H
#define OC_CONSENSUS_SEGMENT_READER_H

#include <stddef.h>
#include <stdint.h>

struct segment_reader {
    int fd;
    uint64_t size;               /* of the file, in whole blocks of DISK_BLOCK */
    uint64_t allocated;          /* bytes of the disk that the file has */
    uint64_t data_from, data_to; /* one stretch that may hold data; nothing is known of the rest */
    uint8_t *buffer;             /* aligned to DISK_BLOCK */
    size_t room, have;
    uint64_t from; /* the buffer holds `have` bytes from here on */
};

/* Opens a file of at most max_bytes. Returns 0, -errno, or -EFBIG if it is larger. Always to be closed. */
int segment_reader_open(struct segment_reader *r, int dir_fd, const char *name, uint64_t max_bytes);
void segment_reader_close(struct segment_reader *r);

/* The file's bytes [at, at + bytes), valid until the next call; `at` and `bytes` are whole blocks and lie within the
 * file. Returns 0, -ENOMEM or -errno. */
int segment_reader_view(struct segment_reader *r, uint64_t at, size_t bytes, const uint8_t **ret_bytes);
/* The first block at or behind `at` that may hold anything but zeros; the file's size if there is none. */
uint64_t segment_reader_next_data(struct segment_reader *r, uint64_t at);

#endif
