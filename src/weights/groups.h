/* groups.h: types whose values are made of quants: how their blocks are packed and their rows multiplied; not exported.
 *
 * Packed, a block is groups of 32 inputs or 16, of words of four, a group one run or two: as few words as its bits fill, in
 * such an order that few instructions take them apart. `arrange` brings a file's block into it. */
#ifndef CMHA_WEIGHT_GROUPS_H
#define CMHA_WEIGHT_GROUPS_H

#include "weights/weight.h"

enum { GROUP_INPUTS = 32, GROUP_WORDS = GROUP_INPUTS / 4 };    /* the larger ones */

/* All words of a group of four outputs, from where it is packed. */
typedef void words_of_group(i4 words[GROUP_WORDS], const uint8_t *p, size_t half);

/* Where two words are packed in one, 16 inputs apart: the first or the second of them; signed ones lifted (dot.h). */
typedef i4 word_of_two(i4 packed, int second, i4 lift);

/* The groups of a type: with its weight_type constants, of which the compiler makes functions for that type. */
typedef struct group_type {
    size_t inputs, packed;      /* of a group; words that it takes */
    size_t at;                  /* bytes from the beginning of a packed block to its first group */
    scalings_of *scale;
    words_of_group *words_of;   /* this one */
    word_of_two *word;          /*   or that, or none where words are packed as they are */
} group_type;

INLINE dot_sums begin_run(const weight_dot *w, const dot_block *x, size_t part)
{
    return w->zero || w->bits == 8 ? dot_begin(x, part, w->zero, w->bits) : i4_splat(0);
}

/* The products of a group of two words in each, as one run. A loop whose length the compiler does not know, or it would unroll
 * it, put all words of one half ahead of the other half's, and run out of registers. */
INLINE void dot_twos(const weight_dot *w, word_of_two *word, i4 lift, dot_sums products[2], const uint8_t *p, const dot_block *x)
{
    size_t end = GROUP_WORDS / 2;
    __asm__("" : "+r"(end));
    products[0] = products[1] = begin_run(w, x, 0);
    ROLLED
    for (size_t i = 0; i < end; i++, p += WORD_FIELD) {
        const uint8_t *x0 = dot_input(x, 4 * i, w->bits), *x1 = dot_input(x, GROUP_INPUTS / 2 + 4 * i, w->bits);
        for (size_t half = 0; half < 2; half++) {
            i4 packed = word_field(p, half);
            products[half] = dot_two(products[half], word(packed, 0, lift), x0, word(packed, 1, lift), x1, w->bits);
        }
    }
}

/* The same of words that are packed as they are. */
INLINE void dot_ones(const weight_dot *w, dot_sums products[2], const uint8_t *p, const dot_block *x)
{
    products[0] = products[1] = begin_run(w, x, 0);
    ROLLED
    for (size_t i = 0; i < GROUP_WORDS; i += 2, p += 2 * WORD_FIELD) {
        const uint8_t *x0 = dot_input(x, 4 * i, w->bits), *x1 = dot_input(x, 4 * i + 4, w->bits);
        for (size_t half = 0; half < 2; half++) {
            products[half] = dot_two(products[half], word_field(p, half), x0, word_field(p + WORD_FIELD, half), x1, w->bits);
        }
    }
}

/* The products of a run with its words. */
INLINE dot_sums dot_run(const weight_dot *w, const i4 *words, const dot_block *x, size_t part)
{
    size_t first = w->run * (part == 2), next = dot_bytes(w->bits) ? 4 : 8;
    dot_sums sum = begin_run(w, x, part);
    for (size_t i = 0; i < w->run / 4; i += 2) {
        const uint8_t *in = dot_input(x, first + 4 * i, w->bits);
        sum = dot_two(sum, words[i], in, words[i + 1], in + next, w->bits);
    }
    return sum;
}

/* weight_dot's row. */
INLINE void row_of_groups(const weight_type *type, const group_type *t, float *y, size_t y_step, const uint8_t *panel, size_t step,
    size_t panels, const dot_block *x0, size_t count)
{
    const weight_dot *w = &type->dot;
    const size_t runs = t->inputs / w->run;
    const i4 lift = i4_splat((int32_t) dot_lift());
    ROLLED
    for (; panels > 0; panels--, y += y_step, panel += step) {
        const dot_block *row = x0;
        const uint8_t *p = panel;
        f4 sum[2] = { f4_load(y), f4_load(y + 4) };
        ROLLED
        for (size_t left = count; left > 0; left--, p += type->bytes * CMHA_PANEL) {
            const uint8_t *group = p + t->at;
            scalings scales;
            t->scale(&scales, 0, p);
            ROLLED
            for (size_t s = 0; s < type->block / w->run; s += runs, group += t->packed * WORD_FIELD) {
                const dot_block *x = dot_at(row, s * w->run / CMHA_INT8_INPUTS, w->bits);
                dot_sums products[2];
                if (t->word) dot_twos(w, t->word, lift, products, group, x);
                else if (!t->words_of) dot_ones(w, products, group, x);
                for (size_t half = 0; half < 2; half++) {
                    i4 words[GROUP_WORDS];
                    if (t->words_of) t->words_of(words, group, half);
                    for (size_t r = 0; r < runs; r++) {
                        size_t part = run_part(w->run, s + r);
                        if (t->words_of) products[half] = dot_run(w, words + r * w->run / 4, x, part);
                        sum[half] = add_run(sum[half], products[half], scales.scale[s + r][half], scales.offset[s + r][half],
                            f4_load_splat(&x->d), w->offset ? dot_sum(x, part) : f4_splat(0), w->offset, w->bits);
                    }
                }
            }
            row = dot_at(row, type->block / CMHA_INT8_INPUTS, w->bits);
        }
        f4_store(y, sum[0]);
        f4_store(y + 4, sum[1]);
    }
}

/* weight_dot's unpack. In the order of memory: that comes up to 1.6 times as fast, where a few rows share the weights. */
INLINE void unpack_groups(const weight_type *type, const group_type *t, unpacked *u, const uint8_t *p, size_t count)
{
    const weight_dot *w = &type->dot;
    i4 (*to)[2] = u->room;
    u->words = (const uint8_t *) to;
    u->run_bytes = w->run / 4 * WORD_FIELD;
    const i4 lift = i4_splat((int32_t) dot_lift());
    ROLLED
    for (size_t first = 0; count > 0; count--, p += type->bytes * CMHA_PANEL, first += type->block / w->run) {
        const uint8_t *group = p + t->at;
        t->scale(&u->scales, first, p);
        ROLLED
        for (size_t g = 0; g < type->block / t->inputs; g++, group += t->packed * WORD_FIELD, to += t->inputs / 4) {
            i4 words[2][GROUP_WORDS];
            for (size_t half = 0; half < 2; half++) {
                if (t->words_of) t->words_of(words[half], group, half);
                for (size_t i = 0; t->word && i < GROUP_WORDS / 2; i++) {
                    i4 two = word_field(group + i * WORD_FIELD, half);
                    words[half][i] = t->word(two, 0, lift);
                    words[half][i + GROUP_WORDS / 2] = t->word(two, 1, lift);
                }
            }
            for (size_t i = 0; i < t->inputs / 4; i++) {
                for (size_t half = 0; half < 2; half++) to[i][half] = words[half][i];
            }
        }
    }
}

/* groups_<object>, of these fields, and row_<object> for weight_<object>. */
#define GROUPS(object, ...) \
    static const group_type groups_##object = { __VA_ARGS__ }; \
    static void row_##object(float *y, size_t y_step, const uint8_t *p, size_t step, size_t panels, const dot_block *x, size_t count) \
    { \
        row_of_groups(&weight_##object, &groups_##object, y, y_step, p, step, panels, x, count); \
    }

/* And unpack_<object>. */
#define GROUPS_UNPACKED(object, ...) \
    GROUPS(object, __VA_ARGS__) \
    static void unpack_##object(unpacked *u, const uint8_t *p, size_t count) \
    { \
        unpack_groups(&weight_##object, &groups_##object, u, p, count); \
    }

/* ----------------------------------------------------------------------------------------- words as files have them */

/* Word i of the g-th 32 inputs: the quants of four. */
typedef uint32_t file_word_of(const uint8_t *block, size_t g, size_t i);

INLINE uint32_t file_word(const uint8_t *p)
{
    uint32_t word;
    memcpy(&word, p, sizeof word);
    return word;
}

/* Four times the same byte. */
INLINE uint32_t four_times(uint32_t byte)
{
    return byte * 0x01010101u;
}

/* Packs 32 inputs (see the words_of_... below) and returns their end. */
typedef uint8_t *arrange_group(uint8_t *to, const uint32_t w[GROUP_WORDS]);

INLINE uint8_t *arrange_groups(uint8_t *to, const uint8_t *block, size_t groups, file_word_of *word, arrange_group *arrange)
{
    for (size_t g = 0; g < groups; g++) {
        uint32_t words[GROUP_WORDS];
        for (size_t i = 0; i < GROUP_WORDS; i++) words[i] = word(block, g, i);
        to = arrange(to, words);
    }
    return to;
}

/* Nibbles: w0 ... w3, and w4 ... w7 in the high ones. */
enum { FOUR_BITS = 4 };

INLINE uint8_t *arrange_four_bits(uint8_t *to, const uint32_t w[GROUP_WORDS])
{
    uint32_t packed[FOUR_BITS];
    for (size_t i = 0; i < FOUR_BITS; i++) packed[i] = w[i] | w[i + FOUR_BITS] << 4;
    memcpy(to, packed, sizeof packed);
    return to + sizeof packed;
}

INLINE i4 nibble(i4 packed, int second, i4 lift)
{
    (void) lift;
    return i4_and(i4_shr_u(packed, second ? 4 : 0), i4_constant(0x0f0f0f0f));
}

/* w0 ... w4; above w0, w2 and w4 the lower three bits of w5, w6 and w7, above w1 and w3 the upper two of w5 and w7, and above
 * these the upper two of w6, one each. */
enum { FIVE_BITS = 5 };

INLINE uint8_t *arrange_five_bits(uint8_t *to, const uint32_t w[GROUP_WORDS])
{
    uint32_t three = four_times(7), two = four_times(3), one = four_times(1), w5 = w[5], w6 = w[6], w7 = w[7];
    uint32_t packed[FIVE_BITS] = {
        w[0] | (w5 & three) << 5, w[1] | (w5 >> 3 & two) << 5 | (w6 >> 3 & one) << 7, w[2] | (w6 & three) << 5,
        w[3] | (w7 >> 3 & two) << 5 | (w6 >> 4 & one) << 7, w[4] | (w7 & three) << 5,
    };
    memcpy(to, packed, sizeof packed);
    return to + sizeof packed;
}

INLINE void words_of_five_bits(i4 words[GROUP_WORDS], const uint8_t *p, size_t half)
{
    i4 two = i4_constant(0x18181818), above[FIVE_BITS];
    for (size_t i = 0; i < FIVE_BITS; i++) {
        i4 packed = word_field(p + i * WORD_FIELD, half);
        words[i] = i4_and(packed, i4_constant(0x1f1f1f1f));
        above[i] = i4_xor(packed, words[i]);
    }
    words[5] = i4_or(i4_shr_u(above[0], 5), i4_and(i4_shr_u(above[1], 2), two));
    words[7] = i4_or(i4_shr_u(above[4], 5), i4_and(i4_shr_u(above[3], 2), two));
    i4 upper = i4_or(i4_and(i4_shr_u(above[1], 4), i4_constant(0x08080808)), i4_and(i4_shr_u(above[3], 3), i4_constant(0x10101010)));
    words[6] = i4_or(i4_shr_u(above[2], 5), upper);
}

#endif
