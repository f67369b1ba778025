/* Little-endian fields of a frame's header and of the small payloads; used by frame*.c only. */
#ifndef OC_CONSENSUS_FRAME_FIELDS_H
#define OC_CONSENSUS_FRAME_FIELDS_H

#include "consensus/frame.h"

#include <string.h>

enum {
    AT_MAGIC = 0,
    AT_VERSION = 4,
    AT_KIND = 5,
    AT_FLAGS = 6,
    AT_LIB_VERSION = 7,
    AT_PAYLOAD_BYTES = 8,
    AT_PAYLOAD_CRC = 12,
    AT_TERM = 16,
    AT_A = 24,
    AT_B = 32,
    AT_C = 40,
    AT_D = 48,
    AT_E = 56,
    AT_F = 60,
    AT_ENTRY_TYPE = 62,
    AT_ZERO_8 = 63,
    AT_ZERO_32 = 64,
    AT_HEADER_CRC = 68
};

enum { FLAG_DISRUPT = 1, FLAG_PRE_VOTE = 2, FLAG_GRANTED = 4, FLAG_ENTRY = 8, FLAG_ASKED = 16 };

/* Encoded sizes of the small payloads. */
enum {
    HELLO_BYTES = 4 + 4 + 8 + 8 + STORAGE_UUID_BYTES + CLUSTER_ID_BYTES + SERVER_ID_SIZE + SERVER_ADDR_SIZE + 8 + 4 +
                  VERSION_SIZE,
    RECORD_BYTES = 4 + 4 + 4 * 4 + 8 + HASH_SIZE + 8,
    MEMBERSHIP_MIN_BYTES = 8 + 4,
    MEMBER_BYTES = 8 + 4 + MEMBER_ADDRESS_SIZE
};
_Static_assert(MEMBERSHIP_MIN_BYTES + CLUSTER_SERVERS_MAX * MEMBER_BYTES <= (int)FRAME_SMALL_MAX_BYTES,
               "a membership fits into a small payload");

static inline void put16(uint8_t *p, uint16_t v)
{
    p[0] = (uint8_t)v;
    p[1] = (uint8_t)(v >> 8);
}

static inline void put32(uint8_t *p, uint32_t v)
{
    put16(p, (uint16_t)v);
    put16(p + 2, (uint16_t)(v >> 16));
}

static inline void put64(uint8_t *p, uint64_t v)
{
    put32(p, (uint32_t)v);
    put32(p + 4, (uint32_t)(v >> 32));
}

static inline uint16_t get16(const uint8_t *p)
{
    return (uint16_t)(p[0] | p[1] << 8);
}

static inline uint32_t get32(const uint8_t *p)
{
    return (uint32_t)get16(p) | (uint32_t)get16(p + 2) << 16;
}

static inline uint64_t get64(const uint8_t *p)
{
    return (uint64_t)get32(p) | (uint64_t)get32(p + 4) << 32;
}

/* A string in an array of fixed size has its NUL inside. */
static inline bool is_terminated(const char *s, size_t size)
{
    return memchr(s, '\0', size) != NULL;
}

#endif
