/* tile_f16.c: rows times panels of binary16 in registers, as they lie.
 *
 * A half moved to where a float has its sign, its exponent and its mantissa is the number times 2^-112: exactly, zeros and
 * subnormals too. Rows are multiplied by 2^112 beforehand, so that products and sums are those of widened numbers, to the
 * bit. Infinity and NaN would become finite numbers: they are looked for on the way, and what came out is left then. */
#include "tile.h"
#include "simd.h"
#include <assert.h>

enum { MOST_PANELS = 2, MOST_ROWS = 3, MOST_COLUMNS = CMHA_PAGE };

/* to = x * 2^112; 0: something is not finite. */
static int raise(size_t m, size_t k, const float *x, size_t x_stride, float *to)
{
    f4 up = f4_splat(0x1p112f), none = f4_splat(0.0f);
    for (size_t i = 0; i < m; i++, x += x_stride, to += CMHA_PAGE) {
        for (size_t j = 0; j < k; j += 4) {
            f4 a = f4_mul(f4_load_part(x + j, k - j, 0.0f), up);
            none = f4_madd(a, f4_splat(0.0f), none);
            f4_store_part(to + j, a, k - j);
        }
    }
    return f4_sum(none) == 0.0f;
}

/* m rows by p panels, both constants. Columns at even and at odd places are summed apart. Returns the largest of twice the
 * numbers' bits, of which those of infinity and NaN are 0xf800 or more. */
INLINE i4 tile(const size_t m, const size_t p, size_t k, const float *x, const uint16_t *b, size_t panel_stride, size_t apart,
    const float *y, size_t y_stride, const float *alpha, float *to)
{
    i4 most = i4_splat(0);
    f4 sum[MOST_ROWS][2 * MOST_PANELS];
    i4 mask = i4_constant(0x8fffe000u), even_places = i4_constant(0x2000u);
    for (size_t i = 0; i < m; i++) {
        for (size_t c = 0; c < 2 * p; c += 2) {
            sum[i][c] = sum[i][c + 1] = f4_splat(0.0f);
            if (!alpha) continue;
            const float *from = y + i * y_stride + c / 2 * apart;
            f4 factor = f4_load_splat(alpha + i), y0 = f4_mul(factor, f4_load(from)), y1 = f4_mul(factor, f4_load(from + 4));
            sum[i][c] = f4_even(y0, y1);
            sum[i][c + 1] = f4_odd(y0, y1);
        }
    }
#ifdef __clang__
#pragma clang loop unroll(disable)
#endif
    for (size_t j = 0; j < k; j++, b += CMHA_PANEL) {
        for (size_t c = 0; c < p; c++) {
            i4 h = i4_load(b + c * panel_stride);
            most = h8_max(most, h8_shl(h, 1));
            f4 even = i4_bits(i4_and(h8_dot(h, even_places), mask)), odd = i4_bits(i4_and(i4_shr(h, 3), mask));
            for (size_t i = 0; i < m; i++) {
                f4 a = f4_load_splat(x + i * CMHA_PAGE + j);
                sum[i][2 * c] = f4_madd(a, even, sum[i][2 * c]);
                sum[i][2 * c + 1] = f4_madd(a, odd, sum[i][2 * c + 1]);
            }
        }
    }
    /* The last first: see tile() in tile.c. */
    for (size_t c = 2 * p; c > 0; c -= 2) {
        for (size_t i = m; i-- > 0;) {
            float *out = to + i * MOST_COLUMNS + (c - 2) / 2 * apart;
            f4_store(out + 4, f4_zip_high(sum[i][c - 2], sum[i][c - 1]));
            f4_store(out, f4_zip_low(sum[i][c - 2], sum[i][c - 1]));
        }
    }
    return most;
}

typedef i4 some_tile(size_t k, const float *x, const uint16_t *b, size_t panel_stride, size_t apart, const float *y,
    size_t y_stride, const float *alpha, float *to);

/* A function each, or the engine runs out of registers. */
#define TILE(m, p) \
    static i4 tile_##m##_##p(size_t k, const float *x, const uint16_t *b, size_t panel_stride, size_t apart, \
        const float *y, size_t y_stride, const float *alpha, float *to) \
    { \
        return tile(m, p, k, x, b, panel_stride, apart, y, y_stride, alpha, to); \
    }
TILE(1, 1)
TILE(1, 2)
TILE(2, 2)
TILE(3, 1)

int tile_f16(size_t m, size_t panels, size_t k, const float *x, size_t x_stride, const void *numbers, size_t panel_stride,
    float *y, size_t y_stride, const float *alpha)
{
    const uint16_t *b = numbers;
    float raised[TILE_ROWS * CMHA_PAGE], out[TILE_ROWS * MOST_COLUMNS];
    i4 most = i4_splat(0);
    assert(m >= 1 && m <= TILE_ROWS && k <= CMHA_PAGE && panels * CMHA_PANEL <= MOST_COLUMNS);
    if (!raise(m, k, x, x_stride, raised)) return 0;
    for (size_t i = 0, n; i < m; i += n) {
        n = m - i == 4 ? 2 : least(m - i, MOST_ROWS);
        n = n == 2 && panels % 2 ? 1 : n;
        /* At a time one panel of each of p parts, which are then read from their beginning to their end. */
        size_t p = n == 3 ? 1 : n == 2 ? 2 : panels < MOST_PANELS ? 1 : MOST_PANELS, part = panels / p;
        for (size_t c = 0; c < panels; c++) {
            int last = c >= p * part;
            if (c >= part && !last) continue;
            some_tile *run = n == 3 ? tile_3_1 : n == 2 ? tile_2_2 : p > 1 && !last ? tile_1_2 : tile_1_1;
            most = h8_max(most, run(k, raised + i * CMHA_PAGE, b + c * panel_stride, part * panel_stride, part * CMHA_PANEL,
                y + i * y_stride + c * CMHA_PANEL, y_stride, alpha ? alpha + i : NULL, out + i * MOST_COLUMNS + c * CMHA_PANEL));
        }
    }
    if (i4_any(h8_equal(h8_max(most, i4_splat((int32_t) 0xf800f800u)), most))) return 0;
    for (size_t i = 0; i < m; i++) {
        for (size_t c = 0; c < panels * CMHA_PANEL; c += 4) f4_store(y + i * y_stride + c, f4_load(out + i * MOST_COLUMNS + c));
    }
    return 1;
}
