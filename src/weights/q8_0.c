/* q8_0.c: Q8_0: a scale and 32 signed bytes, which are what products are made of: packed as those want them, nothing is
 * there to unpack but scales. */
#include "weights/groups.h"

static void unpack_q8_0(unpacked *u, const uint8_t *p, size_t count)
{
    u->words = p + HALF_FIELD;
    u->run_bytes = BYTES_Q8_0 * CMHA_PANEL;
    for (size_t s = 0; s < count; s++, p += BYTES_Q8_0 * CMHA_PANEL) scale_by_d(&u->scales, s, p);
}

GROUPS(q8_0, .inputs = 32, .packed = GROUP_WORDS, .at = HALF_FIELD, .scale = scale_by_d)
const weight_type weight_q8_0 = {
    .block = BLOCK_Q8_0, .bytes = BYTES_Q8_0, .head = 1, .lift = 1,
    .dot = { .run = 32, .bits = 8, .row = row_q8_0, .unpack = unpack_q8_0 },
};
