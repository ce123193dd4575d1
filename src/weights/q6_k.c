/* q6_k.c: Q6_K: 256 inputs of six bits in runs of 16, each with a scale of eight bits. A file has ql[128], the lower four bits, low
 * nibbles and high ones 64 inputs apart; qh[64], the upper two of four times four inputs in a word, 32 apart; scales[16],
 * signed; d. Packed, every run is three words: those of its first twelve inputs, and above each of them two bits of the
 * last four, so that a run is taken apart by itself. */
#include "weights/weight.h"

enum { RUN = 16, RUN_WORDS = 3, SCALES = 16 * RUN_WORDS * WORD_FIELD, D = SCALES + 4 * WORD_FIELD, ZERO = 32 };

static void arrange(uint8_t *to, const uint8_t *block)
{
    const uint32_t top = 0x03030303;
    for (size_t run = 0; run < 16; run++, to += 4 * RUN_WORDS) {
        size_t chunk = run / 8, layer = run / 2 % 4;
        const uint8_t *ql = block + 64 * chunk + 32 * (layer % 2) + RUN * (run % 2), *qh = block + 128 + 32 * chunk + RUN * (run % 2);
        uint32_t words[4];
        for (size_t i = 0; i < 4; i++) {
            uint32_t low, high;
            memcpy(&low, ql + 4 * i, 4);
            memcpy(&high, qh + 4 * i, 4);
            words[i] = (low >> layer / 2 * 4 & 0x0f0f0f0f) | (high >> 2 * layer & top) << 4;
        }
        for (size_t i = 0; i < RUN_WORDS; i++) {
            uint32_t word = words[i] | (words[3] >> 2 * i & top) << 6;
            memcpy(to + 4 * i, &word, 4);
        }
    }
    memcpy(to, block + 192, 18);
}

/* The four words of a run. */
INLINE void words_of_run(i4 words[4], const uint8_t *p, size_t half)
{
    i4 six = i4_constant(0x3f3f3f3f);
    i4 a = word_field(p, half), b = word_field(p + WORD_FIELD, half), c = word_field(p + 2 * WORD_FIELD, half);
    words[0] = i4_and(a, six);
    words[1] = i4_and(b, six);
    words[2] = i4_and(c, six);
    /* What is above: bits 4 and 5 above c, 2 and 3 above b, 0 and 1 above a. */
    i4 above = i4_or(i4_xor(c, words[2]), i4_shr_u(i4_xor(b, words[1]), 2));
    words[3] = i4_shr_u(i4_or(above, i4_shr_u(i4_xor(a, words[0]), 4)), 2);
}

/* d times the scales of runs 4 w ... */
INLINE void scale(f4 to[4], const uint8_t *p, size_t w, size_t half, f4 d)
{
    i4 four = word_field(p + SCALES + w * WORD_FIELD, half);
    for (uint32_t i = 0; i < 4; i++) to[i] = f4_mul(d, i4_float(signed_byte(four, i)));
}

static void row_q6_k(float *y, const uint8_t *p, size_t panels, const dot_block *inputs, size_t count)
{
    ROLLED
    for (; panels > 0; panels--, y += CMHA_PANEL) {
        const dot_block *x = inputs;
        f4 sum[2] = { f4_splat(0.0f), f4_splat(0.0f) };
        ROLLED
        for (size_t left = count; left > 0; left--, p += BYTES_Q6_K * CMHA_PANEL) {
            f4 d[2];
            half_field(d, p + D);
            ROLLED
            for (size_t w = 0; w < 4; w++, x += 2) {
                f4 scales[2][4];
                for (size_t half = 0; half < 2; half++) scale(scales[half], p, w, half, d[half]);
                ROLLED
                for (size_t part = 0; part < 4; part++) {
                    const dot_block *in = x + part / 2;
                    f4 dx = f4_load_splat(&in->d);
                    for (size_t half = 0; half < 2; half++) {
                        i4 words[4];
                        words_of_run(words, p + (4 * w + part) * RUN_WORDS * WORD_FIELD, half);
                        sum[half] = f4_madd(f4_mul(scales[half][part], dx), i4_float(dot_sixteen(words, in, part % 2, ZERO)), sum[half]);
                    }
                }
            }
        }
        f4_store(y, sum[0]);
        f4_store(y + 4, sum[1]);
    }
}

static void unpack_q6_k(unpacked *u, const uint8_t *p, size_t count)
{
    f4 d[2];
    (void) count;   /* a block is all that is unpacked at a time */
    u->words = (const uint8_t *) u->room;
    u->run_bytes = RUN / 4 * WORD_FIELD;
    half_field(d, p + D);
    ROLLED
    for (size_t half = 0; half < 2; half++) {
        ROLLED
        for (size_t run = 0; run < 16; run++) {
            i4 words[4];
            words_of_run(words, p + run * RUN_WORDS * WORD_FIELD, half);
            for (size_t i = 0; i < 4; i++) u->room[4 * run + i][half] = words[i];
        }
        ROLLED
        for (size_t w = 0; w < 4; w++) {
            f4 scales[4];
            scale(scales, p, w, half, d[half]);
            for (size_t i = 0; i < 4; i++) u->scales.scale[4 * w + i][half] = scales[i];
        }
    }
}

const weight_type weight_q6_k = {
    .block = BLOCK_Q6_K, .bytes = BYTES_Q6_K, .tail = 1, .arrange = arrange,
    .dot = { .run = RUN, .natural = 1, .zero = ZERO, .bits = 6, .row = row_q6_k, .unpack = unpack_q6_k },
};
