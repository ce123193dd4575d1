/* q6_k.c: Q6_K: 256 inputs of six bits in runs of 16, each with a scale of eight bits. A file has ql[128], the lower four bits, low
 * nibbles and high ones 64 inputs apart; qh[64], the upper two of four times four inputs in a word, 32 apart; scales[16],
 * signed; d. Packed, d and scales come first, then groups of 16, three words each. */
#include "weights/groups.h"

enum { SIX_BITS = 6, SCALES = HALF_FIELD, GROUPS = SCALES + 4 * WORD_FIELD, FILE_SCALES = 192, FILE_D = FILE_SCALES + 16 };

INLINE uint32_t six(const uint8_t *block, size_t g, size_t i)
{
    uint32_t low = file_word(block + g / 4 * 64 + g % 2 * 32 + 4 * i) >> g / 2 % 2 * 4;
    uint32_t high = file_word(block + 128 + g / 4 * 32 + 4 * i) >> g % 4 * 2;
    return (low & four_times(15)) | (high & four_times(3)) << 4;
}

/* Of each run three words, and above each of them two bits of the fourth. */
static uint8_t *arrange_six_bits(uint8_t *to, const uint32_t w[GROUP_WORDS])
{
    for (size_t run = 0; run < 2; run++, w += 4) {
        for (size_t i = 0; i < 3; i++, to += 4) {
            uint32_t packed = w[i] | (w[3] >> 2 * i & four_times(3)) << 6;
            memcpy(to, &packed, sizeof packed);
        }
    }
    return to;
}

static void arrange(uint8_t *to, const uint8_t *block)
{
    memcpy(to, block + FILE_D, 2);
    memcpy(to + 2, block + FILE_SCALES, 16);
    arrange_groups(to + 18, block, 8, six, arrange_six_bits);
}

INLINE void words_of_six_bits(i4 words[GROUP_WORDS], const uint8_t *p, size_t half)
{
    i4 above[3];
    for (size_t i = 0; i < 3; i++, p += WORD_FIELD) {
        i4 packed = word_field(p, half);
        words[i] = i4_and(packed, i4_constant(0x3f3f3f3f));
        above[i] = i4_xor(packed, words[i]);
    }
    i4 upper = i4_or(above[2], i4_shr_u(above[1], 2));
    words[3] = i4_shr_u(i4_or(upper, i4_shr_u(above[0], 4)), 2);
}

OUTLINE void scale(scalings *to, size_t first, const uint8_t *p)
{
    f4 d[2];
    half_field(d, p);
    ROLLED
    for (size_t half = 0; half < 2; half++) {
        ROLLED
        for (size_t s = 0; s < 16; s += 4) scale_four(to->scale + first + s, half, d[half], word_field(p + SCALES + s / 4 * WORD_FIELD, half));
    }
}

GROUPS_UNPACKED(q6_k, .inputs = 16, .packed = SIX_BITS / 2, .at = GROUPS, .scale = scale, .words_of = words_of_six_bits)
const weight_type weight_q6_k = {
    .block = BLOCK_Q6_K, .bytes = BYTES_Q6_K, .head = 1, .arrange = arrange,
    .dot = { .run = 16, .zero = 32, .bits = 6, .row = row_q6_k, .unpack = unpack_q6_k },
};
