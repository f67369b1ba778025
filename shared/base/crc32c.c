/* CRC-32C: the processor's instruction where there is one, tables (eight bytes a step) elsewhere. */
#include "shared/base/crc32c.h"

#include <pthread.h>
#include <string.h>

#define POLY UINT32_C(0x82f63b78) /* reflected Castagnoli */

typedef uint32_t (*crc_fn)(uint32_t crc, const unsigned char *p, size_t len);

static uint32_t tables[8][256];
static crc_fn selected;
static pthread_once_t once = PTHREAD_ONCE_INIT;

static void init_tables(void)
{
    for (uint32_t i = 0; i < 256; i++) {
        uint32_t crc = i;
        for (int bit = 0; bit < 8; bit++)
            crc = (crc >> 1) ^ (crc & 1 ? POLY : 0);
        tables[0][i] = crc;
    }
    for (int t = 1; t < 8; t++) {
        for (uint32_t i = 0; i < 256; i++)
            tables[t][i] = (tables[t - 1][i] >> 8) ^ tables[0][tables[t - 1][i] & 0xff];
    }
}

static uint32_t crc_scalar(uint32_t crc, const unsigned char *p, size_t len)
{
    for (; len >= 8; len -= 8, p += 8) {
        crc ^= (uint32_t)p[0] | (uint32_t)p[1] << 8 | (uint32_t)p[2] << 16 | (uint32_t)p[3] << 24;
        crc = tables[7][crc & 0xff] ^ tables[6][crc >> 8 & 0xff] ^ tables[5][crc >> 16 & 0xff] ^ tables[4][crc >> 24] ^
              tables[3][p[4]] ^ tables[2][p[5]] ^ tables[1][p[6]] ^ tables[0][p[7]];
    }
    for (; len > 0; len--, p++)
        crc = (crc >> 8) ^ tables[0][(crc ^ *p) & 0xff];
    return crc;
}

#if defined(__x86_64__)
/* The instruction takes three cycles but a new one can start in each, so long inputs run as three
 * lanes of equal length. Lanes are joined by advancing a checksum over a lane of zeros, which is
 * linear in its 32 bits and so one table per byte. */
#define LONG_LANE ((size_t)4096)
#define SHORT_LANE ((size_t)256)

struct lane_shift {
    uint32_t byte[4][256];
};
static struct lane_shift long_shift, short_shift;

static void init_shift(struct lane_shift *s, size_t lane)
{
    static const unsigned char zeros[LONG_LANE];
    uint32_t of_bit[32];

    for (int bit = 0; bit < 32; bit++)
        of_bit[bit] = crc_scalar(UINT32_C(1) << bit, zeros, lane);
    for (int k = 0; k < 4; k++) {
        for (int value = 0; value < 256; value++) {
            s->byte[k][value] = 0;
            for (int bit = 0; bit < 8; bit++)
                s->byte[k][value] ^= value >> bit & 1 ? of_bit[8 * k + bit] : 0;
        }
    }
}

static uint64_t shift(const struct lane_shift *s, uint64_t crc)
{
    return s->byte[0][crc & 0xff] ^ s->byte[1][crc >> 8 & 0xff] ^ s->byte[2][crc >> 16 & 0xff] ^
           s->byte[3][crc >> 24 & 0xff];
}

static uint64_t load64(const unsigned char *p)
{
    uint64_t word;

    memcpy(&word, p, sizeof word);
    return word;
}

__attribute__((target("sse4.2"))) static uint64_t crc_three_lanes(uint64_t crc, const unsigned char *p, size_t lane,
                                                                  const struct lane_shift *s)
{
    uint64_t second = 0, third = 0;

    for (size_t i = 0; i < lane; i += 8) {
        crc = __builtin_ia32_crc32di(crc, load64(p + i));
        second = __builtin_ia32_crc32di(second, load64(p + lane + i));
        third = __builtin_ia32_crc32di(third, load64(p + 2 * lane + i));
    }
    return shift(s, shift(s, crc) ^ second) ^ third;
}

__attribute__((target("sse4.2"))) static uint32_t crc_sse42(uint32_t crc, const unsigned char *p, size_t len)
{
    uint64_t wide = crc;

    for (; len >= 3 * LONG_LANE; len -= 3 * LONG_LANE, p += 3 * LONG_LANE)
        wide = crc_three_lanes(wide, p, LONG_LANE, &long_shift);
    for (; len >= 3 * SHORT_LANE; len -= 3 * SHORT_LANE, p += 3 * SHORT_LANE)
        wide = crc_three_lanes(wide, p, SHORT_LANE, &short_shift);
    for (; len >= 8; len -= 8, p += 8)
        wide = __builtin_ia32_crc32di(wide, load64(p));
    crc = (uint32_t)wide;
    for (; len > 0; len--, p++)
        crc = __builtin_ia32_crc32qi(crc, *p);
    return crc;
}
#endif

static void select_variant(void)
{
    init_tables();
    selected = crc_scalar;
#if defined(__x86_64__)
    if (__builtin_cpu_supports("sse4.2")) {
        init_shift(&long_shift, LONG_LANE);
        init_shift(&short_shift, SHORT_LANE);
        selected = crc_sse42;
    }
#endif
}

uint32_t crc32c_portable(uint32_t seed, const void *data, size_t len)
{
    (void)pthread_once(&once, select_variant);
    return ~crc_scalar(~seed, data, len);
}

uint32_t crc32c(uint32_t seed, const void *data, size_t len)
{
    (void)pthread_once(&once, select_variant);
    return ~selected(~seed, data, len);
}
