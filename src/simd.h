/* simd.h: the vector words that kernels are written in, four floats at a time.
 *
 * Three branches: wasm SIMD128 (with fused multiply-add in the relaxed build), the same intrinsics on a native compiler
 * through SIMDe, and the compiler's own vector type. All three give the same bits, but for the relaxed build's fusing.
 */
#ifndef CMHA_SIMD_H
#define CMHA_SIMD_H

#include <stddef.h>
#include <stdint.h>
#include <string.h>

#define INLINE static inline __attribute__((always_inline))

#if defined(__wasm_simd128__) || defined(CMHA_SIMDE)

#if defined(__wasm_simd128__)
#include <wasm_simd128.h>
#else
#define SIMDE_ENABLE_NATIVE_ALIASES
#include <simde/wasm/simd128.h>
#endif

typedef v128_t f4;

INLINE f4 f4_load(const float *p) { return wasm_v128_load(p); }
INLINE void f4_store(float *p, f4 a) { wasm_v128_store(p, a); }
INLINE f4 f4_load_splat(const float *p) { return wasm_v128_load32_splat(p); }
INLINE f4 f4_splat(float x) { return wasm_f32x4_splat(x); }
INLINE f4 f4_add(f4 a, f4 b) { return wasm_f32x4_add(a, b); }
INLINE f4 f4_sub(f4 a, f4 b) { return wasm_f32x4_sub(a, b); }
INLINE f4 f4_mul(f4 a, f4 b) { return wasm_f32x4_mul(a, b); }
INLINE f4 f4_div(f4 a, f4 b) { return wasm_f32x4_div(a, b); }
/* The larger / smaller lane; a NaN in `a` loses, a NaN in `b` stays. */
INLINE f4 f4_max(f4 a, f4 b) { return wasm_f32x4_pmax(b, a); }
INLINE f4 f4_min(f4 a, f4 b) { return wasm_f32x4_pmin(b, a); }
INLINE f4 f4_less(f4 a, f4 b) { return wasm_f32x4_lt(a, b); }
INLINE f4 f4_select(f4 mask, f4 a, f4 b) { return wasm_v128_bitselect(a, b, mask); }
/* 2^n from a float whose lowest mantissa bits hold n + 127. */
INLINE f4 f4_exponent(f4 a) { return wasm_i32x4_shl(a, 23); }
INLINE float f4_lane(f4 a, int lane)
{
    float x[4];
    wasm_v128_store(x, a);
    return x[lane];
}
/* A full lane for every nonzero byte of keep[0..3]. */
INLINE f4 f4_keep(const uint8_t *keep)
{
    f4 wide = wasm_u32x4_extend_low_u16x8(wasm_u16x8_extend_low_u8x16(wasm_v128_load32_zero(keep)));
    return wasm_i32x4_ne(wide, wasm_i32x4_splat(0));
}

#else

typedef float f4 __attribute__((vector_size(16)));
typedef int32_t f4_bits __attribute__((vector_size(16)));

INLINE f4 f4_load(const float *p) { f4 a; memcpy(&a, p, sizeof a); return a; }
INLINE void f4_store(float *p, f4 a) { memcpy(p, &a, sizeof a); }
INLINE f4 f4_splat(float x) { return (f4){ x, x, x, x }; }
INLINE f4 f4_load_splat(const float *p) { return f4_splat(*p); }
INLINE f4 f4_add(f4 a, f4 b) { return a + b; }
INLINE f4 f4_sub(f4 a, f4 b) { return a - b; }
INLINE f4 f4_mul(f4 a, f4 b) { return a * b; }
INLINE f4 f4_div(f4 a, f4 b) { return a / b; }
INLINE f4 f4_less(f4 a, f4 b) { return (f4) (a < b); }
INLINE f4 f4_select(f4 mask, f4 a, f4 b)
{
    return (f4) (((f4_bits) mask & (f4_bits) a) | (~(f4_bits) mask & (f4_bits) b));
}
INLINE f4 f4_max(f4 a, f4 b) { return f4_select(f4_less(b, a), a, b); }
INLINE f4 f4_min(f4 a, f4 b) { return f4_select(f4_less(a, b), a, b); }
INLINE f4 f4_exponent(f4 a)
{
    typedef uint32_t bits __attribute__((vector_size(16)));
    return (f4) ((bits) a << 23);
}
INLINE float f4_lane(f4 a, int lane) { return a[lane]; }
INLINE f4 f4_keep(const uint8_t *keep)
{
    return (f4) (f4_bits) { -(keep[0] != 0), -(keep[1] != 0), -(keep[2] != 0), -(keep[3] != 0) };
}

#endif

/* a * b + c, fused or not: the one place where the builds differ. */
#if defined(__wasm_relaxed_simd__)
INLINE f4 f4_madd(f4 a, f4 b, f4 c) { return wasm_f32x4_relaxed_madd(a, b, c); }
#else
INLINE f4 f4_madd(f4 a, f4 b, f4 c) { return f4_add(f4_mul(a, b), c); }
#endif

INLINE float f4_sum(f4 a) { return (f4_lane(a, 0) + f4_lane(a, 1)) + (f4_lane(a, 2) + f4_lane(a, 3)); }
INLINE float f4_top(f4 a)
{
    float x = f4_lane(a, 0);
    for (int i = 1; i < 4; i++) x = f4_lane(a, i) > x ? f4_lane(a, i) : x;
    return x;
}

/* The first n of four lanes, n <= 4; the others load as `fill` and are not stored. */
INLINE f4 f4_load_part(const float *p, size_t n, float fill)
{
    if (n >= 4) return f4_load(p);
    float x[4] = { fill, fill, fill, fill };
    for (size_t i = 0; i < n; i++) x[i] = p[i];
    return f4_load(x);
}
INLINE void f4_store_part(float *p, f4 a, size_t n)
{
    if (n >= 4) {
        f4_store(p, a);
        return;
    }
    float x[4];
    f4_store(x, a);
    for (size_t i = 0; i < n; i++) p[i] = x[i];
}
INLINE f4 f4_keep_part(const uint8_t *keep, size_t n)
{
    if (n >= 4) return f4_keep(keep);
    uint8_t x[4] = { 0, 0, 0, 0 };
    for (size_t i = 0; i < n; i++) x[i] = keep[i];
    return f4_keep(x);
}

/* e^x, within 1.5 ulp for x in [-87.33, 88.37]; 0 below, e^88.37 above, NaN stays NaN.
 * x = n ln 2 + r with |r| <= ln 2 / 2 (Cody & Waite), then a degree 6 minimax polynomial for e^r. */
INLINE f4 f4_exp(f4 x)
{
    const f4 magic = f4_splat(12582912.0f + 127.0f); /* 1.5 * 2^23: adding it rounds to an integer */
    f4 y = f4_min(f4_splat(88.37f), f4_max(f4_splat(-87.4f), x));
    f4 t = f4_madd(y, f4_splat(0x1.715476p+0f), magic);
    f4 n = f4_sub(t, magic);
    f4 r = f4_madd(n, f4_splat(-0x1.62e400p-1f), y);
    r = f4_madd(n, f4_splat(-0x1.7f7d1cp-20f), r);
    f4 p = f4_madd(f4_splat(0x1.6a244cp-10f), r, f4_splat(0x1.1239d4p-7f));
    p = f4_madd(p, r, f4_splat(0x1.5558f2p-5f));
    p = f4_madd(p, r, f4_splat(0x1.555492p-3f));
    p = f4_madd(p, r, f4_splat(0x1.fffffcp-2f));
    p = f4_madd(p, f4_mul(r, r), r);
    f4 scale = f4_exponent(t);
    f4 e = f4_madd(p, scale, scale);
    return f4_select(f4_less(x, f4_splat(-87.33f)), f4_splat(0.0f), e);
}
INLINE float exp_f32(float x) { return f4_lane(f4_exp(f4_splat(x)), 0); }

#endif
