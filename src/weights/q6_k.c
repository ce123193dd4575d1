/* q6_k.c: Q6_K: 256 inputs of six bits in runs of 16, each with a scale of eight bits. A file has ql[128], the lower four bits, low
 * nibbles and high ones 64 inputs apart; qh[64], the upper two of four times four inputs in a word, 32 apart; scales[16],
 * signed; d. Packed, every run is three words: those of its first twelve inputs, and above each of them two bits of the
 * last four, so that a run is taken apart by itself. */
#include "weights/runs.h"

enum { RUN = 16, PACKED = 3, SCALES = 16 * PACKED * WORD_FIELD, D = SCALES + 4 * WORD_FIELD, ZERO = 32 };

static void arrange(uint8_t *to, const uint8_t *block)
{
    const uint32_t top = 0x03030303;
    for (size_t run = 0; run < 16; run++, to += 4 * PACKED) {
        size_t chunk = run / 8, layer = run / 2 % 4;
        const uint8_t *ql = block + 64 * chunk + 32 * (layer % 2) + RUN * (run % 2), *qh = block + 128 + 32 * chunk + RUN * (run % 2);
        uint32_t words[4];
        for (size_t i = 0; i < 4; i++) {
            uint32_t low, high;
            memcpy(&low, ql + 4 * i, 4);
            memcpy(&high, qh + 4 * i, 4);
            words[i] = (low >> layer / 2 * 4 & 0x0f0f0f0f) | (high >> 2 * layer & top) << 4;
        }
        for (size_t i = 0; i < PACKED; i++) {
            uint32_t word = words[i] | (words[3] >> 2 * i & top) << 6;
            memcpy(to + 4 * i, &word, 4);
        }
    }
    memcpy(to, block + 192, 18);
}

/* The four words of a run. */
INLINE void words_of_six(i4 words[RUN_WORDS], const uint8_t *p, size_t half)
{
    i4 six = i4_constant(0x3f3f3f3f);
    i4 a = word_field(p, half), b = word_field(p + WORD_FIELD, half), c = word_field(p + 2 * WORD_FIELD, half);
    words[0] = i4_and(a, six);
    words[1] = i4_and(b, six);
    words[2] = i4_and(c, six);
    /* What is above: bits 4 and 5 above c, 2 and 3 above b, 0 and 1 above a. */
    i4 above = i4_or(i4_xor(c, words[2]), i4_shr_u(i4_xor(b, words[1]), 2));
    words[3] = i4_shr_u(i4_or(above, i4_shr_u(i4_xor(a, words[0]), 4)), 2);
}

OUTLINE void scale(scalings *to, size_t first, const uint8_t *p)
{
    f4 d[2];
    half_field(d, p + D);
    ROLLED
    for (size_t half = 0; half < 2; half++) {
        ROLLED
        for (size_t s = 0; s < 16; s += 4) scale_four(to->scale + first + s, half, d[half], word_field(p + SCALES + s / 4 * WORD_FIELD, half));
    }
}

WEIGHT_TYPE_RUNS(Q6_K, q6_k, 0, 1, arrange, RUN, 0, PACKED, ZERO, 0, 6, scale, words_of_six)
