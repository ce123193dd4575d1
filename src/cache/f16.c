/* f16.c: a cache of binary16 numbers, two bytes each. */
#include "cache/cache.h"

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

/* Exact, as f4_from_f16, but infinity and NaN, which a multiplication leaves at 65536 or more, are looked for at the end:
 * where there is any, all is widened again by the function that knows them. */
static void widen(float *to, const uint16_t *from, size_t n)
{
    i4 mask = i4_constant(0x8fffe000u);
    f4 bias = i4_bits(i4_constant(0x77800000u)), highest = f4_splat(0.0f), lowest = highest;
    size_t i = 0;
    for (; i + 8 <= n; i += 8) {
        i4 h = i4_load(from + i);
        f4 x0 = f4_mul(i4_bits(i4_and(i4_shr(h8_raise(h, 0), 3), mask)), bias);
        f4 x1 = f4_mul(i4_bits(i4_and(i4_shr(h8_raise(h, 1), 3), mask)), bias);
        highest = f4_max(highest, f4_max(x0, x1));
        lowest = f4_min(lowest, f4_min(x0, x1));
        f4_store(to + i, x0);
        f4_store(to + i + 4, x1);
    }
    if (f4_top(f4_max(highest, f4_negative(lowest))) >= 65536.0f) i = 0;
    if (i < n) cmha_widen_f16(to + i, from + i, n - i);
}

static uint16_t *values_of(const cmha_cache *c, const void *page)
{
    return (uint16_t *) (uintptr_t) page + c->heads * c->page * c->d;
}

static void store_key(const cmha_cache *c, void *page, size_t g, size_t j, const float *row)
{
    uint16_t *key = (uint16_t *) page + key_at(c, g, j);
    for (size_t e = 0; e < c->d; e++) key[e * CMHA_PANEL] = narrow(row[e]);
}

static void store_value(const cmha_cache *c, void *page, size_t g, size_t j, const float *row)
{
    uint16_t *value = values_of(c, page) + value_at(c, g, j);
    for (size_t e = 0; e < c->v; e++) value[e] = narrow(row[e]);
}

static void load_key(const cmha_cache *c, const void *page, size_t g, size_t j, float *row)
{
    const uint16_t *key = (const uint16_t *) page + key_at(c, g, j);
    for (size_t e = 0; e < c->d; e++) cmha_widen_f16(row + e, key + e * CMHA_PANEL, 1);
}

static void load_value(const cmha_cache *c, const void *page, size_t g, size_t j, float *row)
{
    widen(row, values_of(c, page) + value_at(c, g, j), c->v);
}

static void widen_keys(const cmha_cache *c, const void *page, size_t g, size_t j, size_t e0, size_t n, float *to)
{
    widen(to, (const uint16_t *) page + key_at(c, g, j) + e0 * CMHA_PANEL, n * CMHA_PANEL);
}

static void widen_value(const cmha_cache *c, const void *page, size_t g, size_t j, size_t c0, size_t n, float *to)
{
    widen(to, values_of(c, page) + value_at(c, g, j) + c0, n);
}

const cache_type cache_f16 = {
    .number = NUMBER_F16, .scale = SCALE_F16, .store_key = store_key, .store_value = store_value, .load_key = load_key,
    .load_value = load_value, .widen_keys = widen_keys, .widen_value = widen_value,
};
