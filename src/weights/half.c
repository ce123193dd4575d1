/* half.c: rounding to binary16 and bfloat16, branch-free scalar code that compilers vectorize, and widening from binary16. */
#include "cmha.h"
#include "simd.h"
#include <assert.h>

static uint32_t float_bits(float x) { uint32_t u; memcpy(&u, &x, sizeof u); return u; }
static float bits_float(uint32_t u) { float x; memcpy(&x, &u, sizeof x); return x; }

/* To 11 significant bits, or to a multiple of 2^-24 below 2^-14. */
static float round_f16(float x)
{
    uint32_t u = float_bits(x), sign = u & 0x80000000u, a = u ^ sign;
    uint32_t normal = (a + 0xfffu + ((a >> 13) & 1u)) & ~0x1fffu;
    /* Next to 0.5 a float's last bit is worth 2^-24, so the addition itself rounds. */
    uint32_t small = float_bits((bits_float(a) + 0.5f) - 0.5f);
    uint32_t y = a < 0x38800000u ? small : normal;
    y = y > 0x477fe000u ? 0x7f800000u : y;  /* past 65504 */
    y = a > 0x7f800000u ? a : y;            /* NaN */
    return bits_float(y | sign);
}

static float round_bf16(float x)
{
    uint32_t u = float_bits(x);
    uint32_t y = (u + 0x7fffu + ((u >> 16) & 1u)) & 0xffff0000u;
    return bits_float((u & 0x7fffffffu) > 0x7f800000u ? u : y);
}

void cmha_round_f32(float *y, const float *x, size_t n, uint32_t mode)
{
    assert(mode <= CMHA_ROUND_BF16);
    if (mode == CMHA_ROUND_F16) {
        for (size_t i = 0; i < n; i++) y[i] = round_f16(x[i]);
    } else if (mode == CMHA_ROUND_BF16) {
        for (size_t i = 0; i < n; i++) y[i] = round_bf16(x[i]);
    } else if (y != x) {
        memmove(y, x, n * sizeof *x);
    }
}

static void widen_eight(float *y, const uint16_t *x)
{
    f4 wide[2];
    f8_from_f16(wide, i4_load(x));
    f4_store(y, wide[0]);
    f4_store(y + 4, wide[1]);
}

void cmha_widen_f16(float *y, const uint16_t *x, size_t n)
{
    for (; n >= 8; n -= 8, x += 8, y += 8) widen_eight(y, x);
    if (n == 0) return;
    uint16_t rest[8] = { 0 };
    float wide[8];
    memcpy(rest, x, n * sizeof *x);
    widen_eight(wide, rest);
    memcpy(y, wide, n * sizeof *y);
}
