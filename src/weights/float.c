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
        f4_store(y, half_field(p, 0));
        f4_store(y + 4, half_field(p, 1));
    }
}

static void panel_bf16(float *y, const uint8_t *p, size_t count)
{
    for (; count > 0; count--, p += HALF_FIELD, y += CMHA_PANEL) {
        i4_store(y, i4_shl(i4_load_u16(p), 16));
        i4_store(y + 4, i4_shl(i4_load_u16(p + HALF_FIELD / 2), 16));
    }
}

const weight_type weight_f32 = { .block = BLOCK_F32, .bytes = BYTES_F32, .head = 0, .panel = panel_f32 };
const weight_type weight_f16 = { .block = BLOCK_F16, .bytes = BYTES_F16, .head = 1, .panel = panel_f16 };
const weight_type weight_bf16 = { .block = BLOCK_BF16, .bytes = BYTES_BF16, .head = 1, .panel = panel_bf16 };
