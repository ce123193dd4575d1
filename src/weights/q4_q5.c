/* q4_q5.c: the types of 32 inputs with four or five bits each: Q4_0 and Q5_0 with a scale (d), Q4_1 and Q5_1 with a
 * scale and an offset (m). Word i of the nibbles (qs) holds the lower bits of inputs 4 i ... in its low nibbles and of
 * inputs 16 + 4 i ... in its high ones; the fifth bits (qh) are one word, a bit for every input. */
#include "weights/weight.h"

INLINE scaling scale_0(const uint8_t *p, size_t run, size_t half)
{
    (void) run;
    return (scaling) { .scale = half_field(p, half) };
}

INLINE scaling scale_1(const uint8_t *p, size_t run, size_t half)
{
    (void) run;
    return (scaling) { half_field(p, half), half_field(p + HALF_FIELD, half) };
}

INLINE i4 nibbles(const uint8_t *qs, size_t w, size_t half)
{
    i4 both = word_field(qs + w % 4 * WORD_FIELD, half);
    return i4_and(i4_shr_u(both, w / 4 * 4), i4_constant(0x0f0f0f0f));
}

/* Four bits go to the lowest bits of four bytes: copies of them seven places apart, of which one bit each is kept. */
INLINE i4 fives(const uint8_t *qh, size_t w, size_t half)
{
    i4 bits = i4_and(i4_shr_u(word_field(qh, half), 4 * w), i4_constant(15));
    i4 high = i4_and(i4_mul(bits, i4_constant(0x00204081)), i4_constant(0x01010101));
    return i4_or(nibbles(qh + WORD_FIELD, w, half), i4_shl(high, 4));
}

INLINE i4 quants_4_0(const uint8_t *p, size_t w, size_t half) { return nibbles(p + HALF_FIELD, w, half); }
INLINE i4 quants_4_1(const uint8_t *p, size_t w, size_t half) { return nibbles(p + 2 * HALF_FIELD, w, half); }
INLINE i4 quants_5_0(const uint8_t *p, size_t w, size_t half) { return fives(p + HALF_FIELD, w, half); }
INLINE i4 quants_5_1(const uint8_t *p, size_t w, size_t half) { return fives(p + 2 * HALF_FIELD, w, half); }

WEIGHT_TYPE(Q4_0, q4_0, 1, 0, 32, 1, 8, 0, 4, scale_0, quants_4_0)
WEIGHT_TYPE(Q4_1, q4_1, 2, 0, 32, 1, 0, 1, 4, scale_1, quants_4_1)
WEIGHT_TYPE(Q5_0, q5_0, 1, 0, 32, 1, 16, 0, 5, scale_0, quants_5_0)
WEIGHT_TYPE(Q5_1, q5_1, 2, 0, 32, 1, 0, 1, 5, scale_1, quants_5_1)
