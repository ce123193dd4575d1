/* attention_bytes.c: keys and values that are bytes, met as integers. A query row becomes numbers of 16 bits, and so do the
 * weights of a page's values: what that takes off is less than a hundredth of what the bytes have lost. Sums of integers are
 * exact, so that rows may be taken together or not. */
#include "attention.h"
#include "dot.h"

enum { MOST = 32767, ROWS = 3, WIDE = 4 };

/* What x, scaled to MOST, is to be multiplied with to be x again; 0 where all of it is zero, or too small to be told from it.
 * NaN: something is not finite. */
static float unit_of(float most, float none)
{
    float inverse = (float) MOST / most;
    return none != 0.0f ? none : most > 0.0f && inverse < 3e38f ? most / (float) MOST : 0.0f;
}

__attribute__((noinline)) static void largest(const float *x, const float *scales, size_t n, float *most, float *none)
{
    f4 top = f4_splat(0.0f), nan = top;
    for (size_t i = 0; i < n; i += 4) {
        f4 a = f4_load_part(x + i, n - i, 0.0f);
        if (scales) a = f4_mul(a, f4_load_part(scales + i, n - i, 0.0f));
        top = f4_max(top, f4_max(a, f4_negative(a)));
        nan = f4_add(nan, f4_mul(a, f4_splat(0.0f)));
    }
    *most = f4_lane(f4_max(f4_splat(*most), f4_splat(f4_top(top))), 0);
    *none += f4_sum(nan);
}

/* to[i] = round(x[i] * scales[i] / unit), ties to even: next to 1.5 * 2^23 a float's last bit is worth 1. */
__attribute__((noinline)) static void shorten(int16_t *to, const float *x, const float *scales, size_t n, float unit)
{
    f4 inverse = f4_splat(unit > 0.0f ? 1.0f / unit : 0.0f), magic = f4_splat(12582912.0f);
    for (size_t i = 0; i < n; i += 4) {
        int32_t q[4];
        f4 a = f4_load_part(x + i, n - i, 0.0f);
        if (scales) a = f4_mul(a, f4_load_part(scales + i, n - i, 0.0f));
        i4_store(q, i4_add(f4_word(f4_add(f4_mul(a, inverse), magic)), i4_splat(-0x4b400000)));
        for (size_t e = 0; e < 4 && i + e < n; e++) to[i + e] = (int16_t) q[e];
    }
}

void byte_queries(const tile_of_rows *t, byte_rows *rows)
{
    size_t d = t->a->cache->d;
    for (size_t r = 0; r < t->m; r++) {
        const float *q = tile_q(t) + r * tile_q_stride(t);
        float most = 0.0f, none = 0.0f;
        largest(q, NULL, d, &most, &none);
        rows->unit[r] = unit_of(most, none);
        shorten(rows->numbers[r], q, NULL, d, rows->unit[r]);
        rows->numbers[r][d] = 0;
    }
}

/* Eight bytes of each of two inputs, by outputs: two numbers of 16 bits each. */
typedef struct pairs { i4 low, high; } pairs;

#if defined(__wasm_simd128__) || defined(CMHA_SIMDE)

INLINE pairs pairs_load(const int8_t *a, const int8_t *b)
{
    i4 first = wasm_v128_load64_zero(a), second = wasm_v128_load64_zero(b);
    i4 both = wasm_i8x16_shuffle(first, second, 0, 16, 1, 17, 2, 18, 3, 19, 4, 20, 5, 21, 6, 22, 7, 23);
    return (pairs) { wasm_i16x8_extend_low_i8x16(both), wasm_i16x8_extend_high_i8x16(both) };
}
INLINE i4 pairs_in(const int16_t *p) { return wasm_v128_load32_splat(p); }

#else

INLINE pairs pairs_load(const int8_t *a, const int8_t *b)
{
    int16_t both[16];
    for (int i = 0; i < 8; i++) {
        both[2 * i] = a[i];
        both[2 * i + 1] = b[i];
    }
    return (pairs) { i4_load(both), i4_load(both + 8) };
}
INLINE i4 pairs_in(const int16_t *p)
{
    int32_t both;
    memcpy(&both, p, sizeof both);
    return i4_splat(both);
}

#endif

/* sum[i][2 p ...] = the numbers of m rows times n inputs of 8 p bytes, m and p constants; input j lies `step` bytes further,
 * and one that is not there counts as zero. */
INLINE void multiply(const size_t m, const size_t p, const int8_t *bytes, size_t step, const int16_t *const *rows, size_t n,
    i4 sum[ROWS][2 * WIDE])
{
    static const int8_t zeros[CMHA_PANEL * WIDE];
    for (size_t i = 0; i < m; i++) {
        for (size_t c = 0; c < 2 * p; c++) sum[i][c] = i4_splat(0);
    }
#ifdef __clang__
#pragma clang loop unroll(disable)
#endif
    for (size_t j = 0; j < n; j += 2, bytes += 2 * step) {
        const int8_t *next = j + 1 < n ? bytes + step : zeros;
        for (size_t c = 0; c < p; c++) {
            pairs two = pairs_load(bytes + c * CMHA_PANEL, next + c * CMHA_PANEL);
            for (size_t i = 0; i < m; i++) {
                i4 in = pairs_in(rows[i] + j);
                sum[i][2 * c] = i4_add(sum[i][2 * c], h8_dot(two.low, in));
                sum[i][2 * c + 1] = i4_add(sum[i][2 * c + 1], h8_dot(two.high, in));
            }
        }
    }
}

/* y[i][8 p] = what multiply() makes of it, times units, for m rows; a function each, or the engine runs out of registers. */
#define MULTIPLY(m, p) \
    static void multiply_##m##_##p(const int8_t *bytes, size_t step, const int16_t *const *rows, size_t n, \
        const float *units, float *y, size_t y_stride) \
    { \
        i4 sum[ROWS][2 * WIDE]; \
        multiply(m, p, bytes, step, rows, n, sum); \
        for (size_t i = 0; i < m; i++) { \
            for (size_t c = 0; c < 2 * p; c++) { \
                f4_store(y + i * y_stride + 4 * c, f4_mul(i4_float(sum[i][c]), f4_splat(units[i]))); \
            } \
        } \
    }
MULTIPLY(1, 1)
MULTIPLY(1, 4)
MULTIPLY(2, 1)
MULTIPLY(3, 1)

/* The same for any rows and panels, which lie `across` bytes apart. */
__attribute__((noinline)) static void multiply_rows(const byte_rows *rows, size_t m, size_t first, const int8_t *bytes,
    size_t step, size_t across, size_t panels, size_t n, float *y, size_t y_stride)
{
    for (size_t r = 0, k; r < m; r += k) {
        k = least(m - r, ROWS);
        const int16_t *numbers[ROWS] = { NULL };
        for (size_t i = 0; i < k; i++) numbers[i] = rows->numbers[r + i] + first;
        for (size_t p = 0, w; p < panels; p += w) {
            w = k == 1 && across == CMHA_PANEL && panels - p >= WIDE ? WIDE : 1;
            (w > 1 ? multiply_1_4 : k == 1 ? multiply_1_1 : k == 2 ? multiply_2_1 : multiply_3_1)(bytes + p * across, step,
                numbers, n, rows->unit + r, y + r * y_stride + p * CMHA_PANEL, y_stride);
        }
    }
}

void byte_dots(const tile_of_rows *t, const void *page, const byte_rows *rows, size_t from, size_t panels, float *x)
{
    const cmha_cache *c = t->a->cache;
    const float *scales = type_of(c)->key_scales(c, page, t->g) + from;
    multiply_rows(rows, t->m, 0, key_place(c, page, t->g, from), CMHA_PANEL, CMHA_PANEL * c->d, panels, c->d, x, CMHA_PAGE);
    for (size_t r = 0; r < t->m; r++, x += CMHA_PAGE) {
        for (size_t j = 0; j < panels * CMHA_PANEL; j += 4) f4_store(x + j, f4_mul(f4_load(x + j), f4_load(scales + j)));
    }
}

void byte_weights(const tile_of_rows *t, const void *page, const size_t *from, const size_t *to, size_t count, const float *x,
    byte_rows *rows)
{
    const cmha_cache *c = t->a->cache;
    const float *scales = type_of(c)->value_scales(c, page, t->g);
    for (size_t r = 0; r < t->m; r++, x += CMHA_PAGE) {
        int16_t *numbers = rows->numbers[r];
        float most = 0.0f, none = 0.0f;
        for (size_t u = 0; u < count; u++) largest(x + from[u], scales + from[u], to[u] - from[u], &most, &none);
        rows->unit[r] = unit_of(most, none);
        for (size_t j = from[0]; j <= to[count - 1]; j++) numbers[j] = 0;
        for (size_t u = 0; u < count; u++) {
            shorten(numbers + from[u], x + from[u], scales + from[u], to[u] - from[u], rows->unit[r]);
        }
    }
}

void byte_values(const tile_of_rows *t, const void *page, const byte_rows *rows, size_t from, size_t to, size_t c0, size_t n,
    float *y, size_t stride)
{
    const cmha_cache *c = t->a->cache;
    size_t whole = n / CMHA_PANEL, tail = n % CMHA_PANEL;
    const int8_t *values = (const int8_t *) value_place(c, page, t->g, from) + c0;
    multiply_rows(rows, t->m, from, values, c->v, CMHA_PANEL, whole, to - from, y, stride);
    if (tail == 0) return;
    /* The last columns by way of a padded copy: a panel's load would run past the last row's end. */
    int8_t panel[CMHA_PAGE * CMHA_PANEL];
    for (size_t j = 0; j < to - from; j++) {
        for (size_t e = 0; e < CMHA_PANEL; e++) {
            panel[j * CMHA_PANEL + e] = e < tail ? values[j * c->v + whole * CMHA_PANEL + e] : (int8_t) 0;
        }
    }
    multiply_rows(rows, t->m, from, panel, CMHA_PANEL, 0, 1, to - from, y + whole * CMHA_PANEL, stride);
}
