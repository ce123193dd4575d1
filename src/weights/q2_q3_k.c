/* q2_q3_k.c: Q2_K and Q3_K: 256 inputs of two bits (qs), and of a third (hmask) in Q3_K, in runs of 16. A word of qs
 * holds the bits of four times four inputs, 32 apart; a word of hmask those of eight times four. */
#include "weights/groups.h"

INLINE uint32_t pair(const uint8_t *qs, size_t g, size_t i)
{
    return file_word(qs + g / 4 * 32 + 4 * i) >> g % 4 * 2 & four_times(3);
}

/* scales[16]: scale and minimum of a run in one byte; qs[64]; d; dmin. Packed, d and dmin come first. */
enum { TWO_BITS = 2, Q2_QS = 16, Q2_D = 80, Q2_SCALES = 2 * HALF_FIELD, Q2_GROUPS = Q2_SCALES + 4 * WORD_FIELD };

INLINE uint32_t two(const uint8_t *block, size_t g, size_t i)
{
    return pair(block + Q2_QS, g, i);
}

/* Of each run the four words in one. */
static uint8_t *arrange_two_bits(uint8_t *to, const uint32_t w[GROUP_WORDS])
{
    for (size_t run = 0; run < 2; run++, to += 4, w += 4) {
        uint32_t packed = w[0] | w[1] << 2 | w[2] << 4 | w[3] << 6;
        memcpy(to, &packed, sizeof packed);
    }
    return to;
}

static void arrange_2(uint8_t *to, const uint8_t *block)
{
    memcpy(to, block + Q2_D, 4);
    memcpy(to + 4, block, 16);
    arrange_groups(to + 20, block, 8, two, arrange_two_bits);
}

INLINE void words_of_two_bits(i4 words[GROUP_WORDS], const uint8_t *p, size_t half)
{
    i4 packed = word_field(p, half);
    for (uint32_t i = 0; i < 4; i++) words[i] = i4_and(i4_shr_u(packed, 2 * i), i4_constant(0x03030303));
}

OUTLINE void scale_2(scalings *to, size_t first, const uint8_t *p)
{
    i4 nibble = i4_constant(0x0f0f0f0f);
    f4 d[2], least[2];
    half_field(d, p);
    half_field(least, p + HALF_FIELD);
    p += Q2_SCALES;
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

GROUPS_UNPACKED(q2_k, .inputs = 16, .packed = TWO_BITS / 2, .at = Q2_GROUPS, .scale = scale_2, .words_of = words_of_two_bits)
const weight_type weight_q2_k = {
    .block = BLOCK_Q2_K, .bytes = BYTES_Q2_K, .head = 2, .arrange = arrange_2,
    .dot = { .run = 16, .offset = 1, .bits = 4, .row = row_q2_k, .unpack = unpack_q2_k },
};

/* hmask[32]; qs[64]; scales[12]: 16 scales of six bits, the lower four of them first; d. Packed, d and scales come first. */
enum { THREE_BITS = 3, HMASK_BYTES = 32, Q3_FILE_SCALES = 96, Q3_D = Q3_FILE_SCALES + 12, Q3_GROUPS = HALF_FIELD + 3 * WORD_FIELD };

INLINE uint32_t three(const uint8_t *block, size_t g, size_t i)
{
    return pair(block + HMASK_BYTES, g, i) | (file_word(block + 4 * i) >> g & four_times(1)) << 2;
}

/* Of each run two words and a third one's lower two bits, then the fourth words of both and the upper bits of the thirds. */
static uint8_t *arrange_three_bits(uint8_t *to, const uint32_t w[GROUP_WORDS])
{
    uint32_t lower = four_times(3), upper = four_times(4), packed[THREE_BITS] = {
        w[0] | w[1] << 3 | (w[2] & lower) << 6, w[4] | w[5] << 3 | (w[6] & lower) << 6,
        w[3] | w[7] << 3 | (w[2] & upper) << 4 | (w[6] & upper) << 5,
    };
    memcpy(to, packed, sizeof packed);
    return to + sizeof packed;
}

static void arrange_3(uint8_t *to, const uint8_t *block)
{
    memcpy(to, block + Q3_D, 2);
    memcpy(to + 2, block + Q3_FILE_SCALES, 12);
    arrange_groups(to + 14, block, 8, three, arrange_three_bits);
}

INLINE void words_of_three_bits(i4 words[GROUP_WORDS], const uint8_t *p, size_t half)
{
    i4 all = i4_constant(0x07070707), fourths = word_field(p + 2 * WORD_FIELD, half);
    for (size_t run = 0; run < 2; run++, words += 4, p += WORD_FIELD) {
        i4 packed = word_field(p, half), lower = i4_and(i4_shr_u(packed, 6), i4_constant(0x03030303));
        words[0] = i4_and(packed, all);
        words[1] = i4_and(i4_shr_u(packed, 3), all);
        words[2] = i4_or(lower, i4_and(i4_shr_u(fourths, run ? 5 : 4), i4_constant(0x04040404)));
        words[3] = i4_and(i4_shr_u(fourths, run ? 3 : 0), all);
    }
}

OUTLINE void scale_3(scalings *to, size_t first, const uint8_t *p)
{
    const uint8_t *scales = p + HALF_FIELD;
    f4 d[2];
    half_field(d, p);
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

GROUPS_UNPACKED(q3_k, .inputs = 32, .packed = THREE_BITS, .at = Q3_GROUPS, .scale = scale_3, .words_of = words_of_three_bits)
const weight_type weight_q3_k = {
    .block = BLOCK_Q3_K, .bytes = BYTES_Q3_K, .head = 1, .arrange = arrange_3,
    .dot = { .run = 16, .zero = 4, .bits = 4, .row = row_q3_k, .unpack = unpack_q3_k },
};
