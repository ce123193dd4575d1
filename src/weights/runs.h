/* runs.h: types that are packed run by run, so that each is taken apart by itself; not exported.
 *
 * A run of 4 n inputs, n words of them, lies in fewer words: above the bits of the first words stand those of the others. */
#ifndef CMHA_WEIGHT_RUNS_H
#define CMHA_WEIGHT_RUNS_H

#include "weights/weight.h"

enum { RUN_WORDS = CMHA_INT8_INPUTS / 4 };

/* The words of a run of four outputs, from where it is packed. */
typedef void words_of_run(i4 words[RUN_WORDS], const uint8_t *p, size_t half);

/* The products of a run, which is part `part` of a block of activations, with its words, less `zero` times the activations. */
INLINE i4 dot_run(const i4 words[RUN_WORDS], const dot_block *x, size_t run, size_t part, int zero, int bits)
{
    size_t first = run * (part == 2), next = dot_bytes(bits) ? 4 : 8;
    i4 sum = zero ? dot_begin(x, part, zero, bits) : i4_splat(0);
    for (size_t i = 0; i < run / 4; i += 2) {
        const uint8_t *in = dot_input(x, first + 4 * i, bits);
        sum = dot_two(sum, words[i], in, words[i + 1], in + next, bits);
    }
    return sum;
}

INLINE void row_runs(float *y, const uint8_t *p, size_t panels, const dot_block *inputs, size_t count, size_t bytes, size_t block,
    size_t run, size_t at, size_t packed, int zero, int offset, int bits, scalings_of *scale, words_of_run *words_of)
{
    ROLLED
    for (; panels > 0; panels--, y += CMHA_PANEL) {
        const dot_block *x = inputs;
        f4 sum[2] = { f4_splat(0.0f), f4_splat(0.0f) };
        ROLLED
        for (size_t left = count; left > 0; left--, p += bytes * CMHA_PANEL) {
            scalings scales;
            const uint8_t *from = p + at;
            scale(&scales, 0, p);
            ROLLED
            for (size_t s = 0; s < block / run; s++, from += packed * WORD_FIELD) {
                const dot_block *in = x + s * run / CMHA_INT8_INPUTS;
                size_t part = run_part(run, s);
                f4 d = f4_load_splat(&in->d), total = f4_load_splat(&in->sum[part]);
                for (size_t half = 0; half < 2; half++) {
                    i4 words[RUN_WORDS];
                    words_of(words, from, half);
                    sum[half] = add_run(sum[half], dot_run(words, in, run, part, zero, bits), scales.scale[s][half],
                        scales.offset[s][half], d, total, offset, bits);
                }
            }
            x += block / CMHA_INT8_INPUTS;
        }
        f4_store(y, sum[0]);
        f4_store(y + 4, sum[1]);
    }
}

INLINE void unpack_runs(unpacked *u, const uint8_t *p, size_t count, size_t bytes, size_t block, size_t run, size_t at,
    size_t packed, scalings_of *scale, words_of_run *words_of)
{
    i4 (*to)[2] = u->room;
    u->words = (const uint8_t *) to;
    u->run_bytes = run / 4 * WORD_FIELD;
    ROLLED
    for (size_t first = 0; count > 0; count--, p += bytes * CMHA_PANEL, first += block / run) {
        const uint8_t *from = p + at;
        scale(&u->scales, first, p);
        ROLLED
        for (size_t s = 0; s < block / run; s++, from += packed * WORD_FIELD, to += run / 4) {
            i4 words[2][RUN_WORDS];
            for (size_t half = 0; half < 2; half++) words_of(words[half], from, half);
            for (size_t i = 0; i < run / 4; i++) {
                for (size_t half = 0; half < 2; half++) to[i][half] = words[half][i];
            }
        }
    }
}

/* A type whose values are made of quants (WEIGHT_TYPE): a run takes `packed` words, the first one `at` bytes from the block's
 * beginning, as `arrange` has laid them. */
#define WEIGHT_TYPE_RUNS(NAME, object, head, tail, arrange, run, at, packed, zero, offset, bits, scale, words_of) \
    static void unpack_##object(unpacked *u, const uint8_t *p, size_t count) \
    { \
        unpack_runs(u, p, count, BYTES_##NAME, BLOCK_##NAME, run, at, packed, scale, words_of); \
    } \
    static void row_##object(float *y, const uint8_t *p, size_t panels, const dot_block *x, size_t count) \
    { \
        row_runs(y, p, panels, x, count, BYTES_##NAME, BLOCK_##NAME, run, at, packed, zero, offset, bits, scale, words_of); \
    } \
    const weight_type weight_##object = { \
        BLOCK_##NAME, BYTES_##NAME, head, tail, 0, arrange, NULL, NULL, \
        { run, 1, zero, offset, bits, row_##object, unpack_##object }, \
    };

/* -------------------------------------------------------------------------------------------------------- five bits */

enum { FIVE_WORDS = 5, FIVE_BYTES = 4 * FIVE_WORDS };

/* to[FIVE_BYTES] = 32 inputs of five bits: w0 ... w4, above w0, w2 and w4 the lower three bits of w5, w6 and w7, above w1 and
 * w3 the upper two of w5 and w7, and above these the upper two of w6, one each. */
INLINE void arrange_five(uint8_t *to, const uint8_t q[CMHA_INT8_INPUTS])
{
    for (size_t k = 0; k < 4; k++, to++, q++) {
        uint8_t w5 = q[20], w6 = q[24], w7 = q[28];
        to[0] = (uint8_t) (q[0] | w5 << 5);
        to[4] = (uint8_t) (q[4] | w5 >> 3 << 5 | (w6 >> 3) << 7);
        to[8] = (uint8_t) (q[8] | w6 << 5);
        to[12] = (uint8_t) (q[12] | w7 >> 3 << 5 | (w6 >> 4) << 7);
        to[16] = (uint8_t) (q[16] | w7 << 5);
    }
}

INLINE void words_of_five(i4 words[RUN_WORDS], const uint8_t *p, size_t half)
{
    i4 five = i4_constant(0x1f1f1f1f), two = i4_constant(0x18181818), from[FIVE_WORDS], above[FIVE_WORDS];
    for (size_t i = 0; i < FIVE_WORDS; i++) {
        from[i] = word_field(p + i * WORD_FIELD, half);
        words[i] = i4_and(from[i], five);
        above[i] = i4_xor(from[i], words[i]);
    }
    words[5] = i4_or(i4_shr_u(above[0], 5), i4_and(i4_shr_u(above[1], 2), two));
    words[7] = i4_or(i4_shr_u(above[4], 5), i4_and(i4_shr_u(above[3], 2), two));
    i4 upper = i4_or(i4_and(i4_shr_u(above[1], 4), i4_constant(0x08080808)), i4_and(i4_shr_u(above[3], 3), i4_constant(0x10101010)));
    words[6] = i4_or(i4_shr_u(above[2], 5), upper);
}

#endif
