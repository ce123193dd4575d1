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
/* What is called from several places and takes a while anyway, or would run an engine out of registers. */
#define OUTLINE static __attribute__((noinline))

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
INLINE f4 f4_negative(f4 a) { return wasm_f32x4_neg(a); }
INLINE f4 f4_less(f4 a, f4 b) { return wasm_f32x4_lt(a, b); }
INLINE f4 f4_select(f4 mask, f4 a, f4 b) { return wasm_v128_bitselect(a, b, mask); }
INLINE f4 f4_or(f4 a, f4 b) { return wasm_v128_or(a, b); }
/* 2^n from a float whose lowest mantissa bits hold n + 127. */
INLINE f4 f4_exponent(f4 a) { return wasm_i32x4_shl(a, 23); }
INLINE float f4_lane(f4 a, int lane)
{
    float x[4];
    wasm_v128_store(x, a);
    return x[lane];
}
/* Lanes turned by one and by two places. */
INLINE f4 f4_turn1(f4 a) { return wasm_i32x4_shuffle(a, a, 1, 2, 3, 0); }
INLINE f4 f4_turn2(f4 a) { return wasm_i32x4_shuffle(a, a, 2, 3, 0, 1); }
/* A full lane for every nonzero byte of keep[0..3]. */
INLINE f4 f4_keep(const uint8_t *keep)
{
    f4 wide = wasm_u32x4_extend_low_u16x8(wasm_u16x8_extend_low_u8x16(wasm_v128_load32_zero(keep)));
    return wasm_i32x4_ne(wide, wasm_i32x4_splat(0));
}


/* Four 32-bit integers, or sixteen bytes. */
typedef v128_t i4;

INLINE i4 i4_load(const void *p) { return wasm_v128_load(p); }
INLINE void i4_store(void *p, i4 a) { wasm_v128_store(p, a); }
INLINE i4 i4_load_u16(const void *p) { return wasm_u32x4_load16x4(p); }
INLINE i4 i4_load_splat(const void *p) { return wasm_v128_load32_splat(p); }
INLINE i4 i4_splat(int32_t x) { return wasm_i32x4_splat(x); }
INLINE i4 i4_and(i4 a, i4 b) { return wasm_v128_and(a, b); }
INLINE i4 i4_or(i4 a, i4 b) { return wasm_v128_or(a, b); }
INLINE i4 i4_xor(i4 a, i4 b) { return wasm_v128_xor(a, b); }
INLINE i4 i4_add(i4 a, i4 b) { return wasm_i32x4_add(a, b); }
INLINE i4 i4_mul(i4 a, i4 b) { return wasm_i32x4_mul(a, b); }
INLINE i4 i4_max(i4 a, i4 b) { return wasm_i32x4_max(a, b); }
INLINE i4 i4_shl(i4 a, uint32_t n) { return wasm_i32x4_shl(a, n); }
INLINE i4 i4_shr(i4 a, uint32_t n) { return wasm_i32x4_shr(a, n); }     /* signed */
INLINE i4 i4_shr_u(i4 a, uint32_t n) { return wasm_u32x4_shr(a, n); }
INLINE i4 i4_more(i4 a, i4 b) { return wasm_i32x4_gt(a, b); }
INLINE f4 i4_float(i4 a) { return wasm_f32x4_convert_i32x4(a); }        /* of the same numbers */
INLINE f4 i4_bits(i4 a) { return a; }                                   /* of the same bits */
INLINE i4 f4_word(f4 a) { return a; }
/* By bytes: a - b, and table[a] for a < 16, 0 for a > 127. */
INLINE i4 b16_sub(i4 a, i4 b) { return wasm_i8x16_sub(a, b); }
#if defined(__wasm_relaxed_simd__)
INLINE i4 b16_look_up(i4 table, i4 a) { return wasm_i8x16_relaxed_swizzle(table, a); }
#else
INLINE i4 b16_look_up(i4 table, i4 a) { return wasm_i8x16_swizzle(table, a); }
#endif
/* Of eight 16-bit numbers: all ones where equal; from bytes with their signs; the first or last four with their signs, or
 * as the upper halves of words. */
INLINE i4 h8_equal(i4 a, i4 b) { return wasm_i16x8_eq(a, b); }
INLINE i4 h8_splat(int16_t x) { return wasm_i16x8_splat(x); }
INLINE i4 h8_sub(i4 a, i4 b) { return wasm_i16x8_sub(a, b); }
INLINE i4 h8_mul(i4 a, i4 b) { return wasm_i16x8_mul(a, b); }
INLINE i4 h8_shl(i4 a, uint32_t n) { return wasm_i16x8_shl(a, n); }
INLINE i4 h8_shr(i4 a, uint32_t n) { return wasm_i16x8_shr(a, n); }     /* signed */
INLINE i4 h8_shr_u(i4 a, uint32_t n) { return wasm_u16x8_shr(a, n); }
/* Words from their lower and upper halves: the first four, the last four. */
INLINE i4 h8_zip_low(i4 low, i4 high) { return wasm_i16x8_shuffle(low, high, 0, 8, 1, 9, 2, 10, 3, 11); }
INLINE i4 h8_zip_high(i4 low, i4 high) { return wasm_i16x8_shuffle(low, high, 4, 12, 5, 13, 6, 14, 7, 15); }
INLINE i4 h8_dot(i4 a, i4 b) { return wasm_i32x4_dot_i16x8(a, b); }     /* sums of pairs of products */
INLINE i4 h8_narrow(i4 a, i4 b) { return wasm_i16x8_narrow_i32x4(a, b); }                        /* of words, the nearest there are */
INLINE i4 h8_swap_middle(i4 a) { return wasm_i16x8_shuffle(a, a, 0, 2, 1, 3, 4, 6, 5, 7); }     /* of every four */
INLINE i4 h8_load_i8(const void *p) { return wasm_i16x8_load8x8(p); }
INLINE i4 h8_extend(i4 a, int last) { return last ? wasm_i32x4_extend_high_i16x8(a) : wasm_i32x4_extend_low_i16x8(a); }
INLINE i4 h8_raise(i4 a, int last)
{
    i4 zero = wasm_i32x4_splat(0);
    return last ? h8_zip_high(zero, a) : h8_zip_low(zero, a);
}
INLINE int i4_any(i4 a) { return wasm_v128_any_true(a); }
INLINE i4 h8_max(i4 a, i4 b) { return wasm_u16x8_max(a, b); }      /* without signs */
/* Of eight floats: those at even places, those at odd places; and back: the first four, the last four. */
INLINE f4 f4_even(f4 a, f4 b) { return wasm_i32x4_shuffle(a, b, 0, 2, 4, 6); }
INLINE f4 f4_odd(f4 a, f4 b) { return wasm_i32x4_shuffle(a, b, 1, 3, 5, 7); }
INLINE f4 f4_zip_low(f4 even, f4 odd) { return wasm_i32x4_shuffle(even, odd, 0, 4, 1, 5); }
INLINE f4 f4_zip_high(f4 even, f4 odd) { return wasm_i32x4_shuffle(even, odd, 2, 6, 3, 7); }

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
INLINE f4 f4_or(f4 a, f4 b) { return (f4) ((f4_bits) a | (f4_bits) b); }
INLINE f4 f4_max(f4 a, f4 b) { return f4_select(f4_less(b, a), a, b); }
INLINE f4 f4_min(f4 a, f4 b) { return f4_select(f4_less(a, b), a, b); }
INLINE f4 f4_negative(f4 a) { return -a; }
INLINE f4 f4_exponent(f4 a)
{
    typedef uint32_t bits __attribute__((vector_size(16)));
    return (f4) ((bits) a << 23);
}
INLINE float f4_lane(f4 a, int lane) { return a[lane]; }
INLINE f4 f4_turn1(f4 a) { return (f4) { a[1], a[2], a[3], a[0] }; }
INLINE f4 f4_turn2(f4 a) { return (f4) { a[2], a[3], a[0], a[1] }; }
INLINE f4 f4_keep(const uint8_t *keep)
{
    return (f4) (f4_bits) { -(keep[0] != 0), -(keep[1] != 0), -(keep[2] != 0), -(keep[3] != 0) };
}

typedef int32_t i4 __attribute__((vector_size(16)));
typedef uint32_t u4 __attribute__((vector_size(16)));
typedef uint8_t b16 __attribute__((vector_size(16)));

INLINE i4 i4_load(const void *p) { i4 a; memcpy(&a, p, sizeof a); return a; }
INLINE void i4_store(void *p, i4 a) { memcpy(p, &a, sizeof a); }
INLINE i4 i4_load_u16(const void *p)
{
    uint16_t a[4];
    memcpy(a, p, sizeof a);
    return (i4) { a[0], a[1], a[2], a[3] };
}
INLINE i4 i4_splat(int32_t x) { return (i4) { x, x, x, x }; }
INLINE i4 i4_load_splat(const void *p)
{
    int32_t x;
    memcpy(&x, p, sizeof x);
    return i4_splat(x);
}
INLINE i4 i4_and(i4 a, i4 b) { return a & b; }
INLINE i4 i4_or(i4 a, i4 b) { return a | b; }
INLINE i4 i4_xor(i4 a, i4 b) { return a ^ b; }
INLINE i4 i4_add(i4 a, i4 b) { return (i4) ((u4) a + (u4) b); }
INLINE i4 i4_mul(i4 a, i4 b) { return (i4) ((u4) a * (u4) b); }
INLINE i4 i4_max(i4 a, i4 b)
{
    i4 more = (i4) (a > b);
    return (a & more) | (b & ~more);
}
INLINE i4 i4_shl(i4 a, uint32_t n) { return (i4) ((u4) a << n); }
INLINE i4 i4_shr(i4 a, uint32_t n) { return a >> (int32_t) n; }
INLINE i4 i4_shr_u(i4 a, uint32_t n) { return (i4) ((u4) a >> n); }
INLINE i4 i4_more(i4 a, i4 b) { return (i4) (a > b); }
INLINE f4 i4_float(i4 a) { return __builtin_convertvector(a, f4); }
INLINE f4 i4_bits(i4 a) { return (f4) a; }
INLINE i4 f4_word(f4 a) { return (i4) a; }
typedef int16_t h8 __attribute__((vector_size(16)));
typedef uint16_t u8h __attribute__((vector_size(16)));
INLINE i4 h8_equal(i4 a, i4 b) { return (i4) ((h8) a == (h8) b); }
INLINE i4 h8_splat(int16_t x) { return (i4) (h8) { x, x, x, x, x, x, x, x }; }
INLINE i4 h8_sub(i4 a, i4 b) { return (i4) ((u8h) a - (u8h) b); }
INLINE i4 h8_mul(i4 a, i4 b) { return (i4) ((u8h) a * (u8h) b); }
INLINE i4 h8_shl(i4 a, uint32_t n) { return (i4) ((u8h) a << (uint16_t) n); }
INLINE i4 h8_shr(i4 a, uint32_t n) { return (i4) ((h8) a >> (int16_t) n); }
INLINE i4 h8_shr_u(i4 a, uint32_t n) { return (i4) ((u8h) a >> (uint16_t) n); }
INLINE i4 h8_zip(u8h low, u8h high, int i)
{
    return (i4) (u8h) { low[i], high[i], low[i + 1], high[i + 1], low[i + 2], high[i + 2], low[i + 3], high[i + 3] };
}
INLINE i4 h8_zip_low(i4 low, i4 high) { return h8_zip((u8h) low, (u8h) high, 0); }
INLINE i4 h8_zip_high(i4 low, i4 high) { return h8_zip((u8h) low, (u8h) high, 4); }
INLINE i4 h8_narrow(i4 a, i4 b)
{
    h8 z;
    for (int i = 0; i < 8; i++) {
        int32_t x = i < 4 ? a[i] : b[i - 4];
        z[i] = (int16_t) (x < INT16_MIN ? INT16_MIN : x > INT16_MAX ? INT16_MAX : x);
    }
    return (i4) z;
}
INLINE i4 h8_swap_middle(i4 a)
{
    h8 x = (h8) a;
    return (i4) (h8) { x[0], x[2], x[1], x[3], x[4], x[6], x[5], x[7] };
}
INLINE i4 h8_dot(i4 a, i4 b)
{
    h8 x = (h8) a, y = (h8) b;
    i4 z = { 0 };
    for (int i = 0; i < 4; i++) z[i] = x[2 * i] * y[2 * i] + x[2 * i + 1] * y[2 * i + 1];
    return z;
}
INLINE i4 h8_load_i8(const void *p)
{
    int8_t a[8];
    memcpy(a, p, sizeof a);
    return (i4) (h8) { a[0], a[1], a[2], a[3], a[4], a[5], a[6], a[7] };
}
INLINE i4 h8_extend(i4 a, int last)
{
    h8 from = (h8) a;
    int i = last ? 4 : 0;
    return (i4) { from[i], from[i + 1], from[i + 2], from[i + 3] };
}
INLINE i4 h8_raise(i4 a, int last) { return i4_shl(h8_extend(a, last), 16); }
INLINE int i4_any(i4 a) { return (a[0] | a[1] | a[2] | a[3]) != 0; }
INLINE i4 h8_max(i4 a, i4 b)
{
    u8h more = (u8h) ((u8h) a > (u8h) b);
    return (i4) (((u8h) a & more) | ((u8h) b & ~more));
}
INLINE f4 f4_even(f4 a, f4 b) { return (f4) { a[0], a[2], b[0], b[2] }; }
INLINE f4 f4_odd(f4 a, f4 b) { return (f4) { a[1], a[3], b[1], b[3] }; }
INLINE f4 f4_zip_low(f4 even, f4 odd) { return (f4) { even[0], odd[0], even[1], odd[1] }; }
INLINE f4 f4_zip_high(f4 even, f4 odd) { return (f4) { even[2], odd[2], even[3], odd[3] }; }
INLINE i4 b16_sub(i4 a, i4 b) { return (i4) ((b16) a - (b16) b); }
INLINE i4 b16_look_up(i4 table, i4 a)
{
    b16 from = (b16) table, at = (b16) a, to = { 0 };
    for (int i = 0; i < 16; i++) to[i] = at[i] < 16 ? from[at[i]] : 0;
    return (i4) to;
}

#endif

/* a * b + c, fused or not: the one place where the builds differ. */
#if defined(__wasm_relaxed_simd__)
INLINE f4 f4_madd(f4 a, f4 b, f4 c) { return wasm_f32x4_relaxed_madd(a, b, c); }
#else
INLINE f4 f4_madd(f4 a, f4 b, f4 c) { return f4_add(f4_mul(a, b), c); }
#endif

/* The same number in all lanes, to be made ahead of a loop: V8 builds a literal vector anew wherever it is used, in three
 * instructions. Hence a number in memory that neither the compiler nor wasm-opt can see through. */
#if defined(__wasm_simd128__)
#define i4_constant(x) __extension__ ({ \
        static const uint32_t number[1] = { x }; \
        const uint32_t *place = number; \
        __asm__("" : "+r"(place)); \
        wasm_v128_load32_splat(place); \
    })
#else
#define i4_constant(x) i4_splat((int32_t) (x))
#endif

INLINE i4 i4_turn1(i4 a) { return f4_word(f4_turn1(i4_bits(a))); }
INLINE i4 i4_turn2(i4 a) { return f4_word(f4_turn2(i4_bits(a))); }

/* The largest |x[i]|, i < n, a multiple of 4, or of `most`, lane by lane: without their signs, floats are in the order of their
 * bits. */
INLINE i4 largest_bits(i4 most, const float *x, size_t n)
{
    i4 all_but_sign = i4_constant(0x7fffffff);
    for (size_t i = 0; i < n; i += 4) most = i4_max(most, i4_and(i4_load(x + i), all_but_sign));
    return most;
}
/* That of its lanes, in all of them; NaN where it is not finite. */
INLINE f4 largest_lane(i4 most)
{
    most = i4_max(most, i4_turn2(most));
    f4 all = i4_bits(i4_max(most, i4_turn1(most)));
    return f4_add(all, f4_sub(all, all));
}

/* Eight numbers times scale, rounded to integers of 16 bits, ties to even. Next to 1.5 * 2^23 a float's last bit is worth 1. */
INLINE i4 h8_round(const float *x, f4 scale)
{
    f4 rounder = i4_bits(i4_constant(0x4b400000u));
    i4 back = i4_constant(-0x4b400000u);
    i4 low = f4_word(f4_add(f4_mul(f4_load(x), scale), rounder)), high = f4_word(f4_add(f4_mul(f4_load(x + 4), scale), rounder));
    return h8_narrow(i4_add(low, back), i4_add(high, back));
}

/* Exact widening of eight of binary16: its exponent's bias is 112 short, which a multiplication makes good, for subnormals
 * too. Infinity and NaN have all bits of the exponent here and there. */
INLINE void f8_from_f16(f4 to[2], i4 a)
{
    i4 top = i4_constant(0x7c007c00u), special = i4_and(h8_equal(i4_and(a, top), top), top);
    i4 low = h8_shl(a, 13), high = i4_or(i4_and(h8_shr(a, 3), i4_constant(0x8fff8fffu)), special);
    f4 lift = i4_bits(i4_constant(0x77800000u));
    to[0] = f4_mul(i4_bits(h8_zip_low(low, high)), lift);
    to[1] = f4_mul(i4_bits(h8_zip_high(low, high)), lift);
}

INLINE float f4_sum(f4 a) { return (f4_lane(a, 0) + f4_lane(a, 1)) + (f4_lane(a, 2) + f4_lane(a, 3)); }
INLINE float f4_top(f4 a)
{
    a = f4_max(a, f4_turn2(a));
    return f4_lane(f4_max(a, f4_turn1(a)), 0);
}

/* The first n of four lanes, n >= 1; the others load as `fill` and are not stored. Spelled out, because a loop would
 * become a call of memcpy. */
INLINE f4 f4_load_part(const float *p, size_t n, float fill)
{
    if (n >= 4) return f4_load(p);
    return f4_load((const float[4]) { p[0], n > 1 ? p[1] : fill, n > 2 ? p[2] : fill, fill });
}
INLINE void f4_store_part(float *p, f4 a, size_t n)
{
    if (n >= 4) {
        f4_store(p, a);
        return;
    }
    p[0] = f4_lane(a, 0);
    if (n > 1) p[1] = f4_lane(a, 1);
    if (n > 2) p[2] = f4_lane(a, 2);
}
INLINE f4 f4_keep_part(const uint8_t *keep, size_t n)
{
    if (n >= 4) return f4_keep(keep);
    return f4_keep((const uint8_t[4]) { keep[0], n > 1 ? keep[1] : 0, n > 2 ? keep[2] : 0, 0 });
}

/* The constants of f4_exp2, to be loaded ahead of a loop, from memory for the reason that i4_constant has. */
typedef struct exp2_constants {
    f4 least, magic, c5, c4, c3, c2, c1, one;
} exp2_constants;

INLINE exp2_constants exp2_load(void)
{
    static const float table[] = {
        -127.0f, 12582912.0f + 127.0f,  /* 1.5 * 2^23: adding it rounds to an integer */
        0x1.5bba14p-10f, 0x1.3cea88p-7f, 0x1.c6b752p-5f, 0x1.ebf9bcp-3f, 0x1.62e42ap-1f, 1.0f,
    };
    const float *t = table;
    __asm__("" : "+r"(t));
    return (exp2_constants) {
        f4_load_splat(t), f4_load_splat(t + 1), f4_load_splat(t + 2), f4_load_splat(t + 3), f4_load_splat(t + 4),
        f4_load_splat(t + 5), f4_load_splat(t + 6), f4_load_splat(t + 7),
    };
}

/* 2^x, within 2.2 ulp for x in (-126.5, 127.5), 0 below, NaN for NaN; 2^0 is exactly 1. x = n + r with |r| <= 1/2, then
 * a minimax polynomial of degree 5 for 2^r (relative error 9.2e-8), then n into the exponent. An exponent clamped to
 * -127 makes a scale of zero. */
INLINE f4 f4_exp2(const exp2_constants *k, f4 x)
{
    f4 y = f4_max(k->least, x);
    f4 t = f4_add(y, k->magic);
    f4 r = f4_sub(y, f4_sub(t, k->magic));
    f4 p = f4_madd(k->c5, r, k->c4);
    p = f4_madd(p, r, k->c3);
    p = f4_madd(p, r, k->c2);
    p = f4_madd(p, r, k->c1);
    p = f4_madd(p, r, k->one);
    return f4_mul(p, f4_exponent(t));
}

INLINE float exp2_f32(float x)
{
    exp2_constants k = exp2_load();
    return f4_lane(f4_exp2(&k, f4_splat(x)), 0);
}

#define LOG2_E 0x1.715476p+0f

#endif
