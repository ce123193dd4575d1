/* i8.c: signed bytes, blocks of one input. They are what Keras quantizes weights to, and mean nothing without the scale of
 * their output, which whoever computes with them divides by. */
#include "weights/weight.h"

static void panel_i8(float *y, const uint8_t *p, size_t count)
{
    for (; count > 0; count--, p += CMHA_PANEL, y += CMHA_PANEL) {
        for (size_t i = 0; i < CMHA_PANEL; i++) y[i] = (float) (int8_t) p[i];
    }
}

/* Weights that are widened on their way into the sums. */
static void row_i8(float *y, const uint8_t *w, size_t panel_bytes, const float *x, size_t k)
{
    f4 sum[ROW_PANELS][2];
    for (int p = 0; p < ROW_PANELS; p++) sum[p][0] = sum[p][1] = f4_splat(0.0f);
    ROLLED
    for (size_t j = 0; j < k; j++, w += CMHA_PANEL) {
        f4 a = f4_load_splat(x + j);
        for (int p = 0; p < ROW_PANELS; p++) {
            i4 eight = h8_load_i8(w + (size_t) p * panel_bytes);
            for (int half = 0; half < 2; half++) {
                sum[p][half] = f4_madd(a, i4_float(h8_extend(eight, half)), sum[p][half]);
            }
        }
    }
    for (int p = 0; p < ROW_PANELS; p++, y += CMHA_PANEL) {
        f4_store(y, sum[p][0]);
        f4_store(y + 4, sum[p][1]);
    }
}

const weight_type weight_i8 = { .block = BLOCK_I8, .bytes = BYTES_I8, .panel = panel_i8, .row = row_i8 };
