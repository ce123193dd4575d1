/* q4_q5_k.c: Q4_K and Q5_K: 256 inputs of four or five bits in runs of 32, each with a scale and a minimum of six
 * bits. d; dmin; scales[12]; Q5_K: qh[32], a bit of eight times four inputs in a word; qs[128]: a word holds the lower
 * bits of four inputs in its low nibbles and of four others, 32 further, in its high ones. */
#include "weights/runs.h"

enum { SCALES = 2 * HALF_FIELD, QS = SCALES + 3 * WORD_FIELD };

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

INLINE i4 quants_4(word_place p, size_t j, size_t half)
{
    return i4_and(i4_shr_u(word_field(p.at + QS + p.chunk * 8 * WORD_FIELD, half), j ? 4 : 0), i4_constant(0x0f0f0f0f));
}

static void arrange_5(uint8_t *to, const uint8_t *block)
{
    enum { HEAD = 16, QH = HEAD, QS_5 = QH + 32 };
    memcpy(to, block, HEAD);
    for (size_t run = 0; run < 8; run++) {
        uint8_t q[CMHA_INT8_INPUTS];
        for (size_t i = 0; i < CMHA_INT8_INPUTS; i++) {
            uint32_t low = (uint32_t) block[QS_5 + run / 2 * 32 + i] >> run % 2 * 4 & 15, high = (uint32_t) block[QH + i] >> run & 1;
            q[i] = (uint8_t) (low | high << 4);
        }
        arrange_five(to + HEAD + run * FIVE_BYTES, q);
    }
}

WEIGHT_TYPE(Q4_K, q4_k, 2, 0, 32, 8, 2, 0, 1, 4, scale, quants_4)
WEIGHT_TYPE_RUNS(Q5_K, q5_k, 2, 0, arrange_5, 32, QS, FIVE_WORDS, 0, 1, 5, scale, words_of_five)
