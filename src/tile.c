/* tile.c: rows times panels in registers. */
#include "tile.h"
#include "simd.h"
#include <assert.h>

enum { MOST_PANELS = 4 };

const float CARRY_ON[TILE_ROWS] = {
    1, 1, 1, 1, 1,
#if TILE_ROWS > 5
    1,
#endif
};

/* Strides in bytes, so that the loop has nothing to scale: it then fits the engine's limit for unrolling. */
INLINE const float *advance(const float *p, size_t bytes)
{
    return (const float *) (const void *) ((const char *) p + bytes);
}

/* m rows by p panels: both are constants at every call, so that all sums live in registers. Nothing is unrolled over k:
 * the compiler would chain several multiply-adds per sum and keep the operands of all those steps alive at once. */
INLINE void tile(const int m, const int p, size_t k, const float *x, size_t x_bytes, const float *b, size_t b_bytes,
    size_t panel_bytes, float *y, size_t y_stride, const float *alpha)
{
    f4 sum[TILE_ROWS][2 * MOST_PANELS];
    for (int i = 0; i < m; i++) {
        for (int j = 0; j < 2 * p; j++) {
            sum[i][j] = alpha ? f4_mul(f4_load_splat(alpha + i), f4_load(y + i * y_stride + 4 * j)) : f4_splat(0.0f);
        }
    }
#ifdef __clang__
#pragma clang loop unroll(disable)
#endif
    for (const float *end = x + k; x != end; x++, b = advance(b, b_bytes)) {
        const float *panel = b;
        for (int j = 0; j < p; j++, panel = advance(panel, panel_bytes)) {
            f4 b0 = f4_load(panel), b1 = f4_load(panel + 4);
            const float *row = x;
            for (int i = 0; i < m; i++, row = advance(row, x_bytes)) {
                f4 a = f4_load_splat(row);
                sum[i][2 * j] = f4_madd(a, b0, sum[i][2 * j]);
                sum[i][2 * j + 1] = f4_madd(a, b1, sum[i][2 * j + 1]);
            }
        }
    }
    /* The last first: V8 schedules the loop's sums in the opposite order, and in that of their loads no load has to wait for
     * its use in a register, of which there are none left. */
    for (int i = m; i-- > 0;) {
        for (int j = 2 * p; j-- > 0;) f4_store(y + i * y_stride + 4 * j, sum[i][j]);
    }
}

typedef void tiles(size_t panels, size_t k, const float *x, size_t x_bytes, const float *b, size_t b_bytes,
    size_t panel_bytes, float *y, size_t y_stride, const float *alpha);

/* Panels p at a time, then singly: fewer rows need more panels to keep enough sums in flight. */
#define TILES(m, p) \
    static void tiles_##m(size_t panels, size_t k, const float *x, size_t x_bytes, const float *b, size_t b_bytes, \
        size_t panel_bytes, float *y, size_t y_stride, const float *alpha) \
    { \
        for (; panels >= p; panels -= p, b = advance(b, p * panel_bytes), y += p * CMHA_PANEL) \
            tile(m, p, k, x, x_bytes, b, b_bytes, panel_bytes, y, y_stride, alpha); \
        for (; p > 1 && panels > 0; panels--, b = advance(b, panel_bytes), y += CMHA_PANEL) \
            tile(m, 1, k, x, x_bytes, b, b_bytes, panel_bytes, y, y_stride, alpha); \
    }

TILES(1, 4)
TILES(2, 2)
TILES(3, 1)
TILES(4, 1)
TILES(5, 1)
#if TILE_ROWS > 5
TILES(6, 1)
#endif

void tile_f32(size_t m, size_t panels, size_t k, const float *x, size_t x_stride, const float *b, size_t b_stride,
    size_t panel_stride, float *y, size_t y_stride, const float *alpha)
{
    /* By table, so that no inliner makes one function of them all: it would run out of registers. */
    static tiles *const table[TILE_ROWS] = {
        tiles_1, tiles_2, tiles_3, tiles_4, tiles_5,
#if TILE_ROWS > 5
        tiles_6,
#endif
    };
    assert(m >= 1 && m <= TILE_ROWS);
    table[m - 1](panels, k, x, x_stride * sizeof *x, b, b_stride * sizeof *b, panel_stride * sizeof *b, y, y_stride,
        alpha);
}
