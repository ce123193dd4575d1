/* dot.h: products of small integers, four inputs of four outputs at a time; not exported.
 *
 * Activations are rounded to signed bytes in blocks of 32 (quantize.c), weights are bytes already. All sums are exact, so
 * that builds, engines and orders agree. The relaxed build multiplies bytes by an instruction whose second operand must have
 * no more than seven bits, or engines differ: that is the weights where these are unsigned and below 64, else the sizes of
 * the activations, whose signs go to the weights. w ^ -1 = -w - 1, so what is missing then is one for every activation
 * below zero, times its size: `negative`. */
#ifndef CMHA_DOT_H
#define CMHA_DOT_H

#include "cmha.h"
#include "simd.h"

#if defined(__wasm_relaxed_simd__)
typedef int8_t dot_input;
#else
typedef int16_t dot_input;
#endif

/* 32 activations d * q. */
typedef struct dot_block {
    float d;
    int32_t sum[2];     /* of each half of q */
    int32_t negative;   /* of the sizes of those below zero */
    dot_input q[CMHA_INT8_INPUTS];
} dot_block;

_Static_assert(sizeof(dot_block) <= CMHA_INT8_BYTES, "cmha.h tells how much room a block takes");

#if defined(__wasm_relaxed_simd__)

typedef struct dot_weights { i4 bytes; } dot_weights;
typedef struct dot_inputs { i4 bytes, below; } dot_inputs;
typedef struct dot_sums { i4 sum; } dot_sums;

INLINE dot_weights dot_widen(i4 bytes) { return (dot_weights) { bytes }; }
INLINE dot_inputs dot_load(const dot_input *q, int signed_weights)
{
    i4 bytes = wasm_v128_load32_splat(q);
    if (!signed_weights) return (dot_inputs) { .bytes = bytes };
    return (dot_inputs) { wasm_i8x16_abs(bytes), wasm_i8x16_lt(bytes, wasm_i8x16_splat(0)) };
}
INLINE dot_sums dot_zero(void) { return (dot_sums) { i4_splat(0) }; }
INLINE dot_sums dot_add(dot_sums s, dot_weights w, dot_inputs x, int signed_weights)
{
    if (!signed_weights) return (dot_sums) { wasm_i32x4_relaxed_dot_i8x16_i7x16_add(x.bytes, w.bytes, s.sum) };
    return (dot_sums) { wasm_i32x4_relaxed_dot_i8x16_i7x16_add(wasm_v128_xor(w.bytes, x.below), x.bytes, s.sum) };
}
INLINE i4 dot_total(dot_sums s, const dot_block *x, int signed_weights)
{
    return signed_weights ? i4_add(s.sum, i4_splat(x->negative)) : s.sum;
}

#elif defined(__wasm_simd128__) || defined(CMHA_SIMDE)

/* Sums of pairs, of outputs 0 and 1 and of outputs 2 and 3. */
typedef struct dot_weights { i4 low, high; } dot_weights;
typedef struct dot_inputs { i4 words; } dot_inputs;
typedef struct dot_sums { i4 low, high; } dot_sums;

INLINE dot_weights dot_widen(i4 bytes)
{
    return (dot_weights) { wasm_i16x8_extend_low_i8x16(bytes), wasm_i16x8_extend_high_i8x16(bytes) };
}
INLINE dot_inputs dot_load(const dot_input *q, int signed_weights)
{
    (void) signed_weights;
    return (dot_inputs) { wasm_v128_load64_splat(q) };
}
INLINE dot_sums dot_zero(void) { return (dot_sums) { i4_splat(0), i4_splat(0) }; }
INLINE dot_sums dot_add(dot_sums s, dot_weights w, dot_inputs x, int signed_weights)
{
    (void) signed_weights;
    return (dot_sums) {
        i4_add(s.low, wasm_i32x4_dot_i16x8(w.low, x.words)), i4_add(s.high, wasm_i32x4_dot_i16x8(w.high, x.words)),
    };
}
INLINE i4 dot_total(dot_sums s, const dot_block *x, int signed_weights)
{
    (void) x; (void) signed_weights;
    return i4_add(wasm_i32x4_shuffle(s.low, s.high, 0, 2, 4, 6), wasm_i32x4_shuffle(s.low, s.high, 1, 3, 5, 7));
}

#else

typedef struct dot_weights { i4 bytes; } dot_weights;
typedef struct dot_inputs { const dot_input *q; } dot_inputs;
typedef struct dot_sums { i4 sum; } dot_sums;

INLINE dot_weights dot_widen(i4 bytes) { return (dot_weights) { bytes }; }
INLINE dot_inputs dot_load(const dot_input *q, int signed_weights)
{
    (void) signed_weights;
    return (dot_inputs) { q };
}
INLINE dot_sums dot_zero(void) { return (dot_sums) { i4_splat(0) }; }
INLINE dot_sums dot_add(dot_sums s, dot_weights w, dot_inputs x, int signed_weights)
{
    (void) signed_weights;
    int8_t bytes[16];
    memcpy(bytes, &w.bytes, sizeof bytes);
    for (int i = 0; i < 16; i++) s.sum[i / 4] += bytes[i] * x.q[i % 4];
    return s;
}
INLINE i4 dot_total(dot_sums s, const dot_block *x, int signed_weights)
{
    (void) x; (void) signed_weights;
    return s.sum;
}

#endif
#endif
