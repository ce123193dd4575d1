/* attention_parts.c: the steps that both forms of attention are made of. */
#include "attention.h"
#include <assert.h>

int any_kept(const tile_of_rows *t, size_t j, size_t n)
{
    const cmha_attention *a = t->a;
    size_t m = t->m;
    if (!a->mask) return 1;
    if ((t->beside ? a->mask_h : a->mask_t) == 0) m = 1;
    if (a->mask_s == 0) n = 1;
    for (size_t r = 0; r < m; r++) {
        const uint8_t *row = row_mask(t, r) + j * a->mask_s;
        size_t c = 0;
        for (; c + 8 <= n; c += 8) {
            uint64_t eight;
            memcpy(&eight, row + c, sizeof eight);
            if (eight) return 1;
        }
        for (; c < n; c++) {
            if (row[c]) return 1;
        }
    }
    return 0;
}

enum {
    NARROW_PANELS = 4,      /* panels of narrow keys that are widened at a time, */
    NARROW_DEPTH = 64,      /* so many elements of them */
    NARROW_ROWS = 32,       /* narrow values that are widened at a time */
};

/* Elements [start, end) of key_dots(), without scales, by way of widened keys; sums go on from the elements before. */
static void widened_dots(const cmha_cache *c, const void *page, size_t g, size_t from, size_t panels, size_t m, size_t start,
    size_t end, const float *q, size_t q_stride, float *x, size_t x_stride)
{
    float wide[NARROW_PANELS * NARROW_DEPTH * CMHA_PANEL];
    for (size_t e = start, n; e < end; e += n) {
        n = least(end - e, NARROW_DEPTH);
        for (size_t p = 0, some; p < panels; p += some) {
            some = least(panels - p, NARROW_PANELS);
            for (size_t i = 0; i < some; i++) {
                type_of(c)->widen_keys(c, page, g, from + (p + i) * CMHA_PANEL, e, n, wide + i * n * CMHA_PANEL);
            }
            tile_f32(m, some, n, q + e, q_stride, wide, CMHA_PANEL, n * CMHA_PANEL, x + p * CMHA_PANEL, x_stride,
                e ? CARRY_ON : NULL);
        }
    }
}

void key_dots(const cmha_cache *c, void *page, size_t g, size_t from, size_t panels, size_t m, const float *q,
    size_t q_stride, float *x, size_t x_stride)
{
    const cache_type *type = type_of(c);
    if (c->type == CMHA_KEPT_F32) {
        tile_f32(m, panels, c->d, q, q_stride, page_key(c, page, g, from), CMHA_PANEL, CMHA_PANEL * c->d, x, x_stride,
            NULL);
        return;
    }
    for (size_t e = 0, n; e < c->d; e += n) {
        n = least(c->d - e, CMHA_PAGE);
        const char *keys = (const char *) key_place(c, page, g, from) + e * CMHA_PANEL * type->number;
        if (type->tile && type->tile(m, panels, n, q + e, q_stride, keys, CMHA_PANEL * c->d, x, x_stride,
            e ? CARRY_ON : NULL)) continue;
        widened_dots(c, page, g, from, panels, m, e, e + n, q, q_stride, x, x_stride);
    }
    for (size_t r = 0; type->key_scales && r < m; r++) {
        const float *scales = type->key_scales(c, page, g) + from;
        float *row = x + r * x_stride;
        for (size_t j = 0; j < panels * CMHA_PANEL; j += 4) {
            f4_store(row + j, f4_mul(f4_load(row + j), f4_load(scales + j)));
        }
    }
}

/* At most NARROW_ROWS positions of weigh_values(), widened, the last columns padded with zeros. */
static void widened_values(const cmha_cache *c, const void *page, size_t g, size_t j, size_t c0, size_t columns,
    size_t m, size_t n, const float *weights, size_t stride, float *y, size_t y_stride, const float *alpha)
{
    const cache_type *type = type_of(c);
    size_t panels = (columns + CMHA_PANEL - 1) / CMHA_PANEL;
    float wide[NARROW_ROWS * CHUNK], scaled[TILE_ROWS * NARROW_ROWS];
    for (size_t i = 0; i < n; i++) {
        float *row = wide + i * CHUNK;
        type->widen_value(c, page, g, j + i, c0, columns, row);
        for (size_t e = columns; e % CMHA_PANEL != 0; e++) row[e] = 0.0f;
    }
    if (type->value_scales) {
        const float *scales = type->value_scales(c, page, g) + j;
        for (size_t r = 0; r < m; r++) {
            for (size_t i = 0; i < n; i++) scaled[r * NARROW_ROWS + i] = weights[r * stride + i] * scales[i];
        }
        weights = scaled;
        stride = NARROW_ROWS;
    }
    tile_f32(m, panels, n, weights, stride, wide, CHUNK, CMHA_PANEL, y, y_stride, alpha);
}

/* The last columns, fewer than a panel, by way of a padded copy: a panel's load would run past the last row's end. */
static void weigh_tail(const float *values, size_t v, size_t tail, size_t m, size_t n, const float *weights,
    size_t weights_stride, float *out, size_t out_stride, const float *alpha)
{
    float panel[CMHA_PAGE * CMHA_PANEL];
    assert(n <= CMHA_PAGE);
    for (size_t j = 0; j < n; j++) {
        for (size_t c = 0; c < CMHA_PANEL; c++) panel[j * CMHA_PANEL + c] = c < tail ? values[j * v + c] : 0.0f;
    }
    tile_f32(m, 1, n, weights, weights_stride, panel, CMHA_PANEL, 0, out, out_stride, alpha);
}

void weigh_values(const cmha_cache *c, void *page, size_t g, size_t j, size_t c0, size_t columns, size_t m, size_t n,
    const float *weights, size_t stride, float *y, size_t y_stride, const float *alpha)
{
    if (c->type == CMHA_KEPT_F32) {
        const float *values = page_value(c, page, g, j) + c0;
        size_t tail = columns % CMHA_PANEL, whole = columns - tail;
        tile_f32(m, whole / CMHA_PANEL, n, weights, stride, values, c->v, CMHA_PANEL, y, y_stride, alpha);
        if (tail) weigh_tail(values + whole, c->v, tail, m, n, weights, stride, y + whole, y_stride, alpha);
        return;
    }
    const cache_type *type = type_of(c);
    const char *values = (const char *) value_place(c, page, g, 0) + (c0 * c->page + j * CMHA_PANEL) * type->number;
    if (type->tile && columns % CMHA_PANEL == 0 && type->tile(m, columns / CMHA_PANEL, n, weights, stride, values,
        CMHA_PANEL * c->page, y, y_stride, alpha)) return;
    for (size_t i = 0; i < n; i += NARROW_ROWS) {
        widened_values(c, page, g, j + i, c0, columns, m, least(n - i, NARROW_ROWS), weights + i, stride, y, y_stride,
            i ? CARRY_ON : alpha);
    }
}
