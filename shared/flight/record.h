/* One record of the flight recorder: what happened on this node, when, why, and how long it took. Fixed
 * size, with a checksum of its own, so that a torn record is skipped and everything around it is kept.
 * The same bytes are in memory (ring.h) and in the file, which is a header followed by FLIGHT_SLOTS
 * records; record N is in slot (N - 1) % FLIGHT_SLOTS. Native byte order: the file stays on its machine.
 */
#ifndef OC_FLIGHT_RECORD_H
#define OC_FLIGHT_RECORD_H

#include "shared/proto/bodies.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define FLIGHT_SLOTS 1024
#define FLIGHT_RECORD_BYTES 1024
#define FLIGHT_FILE_BYTES ((size_t)FLIGHT_RECORD_BYTES * (FLIGHT_SLOTS + 1))
#define FLIGHT_VERSION 1
/* The file is beside the storage directory: <raft.storage.dir>/<raft.server.id>.events */
#define FLIGHT_FILE_SUFFIX ".events"
#define FLIGHT_DETAIL_SIZE 520

/* X(name, the kind as users see it). New kinds go to the end: their numbers are in files. */
#define FLIGHT_KINDS(X)                                                                                                \
    X(STARTED, "started")           /* op-conductor started; text: how the run before ended */                         \
    X(STOPPING, "stopping")         /* an ordered stop began; text: why */                                             \
    X(ENDED, "ended")               /* the ordered stop is over but for consensus, which ends last */                  \
    X(PROCESS_UP, "process_up")     /* subject: process; count: its pid; duration: from spawn to ready */              \
    X(PROCESS_DOWN, "process_down") /* code: exit code or -signal; duration: it ran; detail: its last lines */         \
    X(LEADERSHIP, "leadership")     /* subject: the leader, "" unknown; code: 1 if it is this node */                  \
    X(DECISION, "decision")         /* subject: the action; text: why; detail: the inputs */                           \
    X(SEQ_START, "sequencer_start") /* code: 0 or what failed; count: payloads posted */                               \
    X(SEQ_ADOPT, "sequencer_adopt") /* the same for a sequencer that ran already */                                    \
    X(SEQ_STOP, "sequencer_stop")                                                                                      \
    X(SEQ_SEEN, "sequencer_seen") /* op-node sequences (code 1) or not (0), as it says itself */                       \
    X(TRANSFER, "transfer")       /* subject: the target */                                                            \
    X(TAKEN_OVER, "taken_over")   /* after a handover: another node sequences */                                       \
    X(PERMIT, "permit")           /* code: 1 granted, 0 withdrawn */                                                   \
    X(HEALTH, "health")           /* code: enum health_reason; text: what failed */                                    \
    X(READY, "ready")             /* code: enum ready_reason; text: the same in words */                               \
    X(MEMBERSHIP, "membership")   /* count: version; detail: the servers */                                            \
    X(OPERATOR, "operator")       /* subject: the request; text: its arguments; with a code, the refusal */            \
    X(HEAD, "unsafe_head")        /* subject: left, ahead, replaced or adopted; head: the payload it is about */       \
    X(CONTACT, "contact")         /* subject: a member; code: 1 heard again, 0 not any more; duration: the silence */

enum flight_kind {
    FLIGHT_NONE,
#define X(name, text) FLIGHT_##name,
    FLIGHT_KINDS(X)
#undef X
        FLIGHT_KIND_COUNT
};

struct flight_record {
    uint64_t sequence; /* from 1 on, without gaps; 0: an empty slot */
    uint64_t mono_ns;  /* comparable within one run */
    uint64_t wall_ms;
    uint32_t run;  /* counts the starts of op-conductor */
    uint32_t kind; /* enum flight_kind */
    uint64_t term;
    struct block_id head; /* number and hash 0: none */
    uint64_t duration_us; /* 0: it has none */
    uint64_t count;
    int32_t code;
    uint32_t repeats; /* of the same record in a row, this one included; those between were left out */
    uint64_t reserved;
    char subject[SERVER_ID_SIZE];
    char text[TEXT_SIZE];
    char detail[FLIGHT_DETAIL_SIZE]; /* may have several lines */
    uint32_t reserved2;
    uint32_t checksum; /* CRC-32C of all before it; last */
};
_Static_assert(sizeof(struct flight_record) == FLIGHT_RECORD_BYTES, "records have one size");

/* "leadership", …; "unknown" for a kind of another version. */
const char *flight_kind_name(uint32_t kind);

/* Terminates the strings and sets the checksum; the rest is the caller's. */
void flight_record_seal(struct flight_record *r);
/* Whether it is a whole record (checksum, sequence) with terminated strings. */
bool flight_record_is_valid(const struct flight_record *r);

/* Copies `text` cut to `size`; control characters but newlines become blanks, and a cut leaves no
 * half of a UTF-8 character. */
void flight_copy_text(char *dst, size_t size, const char *text);

/* A record of `kind` with its texts, cut as above; all else is zero. */
struct flight_record flight_record_make(enum flight_kind kind, const char *subject, const char *text);

/* Where a record is in file and ring. */
size_t flight_slot_of(uint64_t sequence);

/* The file's first FLIGHT_RECORD_BYTES bytes. */
void flight_header_make(void *ret_header);
/* 0, or OC_EVERSION, or OC_ECORRUPT. */
int flight_header_check(const void *header);

#endif
