/* CRC-32C (Castagnoli), hardware-assisted where the processor has it. */
#ifndef OC_BASE_CRC32C_H
#define OC_BASE_CRC32C_H

#include <stddef.h>
#include <stdint.h>

/* The checksum of `data`, continued from `seed` (0 to start; crc32c(crc32c(0,a),b) == crc32c(0,ab)). */
uint32_t crc32c(uint32_t seed, const void *data, size_t len);

/* The same without the processor's instruction: the fallback, which tests compare with. */
uint32_t crc32c_portable(uint32_t seed, const void *data, size_t len);

#endif
