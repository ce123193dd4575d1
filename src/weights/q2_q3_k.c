/* q2_q3_k.c: Q2_K and Q3_K: 256 inputs of two bits (qs), and of a third (hmask) in Q3_K, in runs of 16. A word of qs
 * holds the bits of four times four inputs, 32 apart; a word of hmask those of eight times four. */
#include "weights/weight.h"

/* scales[16]: scale and minimum of a run in one byte; qs[64]; d; dmin. */
enum { Q2_QS = 4 * WORD_FIELD, Q2_D = Q2_QS + 16 * WORD_FIELD };

INLINE void scale_2(scalings *to, size_t first, const uint8_t *p)
{
    i4 nibble = i4_constant(0x0f0f0f0f);
    f4 d[2], least[2];
    half_field(d, p + Q2_D);
    half_field(least, p + Q2_D + HALF_FIELD);
    for (size_t half = 0; half < 2; half++) least[half] = f4_negative(least[half]);
    ROLLED
    for (size_t end = first + 16; first < end; first += 4, p += WORD_FIELD) {
        for (size_t half = 0; half < 2; half++) {
            i4 both = word_field(p, half);
            scale_four(to->scale + first, half, d[half], i4_and(both, nibble));
            scale_four(to->offset + first, half, least[half], i4_and(i4_shr_u(both, 4), nibble));
        }
    }
}

INLINE i4 pairs(word_place p, size_t qs, size_t j, size_t half)
{
    i4 four = word_field(p.at + qs + p.chunk * 8 * WORD_FIELD, half);
    return i4_and(i4_shr_u(four, (uint32_t) j * 2), i4_constant(0x03030303));
}

INLINE i4 quants_2(word_place p, size_t j, size_t half) { return pairs(p, Q2_QS, j, half); }

WEIGHT_TYPE(Q2_K, q2_k, 0, 2, 16, 8, 4, 0, 1, 4, scale_2, quants_2)

/* hmask[32]; qs[64]; scales[12]: 16 scales of six bits, the lower four of them first; d. */
enum { Q3_QS = 8 * WORD_FIELD, Q3_SCALES = Q3_QS + 16 * WORD_FIELD, Q3_D = Q3_SCALES + 3 * WORD_FIELD };

INLINE void scale_3(scalings *to, size_t first, const uint8_t *p)
{
    const uint8_t *scales = p + Q3_SCALES;
    f4 d[2];
    half_field(d, p + Q3_D);
    ROLLED
    for (size_t half = 0; half < 2; half++) {
        ROLLED
        for (uint32_t s = 0; s < 16; s += 4) {
            i4 low = i4_shr_u(word_field(scales + s / 4 % 2 * WORD_FIELD, half), s / 8 * 4);
            i4 high = i4_shr_u(word_field(scales + 2 * WORD_FIELD, half), s / 2);
            i4 upper = i4_shl(i4_and(high, i4_constant(0x03030303)), 4);
            i4 four = i4_or(i4_and(low, i4_constant(0x0f0f0f0f)), upper);
            for (uint32_t i = 0; i < 4; i++) {
                i4 scale = i4_add(unsigned_byte(four, i), i4_constant(-32u));
                to->scale[first + s + i][half] = f4_mul(d[half], i4_float(scale));
            }
        }
    }
}

INLINE i4 quants_3(word_place p, size_t j, size_t half)
{
    i4 high = i4_and(i4_shr_u(word_field(p.at, half), (uint32_t) (4 * p.chunk + j)), i4_constant(0x01010101));
    return i4_or(pairs(p, Q3_QS, j, half), i4_shl(high, 2));
}

WEIGHT_TYPE(Q3_K, q3_k, 0, 1, 16, 8, 4, 4, 0, 4, scale_3, quants_3)
