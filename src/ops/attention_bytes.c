/* attention_bytes.c: keys and values that are bytes, met as integers. A query row becomes numbers of 16 bits, and so do the
 * weights of a page's values: what that takes off is less than a hundredth of what the bytes have lost. Sums of integers are
 * exact, so that rows may be taken together or not. */
#include "attention.h"
#include "dot.h"

enum { MOST = 32767, ROWS = 3, WIDE = 4 };

/* What x, of which that is the largest, is to be multiplied with to be x again once it is scaled to MOST; 0 where all of it is
 * zero, or too small to be told from it. NaN: something is not finite. */
static float unit_of(i4 most)
{
    float largest = f4_lane(largest_lane(most), 0);
    return largest - largest + (largest > 0.0f && (float) MOST / largest < 3e38f ? largest / (float) MOST : 0.0f);
}

/* to[i] = round(x[i] / unit), n a multiple of 8. */
OUTLINE void shorten(int16_t *to, const float *x, size_t n, float unit)
{
    f4 inverse = f4_splat(unit > 0.0f ? 1.0f / unit : 0.0f);
    for (size_t i = 0; i < n; i += 8) i4_store(to + i, h8_round(x + i, inverse));
}

void byte_queries(const tile_of_rows *t, byte_rows *rows)
{
    size_t d = t->a->cache->d, n = (d + 7) / 8 * 8;
    for (size_t r = 0; r < t->m; r++) {
        float q[BYTES_MOST];
        copy_f32(q, tile_q(t) + r * tile_q_stride(t), d);
        for (size_t e = d; e < n; e++) q[e] = 0.0f;
        rows->unit[r] = unit_of(largest_bits(i4_splat(0), q, n));
        shorten(rows->numbers[r], q, n, rows->unit[r]);
    }
}

/* y[i][panel c] = units[i] times the sum of n pairs of inputs times the numbers of row i, m rows, p panels of 8 outputs, m
 * and p constants; the next pair lies `step` bytes further, the next panel `across`, its outputs `apart`. */
INLINE void multiply(const size_t m, const size_t p, const int8_t *bytes, size_t step, size_t across,
    const int16_t *const *rows, size_t n, const float *units, float *y, size_t y_stride, size_t apart)
{
    i4 sum[ROWS][2 * WIDE];
    for (size_t i = 0; i < m; i++) {
        for (size_t c = 0; c < 2 * p; c++) sum[i][c] = i4_splat(0);
    }
#ifdef __clang__
#pragma clang loop unroll(disable)
#endif
    for (size_t j = 0; j < n; j++, bytes += step) {
        i4 in[ROWS];
        for (size_t i = 0; i < m; i++) in[i] = i4_load_splat(rows[i] + 2 * j);
        for (size_t c = 0; c < 2 * p; c++) {
            i4 two = h8_load_i8(bytes + c / 2 * across + c % 2 * 8);
            for (size_t i = 0; i < m; i++) sum[i][c] = i4_add(sum[i][c], h8_dot(two, in[i]));
        }
    }
    for (size_t i = 0; i < m; i++) {
        for (size_t c = 0; c < 2 * p; c++) {
            f4_store(y + i * y_stride + c / 2 * apart + c % 2 * 4, f4_mul(i4_float(sum[i][c]), f4_splat(units[i])));
        }
    }
}

/* A function each, or the engine runs out of registers. */
#define MULTIPLY(m, p) \
    static void multiply_##m##_##p(const int8_t *bytes, size_t step, size_t across, const int16_t *const *rows, size_t n, \
        const float *units, float *y, size_t y_stride, size_t apart) \
    { \
        multiply(m, p, bytes, step, across, rows, n, units, y, y_stride, apart); \
    }
MULTIPLY(1, 1)
MULTIPLY(1, 4)
MULTIPLY(2, 1)
MULTIPLY(3, 1)

/* The same for any rows, of which pairs from `first` on are met, and any panels, `across` bytes apart. A row alone takes its
 * panels from as many parts of them as it takes at a time: each is then read from its beginning to its end. */
OUTLINE void multiply_rows(const byte_rows *rows, size_t m, size_t first, const int8_t *bytes,
    size_t step, size_t across, size_t panels, size_t n, float *y, size_t y_stride)
{
    for (size_t r = 0, k; r < m; r += k) {
        k = least(m - r, ROWS);
        size_t part = k == 1 ? panels / WIDE : 0, done = part * WIDE;
        const int16_t *numbers[ROWS] = { NULL };
        for (size_t i = 0; i < k; i++) numbers[i] = rows->numbers[r + i] + first;
        for (size_t p = 0; p < panels; p++) {
            if (p >= part && p < done) continue;
            (p < part ? multiply_1_4 : k == 1 ? multiply_1_1 : k == 2 ? multiply_2_1 : multiply_3_1)(bytes + p * across, step,
                part * across, numbers, n, rows->unit + r, y + r * y_stride + p * CMHA_PANEL, y_stride, part * CMHA_PANEL);
        }
    }
}

void byte_dots(const tile_of_rows *t, const void *page, const byte_rows *rows, size_t from, size_t panels, float *x)
{
    const cmha_cache *c = t->a->cache;
    size_t d = c->d, positions = panels * CMHA_PANEL;
    const int8_t *keys = key_place(c, page, t->g, from), *last = keys + (d - 1) * CMHA_PANEL;
    const float *scales = type_of(c)->key_scales(c, page, t->g) + from;
    multiply_rows(rows, t->m, 0, keys, 2 * CMHA_PANEL, CMHA_PANEL * d, panels, d / 2, x, CMHA_PAGE);
    for (size_t r = 0; r < t->m; r++, x += CMHA_PAGE) {
        float number = rows->unit[r] * (float) rows->numbers[r][d - 1];
        for (size_t j = 0; d % 2 && j < positions; j++) {
            x[j] += number * (float) last[j / CMHA_PANEL * CMHA_PANEL * d + j % CMHA_PANEL];
        }
        for (size_t j = 0; j < positions; j += 4) f4_store(x + j, f4_mul(f4_load(x + j), f4_load(scales + j)));
    }
}

void byte_weights(const tile_of_rows *t, const void *page, const size_t *from, const size_t *to, size_t count, float *x,
    byte_rows *rows)
{
    const cmha_cache *c = t->a->cache;
    const float *scales = type_of(c)->value_scales(c, page, t->g);
    for (size_t r = 0; r < t->m; r++, x += CMHA_PAGE) {
        int16_t *numbers = rows->numbers[r];
        i4 most = i4_splat(0);
        for (size_t u = 0; u < count; u++) {
            size_t start = from[u] / 8 * 8;
            for (size_t j = from[u]; j < to[u]; j += 4) {
                size_t left = to[u] - j;
                f4_store_part(x + j, f4_mul(f4_load_part(x + j, left, 0.0f), f4_load_part(scales + j, left, 0.0f)), left);
            }
            most = largest_bits(most, x + start, (to[u] + 7) / 8 * 8 - start);
        }
        rows->unit[r] = unit_of(most);
        for (size_t u = 0; u < count; u++) {
            size_t start = from[u] / 8 * 8;
            for (size_t j = u ? to[u - 1] : start; j < start; j++) numbers[j] = 0;
            shorten(numbers + start, x + start, (to[u] + 7) / 8 * 8 - start, rows->unit[r]);
        }
    }
}

void byte_values(const tile_of_rows *t, const void *page, const byte_rows *rows, size_t from, size_t to, size_t c0, size_t n,
    float *y, size_t stride)
{
    const cmha_cache *c = t->a->cache;
    size_t whole = n / CMHA_PANEL, tail = n % CMHA_PANEL, first = from - from % 2, pairs = (to - first + 1) / 2;
    const int8_t *values = (const int8_t *) value_place(c, page, t->g, 0) + c0 * c->page;
    multiply_rows(rows, t->m, first, values + first * CMHA_PANEL, 2 * CMHA_PANEL, CMHA_PANEL * c->page, whole, pairs, y, stride);
    if (tail == 0) return;
    /* The last columns by way of a padded copy: a panel's load would run past the last row's end. */
    int8_t panel[CMHA_PAGE * CMHA_PANEL];
    values += whole * CMHA_PANEL * c->page + first * tail;
    for (size_t j = 0; j < pairs; j++) {
        for (size_t e = 0; e < 2 * CMHA_PANEL; e++) {
            panel[j * 2 * CMHA_PANEL + e] = e < 2 * tail ? values[j * 2 * tail + e] : (int8_t) 0;
        }
    }
    multiply_rows(rows, t->m, first, panel, 2 * CMHA_PANEL, 0, 1, pairs, y + whole * CMHA_PANEL, stride);
}
