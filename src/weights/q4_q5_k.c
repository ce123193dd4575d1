/* q4_q5_k.c: Q4_K and Q5_K: 256 inputs of four or five bits in runs of 32, each with a scale and a minimum of six
 * bits. d; dmin; scales[12]; Q5_K: qh[32], a bit of eight times four inputs in a word; qs[128]: a word holds the lower
 * bits of four inputs in its low nibbles and of four others, 32 further, in its high ones. Packed, groups follow scales. */
#include "weights/groups.h"

enum { SCALES = 2 * HALF_FIELD, GROUPS = SCALES + 3 * WORD_FIELD, HEAD = 16, QH_BYTES = 32 };

/* The minima count as offsets below zero. Of runs 4 to 7 the upper two bits stand above the six bits of runs 0 to 3, the
 * lower four in the third word. */
OUTLINE void scale(scalings *to, size_t first, const uint8_t *p)
{
    i4 six = i4_constant(0x3f3f3f3f), nibble = i4_constant(0x0f0f0f0f), top = i4_constant(0x30303030);
    f4 ds[2], mins[2];
    half_field(ds, p);
    half_field(mins, p + HALF_FIELD);
    ROLLED
    for (size_t half = 0; half < 2; half++) {
        f4 d = ds[half], least = f4_negative(mins[half]);
        i4 a = word_field(p + SCALES, half), b = word_field(p + SCALES + WORD_FIELD, half);
        i4 low = word_field(p + SCALES + 2 * WORD_FIELD, half);
        scale_four(to->scale + first, half, d, i4_and(a, six));
        scale_four(to->offset + first, half, least, i4_and(b, six));
        a = i4_or(i4_and(low, nibble), i4_and(i4_shr_u(a, 2), top));
        b = i4_or(i4_and(i4_shr_u(low, 4), nibble), i4_and(i4_shr_u(b, 2), top));
        scale_four(to->scale + first + 4, half, d, a);
        scale_four(to->offset + first + 4, half, least, b);
    }
}

INLINE uint32_t lower(const uint8_t *qs, size_t g, size_t i)
{
    return file_word(qs + g / 2 * 32 + 4 * i) >> g % 2 * 4 & four_times(15);
}
INLINE uint32_t four(const uint8_t *block, size_t g, size_t i)
{
    return lower(block + HEAD, g, i);
}
INLINE uint32_t five(const uint8_t *block, size_t g, size_t i)
{
    return lower(block + HEAD + QH_BYTES, g, i) | (file_word(block + HEAD + 4 * i) >> g & four_times(1)) << 4;
}

static void arrange_4(uint8_t *to, const uint8_t *block)
{
    memcpy(to, block, HEAD);
    arrange_groups(to + HEAD, block, 8, four, arrange_four_bits);
}
static void arrange_5(uint8_t *to, const uint8_t *block)
{
    memcpy(to, block, HEAD);
    arrange_groups(to + HEAD, block, 8, five, arrange_five_bits);
}

GROUPS_UNPACKED(q4_k, .inputs = 32, .packed = FOUR_BITS, .at = GROUPS, .scale = scale, .word = nibble)
const weight_type weight_q4_k = {
    .block = BLOCK_Q4_K, .bytes = BYTES_Q4_K, .head = 2, .arrange = arrange_4,
    .dot = { .run = 32, .offset = 1, .bits = 4, .row = row_q4_k, .unpack = unpack_q4_k },
};

GROUPS_UNPACKED(q5_k, .inputs = 32, .packed = FIVE_BITS, .at = GROUPS, .scale = scale, .words_of = words_of_five_bits)
const weight_type weight_q5_k = {
    .block = BLOCK_Q5_K, .bytes = BYTES_Q5_K, .head = 2, .arrange = arrange_5,
    .dot = { .run = 32, .offset = 1, .bits = 5, .row = row_q5_k, .unpack = unpack_q5_k },
};
