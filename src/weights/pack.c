/* pack.c: weights to and from column panels. */
#include "cmha.h"
#include <assert.h>

size_t cmha_packed_size(size_t k, size_t n)
{
    return (n + CMHA_PANEL - 1) / CMHA_PANEL * CMHA_PANEL * k;
}

void cmha_pack_f32(float *panels, const float *w, size_t k, size_t n, size_t n0, size_t k_stride, size_t n_stride)
{
    assert(n0 % CMHA_PANEL == 0);
    float *to = panels + n0 * k;
    for (size_t j = 0; j < n; j += CMHA_PANEL) {
        size_t columns = n - j < CMHA_PANEL ? n - j : CMHA_PANEL;
        for (size_t i = 0; i < k; i++, to += CMHA_PANEL) {
            const float *from = w + i * k_stride + j * n_stride;
            for (size_t c = 0; c < CMHA_PANEL; c++) to[c] = c < columns ? from[c * n_stride] : 0.0f;
        }
    }
}

void cmha_unpack_f32(float *w, const float *panels, size_t k, size_t n, size_t n0, size_t k_stride, size_t n_stride)
{
    assert(n0 % CMHA_PANEL == 0);
    const float *from = panels + n0 * k;
    for (size_t j = 0; j < n; j += CMHA_PANEL) {
        size_t columns = n - j < CMHA_PANEL ? n - j : CMHA_PANEL;
        for (size_t i = 0; i < k; i++, from += CMHA_PANEL) {
            float *to = w + i * k_stride + j * n_stride;
            for (size_t c = 0; c < columns; c++) to[c * n_stride] = from[c];
        }
    }
}
