/* q6_k.c: Q6_K: 256 inputs of six bits in runs of 16. ql[128]: the lower four bits, low nibbles and high ones 64 inputs
 * apart; qh[64]: the upper two of four times four inputs in a word, 32 apart; scales[16], signed; d. */
#include "weights/weight.h"

enum { QH = 32 * WORD_FIELD, SCALES = QH + 16 * WORD_FIELD, D = SCALES + 4 * WORD_FIELD };

OUTLINE void scale(scalings *to, size_t first, const uint8_t *p)
{
    f4 d[2];
    half_field(d, p + D);
    ROLLED
    for (size_t half = 0; half < 2; half++) {
        ROLLED
        for (size_t s = 0; s < 16; s += 4) {
            i4 four = word_field(p + SCALES + s / 4 * WORD_FIELD, half);
            for (uint32_t i = 0; i < 4; i++) to->scale[first + s + i][half] = f4_mul(d[half], i4_float(signed_byte(four, i)));
        }
    }
}

/* The upper two bits go to where they belong. */
INLINE i4 upper(i4 four, size_t j)
{
    return i4_and(j < 2 ? i4_shl(four, 4 - 2 * (uint32_t) j) : i4_shr_u(four, 2 * (uint32_t) j - 4), i4_constant(0x30303030));
}

INLINE i4 quants(word_place p, size_t j, size_t half)
{
    i4 low = i4_shr_u(word_field(p.at + (p.chunk * 16 + j % 2 * 8) * WORD_FIELD, half), j / 2 * 4);
    i4 high = upper(word_field(p.at + QH + p.chunk * 8 * WORD_FIELD, half), j);
    return i4_or(i4_and(low, i4_constant(0x0f0f0f0f)), high);
}

WEIGHT_TYPE(Q6_K, q6_k, 0, 1, 16, 8, 4, 32, 0, 6, scale, quants)
