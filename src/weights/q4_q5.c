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

GROUPS_UNPACKED(q4_0, .inputs = 32, .packed = FOUR_BITS, .at = HALF_FIELD, .scale = scale_by_d, .word = nibble)
const weight_type weight_q4_0 = {
    .block = BLOCK_Q4_0, .bytes = BYTES_Q4_0, .head = 1,
    .dot = { .run = 32, .zero = 8, .bits = 4, .row = row_q4_0, .unpack = unpack_q4_0 },
};

GROUPS_UNPACKED(q4_1, .inputs = 32, .packed = FOUR_BITS, .at = 2 * HALF_FIELD, .scale = scale_1, .word = nibble)
const weight_type weight_q4_1 = {
    .block = BLOCK_Q4_1, .bytes = BYTES_Q4_1, .head = 2,
    .dot = { .run = 32, .offset = 1, .bits = 4, .row = row_q4_1, .unpack = unpack_q4_1 },
};

GROUPS_UNPACKED(q5_0, .inputs = 32, .packed = FIVE_BITS, .at = HALF_FIELD, .scale = scale_by_d, .words_of = words_of_five_bits)
const weight_type weight_q5_0 = {
    .block = BLOCK_Q5_0, .bytes = BYTES_Q5_0, .head = 1, .arrange = arrange_5_0,
    .dot = { .run = 32, .zero = 16, .bits = 5, .row = row_q5_0, .unpack = unpack_q5_0 },
};

GROUPS_UNPACKED(q5_1, .inputs = 32, .packed = FIVE_BITS, .at = 2 * HALF_FIELD, .scale = scale_1, .words_of = words_of_five_bits)
const weight_type weight_q5_1 = {
    .block = BLOCK_Q5_1, .bytes = BYTES_Q5_1, .head = 2, .arrange = arrange_5_1,
    .dot = { .run = 32, .offset = 1, .bits = 5, .row = row_q5_1, .unpack = unpack_q5_1 },
};
