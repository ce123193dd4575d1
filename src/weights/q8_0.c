/* q8_0.c: Q8_0: a scale and 32 signed bytes, which are what products are made of: packed as those want them, nothing is
 * there to unpack but scales. */
#include "weights/groups.h"

static void unpack_q8_0(unpacked *u, const uint8_t *p, size_t count)
{
    u->words = p + HALF_FIELD;
    u->run_bytes = BYTES_Q8_0 * CMHA_PANEL;
    for (size_t s = 0; s < count; s++, p += BYTES_Q8_0 * CMHA_PANEL) scale_by_d(&u->scales, s, p);
}

WEIGHT_TYPE_UNPACKED(Q8_0, q8_0, 1, 0, DOT_LIFT, NULL, 32, HALF_FIELD, 32, GROUP_WORDS, 0, 0, 8, scale_by_d, NULL, NULL)
