/* The wire between conductors: one fixed header and at most one payload per frame. All integers
 * little-endian; the header carries its own CRC-32C and the payload's; every kind has a cap on its
 * payload; anything unknown, out of range or unused-but-set is refused. Pure: no sockets here.
 * A snapshot travels part by part, each in chunks {a index, b bytes before it, c part, d bytes of the part},
 * whose payload checksum goes on from chunk to chunk: the last one's is the part's.
 * Neighbouring releases understand each other: HELLO and RECORD may grow at their end, and what is behind the
 * fields that this version knows is ignored; a reason to be not ready that it does not know is READY_UNKNOWN.
 *
 *  0 magic u32 | 4 version u8 | 5 kind u8 | 6 flags u8 | 7 library message version u8
 *  8 payload bytes u32 | 12 payload crc u32 | 16 term u64 | 24 a | 32 b | 40 c | 48 d (u64 each)
 * 56 e u32 | 60 f u16 | 62 entry type u8 | 63 zero u8 | 64 zero u32 | 68 header crc u32
 */
#ifndef OC_CONSENSUS_FRAME_H
#define OC_CONSENSUS_FRAME_H

#include "consensus/driver.h"
#include "consensus/identity.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define FRAME_HEADER_BYTES 72
#define FRAME_MAGIC 0x3157434fu /* "OCW1" */
#define FRAME_VERSION 1
#define FRAME_CHUNK_BYTES ((size_t)256 << 10)   /* a snapshot travels in pieces of at most this */
#define FRAME_SMALL_MAX_BYTES ((size_t)8 << 10) /* all payloads but entries and chunks */

/* The first six are the numbers of enum wire_kind. */
enum frame_kind {
    FRAME_SNAPSHOT = WIRE_INSTALL_SNAPSHOT, /* the beginning of one; chunks follow */
    FRAME_CHUNK = 16,
    FRAME_HELLO,
    FRAME_REFUSE,
    FRAME_RECORD,
    FRAME_PROGRESS, /* bytes of a payload from you are arriving here */
};

/* What a connection is for: everything urgent; entries and snapshots, in order; or only a question
 * who lives at an address. */
enum frame_purpose { PURPOSE_CONTROL = 1, PURPOSE_LOG, PURPOSE_PROBE };

/* The first frame in each direction. */
struct frame_hello {
    uint32_t purpose; /* enum frame_purpose */
    uint32_t election_timeout_ms;
    uint64_t raft_id;
    uint64_t process_nonce;    /* random, new with every start of the process */
    uint64_t membership_index; /* of the newest configuration in its log; 0: none */
    uint32_t proposal_level;   /* what it understands (see proposal.h); at least 1 */
    uint8_t storage_uuid[STORAGE_UUID_BYTES];
    uint8_t cluster_id[CLUSTER_ID_BYTES]; /* all zero: none yet */
    char name[SERVER_ID_SIZE];
    char address[SERVER_ADDR_SIZE]; /* host:port, as advertised */
    char version[VERSION_SIZE];     /* of its op-conductor, for people */
};

/* A member's self record as it is passed around (about five times a second; also the sign of life
 * of a control connection). */
struct frame_record {
    bool valid; /* false: its supervisor has not said anything yet */
    uint32_t age_ms;
    struct msg_self_record record;
};

/* ---- sending ---- */

/* One frame to send. The payload is borrowed from the message, or lies in `small`. */
struct frame_out {
    uint8_t header[FRAME_HEADER_BYTES];
    const uint8_t *payload;
    size_t payload_len;
    uint8_t small[FRAME_SMALL_MAX_BYTES];
};

/* All kinds but snapshot chunks. Returns 0 or OC_ERANGE (a snapshot with more bytes than may travel). */
int frame_put_msg(struct frame_out *out, const struct wire_msg *msg);

/* How far a snapshot has been sent; all zero at the beginning. */
struct frame_cursor {
    unsigned part; /* part_count: all of it */
    size_t in_part, total;
    uint32_t crc; /* of the part up to here */
};
/* The next chunk, and moves the cursor behind it. There must be one. */
void frame_put_chunk(struct frame_out *out, const struct snapshot *s, struct frame_cursor *at);
void frame_put_hello(struct frame_out *out, const struct frame_hello *hello);
void frame_put_refuse(struct frame_out *out, const char *text);
void frame_put_record(struct frame_out *out, const struct frame_record *record);
void frame_put_progress(struct frame_out *out);

/* ---- receiving ---- */

struct frame {
    unsigned kind;       /* enum wire_kind or enum frame_kind */
    struct wire_msg msg; /* kinds 1 to 6: the taker owns entry or snapshot */
    union {
        struct frame_hello hello;
        struct frame_record record;
        char text[TEXT_SIZE]; /* of REFUSE */
    };
};
/* Frees the entry or snapshot of a frame that nobody took. */
void frame_clear(struct frame *f);

/* Puts frames together from a byte stream; an entry's payload and a snapshot's data are received
 * where they will stay. */
struct frame_receiver;
struct frame_receiver *frame_receiver_new(void); /* NULL: out of memory */
void frame_receiver_free(struct frame_receiver *r);
/* Where the next bytes go and how many may be put there; never 0. */
uint8_t *frame_receiver_buffer(struct frame_receiver *r, size_t *ret_room);
/* n bytes were put there (n <= room). Returns 1 with a frame, 0 when more is needed, or OC_EPROTO,
 * OC_EVERSION, OC_ECORRUPT, -ENOMEM, after which the stream is unusable. A snapshot comes out as one
 * frame, with its last chunk. */
int frame_receiver_advance(struct frame_receiver *r, size_t n, struct frame *ret_frame);
/* After OC_EVERSION: the version that the other side speaks. */
unsigned frame_receiver_version(const struct frame_receiver *r);
/* A payload of an entry or snapshot is under way. */
bool frame_receiver_is_bulk(const struct frame_receiver *r);

/* Decodes a membership from its bytes (snapshot frames). Returns 0 or OC_EPROTO. */
int frame_get_membership(const uint8_t *data, size_t len, struct membership *ret_membership);

#endif
