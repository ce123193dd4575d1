/* cache.c: keys between Keras's rows and panels of eight positions. */
#include "cmha.h"

size_t cmha_keys_size(size_t s, size_t d)
{
    return (s + CMHA_PANEL - 1) / CMHA_PANEL * CMHA_PANEL * d;
}

/* Element 0 of position s; element d lies d * CMHA_PANEL further. */
static size_t key_offset(size_t s, size_t d)
{
    return s / CMHA_PANEL * CMHA_PANEL * d + s % CMHA_PANEL;
}

void cmha_keys_store(float *keys, const float *rows_in, size_t s0, size_t rows, size_t d, size_t stride)
{
    for (size_t r = 0; r < rows; r++) {
        float *to = keys + key_offset(s0 + r, d);
        for (size_t e = 0; e < d; e++) to[e * CMHA_PANEL] = rows_in[r * stride + e];
    }
}

void cmha_keys_load(float *rows_out, const float *keys, size_t s0, size_t rows, size_t d, size_t stride)
{
    for (size_t r = 0; r < rows; r++) {
        const float *from = keys + key_offset(s0 + r, d);
        for (size_t e = 0; e < d; e++) rows_out[r * stride + e] = from[e * CMHA_PANEL];
    }
}
