/* q8_0.c: Q8_0: a scale and 32 signed bytes. */
#include "weights/weight.h"

INLINE scaling scale(const uint8_t *p, size_t run, size_t half)
{
    (void) run;
    return (scaling) { .scale = half_field(p, half) };
}

INLINE i4 quants(const uint8_t *p, size_t w, size_t half)
{
    return word_field(p + HALF_FIELD + w * WORD_FIELD, half);
}

WEIGHT_TYPE(Q8_0, q8_0, 1, 0, 32, 1, 0, 0, 8, scale, quants)
