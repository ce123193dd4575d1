/* i4.c: what Keras quantizes weights to in four bits. 128 inputs of an output share a scale and a word: its lowest byte is
 * the zero point, bit 8 says that the scale divides. Nibble i of word w of the rest is input 8 w + i, signed. They are
 * multiplied with activations as they are, never with rounded ones, which is how Keras computes. */
#include "weights/weight.h"

static void panel_i4(float *y, const uint8_t *p, size_t count)
{
    for (; count > 0; count--, p += BYTES_I4 * CMHA_PANEL, y += BLOCK_I4 * CMHA_PANEL) {
        for (size_t half = 0; half < 2; half++) {
            f4 scale = i4_bits(word_field(p, half));
            i4 how = word_field(p + WORD_FIELD, half), zero = signed_byte(how, 0);
            i4 divides = i4_more(i4_and(how, i4_splat(0x100)), i4_splat(0));
            int any = i4_any(divides);
            for (size_t w = 0; w < BLOCK_I4 / 8; w++) {
                i4 word = word_field(p + (2 + w) * WORD_FIELD, half);
                for (uint32_t i = 0; i < 8; i++) {
                    f4 q = i4_float(i4_shr(i4_shl(word, 28 - 4 * i), 28));
                    f4 value = f4_mul(f4_sub(q, i4_float(zero)), scale);
                    if (any) value = f4_select(i4_bits(divides), f4_div(q, scale), value);
                    f4_store(y + (8 * w + i) * CMHA_PANEL + 4 * half, value);
                }
            }
        }
    }
}

const weight_type weight_i4 = { .block = BLOCK_I4, .bytes = BYTES_I4, .panel = panel_i4 };
