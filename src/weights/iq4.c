/* iq4.c: IQ4_NL and IQ4_XS: inputs of four bits that choose one of sixteen values, not evenly spaced. */
#include "weights/groups.h"

INLINE i4 value(i4 packed, int second, i4 lift)
{
    static const int8_t table[16] = { -127, -104, -83, -65, -49, -35, -22, -10, 1, 13, 25, 38, 53, 69, 89, 113 };
    const int8_t *place = table;
    __asm__("" : "+r"(place));  /* as i4_constant does */
    return i4_xor(b16_look_up(i4_load(place), nibble(packed, second, lift)), lift);
}

/* d; qs[16]: 32 inputs. */
GROUPS_UNPACKED(iq4_nl, .inputs = 32, .packed = FOUR_BITS, .at = HALF_FIELD, .scale = scale_by_d, .word = value)
const weight_type weight_iq4_nl = {
    .block = BLOCK_IQ4_NL, .bytes = BYTES_IQ4_NL, .head = 1,
    .dot = { .run = 32, .bits = 8, .row = row_iq4_nl, .unpack = unpack_iq4_nl },
};

/* d; the upper two bits of eight scales; the lower four of them, a nibble each; qs[128]: eight runs of 32. */
OUTLINE void scale_xs(scalings *to, size_t first, const uint8_t *p)
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

GROUPS_UNPACKED(iq4_xs, .inputs = 32, .packed = FOUR_BITS, .at = 2 * HALF_FIELD + WORD_FIELD, .scale = scale_xs, .word = value)
const weight_type weight_iq4_xs = {
    .block = BLOCK_IQ4_XS, .bytes = BYTES_IQ4_XS, .head = 2,
    .dot = { .run = 32, .bits = 8, .row = row_iq4_xs, .unpack = unpack_iq4_xs },
};
