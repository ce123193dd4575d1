/* q4_q5.c: the types of 32 inputs with four or five bits each: Q4_0 and Q5_0 with a scale (d), Q4_1 and Q5_1 with a
 * scale and an offset (m). Word i of the nibbles (qs) holds the lower bits of inputs 4 i ... in its low nibbles and of
 * inputs 16 + 4 i ... in its high ones; ahead of it, the fifth bits (qh) are one word, a bit for every input. */
#include "weights/groups.h"

INLINE void scale_1(scalings *to, size_t first, const uint8_t *p)
{
    f4 m[2];
    half_field(m, p + HALF_FIELD);
    scale_by_d(to, first, p);
    for (size_t half = 0; half < 2; half++) to->offset[first][half] = m[half];
}

/* Four bits of qh go to where they belong in four bytes: copies of them seven places apart, of which one bit each is kept. */
INLINE uint32_t five(const uint8_t *qh, size_t g, size_t i)
{
    uint32_t high = (file_word(qh) >> 4 * i & 15) * 0x00204081 & four_times(1);
    (void) g;
    return (file_word(qh + 4 + i % 4 * 4) >> i / 4 * 4 & four_times(15)) | high << 4;
}

static void arrange_5_0(uint8_t *to, const uint8_t *block)
{
    memcpy(to, block, 2);
    arrange_groups(to + 2, block + 2, 1, five, arrange_five_bits);
}
static void arrange_5_1(uint8_t *to, const uint8_t *block)
{
    memcpy(to, block, 4);
    arrange_groups(to + 4, block + 4, 1, five, arrange_five_bits);
}

WEIGHT_TYPE(Q4_0, q4_0, 1, 0, NULL, 32, HALF_FIELD, 32, FOUR_BITS, 8, 0, 4, scale_by_d, NULL, nibble)
WEIGHT_TYPE(Q4_1, q4_1, 2, 0, NULL, 32, 2 * HALF_FIELD, 32, FOUR_BITS, 0, 1, 4, scale_1, NULL, nibble)
WEIGHT_TYPE(Q5_0, q5_0, 1, 0, arrange_5_0, 32, HALF_FIELD, 32, FIVE_BITS, 16, 0, 5, scale_by_d, words_of_five_bits, NULL)
WEIGHT_TYPE(Q5_1, q5_1, 2, 0, arrange_5_1, 32, 2 * HALF_FIELD, 32, FIVE_BITS, 0, 1, 5, scale_1, words_of_five_bits, NULL)
