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

/* Inputs whose weights are unpacked at a time, at most, and their runs. */
enum { UNPACKED_INPUTS = MOST_BLOCK, UNPACKED_RUNS = UNPACKED_INPUTS / 16 };

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
    uint32_t run;           /* 32 or 16 */
    int32_t zero;
    int offset, bits;       /* 8: quants are signed, and lifted where they are unpacked */
    /* y[8] += the sums over `count` blocks for one row, and so on for as many panels, y_step floats and step bytes further. */
    void (*row)(float *y, size_t y_step, const uint8_t *blocks, size_t step, size_t panels, const dot_block *x, size_t count);
    void (*unpack)(unpacked *u, const uint8_t *blocks, size_t count);
} weight_dot;

typedef struct weight_type {
    uint32_t block, bytes;
    uint32_t head;  /* 16-bit fields ahead of the block's 32-bit words, as it is packed */
    uint32_t lift;  /* whether its words are lifted as they are packed */
    /* to[bytes] = a block as it is packed, where that is another order; or NULL */
    void (*arrange)(uint8_t *to, const uint8_t *block);
    /* y[count * block][8] = the values of `count` packed blocks; NULL: what `dot` unpacks tells them (weight_panel). */
    void (*panel)(float *y, const uint8_t *blocks, size_t count);
    /* y[ROW_PANELS][8] = the sums over j < k of x[j] times the weights of so many panels, in order: 1. 0, or NULL: tiles do. */
    int (*row)(float *y, const uint8_t *panels, size_t panel_bytes, const float *x, size_t k);
    weight_dot dot;
} weight_type;

#define X(NAME, object, block, bytes, ggml) extern const weight_type weight_##object;
CMHA_WEIGHT_TYPES(X)
#undef X

/* The type of that number. */
const weight_type *weight_type_of(uint32_t type);

/* Blocks of k inputs. */
INLINE size_t blocks_of(const weight_type *t, size_t k) { return (k + t->block - 1) / t->block; }

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
#define ROLLED _Pragma("clang loop unroll(disable)")
#else
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

/* What a run adds to a sum: d * sum of q * (scale * (quant - zero) + offset), where `total` is d * sum of q. */
INLINE f4 add_run(f4 sum, dot_sums products, f4 scale, f4 offset, f4 d, f4 total, int offsets, int bits)
{
    sum = f4_madd(f4_mul(scale, d), i4_float(dot_total(products, bits)), sum);
    return offsets ? f4_madd(offset, total, sum) : sum;
}

#endif
