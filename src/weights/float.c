/* float.c: float32, binary16 and bfloat16: blocks of one input. */
#include "weights/weight.h"

static void panel_f32(float *y, const uint8_t *p, size_t count)
{
    for (; count > 0; count--, p += WORD_FIELD, y += CMHA_PANEL) {
        i4_store(y, word_field(p, 0));
        i4_store(y + 4, word_field(p, 1));
    }
}

static void panel_f16(float *y, const uint8_t *p, size_t count)
{
    for (; count > 0; count--, p += HALF_FIELD, y += CMHA_PANEL) {
        f4 eight[2];
        half_field(eight, p);
        f4_store(y, eight[0]);
        f4_store(y + 4, eight[1]);
    }
}

static void panel_bf16(float *y, const uint8_t *p, size_t count)
{
    for (; count > 0; count--, p += HALF_FIELD, y += CMHA_PANEL) {
        i4_store(y, i4_shl(i4_load_u16(p), 16));
        i4_store(y + 4, i4_shl(i4_load_u16(p + HALF_FIELD / 2), 16));
    }
}

/* Weights that are widened on their way into the sums. */
INLINE void half_row(float *y, const uint8_t *w, size_t panel_bytes, const float *x, size_t k, int brain)
{
    f4 sum[ROW_PANELS][2];
    for (int p = 0; p < ROW_PANELS; p++) sum[p][0] = sum[p][1] = f4_splat(0.0f);
    for (size_t j = 0; j < k; j++, w += HALF_FIELD) {
        f4 a = f4_load_splat(x + j);
        for (int p = 0; p < ROW_PANELS; p++) {
            i4 eight = i4_load(w + (size_t) p * panel_bytes);
            f4 value[2] = { i4_bits(h8_raise(eight, 0)), i4_bits(h8_raise(eight, 1)) };
            if (!brain) f8_from_f16(value, eight);
            for (int half = 0; half < 2; half++) sum[p][half] = f4_madd(a, value[half], sum[p][half]);
        }
    }
    for (int p = 0; p < ROW_PANELS; p++, y += CMHA_PANEL) {
        f4_store(y, sum[p][0]);
        f4_store(y + 4, sum[p][1]);
    }
}

static int row_f16(float *y, const uint8_t *w, size_t panel_bytes, const float *x, size_t k)
{
    half_row(y, w, panel_bytes, x, k, 0);
    return 1;
}

static int row_bf16(float *y, const uint8_t *w, size_t panel_bytes, const float *x, size_t k)
{
    half_row(y, w, panel_bytes, x, k, 1);
    return 1;
}

const weight_type weight_f32 = { .block = BLOCK_F32, .bytes = BYTES_F32, .panel = panel_f32 };
const weight_type weight_f16 = {
    .block = BLOCK_F16, .bytes = BYTES_F16, .head = 1, .panel = panel_f16, .row = row_f16,
};
const weight_type weight_bf16 = {
    .block = BLOCK_BF16, .bytes = BYTES_BF16, .head = 1, .panel = panel_bf16, .row = row_bf16,
};
