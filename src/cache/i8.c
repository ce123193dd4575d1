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

/* Where element e of the key, or of the value, of position j lies. */
static int8_t *key_byte(const cmha_cache *c, const void *page, size_t g, size_t j, size_t e)
{
    size_t lane = j % CMHA_PANEL, pairs = c->d / 2 * 2;
    int8_t *panel = keys_of(page) + key_at(c, g, j - lane);
    return panel + (e < pairs ? e / 2 * 2 * CMHA_PANEL + 2 * lane + e % 2 : pairs * CMHA_PANEL + lane);
}

static int8_t *value_byte(const cmha_cache *c, const void *page, size_t g, size_t j, size_t e)
{
    size_t column = e % CMHA_PANEL, width = least(c->v - (e - column), CMHA_PANEL);
    int8_t *panel = values_of(c, page) + value_at(c, g, 0) + (e - column) * c->page;
    return panel + j / 2 * 2 * width + 2 * column + j % 2;
}

/* What 127 levels of the largest number of a row come to, and what a row is multiplied by to become levels. A row that is
 * not finite reads as NaN. */
static float scale_of(const float *row, size_t n, float *inverse)
{
    float most = 0.0f, sum = 0.0f;
    for (size_t e = 0; e < n; e++) {
        float x = row[e] < 0.0f ? -row[e] : row[e];
        most = x > most ? x : most;
        sum += x * 0.0f;                /* NaN, where something is not finite */
    }
    *inverse = most > 0.0f && sum == 0.0f ? 127.0f / most : 0.0f;
    if (*inverse > 3e38f) *inverse = 0.0f;      /* too small to be told from zero */
    return sum == 0.0f ? most / 127.0f : sum;
}

/* Ties to even: next to 1.5 * 2^23 a float's last bit is worth 1. */
static int8_t level(float x, float inverse)
{
    const float magic = 12582912.0f;
    return inverse ? (int8_t) (x * inverse + magic - magic) : 0;
}

static void store_key(const cmha_cache *c, void *page, size_t g, size_t j, const float *row)
{
    float inverse;
    key_scales_of(c, page, g)[j] = scale_of(row, c->d, &inverse);
    for (size_t e = 0; e < c->d; e++) *key_byte(c, page, g, j, e) = level(row[e], inverse);
}

static void store_value(const cmha_cache *c, void *page, size_t g, size_t j, const float *row)
{
    float inverse;
    value_scales_of(c, page, g)[j] = scale_of(row, c->v, &inverse);
    for (size_t e = 0; e < c->v; e++) *value_byte(c, page, g, j, e) = level(row[e], inverse);
}

static void load_key(const cmha_cache *c, const void *page, size_t g, size_t j, float *row)
{
    float scale = key_scales_of(c, page, g)[j];
    for (size_t e = 0; e < c->d; e++) row[e] = (float) *key_byte(c, page, g, j, e) * scale;
}

static void load_value(const cmha_cache *c, const void *page, size_t g, size_t j, float *row)
{
    float scale = value_scales_of(c, page, g)[j];
    for (size_t e = 0; e < c->v; e++) row[e] = (float) *value_byte(c, page, g, j, e) * scale;
}

static void move(const cmha_cache *c, void *to, size_t g, size_t j1, const void *from, size_t j0, size_t n)
{
    for (size_t i = 0; i < n; i++, j1++, j0++) {
        for (size_t e = 0; e < c->d; e++) *key_byte(c, to, g, j1, e) = *key_byte(c, from, g, j0, e);
        for (size_t e = 0; e < c->v; e++) *value_byte(c, to, g, j1, e) = *value_byte(c, from, g, j0, e);
        key_scales_of(c, to, g)[j1] = key_scales_of(c, from, g)[j0];
        value_scales_of(c, to, g)[j1] = value_scales_of(c, from, g)[j0];
    }
}

static void widen_keys(const cmha_cache *c, const void *page, size_t g, size_t j, size_t e0, size_t n, float *to)
{
    for (size_t e = 0; e < n; e++, to += CMHA_PANEL) {
        for (size_t i = 0; i < CMHA_PANEL; i++) to[i] = (float) *key_byte(c, page, g, j + i, e0 + e);
    }
}

static void widen_value(const cmha_cache *c, const void *page, size_t g, size_t j, size_t c0, size_t n, float *to)
{
    for (size_t e = 0; e < n; e++) to[e] = (float) *value_byte(c, page, g, j, c0 + e);
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
