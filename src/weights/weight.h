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

/* Inputs whose weights are unpacked at a time, and the runs that they have at most. */
enum { UNPACKED_INPUTS = 256, UNPACKED_RUNS = 16 };

/* Every value is scale * (quant - zero) + offset: `run` inputs of an output share both. A type without offsets leaves
 * them as they are. */
typedef struct scalings { f4 scale[UNPACKED_RUNS][2], offset[UNPACKED_RUNS][2]; } scalings;

/* Words of four inputs of eight outputs, run after run: in `room`, or those of signed types where they are packed. */
typedef struct unpacked {
    i4 room[UNPACKED_INPUTS / 4][2];
    scalings scales;
    const uint8_t *words;   /* of signed types */
    size_t run_bytes;       /*   from run to run */
} unpacked;

/* Panels that a single row goes through side by side. */
enum { ROW_PANELS = 4 };

/* How products with quantized activations are made; run is 0 where they are not. */
typedef struct weight_dot {
    uint32_t run;
    int natural;            /* runs are added as they come, half layers too (run_order in linear.c) */
    int32_t zero;
    int offset, bits;       /* 8: quants are signed, and lifted by DOT_LIFT where they are unpacked */
    /* y[panels][8] = sums over `count` blocks for one row. */
    void (*row)(float *y, const uint8_t *blocks, size_t panels, const dot_block *x, size_t count);
    void (*unpack)(unpacked *u, const uint8_t *blocks, size_t count);
} weight_dot;

typedef struct weight_type {
    uint32_t block, bytes;
    /* 16-bit fields ahead of and behind the block's 32-bit words. */
    uint32_t head, tail;
    uint32_t lift;  /* bits that packing turns over in every word */
    /* to[bytes] = a block as it is packed, where that is another order; or NULL */
    void (*arrange)(uint8_t *to, const uint8_t *block);
    /* y[count * block][8] = the values of `count` packed blocks; NULL: what `dot` unpacks tells them (weight_panel). */
    void (*panel)(float *y, const uint8_t *blocks, size_t count);
    /* y[ROW_PANELS][8] = the sums over j < k of x[j] times the weights of so many panels, in order. NULL: tiles do. */
    void (*row)(float *y, const uint8_t *panels, size_t panel_bytes, const float *x, size_t k);
    weight_dot dot;
} weight_type;

#define X(NAME, object, block, bytes, ggml) extern const weight_type weight_##object;
CMHA_WEIGHT_TYPES(X)
#undef X

/* The type of that number. */
const weight_type *weight_type_of(uint32_t type);

/* y[count * block][8] = the values of `count` packed blocks. */
void weight_panel(const weight_type *t, float *y, const uint8_t *blocks, size_t count);

/* ------------------------------------------------------------------------------------ for the files of the types */

enum {
#define X(NAME, object, block, bytes, ggml) BLOCK_##NAME = block, BYTES_##NAME = bytes,
    CMHA_WEIGHT_TYPES(X)
#undef X
};

/* Fields of packed blocks: the halves of all eight outputs, the words of outputs 4 * half ... 4 * half + 3. */
INLINE void half_field(f4 to[2], const uint8_t *p)
{
    f8_from_f16(to, i4_load(p));
}
INLINE i4 word_field(const uint8_t *p, size_t half)
{
    return i4_load(p + half * WORD_FIELD / 2);
}

#ifdef __clang__
#define UNROLL _Pragma("clang loop unroll(full)")
#define ROLLED _Pragma("clang loop unroll(disable)")
#else
#define UNROLL
#define ROLLED
#endif

/* Byte i of every lane. */
INLINE i4 signed_byte(i4 a, uint32_t i)
{
    return i4_shr(i4_shl(a, 24 - 8 * i), 24);
}
INLINE i4 unsigned_byte(i4 a, uint32_t i)
{
    return i == 3 ? i4_shr_u(a, 24) : i4_and(i4_shr_u(a, 8 * i), i4_constant(0xff));
}

/* How the runs of a block are scaled, which become runs `first` ...: all of them at a time, for what they share. What takes
 * a while anyway is OUTLINE. */
typedef void scalings_of(scalings *to, size_t first, const uint8_t *p);

/* A single run, whose scale comes first. Whatever is stored comes last, here and elsewhere: past a store constants are read
 * again. */
INLINE void scale_by_d(scalings *to, size_t first, const uint8_t *p)
{
    f4 d[2];
    half_field(d, p);
    for (size_t half = 0; half < 2; half++) to->scale[first][half] = d[half];
}

/* Four runs from byte 0 to 3 of `bytes`, one after the other: d times that byte, a signed one. What the compiler sees to be
 * positive it would convert as an unsigned number, in nine instructions of the engine's. */
INLINE void scale_four(f4 (*to)[2], size_t half, f4 d, i4 bytes)
{
    for (uint32_t i = 0; i < 4; i++) to[i][half] = f4_mul(d, i4_float(signed_byte(bytes, i)));
}

/* Where a word of four inputs stands: word i of layer j of a chunk (see WEIGHT_TYPE). */
typedef struct word_place {
    const uint8_t *block, *at;  /* the packed blocks, and i words further */
    size_t chunk, i;
} word_place;

/* Four inputs of four outputs. */
typedef i4 quants_of(word_place where, size_t j, size_t half);

/* The words of run s. By way of a pointer it costs a tenth of the speed of products, so only those do that have to. */
INLINE const uint8_t *words_of(const unpacked *u, size_t run, size_t s, int bits)
{
    return bits >= 8 ? u->words + s * u->run_bytes : (const uint8_t *) u->room[s * run / 4];
}

/* Which sums of a block of activations are those of run s (dot_block). */
INLINE size_t run_part(size_t run, size_t s)
{
    return run == CMHA_INT8_INPUTS ? 0 : 1 + s % 2;
}

/* What a run adds to a sum: d * sum of q * (scale * (quant - zero) + offset). */
INLINE f4 add_run(f4 sum, dot_sums products, f4 scale, f4 offset, f4 d, f4 total, int offsets, int bits)
{
    sum = f4_madd(f4_mul(scale, d), i4_float(dot_total(products, bits)), sum);
    return offsets ? f4_madd(offset, f4_mul(d, total), sum) : sum;
}

/* Words of a run that lie in a row. */
INLINE size_t run_words(size_t run, size_t span)
{
    return run / 4 < span ? run / 4 : span;
}

/* Words i of all layers, from here on, until the i that is `end`; products[j][half - half0], those of layer j or of all. */
INLINE void dot_words(dot_sums products[4][2], word_place at, size_t end, const dot_block *x, size_t span, size_t layers,
    size_t runs, size_t half0, size_t half1, int bits, quants_of *quants)
{
    /* A length that the compiler does not know: it would unroll the loop all the same. */
    if (runs < layers) __asm__("" : "+r"(end));
    ROLLED
    while (at.i < end) {
        if (runs < layers) {        /* two layers make a run */
            const uint8_t *x0 = dot_input(x, 4 * at.i, bits), *x1 = dot_input(x, 4 * (span + at.i), bits);
            for (size_t half = half0; half < half1; half++) {
                dot_sums *sum = &products[0][half - half0];
                *sum = dot_two(*sum, quants(at, 0, half), x0, quants(at, 1, half), x1, bits);
            }
            at.i++;
            at.at += WORD_FIELD;
            continue;
        }
        word_place next = { at.block, at.at + WORD_FIELD, at.chunk, at.i + 1 };
        UNROLL
        for (size_t j = 0; j < layers; j++) {
            const dot_block *row = x + j * span / DOT_WORDS;
            const uint8_t *x0 = dot_input(row, 4 * at.i, bits), *x1 = dot_input(row, 4 * next.i, bits);
            for (size_t half = half0; half < half1; half++) {
                dot_sums *sum = &products[j][half - half0];
                *sum = dot_two(*sum, quants(at, j, half), x0, quants(next, j, half), x1, bits);
            }
        }
        at.i += 2;
        at.at += 2 * WORD_FIELD;
    }
}

/* Loops over words stay loops: unrolled, the compiler and the engine between them put all words of one half ahead of the
 * other half's and run out of registers. They also do with four layers of both halves, which then take turns. */
INLINE void dot_row(float *y, const uint8_t *p, const dot_block *x, size_t count, size_t bytes, size_t block,
    size_t run, size_t span, size_t layers, int zero, int offset, int bits, scalings_of *scale, quants_of *quants)
{
    const size_t words = run_words(run, span), runs = run / 4 == span * layers ? 1 : layers, halves = layers > 2 ? 1 : 2;
    f4 sum[2] = { f4_splat(0.0f), f4_splat(0.0f) };
    for (; count > 0; count--, p += bytes * CMHA_PANEL) {
        scalings scales;
        scale(&scales, 0, p);
        ROLLED
        for (size_t chunk = 0; chunk < block / (4 * span * layers); chunk++, x += span * layers / DOT_WORDS) {
            ROLLED
            for (size_t from = 0; from < span; from += words) {
                word_place at = { p, p + from * WORD_FIELD, chunk, from };
                UNROLL
                for (size_t half0 = 0; half0 < 2; half0 += halves) {
                    dot_sums products[4][2];
                    for (size_t j = 0; j < runs; j++) {
                        const dot_block *in = x + j * span / DOT_WORDS;
                        products[j][0] = products[j][1] = zero || bits == 8 ? dot_begin(in, run_part(run, from / words), zero, bits) : i4_splat(0);
                    }
                    dot_words(products, at, from + words, x, span, layers, runs, half0, half0 + halves, bits, quants);
                    UNROLL
                    for (size_t j = 0; j < runs; j++) {
                        size_t s = (chunk * runs + j) * (span / words) + from / words;
                        const dot_block *in = x + j * span / DOT_WORDS;
                        f4 d = f4_load_splat(&in->d), total = f4_load_splat(&in->sum[run_part(run, from / words)]);
                        for (size_t half = half0; half < half0 + halves; half++) {
                            sum[half] = add_run(sum[half], products[j][half - half0], scales.scale[s][half], scales.offset[s][half],
                                d, total, offset, bits);
                        }
                    }
                }
            }
        }
    }
    f4_store(y, sum[0]);
    f4_store(y + 4, sum[1]);
}

INLINE void unpack_panel(unpacked *u, const uint8_t *p, size_t count, size_t bytes, size_t block, size_t run,
    size_t span, size_t layers, scalings_of *scale, quants_of *quants)
{
    i4 (*to)[2] = u->room;
    u->words = (const uint8_t *) to;
    u->run_bytes = run / 4 * WORD_FIELD;
    ROLLED
    for (size_t first = 0; count > 0; count--, p += bytes * CMHA_PANEL, first += block / run) {
        scale(&u->scales, first, p);
        ROLLED
        for (size_t chunk = 0; chunk < block / (4 * span * layers); chunk++, to += span * layers) {
            word_place where = { p, p, chunk, 0 };
            ROLLED
            for (; where.i < span; where.i++, where.at += WORD_FIELD) {
                i4 all[4][2];
                for (size_t j = 0; j < 2 * layers; j++) all[j / 2][j % 2] = quants(where, j / 2, j % 2);
                for (size_t j = 0; j < 2 * layers; j++) to[j / 2 * span + where.i][j % 2] = all[j / 2][j % 2];
            }
        }
    }
}

/* A type whose values are made of quants: `run` inputs share a scaling, `zero` is taken off their quants, `offset` says
 * whether something is added at the end, quants have `bits` (weight_dot). A block is made of chunks of `layers` times `span`
 * words of four inputs, one layer after the other; words i of all layers of a chunk share what is loaded. A run is a
 * chunk, a layer, or half a layer. */
#define WEIGHT_TYPE(NAME, object, head, tail, run, span, layers, zero, offset, bits, scale, quants) \
    static void unpack_##object(unpacked *u, const uint8_t *p, size_t count) \
    { \
        unpack_panel(u, p, count, BYTES_##NAME, BLOCK_##NAME, run, span, layers, scale, quants); \
    } \
    WEIGHT_TYPE_UNPACKED(NAME, object, head, tail, 0, run, span, layers, zero, offset, bits, scale, quants)

/* The same for one that unpacks by a function of its own. */
#define WEIGHT_TYPE_UNPACKED(NAME, object, head, tail, lift, run, span, layers, zero, offset, bits, scale, quants) \
    static void row_##object(float *y, const uint8_t *p, size_t panels, const dot_block *x, size_t count) \
    { \
        const size_t panel_bytes = count * BYTES_##NAME * CMHA_PANEL; \
        ROLLED \
        for (; panels > 0; panels--, y += CMHA_PANEL, p += panel_bytes) { \
            dot_row(y, p, x, count, BYTES_##NAME, BLOCK_##NAME, run, span, layers, zero, offset, bits, scale, quants); \
        } \
    } \
    const weight_type weight_##object = { \
        BLOCK_##NAME, BYTES_##NAME, head, tail, lift, NULL, NULL, NULL, \
        { run, 0, zero, offset, bits, row_##object, unpack_##object }, \
    };

#endif
