/* BLAKE2b-256 as RFC 7693 describes it, without a key. */
#include "tests/sim/blake2b.h"

#include <endian.h>
#include <string.h>

static const uint64_t IV[8] = {
    0x6a09e667f3bcc908u, 0xbb67ae8584caa73bu, 0x3c6ef372fe94f82bu, 0xa54ff53a5f1d36f1u,
    0x510e527fade682d1u, 0x9b05688c2b3e6c1fu, 0x1f83d9abfb41bd6bu, 0x5be0cd19137e2179u,
};

static const uint8_t SIGMA[12][16] = {
    {0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15}, {14, 10, 4, 8, 9, 15, 13, 6, 1, 12, 0, 2, 11, 7, 5, 3},
    {11, 8, 12, 0, 5, 2, 15, 13, 10, 14, 3, 6, 7, 1, 9, 4}, {7, 9, 3, 1, 13, 12, 11, 14, 2, 6, 5, 10, 4, 0, 15, 8},
    {9, 0, 5, 7, 2, 4, 10, 15, 14, 1, 11, 12, 6, 8, 3, 13}, {2, 12, 6, 10, 0, 11, 8, 3, 4, 13, 7, 5, 15, 14, 1, 9},
    {12, 5, 1, 15, 14, 13, 4, 10, 0, 7, 6, 3, 9, 2, 8, 11}, {13, 11, 7, 14, 12, 1, 3, 9, 5, 0, 15, 4, 8, 6, 2, 10},
    {6, 15, 14, 9, 11, 3, 0, 8, 12, 2, 13, 7, 1, 4, 10, 5}, {10, 2, 8, 4, 7, 6, 1, 5, 15, 11, 9, 14, 3, 12, 13, 0},
    {0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15}, {14, 10, 4, 8, 9, 15, 13, 6, 1, 12, 0, 2, 11, 7, 5, 3},
};

static uint64_t rotate_right(uint64_t x, unsigned n)
{
    return (x >> n) | (x << (64 - n));
}

static uint64_t load_le(const uint8_t *p)
{
    uint64_t x;
    memcpy(&x, p, sizeof x);
    return le64toh(x);
}

#define MIX(a, b, c, d, x, y)                                                                                          \
    do {                                                                                                               \
        v[a] += v[b] + (x);                                                                                            \
        v[d] = rotate_right(v[d] ^ v[a], 32);                                                                          \
        v[c] += v[d];                                                                                                  \
        v[b] = rotate_right(v[b] ^ v[c], 24);                                                                          \
        v[a] += v[b] + (y);                                                                                            \
        v[d] = rotate_right(v[d] ^ v[a], 16);                                                                          \
        v[c] += v[d];                                                                                                  \
        v[b] = rotate_right(v[b] ^ v[c], 63);                                                                          \
    } while (0)

static void compress(struct blake2b *b, const uint8_t *block, int is_last)
{
    uint64_t v[16], m[16];
    for (int i = 0; i < 8; i++) {
        v[i] = b->h[i];
        v[i + 8] = IV[i];
    }
    v[12] ^= b->total_bytes;
    if (is_last)
        v[14] = ~v[14];
    for (size_t i = 0; i < 16; i++)
        m[i] = load_le(block + 8 * i);
    for (int r = 0; r < 12; r++) {
        const uint8_t *s = SIGMA[r];
        MIX(0, 4, 8, 12, m[s[0]], m[s[1]]);
        MIX(1, 5, 9, 13, m[s[2]], m[s[3]]);
        MIX(2, 6, 10, 14, m[s[4]], m[s[5]]);
        MIX(3, 7, 11, 15, m[s[6]], m[s[7]]);
        MIX(0, 5, 10, 15, m[s[8]], m[s[9]]);
        MIX(1, 6, 11, 12, m[s[10]], m[s[11]]);
        MIX(2, 7, 8, 13, m[s[12]], m[s[13]]);
        MIX(3, 4, 9, 14, m[s[14]], m[s[15]]);
    }
    for (int i = 0; i < 8; i++)
        b->h[i] ^= v[i] ^ v[i + 8];
}

void blake2b_begin(struct blake2b *b)
{
    memset(b, 0, sizeof *b);
    memcpy(b->h, IV, sizeof b->h);
    b->h[0] ^= 0x01010000u ^ 32u; /* no key, 32 bytes of output */
}

void blake2b_add(struct blake2b *b, const void *data, size_t len)
{
    const uint8_t *p = data;
    while (len > 0) {
        if (b->buf_len == sizeof b->buf) { /* the last block is kept for blake2b_end */
            b->total_bytes += sizeof b->buf;
            compress(b, b->buf, 0);
            b->buf_len = 0;
        }
        while (b->buf_len == 0 && len > sizeof b->buf) {
            b->total_bytes += sizeof b->buf;
            compress(b, p, 0);
            p += sizeof b->buf;
            len -= sizeof b->buf;
        }
        size_t n = sizeof b->buf - b->buf_len;
        n = n < len ? n : len;
        memcpy(b->buf + b->buf_len, p, n);
        b->buf_len += n;
        p += n;
        len -= n;
    }
}

void blake2b_end(struct blake2b *b, uint8_t ret_hash[32])
{
    b->total_bytes += b->buf_len;
    memset(b->buf + b->buf_len, 0, sizeof b->buf - b->buf_len);
    compress(b, b->buf, 1);
    for (size_t i = 0; i < 4; i++) {
        uint64_t x = htole64(b->h[i]);
        memcpy(ret_hash + 8 * i, &x, sizeof x);
    }
}
