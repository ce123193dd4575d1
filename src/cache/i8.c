/* i8.c: a cache of bytes: a key or value of a head is 127 levels to each side of zero, times a scale of its own. */
#include "cache/cache.h"

/* Bytes and scales: keys [G][page / 8][D][8], their scales [G][page], values [G][page][V], their scales [G][page]. */
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

/* to[e * step] = round(row[e] / scale), ties to even; returns the scale. A row that is not finite reads as NaN. */
static float narrow(int8_t *to, size_t step, const float *row, size_t n)
{
    const float magic = 12582912.0f;    /* 1.5 * 2^23: adding it rounds to an integer */
    float most = 0.0f, sum = 0.0f;
    for (size_t e = 0; e < n; e++) {
        float x = row[e] < 0.0f ? -row[e] : row[e];
        most = x > most ? x : most;
        sum += x * 0.0f;                /* NaN, where something is not finite */
    }
    float inverse = most > 0.0f && sum == 0.0f ? 127.0f / most : 0.0f;
    if (inverse > 3e38f) inverse = 0.0f;    /* too small to be told from zero */
    for (size_t e = 0; e < n; e++) to[e * step] = inverse ? (int8_t) (row[e] * inverse + magic - magic) : 0;
    return sum == 0.0f ? most / 127.0f : sum;
}

static void store_key(const cmha_cache *c, void *page, size_t g, size_t j, const float *row)
{
    key_scales_of(c, page, g)[j] = narrow(keys_of(page) + key_at(c, g, j), CMHA_PANEL, row, c->d);
}

static void store_value(const cmha_cache *c, void *page, size_t g, size_t j, const float *row)
{
    value_scales_of(c, page, g)[j] = narrow(values_of(c, page) + value_at(c, g, j), 1, row, c->v);
}

static void load_key(const cmha_cache *c, const void *page, size_t g, size_t j, float *row)
{
    const int8_t *key = keys_of(page) + key_at(c, g, j);
    float scale = key_scales_of(c, page, g)[j];
    for (size_t e = 0; e < c->d; e++) row[e] = (float) key[e * CMHA_PANEL] * scale;
}

static void load_value(const cmha_cache *c, const void *page, size_t g, size_t j, float *row)
{
    const int8_t *value = values_of(c, page) + value_at(c, g, j);
    float scale = value_scales_of(c, page, g)[j];
    for (size_t e = 0; e < c->v; e++) row[e] = (float) value[e] * scale;
}

static void widen(float *to, const int8_t *from, size_t n)
{
    for (size_t e = 0; e < n; e++) to[e] = (float) from[e];
}

static void widen_keys(const cmha_cache *c, const void *page, size_t g, size_t j, size_t e0, size_t n, float *to)
{
    widen(to, keys_of(page) + key_at(c, g, j) + e0 * CMHA_PANEL, n * CMHA_PANEL);
}

static void widen_value(const cmha_cache *c, const void *page, size_t g, size_t j, size_t c0, size_t n, float *to)
{
    widen(to, values_of(c, page) + value_at(c, g, j) + c0, n);
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
    .load_value = load_value, .widen_keys = widen_keys, .widen_value = widen_value, .key_scales = key_scales,
    .value_scales = value_scales,
};
