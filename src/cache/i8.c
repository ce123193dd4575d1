/* i8.c: a cache of bytes: a key or value of a head is 127 levels to each side of zero, times a scale of its own. */
#include "cache/cache.h"
#include "tile.h"

/* Keys, their scales [G][page], values, their scales [G][page]. */
static int8_t *keys_of(const void *page)
{
    return (int8_t *) (uintptr_t) page;
}

static float *key_scales_of(const cmha_cache *c, const void *page, size_t g)
{
    return (float *) (void *) (keys_of(page) + c->heads * c->page * c->d) + g * c->page;
}

static int8_t *values_of(const cmha_cache *c, const void *page)
{
    return (int8_t *) (void *) key_scales_of(c, page, c->heads);
}

static float *value_scales_of(const cmha_cache *c, const void *page, size_t g)
{
    return (float *) (void *) (values_of(c, page) + c->heads * c->page * c->v) + g * c->page;
}

/* The panel of keys that position j is in, and where element e of it lies there. */
static int8_t *key_panel(const cmha_cache *c, const void *page, size_t g, size_t j)
{
    return keys_of(page) + key_at(c, g, j - j % CMHA_PANEL);
}

static size_t key_place_in(const cmha_cache *c, size_t j, size_t e)
{
    size_t lane = j % CMHA_PANEL, pairs = c->d / 2 * 2;
    return e < pairs ? e / 2 * 2 * CMHA_PANEL + 2 * lane + e % 2 : pairs * CMHA_PANEL + lane;
}

/* Where column e of the value of position j lies, the first of a panel: the next ones of it are two bytes apart. */
static int8_t *value_columns(const cmha_cache *c, const void *page, size_t g, size_t j, size_t e, size_t *width)
{
    *width = least(c->v - e, CMHA_PANEL);
    return values_of(c, page) + value_at(c, g, 0) + e * c->page + j / 2 * 2 * *width + j % 2;
}

/* What 127 levels of the largest number of a row come to, and what a row is multiplied by to become levels. A row that is
 * not finite reads as NaN. */
static float scale_of(const float *row, size_t n, float *inverse)
{
    size_t e = n / 4 * 4;
    i4 most = largest_bits(i4_splat(0), row, e);
    for (; e < n; e++) most = i4_max(most, i4_and(i4_load_splat(row + e), i4_splat(0x7fffffff)));
    float top = f4_lane(largest_lane(most), 0);
    *inverse = top > 0.0f ? 127.0f / top : 0.0f;
    if (*inverse > 3e38f) *inverse = 0.0f;      /* too small to be told from zero */
    return top / 127.0f;
}

/* Ties to even: next to 1.5 * 2^23 a float's last bit is worth 1. */
static int8_t level(float x, float inverse)
{
    const float magic = 12582912.0f;
    return inverse ? (int8_t) (x * inverse + magic - magic) : 0;
}

static void store_key(const cmha_cache *c, void *page, size_t g, size_t j, const float *row)
{
    int8_t *panel = key_panel(c, page, g, j);
    float inverse;
    key_scales_of(c, page, g)[j] = scale_of(row, c->d, &inverse);
    for (size_t e = 0; e < c->d; e++) panel[key_place_in(c, j, e)] = level(row[e], inverse);
}

static void store_value(const cmha_cache *c, void *page, size_t g, size_t j, const float *row)
{
    float inverse;
    value_scales_of(c, page, g)[j] = scale_of(row, c->v, &inverse);
    for (size_t e = 0, width; e < c->v; e += width, row += width) {
        int8_t *value = value_columns(c, page, g, j, e, &width);
        for (size_t i = 0; i < width; i++) value[2 * i] = level(row[i], inverse);
    }
}

/* Eight of 16 bits to floats. */
static void widen(float *to, i4 numbers)
{
    f4_store(to, i4_float(h8_extend(numbers, 0)));
    f4_store(to + 4, i4_float(h8_extend(numbers, 1)));
}

/* Of eight pairs of bytes the first of each, or the last. */
INLINE i4 of_pairs(const int8_t *pairs, size_t last)
{
    return h8_shr(h8_shl(i4_load(pairs), last ? 0 : 8), 8);
}

static void widen_keys(const cmha_cache *c, const void *page, size_t g, size_t j, size_t e0, size_t n, float *to)
{
    const int8_t *numbers = key_panel(c, page, g, j);
    for (size_t e = e0; e < e0 + n; e++, to += CMHA_PANEL) {
        const int8_t *pairs = numbers + e / 2 * 2 * CMHA_PANEL;
        widen(to, e % 2 == 0 && e + 1 == c->d ? h8_load_i8(pairs) : of_pairs(pairs, e % 2));
    }
}

/* What is loaded beyond the last columns is of the scales. */
static void widen_value(const cmha_cache *c, const void *page, size_t g, size_t j, size_t c0, size_t n, float *to)
{
    for (size_t e = 0, width; e < n; e += CMHA_PANEL) {
        widen(to + e, of_pairs(value_columns(c, page, g, j - j % 2, c0 + e, &width), j % 2));
    }
}

static void load_key(const cmha_cache *c, const void *page, size_t g, size_t j, float *row)
{
    const int8_t *panel = key_panel(c, page, g, j);
    float scale = key_scales_of(c, page, g)[j];
    for (size_t e = 0; e < c->d; e++) row[e] = (float) panel[key_place_in(c, j, e)] * scale;
}

static void load_value(const cmha_cache *c, const void *page, size_t g, size_t j, float *row)
{
    float scale = value_scales_of(c, page, g)[j];
    for (size_t e = 0, width; e < c->v; e += width, row += width) {
        const int8_t *value = value_columns(c, page, g, j, e, &width);
        for (size_t i = 0; i < width; i++) row[i] = (float) value[2 * i] * scale;
    }
}

static void move(const cmha_cache *c, void *to, size_t g, size_t j1, const void *from, size_t j0, size_t n)
{
    size_t d = c->d, width;
    move_halves((uint16_t *) (void *) key_panel(c, to, g, 0), j1, (const uint16_t *) (void *) key_panel(c, from, g, 0), j0, n,
        d / 2, CMHA_PANEL * d / 2);
    for (size_t i = 0; i < n; i++, j1++, j0++) {
        if (d % 2) key_panel(c, to, g, j1)[key_place_in(c, j1, d - 1)] = key_panel(c, from, g, j0)[key_place_in(c, j0, d - 1)];
        for (size_t e = 0; e < c->v; e += width) {
            int8_t *y = value_columns(c, to, g, j1, e, &width);
            const int8_t *x = value_columns(c, from, g, j0, e, &width);
            for (size_t k = 0; k < 2 * width; k += 2) y[k] = x[k];
        }
        key_scales_of(c, to, g)[j1] = key_scales_of(c, from, g)[j0];
        value_scales_of(c, to, g)[j1] = value_scales_of(c, from, g)[j0];
    }
}

static const float *key_scales(const cmha_cache *c, const void *page, size_t g)
{
    return key_scales_of(c, page, g);
}

static const float *value_scales(const cmha_cache *c, const void *page, size_t g)
{
    return value_scales_of(c, page, g);
}

const cache_type cache_i8 = {
    .number = NUMBER_I8, .scale = SCALE_I8, .store_key = store_key, .store_value = store_value, .load_key = load_key,
    .load_value = load_value, .widen_keys = widen_keys, .widen_value = widen_value, .move = move, .key_scales = key_scales,
    .value_scales = value_scales,
};
