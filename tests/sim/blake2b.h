/* BLAKE2b with 32 bytes of output: the simulator's block hash. */
#ifndef OC_SIM_BLAKE2B_H
#define OC_SIM_BLAKE2B_H

#include <stddef.h>
#include <stdint.h>

struct blake2b {
    uint64_t h[8];
    uint64_t total_bytes;
    uint8_t buf[128];
    size_t buf_len;
};

void blake2b_begin(struct blake2b *b);
void blake2b_add(struct blake2b *b, const void *data, size_t len);
void blake2b_end(struct blake2b *b, uint8_t ret_hash[32]);

#endif
