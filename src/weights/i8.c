/* i8.c: signed bytes without a scale. They are what Keras quantizes weights to, and mean nothing without the scale of their
 * output, which whoever computes with them divides by. */
#include "weights/groups.h"

INLINE void scale(scalings *to, size_t first, const uint8_t *p)
{
    (void) p;
    for (size_t half = 0; half < 2; half++) to->scale[first][half] = f4_splat(1.0f);
}

static void unpack_i8(unpacked *u, const uint8_t *p, size_t count)
{
    u->words = p;
    u->run_bytes = BYTES_I8 * CMHA_PANEL;
    for (size_t s = 0; s < count; s++) scale(&u->scales, s, p);
}

GROUPS(i8, .inputs = 32, .packed = GROUP_WORDS, .scale = scale)
const weight_type weight_i8 = {
    .block = BLOCK_I8, .bytes = BYTES_I8, .lift = 1, .dot = { .run = 32, .bits = 8, .row = row_i8, .unpack = unpack_i8 },
};
