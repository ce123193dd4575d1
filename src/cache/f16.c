/* f16.c: a cache of binary16 numbers, two bytes each. */
#include "cache/cache.h"
#include "tile.h"

/* Ties to even; beyond 65504 infinity. Below 2^-14 a number is a multiple of 2^-24, which next to 0.5 is worth a float's last
 * bit. */
INLINE uint16_t narrow(float x)
{
    uint32_t u, small;
    memcpy(&u, &x, sizeof u);
    uint32_t sign = u >> 16 & 0x8000u, a = u & 0x7fffffffu, y = (a - 0x37fff001u + (a >> 13 & 1u)) >> 13;
    x = __builtin_fabsf(x) + 0.5f;
    memcpy(&small, &x, sizeof small);
    y = a < 0x38800000u ? small - 0x3f000000u : y;
    y = a > 0x477fffffu ? 0x7c00u : y;
    return (uint16_t) (sign | (a > 0x7f800000u ? 0x7e00u : y));
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
    for (size_t e = 0; e < c->v; e += CMHA_PANEL) {
        uint16_t *value = value_half(c, page, g, j, e);
        for (size_t i = 0; i < least(c->v - e, CMHA_PANEL); i++) value[i] = narrow(row[e + i]);
    }
}

static void load_key(const cmha_cache *c, const void *page, size_t g, size_t j, float *row)
{
    const uint16_t *key = (const uint16_t *) page + key_at(c, g, j);
    uint16_t some[CMHA_PANEL];
    for (size_t e = 0, n; e < c->d; e += n) {
        n = least(c->d - e, CMHA_PANEL);
        for (size_t i = 0; i < n; i++, key += CMHA_PANEL) some[i] = *key;
        cmha_widen_f16(row + e, some, n);
    }
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

void move_halves(uint16_t *to, size_t j1, const uint16_t *from, size_t j0, size_t n, size_t count, size_t panel)
{
    for (size_t step; n > 0; n -= step, j1 += step, j0 += step) {
        step = least(n, least(CMHA_PANEL - j0 % CMHA_PANEL, CMHA_PANEL - j1 % CMHA_PANEL));
        uint16_t *y = to + j1 / CMHA_PANEL * panel + j1 % CMHA_PANEL;
        const uint16_t *x = from + j0 / CMHA_PANEL * panel + j0 % CMHA_PANEL;
        for (size_t e = 0; e < count; e++, y += CMHA_PANEL, x += CMHA_PANEL) {
            for (size_t i = 0; i < step; i++) y[i] = x[i];
        }
    }
}

static void move(const cmha_cache *c, void *to, size_t g, size_t j1, const void *from, size_t j0, size_t n)
{
    size_t keys = key_at(c, g, 0);
    move_halves((uint16_t *) to + keys, j1, (const uint16_t *) from + keys, j0, n, c->d, CMHA_PANEL * c->d);
    for (size_t e = 0; e < c->v; e += CMHA_PANEL) {
        memmove(value_half(c, to, g, j1, e), value_half(c, from, g, j0, e), 2 * n * least(c->v - e, CMHA_PANEL));
    }
}

const cache_type cache_f16 = {
    .number = NUMBER_F16, .scale = SCALE_F16, .store_key = store_key, .store_value = store_value, .load_key = load_key,
    .load_value = load_value, .widen_keys = widen_keys, .widen_value = widen_value, .move = move, .tile = tile_f16,
};
