/* f16.c: a cache of binary16 numbers, two bytes each. */
#include "cache/cache.h"
#include "tile.h"

/* Ties to even; beyond 65504 infinity. */
static uint16_t narrow(float x)
{
    float y;
    uint32_t u;
    cmha_round_f32(&y, &x, 1, CMHA_ROUND_F16);
    memcpy(&u, &y, sizeof u);
    uint32_t sign = u >> 16 & 0x8000u, a = u & 0x7fffffffu;
    if (a >= 0x7f800000u) return (uint16_t) (sign | (a > 0x7f800000u ? 0x7e00u : 0x7c00u));
    if (a >= 0x38800000u) return (uint16_t) (sign | (a - 0x38000000u) >> 13);
    return (uint16_t) (sign | (uint32_t) ((y < 0.0f ? -y : y) * 0x1p24f));      /* a multiple of 2^-24 */
}

static uint16_t *values_of(const cmha_cache *c, const void *page)
{
    return (uint16_t *) (uintptr_t) page + c->heads * c->page * c->d;
}

/* Where column e of the value of position j lies, with the next ones of its panel behind it. */
static uint16_t *value_half(const cmha_cache *c, const void *page, size_t g, size_t j, size_t e)
{
    size_t column = e % CMHA_PANEL, width = least(c->v - (e - column), CMHA_PANEL);
    return values_of(c, page) + value_at(c, g, 0) + (e - column) * c->page + j * width + column;
}

static void store_key(const cmha_cache *c, void *page, size_t g, size_t j, const float *row)
{
    uint16_t *key = (uint16_t *) page + key_at(c, g, j);
    for (size_t e = 0; e < c->d; e++) key[e * CMHA_PANEL] = narrow(row[e]);
}

static void store_value(const cmha_cache *c, void *page, size_t g, size_t j, const float *row)
{
    for (size_t e = 0; e < c->v; e++) *value_half(c, page, g, j, e) = narrow(row[e]);
}

static void load_key(const cmha_cache *c, const void *page, size_t g, size_t j, float *row)
{
    const uint16_t *key = (const uint16_t *) page + key_at(c, g, j);
    for (size_t e = 0; e < c->d; e++) cmha_widen_f16(row + e, key + e * CMHA_PANEL, 1);
}

static void widen_value(const cmha_cache *c, const void *page, size_t g, size_t j, size_t c0, size_t n, float *to)
{
    for (size_t e = 0; e < n; e += CMHA_PANEL) {
        cmha_widen_f16(to + e, value_half(c, page, g, j, c0 + e), least(n - e, CMHA_PANEL));
    }
}

static void load_value(const cmha_cache *c, const void *page, size_t g, size_t j, float *row)
{
    widen_value(c, page, g, j, 0, c->v, row);
}

static void widen_keys(const cmha_cache *c, const void *page, size_t g, size_t j, size_t e0, size_t n, float *to)
{
    cmha_widen_f16(to, (const uint16_t *) page + key_at(c, g, j) + e0 * CMHA_PANEL, n * CMHA_PANEL);
}

static void move(const cmha_cache *c, void *to, size_t g, size_t j1, const void *from, size_t j0, size_t n)
{
    for (size_t i = 0; i < n; i++, j1++, j0++) {
        uint16_t *key = (uint16_t *) to + key_at(c, g, j1);
        const uint16_t *other = (const uint16_t *) from + key_at(c, g, j0);
        for (size_t e = 0; e < c->d; e++) key[e * CMHA_PANEL] = other[e * CMHA_PANEL];
        for (size_t e = 0; e < c->v; e++) *value_half(c, to, g, j1, e) = *value_half(c, from, g, j0, e);
    }
}

const cache_type cache_f16 = {
    .number = NUMBER_F16, .scale = SCALE_F16, .store_key = store_key, .store_value = store_value, .load_key = load_key,
    .load_value = load_value, .widen_keys = widen_keys, .widen_value = widen_value, .move = move, .tile = tile_f16,
};
