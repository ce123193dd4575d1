/* quantize.c: activations as signed bytes, a scale for every 32 of them. */
#include "operation.h"
#include "tile.h"
#include "dot.h"
#include <assert.h>

enum { VECTORS = CMHA_INT8_INPUTS / 4 };

static float largest(const float *x)
{
    f4 most = f4_splat(0.0f), none = most;
    for (int i = 0; i < VECTORS; i++) {
        f4 a = f4_load(x + 4 * i);
        most = f4_max(most, f4_max(a, f4_sub(f4_splat(0.0f), a)));
        none = f4_add(none, f4_mul(a, f4_splat(0.0f)));     /* NaN where a is NaN or infinite, which must not be lost */
    }
    return f4_top(most) + f4_sum(none);
}

/* Eight numbers rounded to integers, beyond 127 only where the scale is infinite. Next to 1.5 * 2^23 a float's last bit is worth
 * 1: the addition rounds, ties to even. */
static i4 rounded(const float *x, f4 scale)
{
    i4 word[2];
    for (int i = 0; i < 2; i++) {
        f4 bits = f4_add(f4_mul(f4_load(x + 4 * i), scale), f4_splat(12582912.0f));
        word[i] = i4_add(f4_word(bits), i4_splat(-0x4b400000));
    }
    return h8_narrow(word[0], word[1], 127);
}

/* What is not finite makes d NaN, whatever the integers are. */
static void quantize_block(dot_plain *plain, dot_lifted *lifted, const float *x)
{
    enum { HALF = CMHA_INT8_INPUTS / 2 };
    float most = largest(x), d = most / 127.0f;
    f4 scale = f4_splat(most > 0 ? 127.0f / most : 0.0f);
    int16_t all[2] = { 0, 0 };
    int32_t even = 0;
    for (size_t part = 1; part <= 2; part++, x += HALF) {
        i4 low = rounded(x, scale), high = rounded(x + 8, scale), one = h8_splat(1);
        int32_t twos[4], ones[4];
        dot_set(plain, lifted, (part - 1) * HALF, low, high);
        i4_store(twos, i4_add(h8_dot(low, one), h8_dot(high, one)));
        i4_store(ones, i4_add(h8_dot(low, i4_splat(1)), h8_dot(high, i4_splat(1))));
        for (size_t j = 0; j < 4; j++) even += ones[j];
        for (size_t j = 0; j < 2; j++) all[j] += plain->pairs[part][j] = (int16_t) (twos[j] + twos[j + 2]);
        plain->sum[part] = d * (float) (plain->pairs[part][0] + plain->pairs[part][1]);
    }
    for (size_t j = 0; j < 2; j++) plain->pairs[0][j] = all[j];
    plain->sum[0] = d * (float) (all[0] + all[1]);
    plain->block = lifted->block = (dot_block) { d, -128 * even };
}

void cmha_quantize_f32(const cmha_quantize *a, size_t row0, size_t row1)
{
    assert(row1 <= a->rows && a->k % CMHA_INT8_INPUTS == 0);
    size_t blocks = a->k / CMHA_INT8_INPUTS;
    for (size_t r = row0; r < row1; r++) {
        dot_plain *plain = (dot_plain *) dot_row(a->y, blocks, r, 0);
        dot_lifted *lifted = (dot_lifted *) dot_row(a->y, blocks, r, 8);
        for (size_t i = 0; i < blocks; i++) quantize_block(plain + i, lifted + i, a->x + r * a->x_stride + i * CMHA_INT8_INPUTS);
    }
}

static size_t quantize_tasks(const void *arguments)
{
    const cmha_quantize *a = arguments;
    return row_tasks(a->rows, a->k);
}

static void quantize_run(const void *arguments, size_t first, size_t end, size_t thread)
{
    const cmha_quantize *a = arguments;
    (void) thread;
    cmha_quantize_f32(a, task_row(a->rows, a->k, first), task_row(a->rows, a->k, end));
}

static double quantize_work(const void *arguments)
{
    const cmha_quantize *a = arguments;
    return 4.0 * (double) a->rows * (double) a->k;
}

const operation quantize = { .tasks = quantize_tasks, .run = quantize_run, .work = quantize_work };
