/* i8.c: signed bytes, blocks of one input. They are what Keras quantizes weights to, and mean nothing without the scale of
 * their output, which whoever computes with them divides by. */
#include "weights/weight.h"

static void panel_i8(float *y, const uint8_t *p, size_t count)
{
    for (; count > 0; count--, p += CMHA_PANEL, y += CMHA_PANEL) {
        for (size_t i = 0; i < CMHA_PANEL; i++) y[i] = (float) (int8_t) p[i];
    }
}

const weight_type weight_i8 = { .block = BLOCK_I8, .bytes = BYTES_I8, .panel = panel_i8 };
