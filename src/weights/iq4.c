/* iq4.c: IQ4_NL and IQ4_XS: inputs of four bits that choose one of sixteen values, not evenly spaced. */
#include "weights/weight.h"

INLINE i4 values(const uint8_t *words, size_t w, size_t half)
{
    static const int8_t table[16] = { -127, -104, -83, -65, -49, -35, -22, -10, 1, 13, 25, 38, 53, 69, 89, 113 };
    i4 both = word_field(words + (w / 8 * 4 + w % 4) * WORD_FIELD, half);
    return b16_look_up(i4_load(table), i4_and(i4_shr_u(both, w / 4 % 2 * 4), i4_constant(0x0f0f0f0f)));
}

/* d; qs[16]: 32 inputs. */
INLINE scaling scale_nl(const uint8_t *p, size_t run, size_t half)
{
    (void) run;
    return (scaling) { .scale = half_field(p, half) };
}

INLINE i4 quants_nl(const uint8_t *p, size_t w, size_t half) { return values(p + HALF_FIELD, w, half); }

WEIGHT_TYPE(IQ4_NL, iq4_nl, 1, 0, 32, 1, 0, 0, 8, scale_nl, quants_nl)

/* d; the upper two bits of eight scales; the lower four of them, a nibble each; qs[128]: eight runs of 32. */
INLINE scaling scale_xs(const uint8_t *p, size_t run, size_t half)
{
    i4 high = i4_shr_u(i4_load_u16(p + HALF_FIELD + half * HALF_FIELD / 2), 2 * run);
    i4 low = i4_shr_u(word_field(p + 2 * HALF_FIELD, half), 4 * run);
    i4 scale = i4_or(i4_and(low, i4_constant(15)), i4_shl(i4_and(high, i4_constant(3)), 4));
    return (scaling) { .scale = f4_mul(half_field(p, half), i4_float(i4_add(scale, i4_constant(-32u)))) };
}

INLINE i4 quants_xs(const uint8_t *p, size_t w, size_t half)
{
    return values(p + 2 * HALF_FIELD + WORD_FIELD, w, half);
}

WEIGHT_TYPE(IQ4_XS, iq4_xs, 2, 0, 32, 1, 0, 0, 8, scale_xs, quants_xs)
