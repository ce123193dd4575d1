/* q4_q5.c: the types of 32 inputs with four or five bits each: Q4_0 and Q5_0 with a scale (d), Q4_1 and Q5_1 with a
 * scale and an offset (m). Word i of the nibbles (qs) holds the lower bits of inputs 4 i ... in its low nibbles and of
 * inputs 16 + 4 i ... in its high ones; the fifth bits (qh) are one word, a bit for every input. */
#include "weights/weight.h"

INLINE void scale_1(scalings *to, size_t first, const uint8_t *p)
{
    f4 m[2];
    half_field(m, p + HALF_FIELD);
    scale_by_d(to, first, p);
    for (size_t half = 0; half < 2; half++) to->offset[first][half] = m[half];
}

/* In the low nibbles of a word, or in its high ones. */
INLINE i4 nibbles(const uint8_t *word, size_t high, size_t half)
{
    return i4_and(i4_shr_u(word_field(word, half), high ? 4 : 0), i4_constant(0x0f0f0f0f));
}

/* Four bits go to the lowest bits of four bytes: copies of them seven places apart, of which one bit each is kept. */
INLINE i4 fives(word_place where, size_t qh, size_t j, size_t half)
{
    i4 bits = i4_and(i4_shr_u(word_field(where.block + qh, half), (uint32_t) (4 * where.i + 16 * j)), i4_constant(15));
    i4 high = i4_and(i4_mul(bits, i4_constant(0x00204081)), i4_constant(0x01010101));
    return i4_or(nibbles(where.at + qh + WORD_FIELD, j, half), i4_shl(high, 4));
}

INLINE i4 quants_4_0(word_place p, size_t j, size_t half) { return nibbles(p.at + HALF_FIELD, j, half); }
INLINE i4 quants_4_1(word_place p, size_t j, size_t half) { return nibbles(p.at + 2 * HALF_FIELD, j, half); }
INLINE i4 quants_5_0(word_place p, size_t j, size_t half) { return fives(p, HALF_FIELD, j, half); }
INLINE i4 quants_5_1(word_place p, size_t j, size_t half) { return fives(p, 2 * HALF_FIELD, j, half); }

WEIGHT_TYPE(Q4_0, q4_0, 1, 0, 32, 4, 2, 8, 0, 4, scale_by_d, quants_4_0)
WEIGHT_TYPE(Q4_1, q4_1, 2, 0, 32, 4, 2, 0, 1, 4, scale_1, quants_4_1)
WEIGHT_TYPE(Q5_0, q5_0, 1, 0, 32, 4, 2, 16, 0, 5, scale_by_d, quants_5_0)
WEIGHT_TYPE(Q5_1, q5_1, 2, 0, 32, 4, 2, 0, 1, 5, scale_1, quants_5_1)
