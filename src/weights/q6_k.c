/* q6_k.c: Q6_K: 256 inputs of six bits in runs of 16. ql[128]: the lower four bits, low nibbles and high ones 64 inputs
 * apart; qh[64]: the upper two of four times four inputs in a word, 32 apart; scales[16], signed; d. */
#include "weights/weight.h"

enum { QH = 32 * WORD_FIELD, SCALES = QH + 16 * WORD_FIELD, D = SCALES + 4 * WORD_FIELD };

INLINE scaling scale(const uint8_t *p, size_t run, size_t half)
{
    i4 scales = signed_byte(word_field(p + SCALES + run / 4 * WORD_FIELD, half), run % 4);
    return (scaling) { .scale = f4_mul(half_field(p + D, half), i4_float(scales)) };
}

INLINE i4 quants(const uint8_t *p, size_t w, size_t half)
{
    size_t chunk = w / 32, quarter = w / 8 % 4;
    i4 low = i4_shr_u(word_field(p + (chunk * 16 + w % 16) * WORD_FIELD, half), quarter / 2 * 4);
    i4 high = i4_shr_u(word_field(p + QH + (chunk * 8 + w % 8) * WORD_FIELD, half), quarter * 2);
    return i4_or(i4_and(low, i4_constant(0x0f0f0f0f)), i4_shl(i4_and(high, i4_constant(0x03030303)), 4));
}

WEIGHT_TYPE(Q6_K, q6_k, 0, 1, 16, 1, 32, 0, 6, scale, quants)
