/* Hex digits to bytes and back: AVX2 where the processor has it, a table otherwise. */
#include "shared/payload/json.h"

#include "shared/base/err.h"

#if defined(__x86_64__)
#include <immintrin.h>
#define HEX_HAS_AVX2 1
#endif

/* Values of the digits, plus one; 0: no digit. */
static const uint8_t digit_plus_one[256] = {
    ['0'] = 1,  ['1'] = 2,  ['2'] = 3,  ['3'] = 4,  ['4'] = 5,  ['5'] = 6,  ['6'] = 7,  ['7'] = 8,
    ['8'] = 9,  ['9'] = 10, ['a'] = 11, ['b'] = 12, ['c'] = 13, ['d'] = 14, ['e'] = 15, ['f'] = 16,
    ['A'] = 11, ['B'] = 12, ['C'] = 13, ['D'] = 14, ['E'] = 15, ['F'] = 16,
};

static int decode_scalar(const char *hex, size_t bytes, uint8_t *dst)
{
    unsigned bad = 0;
    for (size_t i = 0; i < bytes; i++) {
        unsigned high = digit_plus_one[(unsigned char)hex[2 * i]] - 1u;
        unsigned low = digit_plus_one[(unsigned char)hex[2 * i + 1]] - 1u;
        bad |= high | low; /* no digit: all bits */
        dst[i] = (uint8_t)(high << 4 | (low & 15));
    }
    return bad > 15 ? OC_ESYNTAX : 0;
}

static void encode_scalar(const uint8_t *src, size_t len, char *dst)
{
    static const char digits[] = "0123456789abcdef";
    for (size_t i = 0; i < len; i++) {
        dst[2 * i] = digits[src[i] >> 4];
        dst[2 * i + 1] = digits[src[i] & 15];
    }
}

#ifdef HEX_HAS_AVX2
/* 32 digits to 16 values of 16 bits each; *bad gathers lanes that hold no digit. */
__attribute__((target("avx2"))) static __m256i decode_half(const char *hex, __m256i *bad)
{
    __m256i ch = _mm256_loadu_si256((const __m256i *)(const void *)hex);
    __m256i dec = _mm256_sub_epi8(ch, _mm256_set1_epi8('0'));
    __m256i is_dec = _mm256_cmpeq_epi8(_mm256_min_epu8(dec, _mm256_set1_epi8(9)), dec);
    __m256i alpha = _mm256_sub_epi8(_mm256_or_si256(ch, _mm256_set1_epi8(0x20)), _mm256_set1_epi8('a'));
    __m256i is_alpha = _mm256_cmpeq_epi8(_mm256_min_epu8(alpha, _mm256_set1_epi8(5)), alpha);
    *bad = _mm256_or_si256(*bad, _mm256_andnot_si256(_mm256_or_si256(is_dec, is_alpha), _mm256_set1_epi8(-1)));
    __m256i value = _mm256_blendv_epi8(_mm256_add_epi8(alpha, _mm256_set1_epi8(10)), dec, is_dec);
    /* first digit * 16 + second digit */
    return _mm256_maddubs_epi16(value, _mm256_set1_epi16(0x0110));
}

__attribute__((target("avx2"))) static void decode_block(const char *hex, uint8_t *dst, __m256i *bad)
{
    __m256i a = decode_half(hex, bad);
    __m256i b = decode_half(hex + 32, bad);
    __m256i packed = _mm256_permute4x64_epi64(_mm256_packus_epi16(a, b), 0xd8);
    _mm256_storeu_si256((__m256i *)(void *)dst, packed);
}

/* At least 32 bytes, in blocks; the last block overlaps the one before, so that no tail is left. */
__attribute__((target("avx2"))) static int decode_avx2(const char *hex, size_t bytes, uint8_t *dst)
{
    __m256i bad = _mm256_setzero_si256();
    for (size_t done = 0; done + 32 <= bytes; done += 32)
        decode_block(hex + 2 * done, dst + done, &bad);
    if (bytes % 32 != 0)
        decode_block(hex + 2 * (bytes - 32), dst + bytes - 32, &bad);
    return _mm256_testz_si256(bad, bad) ? 0 : OC_ESYNTAX;
}

__attribute__((target("avx2"))) static size_t encode_avx2(const uint8_t *src, size_t len, char *dst)
{
    const __m256i digits =
        _mm256_setr_epi8('0', '1', '2', '3', '4', '5', '6', '7', '8', '9', 'a', 'b', 'c', 'd', 'e', 'f', '0', '1', '2',
                         '3', '4', '5', '6', '7', '8', '9', 'a', 'b', 'c', 'd', 'e', 'f');
    size_t done = 0;
    for (; done + 16 <= len; done += 16) {
        __m128i in = _mm_loadu_si128((const __m128i *)(const void *)(src + done));
        __m256i wide = _mm256_cvtepu8_epi16(in);
        __m256i nibbles = _mm256_and_si256(_mm256_or_si256(_mm256_srli_epi16(wide, 4), _mm256_slli_epi16(wide, 8)),
                                           _mm256_set1_epi8(15));
        _mm256_storeu_si256((__m256i *)(void *)(dst + 2 * done), _mm256_shuffle_epi8(digits, nibbles));
    }
    return done;
}
#endif

int hex_decode(const char *hex, size_t hex_len, uint8_t *dst)
{
    if (hex_len % 2 != 0)
        return OC_ESYNTAX;
#ifdef HEX_HAS_AVX2
    if (hex_len >= 64 && __builtin_cpu_supports("avx2"))
        return decode_avx2(hex, hex_len / 2, dst);
#endif
    return decode_scalar(hex, hex_len / 2, dst);
}

void hex_encode(const uint8_t *src, size_t len, char *dst)
{
    size_t done = 0;
#ifdef HEX_HAS_AVX2
    if (len >= 16 && __builtin_cpu_supports("avx2"))
        done = encode_avx2(src, len, dst);
#endif
    encode_scalar(src + done, len - done, dst + 2 * done);
}
