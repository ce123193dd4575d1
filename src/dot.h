/* dot.h: products of small integers, four inputs of four outputs at a time; not exported.
 *
 * Activations are rounded to signed bytes in blocks of 32 (quantize.c), weights are bytes already: signed (bits 8), or
 * unsigned with so many bits, six at most. All sums are exact, so that builds, engines and orders agree.
 *
 * Two ways: pairs of 16-bit products, which every build has, after weights and activations have been widened; and in
 * the relaxed build, where the weights are unsigned, products of bytes, added by pairs. The instruction for those says
 * what it gives only if its second operand has no more than seven bits, which the weights are. Pairs are added up in
 * 16 bits, as many as fit. */
#ifndef CMHA_DOT_H
#define CMHA_DOT_H

#include "cmha.h"
#include "simd.h"

/* 32 activations d * q. */
typedef struct dot_block {
    float d;
    int32_t sum[2];     /* of each half of q */
    int32_t pad;
    int16_t q[CMHA_INT8_INPUTS];
#if defined(__wasm_relaxed_simd__)
    int8_t bytes[CMHA_INT8_INPUTS];
#endif
} dot_block;

_Static_assert(sizeof(dot_block) <= CMHA_INT8_BYTES, "cmha.h tells how much room a block takes");

#if defined(__wasm_simd128__) || defined(CMHA_SIMDE)

/* Wide: outputs 0 and 1, outputs 2 and 3. Bytes: all in `low`; sums in `low` and, of pairs, in `high`. */
typedef struct dot_weights { i4 low, high; } dot_weights;
typedef struct dot_sums { i4 low, high; } dot_sums;
typedef i4 dot_inputs;

#if defined(__wasm_relaxed_simd__)
#define DOT_BYTES(bits) ((bits) < 8)
#else
#define DOT_BYTES(bits) ((void) (bits), 0)
#endif

INLINE dot_sums dot_zero(void) { return (dot_sums) { i4_splat(0), i4_splat(0) }; }

INLINE dot_weights dot_widen(i4 bytes, int bits)
{
    if (DOT_BYTES(bits)) return (dot_weights) { .low = bytes };
    return (dot_weights) { wasm_i16x8_extend_low_i8x16(bytes), wasm_i16x8_extend_high_i8x16(bytes) };
}

/* Inputs i ... i + 3 of a block. */
INLINE dot_inputs dot_load(const dot_block *x, size_t i, int bits)
{
#if defined(__wasm_relaxed_simd__)
    if (DOT_BYTES(bits)) return wasm_v128_load32_splat(x->bytes + i);
#endif
    (void) bits;
    return wasm_v128_load64_splat(x->q + i);
}

/* The products of word w of a run. A pair is at most 2 * 127 * (2^bits - 1). */
INLINE dot_sums dot_add(dot_sums s, dot_weights w, dot_inputs x, size_t word, int bits)
{
#if defined(__wasm_relaxed_simd__)
    if (DOT_BYTES(bits)) {
        size_t fit = bits <= 4 ? 8 : bits == 5 ? 4 : 2;
        s.high = wasm_i16x8_add(s.high, wasm_i16x8_relaxed_dot_i8x16_i7x16(x, w.low));
        if ((word + 1) % fit != 0 && word != 3) return s;  /* 3: the last of a run of 16 */
        return (dot_sums) { i4_add(s.low, wasm_i32x4_extadd_pairwise_i16x8(s.high)), i4_splat(0) };
    }
#endif
    (void) word;
    (void) bits;
    return (dot_sums) {
        i4_add(s.low, wasm_i32x4_dot_i16x8(w.low, x)), i4_add(s.high, wasm_i32x4_dot_i16x8(w.high, x)),
    };
}

INLINE i4 dot_total(dot_sums s, int bits)
{
    if (DOT_BYTES(bits)) return s.low;
    return i4_add(wasm_i32x4_shuffle(s.low, s.high, 0, 2, 4, 6), wasm_i32x4_shuffle(s.low, s.high, 1, 3, 5, 7));
}

#else

typedef struct dot_weights { i4 bytes; } dot_weights;
typedef struct dot_sums { i4 sum; } dot_sums;
typedef const int16_t *dot_inputs;

#define DOT_BYTES(bits) 0

INLINE dot_sums dot_zero(void) { return (dot_sums) { i4_splat(0) }; }
INLINE dot_weights dot_widen(i4 bytes, int bits)
{
    (void) bits;
    return (dot_weights) { bytes };
}
INLINE dot_inputs dot_load(const dot_block *x, size_t i, int bits)
{
    (void) bits;
    return x->q + i;
}
INLINE dot_sums dot_add(dot_sums s, dot_weights w, dot_inputs x, size_t word, int bits)
{
    (void) word; (void) bits;
    int8_t bytes[16];
    memcpy(bytes, &w.bytes, sizeof bytes);
    for (int i = 0; i < 16; i++) s.sum[i / 4] += bytes[i] * x[i % 4];
    return s;
}
INLINE i4 dot_total(dot_sums s, int bits)
{
    (void) bits;
    return s.sum;
}

#endif
#endif
