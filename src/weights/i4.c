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

/* What a row's way through the nibbles needs: scales that multiply, and that a 16^-3 does not take out of a float's range. */
static int plain(const uint8_t *p, size_t count)
{
    i4 odd = i4_splat(0);
    for (; count > 0; count--, p += BYTES_I4 * CMHA_PANEL) {
        for (size_t half = 0; half < 2; half++) {
            f4 scale = i4_bits(word_field(p, half));
            f4 back = f4_mul(f4_mul(scale, f4_splat(0x1p-12f)), f4_splat(0x1p12f));
            odd = i4_or(odd, i4_or(i4_and(word_field(p + WORD_FIELD, half), i4_splat(0x100)), i4_xor(f4_word(scale), f4_word(back))));
        }
    }
    return !i4_any(odd);
}

/* Two panels of a row, or there are too few sums for an addition's time. A mask leaves a nibble where it is, 16^i times as
 * large, and so its zero point is to be, and its scale as much smaller: the same values. */
static void row_of_two(float *y, const uint8_t *p, const uint8_t *q, const float *x, size_t count)
{
    enum { MASKS = 4, EXCESS = 8 };
    const i4 masks[MASKS] = { i4_constant(0xf), i4_constant(0xf0), i4_constant(0xf00), i4_constant(0xf000) };
    const i4 excess = i4_constant(0x88888888);
    f4 sum[4], zeros[4][MASKS], scales[4][MASKS];
    for (size_t c = 0; c < 4; c++) sum[c] = f4_splat(0.0f);
    ROLLED
    for (; count > 0; count--, p += BYTES_I4 * CMHA_PANEL, q += BYTES_I4 * CMHA_PANEL) {
        for (size_t c = 0; c < 4; c++) {
            const uint8_t *head = c < 2 ? p : q;
            f4 zero = i4_float(i4_add(signed_byte(word_field(head + WORD_FIELD, c % 2), 0), i4_splat(EXCESS)));
            f4 scale = i4_bits(word_field(head, c % 2));
            for (size_t i = 0; i < MASKS; i++, zero = f4_mul(zero, f4_splat(16.0f)), scale = f4_mul(scale, f4_splat(0x1p-4f))) {
                zeros[c][i] = zero;
                scales[c][i] = scale;
            }
        }
        ROLLED
        for (size_t w = 2; w < BYTES_I4 / 4; w++) {
            for (size_t part = 0; part < 2; part++, x += MASKS) {
                for (size_t c = 0; c < 4; c++) {
                    i4 word = i4_xor(word_field((c < 2 ? p : q) + w * WORD_FIELD, c % 2), excess);
                    if (part) word = i4_shr(word, 16);
                    for (size_t i = 0; i < MASKS; i++) {
                        f4 value = f4_mul(f4_sub(i4_float(i4_and(word, masks[i])), zeros[c][i]), scales[c][i]);
                        sum[c] = f4_madd(f4_load_splat(x + i), value, sum[c]);
                    }
                }
            }
        }
    }
    for (size_t c = 0; c < 4; c++) f4_store(y + 4 * c, sum[c]);
}

static int row_i4(float *y, const uint8_t *panels, size_t panel_bytes, const float *x, size_t k)
{
    for (size_t i = 0; i < ROW_PANELS; i++) if (!plain(panels + i * panel_bytes, k / BLOCK_I4)) return 0;
    for (size_t i = 0; i < ROW_PANELS; i += 2, y += 2 * CMHA_PANEL, panels += 2 * panel_bytes) {
        row_of_two(y, panels, panels + panel_bytes, x, k / BLOCK_I4);
    }
    return 1;
}

const weight_type weight_i4 = { .block = BLOCK_I4, .bytes = BYTES_I4, .panel = panel_i4, .row = row_i4 };
