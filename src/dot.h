/* dot.h: products of small integers, four inputs of four outputs at a time; not exported.
 *
 * Activations are rounded to signed bytes in blocks of 32 (quantize.c), weights are bytes already: signed (bits 8), or
 * unsigned with so many bits, six at most. All sums are exact, so that builds, engines and orders agree.
 *
 * Of unsigned weights the relaxed build multiplies bytes and adds pairs: that instruction says what it gives only if its
 * second operand has no more than seven bits. Otherwise two bytes of weights are a number of 16 bits, e + 256 o, of which an
 * instruction multiplies and adds pairs. With activations a and b, e a + o b = (e + 256 o) a + o (b - 256 a): a shift gives
 * o, and nothing has to give e. For that e is not negative: of signed weights every other byte lies above its own by 128
 * (DOT_LIFT). Either way two vectors of weights meet eight bytes of activations at a time, which is a step. */
#ifndef CMHA_DOT_H
#define CMHA_DOT_H

#include "cmha.h"
#include "simd.h"

/* The head of a block: 32 activations d * q. */
typedef struct dot_block {
    float d;
    int32_t lift;           /* takes off what DOT_LIFT adds to a sum of products */
} dot_block;

/* A block in the two forms that products read: dot_plain for unsigned weights, dot_lifted for signed ones. A row is all its blocks
 * in one form and then all in the other, so that what is read lies together and nothing else fills the nearest cache.
 *   sum     d times the sum of all q, of the first 16, and of the last
 *   pairs   of the same three, the sum of the first two and that of the last two of every four q
 *   turned  every four q as 0, 2, 1 - 256 times 0, 3 - 256 times 2 */
#if defined(__wasm_relaxed_simd__)
typedef struct dot_plain {
    dot_block block;
    float sum[3];
    int16_t pairs[3][2];
    int8_t bytes[CMHA_INT8_INPUTS];
} dot_plain;
typedef struct dot_lifted {
    dot_block block;
    int16_t turned[CMHA_INT8_INPUTS];
} dot_lifted;
enum { DOT_ROW_BYTES = sizeof(dot_plain) + sizeof(dot_lifted) };
#else
typedef struct dot_plain {
    dot_block block;
    float sum[3];
    int16_t pairs[3][2];
    int16_t turned[CMHA_INT8_INPUTS];
} dot_plain, dot_lifted;
enum { DOT_ROW_BYTES = sizeof(dot_plain) };
#endif

_Static_assert((int) DOT_ROW_BYTES <= (int) CMHA_INT8_BYTES, "cmha.h tells how much room a block takes");

/* Inputs i ... i + 15 of a block, 16-bit numbers. */
INLINE void dot_set(dot_plain *plain, dot_lifted *lifted, size_t i, i4 low, i4 high)
{
    i4_store(lifted->turned + i, h8_swap_middle(h8_sub(low, i4_shl(low, 24))));
    i4_store(lifted->turned + i + 8, h8_swap_middle(h8_sub(high, i4_shl(high, 24))));
#if defined(__wasm_relaxed_simd__)
    i4_store(plain->bytes + i, wasm_i8x16_narrow_i16x8(low, high));
#else
    (void) plain;
#endif
}

/* Sums of products of a run, until dot_total. */
typedef i4 dot_sums;

/* In place of bits: an instruction that adds four products of bytes to a sum. */
enum { DOT_FOUR = 32 };

/* Whether weights are multiplied as the bytes that they are. */
INLINE int dot_bytes(int bits)
{
#if defined(__wasm_relaxed_simd__)
    return bits != 8;
#else
    (void) bits;
    return 0;
#endif
}

/* What that instruction takes weights of eight bits for, as the engine chose for good: signed numbers or unsigned ones. Both
 * are exact, which says too that it is the processor's own. Where it is made of others it may saturate: 0. */
enum { DOT_SIGNED = 1, DOT_UNSIGNED = 2 };

INLINE int dot_four(void)
{
#if defined(__wasm_relaxed_simd__)
    i4 sum = wasm_i32x4_relaxed_dot_i8x16_i7x16_add(i4_constant(0x7f7f7f7f), i4_constant(0xffffffff), i4_splat(0));
    int32_t got = wasm_i32x4_extract_lane(sum, 0);
    return got == -4 * 127 ? DOT_SIGNED : got == 4 * 127 * 255 ? DOT_UNSIGNED : 0;
#else
    return 0;
#endif
}

/* The first block of row r, of `blocks` each, as weights of so many bits want it; and the n-th from there. */
INLINE const dot_block *dot_at(const dot_block *x, size_t n, int bits)
{
    return (const void *) ((const char *) x + n * (dot_bytes(bits) ? sizeof(dot_plain) : sizeof(dot_lifted)));
}
INLINE const dot_block *dot_row(const void *quantized, size_t blocks, size_t r, int bits)
{
    const char *row = (const char *) quantized + r * blocks * DOT_ROW_BYTES;
    return (const void *) (dot_bytes(bits) ? row : row + blocks * (DOT_ROW_BYTES - sizeof(dot_lifted)));
}

/* Bits of a word of four signed weights that are turned over for them to be what products want: all of them unsigned, signed
 * as they are, or every other one above its own by 128. */
#define DOT_LIFT 0x00800080u
INLINE uint32_t dot_lift(void)
{
    int four = dot_four();
    return four == DOT_UNSIGNED ? 0x80808080u : four == DOT_SIGNED ? 0 : DOT_LIFT;
}

/* Inputs i ... of a block, for a step. */
INLINE const uint8_t *dot_input(const dot_block *x, size_t i, int bits)
{
#if defined(__wasm_relaxed_simd__)
    if (dot_bytes(bits)) return (const uint8_t *) ((const dot_plain *) (const void *) x)->bytes + i;
#else
    (void) bits;
#endif
    return (const uint8_t *) (((const dot_lifted *) (const void *) x)->turned + i);
}

/* d times the sum of a part of a block's q. */
INLINE f4 dot_sum(const dot_block *x, size_t part)
{
    return f4_load_splat(&((const dot_plain *) (const void *) x)->sum[part]);
}

/* What sums begin with: -zero times the activations of a part, where weights lie above theirs by that much. In 16 bits they
 * may wrap on the way, as what they come to is small again. Of signed weights a part is all of the block. */
INLINE dot_sums dot_begin(const dot_block *x, size_t part, int zero, int bits)
{
    if (bits == 8) return i4_load_splat(&x->lift);
    i4 pairs = i4_load_splat(((const dot_plain *) (const void *) x)->pairs[part]), factor = h8_splat((int16_t) -zero);
#if defined(__wasm_relaxed_simd__)
    if (bits <= 4) return h8_mul(pairs, factor);
#endif
    return h8_dot(pairs, factor);
}

/* A step of two words of bytes, of which a pair of products is at most 2 * 127 * (2^bits - 1): of four bits eight words fit
 * in 16, of six two. Or of one word and its odd inputs. */
INLINE dot_sums dot_step(dot_sums s, i4 w0, i4 x0, i4 w1, i4 x1, int bits)
{
#if defined(__wasm_relaxed_simd__)
    if (bits == DOT_FOUR) {
        return wasm_i32x4_relaxed_dot_i8x16_i7x16_add(x1, w1, wasm_i32x4_relaxed_dot_i8x16_i7x16_add(x0, w0, s));
    }
    if (dot_bytes(bits)) {
        i4 p0 = wasm_i16x8_relaxed_dot_i8x16_i7x16(x0, w0), p1 = wasm_i16x8_relaxed_dot_i8x16_i7x16(x1, w1);
        return bits <= 4 ? wasm_i16x8_add(wasm_i16x8_add(s, p0), p1)
            : i4_add(s, wasm_i32x4_extadd_pairwise_i16x8(wasm_i16x8_add(p0, p1)));
    }
#else
    (void) bits;
#endif
    return i4_add(i4_add(s, h8_dot(w0, x0)), h8_dot(w1, x1));
}

/* The odd inputs of a word. */
INLINE i4 dot_odd(i4 word, int bits) { return bits == 8 ? h8_shr(word, 8) : h8_shr_u(word, 8); }

/* The products of two words with the inputs at x0 and x1. */
INLINE dot_sums dot_two(dot_sums s, i4 w0, const uint8_t *x0, i4 w1, const uint8_t *x1, int bits)
{
    if (dot_bytes(bits)) return dot_step(s, w0, i4_load_splat(x0), w1, i4_load_splat(x1), bits);
    s = dot_step(s, w0, i4_load_splat(x0), dot_odd(w0, bits), i4_load_splat(x0 + 4), bits);
    return dot_step(s, w1, i4_load_splat(x1), dot_odd(w1, bits), i4_load_splat(x1 + 4), bits);
}

INLINE i4 dot_total(dot_sums s, int bits)
{
#if defined(__wasm_relaxed_simd__)
    if (bits <= 4) return wasm_i32x4_extadd_pairwise_i16x8(s);
#else
    (void) bits;
#endif
    return s;
}

#endif
