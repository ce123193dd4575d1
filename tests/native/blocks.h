/* blocks.h: weights as files have them, of arbitrary bits. */
#ifndef CMHA_TESTS_BLOCKS_H
#define CMHA_TESTS_BLOCKS_H

#include "native.h"
#include "weights/weight.h"

static const struct { uint32_t block, bytes; } types[] = {
#define X(NAME, object, block, bytes, ggml) { block, bytes },
    CMHA_WEIGHT_TYPES(X)
#undef X
};

/* Blocks of arbitrary bits, but for 16-bit numbers: those are below 1 in any type that they may belong to. */
static inline uint8_t *blocks(uint64_t *r, uint32_t type, size_t count)
{
    size_t bytes = types[type].bytes;
    uint8_t *raw = malloc(count * bytes + (count == 0));
    for (size_t i = 0; i < count * bytes; i++) raw[i] = (uint8_t) random_bits(r);
    const weight_type *t = weight_type_of(type);
    int last = type == CMHA_WEIGHT_Q2_K || type == CMHA_WEIGHT_Q3_K || type == CMHA_WEIGHT_Q6_K;    /* in files */
    for (size_t i = 0; i < count; i++) {
        uint8_t *block = raw + i * bytes;
        for (size_t f = 0; f < t->head; f++) block[last ? bytes - 2 * f - 1 : 2 * f + 1] &= 0xbb;
        if (type == CMHA_WEIGHT_F32) block[3] &= 0xbf;
        if (type == CMHA_WEIGHT_I4) block[3] = (block[3] & 0x80) | 0x3e;
    }
    return raw;
}

#endif
