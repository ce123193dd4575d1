/* iq4.c: IQ4_NL and IQ4_XS: inputs of four bits that choose one of sixteen values, not evenly spaced. */
#include "weights/weight.h"

/* Of the low nibbles of a word, or of its high ones. */
INLINE i4 values(const uint8_t *word, size_t high, size_t half)
{
    static const int8_t table[16] = { -127, -104, -83, -65, -49, -35, -22, -10, 1, 13, 25, 38, 53, 69, 89, 113 };
    const int8_t *place = table;
    __asm__("" : "+r"(place));  /* as i4_constant does */
    i4 at = i4_and(i4_shr_u(word_field(word, half), high ? 4 : 0), i4_constant(0x0f0f0f0f));
    return i4_xor(b16_look_up(i4_load(place), at), i4_constant(DOT_LIFT));
}

/* d; qs[16]: 32 inputs. */
INLINE i4 quants_nl(word_place p, size_t j, size_t half) { return values(p.at + HALF_FIELD, j, half); }

WEIGHT_TYPE(IQ4_NL, iq4_nl, 1, 0, 32, 4, 2, 0, 0, 8, scale_by_d, quants_nl)

/* d; the upper two bits of eight scales; the lower four of them, a nibble each; qs[128]: eight runs of 32. */
INLINE void scale_xs(scalings *to, size_t first, const uint8_t *p)
{
    f4 d[2];
    half_field(d, p);
    for (size_t half = 0; half < 2; half++) {
        i4 high = i4_shl(i4_load_u16(p + HALF_FIELD + half * HALF_FIELD / 2), 4), low = word_field(p + 2 * HALF_FIELD, half);
        ROLLED
        for (size_t s = 0; s < 8; s++, high = i4_shr_u(high, 2), low = i4_shr_u(low, 4)) {
            i4 scale = i4_or(i4_and(low, i4_constant(15)), i4_and(high, i4_constant(0x30)));
            to->scale[first + s][half] = f4_mul(d[half], i4_float(i4_add(scale, i4_constant(-32u))));
        }
    }
}

INLINE i4 quants_xs(word_place p, size_t j, size_t half)
{
    return values(p.at + 2 * HALF_FIELD + WORD_FIELD + p.chunk * 4 * WORD_FIELD, j, half);
}

WEIGHT_TYPE(IQ4_XS, iq4_xs, 2, 0, 32, 4, 2, 0, 0, 8, scale_xs, quants_xs)
