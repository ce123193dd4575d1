/* tile.c: rows times panels in registers. */
#include "tile.h"
#include "simd.h"
#include <assert.h>

/* m rows by p panels: m and p are constants at every call, so that all of acc lives in registers. */
INLINE void tile_step(const int m, const int p, f4 acc[][12], const float *x, size_t x_stride, const float *b,
    size_t panel_stride)
{
    for (int j = 0; j < p; j++) {
        f4 b0 = f4_load(b + j * panel_stride), b1 = f4_load(b + j * panel_stride + 4);
        for (int i = 0; i < m; i++) {
            f4 a = f4_load_splat(x + i * x_stride);
            acc[i][2 * j] = f4_madd(a, b0, acc[i][2 * j]);
            acc[i][2 * j + 1] = f4_madd(a, b1, acc[i][2 * j + 1]);
        }
    }
}

INLINE void tile(const int m, const int p, size_t k, const float *x, size_t x_stride, const float *b, size_t b_stride,
    size_t panel_stride, float *y, size_t y_stride, const float *alpha)
{
    f4 acc[TILE_ROWS][12];
    for (int i = 0; i < m; i++) {
        for (int j = 0; j < 2 * p; j++) {
            acc[i][j] = alpha ? f4_mul(f4_load_splat(alpha + i), f4_load(y + i * y_stride + 4 * j)) : f4_splat(0.0f);
        }
    }
    size_t kk = 0;
    for (; kk + 4 <= k; kk += 4, x += 4, b += 4 * b_stride) {
        tile_step(m, p, acc, x, x_stride, b, panel_stride);
        tile_step(m, p, acc, x + 1, x_stride, b + b_stride, panel_stride);
        tile_step(m, p, acc, x + 2, x_stride, b + 2 * b_stride, panel_stride);
        tile_step(m, p, acc, x + 3, x_stride, b + 3 * b_stride, panel_stride);
    }
    for (; kk < k; kk++, x++, b += b_stride) tile_step(m, p, acc, x, x_stride, b, panel_stride);
    for (int i = 0; i < m; i++) {
        for (int j = 0; j < 2 * p; j++) f4_store(y + i * y_stride + 4 * j, acc[i][j]);
    }
}

/* Panels p at a time, then singly: fewer rows need more panels to keep enough sums in flight. */
#define TILES(m, p) \
    for (; panels >= p; panels -= p, b += p * panel_stride, y += p * CMHA_PANEL) \
        tile(m, p, k, x, x_stride, b, b_stride, panel_stride, y, y_stride, alpha); \
    for (; p > 1 && panels > 0; panels--, b += panel_stride, y += CMHA_PANEL) \
        tile(m, 1, k, x, x_stride, b, b_stride, panel_stride, y, y_stride, alpha); \
    break

void tile_f32(size_t m, size_t panels, size_t k, const float *x, size_t x_stride, const float *b, size_t b_stride,
    size_t panel_stride, float *y, size_t y_stride, const float *alpha)
{
    assert(m >= 1 && m <= TILE_ROWS);
    switch (m) {
    case 1: TILES(1, 4);
    case 2: TILES(2, 2);
    case 3: TILES(3, 2);
    case 4: TILES(4, 1);
    case 5: TILES(5, 1);
    default: TILES(6, 1);
    }
}
