/* quantize.c: activations as signed bytes, a scale for every 32 of them or one for the row. */
#include "operation.h"
#include "tile.h"
#include "dot.h"
#include <assert.h>
#include <float.h>

/* x times scale, rounded, which stands for d times that. */
INLINE void put_block(dot_plain *plain, dot_lifted *lifted, const float *x, f4 scale, float d)
{
    enum { HALF = CMHA_INT8_INPUTS / 2 };
    const i4 one = i4_constant(1), ones = i4_constant(0x00010001);
    int32_t twos[2 + 4], evens[4];      /* of each half the sums of the first two and of the last two of every four */
    i4 even = i4_splat(0);
    for (size_t half = 0; half < 2; half++, x += HALF) {
        i4 low = h8_round(x, scale), high = h8_round(x + HALF / 2, scale);
        dot_set(plain, lifted, half * HALF, low, high);
        i4 sums = i4_add(h8_dot(low, ones), h8_dot(high, ones));
        i4_store(twos + 2 * half, i4_add(sums, i4_turn2(sums)));
        even = i4_add(even, i4_add(h8_dot(low, one), h8_dot(high, one)));
    }
    i4_store(evens, i4_add(even, i4_turn2(even)));
    plain->block = lifted->block = (dot_block) { d, -128 * (evens[0] + evens[1]) };
    for (size_t part = 0; part < 3; part++) {
        int32_t pair[2];
        for (size_t j = 0; j < 2; j++) {
            pair[j] = part == 0 ? twos[j] + twos[2 + j] : twos[2 * (part - 1) + j];
            plain->pairs[part][j] = (int16_t) pair[j];
        }
        plain->sum[part] = d * (float) (pair[0] + pair[1]);
    }
}

/* What is not finite makes d NaN, whatever the integers are. */
void cmha_quantize_f32(const cmha_quantize *a, size_t row0, size_t row1)
{
    const size_t blocks = (a->k + CMHA_INT8_INPUTS - 1) / CMHA_INT8_INPUTS, rest = a->k % CMHA_INT8_INPUTS;
    const f4 none = f4_splat(0.0f), levels = f4_splat(127.0f);
    assert(row1 <= a->rows && (a->scales || rest == 0));
    for (size_t r = row0; r < row1; r++) {
        dot_plain *plain = (dot_plain *) dot_row(a->y, blocks, r, 0);
        dot_lifted *lifted = (dot_lifted *) dot_row(a->y, blocks, r, 8);
        const float *x = a->x + r * a->x_stride;
        float last[CMHA_INT8_INPUTS] = { 0 }, d = 1.0f;
        f4 scale = none;
        for (size_t i = 0; i < rest; i++) last[i] = x[a->k - rest + i];
        if (a->scales) {
            f4 most = largest_lane(largest_bits(largest_bits(i4_splat(0), x, a->k - rest), last, CMHA_INT8_INPUTS));
            scale = f4_div(levels, f4_add(most, f4_splat(1e-7f)));
            a->scales[r] = f4_lane(scale, 0);
            d += f4_lane(f4_sub(scale, scale), 0);
        }
        for (size_t i = 0; i < blocks; i++, x += CMHA_INT8_INPUTS) {
            if (!a->scales) {
                f4 most = largest_lane(largest_bits(i4_splat(0), x, CMHA_INT8_INPUTS));
                /* Finite, so that no integer is beyond 127. */
                scale = f4_select(f4_less(none, most), f4_min(f4_div(levels, most), f4_splat(FLT_MAX)), none);
                d = f4_lane(f4_div(most, levels), 0);
            }
            put_block(plain + i, lifted + i, rest && i + 1 == blocks ? last : x, scale, d);
        }
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
