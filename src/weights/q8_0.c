/* q8_0.c: Q8_0: a scale and 32 signed bytes. */
#include "weights/weight.h"

INLINE dot_weights quants(word_place where, size_t j, size_t half)
{
    (void) j;
    return dot_signed_at(where.at + HALF_FIELD + half * WORD_FIELD / 2);
}

WEIGHT_TYPE(Q8_0, q8_0, 1, 0, 32, 8, 1, 0, 0, 8, scale_by_d, quants)
