/* q4_q5.c: the types of 32 inputs with four or five bits each: Q4_0 and Q5_0 with a scale (d), Q4_1 and Q5_1 with a
 * scale and an offset (m). Word i of the nibbles (qs) holds the lower bits of inputs 4 i ... in its low nibbles and of
 * inputs 16 + 4 i ... in its high ones; the fifth bits (qh) are one word, a bit for every input, and packed with the others
 * in another order (runs.h). */
#include "weights/runs.h"

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

/* The inputs of a block, of whose bytes qh are the first. */
static void fives(uint8_t *to, const uint8_t *qh)
{
    uint8_t q[CMHA_INT8_INPUTS];
    for (size_t i = 0; i < CMHA_INT8_INPUTS; i++) {
        uint32_t low = (uint32_t) qh[4 + i % 16] >> i / 16 * 4 & 15, high = (uint32_t) qh[i / 8] >> i % 8 & 1;
        q[i] = (uint8_t) (low | high << 4);
    }
    arrange_five(to, q);
}

static void arrange_5_0(uint8_t *to, const uint8_t *block)
{
    memcpy(to, block, 2);
    fives(to + 2, block + 2);
}
static void arrange_5_1(uint8_t *to, const uint8_t *block)
{
    memcpy(to, block, 4);
    fives(to + 4, block + 4);
}

INLINE i4 quants_4_0(word_place p, size_t j, size_t half) { return nibbles(p.at + HALF_FIELD, j, half); }
INLINE i4 quants_4_1(word_place p, size_t j, size_t half) { return nibbles(p.at + 2 * HALF_FIELD, j, half); }

WEIGHT_TYPE(Q4_0, q4_0, 1, 0, 32, 4, 2, 8, 0, 4, scale_by_d, quants_4_0)
WEIGHT_TYPE(Q4_1, q4_1, 2, 0, 32, 4, 2, 0, 1, 4, scale_1, quants_4_1)
WEIGHT_TYPE_RUNS(Q5_0, q5_0, 1, 0, arrange_5_0, 32, HALF_FIELD, FIVE_WORDS, 16, 0, 5, scale_by_d, words_of_five)
WEIGHT_TYPE_RUNS(Q5_1, q5_1, 2, 0, arrange_5_1, 32, 2 * HALF_FIELD, FIVE_WORDS, 0, 1, 5, scale_1, words_of_five)
