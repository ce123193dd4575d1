/* dot.h: products of small integers, four inputs of four outputs at a time; not exported.
 *
 * Activations are rounded to signed bytes in blocks of 32 (quantize.c), weights are bytes already: signed (bits 8), or
 * unsigned with so many bits, six at most. All sums are exact, so that builds, engines and orders agree.
 *
 * Three ways. Signed weights are widened to 16 bits beside 16-bit activations, of which an instruction multiplies and adds
 * pairs: sums lie in two vectors, two for each output. Of unsigned weights, which have six bits at most, the relaxed
 * build multiplies bytes and adds pairs: that instruction says what it gives only if its second operand has no more than
 * seven bits. The other build takes the even and the odd inputs of four by themselves, which are 16-bit numbers by a
 * shift; the activations lie turned for that. */
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
#else
    int16_t turned[CMHA_INT8_INPUTS];   /* of every four the first, the third, the second, the fourth */
#endif
} dot_block;

_Static_assert(sizeof(dot_block) <= CMHA_INT8_BYTES, "cmha.h tells how much room a block takes");

/* The same number i of a block wherever it stands. */
INLINE void dot_set(dot_block *x, size_t i, int16_t q)
{
    x->q[i] = q;
#if defined(__wasm_relaxed_simd__)
    x->bytes[i] = (int8_t) q;
#else
    x->turned[i - i % 4 + (i % 2 * 2 | i % 4 / 2)] = q;
#endif
}

/* Words of unsigned weights whose products may be summed before dot_total: what 16 bits hold of four-bit weights. */
enum { DOT_WORDS = 8 };

#if defined(__wasm_simd128__) || defined(CMHA_SIMDE)

/* Four inputs of four outputs. Signed: outputs 0 and 1, outputs 2 and 3. Unsigned, relaxed: bytes, in `low`; otherwise
 * even inputs, odd inputs. */
typedef struct dot_weights { i4 low, high; } dot_weights;
typedef struct dot_sums { i4 low, high; } dot_sums;
typedef struct dot_inputs { i4 first, second; } dot_inputs;

INLINE dot_sums dot_zero(void) { return (dot_sums) { i4_splat(0), i4_splat(0) }; }

INLINE dot_weights dot_unsigned(i4 bytes)
{
#if defined(__wasm_relaxed_simd__)
    return (dot_weights) { .low = bytes };
#else
    return (dot_weights) { wasm_u16x8_shr(wasm_i16x8_shl(bytes, 8), 8), wasm_u16x8_shr(bytes, 8) };
#endif
}

INLINE dot_weights dot_signed(i4 bytes)
{
    return (dot_weights) { wasm_i16x8_extend_low_i8x16(bytes), wasm_i16x8_extend_high_i8x16(bytes) };
}

/* The same of bytes in memory. */
INLINE dot_weights dot_signed_at(const uint8_t *p)
{
    return (dot_weights) { wasm_i16x8_load8x8(p), wasm_i16x8_load8x8(p + 8) };
}

/* Inputs i ... i + 3 of a block. */
INLINE dot_inputs dot_load(const dot_block *x, size_t i, int bits)
{
    if (bits == 8) return (dot_inputs) { .first = wasm_v128_load64_splat(x->q + i) };
#if defined(__wasm_relaxed_simd__)
    return (dot_inputs) { .first = wasm_v128_load32_splat(x->bytes + i) };
#else
    return (dot_inputs) { wasm_v128_load32_splat(x->turned + i), wasm_v128_load32_splat(x->turned + i + 2) };
#endif
}

INLINE dot_sums dot_add_word(dot_sums s, dot_weights w, dot_inputs x, int bits)
{
    if (bits == 8) {
        return (dot_sums) {
            i4_add(s.low, wasm_i32x4_dot_i16x8(w.low, x.first)), i4_add(s.high, wasm_i32x4_dot_i16x8(w.high, x.first)),
        };
    }
#if defined(__wasm_relaxed_simd__)
    s.low = wasm_i16x8_add_sat(s.low, wasm_i16x8_relaxed_dot_i8x16_i7x16(x.first, w.low));
#else
    s.low = i4_add(i4_add(s.low, wasm_i32x4_dot_i16x8(w.low, x.first)), wasm_i32x4_dot_i16x8(w.high, x.second));
#endif
    return s;
}

/* The products of two words. A pair is at most 2 * 127 * (2^bits - 1): of four bits eight words fit in 16, of six two.
 * Additions that saturate, which they never do here, are ones that the compiler leaves in their order. */
INLINE dot_sums dot_add(dot_sums s, dot_weights w0, dot_inputs x0, dot_weights w1, dot_inputs x1, int bits)
{
#if defined(__wasm_relaxed_simd__)
    if (bits > 4 && bits < 8) {
        dot_sums two = { .low = wasm_i16x8_relaxed_dot_i8x16_i7x16(x0.first, w0.low) };
        s.low = i4_add(s.low, wasm_i32x4_extadd_pairwise_i16x8(dot_add_word(two, w1, x1, bits).low));
        return s;
    }
#endif
    return dot_add_word(dot_add_word(s, w0, x0, bits), w1, x1, bits);
}

INLINE i4 dot_total(dot_sums s, int bits)
{
    if (bits == 8) {
        return i4_add(wasm_i32x4_shuffle(s.low, s.high, 0, 2, 4, 6), wasm_i32x4_shuffle(s.low, s.high, 1, 3, 5, 7));
    }
#if defined(__wasm_relaxed_simd__)
    if (bits <= 4) return wasm_i32x4_extadd_pairwise_i16x8(s.low);
#endif
    return s.low;
}

/* The weights of input i < 4, of four outputs. */
INLINE i4 dot_weight(dot_weights w, size_t i, int bits)
{
    if (bits == 8) {
        /* Input i to the lowest place of each output's four. */
        i4 low = wasm_u64x2_shr(w.low, 16 * i), high = wasm_u64x2_shr(w.high, 16 * i);
        return i4_shr(i4_shl(wasm_i32x4_shuffle(low, high, 0, 2, 4, 6), 16), 16);
    }
#if defined(__wasm_relaxed_simd__)
    return i4_and(i4_shr_u(w.low, 8 * (uint32_t) i), i4_splat(0xff));
#else
    return i4_and(i4_shr_u(i % 2 ? w.high : w.low, 16 * (uint32_t) (i / 2)), i4_splat(0xff));
#endif
}

#else

typedef struct dot_weights { i4 bytes; } dot_weights;
typedef struct dot_sums { i4 sum; } dot_sums;
typedef const int16_t *dot_inputs;

INLINE dot_sums dot_zero(void) { return (dot_sums) { i4_splat(0) }; }
INLINE dot_weights dot_unsigned(i4 bytes) { return (dot_weights) { bytes }; }
INLINE dot_weights dot_signed(i4 bytes) { return (dot_weights) { bytes }; }
INLINE dot_weights dot_signed_at(const uint8_t *p) { return (dot_weights) { i4_load(p) }; }
INLINE dot_inputs dot_load(const dot_block *x, size_t i, int bits)
{
    (void) bits;
    return x->q + i;
}
INLINE dot_sums dot_add(dot_sums s, dot_weights w0, dot_inputs x0, dot_weights w1, dot_inputs x1, int bits)
{
    (void) bits;
    int8_t bytes[2][16];
    memcpy(bytes[0], &w0.bytes, sizeof bytes[0]);
    memcpy(bytes[1], &w1.bytes, sizeof bytes[1]);
    for (int i = 0; i < 16; i++) s.sum[i / 4] += bytes[0][i] * x0[i % 4] + bytes[1][i] * x1[i % 4];
    return s;
}
INLINE i4 dot_total(dot_sums s, int bits)
{
    (void) bits;
    return s.sum;
}
INLINE i4 dot_weight(dot_weights w, size_t i, int bits)
{
    (void) bits;
    return i4_shr(i4_shl(w.bytes, 24 - 8 * (uint32_t) i), 24);
}

#endif
#endif
