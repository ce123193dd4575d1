/* weight.h: what a type of weights is; not exported.
 *
 * A type is given by its blocks: `block` inputs of one output, `bytes` bytes. Packed, the blocks of eight outputs lie
 * together, field by field (cmha.h), so that whatever is done to a field is done to eight outputs at once: every
 * decoder here is written once, for vectors, and serves whole matrices, single rows and files. */
#ifndef CMHA_WEIGHT_H
#define CMHA_WEIGHT_H

#include "cmha.h"
#include "dot.h"
#include "simd.h"

enum { HALF_FIELD = 2 * CMHA_PANEL, WORD_FIELD = 4 * CMHA_PANEL };

/* Bytes of a block of any type, at most, and its inputs. */
enum { MOST_BYTES = 210, MOST_BLOCK = 256 };

/* Every value is scale * (quant - zero) + offset: `run` inputs of an output share a scaling. */
typedef struct scaling { f4 scale, offset; } scaling;

/* Inputs whose weights are unpacked at a time, and the scalings that they have at most. */
enum { UNPACKED_INPUTS = 256, UNPACKED_RUNS = 16 };

typedef struct unpacked {
    dot_weights weights[UNPACKED_INPUTS / 4][2];
    scaling scales[UNPACKED_RUNS][2];
} unpacked;

/* Panels that a single row goes through side by side. */
enum { ROW_PANELS = 4 };

/* How products with quantized activations are made; run is 0 where they are not. */
typedef struct weight_dot {
    uint32_t run;
    int32_t zero;
    int offset, bits;       /* 8: quants are signed */
    /* y[8] = sums over `count` blocks for one row. */
    void (*row)(float *y, const uint8_t *blocks, const dot_block *x, size_t count);
    void (*unpack)(unpacked *u, const uint8_t *blocks, size_t count);
} weight_dot;

typedef struct weight_type {
    uint32_t block, bytes;
    /* 16-bit fields ahead of and behind the block's 32-bit words. */
    uint32_t head, tail;
    /* y[count * block][8] = the values of `count` packed blocks. */
    void (*panel)(float *y, const uint8_t *blocks, size_t count);
    /* y[ROW_PANELS][8] = the sums over j < k of x[j] times the weights of so many panels, in order; 0 if it could not.
     * NULL: it never can. */
    int (*row)(float *y, const uint8_t *panels, size_t panel_bytes, const float *x, size_t k);
    weight_dot dot;
} weight_type;

#define X(NAME, object, block, bytes, ggml) extern const weight_type weight_##object;
CMHA_WEIGHT_TYPES(X)
#undef X

/* The type of that number. */
const weight_type *weight_type_of(uint32_t type);

/* ------------------------------------------------------------------------------------ for the files of the types */

enum {
#define X(NAME, object, block, bytes, ggml) BLOCK_##NAME = block, BYTES_##NAME = bytes,
    CMHA_WEIGHT_TYPES(X)
#undef X
};

/* Fields of packed blocks, those of outputs 4 * half ... 4 * half + 3. */
INLINE f4 half_field(const uint8_t *p, size_t half)
{
    return f4_from_f16(i4_load_u16(p + half * HALF_FIELD / 2));
}
INLINE i4 word_field(const uint8_t *p, size_t half)
{
    return i4_load(p + half * WORD_FIELD / 2);
}

#ifdef __clang__
#define UNROLL _Pragma("clang loop unroll(full)")
#else
#define UNROLL
#endif

/* The same address, but not to the compiler: words that several runs share are loaded again rather than kept, because
 * there are no registers to keep them in. */
INLINE const uint8_t *hidden(const uint8_t *p)
{
#if defined(__wasm_simd128__)
    __asm__("" : "+r"(p));
#endif
    return p;
}

/* Byte i of every lane. */
INLINE i4 signed_byte(i4 a, uint32_t i)
{
    return i4_shr(i4_shl(a, 24 - 8 * i), 24);
}
INLINE i4 unsigned_byte(i4 a, uint32_t i)
{
    return i4_and(i4_shr_u(a, 8 * i), i4_constant(0xff));
}

/* How a run of inputs is scaled, and the quants of inputs 4 w ... 4 w + 3 as the bytes of a lane: signed, or below 64.
 */
typedef scaling scaling_of(const uint8_t *p, size_t run, size_t half);
typedef i4 quants_of(const uint8_t *p, size_t w, size_t half);

INLINE void decode_panel(float *y, const uint8_t *p, size_t count, size_t bytes, size_t block, size_t run, int zero,
    int offset, scaling_of *scale, quants_of *quants)
{
    for (; count > 0; count--, p += bytes * CMHA_PANEL) {
        for (size_t s = 0; s < block / run; s++, y += run * CMHA_PANEL) {
            for (size_t half = 0; half < 2; half++) {
                scaling a = scale(p, s, half);
                for (size_t w = 0; w < run / 4; w++) {
                    i4 q = quants(p, s * (run / 4) + w, half);
                    if (zero) q = b16_sub(q, i4_constant((uint32_t) zero * 0x01010101u));
                    for (uint32_t i = 0; i < 4; i++) {
                        f4 value = f4_mul(a.scale, i4_float(signed_byte(q, i)));
                        if (offset) value = f4_add(value, a.offset);
                        f4_store(y + (4 * w + i) * CMHA_PANEL + 4 * half, value);
                    }
                }
            }
        }
    }
}

/* What a run adds to a sum: d * sum of q * (scale * (quant - zero) + offset). */
INLINE f4 add_run(f4 sum, dot_sums products, scaling a, const dot_block *x, int32_t total, int32_t zero, int offset,
    int bits)
{
    i4 exact = dot_total(products, bits);
    if (zero) exact = i4_add(exact, i4_splat(-zero * total));
    sum = f4_madd(f4_mul(a.scale, f4_splat(x->d)), i4_float(exact), sum);
    return offset ? f4_madd(a.offset, f4_splat(x->d * (float) total), sum) : sum;
}

/* Of the activations of run s. */
INLINE int32_t run_total(const dot_block *x, size_t run, size_t s)
{
    return run == CMHA_INT8_INPUTS ? x->sum[0] + x->sum[1] : x->sum[s % 2];
}

INLINE void dot_row(float *y, const uint8_t *p, const dot_block *x, size_t count, size_t bytes, size_t block,
    size_t run, size_t period, int zero, int offset, int bits, scaling_of *scale, quants_of *quants)
{
    f4 sum[2] = { f4_splat(0.0f), f4_splat(0.0f) };
    for (; count > 0; count--, p += bytes * CMHA_PANEL, x += block / CMHA_INT8_INPUTS) {
        scaling scales[UNPACKED_RUNS][2];
        for (size_t half = 0; half < 2; half++) {
            UNROLL
            for (size_t s = 0; s < block / run; s++) scales[s][half] = scale(p, s, half);
        }
        for (size_t from = 0; from < block / run; from += period) UNROLL for (size_t s = from; s < from + period; s++) {
            const uint8_t *words = hidden(p);
            const dot_block *in = x + s * run / CMHA_INT8_INPUTS;
            dot_sums products[2] = { dot_zero(), dot_zero() };
            UNROLL
            for (size_t w = 0; w < run / 4; w++) {
                dot_inputs inputs = dot_load(in, s * run % CMHA_INT8_INPUTS + 4 * w, bits);
                for (size_t half = 0; half < 2; half++) {
                    dot_weights weights = dot_widen(quants(words, s * (run / 4) + w, half), bits);
                    products[half] = dot_add(products[half], weights, inputs, w, bits);
                }
            }
            int32_t total = run_total(in, run, s);
            for (size_t half = 0; half < 2; half++) {
                sum[half] = add_run(sum[half], products[half], scales[s][half], in, total, zero, offset, bits);
            }
        }
    }
    f4_store(y, sum[0]);
    f4_store(y + 4, sum[1]);
}

INLINE void unpack_panel(unpacked *u, const uint8_t *p, size_t count, size_t bytes, size_t block, size_t run,
    int bits, scaling_of *scale, quants_of *quants)
{
    for (size_t i = 0; i < count; i++, p += bytes * CMHA_PANEL) {
        for (size_t half = 0; half < 2; half++) {
            for (size_t s = 0; s < block / run; s++) u->scales[i * (block / run) + s][half] = scale(p, s, half);
            for (size_t w = 0; w < block / 4; w++) {
                u->weights[i * (block / 4) + w][half] = dot_widen(quants(p, w, half), bits);
            }
        }
    }
}

/* A type whose values are made of quants: `run` inputs share a scaling, `zero` is taken off their quants, `offset` says
 * whether something is added at the end, quants have `bits` (weight_dot). `period` runs are unrolled where that makes
 * constants of shifts and pays: not for runs of 16, whose code then is too much for V8. */
#define WEIGHT_TYPE(NAME, object, head, tail, run, period, zero, offset, bits, scale, quants) \
    static void panel_##object(float *y, const uint8_t *p, size_t count) \
    { \
        decode_panel(y, p, count, BYTES_##NAME, BLOCK_##NAME, run, zero, offset, scale, quants); \
    } \
    static void row_##object(float *y, const uint8_t *p, const dot_block *x, size_t count) \
    { \
        dot_row(y, p, x, count, BYTES_##NAME, BLOCK_##NAME, run, period, zero, offset, bits, scale, quants); \
    } \
    static void unpack_##object(unpacked *u, const uint8_t *p, size_t count) \
    { \
        unpack_panel(u, p, count, BYTES_##NAME, BLOCK_##NAME, run, bits, scale, quants); \
    } \
    const weight_type weight_##object = { \
        BLOCK_##NAME, BYTES_##NAME, head, tail, panel_##object, NULL, \
        { run, zero, offset, bits, row_##object, unpack_##object }, \
    };

#endif
